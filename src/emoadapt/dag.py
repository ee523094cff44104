"""The questions that the Snakefile asks about a study. Light: read again by every job of a cluster."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import suppress
from dataclasses import astuple
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from emoadapt.config import Backbone, Study, load_study, objective_features
from emoadapt.corpora.base import read_labels, read_utterances
from emoadapt.corpora.manifests import CorpusState, find_state
from emoadapt.errors import ConfigError, ModelError
from emoadapt.features.catalogue import (
    CNN_MODULES,
    describe_recipe,
    find_weights,
    needs_gpu,
    study_code,
    unreached_modules,
    upstream_features,
)
from emoadapt.flow.code import code_digest, digest, remember_modules
from emoadapt.flow.devices import list_devices
from emoadapt.flow.grid import CLASSICAL, HANDCRAFTED, Run, Setting, batches, count_gpus, settings
from emoadapt.flow.parts import Overtaken, write_text
from emoadapt.flow.shards import shard_names
from emoadapt.study.tables import list_comparisons
from emoadapt.models.registry import identity, locate
from emoadapt.data.objective_targets import describe_target
from emoadapt.schema import FEATURES as FEATURE_TABLES

RESULTS = "results"
STUDY_VARIABLE = "EMOADAPT_STUDY"
"""Environment variable through which rules hand the merged configuration to the command line."""


def open_study(config: dict[str, Any], basedir: str | Path) -> Graph:
    """Check the merged configuration and make it known to the commands that rules call.

    The interpreter that runs Snakemake becomes the one that `python -m emoadapt` starts in a rule's shell; an
    environment activated by `--sdm conda` still comes first.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    study = load_study(config)
    text = json.dumps(config, default=str)
    path = Path(RESULTS, ".cache", "studies", hashlib.sha256(text.encode()).hexdigest()[:12] + ".json").absolute()
    while not path.exists() or path.read_bytes() != text.encode():
        with suppress(Overtaken):  # by who writes the same, and may yet be killed
            write_text(path, text)
    os.environ[STUDY_VARIABLE] = str(path)
    remember_modules(Path(RESULTS, ".cache", "code").absolute())
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(basedir, "src")), os.environ.get("PYTHONPATH")]))
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return Graph(study)


