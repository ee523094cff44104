"""Fine-tune a backbone, original or adapted, on a labelled task (G25, Sec. III-D and III-F).

Runs of a pair share everything but the weights they start from: head initialisation, batch order and dropout depend on the
seed, the utterances and the epoch only. A vector of descriptors, which has no weights, is what its head is trained on.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from emoadapt.backbones.base import load_backbone
from emoadapt.data.batching import Batch
from emoadapt.data.clips import Annotate
from emoadapt.inference.classifier import EmotionClassifier
from emoadapt.inference.inputs import describe_inputs
from emoadapt.layers.heads import Head
from emoadapt.layers.vector import VectorBackbone
from emoadapt.machine.ranks import count_ranks, find_rank
from emoadapt.storage.files import force_to_disk, link_or_copy, replace_folder
from emoadapt.storage.folders import seal_folder
from emoadapt.study.nodes import Run
from emoadapt.training.checkpoints import Checkpoint
from emoadapt.training.curve import Curve, find_typical, read_scores
from emoadapt.training.interruption import Notice
from emoadapt.training.learner import TestedLearner
from emoadapt.training.logs import open_logs
from emoadapt.training.model_facts import describe_model, describe_target, describe_test, list_licences
from emoadapt.training.questions import load_clips
from emoadapt.training.runs import RunClips, RunTables, TaskClips
from emoadapt.training.signals import Signals, StreamSignals, VectorSignals
from emoadapt.training.terms import (
    BuildTerms,
    FurtherTerm,
    LoadTraining,
    build_none,
    join_annotations,
    load_labelled,
)
from emoadapt.training.trainer import BestWeights, Trainer
from emoadapt.training.unfinished import MODELS, UnfinishedJob, place_job

if TYPE_CHECKING:
    from emoadapt.training.jobs import TaskJob


def finetune(job: TaskJob, build_terms: BuildTerms = build_none, load_training: LoadTraining = load_labelled) -> None:
    """Fine-tune once per run and predict its test clips.

    A job that was killed continues with the run, and the epoch, that it was in (see `emoadapt.training.unfinished`), if
    settings, starting weights, code, libraries and inputs are still the same. Runs that are done are put on disk every minute at
    most, the state of the run under way every `checkpoint_minutes`, so that shorter jobs write nothing; and both when it is asked to
    end. The result is the same to the byte on a CPU. Of several processes that share each batch, the first writes.

    With `train_on_dev` no epoch is chosen; the curve of a run that trains on the dev part has it as `dev_trained`.

    Clips without usable input are left out; the tables' provenance counts them (`left_out`: test clips).

    Args:
        job: its settings are of `methods.finetune`; its shards are audio (and `frontend`, the output of the frozen front end), or the
            feature that a vector backbone reads.
        build_terms: builds further loss terms of a run.
        load_training: loads the clips that a run trains on.

    Raises:
        TrainingError: a part has no clips, or the loss is not finite.
        Interrupted: the cluster ended the job; the next start continues.
        DataError: a table does not fit.
        ModelError: the starting point cannot be loaded.
    """
    torch.set_num_threads(max(1, job.threads // count_ranks()))
    with tempfile.TemporaryDirectory(prefix="emoadapt-") as scratch:
        backbone, signals = _open_input(job, Path(scratch))
        clips = load_clips(job, signals.usable)
        tables = RunTables(job.setting, clips)
        training = _Finetuning(job, backbone, clips, signals, tables, build_terms, load_training)
        place = place_job(job, _list_settings(job))
        keeper = _ModelKeeper(job, training, place / MODELS)
        unfinished = UnfinishedJob(place, tables, notice=training.notice)

        def perform(run: Run, part: RunClips) -> None:
            keeper.consider(run, *training.perform(run, part, unfinished.place_checkpoint(run)))

        unfinished.complete(job.runs, perform)
    if find_rank() > 0:
        return
    keeper.finish(job.models)
    tables.write(job.output)
    unfinished.remove()


def _open_input(job: TaskJob, scratch: Path) -> tuple[Any, Signals]:
    """The backbone at its starting point, and what it reads of the task's clips."""
    if not job.config.adaptable:
        (feature,) = job.config.features
        signals = VectorSignals(job, feature)
        return VectorBackbone(signals.width if signals.usable else None), signals
    backbone = load_backbone(job.config, job.study.weights_folder, job.model)
    backbone.freeze_kept(job.kept)
    if job.settings.compile:
        backbone.compile_layers()
    return backbone, StreamSignals(job, backbone, scratch)


