# Runs: an experiment with a seed, planned and trained in a folder that carries its fingerprint.


# The specs are asked for, too: a training takes its spec as `ancient`, and Snakemake does not look behind
# that at what is missing when a spec is all that it has to make again.
rule runs:
    input:
        in_runs(SPEC_JSON, benchmark.planned_experiments()),
        all_of("runs", in_runs(TRAIN_JSON, benchmark.planned_experiments())),
    message:
        "target runs"


# The spec's training half cannot change under its path; its measuring half can.
rule plan:
    output:
        RUN_DIR / SPEC_JSON,
    log:
        RUN_DIR / LOGS / "plan.log",
    conda:
        "../../envs/environment.yaml"
    params:
        fingerprint=lambda wildcards: experiment_of(wildcards).fingerprint,
        measuring=lambda wildcards: beside_fingerprint(wildcards),
        run_dir=lambda wildcards, output: Path(output[0]).parent,
        config=lambda wildcards, output: CONFIG_ARGUMENTS,
    message:
        "plan {wildcards.experiment}, seed {wildcards.seed}"
    shell:
        "msgbench plan {wildcards.experiment} --seed {wildcards.seed} --run-dir {params.run_dir:q}"
        " --log {log:q} {params.config:q}"


# Nothing here changes when rules, Python or machines change: no edit ever retrains. Where a training runs and
# what it asks for is read from the resources, and so never makes one run again.
rule train:
    input:
        spec=ancient(RUN_DIR / SPEC_JSON),
        store=store_of,
    output:
        RUN_DIR / TRAIN_JSON,
    log:
        RUN_DIR / LOGS / "train.log",
    conda:
        "../../envs/environment.yaml"
    threads: threads_of("train")
    resources:
        local_slots=local_slots("train"),
    params:
        job=job_arguments("train"),
        format=TRAINING_FORMAT,
        run_dir=lambda wildcards, output: Path(output[0]).parent,
        store=lambda wildcards, input: Path(input.store).parent,
    message:
        "train {wildcards.experiment}, seed {wildcards.seed}"
    shell:
        "exec msgbench launch {params.job:q} --run-dir {params.run_dir:q} --output {output:q} --log {log:q}"
        " -- msgbench train {params.run_dir:q} --store {params.store:q} --log {log:q}"
