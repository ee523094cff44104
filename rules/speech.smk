# Audio -> acoustic descriptors, and the cached output of frozen CNN encoders.


rule egemaps:
    input:
        "results/features/audio/{corpus}/{shard}.parquet",
    output:
        "results/features/egemaps/{corpus}/{shard}.parquet",
    log:
        "logs/egemaps/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/egemaps/{corpus}/{shard}.tsv"
    conda:
        "../envs/core.yaml"
    threads: STUDY.extraction_threads
    resources:
        mem_mb=growing(1500, per_thread=500),
        runtime=120,
    params:
        recipe=recipe_of("egemaps"),
    shell:
        "python -m emoadapt extract egemaps {wildcards.corpus} {input} --output {output} --threads {threads} 2> {log}"


# The other sets of openSMILE descriptors, each a feature of its own.
rule acoustics:
    input:
        "results/features/audio/{corpus}/{shard}.parquet",
    output:
        "results/features/{descriptors}/{corpus}/{shard}.parquet",
    log:
        "logs/{descriptors}/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/{descriptors}/{corpus}/{shard}.tsv"
    wildcard_constraints:
        descriptors="egemaps_functionals|egemaps_frames|compare_functionals|compare_frames",
    conda:
        "../envs/core.yaml"
    threads: STUDY.extraction_threads
    resources:
        mem_mb=growing(1500, per_thread=500),
        runtime=120,
    params:
        recipe=lambda w: recipe_of(w.descriptors),
    shell:
        "python -m emoadapt extract {wildcards.descriptors} {wildcards.corpus} {input} "
        "--output {output} --threads {threads} 2> {log}"
