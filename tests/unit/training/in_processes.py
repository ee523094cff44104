"""What `test_processes.py` calls in processes of their own, which import it afresh."""

import os
import signal
from pathlib import Path
from typing import Any

from emoadapt.data.ranks import count_ranks, find_rank, gather
from emoadapt.errors import TrainingError


def adapt_all(folder: Path, studies: dict[str, Any]) -> None:
    """Stage 1 of each study, into `<name>.<number of processes>`."""
    from emoadapt.training.stage1 import adapt

    for name, study in studies.items():
        shards = {corpus: [folder / f"train.{corpus}.parquet"] for corpus in ("talk", "radio")}
        inputs = folder / "parts.parquet", folder / "normalisers.parquet"
        target = folder / f"{name}.{count_ranks()}"
        adapt(study, "tiny", "all", shards, None, *inputs, target, Path(f"{target}.curves.parquet"), 2)


def finetune_all(folder: Path, study: Any) -> None:
    """Stage 2, two runs, into `<number of processes>.<table>.parquet`."""
    from emoadapt.training.stage2 import finetune

    names = ("predictions", "embeddings", "curves")
    tables = {name: folder / f"{count_ranks()}.{name}.parquet" for name in names}
    shards = {"acted": [folder / "audio.parquet"]}
    inputs = {"splits": folder / "splits.parquet", "subsets": folder / "subsets.parquet"}
    finetune(
        study, "emotion", "tiny", "original", "full", [(0, 0, 0), (0, 0, 1)], None, shards, None, **inputs, **tables,
        models=folder / f"{count_ranks()}.models", threads=1,
    )  # fmt: skip


def fail(number: int) -> None:
    """An error of ours in one process, while the others wait for it."""
    if find_rank() == number:
        raise TrainingError(f"process {number} has no clips")
    gather([0])


def fail_at_length(number: int) -> None:
    """An error of more than a pipe holds, in every process."""
    raise TrainingError(f"process {find_rank()} has wrong clips: {'x' * number}")


def die(number: int) -> None:
    """One process is killed, while the others wait for it."""
    if find_rank() == number:
        os.kill(os.getpid(), signal.SIGKILL)
    gather([0])
