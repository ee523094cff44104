"""Tables of the report: each as tidy CSV (for programs) and as Markdown (for people)."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from emoadapt import schema
from emoadapt.config import Study
from emoadapt.config.places import Places, hide_places
from emoadapt.errors import DataError, name_count
from emoadapt.reporting.audits import COUNTS, build_calibration, build_fairness, build_leaks
from emoadapt.reporting.choices import COLUMNS, list_choice_notes, list_scale_notes
from emoadapt.reporting.display import present_table, present_whole
from emoadapt.reporting.exposure import (
    build_stage1,
    count_shared,
    leak_footnotes,
    print_footnotes,
    read_clips,
    select_footnotes,
)
from emoadapt.reporting.extracted import build_extracted
from emoadapt.reporting.inputs import ReportInputs
from emoadapt.reporting.learned import build_learned
from emoadapt.reporting.levels import CHANCE, CHANCE_OF_CLASSES, add_chance, count_lone_answers, find_levels
from emoadapt.reporting.measures import APART, list_main_metrics, order_metric
from emoadapt.reporting.notices import list_size_notes
from emoadapt.reporting.pretext import build_pretext, list_pretext_notes
from emoadapt.reporting.reference import find_paper_value, read_paper
from emoadapt.reporting.style import (
    describe_labels,
    describe_split,
    list_method_notes,
    list_score_notes,
    listing,
    model_key,
    model_of,
    name_tested,
    star,
    state_weights,
    subset_key,
)
from emoadapt.reporting.teaching import COLUMNS as teaching_columns
from emoadapt.reporting.teaching import list_teaching_notes
from emoadapt.reporting.trials import describe_tested, name_products
from emoadapt.storage.files import write_text
from emoadapt.storage.frames import read_frame
from emoadapt.storage.spreadsheets import format_frame, scan_csv
from emoadapt.storage.tables import read_provenance
from emoadapt.study.nodes import ORIGINAL, Model
from emoadapt.tasks.divisions import PARTS, UNLABELLED

OPTIONAL = ("choices", "teaching", "pretext", "word_errors", "extracted")
"""Tables that only some studies have."""
_MODEL = ["task", "test_corpus", "subset", *Model._fields]


def table_names(study: Study, optional: Collection[str] = ()) -> list[str]:
    """Tables of a study, in the order of the report.

    Args:
        study: the configuration.
        optional: those of `OPTIONAL` that the study has.
    """
    names = ["results", "low_resource", "per_class_f1", "f1_bias", "cosine_distance", "cross_corpus"]
    names += [
        *(name for name in ("choices", "teaching") if name in optional),
        "fairness",
        "calibration",
        "data",
        "stage1_data",
        *(["objectives"] if study.adaptations else []),
        *(["pretext"] if "pretext" in optional else []),
        "leaks",
        *(name for name in ("word_errors", "extracted") if name in optional),
        "quarantine",
        "quarantine_rows",
    ]
    return [*names, f"paper_{study.report.paper}"] if study.report.paper else names


def write_tables(
    study: Study,
    inputs: ReportInputs,
    out: Path,
    choices: pl.DataFrame | None = None,
    teaching: pl.DataFrame | None = None,
) -> None:
    """Write `out/<table>.csv` and `out/<table>.md` for every table of the study.

    Tables about models on a task have its leaks as footnotes, also as a list in `out/<table>.notes.json`.

    Args:
        study: the configuration.
        inputs: tables to read.
        out: folder to write to.
        choices: rows of `build_choices`; None or empty where nothing was chosen.
        teaching: rows of `build_teaching`; None or empty where no model has a teacher.

    Raises:
        DataError: a table is missing or of another schema.
    """
    said = {name: rows for name, rows in (("choices", choices), ("teaching", teaching)) if rows is not None}
    said = {name: rows for name, rows in said.items() if not rows.is_empty()}
    tables = build_tables(study, inputs) | said
    footnotes = _Footnotes(study, inputs, said)
    out.mkdir(parents=True, exist_ok=True)
    for name in table_names(study, [name for name in OPTIONAL if name in tables]):
        notes = footnotes.collect(name, tables[name])
        write_text(out / f"{name}.csv", format_frame(tables[name]))
        write_text(
            out / f"{name}.md",
            to_markdown(present_whole(name, tables[name], study.report.names)) + print_footnotes(notes),
        )
        if notes:
            write_text(out / f"{name}.notes.json", json.dumps(notes, ensure_ascii=False))


def build_tables(study: Study, inputs: ReportInputs) -> dict[str, pl.DataFrame]:
    """Build the tidy tables of a study but those about choices and teachers, by name."""
    chance = find_levels(read_frame(inputs.confusion, schema.CONFUSION))
    measured = read_frame(inputs.metrics, schema.METRICS)
    results = add_chance(build_results(study, read_frame(inputs.comparisons, schema.COMPARISONS)), chance)
    home, away = split_home(study, results)
    classes = add_chance(average_runs(study, measured.filter(metric="f1")), chance)
    tables = {
        "results": home.filter(~pl.col("metric").is_in(APART)),
        "low_resource": _keep_low_resource(study, home),
        "per_class_f1": count_lone_answers(classes, read_frame(inputs.confusion, schema.CONFUSION)),
        "f1_bias": home.filter(metric="f1_bias"),
        "cosine_distance": average_runs(study, measured.filter(metric="cosine_distance")).drop("label", "n_least"),
        "cross_corpus": away.filter(~pl.col("metric").is_in(APART)),
        "objectives": build_learned(study, read_frame(inputs.curves, schema.CURVES)),
        **_build_data(study, inputs),
        **_build_audits(study, inputs),
        **_build_quarantine(study, inputs),
    }
    if study.report.paper:
        tables[f"paper_{study.report.paper}"] = read_paper(study.report.paper)
    if inputs.word_errors:
        tables["word_errors"] = read_frame([inputs.word_errors], schema.WORD_ERRORS)
    if inputs.features:
        tables["extracted"] = build_extracted(study, inputs.features)
    if (pretext := build_pretext(inputs.adapted)).height:
        tables["pretext"] = pretext
    return tables


def split_home(study: Study, results: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows about the corpora that a task's score is of (its own one, or the others if all of its own clips train), and rows about further ones."""
    home = pl.any_horizontal(
        pl.lit(False),
        *(
            (pl.col("task") == name) & pl.col("test_corpus").is_in(task.first_tested)
            for name, task in study.tasks.items()
        ),
    )
    return results.filter(home), results.filter(~home)