def _list_settings(job: TaskJob) -> list[object]:
    """What decides the outcome besides the fine-tuning: models that are kept are chosen among all runs of the job."""
    return [job.study.keep_models, [] if job.study.keep_models == "adapted" else [str(run) for run in job.runs]]


Outcome = tuple["FinetunedBackbone", BestWeights, float | None]
"""Of a run: the model, its best epoch and its score on test clips, None without one."""


class FinetunedBackbone(nn.Module):
    """Backbone and head: batch -> (pooled embedding, logits or values)."""

    def __init__(self, backbone: nn.Module, head: Head) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Embedding (batch, width) and outputs (batch, n_outputs)."""
        embedding = self.backbone.embed(batch)
        return embedding, self.head(embedding)


class _Finetuning:
    """The runs of one setting, which share the starting point and the clips."""

    def __init__(
        self,
        job: TaskJob,
        backbone: nn.Module,
        clips: TaskClips,
        signals: Signals,
        tables: RunTables,
        build_terms: BuildTerms,
        load_training: LoadTraining,
    ) -> None:
        self.job, self.backbone, self.clips, self.signals, self.tables = job, backbone, clips, signals, tables
        self.build_terms, self.load_training = build_terms, load_training
        # What has no weights of its own is trained where there is no GPU, and half precision would only be emulated.
        changed = {} if job.config.adaptable else {"precision": "32-true"}
        self.settings = job.settings.model_copy(update=changed)
        self.device = job.study.device if job.config.adaptable else "cpu"
        self.keeps_embeddings = job.study.keeps_embeddings(job.setting.model)
        self.start_state = {name: value.clone() for name, value in backbone.state_dict().items()}
        self.start_points: dict[tuple[int, int, int, int], dict[str, np.ndarray]] = {}
        self.start_seed = 0
        self.notice = Notice()

    def build(self, run: Run, part: RunClips) -> FinetunedBackbone:
        """The model that a run begins with; all runs share the modules of the backbone."""
        self.backbone.load_state_dict(self.start_state)
        # What a run begins with differs from seed to seed then.
        self.start_seed = run.seed if self.backbone.redraw(run.seed) else 0
        self.signals.settle()
        head = self.clips.build_head(
            self.settings, self.backbone.width, self.settings.head_hidden, run.seed, part.train
        )
        return FinetunedBackbone(self.backbone, head)

    def perform(self, run: Run, part: RunClips, checkpoint: Path) -> Outcome:
        """Train and test one run."""
        joined = self.settings.train_on_dev and self.job.setting.subset == "full"
        if joined:
            part = replace(part, train=[*part.train, *part.dev])
        of_run = self.clips.splits.filter(partition=run.partition, fold=run.fold)
        self.signals.prepare(of_run, part.train)
        model = self.build(run, part)
        curve = Curve("stage2", self.job.setting.name(run))
        terms = self.build_terms(run, part, self.clips, self.backbone.width)
        for term in terms:
            curve.add(0, term.name, term.summarise())
        annotate = partial(join_annotations, self.clips.annotate, terms)
        training = self.load_training(run, part, self.signals, self.settings, annotate)
        learner = self.clips.build_learner(model, self.settings, curve, run.seed, part.train, terms)
        if joined:
            learner.part = "dev_trained"
        state = Checkpoint(checkpoint, self.job.study.checkpoint_minutes, sparing=True, notice=self.notice)
        trainer = Trainer(self.device, self.settings, state, open_logs(self.job.study.logs))
        test = part.test["utterance_id"].to_list()
        self._embed_start(learner, trainer, run, test)
        best = trainer.train(learner, training, self._load(part.dev, annotate))
        trainer.test(learner, self._load(test))
        outputs = self._note(run, part, learner, curve)
        self._note_training_clips(run, part, learner, trainer, terms)
        return model, best, self._score(part.test, outputs)

    def _load(self, names: Sequence[str], annotate: Annotate | None = None) -> Any:
        return self.signals.load(names, annotate or self.clips.annotate, self.settings)

    def _score(self, test: pl.DataFrame, outputs: np.ndarray) -> float | None:
        """Score on the task's own corpus: others' values may be on another scale, their classes of another kind."""
        own = test["corpus"] == self.job.task.corpus
        return self.clips.score(test.filter(own), outputs[own.to_numpy()])

    def _embed_start(self, learner: TestedLearner, trainer: Trainer, run: Run, test: Sequence[str]) -> None:
        """Embed the test clips of a fold with the starting point, once for all runs that begin alike."""
        place = self._place_start(run)
        if self.keeps_embeddings and place not in self.start_points:
            trainer.test(learner, self._load(test))
            self.start_points[place] = {name: embedding for name, (embedding, _) in learner.take_tested().items()}

    def _place_start(self, run: Run) -> tuple[int, int, int, int]:
        """What the starting point depends on; one that standardises its input knows the training clips."""
        return run.partition, run.fold, run.resampling if self.backbone.standardised else 0, self.start_seed

    def _note_training_clips(
        self, run: Run, part: RunClips, learner: TestedLearner, trainer: Trainer, terms: Sequence[FurtherTerm]
    ) -> None:
        """Add what further terms made of training clips, and what the trained model gives for them if that is kept."""
        columns: dict[str, Any] = {}
        for term in terms:
            columns |= term.describe_clips(part.train)
        if self.settings.keep is not None:
            trainer.test(learner, self._load(part.train))
            tested = learner.take_tested()
            kept = zip(*(tested[name] for name in part.train), strict=True)
            columns |= {name: np.stack(arrays) for name, arrays in zip(("embedding", "outputs"), kept, strict=True)}
        if columns:
            self.tables.add_training_clips(run, part.train, **columns)

    def _note(self, run: Run, part: RunClips, learner: TestedLearner, curve: Curve) -> np.ndarray:
        """Add the run to the tables; returns its (n_test, n_outputs) outputs."""
        tested, names = learner.take_tested(), part.test["utterance_id"]
        tuned, outputs = (np.stack(arrays) for arrays in zip(*(tested[name] for name in names), strict=True))
        self.tables.add_predictions(run, part.test, outputs)
        if self.keeps_embeddings:
            start = self.start_points[self._place_start(run)]
            self.tables.add_embeddings(run, part.test, tuned, np.stack([start[name] for name in names]))
        self.tables.add_curve(run, curve)
        return outputs


class _ModelKeeper:
    """Saves fine-tuned models by `keep_models`: none, the one of the job with the median score, or all.

    All are written, since the median is known when the job is done. A head on descriptors is no model that `predict` could load: none is
    kept.

    Args:
        job: of the models.
        training: builds them.
        folder: where models are until the job is done.
    """

    def __init__(self, job: TaskJob, training: _Finetuning, folder: Path) -> None:
        self.job, self.training, self.folder = job, training, folder
        self.wanted = job.study.keep_models if job.config.adaptable else "adapted"

    def consider(self, run: Run, model: FinetunedBackbone, trained: BestWeights, tested: float | None) -> None:
        """Save the model, if any is kept; `tested` is its score on test clips, if there are any."""
        if find_rank() == 0 and self.wanted != "adapted":
            self._write(run, model, trained.score, tested)

    def finish(self, models: Path) -> None:
        """Give what is kept its place, `models`."""
        models.mkdir(parents=True, exist_ok=True)
        for folder in self._list_kept():
            part = models / f".{folder.name}.part"
            shutil.rmtree(part, ignore_errors=True)
            # A second name: the first goes when the whole output is there, of which Snakemake deletes a part.
            shutil.copytree(folder, part, copy_function=link_or_copy)
            replace_folder(part, models / folder.name)
        seal_folder(models)

    def _list_kept(self) -> list[Path]:
        if self.wanted != "best":
            return sorted(self.folder.glob("*"))
        curves = self.training.tables.curves.values()
        scores = read_scores(row for curve in curves for row in curve.to_pylist())
        return [self.folder / find_typical([self.job.setting.name(run) for run in self.job.runs], scores)]

    def _describe_dev(self, score: Sequence[float]) -> dict[str, str]:
        """The dev score or loss by which the epoch was chosen."""
        settings = self.job.settings
        if settings.train_on_dev:
            kind = "steps" if settings.steps else "epochs"
            return {kind: f"{settings.steps or settings.epochs}, none chosen"}
        if settings.select == "loss":
            return {"dev loss": f"{-score[0]:.3f}"}
        return {f"dev {self.training.clips.metric}": f"{score[0]:.3f}"}

    def _write(self, run: Run, model: FinetunedBackbone, score: Sequence[float], tested: float | None) -> None:
        job, clips = self.job, self.training.clips
        facts = {
            **self._describe_dev(score),
            **describe_test(job, clips, tested),
            **describe_target(job, run, clips),
        }
        card = describe_model(job, job.setting.name(run), facts)
        if job.settings.augmentations:
            card["augmentation"] = [section.describe() for section in job.settings.augmentations]
        inputs = describe_inputs(job.study, job.config, job.task.corpus, self.training.signals.measure_dimensions())
        classifier = EmotionClassifier(model.backbone, model.head, **{clips.kind: clips.outputs}, inputs=inputs)
        folder = self.folder / job.setting.name(run)
        classifier.save(folder, card | {"licences": list_licences(job, inputs)})
        force_to_disk(folder)
