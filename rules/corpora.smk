# Corpus on disk -> manifest shards (what there is) and a table of labels (what is said of it).


rule make_demo:
    output:
        "results/demo/{corpus}/{shard}.json",
    log:
        "logs/make_demo/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/make_demo/{corpus}/{shard}.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        plan=lambda w: graph.demo_state(w.corpus, w.shard),
    shell:
        "python -m emoadapt make-demo {wildcards.corpus} {wildcards.shard} --output {output} 2> {log}"


rule manifest:
    output:
        "results/manifests/{corpus}/{shard}.parquet",
    log:
        "logs/manifest/{corpus}/{shard}.log",
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        state=lambda w: graph.manifest_state(w.corpus, w.shard),
    shell:
        "python -m emoadapt manifest {wildcards.corpus} {wildcards.shard} --output {output} 2> {log}"


rule labels:
    output:
        "results/labels/{corpus}.parquet",
    log:
        "logs/labels/{corpus}.log",
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        state=lambda w: graph.labels_state(w.corpus),
    shell:
        "python -m emoadapt labels {wildcards.corpus} --output {output} 2> {log}"


rule split:
    input:
        manifests=lambda w: [
            path
            for corpus in graph.task_corpora(w.task)
            for path in graph.manifests(corpus)
        ],
        labels=lambda w: expand(
            "results/labels/{corpus}.parquet", corpus=graph.task_corpora(w.task)
        ),
    output:
        "results/splits/{task}.parquet",
    log:
        "logs/split/{task}.log",
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        split=lambda w: graph.split_state(w.task),
        code=code_of("corpora.tasks"),
    shell:
        'python -m emoadapt split {wildcards.task} {input.manifests} --labels "{input.labels}" '
        "--output {output} 2> {log}"


rule subset:
    input:
        "results/splits/{task}.parquet",
    output:
        "results/subsets/{task}/{subset}.parquet",
    log:
        "logs/subset/{task}/{subset}.log",
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        resamplings=lambda w: graph.resamplings(w.task, w.subset),
        code=code_of("corpora.tasks"),
    shell:
        "python -m emoadapt subset {wildcards.task} {wildcards.subset} {input} --output {output} 2> {log}"
