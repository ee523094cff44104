"""Worker processes that predict. Light: a process that imports this module imports no torch yet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emoadapt.errors import ModelError
from emoadapt.features.base import Context
from emoadapt.inference.options import Judging


@dataclass(frozen=True)
class Copy:
    """What a process loads.

    Args:
        folder: of the classifier.
        state: of the folder, when this process and its sisters were asked for.
        judging: how clips are judged.
    """

    folder: Path
    state: tuple[int, ...]
    judging: Judging


class JudgeWorker:
    """A judge in a worker process.

    Args:
        copy: what it loads.
        context: its device and threads.

    Raises:
        ModelError: the folder was replaced since.
    """

    def __init__(self, copy: Copy, context: Context) -> None:
        import torch

        from emoadapt.inference.classifier import load_classifier, look_at
        from emoadapt.inference.judging import Judge

        torch.set_num_threads(context.threads)
        if context.device.startswith("cuda"):
            torch.cuda.set_device(torch.device(context.device))
        classifier = load_classifier(copy.folder)
        if look_at(copy.folder) != copy.state:
            raise ModelError(f"{copy.folder} was replaced while the processes started; try again")
        self.judge = Judge(classifier, copy.judging, context.device)

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """`predictions` of the `group` of each row."""
        return [{"predictions": self.judge.judge_group(row["group"])} for row in rows]


def count_threads(jobs: int) -> int:
    """Threads of each of several processes."""
    import torch

    return max(1, min(torch.get_num_threads(), len(os.sched_getaffinity(0))) // jobs)
