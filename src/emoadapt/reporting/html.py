"""The report: one HTML file without external resources."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import polars as pl

from emoadapt.config import Study
from emoadapt.config.places import Places
from emoadapt.errors import DataError
from emoadapt.reporting.canvas import is_note
from emoadapt.reporting.declared import Declared, declared_names, read_declared
from emoadapt.reporting.display import present_chance, present_table
from emoadapt.reporting.figures import figure_names
from emoadapt.reporting.kept import Models, explain_none, write_command
from emoadapt.reporting.left_out import list_unplaced
from emoadapt.reporting.notices import (
    describe_left_out,
    describe_lone_runs,
    describe_partitions,
    list_copies,
    list_exposures,
    list_few_runs,
    list_gaps,
    list_lone_answers,
    list_mixed_versions,
    list_notices,
)
from emoadapt.reporting.pages import Page, encode_pages, page_id
from emoadapt.reporting.style import is_one_tailed, model_of, name_model, name_test, spread, subset_name
from emoadapt.reporting.summary import summarise_results
from emoadapt.reporting.tables import OPTIONAL, read_tidy, table_names
from emoadapt.reporting.templates import hash_script, join_files, load_template
from emoadapt.reporting.weights import describe_models, describe_weights
from emoadapt.storage.texts import describe_claim, write_claimed
from emoadapt.study.nodes import DEFAULT, Model

SHOWN_ROWS = 1000
"""Rows of a table in the report; the CSV has all."""
SHOWN_SENTENCES = 8
"""Settings that the summary names before the reader has to unfold the rest."""
FILTER_FROM = 12
"""Rows above which a table has a box to filter it."""

WIDE = 9
"""Columns above which a table is wide."""

_CONSTANT = (
    "task",
    "tested on",
    "training clips",
    "n test",
    "runs",
    "split",
    "split by",
    "labels",
    "left out",
    "partition",
    "fold",
)
"""Columns that move below the table when all their values are the same."""

_READ_INTERVAL = (
    "Each row is one model: the point is its mean over runs, the line the bootstrap interval over test clips (not over seeds). "
    "Overlapping lines do not settle a comparison, since original and adapted are tested on the same utterances: "
    "see the difference in the table."
)

_READ_CHANCE = " Dotted: chance, what needs no learning."

# section: (heading, tables, figures, introduction)
_SECTIONS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...], str]] = {
    "results": (
        "Results", ("results",), ("results",),
        "Tested on clips of the corpus that the models were fine-tuned on, or, where all of its clips train, on the other corpora of the task.",
    ),
    "low-resource": ("Few labelled clips", ("low_resource",), ("low_resource",), "The same task with fewer training clips."),
    "classes": (
        "Per class and confusion", ("per_class_f1",), ("per_class_f1", "confusion"), "Which emotions are told apart, and which are not.",
    ),
    "bias": ("F1 bias", ("f1_bias",), ("f1_bias",), "Mean absolute difference between the F1 of all pairs of classes; lower is more even."),
    "fairness": (
        "Fairness", ("fairness",), (),
        "Macro-F1 of women and men and of each speaker, and how far apart they are. Sexes, speakers and classes with few test "
        "clips are left out. Some difference between groups is there by chance alone, the more so the fewer clips or speakers they have.",
    ),
    "calibration": (
        "Calibration and selective accuracy", ("calibration",), ("reliability", "selective"),
        "Whether a model is right as often as it says, and how accurate it is where it is surest of itself.",
    ),
    "distance": (
        "Distance from the starting point", ("cosine_distance",), ("cosine_distance",),
        "Mean cosine distance between the pooled embeddings of a fine-tuned model and of its own starting point.",
    ),
    "cross-corpus": ("Cross-corpus", ("cross_corpus",), (), "Tested on corpora of which the models read no label."),
    "extracted": (
        "What was extracted", ("extracted",), (),
        "Features of `features.also`. A shard is a Parquet file with a row for each clip; a row that is not ok has no values "
        "and states the reason.",
    ),
    "stage-1": (
        "Stage-1 training", ("objectives", "pretext"), ("training_curves",),
        "How well the objectives were learned from unlabelled clips. Scores are of held-out clips, before training and at the kept epoch. "
        "Without learning, a model scores as the column of that name: the share of the most frequent class, or that of right guesses.",
    ),
    "stage-2": (
        "Fine-tuning", ("choices", "teaching"), ("finetuning_curves",),
        "Whether the runs behind the scores had converged, how far they differ, and what they chose. The test part chooses nothing.",
    ),
    "data": (
        "Data and splits", ("data", "stage1_data", "leaks"), (),
        "Speakers or recordings in more than one split of a fold make a score too good: there should be none. Recordings are compared "
        "by the content of their files, over all corpora. A speaker is the same person in two corpora of a study only if both are the same "
        "published corpus, or csv or folder corpora with one root.",
    ),
    "speech-recognition": (
        "Speech recognition", ("word_errors",), (),
        "Recognised words against the corpus's own transcripts, both normalised (case, punctuation; in English also contractions, "
        "numbers and spelling). Clips in which no word was found count as deletions; clips that the recogniser was not given do not count.",
    ),
    "quarantine": (
        "What was set aside", ("quarantine", "quarantine_rows"), ("quarantine",),
        "Clips for which a feature could not be computed, and why. A missing target is masked, never made up. Clips with the status "
        "“used, with a note” are used like any other; the note may matter to a reader.",
    ),
}  # fmt: skip

_READ_FIGURE = {
    "results": _READ_INTERVAL + _READ_CHANCE,
    "f1_bias": _READ_INTERVAL
    + " Further left is better here; a guess (dotted) is even too, so that a small bias alone is no merit.",
    "low_resource": "Left to right, more labelled clips; a line above another is better; vertical bars are bootstrap intervals over test clips."
    + _READ_CHANCE,
    "per_class_f1": "Each row is a class; further right is better.",
    "reliability": "Points on the dashed line are right as often as they say; below it the model is too sure of itself. The larger a point, "
    "the more test clips it stands for; runs are pooled, and confidences that hardly a clip has are not drawn.",
    "selective": "To the left, only the clips are kept that a model is surest of. A line that rises to the left knows when it is wrong; "
    "a flat one does not.",
    "confusion": "Each row is a true class and sums to 100 %; the diagonal is what was recognised. Small figures: utterances per run.",
    "cosine_distance": "Lower means that fine-tuning moved the model less.",
    "training_curves": "Two lines of panels per model. Losses: falling means learning, a held-out line (solid) that rises while the "
    "training line (dashed) falls means overfitting. Below them, on held-out clips, CCC and accuracy: higher is better, and a CCC near 0 "
    "means that nothing was learned, as does an accuracy on the dotted line, the share of the most frequent class. Epoch 0 is before training; the orange point is the epoch whose weights were kept.",
    "finetuning_curves": "Macro-F1 on the development part at the largest training set: thin lines are runs, the thick one is their "
    "mean, points are the epochs whose weights were tested. With folds, each fold of a run has a line. Points at the right edge hint that training ended too early; jumping lines mean "
    "that the choice of the epoch is a matter of luck.",
    "quarantine": "Longer bars mean more clips set aside; orange ones could not be read, blue ones lack the modality, "
    "grey ones were kept and have a note.",
}

_READ_SPREAD = {
    "per_class_f1": " The bars are ± one standard deviation over all runs, cut at 0 and 1.",
    "selective": " Bands are ± one standard deviation over runs.",
    "cosine_distance": " Vertical bars are ± one standard deviation over runs.",
}
"""Figure -> what else its caption says where models have several runs."""

_TABLE_TITLES = {
    "results": "Scores and differences", "low_resource": "Macro-F1 by number of training clips", "per_class_f1": "F1 of each class",
    "f1_bias": "F1 bias", "cosine_distance": "Cosine distance", "cross_corpus": "Scores on other corpora", "data": "Utterances and speakers",
    "fairness": "Sexes and speakers", "calibration": "Calibration and selective accuracy", "leaks": "What was looked for, and found",
    "stage1_data": "Stage 1, and what it used of the test sets", "objectives": "Objectives on held-out clips", "word_errors": "Word errors",
    "pretext": "Classes of the targets",
    "extracted": "Features by corpus", "choices": "Combinations chosen", "teaching": "What students were taught, and their teachers on the training clips",
    "quarantine": "Counts by reason", "quarantine_rows": "Every clip and reason",
}  # fmt: skip


def write_report(
    study: Study,
    tables: Path,
    figures: Path,
    provenance: Mapping[str, Any],
    out: Path,
    pages: Sequence[Page] = (),
    models: Models | None = None,
    warnings: Sequence[str] = (),
    unread: Sequence[str] = (),
) -> None:
    """Write the self-contained report.

    Args:
        study: the configuration.
        tables: folder written by `write_tables`; `<table>.notes.json`, where there is one, holds a list of footnotes.
        figures: folder written by `write_figures`.
        provenance: what computed the results; every entry is shown, mappings as tables (`versions`, `code`, ...) and
            the rest as text. `making` also stands at the head. `licences` (source of weights -> licence) and `checksums` (name of weights -> what names their
            content) are shown beside the weights instead. Of absolute paths only the last part is shown.
        out: HTML file to write.
        pages: from `collect_pages`.
        models: from `list_models`; None: nothing is said of models on disk.
        warnings: further sentences at the head, such as those of `list_class_warnings`.
        unread: from `list_unread`.

    Raises:
        DataError: a table or figure is missing.
    """
    names = table_names(study, [name for name in OPTIONAL if (tables / f"{name}.csv").is_file()])
    anchors = {page["id"] for page in pages}
    scores = [read_tidy(tables / f"{name}.csv") for name in ("results", "cross_corpus")]
    shown = {name: _prepare_table(name, _find(tables / f"{name}.csv"), anchors, study.report.names) for name in names}
    pictures = dict.fromkeys([*figure_names(study), *declared_names(study)])
    images = {name: _embed(path) for name in pictures if not is_note(path := _find(figures / f"{name}.svg"))}
    hide = Places(study).hide
    notices = [*_collect_notices(study, tables), *warnings, *list_mixed_versions(provenance.get("versions", {}))]
    sections = _build_sections(
        study,
        shown,
        images,
        [read_declared(study, name, tables) for name in declared_names(study)],
        several_runs=_have_several_runs(scores),
        unread=hide([*list_unplaced(read_tidy(tables / "data.csv")), *unread]),
    )
    folder = Path(__file__).parent
    script = join_files(folder / "report.js")
    text = load_template(folder / "report.html.j2").render(
        study=study,
        title=study.report.title or study.study,
        notices=hide(notices),
        models=describe_models(study),
        best=[] if models is None else _describe_best(study, models),
        adapted=[] if models is None else [folder.as_posix() for folder in models.adapted],
        shown_sentences=SHOWN_SENTENCES,
        filter_from=FILTER_FROM,
        left_out=hide(study.left_out),
        left_out_sentence=describe_left_out(study),
        **_describe_scores(study, scores),
        sections=sections,
        pages=_group_pages(pages),
        pages_json=encode_pages(pages),
        contents=_count_contents(study, sum(len(page["tests"][0]["runs"]) for page in pages)),
        **_describe_provenance(study, provenance, hide),
        style=join_files(folder / "report.css"),
        script=script,
        claim=describe_claim(),
        script_hash=hash_script(script),
    )
    write_claimed(out, text)


def _have_several_runs(scores: Sequence[pl.DataFrame]) -> bool:
    return any(bool((frame["n_runs"] > 1).any()) for frame in scores)


def _describe_scores(study: Study, scores: Sequence[pl.DataFrame]) -> dict[str, Any]:
    """The summary, and what the page says of how to read scores; `scores` are the tidy tables `results` and `cross_corpus`."""
    return {
        "summary": summarise_results(study, *scores),
        "partitions": describe_partitions(study),
        "finetunings": set(study.finetunings) - {DEFAULT},
        "test": name_test(study),
        "one_tailed": is_one_tailed(study),
        "several_runs": _have_several_runs(scores),
        "lone_runs": describe_lone_runs(_stack(*scores), study),
        "tested_runs": any(frame["p_value"].is_not_null().any() for frame in scores),
        "confidence": f"{100 * study.report.confidence:g}",
    }


def _describe_provenance(study: Study, provenance: Mapping[str, Any], hide: Callable[[Any], Any]) -> dict[str, Any]:
    """What stands at the head, beside the weights, and below the page of how the results were made."""
    beside = ("licences", "checksums")
    return {
        "making": provenance.get("making", {}),
        "weights": hide(describe_weights(study, *(provenance.get(name, {}) for name in beside))),
        "provenance": {
            name: _tidy_entry(hide(value)) for name, value in provenance.items() if value and name not in beside
        },
    }


def _count_contents(study: Study, runs: int) -> str:
    """Numbers of corpora, tasks, runs and so on, without zeros. The folds of a partition are one run."""
    counts = {
        "corpora": len(study.corpora),
        "extracted features": len(study.features.also),
        "tasks": len(study.tasks),
    }
    counts |= {"backbones": len(study.backbones), "adaptations": len(study.adaptations), "runs": runs}
    return ", ".join(
        f"{count:,} {'corpus' if name == 'corpora' else name.removesuffix('s')}" if count == 1 else f"{count:,} {name}"
        for name, count in counts.items()
        if count
    )


def _collect_notices(study: Study, tables: Path) -> list[str]:
    """Sentences at the head of the report."""
    names = ("results", "per_class_f1", "cross_corpus", "data", "stage1_data", "leaks")
    results, per_class, cross, data, stage1, leaks = (read_tidy(tables / f"{name}.csv") for name in names)
    return [
        *list_notices(study),
        *list_gaps(per_class, cross, data, study),
        *list_lone_answers(per_class, study),
        *list_few_runs(_stack(results, cross), study),
        *list_exposures(stage1, data, leaks),
        *list_copies(leaks),
    ]


def _stack(*frames: pl.DataFrame) -> pl.DataFrame:
    """Rows of tables of scores, one below the other, as far as they have the same columns."""
    return pl.concat([frame for frame in frames if not frame.is_empty()] or frames[:1], how="diagonal_relaxed")


def _describe_best(study: Study, models: Models) -> list[dict[str, Any]]:
    """Of each task the command that predicts with its best classifier, which that is and why, and what was not kept; or why there is none."""
    return [
        {
            "task": task,
            "command": write_command(task),
            "model": f"{name_model(study, found.kept.setting.model)}, {subset_name(found.kept.setting.subset)}",
            "folder": found.kept.folder.as_posix(),
            "said": [found.expected, found.why],
            "details": [said for said in (found.compared, found.highest, found.itself) if said],
            "unkept": study.list_unkept(study.list_models(task)),
        }
        if found
        else {"task": task, "command": "", "why": explain_none(study, [task])}
        for task, found in models.best.items()
    ]


def _group_pages(pages: Sequence[Page]) -> list[tuple[str, list[dict[str, Any]]]]:
    """(task, heads of its pages), in the order of the pages."""
    heads = [_head_page(place, page) for place, page in enumerate(pages)]
    return [(task, list(group)) for task, group in itertools.groupby(heads, lambda head: head["task"])]


def _head_page(place: int, page: Page) -> dict[str, Any]:
    """The line by which a page is found: what it is about and its macro-F1 on the task's own corpus."""
    runs = page["tests"][0]["runs"]
    scores = pl.Series([run["m"][0] for run in runs], dtype=pl.Float64)
    return {
        **{key: page[key] for key in ("id", "task", "model", "clips", "weights")},
        "place": place,
        "score": spread(cast(float, scores.mean()), cast("float | None", scores.std())),
        "runs": len(runs),
    }


