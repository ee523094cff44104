"""Pages of the report for each setting: scores, confusion and curves.

Pictures of hundreds of runs would make the file explode; numbers with four digits take about 2 kB a run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from emoadapt import schema
from emoadapt.config import Study
from emoadapt.errors import ConfigError
from emoadapt.reporting.levels import add_chance, find_levels
from emoadapt.reporting.measures import count_digits, label_metric, order_metric
from emoadapt.reporting.runs import list_batches
from emoadapt.reporting.style import (
    model_key,
    name_model,
    subset_key,
    subset_name,
    weights_of,
)
from emoadapt.storage.frames import read_frame
from emoadapt.storage.tables import read_provenance
from emoadapt.study.nodes import Model, Setting
from emoadapt.tasks.divisions import PARTS, UNLABELLED

Page = dict[str, Any]

_SETTING = ["task", *Model._fields, "subset"]


def collect_pages(
    study: Study,
    results: Path,
    metrics: Sequence[Path],
    confusion: Sequence[Path],
    splits: Mapping[str, Sequence[Path]],
) -> list[Page]:
    """What the pages show: one mapping per setting that has results, tasks and models as configured, subsets by size.

    Args:
        study: the configuration.
        results: folder of results, laid out as by the rules.
        metrics: METRICS table of each task.
        confusion: CONFUSION table of each task.
        splits: task -> its SPLITS tables, which tell the folds.

    Raises:
        DataError: a table is missing or of another schema.
    """
    counts = read_frame(confusion, schema.CONFUSION)
    measured = _partition(add_chance(read_frame(metrics, schema.METRICS), find_levels(counts)))
    confused = _partition(counts)
    tasks = list(study.tasks)
    found = [setting for setting in study.list_settings() if _key(setting) in measured]
    found.sort(key=lambda s: (tasks.index(s.task), model_key(study, s.model), subset_key(s.subset)))
    return [
        {
            **_describe_setting(study, setting),
            **_list_tests(study, setting, measured[_key(setting)], confused.get(_key(setting))),
            **_list_batches(study, setting, splits[setting.task], results),
        }
        for setting in found
    ]


def page_id(task: str, model: Model, subset: str) -> str:
    """Anchor of a setting's page."""
    return f"page-{task}.{model}.{subset}"


