# Features -> targets: held-out part, normalisers fitted on the rest, training shards with masks.


rule parts:
    input:
        unpack(inputs_of("parts")),
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
        made=made_of("parts"),
    shell:
        "python -m emoadapt parts {wildcards.adaptation} --output {output} --made {params.made} 2> {log}"


rule normalisers:
    input:
        unpack(inputs_of("normalisers")),
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
        made=made_of("normalisers"),
    shell:
        "python -m emoadapt normalisers {wildcards.adaptation} --output {output} --made {params.made} 2> {log}"


rule training_shard:
    input:
        unpack(inputs_of("training_shard")),
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
        made=made_of("training_shard"),
    shell:
        "python -m emoadapt training-shard {wildcards.objectives} {wildcards.corpus} {wildcards.shard} --output {output} "
        "--made {params.made} 2> {log}"
