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
