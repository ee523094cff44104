"""One Stage-2 job: the runs of a setting that share a process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emoadapt.data.targets import separate_cnn
from emoadapt.flow.grid import CLASSICAL, HANDCRAFTED, Run
from emoadapt.flow.shards import group_by_corpus

if TYPE_CHECKING:
    from emoadapt.config import Study


def run_setting(
    study: Study,
    task: str,
    backbone: str,
    start: str,
    subset: str,
    shards: Sequence[Path],
    runs: Sequence[str],
    splits: Path,
    subsets: Path,
    output: Path,
    model: Path | None,
    threads: int,
) -> None:
    """Train and test the runs of a setting.

    Args:
        study: the study.
        task: labelled task.
        backbone: backbone, or `handcrafted`.
        start: `original`, an adaptation, or `egemaps`.
        subset: number of training clips, or `full`.
        shards: audio shards (eGeMAPS shards for the handcrafted baseline), and those of the CNN's cached output
            where it is frozen, `<feature>/<corpus>/<shard>.parquet`.
        runs: names of runs, `r<resampling>f<fold>s<seed>`.
        splits: SPLITS table.
        subsets: SUBSETS table.
        output: folder of predictions, embeddings, curves and models.
        model: Stage-1 model to start from; None for the original.
        threads: threads the job may use.
    """
    parsed = [Run.parse(run) for run in runs]
    todo = [(run.resampling, run.fold, run.seed) for run in parsed]
    models = output / "models"
    models.mkdir(parents=True, exist_ok=True)
    results = (output / "predictions.parquet", output / "embeddings.parquet", output / "curves.parquet", models)
    if (backbone, start) == CLASSICAL:
        from emoadapt.training.classical import train_classical

        train_classical(study, task, subset, todo, group_by_corpus(shards), splits, subsets, *results)
        return
    if (backbone, start) == HANDCRAFTED:
        from emoadapt.training.handcrafted import train_handcrafted

        train_handcrafted(study, task, subset, todo, group_by_corpus(shards), splits, subsets, *results, threads)
        return
    from emoadapt.training.stage2 import finetune

    audio, cnn = separate_cnn(shards)
    finetune(
        study, task, backbone, start, subset, todo, model, group_by_corpus(audio), group_by_corpus(cnn) or None, splits, subsets, *results,
        threads,
    )  # fmt: skip
