"""Footnotes of a declared table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from emoadapt.config import Study, TableConfig
from emoadapt.config.table_checks import find_absence
from emoadapt.config.tables import part_models
from emoadapt.reporting.declared.cells import NOT_COMPUTED, models_of
from emoadapt.reporting.declared.grid import name_model
from emoadapt.reporting.measures import count_digits, is_lower_better, label_metric
from emoadapt.reporting.notices import list_size_notes
from emoadapt.reporting.reference import cite_paper, list_other_works, read_paper_notes
from emoadapt.reporting.style import (
    describe_split,
    is_vector,
    list_method_notes,
    list_score_notes,
    listing,
    name_test,
    name_tested,
    spread,
)
from emoadapt.reporting.trials import PAIRED, count_divisions, describe_tested, name_products
from emoadapt.study.nodes import ORIGINAL, Model
from emoadapt.study.tables import list_cells


def list_footnotes(
    study: Study,
    name: str,
    tidy: pl.DataFrame,
    remarks: Mapping[str, Sequence[str]] | None = None,
    choices: Mapping[tuple[str, str], str] | None = None,
) -> list[str]:
    """Sentences below a declared table.

    Args:
        study: the configuration.
        name: the table.
        tidy: its rows, as from `build_cells`.
        remarks: task -> further sentences about it, such as those of the leak checks.
        choices: (task, model) -> a sentence about what its runs chose.
    """
    table = study.tables[name]
    shown = tidy.filter(pl.col("missing").is_null())
    notes = [*_say_missing(study, table, tidy)]
    if not shown.is_empty():
        notes += [*_say_data(study, table, shown), _say_spread(study, table, shown), *_say_chance(study, table, shown)]
        notes += _say_stars(study, table, shown)
        notes += [*_say_best(study, table, shown), *_say_weights(study, table, shown), *_say_paper(study, shown)]
        pairs = shown.select("task", *Model._fields).unique(maintain_order=True).iter_rows()
        notes += [note for task, *model in pairs if (note := (choices or {}).get((task, str(Model(*model)))))]
        notes += [
            remark for task in shown["task"].unique(maintain_order=True) for remark in (remarks or {}).get(task, ())
        ]
    return list(dict.fromkeys([*notes, *(table.notes or ())]))


def _name(study: Study, table: TableConfig, key: str) -> str:
    return table.names.get(key, study.report.names.get(key, key))


_NO_VALUE = "Not computed yet, or no test clip has what the model reads"


def _say_missing(study: Study, table: TableConfig, tidy: pl.DataFrame) -> list[str]:
    """What the table would also hold, by the reason why it does not."""
    lines = []
    for (reason,), part in tidy.filter(pl.col("missing").is_not_null()).group_by(["missing"], maintain_order=True):
        tasks = [_name(study, table, task) for task in part["task"].unique(maintain_order=True)]
        reason = _NO_VALUE if reason == NOT_COMPUTED else str(reason)[:1].upper() + str(reason)[1:]
        lines.append(f"{reason}: {part.height} of {tidy.height} cells ({listing(tasks)}).")
    return lines


def _say_data(study: Study, table: TableConfig, shown: pl.DataFrame) -> list[str]:
    """Test utterances, split and label source of each test set."""
    lines = []
    for (task, corpus), part in shown.group_by(["task", "test_corpus"], maintain_order=True):
        sizes = sorted(set(part["n"]))
        n = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
        tested = name_tested(study, str(task))
        if (partitions := count_divisions(study, str(task), str(corpus))) > 1:
            tested += f" in {partitions} partitions"
        where = _name(study, table, str(corpus))
        split = f"split: {part['split'][0]}{_name_parts(study, str(task))}"
        if other := study.find_tested_tasks(str(task)).get(str(corpus)):
            each = "that of partition i by run i, " if partitions > 1 else ""
            split = (
                f"the test part of task {_name(study, table, other)}, {each}after training on {_name(study, table, str(task))}; "
                f"split: {describe_split(study, other)}{_name_parts(study, other)}"
            )
        elif (target := study.tasks[str(task)].target) and corpus == target.corpus:
            split = (
                f"{100 - 100 * target.share:g} % of its clips with a label of the task, drawn by {target.unit.removesuffix('s')}, after training "
                f"on {_name(study, table, str(task))}; a target-adaptive model reads the other {100 * target.share:g} % without labels"
            )
        elif corpus != study.tasks[str(task)].corpus:
            split = f"all its clips with a label of the task, after training on {_name(study, table, str(task))}"
        lines.append(f"{where}: n = {n} {tested}; {split}; labels: {part['labels'][0]}.")
    return [*lines, *list_size_notes(shown), *list_score_notes(study, shown["task"].unique(maintain_order=True))]


def _name_parts(study: Study, task: str) -> str:
    """Which parts of an official partition are tested on, and which are named for training."""
    split = study.tasks[task].split
    if split.by != "official":
        return ""
    if split.partitions:
        return f" (tested: {listing('+'.join(division.test) for division in split.partitions)})"
    given = [name for name in ("train", "dev", "test") if name in split.model_fields_set]
    return "".join(
        f"{' (' if name == given[0] else '; '}{name}: {', '.join(getattr(split, name))}" for name in given
    ) + (")" if given else "")


def _say_chance(study: Study, table: TableConfig, shown: pl.DataFrame) -> list[str]:
    """Chance level of each test set."""
    levels = shown.group_by("task", "test_corpus", maintain_order=True).agg(pl.col("chance").mean()).drop_nulls()
    said = [
        f"{_name(study, table, corpus if corpus != study.tasks[task].corpus else task)} {spread(level, None)}"
        for task, corpus, level in levels.iter_rows()
    ]
    return [f"Chance (a guess, or always the same answer) on the same test clips: {', '.join(said)}."] if said else []


def _say_spread(study: Study, table: TableConfig, shown: pl.DataFrame) -> str:
    runs = sorted(set(shown["n_runs"]))
    count = f"{runs[0]}" if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"
    single = runs == [1]
    interval = f"the {100 * study.report.confidence:g} % interval is a bootstrap over test clips ({study.report.bootstrap:,} draws)"
    metric = label_metric(table.metric)
    if single:
        return f"{metric[0].upper()}{metric[1:]} of one run; {interval}."
    return f"Mean ± standard deviation of {metric} over {count} runs{_say_runs(study, table, shown)}; {interval}."


def _say_runs(study: Study, table: TableConfig, shown: pl.DataFrame) -> str:
    """What the runs vary in, test set by test set."""
    said = []
    for task, corpus, products in describe_tested(study, shown):
        named = {
            text: [(_name(study, table, finetuning), _name(study, table, subset)) for finetuning, subset in pairs]
            for text, pairs in products.items()
        }
        said.append(
            f"{_name(study, table, corpus if corpus != study.tasks[task].corpus else task)}: {name_products(named)}"
        )
    several = any(count_divisions(study, task, corpus) > 1 for task, corpus, _ in describe_tested(study, shown))
    alone = "; the standard deviation is over partitions too, each scored alone" if several else ""
    return f" ({'; '.join(said)}{alone})"


def _say_stars(study: Study, table: TableConfig, shown: pl.DataFrame) -> list[str]:
    """The test, its baselines, and what the signs stand for."""
    tested = shown.filter(pl.col("baseline").is_not_null())
    if tested.is_empty():
        return []
    good, bad = ("lower", "higher") if is_lower_better(table.metric) else ("higher", "lower")
    pairs = sorted(set(tested["n_pairs"]))
    count = f"{pairs[0]}" if len(pairs) == 1 else f"{pairs[0]} to {pairs[-1]}"
    tasks = [study.tasks[task] for task in tested["task"].unique()]
    several = any(study.count_partitions(task) > 1 for task in tested["task"].unique())
    shared = f"{'partition, ' if several else ''}seed and training clips"
    joined = f" (runs {'of one partition' if several else 'on the same draw of a subset'} are averaged first)"
    joined = "" if all(task.trials == PAIRED for task in tasks) else joined
    lines = [
        f"* {good}, † {bad} than the baseline with p < .05, ** and †† with p < .01: {name_test(study)} over {count} pairs of runs "
        f"that share {shared}{joined}; p-values are not corrected for the number of tests."
    ]
    if several:
        lines.append("Where partitions share clips, p-values over them are too small rather than too large.")
    for number, part in enumerate(table.parts):
        if part.baseline is None or tested.filter(part=str(number)).is_empty():
            continue
        about = f" ({part.title})" if part.title else ""
        lines.append(f"Baseline{about}: {_describe_baseline(study, table, part.baseline)}.")
    if tested["p_value"].null_count():
        lines.append("Where no p is given there are fewer than two independent pairs.")
    return lines


def _describe_baseline(study: Study, table: TableConfig, baseline: object) -> str:
    def names(models: Sequence[str]) -> str:
        return listing(name_model(study, table, Model.parse(model)) for model in models)

    if baseline == ORIGINAL:
        models = {Model.parse(name) for part in table.parts for name in part_models(part)}
        several = len({(m.backbone, m.finetuning) for m in models}) > len({m.backbone for m in models})
        return f"{_name(study, table, ORIGINAL)} of the same backbone{' and fine-tuning' if several else ''}"
    if isinstance(baseline, str):
        return names([baseline])
    if best := getattr(baseline, "best_of", None):
        return (
            f"for each test set the best of {names(best)} there. It is picked by its mean on that test set, so that its value is too good, "
            "and what is tested against it looks too bad"
        )
    return f"each of {names(baseline.each_of)}; difference and p are those of the one with the largest p, and there is no sign where it is better than one and worse than another"  # type: ignore[attr-defined]


def _say_best(study: Study, table: TableConfig, shown: pl.DataFrame) -> list[str]:
    """How the entry of a best_of cell was picked, and which candidates were not there."""
    lines = []
    for (entry,), part in shown.filter(pl.col("entry").is_not_null()).group_by(["entry"], maintain_order=True):
        sizes = {len(candidates.split("; ")) for candidates in part["candidates"]}
        lines.append(
            f"{entry}: of {listing(map(str, sorted(sizes)))} models the one with the best mean on the test set itself, as in the paper. Its value is "
            "therefore too good and its p too small; the means of all are in the CSV."
        )
    absent = {
        model for cell in list_cells(study, table) if cell.label for model in _candidates(table, cell.label)
        if find_absence(study, model)
    }  # fmt: skip
    if absent and lines:
        lines.append(f"Not among the candidates, for want of a corpus: {listing(map(str, sorted(absent)))}.")
    return lines


def _candidates(table: TableConfig, label: str) -> list[Model]:
    return [
        Model.parse(model)
        for part in table.parts
        for entry in part.models
        if not isinstance(entry, str) and (entry.label or f"best of {', '.join(entry.best_of)}") == label
        for model in entry.best_of
    ]


def _say_weights(study: Study, table: TableConfig, shown: pl.DataFrame) -> list[str]:
    """Which networks started from pretrained weights, and which from random ones; which models have none."""
    models = [model for model in models_of(shown) if model.backbone in study.backbones]
    used = dict.fromkeys(model.backbone for model in models)
    named = {key: _name(study, table, key) for key in used}
    weights = {key: [name for name, _ in study.backbones[key].list_weights()] for key in used}
    pretrained = [f"{named[key]} ({', '.join(names)})" for key, names in weights.items() if names]
    untrained = [named[b] for b in used if b in study.untrained]
    lines = []
    if pretrained:
        lines.append(f"Pretrained weights: {', '.join(pretrained)}.")
    if untrained:
        lines.append(
            f"UNTRAINED, started from random weights: {', '.join(untrained)}; they say nothing about pretrained models."
        )
    if vectors := [f"{named[b]} ({', '.join(study.backbones[b].features)})" for b in used if is_vector(study, b)]:
        lines.append(f"Descriptors, no pretrained weights: {', '.join(vectors)}.")
    return lines + list_method_notes(study, dict.fromkeys(model.finetuning for model in models))


def _say_paper(study: Study, shown: pl.DataFrame) -> list[str]:
    """Where the paper's values are from, what it prints of other works, and the notes on its tables."""
    cited = shown.filter(pl.col("paper_table").is_not_null())
    if cited.is_empty() or study.report.paper is None:
        return []
    tables = cited["paper_table"].unique(maintain_order=True).to_list()
    one = len(tables) == 1
    lines = [
        f"Paper: {cite_paper(study.report.paper)}, Table{'' if one else 's'} {listing(tables)}, as printed; "
        "other splits, seeds and labels than ours."
    ]
    places = cited.select("task", "test_corpus", "metric").unique(maintain_order=True).rows()
    if others := [
        f"{value.row}, {value.column} {spread(value.mean, value.std, count_digits(place[2]))}{value.stars or ''}"
        for place in places
        for value in list_other_works(study, tables, *place)
    ]:
        lines.append(f"Only the paper has values of other works: {'; '.join(others)}.")
    cells = set(cited.select("paper_table", "paper_row", "paper_column").rows())
    for table, row, column, note in read_paper_notes(study.report.paper).iter_rows():
        if (table in tables and row is None) or (table, row, column) in cells:
            lines.append(f"On the paper: {note}.")
    return lines