def encode_pages(pages: Sequence[Page]) -> str:
    """The pages as JSON that may stand inside an HTML `<script>`, whatever the labels hold."""
    text = json.dumps(pages, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def round_value(value: float | None) -> float | None:
    """Four significant digits: more than a screen shows; None for what JSON cannot say."""
    if value is None or not math.isfinite(value):
        return None
    short = float(f"{value:.4g}")
    return int(short) if short.is_integer() and abs(short) < 1e6 else short


def _key(setting: Setting) -> tuple[str, ...]:
    return setting.task, *setting.model, setting.subset


def _describe_setting(study: Study, setting: Setting) -> Page:
    model = setting.model
    adaptation = study.adaptations.get(model.start)
    return {
        "id": page_id(setting.task, model, setting.subset),
        "task": setting.task,
        **model._asdict(),
        "method": study.finetunings[model.finetuning].method,
        "model": name_model(study, model),
        "partitions": study.count_partitions(setting.task),
        "subset": setting.subset,
        "clips": subset_name(setting.subset),
        "weights": weights_of(study, model.backbone),
        "objectives": {} if adaptation is None else {k: round_value(v) for k, v in adaptation.objectives.items()},
        "classes": list(study.tasks[setting.task].classes),
    }


def _list_tests(study: Study, setting: Setting, measured: pl.DataFrame, confused: pl.DataFrame | None) -> Page:
    """Names and decimals of the metrics, and runs by test corpus, the task's own first.

    Of each run: its metrics, F1 by class (0 without a test clip), and confusion counts row by row (empty where the task
    has no classes).
    """
    own, classes = study.tasks[setting.task].corpus, study.tasks[setting.task].classes
    keys = ["test_corpus", "partition", "resampling", "seed"]
    counts = {} if confused is None else _order_cells(confused, classes).partition_by(keys, as_dict=True)
    whole = measured.filter(pl.col("label").is_null())
    metrics = sorted(set(whole["metric"]), key=order_metric)
    runs = whole.sort(keys).partition_by(keys, as_dict=True, maintain_order=True)
    f1 = measured.filter(metric="f1").partition_by(keys, as_dict=True)
    tests: dict[str, Page] = {}
    for run, part in sorted(runs.items(), key=lambda item: item[0][0] != own):
        corpus, partition, resampling, seed = run
        values = {row["metric"]: row for row in part.iter_rows(named=True)}
        by_class = dict(f1[run].select("label", "value").iter_rows()) if run in f1 else {}
        new = {
            "corpus": corpus,
            "n": values[metrics[0]]["n_all"],
            "runs": [],
            **_list_levels(part, f1.get(run), metrics, classes),
        }
        test = tests.setdefault(str(corpus), new)
        test["runs"].append(
            {
                "p": partition,
                "r": resampling,
                "s": seed,
                "m": [round_value(values[name]["value"]) if name in values else None for name in metrics],
                "f": [round_value(by_class.get(label)) for label in classes],
                "c": counts[run]["count"].to_list() if run in counts else [],
            }
        )
    shown = {"metrics": list(map(label_metric, metrics)), "digits": list(map(count_digits, metrics))}
    return {**shown, "tests": list(tests.values())}


def _list_levels(whole: pl.DataFrame, f1: pl.DataFrame | None, metrics: Sequence[str], classes: Sequence[str]) -> Page:
    """Chance levels of the metrics (`m0`) and of the F1 of each class (`f0`)."""
    scores = dict(whole.select("metric", "chance").iter_rows())
    by_class = {} if f1 is None else dict(f1.select("label", "chance").iter_rows())
    return {
        "m0": [round_value(scores.get(name)) for name in metrics],
        "f0": [round_value(by_class.get(name)) for name in classes],
    }


def _order_cells(confused: pl.DataFrame, classes: Sequence[str]) -> pl.DataFrame:
    names = pl.Enum(list(classes))
    return confused.sort(pl.col("label").cast(names), pl.col("predicted").cast(names))


def _list_batches(study: Study, setting: Setting, splits: Sequence[Path], results: Path) -> Page:
    """Curves of every run and fold, the files that hold its predictions, and how many clips had no usable input."""
    curves, files, kept, left_out = [], [], [], dict.fromkeys((*PARTS, UNLABELLED), 0)
    for folder, runs in list_batches(study, setting, splits, results):
        table = read_frame(folder / "curves.parquet", schema.CURVES)
        curves += list(_list_curves(table))
        files.append([(folder / "predictions.parquet").as_posix(), " ".join(map(str, runs))])
        models = [folder / "models" / setting.name(run) for run in runs]
        kept += [model.as_posix() for model in models if model.is_dir()]
        counted = read_provenance(folder / "curves.parquet")
        for part, most in left_out.items():
            key = "left_out" if part == "test" else f"left_out_{part}"
            left_out[part] = max(most, int(counted.get(key, "0")))
    missing = ", ".join(f"{count} {part}" for part, count in left_out.items() if count)
    names = {metric for curve in curves for metric in curve["series"]}
    return {
        "curves": curves,
        "labels": {name: _label_curve(name) for name in sorted({name.partition(" ")[2] for name in names})},
        "files": files,
        "kept": kept,
        "left_out": f"{missing} clips, left out" if missing else "",
    }


def _label_curve(metric: str) -> str:
    """Name of what a curve is of: a score, or anything else that a method notes, such as a loss."""
    try:
        return label_metric(metric)
    except ConfigError:
        return metric.replace("_", " ")


def _list_curves(table: pl.DataFrame) -> Iterator[Page]:
    """Of each run: the epoch kept, and `<part> <metric>` -> first epoch and values."""
    drawn = table.filter(~pl.col("part").is_in(["course", "choice", "teacher"]))
    for (name,), run in sorted(drawn.partition_by("run", as_dict=True).items()):
        kept = run.filter(pl.col("best"))["epoch"]
        series = {}
        for (part, metric), line in sorted(run.partition_by("part", "metric", as_dict=True).items()):
            line = line.sort("epoch")
            values = dict(line.select("epoch", "value").iter_rows())
            first, last = line["epoch"][0], line["epoch"][-1]
            series[f"{part} {metric}"] = [first, [round_value(values.get(e)) for e in range(first, last + 1)]]
        yield {"run": str(name).rpartition(".")[2], "best": kept[0] if len(kept) else None, "series": series}


def _partition(frame: pl.DataFrame) -> dict[tuple[Any, ...], pl.DataFrame]:
    return frame.partition_by(*_SETTING, as_dict=True) if frame.height else {}
