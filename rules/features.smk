# Media -> audio, and what is computed from it: one rule for each feature, as its module declares it (emoadapt.features.base).


def media_of_shard(feature):
    return lambda wildcards: graph.media_ready(
        feature, wildcards.corpus, wildcards.shard
    )


def recipe_of(feature):
    # Asked for when a job needs it: a feature that is not in use may lack its library or weights.
    return lambda wildcards: graph.recipe(feature)


for feature in graph.features():
    job, tables = graph.feature_job(feature), graph.feature_tables(feature)

    rule:
        name:
            feature
        input:
            **tables,
            ready=media_of_shard(feature),
        output:
            f"results/features/{feature}/{{corpus}}/{{shard}}.parquet",
        log:
            f"logs/{feature}/{{corpus}}/{{shard}}.log",
        benchmark:
            f"results/benchmarks/{feature}/{{corpus}}/{{shard}}.tsv"
        conda:
            "../envs/core.yaml"
        threads: job.threads
        resources:
            mem_mb=growing(job.memory_mb, per_thread=job.memory_mb_per_thread),
            runtime=job.minutes,
            gpu=job.gpus,
        params:
            recipe=recipe_of(feature),
        message:
            f"{feature} of {{wildcards.corpus}}, shard {{wildcards.shard}}"
        shell:
            f"python -m emoadapt extract {feature} {{wildcards.corpus}} {' '.join(f'{{input.{name}}}' for name in tables)} "
            "--output {output} --threads {threads} 2> {log}"


# The cached output of frozen CNN encoders.
rule encode_cnn:
    input:
        audio="results/features/audio/{corpus}/{shard}.parquet",
        model=lambda w: graph.cnn_model(w.source),
    output:
        "results/features/cnn.{source}/{corpus}/{shard}.parquet",
    log:
        "logs/encode_cnn/{source}/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/encode_cnn/{source}/{corpus}/{shard}.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=growing(6000),
        runtime=240,
        gpu=lambda w: min(1, graph.training_gpus(w.source.split(".")[0])),
    params:
        backbone=lambda w: w.source.split(".")[0],
        state=lambda w: graph.cnn_state(w.source),
        model=lambda w, input: f"--model {input.model}" if input.get("model") else "",
        code=lambda w: graph.cnn_code(w.source),
    shell:
        "python -m emoadapt extract-cnn {params.backbone} {input.audio} {params.model} "
        "--output {output} --threads {threads} 2> {log}"
