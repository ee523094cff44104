# Tables, figures, one self-contained page. Reads Parquet, computes no metric.


rule report:
    input:
        metrics=expand(
            "results/metrics/{task}{table}.parquet",
            task=STUDY.tasks,
            table=["", ".confusion", ".comparisons"],
        ),
        audits=expand(
            "results/metrics/{task}.{table}.parquet",
            task=graph.audited_tasks(),
            table=["fairness", "calibration", "reliability", "coverage"],
        ),
        leaks=graph.leak_tables(),
        splits=[path for task in STUDY.tasks for path in graph.split_tables(task)],
        curves=expand("results/curves/{model}.parquet", model=graph.adapted_models()),
        runs=[
            path
            for task in STUDY.tasks
            for path in graph.run_files(task, "curves.parquet")
        ],
        manifests=graph.shown_manifests(),
        parts=expand(
            "results/targets/{adaptation}/parts.parquet",
            adaptation=graph.applied_adaptations(),
        ),
        quarantine="results/quarantine.parquet",
        word_errors=lambda w: graph.word_errors(),
    output:
        tables=report(
            directory("results/tables"),
            patterns=["{table}.csv"],
            caption="../workflow/report/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        figures=report(
            directory("results/figures"),
            patterns=["{figure}.svg"],
            caption="../workflow/report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        page=report(
            "results/report/index.html",
            caption="../workflow/report/page.rst",
            category="Report",
            labels={"page": "the whole study"},
        ),
    log:
        "logs/report.log",
    benchmark:
        "results/benchmarks/report.tsv"
    conda:
        "../envs/core.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=30,
    params:
        study=graph.report_state(),
        word_errors=lambda w, input: (
            f"--word-errors {input.word_errors}" if input.get("word_errors") else ""
        ),
        code=code_of("cli.report", "extraction.recipes", "flow.provenance"),
    shell:
        "python -m emoadapt report --tables {output.tables} --figures {output.figures} --page {output.page} "
        "{params.word_errors} 2> {log}"
