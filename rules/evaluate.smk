# Predictions -> metrics, F1 bias, cosine distance, paired tests. A new metric needs no new training.


rule evaluate:
    input:
        predictions=lambda w: graph.run_files(w.task, "predictions.parquet"),
        embeddings=lambda w: graph.run_files(w.task, "embeddings.parquet"),
    output:
        metrics="results/metrics/{task}.parquet",
        confusion="results/metrics/{task}.confusion.parquet",
        comparisons="results/metrics/{task}.comparisons.parquet",
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
        report=[STUDY.report.bootstrap, STUDY.report.confidence],
        classes=lambda w: STUDY.tasks[w.task].outputs,
        comparisons=lambda w: graph.comparisons(w.task),
        code=lambda w: graph.evaluation_code(w.task),
    shell:
        "python -m emoadapt evaluate {wildcards.task} {input.predictions} "
        "--metrics {output.metrics} --confusion {output.confusion} --comparisons {output.comparisons} 2> {log}"


# How fair and how calibrated the predictions are. Fast, and apart from `evaluate`, which draws bootstrap samples.
rule audit:
    input:
        lambda w: graph.run_files(w.task, "predictions.parquet"),
    output:
        fairness="results/metrics/{task}.fairness.parquet",
        calibration="results/metrics/{task}.calibration.parquet",
        reliability="results/metrics/{task}.reliability.parquet",
        coverage="results/metrics/{task}.coverage.parquet",
    log:
        "logs/audit/{task}.log",
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=30,
    params:
        group_clips=STUDY.report.group_clips,
        classes=lambda w: STUDY.tasks[w.task].classes,
        code=code_of("evaluation.audit"),
    shell:
        "python -m emoadapt audit {wildcards.task} {input} --fairness {output.fairness} --calibration {output.calibration} "
        "--reliability {output.reliability} --coverage {output.coverage} 2> {log}"


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
        code=code_of("data.quarantine"),
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
        recogniser=graph.recogniser_state(),
        code=code_of("evaluation.word_errors"),
    shell:
        "python -m emoadapt word-errors {params.corpora} --output {output} 2> {log}"
