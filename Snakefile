# The benchmark as a workflow: a table of contents. The benchmark as data is config.yaml, the work is done
# by the commands of `msgbench`, and what depends on what stands in workflow/rules.
#
#   snakemake --cores 2 all          everything of the tier in config.yaml
#   snakemake --cores 2 table3       one table (any name under `tables`), and what it needs
#   snakemake --cores 2 figure6      one figure (any name under `figures`), and what it needs
#   snakemake --cores 2 EXPERIMENT   one experiment (any name under `experiments`), trained and measured
#   snakemake --profile slurm all    the same, its heavy work as Slurm jobs (docs/slurm.md)
#   snakemake -n all                 what would be done

from snakemake.utils import min_version

min_version("9.20")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/launching.smk"
include: "workflow/rules/datasets.smk"
include: "workflow/rules/runs.smk"
include: "workflow/rules/measurements.smk"
include: "workflow/rules/results.smk"


onstart:
    require_possible_jobs()
    require_leave()
    require_slurm_here()


onerror:
    tell_what_goes_on()


rule all:
    default_target: True
    input:
        all_of(
            "all",
            [
                layout.report_html,
                layout.claims_json,
                *MADE_BY["tables"][0],
                str(layout.figures_json),
                *layer_tables(),
            ],
        ),
    message:
        "target all, tier {benchmark.tier}"


say_in_sentences()
require_known_rules()
