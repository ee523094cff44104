# Video -> face crops -> facial-expression embeddings.


rule detect_faces:
    input:
        manifest="results/manifests/{corpus}/{shard}.parquet",
        ready=media_of_shard,
    output:
        "results/features/faces/{corpus}/{shard}.parquet",
    log:
        "logs/detect_faces/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/detect_faces/{corpus}/{shard}.tsv"
    conda:
        "../envs/core.yaml"
    threads: STUDY.extraction_threads
    resources:
        mem_mb=growing(3000, per_thread=1000),
        runtime=720,
        gpu=graph.gpus_for("faces"),
    params:
        recipe=recipe_of("faces"),
    shell:
        "python -m emoadapt extract faces {wildcards.corpus} {input.manifest} --output {output} --threads {threads} 2> {log}"


rule embed_faces:
    input:
        "results/features/faces/{corpus}/{shard}.parquet",
    output:
        "results/features/face_embedding/{corpus}/{shard}.parquet",
    log:
        "logs/embed_faces/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/embed_faces/{corpus}/{shard}.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=240,
        gpu=graph.gpus_for("face_embedding"),
    params:
        recipe=recipe_of("face_embedding"),
    shell:
        "python -m emoadapt extract face_embedding {wildcards.corpus} {input} --output {output} --threads {threads} 2> {log}"