def _build_data(study: Study, inputs: ReportInputs) -> dict[str, pl.DataFrame]:
    clips = read_clips(study, inputs.manifests)
    divided = {task: read_frame(paths, schema.SPLITS) for task, paths in inputs.splits.items()}
    stage1 = build_stage1(study, divided, clips, inputs.parts)
    return {"data": build_data(study, inputs.splits, clips), "stage1_data": stage1}


def _build_audits(study: Study, inputs: ReportInputs) -> dict[str, pl.DataFrame]:
    fairness, calibration, leaks = (
        read_frame(inputs.audits.get(name, []), kind)
        for name, kind in (("fairness", schema.FAIRNESS), ("calibration", schema.CALIBRATION), ("leaks", schema.LEAKS))
    )
    rated = build_calibration(study, calibration)
    return {"fairness": build_fairness(study, fairness), "calibration": rated, "leaks": build_leaks(leaks)}


def _build_quarantine(study: Study, inputs: ReportInputs) -> dict[str, pl.DataFrame]:
    """Clips set aside or noted, counted and one by one, without folders of this machine."""
    places = Places(study)
    shown = pl.col("reason").map_elements(lambda reason: hide_places(places.hide(reason)), pl.String)
    aside = read_frame([inputs.quarantine], schema.QUARANTINE).with_columns(shown)
    return {
        "quarantine": count_quarantine(aside),
        "quarantine_rows": aside.sort("corpus", "feature", "utterance_id"),
    }


class _Footnotes:
    """Footnotes of the tables of a study.

    Args:
        study: the configuration.
        inputs: tables that they are about.
        said: the tables `choices` and `teaching`, those that there are.
    """

    def __init__(self, study: Study, inputs: ReportInputs, said: Mapping[str, pl.DataFrame]) -> None:
        self.study = study
        self.measured = read_frame(inputs.metrics, schema.METRICS)
        self.compared = read_frame(inputs.comparisons, schema.COMPARISONS)
        self.leaks = leak_footnotes(study, read_frame(inputs.audits.get("leaks", []), schema.LEAKS))
        divided = {task: read_frame(paths, schema.SPLITS) for task, paths in inputs.splits.items()}
        self.shared = {task: _count_shared(rows) for task, rows in divided.items()}
        self.scales = list_scale_notes(study, divided)
        self.said = list_choice_notes(said.get("choices", pl.DataFrame(schema=COLUMNS)))
        self.said |= list_teaching_notes(said.get("teaching", pl.DataFrame(schema=teaching_columns)))

    def collect(self, name: str, tidy: pl.DataFrame) -> list[str]:
        """Footnotes of a table."""
        study = self.study
        notes = select_footnotes(tidy, self.leaks) + _say_methods(study, tidy) + _say_chance(tidy)
        notes += _say_runs(study, tidy) + _say_sizes(study, tidy, self.measured)
        if name in ("results", "cross_corpus"):
            notes += list_size_notes(tidy) + _say_pairs(study, tidy, self.compared)
        if name == "pretext":
            notes += list_pretext_notes(study, tidy)
        return notes + _say_trainings(tidy, self.said, self.scales) + _say_shared(tidy, self.shared)


