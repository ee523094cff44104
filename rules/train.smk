# Trainings: outputs of frozen backbones, Stage 1 (one model for all tasks), Stage 2 (runs on a task). Which methods there are,
# and what each reads, is decided by the study and the plug-ins of `emoadapt.methods`.


# Output of a frozen backbone, computed once for each clip.
rule keep:
    input:
        unpack(inputs_of("keep")),
    output:
        "results/features/{kind}.{source}/{corpus}/{shard}.parquet",
    log:
        "logs/keep/{kind}.{source}/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/keep/{kind}.{source}/{corpus}/{shard}.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=growing(6000),
        runtime=240,
        gpu=min(1, graph.stage1_gpus()),
    params:
        made=made_of("keep"),
    shell:
        "python -m emoadapt keep {wildcards.kind} {wildcards.source} {wildcards.corpus} {wildcards.shard} --output {output} "
        "--made {params.made} --threads {threads} 2> {log}"


# Stage 1: a backbone learns to predict the targets from speech alone.
rule adapt:
    input:
        unpack(inputs_of("adapt")),
    output:
        model=directory("results/models/{backbone}.{adaptation}"),
        curves="results/curves/{backbone}.{adaptation}.parquet",
    log:
        "logs/adapt/{backbone}.{adaptation}.log",
    benchmark:
        "results/benchmarks/adapt/{backbone}.{adaptation}.tsv"
    priority: 1  # more waits for it than for any other
    conda:
        "../envs/core.yaml"
    threads: STUDY.training_threads
    resources:
        mem_mb=memory_of_training(graph.stage1_gpus()),
        runtime=2880,
        gpu=graph.stage1_gpus(),
        nodes=1,
    params:
        made=made_of("adapt"),
    shell:
        # In place of the shell, so that a cluster's signals come to the run, which keeps its state before it ends.
        "exec python -m emoadapt adapt {wildcards.backbone} {wildcards.adaptation} "
        "--output {output.model} --curves {output.curves} --made {params.made} --threads {threads} 2> {log}"


# Stage 2: train a model on a task and keep every prediction. What is kept of training clips, other trainings may need.
rule train:
    input:
        unpack(inputs_of("train")),
    output:
        predictions="results/runs/{task}/{model}/{subset}/{batch}/predictions.parquet",
        embeddings="results/runs/{task}/{model}/{subset}/{batch}/embeddings.parquet",
        curves="results/runs/{task}/{model}/{subset}/{batch}/curves.parquet",
        training_clips="results/runs/{task}/{model}/{subset}/{batch}/training_clips.parquet",
        models=directory("results/runs/{task}/{model}/{subset}/{batch}/models"),
    log:
        "logs/train/{task}/{model}/{subset}/{batch}.log",
    benchmark:
        "results/benchmarks/train/{task}/{model}/{subset}/{batch}.tsv"
    conda:
        "../envs/core.yaml"
    threads: lambda w: graph.training_threads(setting_of(w))
    resources:
        mem_mb=memory_of_run,
        runtime=1440,
        gpu=lambda w: graph.training_gpus(setting_of(w)),
        nodes=1,
    params:
        runs=lambda w: " ".join(map(str, runs_of(w))),
        folder=subpath(output.predictions, parent=True),
        made=made_of("train"),
    shell:
        # In place of the shell: see rule adapt.
        "exec python -m emoadapt train {wildcards.task} {wildcards.model} {wildcards.subset} "
        '--runs "{params.runs}" --output {params.folder} --made {params.made} --threads {threads} 2> {log}'


# A classifier on frozen layers or descriptors to predict with; there are such jobs only where `keep_models` keeps classifiers.
rule refit:
    input:
        unpack(inputs_of("refit")),
    output:
        directory("results/refits/{task}/{model}/{subset}/models"),
    log:
        "logs/refit/{task}/{model}/{subset}.log",
    benchmark:
        "results/benchmarks/refit/{task}/{model}/{subset}.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=growing(6000),
        runtime=240,
    params:
        made=made_of("refit"),
    shell:
        # In place of the shell: see rule adapt.
        "exec python -m emoadapt refit {wildcards.task} {wildcards.model} {wildcards.subset} "
        "--output {output} --made {params.made} --threads {threads} 2> {log}"
