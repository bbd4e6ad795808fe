# What all rules share: the resolved benchmark, its paths, and who needs whose runs. No rules here.

import atexit
import functools
import logging
import os
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.utils import validate

from msgbench.analysis import FIRST_TRAINING, figures_of, figures_of_all
from msgbench.analysis.cost import Workload, announcement, require_accepted
from msgbench.config import LAYER_TABLES, OWN_TABLES, fingerprint_of, resolve
from msgbench.config.dataset import WITH_FACES
from msgbench.config.overrides import layered
from msgbench.config.sentences import nearest
from msgbench.config.specs import DATASET_FORMAT, TRAINING_FORMAT
from msgbench.data.faces.review import review_digest
from msgbench.data.sources import splits_at
from msgbench.errors import MsgbenchError
from msgbench.layout import (
    ANALYSIS_ROOMS,
    EVALUATE_JSON,
    LOGS,
    MANIFEST_JSON,
    MEASURING_ROOMS,
    MODEL_ROOMS,
    PICTURE_ROOMS,
    REAL_JSON,
    SAMPLES_JSON,
    SPEC_JSON,
    TRAIN_JSON,
    Layout,
    digest_of,
    short,
    source_digest,
)
from msgbench.metrics.extractors.weights import resolve_weights
from msgbench.protocols import get_protocol
from msgbench.workflow_lock import claim

# Configuration: config.yaml, then --configfile, then --config.

given = workflow.config_settings
config_files = [Path("config.yaml"), *given.configfiles]
if not config_files[0].exists():
    config_files = config_files[1:]
if not config_files:
    raise WorkflowError(
        f"config.yaml: is not in {Path.cwd()}; start snakemake in the folder that holds it"
    )
try:
    merged_config, CONFIG_ARGUMENTS = layered(config_files, given.config)
    benchmark = resolve(merged_config)
    layout = Layout.of(benchmark.results, benchmark.tier)
except MsgbenchError as error:
    raise WorkflowError(str(error))
config.clear()
config.update(merged_config)
validate(config, "../schemas/config.schema.json", set_default=False)


# Surroundings of the commands.

# The `msgbench` of the Python that runs Snakemake, also where its environment is not activated.
programs = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
os.environ.update(PATH=os.pathsep.join(programs))
# Two live bars of two jobs on one terminal would overwrite each other.
os.environ.update(MSGBENCH_PROGRESS="plain")
if workflow.is_main_process:
    if not claim(Path(), lambda text: print(text, file=sys.stderr)):
        print(
            "another Snakemake is running in this folder; if both would make the same files, this one is refused with a "
            "LockException: wait for the other (`msgbench status`) and start again, and unlock nothing",
            file=sys.stderr,
        )


# Names.


def one_of(names):
    """A wildcard's pattern that matches exactly `names`."""
    return "|".join(re.escape(name) for name in names) or "(?!)"


wildcard_constraints:
    dataset=one_of(benchmark.datasets),
    experiment=one_of(benchmark.experiments),
    table=one_of(benchmark.tables),
    layer_table=one_of(LAYER_TABLES),
    figure=one_of([*figures_of(benchmark), *benchmark.figures]),
    fp="[0-9a-f]{8}",
    seed="[0-9]+",


# Paths.

DATASET_DIR = layout.dataset_dir("{dataset}", "{fp}")
RUN_DIR = layout.run_dir("{experiment}", "{fp}", "{seed}")


def in_store(file, datasets):
    """`file` of the stores of `datasets`."""
    return [
        str(layout.dataset_dir(name, benchmark.datasets[name].fingerprint) / file)
        for name in datasets
    ]


def in_runs(file, experiments):
    """`file` of all runs of `experiments`."""
    specs = {name: benchmark.experiments[name] for name in experiments}
    return [
        str(layout.run_dir(name, spec.fingerprint, seed) / file)
        for name, spec in specs.items()
        for seed in spec.seeds
    ]


# What the wildcards of a job stand for.