def _say_chance(tidy: pl.DataFrame) -> list[str]:
    """What the chance level of a table is."""
    if "chance" not in tidy.columns or tidy["chance"].null_count() == tidy.height:
        return []
    return [CHANCE_OF_CLASSES if "n_least" in tidy.columns else CHANCE]


def _say_methods(study: Study, tidy: pl.DataFrame) -> list[str]:
    """What the methods of a table's models must say, and what is scored, below tables that show their scores."""
    if not {"finetuning", "metric"} <= set(tidy.columns):
        return []
    tasks, finetunings = (tidy[name].unique(maintain_order=True) for name in ("task", "finetuning"))
    return list_score_notes(study, tasks) + list_method_notes(study, finetunings)


def _say_trainings(
    tidy: pl.DataFrame, notes: Mapping[tuple[str, str], str], scales: Mapping[str, Sequence[str]]
) -> list[str]:
    """What the runs of a table's models chose and were taught, and where statistics of speakers or corpora are uncertain.

    Args:
        tidy: a table.
        notes: (task, model) -> a sentence.
        scales: task -> sentences of `list_scale_notes`.
    """
    if not {"task", "metric", *Model._fields} <= set(tidy.columns):
        return []
    shown = {(task, str(Model(*model))) for task, *model in tidy.select("task", *Model._fields).unique().iter_rows()}
    said = [note for key, note in notes.items() if key in shown]
    return said + [note for task in tidy["task"].unique(maintain_order=True) for note in scales.get(task, [])]


def _name_test(study: Study, task: str, corpus: str) -> str:
    """A task, and the corpus tested on if it is another one."""
    return task if corpus == study.tasks[task].corpus else f"{task} → {corpus}"


def _say_runs(study: Study, tidy: pl.DataFrame) -> list[str]:
    """What the runs behind each test set are: partitions, draws and seeds, and how they are combined."""
    if not {*_MODEL, "n_runs"} <= set(tidy.columns) or set(tidy["n_runs"]) == {1}:
        return []
    return [
        f"{_name_test(study, task, corpus)}: mean ± standard deviation over runs, {name_products(products)}."
        for task, corpus, products in describe_tested(study, tidy)
    ]


def _say_pairs(study: Study, tidy: pl.DataFrame, comparisons: pl.DataFrame) -> list[str]:
    """Count the pairs behind differences to `report.baseline`, where means are over more runs.

    Args:
        study: the configuration.
        tidy: rows of `build_results`.
        comparisons: COMPARISONS rows.
    """
    if study.report.baseline is None:
        return []
    settings = comparisons.select(*_MODEL, "n_runs").unique()
    runs = {tuple(setting): number for *setting, number in settings.iter_rows()}
    baseline = Model.parse(study.report.baseline)
    pairs = _keep_baseline(study, comparisons).join(tidy, on=_MODEL, how="semi")
    found: dict[tuple[str, str], dict[str, list[tuple[str, str]]]] = {}
    for *setting, number in pairs.select(*_MODEL, "n_pairs").unique(maintain_order=True).iter_rows():
        task, corpus, subset, *model = setting
        most = max(runs[tuple(setting)], runs.get((task, corpus, subset, *baseline), 0))
        if number < most:
            text = f"{name_count(number, 'pair')} of {most} runs"
            named = found.setdefault((task, corpus), {}).setdefault(text, [])
            named += [] if (model[2], subset) in named else [(model[2], subset)]
    return [
        f"{_name_test(study, task, corpus)}: differences to {baseline} are over fewer runs than the means, {name_products(products)}; "
        "only runs with the same partition, draw and seed make a pair."
        for (task, corpus), products in found.items()
    ]


