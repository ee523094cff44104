# Stage 2: fine-tune original, adapted and handcrafted models, and keep every prediction.


rule finetune:
    input:
        unpack(lambda w: graph.stage2_inputs(w.task, w.backbone, w.start)),
        splits="results/splits/{task}.parquet",
        subsets="results/subsets/{task}/{subset}.parquet",
        manifests=lambda w: graph.leak_inputs(w.task, w.start),
    output:
        predictions="results/runs/{task}/{backbone}.{start}/{subset}/{batch}/predictions.parquet",
        embeddings="results/runs/{task}/{backbone}.{start}/{subset}/{batch}/embeddings.parquet",
        curves="results/runs/{task}/{backbone}.{start}/{subset}/{batch}/curves.parquet",
        models=directory(
            "results/runs/{task}/{backbone}.{start}/{subset}/{batch}/models"
        ),
    log:
        "logs/finetune/{task}/{backbone}.{start}/{subset}/{batch}.log",
    benchmark:
        "results/benchmarks/finetune/{task}/{backbone}.{start}/{subset}/{batch}.tsv"
    conda:
        "../envs/core.yaml"
    threads: graph.training_threads
    resources:
        mem_mb=lambda w: memory_of_training(graph.training_gpus(w.backbone, w.task)),
        runtime=1440,
        gpu=lambda w: graph.training_gpus(w.backbone, w.task),
        nodes=1,
    params:
        runs=lambda w: " ".join(
            graph.run_names(w.task, w.backbone, w.start, w.subset, w.batch)
        ),
        folder=subpath(output.predictions, parent=True),
        manifests=lambda w, input: fold_paths(input.manifests),
        shards=lambda w, input: fold_paths([*input.shards, *input.get("cnn", [])]),
        model=lambda w, input: f"--model {input.model}" if input.get("model") else "",
        training=lambda w: graph.stage2_state(w.task, w.backbone, w.start),
        code=lambda w: graph.stage2_code(w.backbone, w.start),
    shell:
        # In place of the shell: see rule adapt.
        "exec python -m emoadapt finetune {wildcards.task} {wildcards.backbone} {wildcards.start} {wildcards.subset} "
        '{params.shards} --runs "{params.runs}" {params.model} --splits {input.splits} '
        "--subsets {input.subsets} --manifests '{params.manifests}' --output {params.folder} --threads {threads} 2> {log}"
