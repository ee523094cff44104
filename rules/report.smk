# Tables, figures, one self-contained page. Reads Parquet, computes no metric.


rule report:
    input:
        unpack(inputs_of("report")),
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
        made=made_of("report"),
    shell:
        "python -m emoadapt report --tables {output.tables} --figures {output.figures} --page {output.page} "
        "--made {params.made} 2> {log}"
