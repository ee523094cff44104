"""Stage 2: fine-tune a backbone, original or adapted, on a labelled task (G25, Sec. III-E and III-F).

Runs of a pair share everything but the weights they start from: head initialisation, batch order and dropout depend on the
seed, the utterances and the epoch only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_f1_score

from emoadapt import schema
from emoadapt.data.batching import Batch, load_batches
from emoadapt.data.clips import AUDIO_COLUMNS, CNN_COLUMNS, ClipDataset, ClipStore
from emoadapt.flow.store import read_table
from emoadapt.models.backbones import SpeechBackbone, load_backbone
from emoadapt.models.cards import list_terms
from emoadapt.models.classifier import EmotionClassifier
from emoadapt.models.heads import Head, build_head
from emoadapt.training.classification import EmotionLearner, LabelledClips, Partition, RunKey, RunTables, Setting
from emoadapt.training.trainer import BestWeights, Curve, build_trainer, embed_batch, evaluate, train

if TYPE_CHECKING:
    from emoadapt.config import Finetuning, Study


def finetune(
    study: Study,
    task: str,
    backbone: str,
    start: str,
    subset: str,
    runs: Sequence[RunKey],
    model_dir: Path | None,
    audio_shards: Mapping[str, Sequence[Path]],
    cnn_shards: Mapping[str, Sequence[Path]] | None,
    splits: Path,
    subsets: Path,
    predictions: Path,
    embeddings: Path,
    curves: Path,
    models: Path,
    threads: int,
) -> None:
    """Fine-tune once per (resampling, fold, seed) and predict the fold's test clips.

    Clips without usable audio are left out; the tables' provenance counts them (`left_out`: test clips).

    Args:
        study: the configuration.
        task: which of its tasks.
        backbone: which of its backbones.
        start: `original`, or the name of an adaptation.
        subset: number of training clips, or `full`.
        runs: (resampling, fold, seed) triples.
        model_dir: folder of the adapted model; None for the original.
        audio_shards: corpus -> AUDIO shards, of the task's corpus and of `test_also`.
        cnn_shards: corpus -> cached CNN output of this starting point; used if the CNN is frozen. None: run the CNN.
        splits: SPLITS table.
        subsets: SUBSETS table.
        predictions: PREDICTIONS table to write.
        embeddings: EMBEDDINGS table to write.
        curves: CURVES table to write.
        models: folder for the fine-tuned models that `keep_models` keeps, one folder per run.
        threads: CPU threads.

    Raises:
        TrainingError: a part has no clips, or the loss is not finite.
        DataError: a table does not fit.
        ModelError: the starting point cannot be loaded.
    """
    torch.set_num_threads(threads)
    config, settings = study.backbones[backbone], study.finetuning
    model = load_backbone(config, study.weights_folder, model_dir)
    model.set_cnn_trainable(config.trains_cnn("stage2", start))
    setting = Setting(task, backbone, start, subset)
    tables = RunTables(setting, study.tasks[task].classes)
    keeper = _ModelKeeper(study, setting, models)
    with tempfile.TemporaryDirectory(prefix="emoadapt-") as scratch:
        signals = _Signals(audio_shards, None if model.cnn_trainable else cnn_shards, splits, Path(scratch))
        classes, soft = study.tasks[task].classes, settings.targets == "soft"
        clips = LabelledClips(splits, subsets, classes, signals.lengths, soft=soft)
        job = _Finetuning(study, model, clips, signals, tables, keeper, Path(scratch))
        for run in runs:
            job.perform(run, settings)
    keeper.finish()
    tables.write(predictions, embeddings, curves, clips.count_left_out())


class FinetunedBackbone(nn.Module):
    """Backbone and head: batch -> (pooled embedding, logits)."""

    def __init__(self, backbone: SpeechBackbone, head: Head) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Embedding (batch, width) and logits (batch, n_classes)."""
        embedding = embed_batch(self.backbone, batch)
        return embedding, self.head(embedding)