def _build_sections(
    study: Study,
    tables: Mapping[str, Any],
    images: Mapping[str, str],
    declared: Sequence[Declared],
    *,
    several_runs: bool,
    unread: Sequence[str],
) -> list[dict[str, Any]]:
    """Sections in the order of `_SECTIONS`; tables and figures that are named in none of them come after these.

    Each holds blocks: a figure with its caption, or a table under a heading with the figure of the same name. Captions speak of the spread
    of runs where there are `several_runs`. What is `unread` stands with what was set aside.
    """
    placed = {name for _, wanted, drawn, _ in _SECTIONS.values() for name in (*wanted, *drawn)}
    sections = []
    for key, (heading, wanted, drawn, introduction) in _SECTIONS.items():
        if key == "quarantine" and not tables["quarantine"]["rows"]:
            whole = "every feature could be computed for every clip."
            drawn, introduction = (), whole.capitalize() if unread else f"Nothing: {whole}"
        blocks = [_figure_block(name, images) for name in drawn if name in images]
        blocks += [_table_block(name, tables, {}) for name in wanted if name in tables and tables[name]["rows"]]
        sections.append(_section(key, heading, introduction, blocks, unread if key == "quarantine" else ()))
    rest = [name for name in dict.fromkeys([*tables, *images]) if name not in {*placed, *study.tables}]
    sources = [name for name in rest if name.startswith("paper_")]
    others = [name for name in rest if name not in sources]
    for key, heading, introduction, names in (
        ("more", "Further tables and figures", "", others),
        ("paper", "The paper's figures", _AS_PRINTED, sources),
    ):
        blocks = [
            _table_block(name, tables, images) if name in tables else _figure_block(name, images) for name in names
        ]
        sections.append(_section(key, heading, introduction, blocks))
    sections.insert(1, _declared_section(declared, images))
    _say_once(sections)
    for block in (block for section in sections for block in section["blocks"] if several_runs and block["image"]):
        block["caption"] += _READ_SPREAD.get(block["name"], "")
    return [section for section in sections if section["blocks"] or section["id"] == "quarantine"]


