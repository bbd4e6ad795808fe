# Measurements: every snapshot of a run, the real images themselves and the control made of them, by the protocols
# of the config.


rule measurements:
    input:
        all_of(
            "measurements",
            [file for table in benchmark.tables_of_all() for file in measured_for(table)],
        ),
    message:
        "target measurements"


rule evaluate:
    input:
        spec=RUN_DIR / SPEC_JSON,
        train=RUN_DIR / TRAIN_JSON,
        store=store_of,
    output:
        RUN_DIR / EVALUATE_JSON,
    log:
        RUN_DIR / LOGS / "evaluate.log",
    conda:
        "../../envs/environment.yaml"
    threads: threads_of("evaluate")
    resources:
        local_slots=local_slots("evaluate"),
    params:
        job=job_arguments("evaluate"),
        sources=MEASURING_SOURCES,
        run_dir=lambda wildcards, output: Path(output[0]).parent,
        store=lambda wildcards, input: Path(input.store).parent,
        cache=lambda wildcards, output: layout.cache,
        weights=lambda wildcards, output: weights_arguments(),
    message:
        "evaluate {wildcards.experiment}, seed {wildcards.seed}"
    shell:
        "exec msgbench launch {params.job:q} --run-dir {params.run_dir:q} --output {output:q} --log {log:q}"
        " -- msgbench evaluate {params.run_dir:q} --store {params.store:q} --cache {params.cache:q}"
        " --log {log:q} {params.weights:q}"


rule evaluate_real:
    input:
        DATASET_DIR / MANIFEST_JSON,
        test=test_store_of,
    output:
        DATASET_DIR / REAL_JSON,
    log:
        layout.log("evaluate-real-{dataset}-{fp}"),
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        local_slots=local_slots("evaluate_real"),
    params:
        job=job_arguments("evaluate_real"),
        job_dir=lambda wildcards, output: layout.job_dir(
            f"evaluate-real-{wildcards.dataset}-{wildcards.fp}"
        ),
        sources=MEASURING_SOURCES,
        protocols=lambda wildcards: ",".join(real_protocols(wildcards.dataset)),
        tier=benchmark.tier,
        mirror=lambda wildcards: ["--mirror"] if dataset_of(wildcards).mirror else [],
        test=lambda wildcards, input: (
            ["--test-store", Path(input.test).parent] if input.test else []
        ),
        store=lambda wildcards, input: Path(input[0]).parent,
        cache=lambda wildcards, output: layout.cache,
        weights=lambda wildcards, output: weights_arguments(),
    message:
        "evaluate the real images of {wildcards.dataset}"
    shell:
        "exec msgbench launch {params.job:q} --run-dir {params.job_dir:q} --output {output:q} --log {log:q}"
        " -- msgbench evaluate --real {params.store:q} --protocols {params.protocols} --tier {params.tier}"
        " --out {output:q} --cache {params.cache:q} --log {log:q} {params.mirror:q} {params.test:q}"
        " {params.weights:q}"


# The picture sets of every run, drawn after the measurements have said which snapshot is the best. `all` needs only
# those that its figures show. The pictures lie undeclared in the folder beside the manifest.
rule samples:
    input:
        [
            file
            for table in benchmark.tables_of_all()
            for file in in_runs(SAMPLES_JSON, experiments_of(table))
        ],
    message:
        "target samples"


rule sample:
    input:
        lambda wildcards: (
            layout.run_dir(wildcards.experiment, wildcards.fp, wildcards.seed)
            / chosen_by(wildcards.experiment)
        ),
    output:
        RUN_DIR / SAMPLES_JSON,
    log:
        RUN_DIR / LOGS / "sample.log",
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        local_slots=local_slots("sample"),
    params:
        job=job_arguments("sample"),
        job_dir=lambda wildcards, output: layout.job_dir(
            f"sample-{wildcards.experiment}-{wildcards.fp}-seed{wildcards.seed}"
        ),
        sources=PICTURE_SOURCES,
        run_dir=lambda wildcards, output: Path(output[0]).parent,
    message:
        "sample {wildcards.experiment}, seed {wildcards.seed}"
    shell:
        "exec msgbench launch {params.job:q} --run-dir {params.job_dir:q} --output {output:q} --log {log:q}"
        " -- msgbench sample {params.run_dir:q} --at best-or-final --out {output:q} --log {log:q}"


# The picture sets that the figures of `all` show, by one process: at small sizes most of its time is the start of
# torch. They lie where the rule above puts them, with the manifest of each run.
rule samples_of_all:
    input:
        [
            in_runs(chosen_by(experiment), [experiment])[0]
            for experiment in pictured(benchmark.figures_of_all())
        ],
    output:
        layout.pictures_json,
    log:
        layout.log("samples-of-all"),
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        local_slots=local_slots("samples_of_all"),
    params:
        job=job_arguments("samples_of_all"),
        job_dir=lambda wildcards, output: layout.job_dir("samples-of-all"),
        sources=PICTURE_SOURCES,
        run_dirs=lambda wildcards, input: [Path(file).parent for file in input],
    message:
        "samples of all"
    shell:
        "exec msgbench launch {params.job:q} --run-dir {params.job_dir:q} --output {output:q} --log {log:q}"
        " -- msgbench sample {params.run_dirs:q} --each --at best-or-final --out {output:q} --log {log:q}"


# Any experiment can be asked for by its name, also one that no table shows.
for name in benchmark.experiments:

    rule:
        name:
            name
        input:
            in_runs(EVALUATE_JSON, [name]),
        message:
            "target {rule}"
