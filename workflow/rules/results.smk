# Results: tables, figures and the report, made from records alone and made again when their code changes.


rule tables:
    input:
        all_of(
            "tables",
            [*(layout.table_csv(table) for table in benchmark.tables_of_all()), *own_tables()],
        ),
    message:
        "target tables"


# All of them, also those whose runs `all` does not train.
rule figures:
    input:
        all_of(
            "figures",
            [layout.figures_json, *map(figure_json, figures_beside_all())],
            [*benchmark.tables_of_all(), *benchmark.figures],
        ),
    message:
        "target figures"


rule table:
    input:
        lambda wildcards: measured_for(wildcards.table),
    output:
        report(
            layout.table_csv("{table}"),
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
    log:
        layout.log("table-{table}"),
    conda:
        "../../envs/environment.yaml"
    resources:
        local_slots=1,
    params:
        sources=ANALYSIS_SOURCES,
        spec=lambda wildcards: benchmark.tables[wildcards.table].model_dump_json(),
        config=lambda wildcards, output: CONFIG_ARGUMENTS,
    message:
        "table {wildcards.table}"
    shell:
        "msgbench table {wildcards.table} --log {log:q} {params.config:q}"


# Tables 6 and 7 are the networks themselves: they need no run.
rule layer_table:
    output:
        report(
            layout.table_csv("{layer_table}"),
            caption="../report/layer_table.rst",
            category="Tables",
            labels={"table": "{layer_table}"},
        ),
        layout.table_md("{layer_table}"),
    log:
        layout.log("table-{layer_table}"),
    conda:
        "../../envs/environment.yaml"
    params:
        sources=MODEL_SOURCES,
        config=lambda wildcards, output: CONFIG_ARGUMENTS,
    message:
        "table {wildcards.layer_table}"
    shell:
        "msgbench describe {wildcards.layer_table} --log {log:q} {params.config:q}"


# Parameters by the number of scales are counted from the published specs; the numbers in running text are those of all
# tables.
for name in OWN_TABLES:

    rule:
        name:
            name
        input:
            (
                [file for table in benchmark.tables_of_all() for file in measured_for(table)]
                if name == "text"
                else []
            ),
        output:
            report(
                layout.table_csv(name),
                caption="../report/own_table.rst",
                category="Tables",
                labels={"table": name},
            ),
        log:
            layout.log(f"table-{name}"),
        conda:
            "../../envs/environment.yaml"
        resources:
            local_slots=1,
        params:
            name=name,
            sources=ANALYSIS_SOURCES,
            # What the table is made from beside records: the networks, or the rows of all tables.
            content=MODEL_SOURCES if name == "parameters" else TABLES_OF_ALL,
            config=lambda wildcards, output: CONFIG_ARGUMENTS,
        message:
            f"table {name}"
        shell:
            "msgbench table {params.name} --log {log:q} {params.config:q}"


# All figures of `all` by one process: most of a figure's time is the start of its libraries. They lie undeclared
# beside the list, because one whose runs left nothing to show has no picture.
rule figures_of_all:
    input:
        shown_by_all(),
    output:
        layout.figures_json,
    log:
        layout.log("figures"),
    conda:
        "../../envs/environment.yaml"
    resources:
        local_slots=1,
    params:
        figures=figures_of_all(benchmark),
        sources=ANALYSIS_SOURCES,
        spec=fingerprint_of(
            [
                {name: table.model_dump(mode="json") for name, table in benchmark.tables.items()},
                {
                    name: figure.model_dump(mode="json")
                    for name, figure in benchmark.figures.items()
                },
            ]
        ),
        config=lambda wildcards, output: CONFIG_ARGUMENTS,
    message:
        "figures of all"
    shell:
        "msgbench figure --log {log:q} {params.config:q}"


# One figure by itself, as what it needs is there before all the rest.
rule figure:
    input:
        lambda wildcards: shown_by(wildcards.figure),
    output:
        layout.figure("{figure}", "json"),
    log:
        layout.log("figure-{figure}"),
    conda:
        "../../envs/environment.yaml"
    resources:
        local_slots=1,
    params:
        sources=ANALYSIS_SOURCES,
        spec=lambda wildcards: spec_of_figure(wildcards.figure),
        config=lambda wildcards, output: CONFIG_ARGUMENTS,
    message:
        "figure {wildcards.figure}"
    shell:
        "msgbench figure {wildcards.figure} --log {log:q} {params.config:q}"


# The sentences of the papers, each tested against all records. What fixed latents showed and what was drawn of them
# lies undeclared beside the records; it is read where it exists.
rule claims:
    input:
        shown_by_all(),
    output:
        layout.claims_json,
        report(
            layout.claims_json.with_suffix(".csv"),
            caption="../report/claims.rst",
            category="Claims",
            labels={"claims": "all"},
        ),
    log:
        layout.log("claims"),
    conda:
        "../../envs/environment.yaml"
    resources:
        local_slots=1,
    params:
        sources=ANALYSIS_SOURCES,
        others=lambda wildcards: measured_beside(),
        pictures=lambda wildcards: pictures_drawn(),
        content=[MODEL_SOURCES, TABLES_OF_ALL],
        config=lambda wildcards, output: CONFIG_ARGUMENTS,
    message:
        "claims"
    shell:
        "msgbench claims --log {log:q} {params.config:q}"


rule report:
    input:
        layout.claims_json,
        MADE_BY["tables"][0],
        layout.figures_json,
    output:
        layout.report_html,
        report(
            directory(layout.report_figures),
            patterns=["{name}.png"],
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{name}"},
        ),
    log:
        layout.log("report"),
    conda:
        "../../envs/environment.yaml"
    resources:
        local_slots=1,
    params:
        sources=ANALYSIS_SOURCES,
        others=lambda wildcards: measured_beside(),
        config=lambda wildcards, output: CONFIG_ARGUMENTS,
    message:
        "report"
    shell:
        "msgbench report --log {log:q} {params.config:q}"


# What is kept with the sources: the records of a measured run on the real images, without local names. Its
# pictures lie undeclared beside it.
rule publish:
    input:
        lambda wildcards: published_from(wildcards.experiment),
    output:
        layout.published_json("{experiment}"),
    log:
        layout.log("publish-{experiment}"),
    conda:
        "../../envs/environment.yaml"
    resources:
        local_slots=1,
    params:
        sources=ANALYSIS_SOURCES,
        config=lambda wildcards, output: CONFIG_ARGUMENTS,
    message:
        "publish {wildcards.experiment}"
    shell:
        "msgbench publish {wildcards.experiment} --log {log:q} {params.config:q}"


# Not part of `all`: it trains on your copy of the real images. The run itself is asked for, too: records and page are
# kept with the sources, so that in a fresh clone nothing would be done for them.
rule first_training:
    input:
        lambda wildcards: published_from(FIRST_TRAINING),
        "docs/first-training.md",
    message:
        "target first_training"


# The page's pictures lie undeclared beside it.
rule walkthrough:
    input:
        layout.published_json(FIRST_TRAINING),
    output:
        "docs/first-training.md",
    log:
        layout.log("first-training"),
    conda:
        "../../envs/environment.yaml"
    resources:
        local_slots=1,
    params:
        sources=ANALYSIS_SOURCES,
    message:
        "docs/first-training.md"
    shell:
        "msgbench walkthrough {input:q} --out {output:q} --log {log:q}"


# Any table can be asked for by its name, also one outside `all`.
for name in benchmark.tables:

    rule:
        name:
            name
        input:
            all_of(name, [layout.table_csv(name)], [name]),
        message:
            "target {rule}"


for name in benchmark.figures:

    rule:
        name:
            name
        input:
            all_of(name, [figure_json(name)], [name]),
        message:
            "target {rule}"


# Both parts of the first version's Table 1.
rule table_v1:
    input:
        all_of(
            "table_v1",
            [layout.table_csv(table) for table in of_first_version()],
            of_first_version(),
        ),
    message:
        "target table_v1"


for name in LAYER_TABLES:

    rule:
        name:
            name
        input:
            [layout.table_csv(name), layout.table_md(name)],
        message:
            "target {rule}"