def _section(
    name: str, heading: str, introduction: str, blocks: Sequence[dict[str, Any]], remarks: Sequence[str] = ()
) -> dict[str, Any]:
    """A section of the page; `remarks` are listed below its introduction."""
    return {"id": name, "heading": heading, "introduction": introduction, "remarks": remarks, "blocks": blocks}


def _say_once(sections: Sequence[dict[str, Any]]) -> None:
    """Leave out the notes of a table that stand below an earlier one, and name that one."""
    said: dict[str, tuple[str, str]] = {}
    for block in (block for section in sections for block in section["blocks"]):
        declared = block["declared"]
        notes = block["table"]["notes"] if block["table"] else declared.footnotes if declared else []
        block["notes"] = [note for note in notes if note not in said]
        block["above"] = list(dict.fromkeys(said[note] for note in notes if note in said))
        said |= {note: (block["name"], block["heading"]) for note in block["notes"]}


_AS_PRINTED = "As printed; their weights, labels and splits may differ from those of this study."
_AS_DECLARED = "As the configuration declares them, from the same runs as everything else on this page."


def _declared_section(declared: Sequence[Declared], images: Mapping[str, str]) -> dict[str, Any]:
    """The study's own tables: as laid out there, with footnotes, pictures, and what they lack."""
    blocks = []
    for table in declared:
        depth = max((len(column) for column in table.grid.columns), default=0)
        heads = [
            [
                (text, len(list(group)))
                for text, group in itertools.groupby(column[level] for column in table.grid.columns)
            ]
            for level in range(depth)
        ]
        drawn = _figure_block(table.name, images) if table.name in images and not table.empty else _NO_FIGURE
        blocks.append({**drawn, "name": table.name, "heading": table.grid.title, "declared": table, "heads": heads})
    return _section("tables", "Tables of the study", _AS_DECLARED, blocks)


