# Corpus on disk -> manifest shards (what there is) -> splits of a task (who is trained and tested on, with which labels).


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
        mem_mb=growing(2000),
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
        mem_mb=growing(1000),
        runtime=20,
    params:
        state=lambda w: graph.manifest_state(w.corpus, w.shard),
    shell:
        "python -m emoadapt manifest {wildcards.corpus} {wildcards.shard} --state {params.state} --output {output} 2> {log}"


rule split:
    input:
        lambda w: [
            path
            for corpus in graph.task_corpora(w.task)
            for path in graph.manifests(corpus)
        ],
    output:
        "results/splits/{task}/{partition}.parquet",
    log:
        "logs/split/{task}/{partition}.log",
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=20,
    params:
        manifests=lambda w, input: fold_paths(input),
        labels=lambda w: graph.label_states(w.task),
        split=lambda w: graph.split_state(w.task, int(w.partition)),
        code=code_of("cli.split"),
    shell:
        'python -m emoadapt split {wildcards.task} {wildcards.partition} {params.manifests} --labels "{params.labels}" '
        "--output {output} 2> {log}"


# Leaks stop a study here, before hours are spent on it: therefore the priority. The table is no input of the trainings, each
# of which looks for itself (`finetune --manifests`): a leak that is only reported must not retrain anything, and an input
# marked as `ancient` would keep Snakemake from seeing what else had changed for a training whenever this rule runs, too.
rule leaks:
    input:
        manifests=lambda w: graph.leak_manifests(w.task, STUDY.adaptations_of(w.task)),
        splits=lambda w: graph.split_tables(w.task),
    output:
        "results/leaks/{task}.parquet",
    log:
        "logs/leaks/{task}.log",
    priority: 100
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=20,
    params:
        manifests=lambda w, input: fold_paths(input.manifests),
        rules=lambda w: graph.leak_state(w.task),
        code=code_of("cli.leaks"),
    shell:
        "python -m emoadapt leaks {wildcards.task} {params.manifests} --output {output} 2> {log}"
