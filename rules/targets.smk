# Features -> targets: held-out part, normalisers fitted on the rest, training shards with masks.


rule parts:
    input:
        lambda w: [
            path
            for c in STUDY.adaptations[w.adaptation].corpora
            for path in graph.manifests(c)
        ],
    output:
        "results/targets/{adaptation}/parts.parquet",
    log:
        "logs/parts/{adaptation}.log",
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=20,
    params:
        manifests=lambda w, input: fold_paths(input),
        held_out=lambda w: STUDY.adaptations[w.adaptation].held_out,
        seed=lambda w: STUDY.adaptations[w.adaptation].seed,
        code=code_of("cli.parts"),
    shell:
        "python -m emoadapt parts {wildcards.adaptation} {params.manifests} --output {output} 2> {log}"


rule normalisers:
    input:
        features=lambda w: graph.normaliser_inputs(w.adaptation),
        parts="results/targets/{adaptation}/parts.parquet",
    output:
        "results/targets/{adaptation}/normalisers.parquet",
    log:
        "logs/normalisers/{adaptation}.log",
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=30,
    params:
        features=lambda w, input: fold_paths(input.features),
        scope=lambda w: STUDY.adaptations[w.adaptation].normalise,
        code=lambda w: graph.normaliser_code(w.adaptation),
    shell:
        "python -m emoadapt normalisers {wildcards.adaptation} {params.features} --parts {input.parts} "
        "--output {output} 2> {log}"


rule training_shard:
    input:
        lambda w: graph.training_inputs(w.objectives, w.corpus, w.shard),
    output:
        "results/training/{objectives}/{corpus}/{shard}.parquet",
    log:
        "logs/training_shard/{objectives}/{corpus}/{shard}.log",
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=30,
    params:
        targets=lambda w: graph.training_columns(w.objectives),
        code=code_of("cli.training_shard"),
    shell:
        "python -m emoadapt training-shard {input} --objectives {wildcards.objectives} --output {output} 2> {log}"
