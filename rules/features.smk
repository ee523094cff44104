# Media -> audio, and what is computed from it: one rule for each feature, as its module declares it (emoadapt.features.base).

for feature in graph.features():
    job = graph.feature_job(feature)

    rule:
        name:
            feature
        input:
            unpack(inputs_of("extract", feature=feature)),
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
            made=made_of("extract", feature=feature),
        # Read when the job runs, when the loop is over: only what Snakemake hands over may stand here.
        shell:
            "python -m emoadapt extract {rule} {wildcards.corpus} {wildcards.shard} --output {output} "
            "--made {params.made} --threads {threads} 2> {log}"
