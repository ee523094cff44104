"""Stage 1: adapt a backbone to emotion on unlabelled clips (G25, Sec. III-D and III-F)."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from emoadapt import schema
from emoadapt.backbones.base import load_backbone
from emoadapt.config import objective_features
from emoadapt.data.batching import Batch
from emoadapt.data.clips import ClipStore
from emoadapt.data.objective_targets import describe_target, has_frames
from emoadapt.data.streams import AUDIO
from emoadapt.errors import DataError, ModelError, TrainingError
from emoadapt.flow.provenance import library_versions
from emoadapt.layers.heads import seeded
from emoadapt.layers.trainable import TrainableBackbone, mix_layers
from emoadapt.machine.ranks import count_ranks, find_rank
from emoadapt.objectives.base import (
    Constraint,
    Objective,
    Outputs,
    Untargeted,
    load_objective,
    load_untargeted,
    name_role,
)
from emoadapt.storage.agreement import refuse_other_number
from emoadapt.storage.files import force_to_disk, replace_folder
from emoadapt.storage.folders import seal_folder
from emoadapt.storage.frames import read_frame
from emoadapt.storage.tables import read_table, write_table
from emoadapt.training.checkpoints import Checkpoint
from emoadapt.training.curve import Curve
from emoadapt.training.epoch_probe import EpochProbe
from emoadapt.training.frame_targets import FrameTargets, open_frame_targets
from emoadapt.training.learner import Learner
from emoadapt.training.logs import open_logs
from emoadapt.training.signals import load_signals, measure_frames, note_cropped, open_sources
from emoadapt.training.states import name_state, remove_others
from emoadapt.training.totals import Term
from emoadapt.training.trainer import BestWeights, Trainer
from emoadapt.training.weighting import build_weighting
from emoadapt.weights.cards import list_terms

if TYPE_CHECKING:
    from emoadapt.training.jobs import AdaptationJob

logger = logging.getLogger(__name__)

PREVIEWED = 1000
"""Most training clips that an objective sees before training."""


def adapt(job: AdaptationJob) -> None:
    """Train a backbone on the objectives of an adaptation and save it.

    It writes the folder of the model (backbone in Hugging Face format, `heads.safetensors`, `adaptation.json`) and the curves.
    A run that was killed continues from its last checkpoint, if settings, starting weights, code, libraries and inputs are
    still the same. Of several processes that share each batch, the first writes.

    Args:
        job: its shards are `training` (audio, raw targets, masks; a missing column is masked), `frontend`, the cached output of the
            front end, where that is frozen, and the features that the backbone reads besides audio.

    Raises:
        TrainingError: no clips to train on, or the loss is not finite.
        Interrupted: the cluster ended the job; the next start continues.
        DataError: a table does not fit.
        ModelError: the backbone cannot be loaded, or not be compiled, or nothing of it would be trained.
    """
    torch.set_num_threads(max(1, job.threads // count_ranks()))
    settings, study = job.settings, job.study
    model = load_backbone(settings.prepare(job.config), study.weights_folder)
    model.set_cnn_trainable(not job.kept)
    with tempfile.TemporaryDirectory(prefix="emoadapt-") as scratch:
        clips = TrainingClips(job, model, Path(scratch))
        if model.standardised:
            model.fit_input(*measure_frames(next(iter(clips.sources.values())), clips.chosen["train"]))
        untargeted = clips.untargeted
        for objective in untargeted.values():
            objective.begin(model)
            objective.look(clips.preview)
        adapter = AdaptedBackbone(model, clips.objectives, clips.dimensions, settings.seed, settings.layer, untargeted)
        check_layer(adapter, job)
        if settings.compile:
            model.compile_layers()
        curve = Curve("stage1", job.name)
        probe = EpochProbe(job, model, Path(scratch)) if settings.judge else None
        learner = AdaptationLearner(adapter, clips.objectives, settings, curve, untargeted, probe)
        checkpoint = _place_checkpoint(job)
        state = Checkpoint(checkpoint, study.checkpoint_minutes)
        trainer = Trainer(study.device, settings, state, open_logs(study.logs))
        loaders = {part: clips.load(part) for part in ("train", "held_out")}
        best = trainer.train(learner, loaders["train"], loaders["held_out"])
    if find_rank() > 0:
        return
    padding = {part: round(loader.batch_sampler.padding_share, 4) for part, loader in loaders.items()}
    facts = clips.describe() | {"backbone": job.backbone, "adaptation": job.start, "padding": padding}
    facts |= _describe_best(best, curve)
    _save(adapter, facts, job, learner.epochs)
    provenance = {"backbone": job.backbone, "adaptation": job.start, **library_versions()}
    write_table(job.curves, curve.rows, schema.CURVES, provenance)
    checkpoint.unlink(missing_ok=True)


def check_layer(adapter: AdaptedBackbone, job: AdaptationJob) -> None:
    """See that the layer that the objectives read is there, and that something below it is trained.

    Raises:
        ModelError: the objectives could change nothing of the backbone.
    """
    layer, layers = adapter.layer, adapter.backbone.layers
    if not isinstance(layer, int):
        return
    where = f"adaptations.{job.start}.layer"
    if layer > len(layers):
        raise ModelError(
            f"{where}: {job.backbone} has layers 0 to {len(layers)}, and {layer} is asked for; choose another"
        )
    above = {id(parameter) for parameter in layers[layer:].parameters()}
    trained = [parameter for parameter in adapter.backbone.parameters() if parameter.requires_grad]
    if all(id(parameter) in above for parameter in trained):
        raise ModelError(
            f"{where}: nothing of {job.backbone} up to layer {layer} is trained, so that the objectives would change nothing; choose a "
            "higher layer, or more `train_layers`"
        )


class AdaptedBackbone(nn.Module):
    """A backbone with one head per objective; a head's initial weights depend on the seed and its name only.

    Args:
        backbone: what is adapted.
        objectives: that have a head.
        dimensions: of their targets.
        seed: of the heads.
        layer: that the heads read, as `methods.adapt.Config.layer`; layer weights of their own are no part of the backbone.
        untargeted: objectives without target, some of which have a head too.
    """

    def __init__(
        self,
        backbone: TrainableBackbone,
        objectives: Mapping[str, Objective],
        dimensions: Mapping[str, int],
        seed: int,
        layer: int | str | None = None,
        untargeted: Mapping[str, Untargeted] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.layer = layer
        own = layer == "weighted" and backbone.layer_weights is None
        self.layer_weights = nn.Parameter(torch.zeros(len(backbone.layers) + 1)) if own else None
        self.heads = nn.ModuleDict()
        for name, objective in objectives.items():
            with seeded(zlib.crc32(f"{seed}/{name}".encode())):
                branch = objective.branch
                width = backbone.width if branch is None else backbone.measure_branch(branch)
                self.heads[name] = objective.head(width, dimensions[name])
        for name, found in (untargeted or {}).items():
            if (head := found.head(backbone, zlib.crc32(f"{seed}/{name}".encode()))) is not None:
                self.heads[name] = head

    @property
    def reads_several(self) -> bool:
        """Whether `read` needs more than the last layer."""
        return self.layer not in (None, "last") or (self.layer is None and self.backbone.layer_weights is not None)

    def read(self, states: Sequence[Tensor]) -> Tensor:
        """What the heads read before pooling, of the transformer's input and each layer's output."""
        if self.layer_weights is not None:
            return mix_layers(self.layer_weights, states)
        if isinstance(self.layer, int):
            return states[self.layer]
        return states[-1] if self.layer == "last" else self.backbone.read(states)

    def note_state(self) -> dict[str, float]:
        """Layer weights of its own, which sum to 1."""
        weights = [] if self.layer_weights is None else self.layer_weights.detach().softmax(dim=0).tolist()
        return {f"layer_weight_{number:02d}": weight for number, weight in enumerate(weights)}


class AdaptationLearner(Learner):
    """Learner of a weighted sum of objectives.

    The epoch with the smallest held-out total, under the configured weights, is kept; with a probe, the one that this scores highest.
    """

    def __init__(
        self,
        model: AdaptedBackbone,
        objectives: Mapping[str, Objective],
        settings: Any,
        curve: Curve,
        untargeted: Mapping[str, Untargeted] | None = None,
        probe: EpochProbe | None = None,
    ) -> None:
        self.probe = probe
        self.untargeted = untargeted or {}
        weights = {name: settings.objectives[name] for name in objectives}
        fixed = {name: settings.objectives[name] for name in self.untargeted}
        super().__init__(model, settings, curve, "held_out", settings.seed, weights | fixed)
        self.objectives = objectives
        self.reduction = settings.reduction
        self.over_all = settings.mean_over == "clips"
        if settings.weighting == "gradnorm" and (apart := [n for n, found in objectives.items() if found.branch]):
            raise TrainingError(
                f"{curve.run}: weighting gradnorm compares gradients at the pooled embedding, which {', '.join(apart)} "
                f"{'does' if len(apart) == 1 else 'do'} not read; write fixed or uncertainty"
            )
        self.weighting = build_weighting(settings.weighting, [*weights.values()])
        self._embedding: Tensor | None = None

    def measure(self, batch: Batch, *, keep: bool) -> dict[str, Term]:
        """One term per objective."""
        model = self.model
        every = model.reads_several or any(objective.reads_layers for objective in self.untargeted.values())
        outputs = Outputs(model.backbone, batch, self.position.step, every, model.read)
        self._embedding = outputs.embedding if self.weighting is not None and not keep else None
        terms = {}
        for name, objective in self.objectives.items():
            prediction = objective.predict(outputs, model.heads[name])
            target, mask = objective.find_target(name, outputs)
            weight = objective.count(mask)
            clips = torch.full_like(weight, len(mask)) if self.over_all else None
            terms[name] = Term(objective.loss(prediction, target, mask, self.reduction), weight, clips)
            if keep:
                found = objective.collect(prediction[mask], target[mask])
                self._kept.append((name, *(tensor.cpu() for tensor in found)))
        heads = dict(model.heads.items())
        for name, untargeted in self.untargeted.items():
            measured = untargeted.measure(outputs, heads.get(name))
            terms[name] = Term(measured.loss, measured.weight)
            if keep:
                sums = {score: float(value * measured.weight) for score, value in measured.scores.items()}
                self._kept.append((name, sums, float(measured.weight)))
        return terms

    def combine(self, terms: Mapping[str, Term], total: Tensor) -> Tensor:
        """Combine the losses, under learned weights if configured."""
        if self.weighting is None or self._embedding is None:
            return total
        losses = torch.stack([terms[name].mean for name in self.objectives])
        present = torch.stack([terms[name].weight > 0 for name in self.objectives])
        fixed = [self.weights[name] * terms[name].share * terms[name].mean for name in self.untargeted]
        return self.weighting.combine(losses, present, self._embedding) + sum(fixed)

    def group_parameters(self) -> list[dict[str, Any]]:
        """The model's, those that are new with their own rate, and learned weights with theirs and without decay."""
        groups = super().group_parameters()
        if (rate := self.settings.head_learning_rate) is not None:
            own = {id(parameter) for parameter in self.model.backbone.parameters()}
            every, *factored = groups
            old, new = ([p for p in every["params"] if (id(p) in own) is known] for known in (True, False))
            groups = [{"params": old}, {"params": new, "lr": rate}, *factored]
        if self.weighting is not None:
            rate = self.settings.weighting_learning_rate
            groups.append({"params": [*self.weighting.parameters()], "lr": rate, "weight_decay": 0.0})
        return groups

    def settle(self) -> None:
        """Settle learned weights after a step."""
        if self.weighting is not None:
            self.weighting.settle()

    def note_state(self) -> dict[str, float]:
        """Learned weights of objectives and of layers."""
        noted = super().note_state()
        if self.weighting is not None:
            learned = zip(self.objectives, self.weighting.weights.tolist(), strict=True)
            noted |= {f"weight_{name}": value for name, value in learned}
        return noted

    def rate(self, losses: Mapping[str, float]) -> tuple[dict[str, float], tuple[float, ...]]:
        """Each objective's own metrics and the probe's; a higher score of the probe is better, then a smaller total loss."""
        scores = {}
        for name, objective in self.objectives.items():
            batches = (kept[1:] for kept in self._kept if kept[0] == name)
            collected = [torch.cat(tensors) for tensors in zip(*batches, strict=True)]
            if len(collected[0]):
                metrics = objective.metrics(*collected)
                scores |= {f"{metric}_{name}": value for metric, value in metrics.items()}
        for name in self.untargeted:
            found, weights = zip(*(kept[1:] for kept in self._kept if kept[0] == name), strict=True)
            if (total := sum(weights)) > 0:
                scores |= {f"{score}_{name}": sum(sums[score] for sums in found) / total for score in found[0]}
        if self.probe is None:
            return scores, (-losses["loss"],)
        f1 = self.probe.score(self.model.backbone)
        return scores | {"f1_probe": f1}, (f1, -losses["loss"])