class _Signals:
    """Audio or cached CNN frames of a task's clips, and the lengths that order batches."""

    def __init__(
        self,
        audio_shards: Mapping[str, Sequence[Path]],
        cnn_shards: Mapping[str, Sequence[Path]] | None,
        splits: Path,
        scratch: Path,
    ) -> None:
        wanted = set(read_table(splits, schema.SPLITS, ["utterance_id"]).column("utterance_id").to_pylist())
        self.cached = cnn_shards is not None
        used, columns = (audio_shards, AUDIO_COLUMNS) if cnn_shards is None else (cnn_shards, CNN_COLUMNS)
        self.store = ClipStore.build([path for paths in used.values() for path in paths], columns, scratch, wanted)
        # Of the audio, also where frames are cached: the order of the batches must not tell the two apart.
        paths = [path for paths in audio_shards.values() for path in paths]
        table = read_table(paths, schema.AUDIO, ["utterance_id", "n_samples"])
        self.lengths: dict[str, int] = {
            name: length
            for name, length in zip(*(column.to_pylist() for column in table.columns), strict=True)
            if name in self.store and length is not None
        }

    def load(
        self,
        names: Sequence[str],
        clips: LabelledClips,
        backbone: SpeechBackbone,
        settings: Finetuning,
        seed: int | None,
    ) -> Any:
        """Loader of these clips, cropped to their beginning; shuffled if a seed is given."""
        longest = None if settings.max_seconds is None else round(settings.max_seconds * schema.SAMPLE_RATE)
        limit = backbone.count_frames(longest) if self.cached and longest else longest
        dataset = ClipDataset(self.store, clips.annotate, cached=self.cached, longest=limit)
        lengths = {name: min(self.lengths[name], longest or self.lengths[name]) for name in names}
        return load_batches(dataset, lengths, settings.batch_size, seed, settings.batch_seconds)


class _Finetuning:
    """The runs of one setting, which share the starting point and the clips."""

    def __init__(
        self,
        study: Study,
        backbone: SpeechBackbone,
        clips: LabelledClips,
        signals: _Signals,
        tables: RunTables,
        keeper: _ModelKeeper,
        scratch: Path,
    ) -> None:
        self.study, self.backbone, self.clips, self.signals = study, backbone, clips, signals
        self.tables, self.keeper, self.scratch = tables, keeper, scratch
        self.start_state = {name: value.clone() for name, value in backbone.state_dict().items()}
        self.start_points: dict[int, dict[str, np.ndarray]] = {}

    def perform(self, run: RunKey, settings: Finetuning) -> None:
        """Train and test one run."""
        _, fold, seed = run
        part = self.clips.select(run)
        self.backbone.load_state_dict(self.start_state)
        head = build_head(settings.head, self.backbone.width, settings.head_hidden, len(self.clips.classes), seed)
        model = FinetunedBackbone(self.backbone, head)
        curve = Curve("stage2", self.tables.setting.name(run))
        weights = self.clips.weigh_classes(part.train) if settings.class_weights == "balanced" else None
        learner = EmotionLearner(model, settings, curve, seed, weights)
        trainer = build_trainer(self.study.device, settings, self.scratch)
        test = part.test["utterance_id"].to_list()
        self._embed_start(learner, trainer, fold, test, settings)
        best = train(learner, trainer, self._load(part.train, settings, seed), self._load(part.dev, settings))
        evaluate(learner, trainer, self._load(test, settings))
        logits = self._note(run, part, learner, curve)
        self.keeper.consider(run, model, self.clips, best, self._score(part.test, logits))

    def _load(self, names: Sequence[str], settings: Finetuning, seed: int | None = None) -> Any:
        return self.signals.load(names, self.clips, self.backbone, settings, seed)

    def _embed_start(
        self, learner: EmotionLearner, trainer: Any, fold: int, test: Sequence[str], settings: Finetuning
    ) -> None:
        """Embed a fold's test clips with the starting point, once for all of its runs."""
        if fold not in self.start_points:
            evaluate(learner, trainer, self._load(test, settings))
            self.start_points[fold] = {name: embedding for name, (embedding, _) in learner.take_tested().items()}

    def _note(self, run: RunKey, part: Partition, learner: EmotionLearner, curve: Curve) -> np.ndarray:
        """Add the run to the tables; returns its (n_test, n_classes) logits."""
        tested, start = learner.take_tested(), self.start_points[run[1]]
        tuned, logits = (
            np.stack(arrays) for arrays in zip(*(tested[name] for name in part.test["utterance_id"]), strict=True)
        )
        self.tables.add_predictions(run, part.test, logits)
        self.tables.add_embeddings(run, part.test, tuned, np.stack([start[name] for name in part.test["utterance_id"]]))
        self.tables.curves += curve.rows
        return logits

    def _score(self, test: pl.DataFrame, logits: np.ndarray) -> float | None:
        """Macro-F1 on the test clips of the task's own corpus, over the classes that they have; None without such clips."""
        own = (test["corpus"] == self.study.tasks[self.tables.setting.task].corpus).to_numpy()
        if not own.any():
            return None
        labels = torch.tensor([self.clips.labels[name] for name in test["utterance_id"]])[own]
        scores = multiclass_f1_score(
            torch.from_numpy(logits)[own], labels, num_classes=len(self.clips.classes), average="none"
        )
        return float(scores[labels.unique()].mean())


