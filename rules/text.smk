# Audio -> transcript -> sentiment pseudo-label.


rule transcribe:
    input:
        manifest="results/manifests/{corpus}/{shard}.parquet",
        audio="results/features/audio/{corpus}/{shard}.parquet",
    output:
        "results/features/transcript/{corpus}/{shard}.parquet",
    log:
        "logs/transcribe/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/transcribe/{corpus}/{shard}.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1 if graph.gpus_for("transcript") else STUDY.extraction_threads
    resources:
        mem_mb=growing(6000),
        runtime=720,
        gpu=graph.gpus_for("transcript"),
    params:
        recipe=recipe_of("transcript"),
    shell:
        "python -m emoadapt extract transcript {wildcards.corpus} {input.manifest} {input.audio} --output {output} --threads {threads} 2> {log}"


rule sentiment:
    input:
        "results/features/transcript/{corpus}/{shard}.parquet",
    output:
        "results/features/sentiment/{corpus}/{shard}.parquet",
    log:
        "logs/sentiment/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/sentiment/{corpus}/{shard}.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=120,
        gpu=graph.gpus_for("sentiment"),
    params:
        recipe=recipe_of("sentiment"),
    shell:
        "python -m emoadapt extract sentiment {wildcards.corpus} {input} --output {output} --threads {threads} 2> {log}"


rule word_errors:
    input:
        manifests=lambda w: [
            path
            for corpus in graph.compared_corpora()
            for path in graph.manifests(corpus)
        ],
        transcripts=lambda w: [
            path
            for corpus in graph.compared_corpora()
            for path in graph.feature_shards("transcript", corpus)
        ],
    output:
        "results/metrics/word_errors.parquet",
    log:
        "logs/word_errors.log",
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=30,
    params:
        corpora=lambda w: graph.compared_corpora(),
        recogniser=graph.recogniser_state(),
        code=code_of("evaluation.word_errors"),
    shell:
        "python -m emoadapt word-errors {params.corpora} --output {output} 2> {log}"
