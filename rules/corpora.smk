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
        made=made_of("make_demo"),
        outside=outside_of("make_demo"),
    shell:
        "python -m emoadapt make-demo {wildcards.corpus} {wildcards.shard} --state {params.outside} --output {output} "
        "--made {params.made} 2> {log}"


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
        made=made_of("manifest"),
        outside=outside_of("manifest"),
    shell:
        "python -m emoadapt manifest {wildcards.corpus} {wildcards.shard} --state {params.outside} --output {output} "
        "--made {params.made} 2> {log}"


rule split:
    input:
        unpack(inputs_of("split")),
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
        made=made_of("split"),
        outside=outside_of("split"),
    shell:
        'python -m emoadapt split {wildcards.task} {wildcards.partition} --labels "{params.outside}" --output {output} '
        "--made {params.made} 2> {log}"


# The same table without the labels of a target, for trainings. It is made again if a clip joins or leaves the target, but not if a clip
# of the target changes from one class of the task to another.
rule divide:
    input:
        unpack(inputs_of("divide")),
    output:
        "results/divisions/{task}/{partition}.parquet",
    log:
        "logs/divide/{task}/{partition}.log",
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=20,
    params:
        made=made_of("divide"),
        outside=outside_of("divide"),
    shell:
        'python -m emoadapt divide {wildcards.task} {wildcards.partition} --members "{params.outside}" --output {output} '
        "--made {params.made} 2> {log}"


# Leaks stop a study here, before hours are spent on it: therefore the priority. The table is no input of the trainings, each
# of which looks for itself: a leak that is only reported must not retrain anything, and an input marked as `ancient` would keep
# Snakemake from seeing what else had changed for a training whenever this rule runs, too.
rule leaks:
    input:
        unpack(inputs_of("leaks")),
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
        made=made_of("leaks"),
    shell:
        "python -m emoadapt leaks {wildcards.task} --output {output} --made {params.made} 2> {log}"