class _ModelKeeper:
    """Saves fine-tuned models by `keep_models`: none, the best of the job by dev macro-F1, or all."""

    def __init__(self, study: Study, setting: Setting, models: Path) -> None:
        self.study, self.setting, self.models = study, setting, models
        self.best: tuple[tuple[float, ...], RunKey, EmotionClassifier, dict[str, Tensor], float | None] | None = None
        models.mkdir(parents=True, exist_ok=True)

    def consider(
        self, run: RunKey, model: FinetunedBackbone, clips: LabelledClips, trained: BestWeights, tested: float | None
    ) -> None:
        """Save the model, or remember it if it is the best so far; `tested` is its macro-F1 on test clips, if there are any."""
        if self.study.keep_models == "adapted":
            return
        classifier = EmotionClassifier(model.backbone, model.head, clips.classes)
        if self.study.keep_models == "all":
            self._save(run, classifier, trained.score[0], tested)
        elif self.best is None or trained.score > self.best[0]:
            self.best = (trained.score, run, classifier, trained.state, tested)

    def finish(self) -> None:
        """Save the best model of the job."""
        if self.best is not None:
            score, run, classifier, state, tested = self.best
            classifier.load_state_dict(state)
            self._save(run, classifier, score[0], tested)

    def _save(self, run: RunKey, classifier: EmotionClassifier, dev: float, tested: float | None) -> None:
        name, setting = self.setting.name(run), self.setting
        corpora, objectives = [self.study.tasks[setting.task].corpus], {}
        card: dict[str, Any] = {
            "title": name,
            "study": self.study.study,
            "starting point": f"{setting.backbone}.{setting.start}",
            "fine-tuned on": f"{corpora[0]} ({setting.subset} training clips)",
            "dev macro-F1": f"{dev:.3f}",
        }
        if tested is not None:
            about = f"this run on its fold of {corpora[0]}; means over runs are in the report"
            card["test macro-F1"] = f"{tested:.3f} ({about})"
        if setting.start != "original":
            adaptation = self.study.adaptations[setting.start]
            objectives = adaptation.objectives
            corpora += adaptation.corpora
            card |= {"Stage-1 corpora": adaptation.corpora, "Stage-1 objectives (weight)": objectives}
        classifier.save(self.models / name, card | {"licences": list_terms(self.study, corpora, objectives)})
