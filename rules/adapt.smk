# Stage 1: a backbone learns to predict the targets from speech alone.


rule adapt:
    input:
        shards=lambda w: graph.training_shards(w.adaptation),
        cnn=lambda w: graph.stage1_cnn(w.backbone, w.adaptation),
        parts="results/targets/{adaptation}/parts.parquet",
        normalisers="results/targets/{adaptation}/normalisers.parquet",
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
    threads: graph.training_threads
    resources:
        mem_mb=lambda w: memory_of_training(graph.training_gpus(w.backbone)),
        runtime=2880,
        gpu=lambda w: graph.training_gpus(w.backbone),
        nodes=1,
    params:
        shards=lambda w, input: fold_paths([*input.shards, *input.cnn]),
        backbone=lambda w: graph.backbone_state(w.backbone),
        adaptation=lambda w: graph.stage1_state(w.adaptation),
        code=lambda w: graph.stage1_code(w.backbone, w.adaptation),
    shell:
        # In place of the shell, so that a cluster's signals come to the run, which keeps its state before it ends.
        "exec python -m emoadapt adapt {wildcards.backbone} {wildcards.adaptation} {params.shards} "
        "--parts {input.parts} --normalisers {input.normalisers} "
        "--output {output.model} --curves {output.curves} --threads {threads} 2> {log}"