def _say_sizes(study: Study, tidy: pl.DataFrame, metrics: pl.DataFrame) -> list[str]:
    """What `n` counts, of each test set of which a partition holds a part only.

    Args:
        study: the configuration.
        tidy: a table.
        metrics: METRICS rows.
    """
    if not {*_MODEL, "n"} <= set(tidy.columns):
        return []
    whole = metrics.filter(pl.col("label").is_null())
    tested = whole.group_by("task", "test_corpus", "partition").agg(pl.col("n", "n_all").max())
    notes = []
    for task, corpus in tidy.select("task", "test_corpus").unique(maintain_order=True).rows():
        sizes = tested.filter(task=task, test_corpus=corpus)
        smallest, largest, total = sizes.select(pl.min("n"), most=pl.max("n"), total=pl.max("n_all")).row(0)
        if sizes.height < 2 or smallest == total:
            continue
        each = f"{smallest:,}" if smallest == largest else f"{smallest:,} to {largest:,}"
        notes.append(
            f"{task}: n = {total:,} {name_tested(study, task)} of {corpus} in {sizes.height} partitions of {each}; "
            "one that several partitions test counts once."
        )
    return notes


def _count_shared(splits: pl.DataFrame) -> tuple[int, dict[str, int]]:
    """Number of partitions, and the clips of each part (`train`, `dev`, `test`) that are in this part of several of them."""
    placed = splits.select("utterance_id", "partition", "split").unique()
    several = placed.group_by("utterance_id", "split").len().filter(pl.col("len") > 1)
    return splits["partition"].n_unique(), dict(several.group_by("split").len().rows())


def _say_shared(tidy: pl.DataFrame, shared: Mapping[str, tuple[int, dict[str, int]]]) -> list[str]:
    """Tests over partitions that share clips, which are not independent (Nadeau & Bengio, Machine Learning 2003).

    Args:
        tidy: a table.
        shared: task -> as from `_count_shared`.
    """
    if not {"task", "p_value"} <= set(tidy.columns):
        return []
    notes = []
    for task in tidy.filter(pl.col("p_value").is_not_null())["task"].unique(maintain_order=True):
        partitions, counts = shared[task]
        common = [f"{counts[part]:,} {part} clips" for part in ("train", "test") if counts.get(part)]
        if partitions > 1 and common:
            notes.append(
                f"{task}: p-values are over {partitions} partitions, of which several have {listing(common)} in common; such tests are "
                "not independent, and their p-values are too small rather than too large."
            )
    return notes


def read_tidy(path: Path) -> pl.DataFrame:
    """Read back a CSV of `write_tables` with the types it was written with."""
    return scan_tidy(path).collect()


def scan_tidy(path: Path) -> pl.LazyFrame:
    """The same, read when it is collected."""
    with path.open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file), [])
    return scan_csv(path, {name: _KINDS.get(name, pl.String) for name in header})


def build_results(study: Study, comparisons: pl.DataFrame) -> pl.DataFrame:
    """One row per setting, test corpus and metric, with what a reader needs to judge it.

    `difference` and `p_value` are against `baseline` (the original of the same backbone and fine-tuning), those with
    `reference_` in front against `reference`, the model that `report.baseline` names.
    """
    frame = keep_main(comparisons).join(_keep_reference(study, comparisons), on=[*_MODEL, "metric"], how="left")
    rows = []
    for row in frame.iter_rows(named=True):
        paper = find_paper_value(study, row["task"], row["test_corpus"], model_of(row), row["subset"], row["metric"])
        corpus = study.tasks[row["task"]].corpus
        rows.append(
            {
                **{c: row[c] for c in ("task",)},
                "corpus": corpus,
                **{
                    c: row[c]
                    for c in (*_MODEL[1:], "metric", "mean", "std", "low", "high", "n_runs", "n", "baseline", "n_pairs")
                },
                **{c: row[c] for c in _DIFFERENCE},
                "stars": star(row["p_value"]),
                **{c: row[c] for c in _REFERENCE},
                "weights": state_weights(study, row["backbone"]),
                "split": describe_split(study, row["task"]),
                "labels": describe_labels(study, row["test_corpus"]),
                "paper_mean": None if paper is None else paper[0],
                "paper_std": None if paper is None else paper[1],
            }
        )
    return _sort_models(study, pl.DataFrame(rows, schema=_RESULTS))