def _table_block(name: str, tables: Mapping[str, Any], images: Mapping[str, str]) -> dict[str, Any]:
    """A table under its heading, and the figure of the same name, if there is one."""
    drawn = _figure_block(name, images) if name in images else _NO_FIGURE
    return {**drawn, "name": name, "heading": _TABLE_TITLES.get(name, name.replace("_", " ")), "table": tables[name]}


_NO_FIGURE = {"heading": None, "notes": (), "above": (), "table": None, "declared": None, "image": None, "caption": ""}


def _figure_block(name: str, images: Mapping[str, str]) -> dict[str, Any]:
    caption = _READ_FIGURE.get(name, "The same values as a picture.")
    return {**_NO_FIGURE, "image": images[name], "caption": caption, "name": name}


def _prepare_table(name: str, path: Path, anchors: Collection[str], names: Mapping[str, str]) -> dict[str, Any]:
    """Columns, rows, what all rows share, how many rows were left out, and footnotes."""
    tidy = read_tidy(path)
    frame = present_table(name, tidy, names)
    levels = present_chance(name, tidy, names).with_columns(pl.all().replace("–", ""))
    links = _link_pages(tidy, frame.height, anchors)
    shared = {}
    if frame.height > 1:
        constant = [c for c in frame.columns if frame[c].n_unique() == 1]
        shared = {c: frame[c][0] for c in constant if c in _CONSTANT or frame[c][0] == "–"}
        frame = frame.drop(list(shared))
    by_task = _list_by_task(frame)
    frame = frame.drop([name for name in _BY_TASK if by_task and name in frame.columns])
    columns = _join_columns(frame)
    rows = [
        [_make_cell(column, row, link) for column in columns]
        for row, link in zip(frame.head(SHOWN_ROWS).iter_rows(named=True), links[:SHOWN_ROWS], strict=True)
    ]
    return {
        "levels": [[_make_cell(column, row, None) for column in columns] for row in levels.iter_rows(named=True)],
        "name": name,
        "file": f"results/tables/{path.name}",
        "columns": columns,
        "rows": rows,
        "shared": {c: value for c, value in shared.items() if value != "–"},
        "by_task": by_task,
        "hidden": max(0, frame.height - SHOWN_ROWS),
        "notes": _read_notes(path.with_suffix(".notes.json")),
    }


