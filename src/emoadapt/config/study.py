"""Configuration of a whole study."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, create_model, field_validator, model_validator

from emoadapt.config.architectures import AnyBackbone, join_backbones
from emoadapt.config.backbones import Backbone
from emoadapt.config.base import Name, Section, expand_variables, repeated_values
from emoadapt.config.features import Features, build_features, gives_stream, list_upstream, needs_video
from emoadapt.config.importers import AnyCorpus, join_importers
from emoadapt.config.methods import AnyAdaptation, AnyFinetuning, join_methods
from emoadapt.config.report import Report
from emoadapt.config.tables import TableConfig
from emoadapt.config.tasks import Task
from emoadapt.config.training import Adaptation, Finetuning, Optimisation, list_values
from emoadapt.config.trials import check_tested_parts, find_unpaired
from emoadapt.config.upstream import find_upstream_problems
from emoadapt.errors import Change, Problem, Problems, Removal
from emoadapt.fixes import add_video, find_unknown, leave_out, limit, lower_layer, name_layers, take_out
from emoadapt.plugins import (
    FOLDER_VARIABLE,
    collect_declarations,
    list_plugins,
    load_plugin,
    read_declaration,
    read_declarations,
)
from emoadapt.study.nodes import DEFAULT, ORIGINAL, Model, Setting, name_kept


def make_default_finetunings() -> dict[str, Finetuning]:
    """Fine-tunings of a study that names none."""
    return {DEFAULT: load_plugin("methods", "finetune").Config()}


class Study(Section):
    """A whole study."""

    study: Name
    """Its name, shown in the report."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto`: use a GPU if the machine has one. `cpu`: use none; jobs run side by side. `cuda`: refuse to run without one."""
    models_dir: str | None = None
    """Folder of weights, absolute or relative to the folder that the study runs in; `${NAME}` and `~` as in `root`.
    null = `models/`."""
    corpora: dict[Name, AnyCorpus] = Field(min_length=1)
    """Corpora by name; the key `importer` selects the kind."""
    features: Features = Features()
    """Settings of features, one section each."""
    backbones: dict[Name, AnyBackbone] = {}
    """Backbones by name; the key `architecture` selects the family."""
    adaptations: dict[Name, AnyAdaptation] = {}
    """Trainings without labels (Stage 1)."""
    finetunings: dict[Name, AnyFinetuning] = Field(default_factory=make_default_finetunings)
    """Trainings on the tasks (Stage 2). `default` is not part of a model's name, any other is: `hubert.adapted.probe`."""
    tasks: dict[Name, Task] = {}
    """Labelled tasks by name."""
    plugins: str | None = None
    """Folder of plug-ins of your own, absolute or relative to the folder that the study runs in; see docs/plugins.md."""
    report: Report = Report()
    tables: dict[Name, TableConfig] = {}
    """Tables and figures as a paper prints them, besides those of every report."""
    keep_models: Literal["adapted", "best", "all"] = "adapted"
    """Models to keep. `adapted`: those of Stage 1. `best`: also classifiers to predict with: of a fine-tuned model the run of each job (see
    `runs_per_job`) with the median score; a probe or support vector machine is fitted once more, on all labelled clips where several
    divisions were tested. `all`: also the classifier of every run."""
    runs_per_job: int = Field(5, ge=1)
    """Fine-tuning runs of one setting that share a process, which saves start-up time. Set 1 if many GPUs are idle."""
    extraction_threads: int = Field(1, ge=1)
    """CPU threads of an extraction job. Each thread is a process that computes one clip at a time (Whisper on a CPU: one process
    with all threads). 1 is as fast if a corpus has more shards than the machine has cores."""
    training_threads: int = Field(4, ge=1)
    """CPU threads of a training job, at most the cores of the machine. A head on vectors or on frozen layers gets 1. Set 1 if many
    small jobs run side by side."""
    gpus_per_job: int = Field(1, ge=1)
    """GPUs of one machine that share each batch of a training job. Results equal those of one GPU with the same batches, except for
    rounding and the draws of dropout."""
    checkpoint_minutes: float | None = Field(10.0, gt=0)
    """Minutes between checkpoints within an epoch. null: none within an epoch. Stage 1 also writes a checkpoint after each epoch, and
    every job on SIGTERM."""
    logs: tuple[Literal["csv", "tensorboard"], ...] = ()
    """Logs of training runs in `logs/training/<run>/`. `tensorboard` needs the library tensorboardX."""
    code: Literal["digest", "version"] = "digest"
    """Change that makes results stale. `digest`: of the code that computed them. `version`: of the release. Your own plug-ins count
    by their code either way, and libraries by their version."""
    _left_out: dict[str, str] = PrivateAttr(default_factory=dict)

    @field_validator("models_dir")
    @classmethod
    def _expand(cls, value: str | None) -> str | None:
        return None if value is None else expand_variables(value)

    @model_validator(mode="after")
    def _references(self) -> Study:
        problems = [
            problem.below(f"backbones.{name}")
            for name, backbone in self.backbones.items()
            for problem in backbone.link(self.backbones)
        ]
        for name, adaptation in self.adaptations.items():
            problems += self._check_adaptation(name, adaptation)
        for name, finetuning in self.finetunings.items():
            problems += self._check_finetuning(name, finetuning)
        for name, backbone in self.backbones.items():
            problems += self._check_subsets(f"backbones.{name}.subsets", backbone, list(self.tasks))
            problems += self._check_lengths(name, backbone)
            problems += self._check_features(name, backbone)
        problems += self._find_idle_keys()
        for name, task in self.tasks.items():
            problems += self._check_task(name, task)
        problems += self._find_unseen()
        generated = collect_declarations("corpora", "GENERATED")
        roots = [corpus.root for corpus in self.corpora.values() if corpus.importer in generated]
        problems += [
            Problem("corpora", f"two generated corpora share the root {root}; give each its own")
            for root in repeated_values(roots)
        ]
        if not problems:
            problems = [
                *self._find_idle(),
                *self._find_blind(),
                *self._find_unfit(),
                *self._find_unscaled(),
                *find_unpaired(self),
            ]
        if not problems:
            problems = find_upstream_problems(self)
        if problems:
            raise Problems(problems)
        return self

    def _check_task(self, name: str, task: Task) -> list[Problem]:
        """Problems of the name of a task, and of the corpora in it."""
        path = f"tasks.{name}"
        problems = find_unknown(f"{path}.corpus", task.corpus, self.corpora)
        problems += find_unknown(f"{path}.test_also", task.test_also, self.corpora)
        if task.target:
            problems += find_unknown(f"{path}.target.corpus", task.target.corpus, self.corpora)
        if name == "word_errors":
            problems.append(Problem(path, "this name is taken by a table of the results; choose another"))
        if name in ("all", "test"):
            problems.append(Problem(path, "in test_also this name means clips, and no task; choose another"))
        if task.corpus in task.others:
            key = "test_also" if task.corpus in task.test_also else "target.corpus"
            problems.append(Problem(f"{path}.{key}", f"{task.corpus} is the corpus trained on; name others"))
        return [*problems, *check_tested_parts(self, name)]

    def _find_unseen(self) -> list[Problem]:
        """Features of `features.also` that need video, where no corpus has any."""
        if any("video" in corpus.modalities for corpus in self.corpora.values()):
            return []
        return [
            Problem(
                "features.also",
                f"{name} needs video, and no corpus has it; add `modalities: [audio, video]` to a corpus "
                "or leave the feature out",
                *add_video(self.corpora),
                take_out("features.also", self.features.also, name),
            )
            for name in self.features.also
            if needs_video(name)
        ]

    def _check_adaptation(self, name: str, adaptation: Adaptation) -> list[Problem]:
        """What is wrong with an adaptation."""
        problems = find_unknown(f"adaptations.{name}.corpora", adaptation.corpora, self.corpora)
        problems += find_unknown(f"adaptations.{name}.backbones", adaptation.backbones or (), self.backbones)
        problems += find_unknown(f"adaptations.{name}.tasks", adaptation.tasks or (), self.tasks)
        used = [task for task in self.tasks if adaptation.tasks is None or task in adaptation.tasks]
        problems += self._check_subsets(f"adaptations.{name}.subsets", adaptation, used)
        if name == ORIGINAL:
            problems.append(
                Problem(f"adaptations.{name}", "this name is taken by models without adaptation; choose another")
            )
        adapted = [backbone for backbone in self.backbones if self._adapts(adaptation, backbone)]
        problems += self._check_adapted(name, adaptation, adapted)
        problems += self._find_untimed(f"adaptations.{name}", adaptation, adapted)
        if adaptation.judge in self.tasks:
            problems += self._check_judge(name, adaptation.judge)
        return problems + self._check_objectives(name, adaptation)

    def _check_adapted(self, name: str, adaptation: Adaptation, adapted: Sequence[str]) -> list[Problem]:
        """Check the backbones that an adaptation names, and its keys that concern them."""
        problems = [
            Problem(
                f"adaptations.{name}.backbones",
                f"{backbone} has no parameters that Stage 1 could train; leave it out",
                leave_out(f"adaptations.{name}.backbones", adaptation.backbones, backbone),
            )
            for backbone in adaptation.backbones or ()
            if backbone in self.backbones and not self.backbones[backbone].adaptable
        ]
        problems += [
            Problem(
                f"adaptations.{name}.backbones",
                f"{backbone} joins {', '.join(self.backbones[backbone].joined.values())}, and Stage 1 adapts "
                "one backbone at a time; leave it out",
                leave_out(f"adaptations.{name}.backbones", adaptation.backbones, backbone),
            )
            for backbone in adaptation.backbones or ()
            if backbone in self.backbones and not self.backbones[backbone].layered
        ]
        problems += [
            Problem(
                f"adaptations.{name}",
                f"backbone {backbone} has train_layers: 0, so that Stage 1 would change nothing of it; set "
                f"adaptations.{name}.train_layers, or name other backbones in adaptations.{name}.backbones",
                Change(f"adaptations.{name}.train_layers", "all"),
                Change(f"adaptations.{name}.backbones", ["NAME"]),
            )
            for backbone in adapted
            if getattr(adaptation.prepare(self.backbones[backbone]), "train_layers", "all") == 0
        ]
        return problems + [
            Problem(
                f"adaptations.{name}.{key}",
                f"backbone {backbone} has no such key, so that it would be ignored; remove it, or name other "
                f"backbones in adaptations.{name}.backbones",
                Removal(f"adaptations.{name}.{key}"),
                Change(f"adaptations.{name}.backbones", ["NAME"]),
            )
            for key in ("lora", "train_layers")
            if getattr(adaptation, key, None) is not None
            for backbone in adapted
            if key not in type(self.backbones[backbone]).model_fields
        ]

    def _check_objectives(self, name: str, adaptation: Adaptation) -> list[Problem]:
        """Check the objectives of an adaptation, and its keys that concern them."""
        known = list_objectives()
        problems = find_unknown(f"adaptations.{name}.objectives", adaptation.objectives, known, "objective")
        if not problems and all(
            read_declarations("objectives", objective).get("KEEPS") for objective in adaptation.objectives
        ):
            problems.append(
                Problem(
                    f"adaptations.{name}.objectives",
                    f"{', '.join(adaptation.objectives)} only keep the model as it is; name one that changes it",
                )
            )
        weighting = getattr(adaptation, "weighting", "fixed")
        if weighting != "fixed" and not any(known.get(objective) for objective in adaptation.objectives):
            problems.append(
                Problem(
                    f"adaptations.{name}.weighting",
                    f"{weighting} learns weights of objectives with a target; name one, or leave it out",
                    Change(f"adaptations.{name}.weighting", "fixed"),
                )
            )
        problems += [
            Problem(
                f"adaptations.{name}.augment",
                f"objective {objective} has a target for each frame, and an augmentation may move sounds in time; "
                "remove one of the two",
                Removal(f"adaptations.{name}.augment"),
                Removal(f"adaptations.{name}.objectives.{objective}"),
            )
            for objective in adaptation.objectives
            if known.get(objective)
            and isinstance(adaptation, Optimisation)
            and adaptation.augmentations
            and read_declarations("objectives", objective).get("LAYOUT") == "frames"
        ]
        videos = [c for c in adaptation.corpora if c in self.corpora and "video" in self.corpora[c].modalities]
        for objective in adaptation.objectives:
            if (feature := known.get(objective)) and needs_video(feature) and not videos:
                problems.append(
                    Problem(
                        f"adaptations.{name}.objectives.{objective}",
                        f"it needs video, and none of {', '.join(adaptation.corpora)} "
                        "has it; add `modalities: [audio, video]` to a corpus or leave the objective out",
                        *add_video(c for c in adaptation.corpora if c in self.corpora),
                        Removal(f"adaptations.{name}.objectives.{objective}"),
                    )
                )
        return problems

    def _check_judge(self, name: str, task: str) -> list[Problem]:
        """Check that the task by whose dev part an adaptation chooses its epoch has one such part, with classes."""
        config, path = self.tasks[task], f"adaptations.{name}.select"
        if not config.classes:
            return [
                Problem(path, f"a probe predicts classes, and task {task} has none; write loss", Change(path, "loss"))
            ]
        if config.partitions > 1 or config.split.by in ("folds", "leave_one_speaker_out", "leave_one_part_out"):
            return [
                Problem(
                    path,
                    f"task {task} has several dev parts, and what is dev in one is test in another; write loss, or give each part a "
                    "task and an adaptation of its own",
                    Change(path, "loss"),
                )
            ]
        return []

    def _check_finetuning(self, name: str, finetuning: Finetuning) -> list[Problem]:
        """What is wrong with a fine-tuning."""
        path = f"finetunings.{name}"
        problems = find_unknown(f"{path}.backbones", finetuning.backbones or (), self.backbones)
        if name == ORIGINAL:
            problems.append(Problem(path, "this name is taken by models without adaptation; choose another"))
        problems += find_unknown(f"{path}.starts", finetuning.starts or (), [ORIGINAL, *self.adaptations])
        problems += find_unknown(f"{path}.tasks", finetuning.tasks or (), self.tasks)
        used = [task for task in self.tasks if finetuning.tasks is None or task in finetuning.tasks]
        problems += self._check_subsets(f"{path}.subsets", finetuning, used)
        problems += self._check_questions(path, finetuning, used)
        problems += self._check_layers(path, finetuning)
        if isinstance(finetuning, Optimisation) and "augment" in finetuning.model_fields_set:
            problems += [
                Problem(
                    f"{path}.augment",
                    f"it changes audio, and backbone {backbone} reads none; remove the key, or name other backbones in "
                    f"{path}.backbones",
                    Removal(f"{path}.augment"),
                    Change(f"{path}.backbones", ["NAME"]),
                )
                for backbone, config in self.backbones.items()
                if "audio" not in config.features and self._trains(finetuning, backbone)
            ]
        problems += self._find_untimed(path, finetuning, [b for b in self.backbones if self._trains(finetuning, b)])
        if getattr(finetuning, "normalise", "train") != "train" and not finetuning.frozen:
            problems += [
                Problem(
                    f"{path}.normalise",
                    f"backbone {backbone} reads no vectors that could be z-scored; remove the key, or name backbones of "
                    f"`architecture: vector` in {path}.backbones",
                    Removal(f"{path}.normalise"),
                    Change(f"{path}.backbones", ["NAME"]),
                )
                for backbone, config in self.backbones.items()
                if config.adaptable and self._trains(finetuning, backbone)
            ]
        return problems

    def _check_questions(self, path: str, finetuning: Finetuning, used: Sequence[str]) -> list[Problem]:
        """Check that a fine-tuning can learn the kind of its tasks."""
        problems = [
            Problem(
                f"{path}.tasks",
                f"{finetuning.method} cannot learn {task}, a task of {self.tasks[task].kind}; leave it out{finetuning.hint_questions()}",
                leave_out(f"{path}.tasks", finetuning.tasks, task),
            )
            for task in finetuning.tasks or ()
            if task in self.tasks and self.tasks[task].kind not in finetuning.questions
        ]
        kinds = {self.tasks[task].kind for task in used}
        if finetuning.tasks is None and kinds and not kinds & set(finetuning.questions):
            problems.append(
                Problem(
                    path,
                    f"{finetuning.method} cannot learn tasks of {' and '.join(sorted(kinds))}, and the study has no others; remove "
                    f"the fine-tuning, or add a task of {' or '.join(finetuning.questions)}{finetuning.hint_questions()}",
                    Removal(path),
                )
            )
        return problems

    def _check_layers(self, path: str, finetuning: Finetuning) -> list[Problem]:
        """Check the layers and branches that a fine-tuning reads."""
        problems = [
            Problem(
                f"{path}.layer",
                f"layer {layer} is asked for, and backbone {backbone} has {name_layers(config.depth - 1)}; choose another, or "
                f"name other backbones in {path}.backbones",
                *lower_layer(f"{path}.layer", finetuning.layer, config.depth - 1),  # type: ignore[attr-defined]
                Change(f"{path}.backbones", ["NAME"]),
            )
            for backbone, config in self.backbones.items()
            for layer in list_values(getattr(finetuning, "layer", None))
            if isinstance(layer, int)
            and config.depth is not None
            and layer >= config.depth
            and self._trains(finetuning, backbone)
        ]
        named = {name: self.backbones[name] for name in finetuning.backbones or () if name in self.backbones}
        weighted = list_values(getattr(finetuning, "layer", None)) == ("weighted",)
        trained_by_epochs = getattr(finetuning, "by_epochs", []) == [*getattr(finetuning, "classifiers", [None])]
        problems += [
            Problem(
                f"{path}.backbones",
                f"{backbone} joins {', '.join(config.joined.values())}, whose layers are read with learned weights alone; set "
                "method: probe, layer: weighted and classifier: linear or mlp, or leave it out",
                *([Change(f"{path}.layer", "weighted")] if trained_by_epochs else []),
                leave_out(f"{path}.backbones", finetuning.backbones, backbone),
            )
            for backbone, config in named.items()
            if finetuning.reads_layers and not config.layered and not weighted
        ]
        problems += [
            Problem(
                f"{path}.backbones",
                f"{backbone} joins a vector of descriptors, and {finetuning.method} trains encoders; name it in a probe, or leave it out",
                leave_out(f"{path}.backbones", finetuning.backbones, backbone),
            )
            for backbone, config in named.items()
            if config.read_frozen and not finetuning.frozen
        ]
        if (branch := getattr(finetuning, "branch", None)) is not None:
            problems += [
                Problem(
                    f"{path}.branch",
                    f"backbone {backbone} has no branch {branch} ({', '.join(config.branches) or 'it has none'}); remove the key, "
                    f"or name other backbones in {path}.backbones",
                    Removal(f"{path}.branch"),
                    Change(f"{path}.backbones", ["NAME"]),
                )
                for backbone, config in self.backbones.items()
                if branch not in config.branches and self._trains(finetuning, backbone)
            ]
        return problems

    def _find_untimed(self, path: str, settings: object, backbones: Sequence[str]) -> list[Problem]:
        """Keys of a training that count seconds, for backbones whose first stream has none: they would be ignored."""
        firsts = {name: next(iter(self.backbones[name].streams.values()), None) for name in backbones}
        return [
            Problem(
                f"{path}.{key}",
                f"{first.feature}, the first that backbone {name} reads, has no seconds; remove the key, or name "
                + (
                    "a part that reads audio first"
                    if self.backbones[name].joined
                    else f"other backbones in {path}.backbones"
                ),
                Removal(f"{path}.{key}"),
            )
            for key in ("max_seconds", "batch_seconds")
            if getattr(settings, key, None) is not None
            for name, first in firsts.items()
            if first is not None and not first.timed
        ]

    def _find_idle_keys(self) -> list[Problem]:
        """Keys of frozen backbones that no training reads."""
        return [
            Problem(
                f"backbones.{name}.{key}",
                "train_layers: 0 leaves nothing of the model to train; remove one of the two keys",
                Removal(f"backbones.{name}.{key}"),
                Removal(f"backbones.{name}.train_layers"),
            )
            for name, config in self.backbones.items()
            if getattr(config, "train_layers", "all") == 0 and len(self.starts(name)) == 1
            for key in ("learning_rate_factor", "cnn")
            if getattr(config, key, None) not in (None, 1.0, "frozen")
        ]

    def _check_features(self, name: str, backbone: Backbone) -> list[Problem]:
        """What is wrong with the features that a backbone reads."""
        if backbone.joined:
            return []  # they are those of its parts
        known, path = list_plugins("features"), f"backbones.{name}.reads"
        reads = backbone.features
        problems = find_unknown(path, reads[0] if len(reads) == 1 else reads, known, "feature")
        for stream in () if problems else backbone.streams.values():
            if not gives_stream(stream.feature, stream):
                fitting = [n for n in known if gives_stream(n, replace(stream, feature=n, column=n))]
                problems.append(
                    Problem(
                        path,
                        f"{stream.feature} gives no {stream.layout} for each clip; there is {', '.join(fitting) or 'none'}",
                    )
                )
        return problems

    def find_tested_tasks(self, task: str) -> dict[str, str]:
        """Map corpora of `test_also` of which a part is tested to the task whose test part it is."""
        return {
            corpus: next(n for n, config in self.tasks.items() if config.corpus == corpus and whose in ("test", n))
            for corpus, whose in self.tasks[task].tested_parts.items()
        }

    def list_tested_tasks(self, task: str) -> dict[str, Task]:
        """Tasks whose test parts a task is tested on, by name."""
        return {name: self.tasks[name] for name in self.find_tested_tasks(task).values()}

    def count_partitions(self, task: str) -> int:
        """Count the partitions of a task: of its own corpus, or of the test parts that it is also tested on if these have more."""
        return max(config.partitions for config in (self.tasks[task], *self.list_tested_tasks(task).values()))

    def _find_unfit(self) -> list[Problem]:
        """Fine-tunings that cannot train a backbone on a task."""
        found: dict[str, dict[tuple[str, str], str | None]] = {}
        for setting in self.list_settings():
            backbone, _, name = setting.model
            problem = self.finetunings[name].find_problem(self.backbones[backbone], self.tasks[setting.task])
            found.setdefault(name, {})[backbone, setting.task] = problem
        return [
            Problem(
                f"finetunings.{name}",
                f"backbone {backbone}, task {task}: {problem}",
                *limit(
                    f"finetunings.{name}", ("backbones", "tasks"), {pair: bool(said) for pair, said in each.items()}
                ),
            )
            for name, each in found.items()
            for (backbone, task), problem in each.items()
            if problem
        ]

    def _find_unscaled(self) -> list[Problem]:
        """Fine-tunings that read the layers of an original whose input nobody has scaled."""
        models = dict.fromkeys(setting.model for setting in self.list_settings())
        unscaled = [
            model
            for model in models
            if self.backbones[model.backbone].standardised
            and self.finetunings[model.finetuning].reads_layers
            and (model.start == ORIGINAL or not self.backbones[model.backbone].layered)
        ]
        return list(dict.fromkeys(map(self._explain_unscaled, unscaled)))

    def _explain_unscaled(self, model: Model) -> Problem:
        path = f"finetunings.{model.finetuning}"
        said = f"backbone {model.backbone} z-scores its input with statistics of the clips that it is trained on, which the frozen original has none of"
        others = leave_out(f"{path}.backbones", self.finetunings[model.finetuning].backbones, model.backbone)
        if not self.backbones[model.backbone].layered:
            return Problem(path, f"a part of {said}; leave {model.backbone} out of {path}.backbones", others)
        starts = self.starts(model.backbone)[1:]
        return Problem(
            path,
            f"{said}; name adaptations in {path}.starts, or other backbones",
            *([Change(f"{path}.starts", starts, "of all its backbones")] if starts else []),
            others,
        )

    def _find_blind(self) -> list[Problem]:
        """Backbones that read what is computed from pictures, on tasks with a corpus that has none."""
        pairs = dict.fromkeys((setting.model.backbone, setting.task) for setting in self.list_settings())
        return [
            Problem(
                f"backbones.{backbone}",
                f"{feature} needs video, and corpus {corpus} of task {task} has none; add `modalities: [audio, video]` "
                "to the corpus, or leave the task out of the fine-tuning's tasks",
                *add_video([corpus]),
            )
            for backbone, task in pairs
            for feature in filter(needs_video, self.backbones[backbone].features)
            for corpus in self.tasks[task].corpora
            if "video" not in self.corpora[corpus].modalities
        ]

    def _check_lengths(self, name: str, backbone: Backbone) -> list[Problem]:
        """Check that no stage crops to less than a backbone pads to."""
        stages: dict[str, Any] = {f"adaptations.{a}": self.adaptations[a] for a in self.starts(name)[1:]}
        stages |= {f"finetunings.{f}": c for f, c in self.finetunings.items() if self.tasks and self._trains(c, name)}
        padded = {
            backbone.joined.get(part, name): config for part, config in (backbone.parts or {"": backbone}).items()
        }
        return [
            Problem(
                f"backbones.{padded_name}.pad.seconds",
                f"{pad.seconds:g} s is more than {stage}.max_seconds, {settings.max_seconds:g} s, "
                "leaves of a clip; make it less, or leave one of them out",
                Change(f"backbones.{padded_name}.pad.seconds", settings.max_seconds),
            )
            for padded_name, config in padded.items()
            if (pad := getattr(config, "pad", None))
            for stage, settings in stages.items()
            if isinstance(settings, Optimisation) and settings.max_seconds and pad.seconds > settings.max_seconds
        ]

    def _check_subsets(self, path: str, owner: Backbone | Adaptation | Finetuning, tasks: list[str]) -> list[Problem]:
        sizes = {size for task in tasks for size in self.tasks[task].subsets}
        return find_unknown(path, owner.subsets or (), sizes) if tasks else []

    def _find_idle(self) -> list[Problem]:
        """Tasks that no model is trained on, and fine-tunings that train none."""
        settings = self.list_settings()
        tasks, finetunings = {s.task for s in settings}, {s.model.finetuning for s in settings}
        problems = [
            Problem(
                f"tasks.{name}",
                f"nothing is trained on it; add a backbone, or a fine-tuning that can learn {task.kind}",
            )
            for name, task in self.tasks.items()
            if name not in tasks
        ]
        return problems + [
            Problem(f"finetunings.{name}", "it trains nothing; see its keys backbones, starts, tasks and subsets")
            for name in self.finetunings
            if self.tasks and not problems and name not in finetunings
        ]

    def find_idle_names(self) -> list[Problem]:
        """Names in the lists of a fine-tuning that train nothing, since nothing else of it fits them."""
        problems = []
        for name, finetuning in self.finetunings.items():
            settings = [setting for setting in self.list_settings() if setting.model.finetuning == name]
            trained = {
                "backbones": {setting.model.backbone for setting in settings},
                "starts": {setting.model.start for setting in settings},
                "tasks": {setting.task for setting in settings},
                "subsets": {setting.subset for setting in settings},
            }
            problems += [
                Problem(
                    f"finetunings.{name}.{key}",
                    f"it trains nothing with {value}; take that out of the list, or see what else the "
                    "fine-tuning, the backbones and the adaptations are limited to",
                    leave_out(f"finetunings.{name}.{key}", getattr(finetuning, key), value),
                )
                for key, used in trained.items()
                for value in getattr(finetuning, key) or ()
                if self.tasks and str(value) not in used
            ]
        return problems

    def starts(self, backbone: str, task: str | None = None, subset: int | str | None = None) -> list[str]:
        """Starting points of a backbone: original, then the adaptations applied to it.

        Args:
            backbone: one of the study's.
            task: only those that are trained on it; None = all.
            subset: only those that are trained with so many clips; None = all.
        """
        config = self.backbones[backbone]
        if not _uses(config, subset):
            return []
        return [ORIGINAL] + [
            name
            for name, adaptation in self.adaptations.items()
            if self._adapts(adaptation, backbone)
            and (task is None or adaptation.tasks is None or task in adaptation.tasks)
            and _uses(adaptation, subset)
        ]

    def list_starts(
        self, finetuning: Finetuning, backbone: str, task: str | None = None, subset: int | str | None = None
    ) -> list[str]:
        """Starting points that a fine-tuning can have; arguments as those of `starts`.

        A probe of a fusion may start from the adaptations of its parts. Parts without the adaptation stay as they are.
        """
        found, config = self.starts(backbone, task, subset), self.backbones[backbone]
        if found and finetuning.reads_layers and not config.layered:
            found += [start for part in config.joined.values() for start in self.starts(part, task, subset)]
        return list(dict.fromkeys(found))

    def list_frozen(self, backbone: str, start: str) -> dict[str, str]:
        """Part of a fusion, or `layers` -> what a training on the frozen backbone reads: kept layers, or a feature that is a vector."""
        config = self.backbones[backbone]
        if not config.layered:
            starts = {part: start if start in self.starts(name) else ORIGINAL for part, name in config.joined.items()}
            return {part: self.list_frozen(name, starts[part])["layers"] for part, name in config.joined.items()}
        return {"layers": name_kept("layers", backbone, start) if config.adaptable else config.features[0]}

    @property
    def joined(self) -> set[str]:
        """Backbones that are parts of others."""
        return {part for config in self.backbones.values() for part in config.joined.values()}

    def _trains(self, finetuning: Finetuning, backbone: str) -> bool:
        """Whether a fine-tuning is applied to a backbone; to a part of another only if it names it."""
        if finetuning.backbones is not None:
            return backbone in finetuning.backbones
        config = self.backbones[backbone]
        readable = config.layered if finetuning.reads_layers else not config.read_frozen
        return backbone not in self.joined and readable

    def _adapts(self, adaptation: Adaptation, backbone: str) -> bool:
        """Whether an adaptation is applied to a backbone; to a part of another only if it, or a fine-tuning, names it."""
        config = self.backbones[backbone]
        if not config.adaptable or not config.layered:
            return False
        if adaptation.backbones is not None:
            return backbone in adaptation.backbones
        named = {name for finetuning in self.finetunings.values() for name in finetuning.backbones or ()}
        return backbone not in self.joined or backbone in named

    def list_kept(self, stage: Literal["stage1", "stage2"], backbone: str, start: str) -> dict[str, str]:
        """Names of the kept outputs that a training reads in place of streams, by the streams' roles.

        Args:
            stage: of the training.
            backbone: that is trained.
            start: `original`, or an adaptation.
        """
        found = self.backbones[backbone].list_kept(stage, start)
        return {
            role: name_kept(kept.kind, kept.backbone or backbone, ORIGINAL if kept.whose == "own" else start)
            for role, kept in found.items()
        }

    def list_settings(self, task: str | None = None) -> list[Setting]:
        """What is trained on tasks: every model with every number of training clips.

        Args:
            task: only those of a task; None = all.
        """
        return [
            Setting(name, Model(backbone, start, finetuning), str(size))
            for name, config in self.tasks.items()
            if task in (None, name)
            for backbone in self.backbones
            for finetuning, how in self.finetunings.items()
            if self._trains(how, backbone) and config.kind in how.questions and (how.tasks is None or name in how.tasks)
            for start in self.list_starts(how, backbone, name)
            if how.starts is None or start in how.starts
            for size in config.subsets
            if start in self.list_starts(how, backbone, name, size) and _uses(how, size)
        ]

    def list_models(self, task: str | None = None) -> list[Model]:
        """Models that are trained on tasks, or on one of them."""
        return list(dict.fromkeys(setting.model for setting in self.list_settings(task)))

    def keeps_embeddings(self, model: Model) -> bool:
        """Whether training changes a model's embeddings."""
        return self.backbones[model.backbone].adaptable and not self.finetunings[model.finetuning].frozen

    def keeps_frozen(self, model: Model) -> bool:
        """Whether every run keeps the classifier that a model puts on frozen layers, or on descriptors."""
        return self.keep_models == "all" and self.refits(model)

    def refits(self, model: Model) -> bool:
        """Whether a classifier on frozen layers, or on descriptors, is fitted once more to be kept.

        Statistics of a corpus or of a speaker are of clips that a prediction lacks, and descriptors must be computable from audio alone.
        """
        return self.keep_models != "adapted" and self.explain_unkept(model) is None and self._puts_on_frozen(model)

    def list_refits(self, task: str | None = None) -> list[Setting]:
        """Settings whose classifier is fitted once more: those with the most training clips of each task.

        Args:
            task: only those of a task; None = all.
        """
        found = [setting for setting in self.list_settings(task) if self.refits(setting.model)]
        most = {
            setting.task: max((one for one in found if one.task == setting.task), key=_count_clips).subset
            for setting in found
        }
        return [setting for setting in found if setting.subset == most[setting.task]]

    def explain_unkept(self, model: Model) -> str | None:
        """Why no classifier of a model can be kept, as the end of a sentence; None if it can."""
        settings, backbone = self.finetunings[model.finetuning], self.backbones[model.backbone]
        if not self._puts_on_frozen(model):
            if self.keeps_embeddings(model):
                return None
            advice = (
                "; method: probe with classifier: mlp can be kept"
                if settings.reads_clips and not settings.frozen
                else ""
            )
            return f"method: {settings.method} on {model.backbone} gives no model that emoadapt predict loads{advice}"
        if not backbone.layered:
            return f"{model.backbone} joins several backbones, and emoadapt predict reads layers of one"
        if (scope := settings.normalise) not in ("train", "none"):  # type: ignore[attr-defined]
            return f"normalise: {scope} needs statistics of unlabelled clips, which a prediction lacks; with normalise: train it can be kept"
        if seen := [name for feature in backbone.features for name in list_upstream(feature) if _needs_media(name)]:
            return f"{seen[0]} is not computed from audio, and emoadapt predict decodes audio only"
        return None

    def list_unkept(self, models: Sequence[Model]) -> list[str]:
        """A sentence for each reason why some of these models cannot be kept."""
        found: dict[str, list[str]] = {}
        for model in dict.fromkeys(models):
            if reason := self.explain_unkept(model):
                found.setdefault(reason, []).append(str(model))
        return [f"{', '.join(names)}: {reason}." for reason, names in found.items()]

    def _puts_on_frozen(self, model: Model) -> bool:
        settings = self.finetunings[model.finetuning]
        return settings.reads_layers and getattr(settings, "refitted", False)

    def list_adaptations_behind(self, model: Model) -> list[str]:
        """Adaptations that a model rests on: the one that it starts from, and those of models that it needs."""
        upstream = map(Model.parse, self.finetunings[model.finetuning].upstream)
        found = [model.start, *(name for other in upstream for name in self.list_adaptations_behind(other))]
        return [name for name in dict.fromkeys(found) if name in self.adaptations]

    def adaptations_of(self, task: str) -> list[str]:
        """Adaptations whose models are trained on a task."""
        return list(dict.fromkeys(model.start for model in self.list_models(task) if model.start != ORIGINAL))

    @property
    def left_out(self) -> dict[str, str]:
        """Left-out parts of the study: key path -> reason, such as `needs corpus msp_podcast`."""
        return dict(self._left_out)

    @property
    def weights_folder(self) -> Path:
        """Folder of weights."""
        return Path(self.models_dir or "models")

    @property
    def untrained(self) -> list[str]:
        """Backbones without pretrained weights."""
        return [name for name, backbone in self.backbones.items() if backbone.provenance == "untrained"]

    def __reduce__(self) -> Any:
        """Pickle as JSON; a new process builds the class with the study's plug-ins."""
        return _restore, (self.model_dump_json(exclude_unset=True), self._left_out)