def dataset_of(wildcards):
    """The spec of a job's dataset; refuses a path whose fingerprint is not the present one."""
    test = test_images_of(wildcards.dataset)
    if test is not None and short(test.fingerprint) == wildcards.fp:
        return test
    return present(benchmark.datasets[wildcards.dataset], wildcards.dataset, wildcards.fp)


def source_of(wildcards):
    """Where a dataset comes from, and, of faces, what the user decided about them: an edited review is obeyed."""
    spec = dataset_of(wildcards)
    source = spec.path or "drawn by msgbench"
    if spec.source not in WITH_FACES:
        return source
    return (
        f"{source}, review {review_digest(spec, layout.dataset_dir(spec.name, spec.fingerprint))}"
    )


@functools.cache
def test_images_of(name):
    """The spec of a dataset's test images, which floors are measured with; None where there are none."""
    spec = benchmark.datasets[name]
    if spec.source != "cifar10" or spec.split != "train":
        return None
    try:
        has_test = "test" in splits_at(spec)
    except MsgbenchError:
        return None  # preparing the training images says what is wrong
    return spec.model_copy(update={"split": "test"}) if has_test else None


def split_arguments(wildcards):
    """Arguments that ask for a dataset's test images, where the config means the others."""
    split, name = dataset_of(wildcards).split, wildcards.dataset
    return (
        [] if split == benchmark.datasets[name].split else [f"--set=datasets.{name}.split={split}"]
    )


def test_store_of(wildcards):
    """The manifest of a dataset's test images, as an input that need not be there."""
    test = test_images_of(wildcards.dataset)
    return (
        [] if test is None else str(layout.dataset_dir(test.name, test.fingerprint) / MANIFEST_JSON)
    )


def experiment_of(wildcards):
    """The spec of a job's experiment; refuses a path whose fingerprint is not the present one."""
    return present(benchmark.experiments[wildcards.experiment], wildcards.experiment, wildcards.fp)


def beside_fingerprint(wildcards):
    """What a spec says that may change under its path: how it is measured, how many images are worked on at a time."""
    spec = experiment_of(wildcards)
    at_a_time = spec.training.micro_batch_size
    said = spec.evaluation.model_dump_json()
    return said if at_a_time is None else f"{said} micro_batch_size {at_a_time}"


def present(spec, name, fp):
    if short(spec.fingerprint) != fp:
        raise WorkflowError(
            f"{name}: {fp} is not its fingerprint in tier {benchmark.tier}, that is {short(spec.fingerprint)}"
        )
    return spec


def store_of(wildcards):
    """The manifest of the dataset that a run is trained on."""
    return in_store(MANIFEST_JSON, [experiment_of(wildcards).dataset.name])[0]


def weights_arguments():
    """Arguments that name the weights which msgbench does not ship."""
    named = benchmark.weights.model_dump()
    return [word for key, path in named.items() if path for word in (f"--{key}", path)]


# What a start does, costs and needs.


def workload():
    """The trainings and measurements of this start, from its graph of jobs."""

    def runs(jobs, *rules):
        wildcards = [job.wildcards for job in jobs if job.rule.name in rules]
        return {(named.experiment, int(named.seed)) for named in wildcards}

    jobs = list(workflow.dag.jobs)
    needed = list(workflow.dag.needrun_jobs(exclude_finished=False))
    asked = runs(jobs, "train", "evaluate")
    return Workload(benchmark, layout, asked, runs(needed, "train"), runs(needed, "evaluate"))


def protocols_to_measure():
    """Protocols that a job of this start measures by."""
    names = set()
    for job in workflow.dag.needrun_jobs():
        if job.rule.name == "evaluate":
            names.update(experiment_of(job.wildcards).evaluation.protocols)
        elif job.rule.name == "evaluate_real":
            names.update(real_protocols(job.wildcards.dataset))
    return names


def require_leave():
    """Say what this start costs; refuse it while that is not accepted, or weights that it needs are not there."""
    work = workload()
    print(announcement(work), file=sys.stderr)
    tell_what_is_left_out()
    try:
        require_accepted(work)
        for extractor in sorted({get_protocol(name).extractor for name in protocols_to_measure()}):
            resolve_weights(extractor, benchmark.weights.model_dump())
    except MsgbenchError as error:
        raise WorkflowError(str(error))


