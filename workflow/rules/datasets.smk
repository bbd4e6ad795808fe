# Datasets: from your copy, or from the project's own drawings, to a packed store.


rule datasets:
    input:
        in_store(MANIFEST_JSON, benchmark.table_datasets()),
    message:
        "target datasets"


rule prepare:
    output:
        DATASET_DIR / MANIFEST_JSON,
    log:
        layout.log("prepare-{dataset}-{fp}"),
    conda:
        "../../envs/environment.yaml"
    resources:
        local_slots=local_slots("prepare"),
    params:
        job=job_arguments("prepare"),
        job_dir=lambda wildcards, output: layout.job_dir(
            f"prepare-{wildcards.dataset}-{wildcards.fp}"
        ),
        recipe=lambda wildcards: dataset_of(wildcards).fingerprint,
        source=lambda wildcards: dataset_of(wildcards).path or "drawn by msgbench",
        format=DATASET_FORMAT,
        store=lambda wildcards, output: Path(output[0]).parent,
        config=lambda wildcards, output: [*CONFIG_ARGUMENTS, *split_arguments(wildcards)],
    message:
        "prepare {wildcards.dataset}"
    shell:
        "exec msgbench launch {params.job:q} --run-dir {params.job_dir:q} --output {output:q} --log {log:q}"
        " -- msgbench prepare {wildcards.dataset} --store {params.store:q} --log {log:q} {params.config:q}"
