"""One Stage-2 job: the runs of a setting that share a process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emoadapt.data.targets import group_by_corpus
from emoadapt.flow.grid import HANDCRAFTED, Run

if TYPE_CHECKING:
    from emoadapt.config import Study


def run_setting(
    study: Study,
    task: str,
    backbone: str,
    start: str,
    subset: str,
    shards: Sequence[Path],
    cnn: Sequence[str],
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
        shards: audio shards (eGeMAPS shards for the handcrafted baseline), `<corpus>/<shard>.parquet`.
        cnn: cached CNN shards; empty where the CNN is trained.
        runs: names of runs, `r<resampling>f<fold>s<seed>`.
        splits: SPLITS table.
        subsets: SUBSETS table.
        output: folder of predictions, embeddings, curves and models.
        model: Stage-1 model to start from; None for the original.
        threads: threads the job may use.
    """
    parsed = [Run.parse(run) for run in runs]
    todo = [(run.resampling, run.fold, run.seed) for run in parsed]
    tables = (output / "predictions.parquet", output / "embeddings.parquet", output / "curves.parquet")
    (output / "models").mkdir(parents=True, exist_ok=True)
    if (backbone, start) == HANDCRAFTED:
        from emoadapt.training.handcrafted import train_handcrafted

        train_handcrafted(study, task, subset, todo, group_by_corpus(shards), splits, subsets, *tables, threads)
        return
    from emoadapt.training.stage2 import finetune

    cached = group_by_corpus(map(Path, cnn)) or None
    finetune(
        study, task, backbone, start, subset, todo, model, group_by_corpus(shards), cached, splits, subsets, *tables,
        output / "models", threads,
    )  # fmt: skip