def tell_what_is_left_out():
    """One line for each dataset of the asked targets that is not configured."""
    asked = {job.rule.name for job in workflow.dag.jobs}.intersection(MADE_BY)
    names = []
    for target in asked:
        names += MADE_BY[target][1] or (*benchmark.tables_of_all(), *benchmark.figures_of_all())
    for sentence in benchmark.left_out_sentences(dict.fromkeys(names)):
        print(sentence, file=sys.stderr)


class SeenErrors(logging.Handler):
    """Notes whether Snakemake told an error: at its exit nothing else says that it failed."""

    any = False

    def emit(self, record):
        self.any = True


def announce_dry_run(errors):
    """`onstart` is not called in a dry run: its line comes after Snakemake's last one, if that is no error."""
    if workflow.dryrun and workflow.dag is not None and not errors.any:
        print(announcement(workload()), file=sys.stderr)
        tell_what_is_left_out()
        for sentence in refused_jobs():
            print(f"would be refused: {sentence}", file=sys.stderr)


def announce_unknown_targets(errors):
    """The nearest name of a target that there is not: Snakemake's own error says only that nothing makes it.

    Targets are known to a workflow only after its files are read, so this is no check before the error. Of a path
    nothing is said.
    """
    if errors.any and workflow.dag_settings is not None:
        known = [rule_.name for rule_ in workflow.rules if not rule_.has_wildcards()]
        for name in sorted(
            {*workflow.dag_settings.targets}.difference(r.name for r in workflow.rules)
        ):
            if "/" not in name and not Path(name).exists():
                print(f"{name}: is no target{nearest(name, known)}", file=sys.stderr)


if workflow.is_main_process:
    seen_errors = SeenErrors(logging.ERROR)
    logger.addHandler(seen_errors)
    atexit.register(announce_dry_run, seen_errors)
    atexit.register(announce_unknown_targets, seen_errors)


# Datasets that are left out.

# What a target makes, by its name: the error about what it leaves out comes after all of it.
MADE_BY = {}


def all_of(target, made, names=None):
    """`made` by `target` and, where a dataset of `names` is left out, the error that says so.

    `names` are tables and figures; None: those of `all`.
    """
    MADE_BY[target] = (made, names)
    if benchmark.allow_missing or not benchmark.left_out(names):
        return made
    return [*made, str(layout.left_out(target))]


# What tables and figures show.


def experiments_of(table):
    """Experiments that `table` shows, but those whose dataset is left out."""
    return benchmark.planned_experiments([table])


def datasets_of(table):
    """Datasets that `table` shows, as real images or as what its experiments are trained on, but those left out."""
    return benchmark.planned_datasets([table])


def real_protocols(dataset):
    """Protocols by which the images of `dataset` and their control are measured: all that anything on it uses."""
    tables = [t for name, t in benchmark.tables.items() if dataset in datasets_of(name)]
    specs = [spec for spec in benchmark.experiments.values() if spec.dataset.name == dataset]
    names = {protocol for table in tables for protocol in (table.protocol, *table.also)}
    return sorted(names.union(*(spec.evaluation.protocols for spec in specs)))


def measured_for(table):
    """All records that `table` is made from."""
    elsewhere = [row.record for row in benchmark.tables[table].rows if row.record is not None]
    ours = in_runs(EVALUATE_JSON, experiments_of(table))
    return ours + in_store(REAL_JSON, datasets_of(table)) + elsewhere


def measured_beside():
    """Digest of what was measured of runs that no table shows: the report has them where they exist."""
    shown = benchmark.table_experiments()
    folders = layout.run_dirs(name for name in benchmark.experiments if name not in shown)
    files = [folder / EVALUATE_JSON for folder in folders]
    return digest_of(file for file in files if file.is_file())


