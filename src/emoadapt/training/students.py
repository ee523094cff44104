"""Training of a student from a teacher (Srinivasan et al. 2022, Sec. 3.2)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from emoadapt import schema
from emoadapt.data.batching import Batch
from emoadapt.errors import TrainingError
from emoadapt.layers.heads import seeded
from emoadapt.storage.frames import read_frame
from emoadapt.study.nodes import Run
from emoadapt.training.finetuning import finetune
from emoadapt.training.regression import concord
from emoadapt.training.runs import RunClips, TaskClips
from emoadapt.training.scores import measure_macro_f1
from emoadapt.training.terms import FurtherTerm
from emoadapt.training.totals import Term

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emoadapt.training.jobs import TaskJob

logger = logging.getLogger(__name__)

TEACHER = "teacher"
TAUGHT, RESIDUAL, MISCLASSIFIED, ABSENT = "taught", "residual", "misclassified", "absent"
"""Values of the column `use` of TRAINING_CLIPS."""

SMALLEST = 1e-9
"""Standard deviation of residuals, as a share of that of the labels, below which a line fits all of them."""


def teach(job: TaskJob) -> None:
    """Fine-tune once per run, close to the embeddings of the teacher's same run; see `training.finetuning.finetune`.

    Args:
        job: its settings are of `methods.student`.

    Raises:
        TrainingError: the teacher has nothing of any training clip of a run, or as `finetune`.
    """

    def build_terms(run: Run, part: RunClips, clips: TaskClips, width: int) -> Sequence[FurtherTerm]:
        lessons = read_lessons(job, run, part.train)
        judgement = judge(clips, part.train, lessons, job.settings.residual, correct_only=job.settings.correct_only)
        _report(job.setting.name(run), judgement)
        return [TeacherTerm(job.settings.weight, lessons, judgement, width, run.seed)]

    finetune(job, build_terms)


@dataclass(frozen=True)
class Lesson:
    """What a teacher gives for a training clip.

    Args:
        embedding: (width,) float32.
        outputs: (n_outputs,) float32, logits or values.
    """

    embedding: NDArray[np.float32]
    outputs: NDArray[np.float32]


@dataclass(frozen=True)
class Judgement:
    """Which training clips a student is taught on.

    Args:
        uses: utterance -> `TAUGHT`, or why it is left out.
        residuals: utterance -> (n_outputs,) in standard deviations; empty where none are computed.
        scores: of the teacher on the clips that it has: of attributes CCC and Pearson's correlation, of classes macro-F1.
    """

    uses: Mapping[str, str]
    residuals: Mapping[str, NDArray[np.float64]]
    scores: Mapping[str, float]

    def count(self, use: str) -> int:
        """Clips of a use."""
        return sum(found == use for found in self.uses.values())


def read_lessons(job: TaskJob, run: Run, names: Sequence[str]) -> dict[str, Lesson]:
    """Read what the teacher's same run keeps of training clips.

    Raises:
        TrainingError: it keeps none of these clips.
        DataError: the table does not fit.
    """
    (paths,) = job.upstream.values()
    of_run = {"partition": run.partition, "fold": run.fold, "resampling": run.resampling, "seed": run.seed}
    rows = read_frame(paths, schema.TRAINING_CLIPS, [*of_run, "utterance_id", "embedding", "outputs"]).filter(**of_run)
    kept = rows.filter(pl.col("utterance_id").is_in(list(names))).select("utterance_id", "embedding", "outputs")
    if kept.is_empty():
        raise TrainingError(
            f"{job.setting.name(run)}: teacher {job.settings.teacher} keeps none of its {len(names)} training clips; both must read "
            "some of the same clips"
        )
    return {
        name: Lesson(np.array(vector, np.float32), np.array(outputs, np.float32))
        for name, vector, outputs in kept.iter_rows()
    }


def judge(
    clips: TaskClips, names: Sequence[str], lessons: Mapping[str, Lesson], residual: float | None, *, correct_only: bool
) -> Judgement:
    """Judge a teacher by the labels of training clips.

    Args:
        clips: of the task.
        names: training clips.
        lessons: what the teacher gives for some of them.
        residual: attributes: standard deviations beyond which the residual of any attribute leaves a clip out; None = none does.
        correct_only: classes: clips that the teacher misclassifies are left out.
    """
    known = [name for name in names if name in lessons]
    outputs = np.array([lessons[name].outputs for name in known], dtype=np.float64)
    uses = {name: TAUGHT if name in lessons else ABSENT for name in names}
    if clips.kind == "classes":
        labels = np.array([clips.labels[name] for name in known])  # type: ignore[attr-defined]
        if correct_only:
            uses |= {known[place]: MISCLASSIFIED for place in np.flatnonzero(outputs.argmax(axis=1) != labels)}
        return Judgement(uses, {}, {"macro_f1": measure_macro_f1(outputs, labels)})
    ratings = np.array([clips.ratings[name] for name in known], dtype=np.float64)  # type: ignore[attr-defined]
    residuals = np.stack([measure_residuals(*columns) for columns in zip(outputs.T, ratings.T, strict=True)], axis=1)
    if residual is not None:
        uses |= {known[place]: RESIDUAL for place in np.flatnonzero((np.abs(residuals) > residual).any(axis=1))}
    return Judgement(uses, dict(zip(known, residuals, strict=True)), _score(clips.outputs, outputs, ratings))


def measure_residuals(predicted: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Residuals of the least-squares line from predictions to labels (Srinivasan et al. 2022, Eq. 8).

    Args:
        predicted: (n,) by the teacher.
        truth: (n,) labels; NaN = not rated.

    Returns:
        (n,) residuals, line minus label, in standard deviations (over n) of all of them; 0 where the line fits all, NaN where not rated.
    """
    rated = ~np.isnan(truth)
    residuals = np.full(len(truth), np.nan)
    if not rated.any():
        return residuals
    x, y = predicted[rated] - predicted[rated].mean(), truth[rated] - truth[rated].mean()
    spread = (x * x).sum()
    found = (x * y).sum() / spread * x - y if spread > 0 else -y
    std = np.sqrt((found * found).mean())
    # A mean of 0 comes with a least-squares line.
    residuals[rated] = found / std if std > SMALLEST * np.sqrt((y * y).mean()) else 0.0
    return residuals