class Graph:
    """Names, inputs and parameters of the jobs of a study."""

    def __init__(self, study: Study) -> None:
        self.study = study

    # --- corpora and features

    @cache  # noqa: B019 - one graph lives as long as the process
    def _state(self, corpus: str) -> CorpusState:
        return find_state(corpus, self.study.corpora[corpus])

    def shards(self, corpus: str) -> list[str]:
        """Shard names of a corpus."""
        return shard_names(self.study.corpora[corpus].shards)

    def manifest_state(self, corpus: str, shard: str) -> str:
        """Fingerprint of the clips of a shard."""
        return self._state(corpus).shards[int(shard)]

    def labels_state(self, corpus: str) -> str:
        """Fingerprint of a corpus's labels."""
        return self._state(corpus).labels

    def demo_state(self, corpus: str, shard: str) -> str:
        """Where the clips of a shard of a generated corpus lie, and what they are made from."""
        return f"{self.study.corpora[corpus].root} {self.manifest_state(corpus, shard)}"

    def media_ready(self, corpus: str, shard: str) -> list[str]:
        """What must exist before a shard's media can be read: the stamp of a generated one, nothing otherwise."""
        return [f"{RESULTS}/demo/{corpus}/{shard}.json"] if self.study.corpora[corpus].importer == "demo" else []

    def recipe(self, feature: str) -> str:
        """What decides a feature's rows besides their input, as one string."""
        columns = [(field.name, str(field.type)) for field in FEATURE_TABLES[feature]]
        return digest(astuple(describe_recipe(self.study, feature)), columns)

    def gpus_for(self, feature: str) -> int:
        """GPUs that a shard of a feature asks for."""
        return int(needs_gpu(self.study, feature))

    def code(self, *modules: str, backbone: str | None = None) -> str:
        """Digest of modules of this package and of what they import, for a backbone what it reaches of them."""
        without = unreached_modules(self.study.backbones[backbone]) if backbone else ()
        return study_code(self.study, *(f"emoadapt.{module}" for module in modules), without=without)

    def feature_shards(self, feature: str, corpus: str) -> list[str]:
        """All shards of a feature of a corpus."""
        return [f"{RESULTS}/features/{feature}/{corpus}/{shard}.parquet" for shard in self.shards(corpus)]

    def manifests(self, corpus: str) -> list[str]:
        """All manifest shards of a corpus."""
        return [f"{RESULTS}/manifests/{corpus}/{shard}.parquet" for shard in self.shards(corpus)]

    # --- Stage 1

    def objective_set(self, adaptation: str) -> str:
        """Names of an adaptation's objectives, sorted, joined by `+`: adaptations with the same share their shards."""
        return "+".join(sorted(self.study.adaptations[adaptation].objectives))

    def objective_sets(self) -> list[str]:
        """All sets in use."""
        return list(dict.fromkeys(self.objective_set(name) for name in self.study.adaptations))

    @cached_property
    def _objective_features(self) -> dict[str, str]:
        return objective_features()

    def target_feature(self, objective: str, corpus: str) -> str | None:
        """Feature of an objective's target, or None where the corpus lacks the modality."""
        feature = self._objective_features[objective]
        return feature if self._has_modality(feature, corpus) else None

    def _has_modality(self, feature: str, corpus: str) -> bool:
        """Whether a corpus has what a feature is computed from."""
        return "faces" not in upstream_features(feature) or "video" in self.study.corpora[corpus].modalities

    def training_inputs(self, objectives: str, corpus: str, shard: str) -> list[str]:
        """Feature shards that a training shard is packed from: audio first, then targets by objective."""
        features = [self.target_feature(objective, corpus) for objective in objectives.split("+")]
        names = dict.fromkeys(["audio", *(feature for feature in features if feature)])
        return [f"{RESULTS}/features/{name}/{corpus}/{shard}.parquet" for name in names]

    @cache  # noqa: B019 - one graph lives as long as the process
    def training_columns(self, objectives: str) -> str:
        """Feature and column of each target, which the packing of a shard reads from the objectives' modules."""
        return " ".join(f"{name}:{':'.join(describe_target(name))}" for name in objectives.split("+"))

    def training_shards(self, adaptation: str) -> list[str]:
        """All training shards of an adaptation."""
        folder = f"{RESULTS}/training/{self.objective_set(adaptation)}"
        corpora = self.study.adaptations[adaptation].corpora
        return [f"{folder}/{corpus}/{shard}.parquet" for corpus in corpora for shard in self.shards(corpus)]

    def normaliser_inputs(self, adaptation: str) -> list[str]:
        """Feature shards of the targets of an adaptation."""
        config = self.study.adaptations[adaptation]
        found = [
            path
            for corpus in config.corpora
            for objective in sorted(config.objectives)
            if (feature := self.target_feature(objective, corpus))
            for path in self.feature_shards(feature, corpus)
        ]
        return list(dict.fromkeys(found))

    def cnn_source(self, backbone: str, start: str, stage: str) -> str | None:
        """Name of the frozen CNN whose cached output a stage trains from; None where the CNN is trained."""
        config = self.study.backbones[backbone]
        if config.trains_cnn(stage, start):  # type: ignore[arg-type]
            return None
        return backbone if config.cnn_mode == "frozen" else f"{backbone}.{start}"

    def cnn_shards(self, source: str | None, corpora: tuple[str, ...]) -> list[str]:
        """Cached CNN output of corpora; empty without a source."""
        return [] if source is None else [path for c in corpora for path in self.feature_shards(f"cnn.{source}", c)]

    def cnn_code(self, source: str) -> str:
        """Digest of the code that computes a CNN's output."""
        backbone = self.study.backbones[source.split(".")[0]]
        return study_code(self.study, *CNN_MODULES, without=unreached_modules(backbone))

    def cnn_model(self, source: str) -> list[str]:
        """The Stage-1 model that a cached CNN is taken from; empty for a backbone's own."""
        return [f"{RESULTS}/models/{source}"] if "." in source else []

    def cnn_state(self, source: str) -> str:
        """What decides the output of a frozen CNN besides a Stage-1 model that it is taken from."""
        config = self.study.backbones[source.split(".")[0]]
        return f"{config.describe_cnn()} {self._weights_state(config)}".strip()

    def backbone_state(self, backbone: str) -> str:
        """A backbone's configuration and the content of its weights."""
        config = self.study.backbones[backbone]
        return f"{config.describe()} {self._weights_state(config)}".strip()

    def _weights_state(self, config: Backbone) -> str:
        return "" if config.weights is None else identity(config.weights, self.study.weights_folder, config.revision)

    def stage1_cnn(self, backbone: str, adaptation: str) -> list[str]:
        """Cached CNN output that Stage 1 trains from; empty where it trains the CNN."""
        corpora = self.study.adaptations[adaptation].corpora
        return self.cnn_shards(self.cnn_source(backbone, adaptation, "stage1"), corpora)

    def stage1_state(self, adaptation: str) -> str:
        """An adaptation's configuration, without what says where it is applied."""
        return self.study.adaptations[adaptation].describe()

    def stage1_code(self, backbone: str, adaptation: str) -> str:
        """Digest of the code of Stage 1 with the objectives that it uses."""
        return self.code("training.stage1", *self._objective_modules(adaptation), backbone=backbone)

    def normaliser_code(self, adaptation: str) -> str:
        """Digest of the code that fits an adaptation's normalisers."""
        return self.code("data.normalisers", *self._objective_modules(adaptation))

    def _objective_modules(self, adaptation: str) -> list[str]:
        return [f"objectives.{name}" for name in sorted(self.study.adaptations[adaptation].objectives)]

    # --- Stage 2

    def task_corpora(self, task: str) -> tuple[str, ...]:
        """The corpus that a task trains on, then those it only tests on."""
        config = self.study.tasks[task]
        return (config.corpus, *config.test_also)

    @cache  # noqa: B019 - one graph lives as long as the process
    def folds(self, task: str) -> int:
        """Number of folds of a task."""
        split = self.study.tasks[task].split
        if split.by == "folds":
            return split.k
        if split.by not in ("leave_one_speaker_out", "leave_one_part_out"):
            return 1
        corpus = self.study.tasks[task].corpus
        config = self.study.tasks[task]
        used = {
            row.utterance_id
            for row in read_labels(corpus, self.study.corpora[corpus])
            if config.class_map.get(row.label or "", row.label) in config.classes
            or any(getattr(row, name) is not None for name in config.attributes)
        }
        utterances = read_utterances(corpus, self.study.corpora[corpus])
        unit = "speaker" if split.by == "leave_one_speaker_out" else "split"
        left_out = [getattr(u, unit) for u in utterances if u.utterance_id in used]
        return len({name for name in left_out if name})

    def batches(self, task: str, backbone: str, start: str, subset: str) -> dict[str, list[Run]]:
        """Batch name -> the runs that one job does."""
        return batches(self.study, Setting(task, backbone, start, subset), self.folds(task))

    def run_names(self, task: str, backbone: str, start: str, subset: str, batch: str) -> list[str]:
        """The runs of a batch, as `r<resampling>f<fold>s<seed>`."""
        return [str(run) for run in self.batches(task, backbone, start, subset)[batch]]

    def stage2_inputs(self, task: str, backbone: str, start: str) -> dict[str, Any]:
        """Shards of a fine-tuning job, cached CNN output where the CNN is frozen, and the Stage-1 model."""
        corpora = self.task_corpora(task)
        if backbone == HANDCRAFTED[0]:
            feature = self._handcrafted_feature(start)
            return {"shards": [path for corpus in corpora for path in self.feature_shards(feature, corpus)]}
        inputs: dict[str, Any] = {"shards": [path for c in corpora for path in self.feature_shards("audio", c)]}
        if source := self.cnn_source(backbone, start, "stage2"):
            inputs["cnn"] = self.cnn_shards(source, corpora)
        if start != "original":
            inputs["model"] = f"{RESULTS}/models/{backbone}.{start}"
        return inputs

    def _handcrafted_feature(self, start: str) -> str:
        """Feature whose vectors a baseline without backbone is trained on."""
        classical = self.study.finetuning.classical
        return classical.features if start == CLASSICAL[1] and classical else "egemaps"

    def stage2_state(self, task: str, backbone: str, start: str) -> str:
        """The configuration that a fine-tuning job reads, its runs apart."""
        study = self.study
        classes = json.dumps(self.outputs(task))
        shared = {"seeds", "egemaps_baseline", "classical"}
        if (backbone, start) == CLASSICAL and study.finetuning.classical:
            return f"{study.finetuning.classical.model_dump_json()} {classes}"
        if backbone == HANDCRAFTED[0]:
            idle = {"epochs", "learning_rate", "precision", "compile", "batch_seconds", "max_seconds"}
            return f"{study.finetuning.model_dump_json(exclude=shared | idle)} {classes}"
        baseline = {"egemaps_epochs", "egemaps_learning_rate", "egemaps_normalise"}
        finetuning = study.finetuning.model_dump_json(exclude=shared | baseline)
        return f"{finetuning} {classes} {study.keep_models} {self.backbone_state(backbone)}"

    def outputs(self, task: str) -> tuple[str, ...]:
        """What the models of a task give a number for: its classes or its attributes."""
        return self.study.tasks[task].attributes or self.study.tasks[task].classes

    def evaluation_code(self, task: str) -> str:
        """Digest of the code that evaluates a task."""
        return self.code("evaluation.regression" if self.study.tasks[task].attributes else "evaluation.evaluate")

    def stage2_code(self, backbone: str, start: str) -> str:
        """Digest of the code of Stage 2."""
        if (backbone, start) == CLASSICAL:
            return self.code("training.classical")
        if backbone == HANDCRAFTED[0]:
            return self.code("training.handcrafted")
        return self.code("training.stage2", backbone=backbone)

    def resamplings(self, task: str, subset: str) -> int:
        """Draws of a subset; all clips can be drawn in one way only."""
        return 1 if subset == "full" else self.study.tasks[task].resamplings

    def split_state(self, task: str) -> str:
        """The configuration that decides classes and splits."""
        return self.study.tasks[task].model_dump_json(
            exclude={"subsets", "resamplings", "draws", "leaks", "allow_speaker_overlap"}
        )

    def leak_manifests(self, task: str, adaptations: list[str]) -> list[str]:
        """Manifest shards that a task's leaks are looked for in: of its corpora and those that the adaptations use."""
        corpora = [*self.task_corpora(task), *(c for name in adaptations for c in self.study.adaptations[name].corpora)]
        return [path for corpus in dict.fromkeys(corpora) for path in self.manifests(corpus)]

    def leak_inputs(self, task: str, start: str) -> list[str]:
        """Manifest shards that a training is checked with; all of them come before it anyway, through splits and Stage 1."""
        return self.leak_manifests(task, [start] if start in self.study.adaptations else [])

    def leak_state(self, task: str) -> str:
        """What decides the table of leaks besides manifests and splits: verdicts, what was heard, and whose speakers are whose."""
        config = self.study.tasks[task]
        heard = {name: self.study.adaptations[name].corpora for name in self.study.adaptations_of(task)}
        corpora = dict.fromkeys([*self.task_corpora(task), *(c for names in heard.values() for c in names)])
        whose = [(name, self.study.corpora[name].importer, self.study.corpora[name].root) for name in corpora]
        return json.dumps([config.leaks.model_dump(), config.allow_speaker_overlap, heard, whose])

    def leak_tables(self) -> list[str]:
        """The table of leaks of every task."""
        return [f"{RESULTS}/leaks/{task}.parquet" for task in self.study.tasks]

    def audited_tasks(self) -> list[str]:
        """Tasks whose models are audited: those with classes."""
        return [name for name, task in self.study.tasks.items() if task.classes]

    def run_files(self, task: str, name: str) -> list[str]:
        """A file of every batch of a task, for example `predictions.parquet`."""
        return [
            f"{RESULTS}/runs/{s.task}/{s.model}/{s.subset}/{batch}/{name}"
            for s in settings(self.study)
            if s.task == task
            for batch in self.batches(s.task, s.backbone, s.start, s.subset)
        ]

    def run_folders(self) -> list[Path]:
        """The folder of every batch of the study."""
        return [Path(path).parent for task in self.study.tasks for path in self.run_files(task, "predictions.parquet")]

    def left_out_folders(self) -> list[Path]:
        """Folders of runs that the study would have if its optional corpora were here."""
        runs, gone = Path(RESULTS, "runs"), [path.split(".") for path in self.study.left_out]
        folders = [runs / names[1] for names in gone if names[0] == "tasks" and len(names) == 2]
        return folders + [
            runs / task / f"{backbone}.{names[1]}"
            for names in gone
            if names[0] == "adaptations"
            for task in self.study.tasks
            for backbone in self.study.backbones
        ]

    def comparisons(self, task: str) -> list[str]:
        """The tests that the study's tables want on a task, as `<model> < <baseline>`."""
        return [f"{'.'.join(model)} < {'.'.join(baseline)}" for model, baseline in list_comparisons(self.study, task)]

    def adapted_models(self) -> list[str]:
        """`<backbone>.<adaptation>` of every Stage-1 model."""
        return [f"{b}.{s}" for b in self.study.backbones for s in self.study.starts(b)[1:]]

    def applied_adaptations(self) -> list[str]:
        """Adaptations that at least one backbone is given."""
        return list(dict.fromkeys(s for backbone in self.study.backbones for s in self.study.starts(backbone)[1:]))

    # --- the whole

    def shown_manifests(self) -> list[str]:
        """Manifest shards of every corpus that a task or an applied adaptation uses."""
        corpora = [corpus for task in self.study.tasks for corpus in self.task_corpora(task)]
        corpora += [c for name in self.applied_adaptations() for c in self.study.adaptations[name].corpora]
        return [path for corpus in dict.fromkeys(corpora) for path in self.manifests(corpus)]

    def features_in_use(self) -> list[tuple[str, str]]:
        """(feature, corpus) pairs that the study computes."""
        pairs: dict[tuple[str, str], None] = {}
        for adaptation in self.study.adaptations.values():
            for corpus in adaptation.corpora:
                for objective in adaptation.objectives:
                    feature = self.target_feature(objective, corpus)
                    for name in ["audio", *(upstream_features(feature) if feature else [])]:
                        pairs[name, corpus] = None
        for task in self.study.tasks:
            for corpus in self.task_corpora(task):
                pairs["audio", corpus] = None
                if self.study.finetuning.egemaps_baseline:
                    pairs["egemaps", corpus] = None
                if self.study.finetuning.classical and self.study.tasks[task].classes:
                    for name in upstream_features(self._handcrafted_feature(CLASSICAL[1])):
                        pairs[name, corpus] = None
        for wanted, corpus in self._also():
            for name in upstream_features(wanted):
                pairs[name, corpus] = None
        return list(pairs)

    def _also(self) -> list[tuple[str, str]]:
        """(feature, corpus) pairs that are computed because `features.also` names them."""
        wanted = [(feature, corpus) for feature in self.study.features.also for corpus in self.study.corpora]
        return [(feature, corpus) for feature, corpus in wanted if self._has_modality(feature, corpus)]

    def extra_features(self) -> list[str]:
        """Feature shards of `features.also`, which are wanted for themselves."""
        return [path for feature, corpus in self._also() for path in self.feature_shards(feature, corpus)]

    def compared_corpora(self) -> list[str]:
        """Corpora whose own transcripts can be compared with those of a recogniser."""
        if self.study.features.transcript.engine == "corpus":
            return []
        transcribed = [corpus for feature, corpus in self.features_in_use() if feature == "transcript"]
        return [corpus for corpus in transcribed if self._state(corpus).transcripts]

    def word_errors(self) -> list[str]:
        """The table of word errors; empty where there is nothing to compare."""
        return [f"{RESULTS}/metrics/word_errors.parquet"] if self.compared_corpora() else []

    def recogniser_state(self) -> str:
        """What the table of word errors says of the recogniser, and the language it was told."""
        return self.study.features.transcript.model_dump_json(include={"engine", "model", "language"})

    def weights_in_use(self) -> dict[str, tuple[str, str | None]]:
        """All weights that the study's jobs load: who uses them -> (name or path, revision of a hub model).

        The one list that `emoadapt check`, `emoadapt models` and the warning before a run share.
        """
        features = dict.fromkeys(feature for feature, _ in self.features_in_use())
        found: dict[str, tuple[str | None, str | None]]
        found = {f"feature {name}": (find_weights(self.study, name), None) for name in features}
        found |= {f"backbone {name}": (b.weights, b.revision) for name, b in self.study.backbones.items()}
        return {user: (name, revision) for user, (name, revision) in found.items() if name}

    def missing_weights(self) -> list[str]:
        """Names of the weights in use that are not on this machine; nothing is read, so that altered ones pass."""
        missing = []
        for name, revision in self.weights_in_use().values():
            try:
                locate(name, self.study.weights_folder, revision)
            except ModelError:
                missing.append(name)
        return list(dict.fromkeys(missing))

    def explain_missing_weights(self) -> str | None:
        """One sentence if weights in use are not on this machine; None otherwise."""
        if not (missing := self.missing_weights()):
            return None
        return (
            f"weights that this study needs are missing: {', '.join(missing)}; put them back, or call `emoadapt models fetch` "
            "with the same --configfile"
        )

    def refuse_missing_weights(self) -> None:
        """Say before anything runs that weights are missing.

        Snakemake would take them for changed and delete what was made with them, before the jobs that make it again fail.

        Raises:
            ModelError: some are.
        """
        if sentence := self.explain_missing_weights():
            raise ModelError(sentence)

    def refuse_missing_gpu(self) -> None:
        """Refuse `device: cuda` on a machine without a GPU, before the first job.

        Raises:
            ConfigError: the study needs a GPU.
        """
        if self.study.device == "cuda" and not list_devices():
            raise ConfigError(
                "device is cuda, and there is no GPU on this machine; set `device: auto` or `device: cpu`"
            )

    def all_features(self) -> list[str]:
        """Every feature shard that the study computes, cached CNN output included."""
        found = [path for feature, corpus in self.features_in_use() for path in self.feature_shards(feature, corpus)]
        for backbone in self.study.backbones:
            for start in self.study.starts(backbone):
                source = self.cnn_source(backbone, start, "stage2")
                tasks = [task for task in self.study.tasks if start in self.study.starts(backbone, task)]
                found += [path for task in tasks for path in self.cnn_shards(source, self.task_corpora(task))]
                if start != "original":
                    found += self.stage1_cnn(backbone, start)
        return list(dict.fromkeys(found))

    def list_corpora(self) -> None:
        """List all corpora in use, so that what is wrong with one is said before anything runs.

        Raises:
            CorpusError: in one sentence.
        """
        for corpus in dict.fromkeys(corpus for _, corpus in self.features_in_use()):
            self._state(corpus)

    def task_state(self, task: str) -> str:
        """What decides whether a task can be split, drawn from and tested."""
        config = self.study.tasks[task]
        heard = [corpus for name in self.study.adaptations_of(task) for corpus in self.study.adaptations[name].corpora]
        states = [self._state(corpus) for corpus in dict.fromkeys([*self.task_corpora(task), *heard])]
        code = code_digest("emoadapt.corpora.tasks", "emoadapt.corpora.leaks")
        return digest(config.model_dump_json(), self.leak_state(task), code, [[s.labels, *s.shards] for s in states])

    def report_state(self) -> str:
        """What the report shows: all of the configuration, through its template, beside a paper's figures."""
        folder = Path(__file__).parent / "reporting"
        files = sorted([*folder.glob("report.*"), *folder.glob("paper/*.csv")])
        return digest(self.study.model_dump_json(), self.study.left_out, [path.read_bytes() for path in files])

    @property
    def training_threads(self) -> int:
        """Threads of a training job."""
        return self.study.training_threads

    def training_gpus(self, backbone: str, task: str | None = None) -> int:
        """GPUs that a training job asks for; without a task, that of Stage 1."""
        return count_gpus(self.study, backbone, task)