def pictures_drawn():
    """Digest of the picture sets of runs that no figure of `all` shows: claims look at them where they exist."""
    files = {folder / SAMPLES_JSON for folder in layout.every_run_dir()}
    files -= {Path(in_runs(SAMPLES_JSON, [e])[0]) for e in pictured(benchmark.figures_of_all())}
    return digest_of(file for file in sorted(files) if file.is_file())


def published_from(name):
    """What an experiment is published from; refuses drawn images before anything is trained."""
    dataset = benchmark.experiments[name].dataset
    if dataset.is_stand_in:
        raise WorkflowError(
            f"{name}: is published only on real images; name your copy at datasets.{dataset.name}.path"
        )
    return in_runs(EVALUATE_JSON, [name]) + in_store(REAL_JSON, [dataset.name])


def layer_tables():
    """Tables 6 and 7, in both forms."""
    return [
        file for name in LAYER_TABLES for file in (layout.table_csv(name), layout.table_md(name))
    ]


# Kinds of figures that show pictures of generators; the others are made from records alone.
WITH_PICTURES = [
    name
    for name, figure in benchmark.figures.items()
    if figure.kind not in ("architecture", "stability", "synchronisation", "learning_rates")
]


def figure_json(name):
    """What a figure is, with its files beside it."""
    return str(layout.figure(name, "json"))


def figures_beside_all():
    """Figures that `all` does not make."""
    return [name for name in benchmark.figures if name not in benchmark.figures_of_all()]


def pictured(figures):
    """Experiments whose pictures `figures` show."""
    return benchmark.figure_experiments(name for name in figures if name in WITH_PICTURES)


def pictures_of_all():
    """What the picture sets of `all`'s figures are drawn for."""
    return [layout.pictures_json] if pictured(benchmark.figures_of_all()) else []


def chosen_by(experiment):
    """What says which snapshot of a run is drawn: its measurements, or its end where no table has it measured."""
    return (
        EVALUATE_JSON if experiment in benchmark.table_experiments(benchmark.tables) else TRAIN_JSON
    )


def shown_by(name):
    """All that a figure is made from, but what is left out."""
    if name not in benchmark.figures:
        return measured_for(next(t for t in benchmark.tables if name in figures_of(benchmark, [t])))
    figure, experiments = benchmark.figures[name], benchmark.figure_experiments([name])
    if name in WITH_PICTURES:
        # Those of the first seed.
        return [in_runs(SAMPLES_JSON, [experiment])[0] for experiment in experiments]
    if figure.kind == "learning_rates":
        return measured_for(figure.table)
    return [] if figure.kind == "architecture" else in_runs(TRAIN_JSON, experiments)


def shown_by_all():
    """What all tables and figures of `all` are made from."""
    files = [file for table in benchmark.tables_of_all() for file in measured_for(table)]
    for name in benchmark.figures_of_all():
        if name not in WITH_PICTURES:
            files += shown_by(name)
    return [*dict.fromkeys(files), *pictures_of_all()]


def spec_of_figure(name):
    """What config.yaml says of a figure, or of the table that it belongs to."""
    found = benchmark.figures.get(name) or next(
        table for key, table in benchmark.tables.items() if name in figures_of(benchmark, [key])
    )
    return found.model_dump_json()


def own_tables():
    """Parameters by the number of scales, and the numbers in running text."""
    return [layout.table_csv(name) for name in OWN_TABLES]


def of_first_version():
    """The tables of `all` whose numbers are those of the paper's first version."""
    return [t for t in benchmark.tables_of_all() if benchmark.tables[t].paper == "arxiv-v1"]


# Digests of the sources of rooms that are cheap to run again.

MEASURING_SOURCES = source_digest(*MEASURING_ROOMS)
PICTURE_SOURCES = source_digest(*PICTURE_ROOMS)
ANALYSIS_SOURCES = source_digest(*ANALYSIS_ROOMS)
MODEL_SOURCES = source_digest(*MODEL_ROOMS)
# Of what all tables show.
TABLES_OF_ALL = fingerprint_of(
    {name: benchmark.tables[name].model_dump(mode="json") for name in benchmark.tables_of_all()}
)
