# Datasets: from your copy, or from the project's own drawings, to a packed store.


rule datasets:
    input:
        all_of("datasets", in_store(MANIFEST_JSON, benchmark.planned_datasets())),
    message:
        "target datasets"


# Any dataset can be asked for by its name, also one that is not configured: that is an error in one sentence.
for name in benchmark.datasets:

    rule:
        name:
            f"dataset-{name}"
        input:
            in_store(MANIFEST_JSON, [name]),
        message:
            "target {rule}"


# One job for each dataset. Photographs are decoded on all cores: those of the machine, or of its Slurm job
# (`cluster.prepare` in config.yaml), whose time limit costs nothing but a new start.
rule prepare:
    output:
        DATASET_DIR / MANIFEST_JSON,
    log:
        layout.log("prepare-{dataset}-{fp}"),
    conda:
        "../../envs/environment.yaml"
    threads: threads_to_prepare
    resources:
        local_slots=local_slots("prepare"),
    params:
        job=job_arguments("prepare"),
        job_dir=lambda wildcards, output: layout.job_dir(
            f"prepare-{wildcards.dataset}-{wildcards.fp}"
        ),
        recipe=lambda wildcards: dataset_of(wildcards).fingerprint,
        source=lambda wildcards: source_of(wildcards),
        format=DATASET_FORMAT,
        store=lambda wildcards, output: Path(output[0]).parent,
        config=lambda wildcards, output: [*CONFIG_ARGUMENTS, *split_arguments(wildcards)],
    message:
        "prepare {wildcards.dataset}"
    shell:
        "exec msgbench launch {params.job:q} --run-dir {params.job_dir:q} --output {output:q} --log {log:q}"
        " -- msgbench prepare {wildcards.dataset} --store {params.store:q} --log {log:q} {params.config:q}"


# The error of a target whose datasets are not all configured, after everything that can be made was made.
rule left_out:
    input:
        lambda wildcards: MADE_BY[wildcards.target][0],
    output:
        layout.left_out("{target}"),
    log:
        layout.log("left-out-{target}"),
    conda:
        "../../envs/environment.yaml"
    params:
        names=lambda wildcards: MADE_BY[wildcards.target][1] or [],
        config=lambda wildcards, output: CONFIG_ARGUMENTS,
    message:
        "what {wildcards.target} leaves out"
    shell:
        "msgbench left-out {params.names:q} --log {log:q} {params.config:q}"