def _restore(text: str, left_out: dict[str, str]) -> Study:
    study = find_study_class().model_validate_json(text, strict=True)
    study._left_out = left_out
    return study


_BUILT_WITH = os.environ.get(FOLDER_VARIABLE)
"""Folder of plug-ins whose sections `Study` knows."""


def find_study_class() -> type[Study]:
    """Find the class `Study` that knows the sections of the current plug-ins."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return Study if folder == _BUILT_WITH else _extend(folder)


@cache
def _extend(_folder: str | None) -> type[Study]:
    features = build_features()
    fields: dict[str, Any] = {
        "backbones": (dict[Name, join_backbones()], {}),  # type: ignore[misc]
        "features": (features, features()),
        "corpora": (dict[Name, join_importers()], Field(min_length=1)),  # type: ignore[misc]
        "adaptations": (dict[Name, join_methods("study", "adapt")], {}),  # type: ignore[misc]
        "finetunings": (
            dict[Name, join_methods("run", "finetune")],  # type: ignore[misc]
            Field(default_factory=make_default_finetunings),
        ),  # type: ignore[misc]
    }
    return create_model("Study", __base__=Study, **fields)


def _needs_media(feature: str) -> bool:
    """Whether a feature other than audio is computed from media files."""
    return feature != "audio" and bool(read_declaration("features", feature, "READS_MEDIA"))


def _count_clips(setting: Setting) -> float:
    return float("inf") if setting.subset == "full" else int(setting.subset)


def _uses(owner: Backbone | Adaptation | Finetuning, subset: int | str | None) -> bool:
    """Whether a training uses a number of clips; None = any."""
    return subset is None or owner.subsets is None or str(subset) in map(str, owner.subsets)


def list_objectives() -> dict[str, str | None]:
    """Objective name -> feature it takes its target from, None for one without target; read without importing torch."""
    declared = {name: read_declarations("objectives", name) for name in list_plugins("objectives")}
    return {name: found["FEATURE"] for name, found in declared.items() if "FEATURE" in found}


def objective_features() -> dict[str, str]:
    """Objective name -> feature it takes its target from, of those with a target."""
    return {name: feature for name, feature in list_objectives().items() if feature is not None}