class TrainingClips:
    """The clips of an adaptation with their normalised targets."""

    def __init__(self, job: AdaptationJob, backbone: TrainableBackbone, scratch: Path) -> None:
        self.run, self.settings, self.backbone = job.name, job.settings, backbone
        targeted, names = objective_features(), sorted(job.settings.objectives)
        self.objectives = {name: load_objective(name) for name in names if name in targeted}
        self.untargeted = {name: load_untargeted(name) for name in names if name not in targeted}
        self.needs_target = all(isinstance(objective, Constraint) for objective in self.untargeted.values())
        self.assigned = read_frame(job.parts, schema.PARTS)
        self.corpora = dict(self.assigned.select("utterance_id", "corpus").iter_rows())
        columns = [*schema.training(tuple(name for name in self.objectives if not has_frames(name)))]
        if job.shards.keys() & job.kept.values() or AUDIO not in job.config.streams.values():
            columns = [column for column in columns if column.name != "audio"]
        for corpus, paths in job.shards["training"].items():
            refuse_other_number(self.assigned.filter(corpus=corpus).height, f"{job.parts} of {corpus}", paths)
        paths = [path for corpus in job.shards["training"].values() for path in corpus]
        self.targets = ClipStore.build(paths, pa.schema(columns), scratch, self.corpora)
        self.sources = open_sources(job.config, job.shards, backbone, scratch, self.corpora, job.kept, self.targets)
        self.normalisers = _read_normalisers(job.normalisers)
        self.frames = {name: self._open_frames(name, job, scratch) for name in self.objectives if has_frames(name)}
        self.masks = {
            name: {clip: clip in self.frames[name].store for clip in self.targets.utterances}
            if name in self.frames
            else self.targets.column(f"mask_{name}")
            for name in self.objectives
        }
        self.dimensions = {name: self._find_dimension(name) for name in self.objectives}
        self.short = self._find_short()
        self.chosen = {part: self._choose(part) for part in ("train", "held_out")}
        lengths = [self.targets.value(name, "n_samples") for names in self.chosen.values() for name in names]
        self.cropped = note_cropped(self.run, lengths, self.settings)
        if find_rank() == 0:
            self._log_counts()
        for name, mask in self.masks.items():
            if find_rank() == 0 and not any(mask[clip] for clip in self.chosen["held_out"]):
                logger.warning(
                    "%s: none of the %d held-out clips has a target for %s, so the epoch is chosen without it; set a larger "
                    "`held_out`, or leave the objective out",
                    self.run, len(self.chosen["held_out"]), name,
                )  # fmt: skip

    def load(self, part: str) -> Any:
        """Loader of a part; only the training part is shuffled, and cropped at random where that is configured."""
        return self._load(self.chosen[part], self.settings.seed if part == "train" else None)

    def preview(self) -> Iterator[Any]:
        """Batches of training clips, at most `PREVIEWED` clips, drawn with the seed and cropped at the beginning.

        Of several processes each gets all of them, so that all learn the same.
        """
        names = sorted(self.chosen["train"])
        drawn = np.random.default_rng(self.settings.seed).permutation(len(names))[:PREVIEWED]
        loader = self._load([names[place] for place in drawn], None)
        for keys in loader.batch_sampler.arrange(0):
            yield loader.collate_fn([loader.dataset[key] for key in keys])

    def _load(self, names: Iterable[str], seed: int | None) -> Any:
        n_samples = {name: self.targets.value(name, "n_samples") for name in names}
        sources = self.sources | {name_role(name): source for name, source in self.frames.items()}
        return load_signals(sources, self.annotate, n_samples, self.settings, self.backbone, seed)

    def _open_frames(self, objective: str, job: AdaptationJob, scratch: Path) -> FrameTargets:
        """Target frames, of clips of corpora that have the feature."""
        shards = job.shards.get(describe_target(objective)[0], {})
        wanted = [name for name, corpus in self.corpora.items() if corpus in shards]
        loaded = self.objectives[objective]

        def normalise(utterance_id: str, frames: np.ndarray) -> np.ndarray:
            return self._normalise(objective, loaded, utterance_id, loaded.scale(frames))  # type: ignore[attr-defined]

        return open_frame_targets(objective, shards, self.backbone, scratch, wanted, normalise)

    def annotate(self, utterance_id: str) -> dict[str, Tensor]:
        """Targets and masks of a clip, frames apart; absent targets are zeros and masked."""
        values: dict[str, Tensor] = {}
        for name in self.objectives.keys() - self.frames.keys():
            present = bool(self.masks[name][utterance_id])
            values[f"mask_{name}"] = torch.tensor(present)
            zeros = torch.zeros(self.dimensions[name])
            values[f"target_{name}"] = self._read_target(utterance_id, name) if present else zeros
        return values

    def _read_target(self, utterance_id: str, name: str) -> Tensor:
        """The normalised target of a clip that has it."""
        objective = self.objectives[name]
        raw = objective.select(self.targets.vector(utterance_id, f"target_{name}"))
        if len(raw) != self.dimensions[name]:
            raise DataError(
                f"{utterance_id}: the {name} target has {len(raw)} dimensions, other clips have {self.dimensions[name]}; "
                "recompute the feature of all corpora with one model"
            )
        return torch.from_numpy(self._normalise(name, objective, utterance_id, raw))

    def describe(self) -> dict[str, Any]:
        """Facts for `adaptation.json`."""
        used = {name: len(clips) for name, clips in self.chosen.items()}
        return {
            "corpora": list(self.settings.corpora),
            "objectives": dict(sorted(self.settings.objectives.items())),
            "layer": self.settings.layer,
            "judge": self.settings.judge,
            "mean_over": self.settings.mean_over,
            "weighting": self.settings.weighting,
            "augment": [section.model_dump(mode="json") for section in self.settings.augmentations],
            "dimensions": self.dimensions,
            "utterances": used,
            "held_out_share": self.describe_held_out(),
            "targets": {name: self._count_targets(name) for name in self.objectives},
            "classes": {
                name: found
                for name in self.objectives
                if name not in self.frames and (found := self.count_classes(name))
            },
            "left_out": len(self.assigned) - sum(used.values()),
            "too_short": len(self.short),
            "cropped": self.cropped,
            "normalisers": [
                {"objective": objective, "corpus": corpus, "mean": mean.tolist(), "std": std.tolist()}
                for (objective, corpus), (mean, std) in sorted(self.normalisers.items())
                if objective in self.objectives
            ],
        }

    def _log_counts(self) -> None:
        """Log how many clips each objective is learned from, and how many are left out or cropped."""
        used = sum(map(len, self.chosen.values()))
        logger.info("%s: held out are %s", self.run, self.describe_held_out())
        for name in self.objectives:
            found = self._count_targets(name)
            logger.info(
                "%s: %d of %d training clips and %d of %d held-out clips have a target for %s",
                self.run, found["train"], len(self.chosen["train"]), found["held_out"], len(self.chosen["held_out"]), name,
            )  # fmt: skip
        if self.short:
            logger.info(
                "%s: %d of %d clips are left out, shorter than min_seconds (%g s)",
                self.run, len(self.short), len(self.assigned), self.settings.min_seconds,
            )  # fmt: skip
        if left_out := len(self.assigned) - used - len(self.short):
            logger.info(
                "%s: %d of %d clips are left out, without audio or without any target; see `emoadapt quarantine`",
                self.run, left_out, len(self.assigned),
            )  # fmt: skip

    def describe_held_out(self) -> str:
        """Describe the held-out share that drawing speakers gave: `14 of 100 clips (14.0 %), 0.10 of 0.75 h (13.3 %)`."""
        clips = {part: len(names) for part, names in self.chosen.items()}
        hours = {
            part: sum(self.targets.value(name, "n_samples") for name in names) / schema.SAMPLE_RATE / 3600
            for part, names in self.chosen.items()
        }
        held, all_clips, all_hours = clips["held_out"], sum(clips.values()), sum(hours.values())
        return (
            f"{held:,} of {all_clips:,} clips ({held / all_clips:.1%}), {hours['held_out']:.2f} of {all_hours:.2f} h "
            f"({hours['held_out'] / all_hours:.1%})"
        )

    def count_classes(self, objective: str) -> dict[str, list[list[int]]]:
        """Count the clips of each class.

        Returns:
            Part -> a list for each task of the objective; empty where its targets are no classes.
        """
        counts = {}
        for part, names in self.chosen.items():
            targets = [self._read_target(name, objective) for name in names if self.masks[objective][name]]
            classes = self.objectives[objective].classify(torch.stack(targets)) if targets else None
            if classes is not None:
                counts[part] = [task.bincount().tolist() for task in classes.unbind(dim=1)]
        return counts

    def _count_targets(self, objective: str) -> dict[str, int]:
        """Part -> its clips that have the target."""
        mask = self.masks[objective]
        return {part: sum(bool(mask[name]) for name in names) for part, names in self.chosen.items()}

    def _find_short(self) -> set[str]:
        """Clips with audio of less than `min_seconds`."""
        least = (self.settings.min_seconds or 0) * schema.SAMPLE_RATE
        return {name for name, n_samples in self.targets.column("n_samples").items() if n_samples < least}

    def _choose(self, part: str) -> list[str]:
        """Clips of the part that are long enough, with what the backbone reads, and at least one target where objectives need one."""
        first = next(iter(self.sources.values()))
        names = [
            name
            for name in self.assigned.filter(part=part)["utterance_id"]
            if name in self.targets
            and name in first.store
            and name not in self.short
            and (not self.needs_target or any(mask[name] for mask in self.masks.values()))
        ]
        if not names:
            if self.short:
                logger.info("%s: %d clips are shorter than min_seconds", self.run, len(self.short))
            raise TrainingError(
                f"{self.run}: no clip of the {part} part has {self.backbone.reads}{' and a target' if self.needs_target else ''}; "
                "see `emoadapt quarantine` for the reasons"
            )
        return names

    def _find_dimension(self, objective: str) -> int:
        if objective in self.frames and (dimension := self.frames[objective].count_values()):
            return dimension
        for name, present in self.masks[objective].items():
            if present:
                return len(self.objectives[objective].select(self.targets.vector(name, f"target_{objective}")))
        raise TrainingError(
            f"{self.run}: none of the {len(self.targets)} clips has a target for {objective}; "
            "see `emoadapt quarantine` for the reasons, or leave the objective out"
        )

    def _normalise(self, name: str, objective: Objective, utterance_id: str, raw: np.ndarray) -> np.ndarray:
        if not objective.normalised:
            return raw.astype(np.float32)
        corpus = self.corpora[utterance_id]
        found = self.normalisers.get((name, corpus)) or self.normalisers.get((name, "*"))
        if found is None:
            raise DataError(
                f"missing normaliser of {name} for corpus {corpus}; run the rule that fits normalisers again"
            )
        mean, std = found
        return ((raw - mean) / std).astype(np.float32)


