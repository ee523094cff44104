# Predictions -> scores, comparisons, fairness and calibration. A new metric needs no new training.


rule evaluate:
    input:
        unpack(inputs_of("evaluate")),
    output:
        multiext(
            "results/metrics/{task}",
            ".parquet",
            ".confusion.parquet",
            ".comparisons.parquet",
            ".fairness.parquet",
            ".calibration.parquet",
            ".reliability.parquet",
            ".coverage.parquet",
        ),
    log:
        "logs/evaluate/{task}.log",
    benchmark:
        "results/benchmarks/evaluate/{task}.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=60,
    params:
        made=made_of("evaluate"),
    shell:
        "python -m emoadapt evaluate {wildcards.task} --folder results/metrics --made {params.made} 2> {log}"


rule quarantine:
    input:
        unpack(inputs_of("quarantine")),
    output:
        "results/quarantine.parquet",
    log:
        "logs/quarantine.log",
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=30,
    params:
        made=made_of("quarantine"),
    shell:
        "python -m emoadapt collect-quarantine --output {output} --made {params.made} 2> {log}"


rule word_errors:
    input:
        unpack(inputs_of("word_errors")),
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
        made=made_of("word_errors"),
    shell:
        "python -m emoadapt word-errors --output {output} --made {params.made} 2> {log}"
