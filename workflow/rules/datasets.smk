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
        local_slots=1,
    params:
        recipe=lambda wildcards: dataset_of(wildcards).fingerprint,
        source=lambda wildcards: dataset_of(wildcards).path or "drawn by msgbench",
        format=DATASET_FORMAT,
        store=lambda wildcards, output: Path(output[0]).parent,
        config=lambda wildcards, output: CONFIG_ARGUMENTS,
    message:
        "prepare {wildcards.dataset}"
    shell:
        "msgbench prepare {wildcards.dataset} --store {params.store:q} --log {log:q} {params.config:q}"