def _place_checkpoint(job: AdaptationJob) -> Path:
    """Path of the checkpoint of a killed run.

    Its name changes with settings, weights, code, libraries and inputs.

    Threads, processes and device are no part of it: a run may continue elsewhere, and then ends with other last digits.
    States of this output under other names are removed.
    """
    modules = [
        f"emoadapt.methods.{job.settings.method}",
        *(f"emoadapt.{name}" for name in job.settings.list_modules()),
        *(f"emoadapt.objectives.{name}" for name in job.settings.objectives),
    ]
    inputs = [*job.files, job.parts, job.normalisers, *job.splits]
    settings = job.settings
    name = name_state(
        [settings.describe()], modules, settings.list_libraries(), inputs, job.config, job.study.weights_folder
    )
    job.output.parent.mkdir(parents=True, exist_ok=True)
    place = job.output.with_name(f".{job.output.name}.{name}.ckpt")
    if find_rank() == 0:
        remove_others(place, f".{job.output.name}.*.ckpt*")
    return place


def _read_normalisers(path: Path) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
    rows = read_table(path, schema.NORMALISERS).to_pylist()
    return {(row["objective"], row["corpus"]): (np.array(row["mean"]), np.array(row["std"])) for row in rows}


def _describe_best(best: BestWeights, curve: Curve) -> dict[str, Any]:
    kept = {row["metric"]: row["value"] for row in curve.rows if row["best"] and row["part"] == "held_out"}
    return {"best_epoch": best.epoch, "held_out": kept}


