# Media -> audio. Video is streamed by the face rules, never stored.


rule extract_audio:
    input:
        manifest="results/manifests/{corpus}/{shard}.parquet",
        ready=media_of_shard,
    output:
        "results/features/audio/{corpus}/{shard}.parquet",
    log:
        "logs/extract_audio/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/extract_audio/{corpus}/{shard}.tsv"
    conda:
        "../envs/core.yaml"
    threads: STUDY.extraction_threads
    resources:
        mem_mb=growing(1800, per_thread=200),
        runtime=120,
    params:
        recipe=recipe_of("audio"),
    shell:
        "python -m emoadapt extract audio {wildcards.corpus} {input.manifest} --output {output} --threads {threads} 2> {log}"
