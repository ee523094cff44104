"""Choice of Stage 1's epoch by a probe on labelled clips of development speakers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from emoadapt import schema
from emoadapt.data.batching import load_batches
from emoadapt.data.clips import SignalDataset
from emoadapt.errors import TrainingError
from emoadapt.machine.ranks import gather
from emoadapt.machine.starting import hidden
from emoadapt.storage.frames import read_frame
from emoadapt.training.scores import measure_macro_f1
from emoadapt.training.signals import open_sources

if TYPE_CHECKING:
    from emoadapt.layers.trainable import TrainableBackbone
    from emoadapt.training.jobs import AdaptationJob

CONDITIONAL_LIBRARIES = ("sklearn",)

C = 0.05
"""Inverse strength of the penalty: some hundred clips of a few speakers, in hundreds of dimensions."""

MOST_FOLDS = 5


class EpochProbe:
    """Logistic regression on the layers of a backbone, cross-validated over the speakers of a task's dev part.

    Training and test clips of the task are not read.

    Args:
        job: its `splits`, and the shards of its `labelled` clips.
        backbone: whose front end may be cached.
        scratch: folder for the packed clips.

    Raises:
        TrainingError: there are several dev parts, or one of fewer than two speakers or classes.
    """

    def __init__(self, job: AdaptationJob, backbone: TrainableBackbone, scratch: Path) -> None:
        rows = _list_dev(job)
        self.sources = open_sources(
            job.config, job.labelled, backbone, scratch, rows["utterance_id"].to_list(), job.kept
        )
        self.first = next(iter(self.sources.values()))
        rows = rows.filter(pl.col("utterance_id").is_in(self.first.store.utterances))
        self.names, self.speakers = rows["utterance_id"].to_list(), rows["speaker"].to_numpy()
        self.classes = sorted(set(rows["label"]))
        self.labels = np.array([self.classes.index(label) for label in rows["label"]])
        n_speakers = len(set(self.speakers))
        if n_speakers < 2 or len(self.classes) < 2:
            raise TrainingError(
                f"{job.name}: the dev part of {job.settings.judge} has usable clips of {n_speakers} speakers and {len(self.classes)} "
                "classes, and a probe needs two of each; enlarge it, or set select: loss"
            )
        self.batch_size = job.settings.batch_size

    def score(self, backbone: TrainableBackbone) -> float:
        """Macro-F1 on the transformer's best layer, as the backbone stands, without dropout."""
        layers = self._embed(backbone)
        return max(self._validate(layers[:, number]) for number in range(1, layers.shape[1]))

    def _embed(self, backbone: TrainableBackbone) -> np.ndarray:
        """Mean over time of all states of all clips: (n_clips, n_layers + 1, width)."""
        lengths = {name: self.first.count(name) for name in self.names}
        dataset = SignalDataset(self.sources, lambda _: {})
        found: list[tuple[str, np.ndarray]] = []
        for batch in load_batches(dataset, lengths, self.batch_size):
            means = backbone.embed_layers(batch.to(backbone.device))
            found += zip(batch.utterance_ids, means.float().cpu().numpy(), strict=True)
        every = dict(gather(found))
        return np.stack([every[name] for name in self.names])

    def _validate(self, vectors: np.ndarray) -> float:
        with hidden("pandas"):
            from sklearn.linear_model import LogisticRegression
            from sklearn.model_selection import GroupKFold
            from sklearn.pipeline import make_pipeline
            from sklearn.preprocessing import StandardScaler

        machine = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000))
        folds = GroupKFold(min(MOST_FOLDS, len(set(self.speakers))))
        predicted = np.zeros_like(self.labels)
        for train, test in folds.split(vectors, groups=self.speakers):
            known = self.labels[train]
            # A machine needs two classes; speakers of one class alone predict it.
            one = known[0] if len(set(known)) == 1 else None
            predicted[test] = one if one is not None else machine.fit(vectors[train], known).predict(vectors[test])
        return measure_macro_f1(np.eye(len(self.classes))[predicted], self.labels)


def _list_dev(job: AdaptationJob) -> pl.DataFrame:
    """Labelled dev clips with a speaker, sorted."""
    rows = read_frame(job.splits, schema.SPLITS)
    parts = rows.select("partition", "fold").unique().height
    if parts != 1:
        raise TrainingError(
            f"{job.name}: task {job.settings.judge} has {parts} dev parts, and what is dev in one is test in another; set select: loss"
        )
    task = job.study.tasks[str(job.settings.judge)]
    dev = rows.filter(pl.col("split") == "dev", pl.col("corpus") == task.corpus)
    return dev.drop_nulls(["speaker", "label"]).sort("utterance_id")