def keep_main(comparisons: pl.DataFrame) -> pl.DataFrame:
    """COMPARISONS rows against a model's original, or nothing where there is none: one per setting and metric."""
    own = (
        (pl.col("baseline") == ORIGINAL)
        & (pl.col("baseline_backbone") == pl.col("backbone"))
        & (pl.col("baseline_finetuning") == pl.col("finetuning"))
    )
    return comparisons.filter(pl.col("baseline").is_null() | own)


def _keep_reference(study: Study, comparisons: pl.DataFrame) -> pl.DataFrame:
    """Comparisons with `report.baseline`, in columns of their own."""
    return _keep_baseline(study, comparisons).select(
        *_MODEL,
        "metric",
        pl.lit(study.report.baseline, pl.String).alias("reference"),
        *(pl.col(name).alias(f"reference_{name}") for name in _DIFFERENCE),
    )


def _keep_baseline(study: Study, comparisons: pl.DataFrame) -> pl.DataFrame:
    """COMPARISONS rows against `report.baseline`."""
    if study.report.baseline is None:
        return comparisons.clear()
    backbone, start, finetuning = Model.parse(study.report.baseline)
    return comparisons.filter(baseline_backbone=backbone, baseline=start, baseline_finetuning=finetuning)


_DIFFERENCE = ("difference", "difference_low", "difference_high", "p_value")
_REFERENCE = ("reference", *(f"reference_{name}" for name in _DIFFERENCE))


_RESULTS = {
    **dict.fromkeys(("task", "corpus", "test_corpus", "subset", *Model._fields, "metric"), pl.String),
    **dict.fromkeys(("mean", "std", "low", "high"), pl.Float64),
    **dict.fromkeys(("n_runs", "n"), pl.Int64),
    "baseline": pl.String,
    "n_pairs": pl.Int64,
    **dict.fromkeys(_DIFFERENCE, pl.Float64),
    "stars": pl.String,
    "reference": pl.String,
    **dict.fromkeys(_REFERENCE[1:], pl.Float64),
    **dict.fromkeys(("weights", "split", "labels"), pl.String),
    **dict.fromkeys(("paper_mean", "paper_std"), pl.Float64),
}


_KINDS = (
    {name: kind for name, kind in _RESULTS.items() if kind != pl.String}
    | dict.fromkeys(
        (
            "n_least",
            "partition",
            "fold",
            "utterances",
            "speakers",
            "shared_speakers",
            "shared_clips",
            "clips",
            "held_out",
        )
        + ("clips_of_unknown", "test_clips", "seen_clips", "test_speakers", "seen_speakers")
        + COUNTS
        + ("wordless", "unheard", "words", "substitutions", "deletions", "insertions")
        + ("times", "trainings", "tried", "lone_runs")
        + ("ok", "noted", "absent", "failed", "train"),
        pl.Int64,
    )
    | dict.fromkeys(
        ("word_error_rate", "score", "loss_before", "loss", "before", "value", "without_learning"), pl.Float64
    )
    | dict.fromkeys(("train_share", "held_out_share"), pl.Float64)
    | {"epoch": pl.Int64, "chance": pl.Float64, "seconds": pl.Float64}
)
"""Numeric columns of all tables; the others are text."""


def average_runs(study: Study, metrics: pl.DataFrame) -> pl.DataFrame:
    """Mean and standard deviation over the runs of each setting of METRICS rows.

    `n` counts the test utterances of all runs, each once. Partitions may differ in size: `n_least` is the fewest of a run.
    """
    frame = metrics.group_by([*_MODEL, "metric", "label"], maintain_order=True).agg(
        mean=pl.col("value").mean(),
        std=pl.col("value").std(),
        n_runs=pl.len().cast(pl.Int64),
        n=pl.col("n_all").max(),
        n_least=pl.col("n").min(),
    )
    weights = pl.Series("weights", [state_weights(study, name) for name in frame["backbone"]], dtype=pl.String)
    return _sort_models(study, frame.with_columns(weights))


