# Predictions -> scores, comparisons, fairness and calibration. A new metric needs no new training.


rule evaluate:
    input:
        predictions=lambda w: graph.run_files(w.task, "predictions.parquet"),
        embeddings=lambda w: graph.run_files(w.task, "embeddings.parquet"),
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
        report=STUDY.report.model_dump_json(
            include={
                "bootstrap",
                "confidence",
                "alternative",
                "group_clips",
                "baseline",
            }
        ),
        outputs=lambda w: STUDY.tasks[w.task].outputs,
        score=lambda w: STUDY.tasks[w.task].score,
        comparisons=lambda w: graph.comparisons(w.task),
        code=lambda w: graph.evaluation_code(w.task),
    shell:
        "python -m emoadapt evaluate {wildcards.task} {input.predictions} --folder results/metrics 2> {log}"


rule quarantine:
    input:
        graph.all_features(),
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
        code=code_of("cli.collect_quarantine"),
    shell:
        "python -m emoadapt collect-quarantine --output {output} 2> {log}"


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
        recogniser=lambda w: graph.recogniser_state(),
        code=code_of("cli.word_errors"),
    shell:
        "python -m emoadapt word-errors {params.corpora} --output {output} 2> {log}"
