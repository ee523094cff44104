"""Origins of all outputs of a study: the one place that says what a job reads and what decides its outputs.

A rule of the Snakefile takes its inputs and its digest from the method of its name. The command takes its inputs from the same method
and states the origin in its outputs. `refuse_others` compares these claims with the origins of the study.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emoadapt import schema
from emoadapt.errors import DataError
from emoadapt.flow.claims import Origin, decide, digest_inputs, explain_change, identify
from emoadapt.flow.provenance import join_versions
from emoadapt.storage.footers import read_statement
from emoadapt.storage.identities import read_claim
from emoadapt.study.graph import RESULTS
from emoadapt.study.nodes import Run, Setting

if TYPE_CHECKING:
    from emoadapt.study.graph import Graph

_PLACES = {
    "make_demo": r"demo/([^/]+)/(\d+)\.json",
    "manifest": r"manifests/([^/]+)/(\d+)\.parquet",
    "split": r"splits/([^/]+)/(\d+)\.parquet",
    "divide": r"divisions/([^/]+)/(\d+)\.parquet",
    "leaks": r"leaks/([^/]+)\.parquet",
    "keep": rf"features/({'|'.join(schema.KEPT)})\.([^/]+)/([^/]+)/(\d+)\.parquet",
    "extract": r"features/([^/.]+)/([^/]+)/(\d+)\.parquet",
    "parts": r"targets/([^/]+)/parts\.parquet",
    "normalisers": r"targets/([^/]+)/normalisers\.parquet",
    "training_shard": r"training/([^/]+)/([^/]+)/(\d+)\.parquet",
    "adapt": r"(?:models/([^/.]+)\.([^/.]+)|curves/([^/.]+)\.([^/.]+)\.parquet)",
    "train": r"runs/([^/]+)/([^/]+)/([^/]+)/([^/]+)/(?:models|[a-z_]+\.parquet)",
    "refit": r"refits/([^/]+)/([^/]+)/([^/]+)/models",
    "word_errors": r"metrics/word_errors\.parquet",
    "evaluate": r"metrics/([^/.]+)(?:\.[a-z]+)?\.parquet",
    "quarantine": r"quarantine\.parquet",
    "report": r"(?:tables|figures|report/index\.html)",
}
"""Job -> its outputs in the folder of results; what the groups match names it. Of two that match, the first counts."""


class Origins:
    """Origins of the outputs of a study."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.study = graph, graph.study

    def find(self, path: str) -> Origin:
        """Origin of an output, by its path.

        Raises:
            ValueError: no job makes it.
        """
        for job, place in _PLACES.items():
            if found := re.fullmatch(f"{RESULTS}/{place}", path):
                return getattr(self, job)(*filter(None, found.groups()))
        raise ValueError(f"no job makes {path}")

    def collect_versions(self, paths: Iterable[str]) -> dict[str, str]:
        """Versions of libraries that made tables, as the tables state them (`join_versions`); jobs name the kinds."""
        tables = [path for path in paths if path.endswith(".parquet")]
        return join_versions((_name_kind(path), read_statement(path).provenance) for path in tables)

    def refuse_others(self, paths: Iterable[str]) -> list[str]:
        """Refuse outputs, and all that they were made from, that do not belong to this study.

        The content of corpora is not compared, since it may change while a study runs; nor are versions of libraries, which the
        report lists.

        Returns:
            All outputs that were compared.

        Raises:
            DataError: the first that does not, and what to do.
        """
        identities: dict[str, str] = {}

        def find_identity(path: str) -> str:
            return identities.get(path) or identities.setdefault(path, identify(path))

        waiting = dict.fromkeys(paths)
        seen: set[str] = set()
        while waiting:
            path, _ = waiting.popitem()
            seen.add(path)
            origin = self.find(path)
            if problem := _find_difference(path, origin, find_identity):
                raise _refuse(path, problem)
            waiting |= dict.fromkeys(name for name in origin.list_inputs() if name not in seen)
        return sorted(seen)

    def refuse_other_settings(self, paths: Iterable[Path], results: Path) -> None:
        """Refuse outputs that were made with other settings or code; what made them may be gone, and nothing may be claimed.

        Args:
            paths: outputs.
            results: the folder of results that they lie in.

        Raises:
            DataError: the first that was, and what to do.
        """
        for path in paths:
            claim, origin = read_claim(path), self.find(f"{RESULTS}/{path.relative_to(results).as_posix()}")
            if claim is not None and decide(claim.made) != decide(origin.made):
                raise _refuse(str(path), explain_change(claim.made, origin.made))

    # --- corpora

    def make_demo(self, corpus: str, shard: str) -> Origin:
        """Media of a shard of a generated corpus."""
        root = self.study.corpora[corpus].root
        described = {f"corpora.{corpus}.root": str(root), **self._describe_shards(corpus)}
        return Origin({}, lambda: described, lambda: self.graph.manifest_state(corpus, shard))

    def manifest(self, corpus: str, shard: str) -> Origin:
        """A shard of a corpus."""
        columns = [(field.name, str(field.type)) for field in schema.MANIFEST]
        described = {"columns": repr(columns), **self._describe_shards(corpus)}
        return Origin({}, lambda: described, lambda: self.graph.manifest_state(corpus, shard))

    def _describe_shards(self, corpus: str) -> dict[str, str]:
        """Number of shards, which decides the clips of each."""
        return {f"corpora.{corpus}.shards": str(self.study.corpora[corpus].shards)}

    def split(self, task: str, partition: str) -> Origin:
        """A partition of a task."""
        return Origin(
            {"manifests": self._manifests(self.graph.task_corpora(task))},
            lambda: {
                f"tasks.{task}": self.graph.split_state(task, int(partition)),
                **self.graph.code("cli.split"),
            },
            lambda: self.graph.label_states(task),
        )

    def divide(self, task: str, partition: str) -> Origin:
        """A partition of a task without the labels of its target."""
        return Origin(
            {"manifests": self._manifests(self.graph.task_corpora(task))},
            lambda: {
                f"tasks.{task}": self.graph.split_state(task, int(partition)),
                **self.graph.code("cli.divide"),
            },
            lambda: self.graph.membership_states(task),
        )

    def leaks(self, task: str) -> Origin:
        """Leaks of a task."""
        manifests = self.graph.leak_manifests(task, self.study.adaptations_of(task))
        return Origin(
            {"manifests": manifests, "splits": self.graph.split_tables(task)},
            lambda: {f"tasks.{task}.leaks": self.graph.leak_state(task), **self.graph.code("cli.leaks")},
        )

    # --- features

    def extract(self, feature: str, corpus: str, shard: str) -> Origin:
        """A shard of a feature."""
        tables = self.graph.feature_tables(feature)
        inputs = {name: [place.format(corpus=corpus, shard=shard)] for name, place in tables.items()}
        inputs["ready"] = self.graph.media_ready(feature, corpus, shard)
        return Origin(inputs, lambda: self.graph.recipe(feature, corpus))

    def keep(self, kind: str, source: str, corpus: str, shard: str) -> Origin:
        """A shard of an output of a frozen backbone."""
        features = self.study.backbones[source.split(".")[0]].features
        read = [f"{RESULTS}/features/{feature}/{corpus}/{shard}.parquet" for feature in features]
        return Origin(
            {"features": read, "model": self.graph.kept_model(source)},
            lambda: {**self.graph.kept_state(kind, source), **self.graph.kept_code(source)},
        )

    # --- Stage 1

    def parts(self, adaptation: str) -> Origin:
        """Held-out part of an adaptation's clips."""
        config = self.study.adaptations[adaptation]
        return Origin(
            {"manifests": self._manifests(config.corpora)},
            lambda: {
                f"adaptations.{adaptation}.held_out": str(config.held_out),
                f"adaptations.{adaptation}.seed": str(config.seed),
                **self.graph.code("cli.parts"),
            },
        )

    def normalisers(self, adaptation: str) -> Origin:
        """Normalisers of an adaptation's targets."""
        config = self.study.adaptations[adaptation]
        return Origin(
            {"features": self.graph.normaliser_inputs(adaptation), "parts": [_name_target(adaptation, "parts")]},
            lambda: {
                f"adaptations.{adaptation}.normalise": str(config.normalise),
                **self.graph.normaliser_code(adaptation),
            },
        )

    def training_shard(self, objectives: str, corpus: str, shard: str) -> Origin:
        """A training shard of a set of objectives."""
        return Origin(
            {"features": self.graph.training_inputs(objectives, corpus, shard)},
            lambda: {
                "targets": self.graph.training_columns(objectives),
                **self.graph.code("cli.training_shard"),
            },
        )

    def adapt(self, backbone: str, adaptation: str) -> Origin:
        """A Stage-1 model."""
        return Origin(
            {
                "shards": self.graph.training_shards(adaptation),
                "streams": self.graph.stage1_streams(backbone, adaptation),
                "labelled": self.graph.judge_shards(backbone, adaptation),
                "splits": self.graph.judge_splits(adaptation),
                "parts": [_name_target(adaptation, "parts")],
                "normalisers": [_name_target(adaptation, "normalisers")],
            },
            lambda: {
                **self.graph.backbone_state(backbone),
                **self.graph.stage1_state(adaptation),
                **self.graph.stage1_code(backbone, adaptation),
            },
        )

    # --- Stage 2

    def train(self, task: str, model: str, subset: str, batch: str) -> Origin:
        """A batch of runs on a task."""
        setting = self.graph.setting(task, model, subset)
        return self.training(setting, self.graph.batches(setting)[batch])

    def training(self, setting: Setting, runs: list[Run]) -> Origin:
        """Some runs of a setting."""
        return Origin(
            {
                **self.graph.training_inputs_of(setting, runs),
                "splits": self.graph.trained_tables(setting.task, runs),
                "manifests": self.graph.leak_inputs(setting.task, setting.model.start),
            },
            lambda: {
                **self.graph.training_state(setting),
                "runs": " ".join(map(str, runs)),
                **self.graph.training_code(setting),
            },
        )

    def refit(self, task: str, model: str, subset: str) -> Origin:
        """A classifier on frozen layers or descriptors, fitted once more."""
        setting = self.graph.setting(task, model, subset)
        runs = self.graph.list_every_run(setting)
        return Origin(
            {
                **self.graph.training_inputs_of(setting, kept=True),
                "splits": self.graph.trained_tables(task, runs),
                "tables": self.graph.refit_tables(setting),
            },
            lambda: {
                **self.graph.refit_state(setting),
                "runs": " ".join(map(str, runs)),
                **self.graph.refit_code(setting),
            },
        )

    # --- evaluation and report

    def evaluate(self, task: str) -> Origin:
        """Scores of a task."""
        config, shown = self.study.tasks[task], {"bootstrap", "confidence", "alternative", "group_clips", "baseline"}
        return Origin(
            {
                **{name: self.graph.run_files(task, f"{name}.parquet") for name in ("predictions", "embeddings")},
                "splits": self.graph.split_tables(task),
            },
            lambda: {
                "report": self.study.report.model_dump_json(include=shown),
                config.name_outputs(task): json.dumps(config.outputs),
                f"tasks.{task}.score": config.score,
                "comparisons": json.dumps(self.graph.comparisons(task)),
                **self.graph.evaluation_code(task),
            },
        )

    def quarantine(self) -> Origin:
        """All rows that are not ok."""
        features = self.graph.all_features()
        return Origin({"features": features}, lambda: self.graph.code("cli.collect_quarantine"))

    def word_errors(self, corpora: Sequence[str] | None = None) -> Origin:
        """Word errors of a recogniser; default: in all corpora with transcripts of their own."""
        corpora = corpora or self.graph.compared_corpora()
        transcripts = [path for name in corpora for path in self.graph.feature_shards("transcript", name)]
        return Origin(
            {"manifests": self._manifests(corpora), "transcripts": transcripts},
            lambda: {
                "recogniser": self.graph.recogniser_state(),
                **self.graph.code("cli.word_errors"),
            },
        )

    def report(self) -> Origin:
        """Tables, figures and page."""
        tasks, audited = self.study.tasks, self.graph.audited_tasks()
        shown, audits = ("", ".confusion", ".comparisons"), ("fairness", "calibration", "reliability", "coverage")
        inputs = {
            "metrics": [f"{RESULTS}/metrics/{task}{table}.parquet" for table in shown for task in tasks],
            "audits": [f"{RESULTS}/metrics/{task}.{table}.parquet" for table in audits for task in audited],
            "leaks": self.graph.leak_tables(),
            "splits": [path for task in tasks for path in self.graph.split_tables(task)],
            "curves": [f"{RESULTS}/curves/{model}.parquet" for model in self.graph.adapted_models()],
            "adapted": [f"{RESULTS}/models/{model}" for model in self.graph.adapted_models()],
            "runs": [path for task in tasks for path in self.graph.run_files(task, "curves.parquet")],
            "manifests": self.graph.shown_manifests(),
            "parts": [_name_target(name, "parts") for name in self.graph.applied_adaptations()],
            "quarantine": [f"{RESULTS}/quarantine.parquet"],
            "word_errors": self.graph.word_errors(),
            "features": self.graph.extra_features(),
            "refits": self.graph.refits(),
        }
        return Origin(
            inputs,
            lambda: {
                **self.graph.report_state(),
                **self.graph.code("cli.report", "extraction.recipes", "flow.provenance", *self.graph.metric_modules()),
            },
        )

    def _manifests(self, corpora: Iterable[str]) -> list[str]:
        return [path for corpus in corpora for path in self.graph.manifests(corpus)]


def _refuse(path: str, problem: str) -> DataError:
    return DataError(
        f"{path} does not belong to this study: {problem}. Bring it up to date with `snakemake` and the same --configfile, or "
        "name the configuration that it was made with"
    )


def _find_difference(path: str, origin: Origin, find_identity: Callable[[str], str]) -> str:
    """Why an output is not the one of its origin, or an empty text."""
    try:
        claim = read_claim(Path(path))
    except FileNotFoundError:
        return "it is missing"
    if claim is None:
        return "it does not say what it was made from"
    if decide(claim.made) != decide(origin.made):
        return explain_change(claim.made, origin.made)
    if origin.observe or claim.inputs == digest_inputs(origin.list_inputs(), "", find_identity):
        return ""
    return "it was made from other inputs than those that are here"


def _name_kind(path: str) -> str:
    """Feature or job that made an output."""
    kinds = ((job, re.fullmatch(f"{RESULTS}/{place}", path)) for job, place in _PLACES.items())
    job, found = next((job, found) for job, found in kinds if found)
    return found[1] if job == "extract" else job


def _name_target(adaptation: str, table: str) -> str:
    return f"{RESULTS}/targets/{adaptation}/{table}.parquet"