def build_data(study: Study, splits: Mapping[str, Sequence[Path]], clips: pl.DataFrame) -> pl.DataFrame:
    """Utterances and speakers per task, partition, fold, split and class; `label` null = all classes of the split.

    `shared_speakers` and `shared_clips` count speakers and recordings of a split that are also in another split of the
    same partition and fold, whatever corpus they are taken from (`clips`: as from `read_clips`), clips without labels apart;
    `left_out` is what the maker of the splits noted in the table's provenance, if anything.
    """
    rows: list[dict[str, Any]] = []
    for task, paths in splits.items():
        frame = read_frame(paths, schema.SPLITS)
        shared = count_shared(frame, clips)
        left_out = read_provenance(paths[0]).get("left_out")
        keys = ["corpus", "partition", "fold", "split"]
        speakers = {
            key: set(part["speaker"].drop_nulls()) for key, part in frame.partition_by(keys, as_dict=True).items()
        }
        for label in (None, *sorted(set(frame["label"].drop_nulls()))):
            chosen = frame if label is None else frame.filter(label=label)
            for *place, size in chosen.group_by(keys).len().sort(keys).iter_rows():
                total, found = label is None, tuple(place)
                rows.append(
                    {
                        "task": task,
                        **dict(zip(keys, place, strict=True)),
                        "label": label,
                        "utterances": size,
                        "speakers": len(speakers[found]) if total else None,
                        "shared_clips": shared[found][0] if total else None,
                        "shared_speakers": shared[found][1] if total else None,
                        "split_kind": describe_split(study, task),
                        "labels": describe_labels(study, place[0]),
                        "left_out": left_out if total else None,
                    }
                )
    text, count = pl.String, pl.Int64
    kinds = {
        "task": text,
        "corpus": text,
        "partition": count,
        "fold": count,
        "split": text,
        "label": text,
        "utterances": count,
    }
    kinds |= {
        "speakers": count,
        "shared_clips": count,
        "shared_speakers": count,
        "split_kind": text,
        "labels": text,
        "left_out": text,
    }
    order = pl.Enum([*PARTS, UNLABELLED])
    return pl.DataFrame(rows, schema=kinds).sort(
        "task", "corpus", "partition", "fold", pl.col("split").cast(order), "label"
    )


def count_quarantine(quarantine: pl.DataFrame) -> pl.DataFrame:
    """Utterances set aside or noted, per corpus, feature, status and reason code."""
    code = pl.col("reason").str.split(":").list.first().alias("code")
    keys = ["corpus", "feature", "status", "code"]
    return quarantine.with_columns(code).group_by(keys).agg(utterances=pl.len().cast(pl.Int64)).sort(keys)


def _keep_low_resource(study: Study, home: pl.DataFrame) -> pl.DataFrame:
    """Macro-F1, or mean CCC, of tasks with more than one number of training clips."""
    several = [name for name, task in study.tasks.items() if len(task.subsets) > 1]
    return home.filter(pl.col("task").is_in(several), pl.col("metric").is_in(list_main_metrics()))


def _sort_models(study: Study, frame: pl.DataFrame) -> pl.DataFrame:
    """Tasks and models as configured, subsets by size."""
    tasks = list(study.tasks)
    found = frame.select(*_MODEL, "metric").rows()
    order = sorted(
        range(len(found)),
        key=lambda i: (
            tasks.index(found[i][0]),
            found[i][1] != study.tasks[found[i][0]].corpus,
            found[i][1],
            subset_key(found[i][2]),
            model_key(study, Model(*found[i][3:6])),
            order_metric(found[i][6]),
            i,
        ),
    )
    return frame[order] if order else frame


def to_markdown(frame: pl.DataFrame) -> str:
    """A pipe table of text columns; bars and line breaks inside a cell are escaped."""
    if frame.is_empty():
        return "Nothing to show.\n"

    def line(cells: Sequence[str]) -> str:
        return (
            "| "
            + " | ".join(c.replace("|", "\\|").replace("\r", "").replace("\n", " ").replace("<", "&lt;") for c in cells)
            + " |"
        )

    rows = [line(frame.columns), line(["---"] * frame.width), *(line(row) for row in frame.iter_rows())]
    return "\n".join(rows) + "\n"


def print_quarantine(path: Path, rows: bool) -> None:
    """Print what was set aside or noted and why, as Markdown.

    Args:
        path: QUARANTINE table.
        rows: every utterance, not only counts.

    Raises:
        DataError: the study was not run in this folder.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist; run the study first (snakemake), or name its folder with --results")
    quarantine = read_frame([path], schema.QUARANTINE)
    if quarantine.is_empty():
        print("No clip was set aside, and none has a note.")
        return
    print(to_markdown(present_table("quarantine", count_quarantine(quarantine))), end="")
    if rows:
        print("\n" + to_markdown(present_table("quarantine_rows", quarantine)), end="")
