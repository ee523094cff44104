"""Stage 2: fine-tune a backbone, original or adapted, on a labelled task (G25, Sec. III-E and III-F).

Runs of a pair share everything but the weights they start from: head initialisation, batch order and dropout depend on the
seed, the utterances and the epoch only.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from emoadapt import schema
from emoadapt.data.batching import Batch
from emoadapt.data.clips import AUDIO_COLUMNS, CNN_COLUMNS, ClipStore
from emoadapt.data.ranks import count_ranks, find_rank
from emoadapt.flow.parts import force_to_disk, link_or_copy
from emoadapt.flow.store import read_table
from emoadapt.models.backbones import SpeechBackbone
from emoadapt.models.cards import list_terms
from emoadapt.models.classifier import EmotionClassifier
from emoadapt.models.heads import Head
from emoadapt.models.loading import load_backbone
from emoadapt.training.checkpoints import Checkpoint, Notice
from emoadapt.training.curve import Curve
from emoadapt.training.learner import embed_batch
from emoadapt.training.loading import load_signals, note_cropped
from emoadapt.training.logs import open_logs
from emoadapt.training.runs import Partition, RunKey, RunTables, Setting, TaskClips, TestedLearner
from emoadapt.training.states import load_object, save_object
from emoadapt.training.tasks import load_clips
from emoadapt.training.trainer import BestWeights, Trainer
from emoadapt.training.unfinished import MODELS, UnfinishedJob, place_job

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

    A job that was killed continues with the run, and the epoch, that it was in (see `emoadapt.training.unfinished`), if
    settings, starting weights, code, libraries and inputs are still the same. Runs that are done are put on disk every minute at
    most, the state of the run under way every `checkpoint_minutes`, so that shorter jobs write nothing; and both when it is asked to
    end. The result is the same to the byte on a CPU.
    Of several processes that share each batch, the first writes.

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
        predictions: PREDICTIONS or ATTRIBUTE_PREDICTIONS table to write.
        embeddings: EMBEDDINGS table to write.
        curves: CURVES table to write.
        models: folder for the fine-tuned models that `keep_models` keeps, one folder per run.
        threads: CPU threads.

    Raises:
        TrainingError: a part has no clips, or the loss is not finite.
        Interrupted: the cluster ended the job; the next start continues.
        DataError: a table does not fit.
        ModelError: the starting point cannot be loaded.
    """
    torch.set_num_threads(max(1, threads // count_ranks()))
    config = study.backbones[backbone]
    model = load_backbone(config, study.weights_folder, model_dir)
    model.set_cnn_trainable(config.trains_cnn("stage2", start))
    if study.finetuning.compile:
        model.compile_layers()
    setting = Setting(task, backbone, start, subset)
    groups = (audio_shards, cnn_shards or {}, {"": [splits, subsets, *([] if model_dir is None else [model_dir])]})
    inputs = [path for group in groups for paths in group.values() for path in paths]
    with tempfile.TemporaryDirectory(prefix="emoadapt-") as scratch:
        signals = _Signals(audio_shards, None if model.cnn_trainable else cnn_shards, splits, Path(scratch))
        note_cropped(f"{backbone}.{start} on {task}", signals.lengths.values(), study.finetuning)
        clips = load_clips(study, task, splits, subsets, signals.lengths)
        tables = RunTables(setting, clips)
        job = _Finetuning(study, model, clips, signals, tables, Path(scratch))
        place = _place_state(study, setting, runs, models, inputs)
        keeper = _ModelKeeper(study, setting, job, place / MODELS)
        unfinished = UnfinishedJob(place, tables, keeper, job.notice)

        def perform(run: RunKey, part: Partition) -> None:
            keeper.consider(run, *job.perform(run, part, unfinished.place_checkpoint(run)))

        unfinished.complete(runs, perform)
    if find_rank() > 0:
        return
    keeper.finish(models)
    tables.write(predictions, embeddings, curves)
    unfinished.remove()


Outcome = tuple["FinetunedBackbone", BestWeights, float | None]
"""Of a run: the model, its best epoch and its score on test clips, None without one."""


class FinetunedBackbone(nn.Module):
    """Backbone and head: batch -> (pooled embedding, logits or values)."""

    def __init__(self, backbone: SpeechBackbone, head: Head) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Embedding (batch, width) and outputs (batch, n_outputs)."""
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
        # Of the audio, also where frames are cached.
        paths = [path for paths in audio_shards.values() for path in paths]
        table = read_table(paths, schema.feature_table("audio"), ["utterance_id", "n_samples"])
        self.lengths: dict[str, int] = {
            name: length
            for name, length in zip(*(column.to_pylist() for column in table.columns), strict=True)
            if name in self.store and length is not None
        }

    def load(
        self,
        names: Sequence[str],
        clips: TaskClips,
        backbone: SpeechBackbone,
        settings: Finetuning,
        seed: int | None,
    ) -> Any:
        """Loader of these clips; shuffled, and cropped at random where that is configured, if a seed is given."""
        n_samples = {name: self.lengths[name] for name in names}
        return load_signals(self.store, clips.annotate, n_samples, settings, backbone, cached=self.cached, seed=seed)


class _Finetuning:
    """The runs of one setting, which share the starting point and the clips."""

    def __init__(
        self,
        study: Study,
        backbone: SpeechBackbone,
        clips: TaskClips,
        signals: _Signals,
        tables: RunTables,
        scratch: Path,
    ) -> None:
        self.study, self.backbone, self.clips, self.signals = study, backbone, clips, signals
        self.tables, self.scratch, self.settings = tables, scratch, study.finetuning
        self.start_state = {name: value.clone() for name, value in backbone.state_dict().items()}
        self.start_points: dict[int, dict[str, np.ndarray]] = {}
        self.notice = Notice()

    def build(self, run: RunKey, part: Partition) -> FinetunedBackbone:
        """The model that a run begins with; all runs share the modules of the backbone."""
        self.backbone.load_state_dict(self.start_state)
        width, hidden = self.backbone.width, self.settings.head_hidden
        return FinetunedBackbone(self.backbone, self.clips.build_head(self.settings, width, hidden, run[2], part.train))

    def perform(self, run: RunKey, part: Partition, checkpoint: Path) -> Outcome:
        """Train and test one run."""
        _, fold, seed = run
        settings, model = self.settings, self.build(run, part)
        curve = Curve("stage2", self.tables.setting.name(run))
        learner = self.clips.build_learner(model, settings, curve, seed, part.train)
        state = Checkpoint(checkpoint, self.study.checkpoint_minutes, sparing=True, notice=self.notice)
        trainer = Trainer(self.study.device, settings, state, open_logs(self.study.logs))
        test = part.test["utterance_id"].to_list()
        self._embed_start(learner, trainer, fold, test, settings)
        best = trainer.train(learner, self._load(part.train, settings, seed), self._load(part.dev, settings))
        trainer.test(learner, self._load(test, settings))
        outputs = self._note(run, part, learner, curve)
        # Only of the task's own corpus: the others' values may be on another scale, their classes of another kind.
        own = part.test["corpus"] == self.study.tasks[self.tables.setting.task].corpus
        return model, best, self.clips.score(part.test.filter(own), outputs[own.to_numpy()])

    def _load(self, names: Sequence[str], settings: Finetuning, seed: int | None = None) -> Any:
        return self.signals.load(names, self.clips, self.backbone, settings, seed)

    def _embed_start(
        self, learner: TestedLearner, trainer: Trainer, fold: int, test: Sequence[str], settings: Finetuning
    ) -> None:
        """Embed a fold's test clips with the starting point, once for all of its runs."""
        if fold not in self.start_points:
            trainer.test(learner, self._load(test, settings))
            self.start_points[fold] = {name: embedding for name, (embedding, _) in learner.take_tested().items()}

    def _note(self, run: RunKey, part: Partition, learner: TestedLearner, curve: Curve) -> np.ndarray:
        """Add the run to the tables; returns its (n_test, n_outputs) outputs."""
        tested, start = learner.take_tested(), self.start_points[run[1]]
        names = part.test["utterance_id"]
        tuned, outputs = (np.stack(arrays) for arrays in zip(*(tested[name] for name in names), strict=True))
        self.tables.add_predictions(run, part.test, outputs)
        self.tables.add_embeddings(run, part.test, tuned, np.stack([start[name] for name in names]))
        self.tables.add_curve(run, curve)
        return outputs


class _ModelKeeper:
    """Saves fine-tuned models by `keep_models`: none, the best of the job by its score on dev, or all.

    Args:
        study: the configuration.
        setting: of the job.
        job: builds the models.
        folder: where models are until the job is done.
    """

    def __init__(self, study: Study, setting: Setting, job: _Finetuning, folder: Path) -> None:
        self.study, self.setting, self.job, self.folder = study, setting, job, folder
        self.best: dict[str, Any] = {}
        self._changed = False

    def consider(self, run: RunKey, model: FinetunedBackbone, trained: BestWeights, tested: float | None) -> None:
        """Save the model, or remember it if it is the best so far; `tested` is its score on test clips, if there are any."""
        if find_rank() > 0:
            return
        if self.study.keep_models == "all":
            self._write(run, model, trained.score[0], tested)
        elif self.study.keep_models == "best" and (not self.best or trained.score > tuple(self.best["score"])):
            self.best = {"run": list(run), "score": list(trained.score), "state": trained.state, "tested": tested}
            self._changed = True

    def save(self, folder: Path) -> None:
        """Put the best model so far on disk, for when the job is killed."""
        if self._changed:
            save_object(self.best, folder / "best.pt")
            self._changed = False

    def load(self, folder: Path) -> bool:
        """Take up the best model of a job that was killed; False if it is damaged."""
        if (folder / "best.pt").is_file():
            self.best = load_object(folder / "best.pt") or {}
            return bool(self.best)
        return True

    def finish(self, models: Path) -> None:
        """Give what is kept its place, `models`."""
        if self.best:
            resampling, fold, seed = self.best["run"]
            run = (resampling, fold, seed)
            model = self.job.build(run, self.job.clips.select(run))
            model.load_state_dict(self.best["state"])
            self._write(run, model, self.best["score"][0], self.best["tested"])
        models.mkdir(parents=True, exist_ok=True)
        for folder in sorted(self.folder.glob("*")):
            place = models / folder.name
            shutil.rmtree(place, ignore_errors=True)
            # A second name: the first goes when the whole output is there, of which Snakemake deletes a part.
            shutil.copytree(folder, place, copy_function=link_or_copy)

    def _write(self, run: RunKey, model: FinetunedBackbone, dev: float, tested: float | None) -> None:
        name, setting, clips = self.setting.name(run), self.setting, self.job.clips
        corpora, objectives = [self.study.tasks[setting.task].corpus], {}
        card: dict[str, Any] = {
            "title": name,
            "study": self.study.study,
            "starting point": f"{setting.backbone}.{setting.start}",
            "fine-tuned on": f"{corpora[0]} ({setting.subset} training clips)",
            f"dev {clips.metric}": f"{dev:.3f}",
        }
        if tested is not None:
            about = f"this run on its fold of {corpora[0]}; means over runs are in the report"
            card[f"test {clips.metric}"] = f"{tested:.3f} ({about})"
        if setting.start != "original":
            adaptation = self.study.adaptations[setting.start]
            objectives = adaptation.objectives
            corpora += adaptation.corpora
            card |= {"Stage-1 corpora": adaptation.corpora, "Stage-1 objectives (weight)": objectives}
        classifier = EmotionClassifier(model.backbone, model.head, **{clips.kind: clips.outputs})
        classifier.save(self.folder / name, card | {"licences": list_terms(self.study, corpora, objectives)})
        force_to_disk(self.folder / name)


def _place_state(
    study: Study,
    setting: Setting,
    runs: Sequence[RunKey],
    models: Path,
    inputs: Sequence[Path],
) -> Path:
    # What is left out is of other jobs: seeds are in the names of runs.
    others = {"seeds", "egemaps_baseline", "egemaps_epochs", "egemaps_learning_rate", "egemaps_normalise", "classical"}
    # Which model is the best, and which are kept, is a matter of all runs; tables are looked up run by run.
    whole = [] if study.keep_models == "adapted" else list(runs)
    settings = [study.finetuning.model_dump_json(exclude=others), study.keep_models, whole]
    return place_job(study, setting, settings, [__name__], inputs, models, study.backbones[setting.backbone])