_BELOW = {
    "weights": "weights",
    "interval over test clips": "interval over test clips",
    "its interval over test clips": "its interval",
}
"""Columns that stand in the cells of the column before them, and what they are called there."""


def _join_columns(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Columns of a page: weights stand below the model in its cell, as the interval and some p-values below their value."""
    columns: list[dict[str, Any]] = []
    for name in frame.columns:
        below = _BELOW.get(name, "p over runs" if name.startswith("p against ") else None)
        if below and columns:
            columns[-1] |= {"below": below, "second": name}
            continue
        numeric, valued = _is_numeric(frame[name]), _is_sorted_by_value(frame[name])
        columns.append({"name": name, "numeric": numeric, "sorted_by_value": valued, "below": None, "second": None})
    for column in columns:
        # In wide tables a deviation stands below its mean.
        column["split"] = len(columns) > WIDE and column["second"] is None
    return columns


def _make_cell(column: Mapping[str, Any], row: Mapping[str, str], link: str | None) -> dict[str, str | None]:
    text = row[column["name"]]
    below = row[column["second"]] if column["second"] else None
    if column["split"] and column["numeric"] and " ± " in text:
        text, below = text.split(" ± ")[0], "± " + text.split(" ± ")[1]
    return {
        "text": text,
        "below": None if below == "–" else below,
        "kind": "number" if column["numeric"] else "wrap" if len(text) > 26 else "",
        "page": link if column["name"] == "model" else None,
    }


_BY_TASK = ("split", "labels")
"""Columns that stand below a table, once for each task in it, where they have one value for each."""


def _list_by_task(frame: pl.DataFrame) -> list[str]:
    """What is the same in all rows of a task, in words; empty where it differs within one."""
    names = [name for name in _BY_TASK if name in frame.columns]
    if not names or "task" not in frame.columns:
        return []
    found = frame.select("task", *names).unique(maintain_order=True)
    if found["task"].n_unique() < found.height:
        return []
    return [
        f"{row['task']}: {'; '.join(f'{name}: {row[name]}' for name in names)}." for row in found.iter_rows(named=True)
    ]


def _link_pages(tidy: pl.DataFrame, height: int, anchors: Collection[str]) -> list[str | None]:
    """The page that each row as printed leads to, if it is about one setting that has a page.

    Tables print a row per tidy row, or one per setting and test corpus; any other has no links.
    """
    keys = ["task", *Model._fields, "subset"]
    if not {*keys, "test_corpus"} <= set(tidy.columns):
        return [None] * height
    found = tidy.select(*keys, "test_corpus")
    if found.height != height:
        found = found.unique(maintain_order=True)
    if found.height != height:
        return [None] * height
    ids = [page_id(row["task"], model_of(row), row["subset"]) for row in found.iter_rows(named=True)]
    return [name if name in anchors else None for name in ids]


def _read_notes(path: Path) -> list[str]:
    """Footnotes of a table; none without a file."""
    return [str(note) for note in json.loads(path.read_text(encoding="utf-8"))] if path.is_file() else []


def _is_numeric(column: pl.Series) -> bool:
    """Whether a text column reads as numbers and is set flush right."""
    return bool(column.str.contains(r"^(–|[<\[+−\s]*[\d.,]+.*)$").all())


def _is_sorted_by_value(column: pl.Series) -> bool:
    """Whether a column is sorted by the numbers that its cells begin with; “all clips” is more than any number."""
    return bool(column.str.contains(r"^(–|all clips|[<\[+−\s]*(\d|\.\d).*)$").all())


def _tidy_entry(value: Any) -> dict[str, str] | str:
    """A flat mapping as it is; anything else as indented text."""
    if isinstance(value, Mapping) and not any(isinstance(v, (Mapping, list, tuple)) for v in value.values()):
        return {str(key): str(entry) for key, entry in value.items()}
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _embed(path: Path) -> str:
    """An SVG as a data URI: apart from the page's own names and scripts, and crisp at any size."""
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()


def _find(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"{path} is missing; write tables and figures before the report")
    return path
