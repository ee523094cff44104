# Media -> audio, and what is computed from it: one rule for each feature, as its module declares it (emoadapt.features.base).


def media_of_shard(feature):
    return lambda wildcards: graph.media_ready(
        feature, wildcards.corpus, wildcards.shard
    )


def recipe_of(feature):
    # Asked for when a job needs it: a feature that is not in use may lack its library or weights.
    return lambda wildcards: graph.recipe(feature, wildcards.corpus)


def tables_of(feature):
    names = graph.feature_tables(feature)
    return lambda wildcards, input: [input[name] for name in names]


for feature in graph.features():
    job = graph.feature_job(feature)

    rule:
        name:
            feature
        input:
            **graph.feature_tables(feature),
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
            tables=tables_of(feature),
        # Read when the job runs, when the loop is over: only what Snakemake hands over may stand here.
        shell:
            "python -m emoadapt extract {rule} {wildcards.corpus} {params.tables} --output {output} "
            "--threads {threads} 2> {log}"
