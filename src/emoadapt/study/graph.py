"""Lookups of the Snakefile in a study. Light: every cluster job imports it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from emoadapt.backbones.base import list_modules
from emoadapt.config import Adaptation, Finetuning, Study, load_study, objective_features
from emoadapt.config.features import list_upstream, needs_video
from emoadapt.config.papers import find_paper
from emoadapt.config.reading import STUDY_VARIABLE
from emoadapt.data.class_names import read_names
from emoadapt.data.objective_targets import NO_TARGET, describe_target, has_frames, split_set
from emoadapt.errors import NO_GPU, ConfigError, ModelError, Problem
from emoadapt.extraction.recipes import (
    JobSize,
    describe_extraction,
    describe_job,
    describe_recipe,
    find_weights,
    reads_media,
    study_code,
)
from emoadapt.flow.code import code_digest, describe_libraries, digest, remember_modules
from emoadapt.flow.shards import shard_names
from emoadapt.listing.manifests import MEMBERS, CorpusState, find_state
from emoadapt.machine.devices import list_devices
from emoadapt.machine.programs import put_own_first
from emoadapt.metrics.base import name_modules
from emoadapt.plugins import list_plugins, read_declaration
from emoadapt.storage.files import Overtaken, write_text
from emoadapt.study.grid import batches, count_gpus
from emoadapt.study.layout import name_division, name_refit, name_splits
from emoadapt.study.nodes import ORIGINAL, Model, Run, Setting
from emoadapt.study.tables import list_comparisons
from emoadapt.tasks.folds import count_folds
from emoadapt.tasks.split_tables import describe_split_table
from emoadapt.tasks.states import describe_leaks, describe_splits
from emoadapt.training.jobs import AdaptationJob, TaskJob, group_shards
from emoadapt.weights.registry import identity, locate

RESULTS = "results"


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
    put_own_first()
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

    def media_ready(self, feature: str, corpus: str, shard: str) -> list[str]:
        """Files that a feature needs before it reads a shard's media: the stamp of a generated one."""
        if not reads_media(feature):
            return []
        generated = read_declaration("corpora", self.study.corpora[corpus].importer, "GENERATED")
        return [f"{RESULTS}/demo/{corpus}/{shard}.json"] if generated else []

    def recipe(self, feature: str, corpus: str | None = None) -> dict[str, str]:
        """Parts of a feature's recipe, its columns, and the code of its job, which reuses rows whose recipe is the same.

        Args:
            feature: its name.
            corpus: of the job; the study may state something of its clips.
        """
        found, extraction = describe_recipe(self.study, feature), describe_extraction(self.study, feature, corpus)
        return {
            f"features.{feature}": found.parameters,
            "weights": found.model,
            "columns": repr([(field.name, str(field.type)) for field in extraction.table]),
            **({f"corpora.{corpus}": json.dumps(dict(extraction.stated))} if extraction.stated else {}),
            "code": f"{found.code} {self.code('cli.extract')['code']}",
            "libraries": found.libraries,
        }

    def features(self) -> list[str]:
        """All features, in use or not."""
        return list_plugins("features")

    def feature_job(self, feature: str) -> JobSize:
        """Memory, minutes, threads and GPUs for a shard of a feature."""
        return describe_job(self.study, feature)

    def feature_tables(self, feature: str) -> dict[str, str]:
        """Input table of a feature -> pattern of its shards, in the extractor's order."""
        return {
            name: f"{RESULTS}/manifests/{{corpus}}/{{shard}}.parquet"
            if name == "manifest"
            else f"{RESULTS}/features/{name}/{{corpus}}/{{shard}}.parquet"
            for name in describe_extraction(self.study, feature).inputs
        }

    def code(self, *modules: str, also: Iterable[str] = ()) -> dict[str, str]:
        """Digest of modules of this package and of what they import (`code`), and versions of libraries (`libraries`).

        Args:
            modules: names in this package; a job's first one is its command, such as `cli.split`.
            also: distributions that settings bring into use, besides those that the modules import.
        """
        names = [f"emoadapt.{module}" for module in modules]
        return {"code": study_code(self.study, *names), "libraries": describe_libraries(*names, also=also)}

    def feature_shards(self, feature: str, corpus: str) -> list[str]:
        """All shards of a feature of a corpus."""
        return [f"{RESULTS}/features/{feature}/{corpus}/{shard}.parquet" for shard in self.shards(corpus)]

    def manifests(self, corpus: str) -> list[str]:
        """All manifest shards of a corpus."""
        return [f"{RESULTS}/manifests/{corpus}/{shard}.parquet" for shard in self.shards(corpus)]

    # --- Stage 1

    def objective_set(self, adaptation: str) -> str:
        """Names of an adaptation's objectives with a target, sorted, joined by `+`: adaptations with the same share their shards.

        Those whose targets are frames are not among them: Stage 1 reads these from the feature's own shards.
        """
        return "+".join(name for name in self._list_targeted(adaptation) if not has_frames(name)) or NO_TARGET

    def objective_sets(self) -> list[str]:
        """All sets in use."""
        return list(dict.fromkeys(self.objective_set(name) for name in self.study.adaptations))

    @cached_property
    def _objective_features(self) -> dict[str, str]:
        return objective_features()

    def target_feature(self, objective: str, corpus: str) -> str | None:
        """Feature of an objective's target; None where the corpus lacks the modality, or the objective has no target."""
        feature = self._objective_features.get(objective)
        return feature if feature and self._has_modality(feature, corpus) else None

    def _has_modality(self, feature: str, corpus: str) -> bool:
        """Whether a corpus has the modality of a feature."""
        return not needs_video(feature) or "video" in self.study.corpora[corpus].modalities

    def training_inputs(self, objectives: str, corpus: str, shard: str) -> list[str]:
        """Feature shards that a training shard is packed from: audio first, then targets by objective."""
        features = [self.target_feature(objective, corpus) for objective in split_set(objectives)]
        names = dict.fromkeys(["audio", *(feature for feature in features if feature)])
        return [f"{RESULTS}/features/{name}/{corpus}/{shard}.parquet" for name in names]

    @cache  # noqa: B019 - one graph lives as long as the process
    def training_columns(self, objectives: str) -> str:
        """Feature and column of each target, as the objectives declare them."""
        return " ".join(f"{name}:{':'.join(describe_target(name))}" for name in split_set(objectives))

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

    # --- outputs of frozen backbones, kept as features

    def kept_shards(self, source: str, corpora: tuple[str, ...]) -> list[str]:
        """Shards of a feature, or of a kept output, `<kind>.<backbone>[.<adaptation>]`, of corpora."""
        return [path for corpus in corpora for path in self.feature_shards(source, corpus)]

    def list_kept(
        self, stage: Literal["stage1", "stage2"], backbone: str, start: str, settings: Adaptation | Finetuning
    ) -> dict[str, str]:
        """Kept outputs that a training reads in place of streams, by the streams' roles.

        None of a stream that it changes. No states of audio that it crops: each frame of these has seen the whole clip.
        """
        streams, changed = self.study.backbones[backbone].streams, getattr(settings, "changed_layouts", ())
        cropped = getattr(settings, "max_seconds", None) is not None
        return {
            role: name
            for role, name in self.study.list_kept(stage, backbone, start).items()
            if streams[role].layout not in changed
            and not (cropped and streams[role].timed and name.startswith("states."))
        }

    def list_streams(
        self, stage: Literal["stage1", "stage2"], backbone: str, start: str, settings: Adaptation | Finetuning
    ) -> list[str]:
        """Features and kept outputs that a training reads, each in the place of its stream."""
        kept = self.list_kept(stage, backbone, start, settings)
        streams = self.study.backbones[backbone].streams
        return list(dict.fromkeys(kept.get(role, stream.feature) for role, stream in streams.items()))

    def kept_code(self, source: str) -> dict[str, str]:
        """State of the code and the libraries of the job of a kept output."""
        return self.code("cli.keep", *self._kept_modules(source), also=self._backbone_libraries(source.split(".")[0]))

    def kept_recipe(self, source: str) -> dict[str, str]:
        """State of the code and the libraries that decide a row of a kept output."""
        return self.code(*self._kept_modules(source), also=self._backbone_libraries(source.split(".")[0]))

    def _kept_modules(self, source: str) -> list[str]:
        return ["extraction.outputs", "flow.upstream", *self._backbone_modules(source.split(".")[0], pooled=False)]

    def kept_model(self, source: str) -> list[str]:
        """Stage-1 model of a kept output; empty for an original backbone."""
        return [f"{RESULTS}/models/{source}"] if "." in source else []

    def kept_state(self, kind: str, source: str) -> dict[str, str]:
        """State of a kept output: configuration and weights of its backbone."""
        backbone = source.split(".")[0]
        return {
            f"backbones.{backbone}": self.study.backbones[backbone].describe_kept(kind),
            "weights": self._weights_state(backbone),
        }

    def backbone_state(self, backbone: str) -> dict[str, str]:
        """A backbone's configuration and the content of its weights."""
        described = self.study.backbones[backbone].describe()
        return {f"backbones.{backbone}": described, "weights": self._weights_state(backbone)}

    def _weights_state(self, backbone: str) -> str:
        weights = self.study.backbones[backbone].list_weights()
        return " ".join(identity(name, self.study.weights_folder, revision) for name, revision in weights)

    def stage1_streams(self, backbone: str, adaptation: str) -> list[str]:
        """Shards of what Stage 1 reads besides the training shards: kept front-end output, features other than audio, target frames."""
        config = self.study.adaptations[adaptation]
        read = self.list_streams("stage1", backbone, adaptation, config)
        found = [path for name in read if name != "audio" for path in self.kept_shards(name, config.corpora)]
        frames = [name for name in self._list_targeted(adaptation) if has_frames(name)]
        targets = [(self.target_feature(name, corpus), corpus) for name in frames for corpus in config.corpora]
        found += [path for feature, corpus in targets if feature for path in self.feature_shards(feature, corpus)]
        return list(dict.fromkeys(found))

    def stage1_state(self, adaptation: str) -> dict[str, str]:
        """Configuration of an adaptation, without the keys that select models and tasks, unless a task's labels choose its epoch."""
        config = self.study.adaptations[adaptation]
        judged = {f"adaptations.{adaptation}.tasks": config.judge} if config.judge else {}
        return {f"adaptations.{adaptation}": config.describe(), **judged}

    def judge_splits(self, adaptation: str) -> list[str]:
        """SPLITS table whose labelled dev part chooses an adaptation's epoch; empty if the loss does."""
        judge = self.study.adaptations[adaptation].judge
        return [] if judge is None else self.trained_tables(judge)

    def judge_shards(self, backbone: str, adaptation: str) -> list[str]:
        """Shards of what the backbone reads of the corpus of that dev part."""
        config = self.study.adaptations[adaptation]
        judge = config.judge
        if judge is None:
            return []
        read = self.list_streams("stage1", backbone, adaptation, config)
        return [path for name in read for path in self.kept_shards(name, (self.study.tasks[judge].corpus,))]

    def stage1_code(self, backbone: str, adaptation: str) -> dict[str, str]:
        """State of the code and the libraries of Stage 1: of method, backbone and objectives."""
        settings = self.study.adaptations[adaptation]
        return self.code(
            "cli.adapt",
            f"methods.{settings.method}",
            *settings.list_modules(),
            *self._backbone_modules(backbone),
            *(f"objectives.{name}" for name in sorted(settings.objectives)),
            also=[*settings.list_libraries(), *self._backbone_libraries(backbone)],
        )

    def _backbone_modules(self, backbone: str, *, pooled: bool = True) -> list[str]:
        """Modules that a backbone is loaded with."""
        config, folder = self.study.backbones[backbone], self.study.weights_folder
        modules = list_modules(config, folder, pooled=pooled)
        return ["backbones.base", *(module.removeprefix("emoadapt.") for module in modules)]

    def _backbone_libraries(self, backbone: str) -> tuple[str, ...]:
        return self.study.backbones[backbone].list_libraries()

    def normaliser_code(self, adaptation: str) -> dict[str, str]:
        """State of the code and the libraries that fit an adaptation's normalisers."""
        return self.code("cli.normalisers", *(f"objectives.{name}" for name in self._list_targeted(adaptation)))

    def _list_targeted(self, adaptation: str) -> list[str]:
        return sorted(
            name for name in self.study.adaptations[adaptation].objectives if name in self._objective_features
        )

    # --- Stage 2

    def task_corpora(self, task: str) -> tuple[str, ...]:
        """The corpus that a task trains on, then those it only tests on."""
        config = self.study.tasks[task]
        return (config.corpus, *sorted(config.others))

    @cache  # noqa: B019 - one graph lives as long as the process
    def folds(self, task: str) -> int:
        """Number of folds of a task."""
        config = self.study.tasks[task]
        return count_folds(config.corpus, config, self.study.corpora[config.corpus])

    def setting(self, task: str, model: str, subset: str) -> Setting:
        """Setting of a rule's wildcards."""
        return Setting(task, Model.parse(model), subset)

    def batches(self, setting: Setting) -> dict[str, list[Run]]:
        """Batch name -> the runs that one job does."""
        return batches(self.study, setting, self.folds(setting.task))

    def read_features(self, setting: Setting) -> list[str]:
        """Features and kept outputs that a training on a task reads."""
        backbone, start, finetuning = setting.model
        config = self.study.backbones[backbone]
        settings = self.study.finetunings[finetuning]
        if not settings.reads_clips:
            return []
        if settings.frozen:
            return list(dict.fromkeys(self.study.list_frozen(backbone, start).values()))
        # Of the audio its lengths, where something else is read in its place: they order the batches.
        audio = [name for name in config.features if name == "audio"]
        return list(dict.fromkeys([*audio, *self.list_streams("stage2", backbone, start, settings)]))

    def training_inputs_of(
        self, setting: Setting, runs: Iterable[Run] = (), *, kept: bool | None = None
    ) -> dict[str, list[str]]:
        """Shards, Stage-1 model, and tables of other models' runs that a training on a task reads.

        Args:
            setting: of the training.
            runs: of the training.
            kept: whether it keeps a classifier on frozen layers; None = as the study says of every run.
        """
        corpora, start = self.task_corpora(setting.task), setting.model.start
        inputs = {"shards": [path for name in self.read_features(setting) for path in self.kept_shards(name, corpora)]}
        kept = self.study.keeps_frozen(setting.model) if kept is None else kept
        loaded = not self.study.finetunings[setting.model.finetuning].frozen or kept
        if start != ORIGINAL and loaded:
            inputs["model"] = [f"{RESULTS}/models/{setting.model.backbone}.{start}"]
        if upstream := self.upstream_tables(setting, runs):
            inputs["upstream"] = [path for paths in upstream.values() for path in paths]
        return inputs

    def upstream_tables(self, setting: Setting, runs: Iterable[Run]) -> dict[str, list[str]]:
        """Name of each model that runs need -> its tables, of the batches with the same runs."""
        settings, wanted = self.study.finetunings[setting.model.finetuning], set(runs)
        found = {}
        for name in settings.upstream:
            upstream = Setting(setting.task, Model.parse(name), setting.subset)
            place = f"{RESULTS}/runs/{setting.task}/{name}/{setting.subset}"
            of_runs = [batch for batch, members in self.batches(upstream).items() if wanted.intersection(members)]
            found[name] = [f"{place}/{batch}/{settings.upstream_table}.parquet" for batch in of_runs]
        return found

    def training_state(self, setting: Setting) -> dict[str, str]:
        """The configuration that a training on a task reads, its runs apart."""
        backbone, _, finetuning = setting.model
        settings, task = self.study.finetunings[finetuning], self.study.tasks[setting.task]
        if not settings.reads_clips:
            state = {}
        elif settings.frozen:
            # How the backbone would be trained decides no layer of it as it stands.
            state = self.kept_state("layers", backbone)
        else:
            state = self.backbone_state(backbone)
        return {
            f"finetunings.{finetuning}": settings.describe(),
            task.name_outputs(setting.task): json.dumps(task.outputs),
            f"tasks.{setting.task}.draws": task.describe_draws(setting.subset),
            "keep_models": str(self.study.keep_models) if self._asks_what_to_keep(setting.model) else "",
            **state,
        }

    def _asks_what_to_keep(self, model: Model) -> bool:
        """Whether `keep_models` is a param of a training; of one on frozen layers only where it keeps something."""
        return self.study.keeps_embeddings(model) or self.study.keeps_frozen(model)

    def training_code(self, setting: Setting) -> dict[str, str]:
        """State of the code and the libraries of a training on a task."""
        return self._training_code(setting, "cli.train", kept=self.study.keeps_frozen(setting.model))

    def refit_state(self, setting: Setting) -> dict[str, str]:
        """The configuration that a classifier is fitted once more by."""
        return {**self.training_state(setting), "keep_models": ""}

    def refit_code(self, setting: Setting) -> dict[str, str]:
        """State of the code and the libraries that fit a classifier once more."""
        return self._training_code(setting, "cli.refit", kept=True)

    def refit_tables(self, setting: Setting) -> list[str]:
        """Curves and predictions of all runs of a setting."""
        place = f"{RESULTS}/runs/{setting.task}/{setting.model}/{setting.subset}"
        tables = ("curves", "predictions")
        return [f"{place}/{batch}/{name}.parquet" for name in tables for batch in self.batches(setting)]

    def refits(self) -> list[str]:
        """Folders of all classifiers that are fitted once more."""
        return [name_refit(setting, RESULTS) for setting in self.study.list_refits()]

    def list_every_run(self, setting: Setting) -> list[Run]:
        """All runs of a setting."""
        return [run for runs in self.batches(setting).values() for run in runs]

    def _training_code(self, setting: Setting, command: str, *, kept: bool) -> dict[str, str]:
        settings, backbone = self.study.finetunings[setting.model.finetuning], setting.model.backbone
        loaded = kept or not settings.frozen
        modules = self._backbone_modules(backbone, pooled=not kept) if loaded else []
        modules += ["training.keeping"] if kept else []
        libraries = [*settings.list_libraries(), *(self._backbone_libraries(backbone) if loaded else ())]
        return self.code(command, f"methods.{settings.method}", *settings.list_modules(), *modules, also=libraries)

    def metric_modules(self, *tasks: str) -> list[str]:
        """Modules of the metrics of some tasks, by default all; the report computes chance levels with them."""
        kinds = dict.fromkeys(self.study.tasks[task].kind for task in tasks or self.study.tasks)
        return list(dict.fromkeys(module for kind in kinds for module in name_modules(kind)))

    def evaluation_code(self, task: str) -> dict[str, str]:
        """State of the code and the libraries that evaluate a task."""
        return self.code("cli.evaluate", *self.metric_modules(task))

    def split_state(self, task: str, partition: int) -> str:
        """State of a partition of a task, besides its corpora."""
        return describe_splits(self.study, task, partition)

    def label_states(self, task: str) -> str:
        """Fingerprints of the labels of a task's corpora: `<corpus>=<fingerprint> ...`."""
        return " ".join(f"{corpus}={self._state(corpus).labels}" for corpus in self.task_corpora(task))

    def membership_states(self, task: str) -> str:
        """As `label_states`, but of the target only which clips have one of the classes."""
        config = self.study.tasks[task]
        states = dict(pair.split("=") for pair in self.label_states(task).split())
        if config.target:
            members = self._state(config.target.corpus).members
            own = (count for label, count in members.items() if config.class_map.get(label, label) in config.classes)
            states[config.target.corpus] = f"{sum(own) % MEMBERS:016x}"
        return " ".join(f"{corpus}={state}" for corpus, state in states.items())

    def split_tables(self, task: str) -> list[str]:
        """Tables of the partitions of a task."""
        return [name_splits(task, number, RESULTS) for number in range(self.study.count_partitions(task))]

    def trained_tables(self, task: str, runs: Iterable[Run] | None = None) -> list[str]:
        """Tables of the partitions of a task, or of some runs, as trainings read them: without the labels of a target."""
        every = range(self.study.count_partitions(task))
        numbers = every if runs is None else dict.fromkeys(run.partition for run in runs)
        name = name_division if self.study.tasks[task].target else name_splits
        return [name(task, number, RESULTS) for number in numbers]

    def leak_manifests(self, task: str, adaptations: list[str]) -> list[str]:
        """Manifest shards in which leaks of a task are searched: of its corpora and of Stage 1."""
        corpora = [*self.task_corpora(task), *(c for name in adaptations for c in self.study.adaptations[name].corpora)]
        return [path for corpus in dict.fromkeys(corpora) for path in self.manifests(corpus)]

    def leak_inputs(self, task: str, start: str) -> list[str]:
        """Manifest shards for the leak check of a training; splits and Stage 1 need them anyway."""
        return self.leak_manifests(task, [start] if start in self.study.adaptations else [])

    def leak_state(self, task: str) -> str:
        """State of the table of leaks, besides manifests and splits."""
        return describe_leaks(self.study, task)

    def leak_tables(self) -> list[str]:
        """The table of leaks of every task."""
        return [f"{RESULTS}/leaks/{task}.parquet" for task in self.study.tasks]

    def audited_tasks(self) -> list[str]:
        """Tasks whose models are audited: those with classes."""
        return [name for name, task in self.study.tasks.items() if task.classes]

    def run_files(self, task: str, name: str) -> list[str]:
        """A file of every batch of a task, for example `predictions.parquet`."""
        return [
            f"{RESULTS}/runs/{task}/{setting.model}/{setting.subset}/{batch}/{name}"
            for setting in self.study.list_settings(task)
            for batch in self.batches(setting)
        ]

    def run_folders(self) -> list[Path]:
        """The folder of every batch of the study."""
        return [Path(path).parent for task in self.study.tasks for path in self.run_files(task, "predictions.parquet")]

    def left_out_folders(self) -> list[Path]:
        """Folders of runs that need missing optional corpora."""
        runs, gone = Path(RESULTS, "runs"), [path.split(".") for path in self.study.left_out]
        whole = [names[1] for names in gone if names[0] == "tasks" and len(names) == 2]
        lost = {kind: [names[1] for names in gone if names[0] == kind] for kind in ("adaptations", "finetunings")}
        starts, finetunings = [ORIGINAL, *self.study.adaptations], [*self.study.finetunings]
        models = [
            Model(backbone, start, finetuning)
            for backbone in self.study.backbones
            for start in [*starts, *lost["adaptations"]]
            for finetuning in [*finetunings, *lost["finetunings"]]
            if start in lost["adaptations"] or finetuning in lost["finetunings"]
        ]
        return [runs / task for task in whole] + [
            runs / task / str(model) for task in self.study.tasks for model in models
        ]

    def comparisons(self, task: str) -> list[str]:
        """Tests of the study's tables on a task, as `<model> < <baseline>`."""
        return [f"{model} < {baseline}" for model, baseline in list_comparisons(self.study, task)]

    def adapted_models(self) -> list[str]:
        """`<backbone>.<adaptation>` of every Stage-1 model."""
        return [f"{b}.{s}" for b in self.study.backbones for s in self.study.starts(b)[1:]]

    def applied_adaptations(self) -> list[str]:
        """Adaptations that at least one backbone is given."""
        return list(dict.fromkeys(s for backbone in self.study.backbones for s in self.study.starts(backbone)[1:]))

    # --- the whole

    def shown_manifests(self) -> list[str]:
        """Manifest shards of every corpus that a task, an applied adaptation or a feature wanted for itself uses."""
        corpora = [corpus for task in self.study.tasks for corpus in self.task_corpora(task)]
        corpora += [c for name in self.applied_adaptations() for c in self.study.adaptations[name].corpora]
        corpora += [corpus for _, corpus in self._also()]
        return [path for corpus in dict.fromkeys(corpora) for path in self.manifests(corpus)]

    def features_in_use(self) -> list[tuple[str, str]]:
        """(feature, corpus) pairs that the study computes."""
        pairs: dict[tuple[str, str], None] = {}
        for adaptation, config in self.study.adaptations.items():
            applied = [backbone for backbone in self.study.backbones if adaptation in self.study.starts(backbone)]
            read = [feature for backbone in applied for feature in self.study.backbones[backbone].features]
            for corpus in config.corpora:
                targets = [self.target_feature(objective, corpus) for objective in config.objectives]
                for name in [
                    "audio",
                    *(name for feature in [*filter(None, targets), *read] for name in list_upstream(feature)),
                ]:
                    pairs[name, corpus] = None
        for setting in self.study.list_settings():
            wanted = self.study.backbones[setting.model.backbone].features
            for corpus in self.task_corpora(setting.task):
                for name in dict.fromkeys(name for feature in wanted for name in list_upstream(feature)):
                    pairs[name, corpus] = None
        for also, corpus in self._also():
            for name in list_upstream(also):
                pairs[name, corpus] = None
        return list(pairs)

    def _also(self) -> list[tuple[str, str]]:
        """(feature, corpus) pairs that are computed because `features.also` names them."""
        wanted = [(feature, corpus) for feature in self.study.features.also for corpus in self.study.corpora]
        return [(feature, corpus) for feature, corpus in wanted if self._has_modality(feature, corpus)]

    def extra_features(self) -> list[str]:
        """Feature shards of `features.also`."""
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
        """Recogniser of the table of word errors, its configured language, and those of the corpora."""
        recogniser = self.study.features.transcript.model_dump_json(include={"engine", "model", "language"})
        return f"{recogniser} {json.dumps(self.stated_languages(), sort_keys=True)}"

    def stated_languages(self) -> dict[str, str]:
        """Languages that the study states of corpora of the table of word errors."""
        found = {corpus: self.study.corpora[corpus].language for corpus in self.compared_corpora()}
        return {corpus: language for corpus, language in found.items() if language}

    def weights_in_use(self) -> dict[str, tuple[str, str | None]]:
        """Weights that the study's jobs load: user -> (name or path, revision of a hub model).

        The one list that `emoadapt check`, `emoadapt models` and the warning before a run share.
        """
        features = dict.fromkeys(feature for feature, _ in self.features_in_use())
        found: dict[str, tuple[str | None, str | None]]
        found = {f"feature {name}": (find_weights(self.study, name), None) for name in features}
        found |= {
            f"backbone {b}": weights
            for b, config in self.study.backbones.items()
            for weights in config.list_weights()
            if not config.parts
        }
        return {user: (name, revision) for user, (name, revision) in found.items() if name}

    def list_missing_weights(self) -> list[Problem]:
        """Weights in use that are not on this machine, as `emoadapt check` says them. No file is read, so altered ones pass."""
        missing: dict[tuple[str, str | None], list[Problem]] = {}
        for user, weights in self.weights_in_use().items():
            name, revision = weights
            try:
                locate(name, self.study.weights_folder, revision)
            except ModelError as error:
                missing.setdefault(weights, error.add_place(f"{user}: "))
        return [problem for problems in missing.values() for problem in problems]

    def explain_missing_weights(self) -> str | None:
        """A sentence for each of the weights in use that are not on this machine; None where all are."""
        return "\n".join(map(str, self.list_missing_weights())) or None

    def refuse_missing_weights(self) -> None:
        """Refuse to run with missing weights, before the first job.

        Snakemake would take them for changed and delete what was made with them, before the jobs that make it again fail.

        Raises:
            ModelError: some are.
        """
        if missing := self.list_missing_weights():
            raise ModelError(missing)

    def explain_missing_gpu(self) -> str | None:
        """A sentence if the study asks for a GPU and this machine has none; the machines of the jobs may."""
        if self.study.device != "cuda" or list_devices():
            return None
        return "device: cuda needs a GPU, and this machine has none; the machines of the jobs need one"

    def refuse_missing_gpu(self) -> None:
        """Refuse `device: cuda` on a machine without a GPU, before the first job.

        Raises:
            ConfigError: the study needs a GPU.
        """
        if self.explain_missing_gpu():
            raise ConfigError(NO_GPU)

    def all_features(self) -> list[str]:
        """Every feature shard that the study computes, kept outputs included."""
        found = [path for feature, corpus in self.features_in_use() for path in self.feature_shards(feature, corpus)]
        for setting in self.study.list_settings():
            kept = [name for name in self.read_features(setting) if "." in name]
            found += [path for name in kept for path in self.kept_shards(name, self.task_corpora(setting.task))]
        for model in self.adapted_models():
            found += [*self.stage1_streams(*model.split(".")), *self.judge_shards(*model.split("."))]
        return list(dict.fromkeys(found))

    def task_state(self, task: str) -> str:
        """State of everything that the check of a task depends on."""
        config = self.study.tasks[task]
        heard = [corpus for name in self.study.adaptations_of(task) for corpus in self.study.adaptations[name].corpora]
        states = [self._state(corpus) for corpus in dict.fromkeys([*self.task_corpora(task), *heard])]
        code = code_digest("emoadapt.study.check.tasks")
        tuned = {
            name: repr(self.study.finetunings[name])
            for name in sorted({m.finetuning for m in self.study.list_models(task)})
        }
        partitions = [self.split_state(task, number) for number in range(self.study.count_partitions(task))]
        # A further partition of a table changes none of these, and is refused.
        partitions.append(describe_split_table(config.split, config.partitions))
        found = partitions, config.subsets, config.resamplings, config.draws, self.leak_state(task)
        return digest(*found, tuned, code, [[s.labels, *s.shards] for s in states])

    def held_out_state(self, adaptation: str) -> str:
        """State of everything that the check of an adaptation depends on."""
        config = self.study.adaptations[adaptation]
        clips = {corpus: self._state(corpus).shards for corpus in config.corpora}
        code = code_digest("emoadapt.study.check.adaptations")
        return digest(sorted(clips.items()), config.held_out, config.seed, code)

    def augmentations_state(self) -> str | None:
        """State of everything that the check of augmentations depends on; None without any."""
        trainings = [*self.study.adaptations.values(), *self.study.finetunings.values()]
        found = [repr(section) for training in trainings for section in getattr(training, "augmentations", ())]
        if not found:
            return None
        modules = sorted({f"emoadapt.{module}" for training in trainings for module in training.list_modules()})
        return digest(found, study_code(self.study, "emoadapt.study.check.augmentations", *modules))

    def report_state(self) -> dict[str, str]:
        """State of the report: configuration, template, the paper's values and the names of classes of targets."""
        folder = Path(__file__).parents[1] / "reporting"
        files = sorted([*folder.glob("report.*"), *(find_paper(paper) if (paper := self.study.report.paper) else [])])
        template = digest([path.read_bytes() for path in files])
        objectives = {name for start in self.applied_adaptations() for name in self.study.adaptations[start].objectives}
        return {
            "study": self.study.model_dump_json(),
            "left_out": repr(self.study.left_out),
            "template": template,
            "target_classes": repr({name: read_names(name) for name in sorted(objectives)}),
        }

    def reads_vectors(self, setting: Setting) -> bool:
        """Whether a training on a task reads a few vectors per clip, descriptors or frozen layers, which take little memory."""
        return not self.study.keeps_embeddings(setting.model)

    def training_threads(self, setting: Setting) -> int:
        """Threads of a training on a task; a head on vectors or on frozen layers is too small for several."""
        return self.study.training_threads if self.study.keeps_embeddings(setting.model) else 1

    def stage1_gpus(self) -> int:
        """GPUs that a Stage-1 training asks for."""
        return count_gpus(self.study)

    def training_gpus(self, setting: Setting) -> int:
        """GPUs that a training on a task asks for."""
        return count_gpus(self.study, setting)

    # --- what a job is called with

    def adaptation_job(self, backbone: str, adaptation: str, output: Path, curves: Path, threads: int) -> AdaptationJob:
        """A Stage-1 training."""
        shards = {
            "training": self.training_shards(adaptation),
            "streams": self.stage1_streams(backbone, adaptation),
            "labelled": self.judge_shards(backbone, adaptation),
        }
        found = {use: group_shards([Path(path) for path in paths]) for use, paths in shards.items()}
        targets = Path(RESULTS, "targets", adaptation)
        return AdaptationJob(
            self.study,
            backbone,
            adaptation,
            {"training": found["training"].popitem()[1], **found["streams"]},
            output,
            threads,
            targets / "parts.parquet",
            targets / "normalisers.parquet",
            curves,
            [Path(path) for path in self.judge_splits(adaptation)],
            found["labelled"],
        )

    def task_job(
        self, setting: Setting, runs: list[Run], output: Path, threads: int, *, kept: bool | None = None
    ) -> TaskJob:
        """Runs of a setting; `kept` as in `training_inputs_of`."""
        inputs = self.training_inputs_of(setting, runs, kept=kept)
        upstream = self.upstream_tables(setting, runs)
        return TaskJob(
            self.study,
            setting.model.backbone,
            setting.model.start,
            group_shards([Path(path) for path in inputs["shards"]]),
            output,
            threads,
            setting,
            runs,
            [Path(path) for path in self.trained_tables(setting.task, runs)],
            Path(inputs["model"][0]) if "model" in inputs else None,
            {name: [Path(path) for path in paths] for name, paths in upstream.items()},
        )