def _score(attributes: Sequence[str], outputs: NDArray[np.float64], ratings: NDArray[np.float64]) -> dict[str, float]:
    """CCC and Pearson's correlation of each attribute, where they are defined."""
    found: dict[str, float] = {}
    concordances = concord(torch.from_numpy(outputs), torch.from_numpy(ratings))
    for name, value, predicted, truth in zip(attributes, concordances, outputs.T, ratings.T, strict=True):
        rated = ~np.isnan(truth)
        if value is None:
            continue
        found[f"ccc_{name}"] = value
        if predicted[rated].std() > 0 and truth[rated].std() > 0:
            found[f"pearson_{name}"] = float(np.corrcoef(predicted[rated], truth[rated])[0, 1])
    return found


def _report(run: str, judgement: Judgement) -> None:
    """Log how many clips are taught."""
    reasons = {
        RESIDUAL: "have a large residual",
        MISCLASSIFIED: "are misclassified by the teacher",
        ABSENT: "have no embedding of the teacher",
    }
    left_out = [f"{count} {said}" for use, said in reasons.items() if (count := judgement.count(use))]
    logger.info(
        "%s: the teacher's embeddings are learned on %d of %d training clips%s",
        run, judgement.count(TAUGHT), len(judgement.uses), f"; {', '.join(left_out)}" if left_out else "",
    )  # fmt: skip


class TeacherTerm(FurtherTerm):
    """Mean over the taught clips of the Euclidean distance to the teacher's embedding (Srinivasan et al. 2022, Eq. 6).

    Where the two embeddings differ in width, a linear map leads from the student's to the teacher's. It is trained along.

    Args:
        weight: in the total.
        lessons: utterance -> what the teacher gives.
        judgement: of the training clips.
        width: of the student's embedding.
        seed: of the map's initial weights.
    """

    def __init__(
        self, weight: float, lessons: Mapping[str, Lesson], judgement: Judgement, width: int, seed: int
    ) -> None:
        super().__init__(TEACHER, weight)
        self.lessons, self.judgement = lessons, judgement
        self.nothing = torch.zeros(len(next(iter(lessons.values())).embedding))
        wanted = len(self.nothing)
        with seeded(seed):
            self.map = nn.Identity() if width == wanted else nn.Linear(width, wanted)

    def annotate(self, utterance_id: str) -> dict[str, Tensor]:
        """The teacher's embedding, and whether it counts; no clip of dev or test is taught."""
        taught = self.judgement.uses.get(utterance_id) == TAUGHT
        target = torch.from_numpy(self.lessons[utterance_id].embedding) if taught else self.nothing
        return {"teacher": target, "taught": torch.tensor(taught)}

    def measure(self, embedding: Tensor, outputs: Tensor, batch: Batch) -> Term:
        """See `FurtherTerm`.

        Raises:
            TrainingError: nothing before the embedding is trained.
        """
        if self.training and torch.is_grad_enabled() and not embedding.requires_grad:
            raise TrainingError(
                "a student needs a backbone of which something is trained, or its teacher changes nothing; give the backbone "
                "train_layers above 0, a pooling with weights or an embedding"
            )
        taught = batch.values["taught"]
        distances = torch.linalg.vector_norm(self.map(embedding) - batch.values["teacher"], dim=1)
        count = taught.sum()
        return Term(torch.where(taught, distances, 0.0).sum() / count.clamp_min(1), count)

    def summarise(self) -> dict[str, float]:
        """Training clips by use, and the teacher's scores on those that it has."""
        uses = (TAUGHT, RESIDUAL, MISCLASSIFIED, ABSENT)
        counts = {f"clips_{use}": float(self.judgement.count(use)) for use in uses}
        return {"clips": float(len(self.judgement.uses)), **counts, **self.judgement.scores}

    def describe_clips(self, names: Sequence[str]) -> dict[str, Sequence[Any]]:
        """Use of each clip, and its residuals."""
        found: dict[str, Sequence[Any]] = {"use": [self.judgement.uses[name] for name in names]}
        if self.judgement.residuals:
            found["residuals"] = [self.judgement.residuals.get(name) for name in names]
        return found