def _save(adapter: AdaptedBackbone, facts: dict[str, Any], job: AdaptationJob, epochs: int) -> None:
    """Write the folder beside its place, seal and rename it, so that it is whole or not there."""
    settings, study, output = job.settings, job.study, job.output
    part = output.with_name(f".{output.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    card = {
        "title": f"{facts['backbone']} adapted with {facts['adaptation']}",
        "study": study.study,
        "Stage-1 corpora": facts["corpora"],
        "objectives (weight)": facts["objectives"],
        "targets": {name: load_objective(name).name_engine(study.features) for name in facts["targets"]},
        "training clips": facts["utterances"]["train"],
        **({"left out as too short": facts["too_short"]} if facts["too_short"] else {}),
        "held out": facts["held_out_share"],
        "epochs (kept)": f"{epochs} ({facts['best_epoch']})",
        "held-out loss": f"{facts['held_out']['loss']:.4g}",
        **({"epoch chosen by": f"a probe on the labelled dev part of task {settings.judge}"} if settings.judge else {}),
        "licences": list_terms(study, facts["corpora"], facts["objectives"]),
    }
    if settings.augmentations:
        card["augmentation"] = [section.describe() for section in settings.augmentations]
    if settings.weighting != "fixed":
        card["weighting"] = f"{settings.weighting}: learned, beginning with the weights above"
    adapter.backbone.save(part, card)
    new = adapter.heads.state_dict()
    if adapter.layer_weights is not None:
        new["layer_weights"] = adapter.layer_weights.detach()
    save_file({name: value.contiguous() for name, value in new.items()}, part / "heads.safetensors")
    (part / "adaptation.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    seal_folder(part)
    force_to_disk(part)
    replace_folder(part, output)
