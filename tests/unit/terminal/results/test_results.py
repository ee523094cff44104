"""`emoadapt results` shows the report's numbers, compares folders only where that has a meaning, and names changed runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from emoadapt import schema
from emoadapt.cli import main
from emoadapt.config import load_study
from emoadapt.evaluation.comparisons import Scoring
from emoadapt.evaluation.evaluate import evaluate_task
from emoadapt.evaluation.questions import pose_question
from emoadapt.flow.claims import digest_inputs
from emoadapt.machine.owner import claim_results
from emoadapt.reporting.levels import add_chance, find_levels
from emoadapt.reporting.tables import average_runs, build_results
from emoadapt.storage.claims import Claim, state_claim
from emoadapt.storage.folders import seal_folder
from emoadapt.storage.frames import read_frame
from emoadapt.storage.identities import read_identity
from emoadapt.storage.spreadsheets import format_frame
from emoadapt.storage.tables import write_table
from emoadapt.terminal.results.against import compare_results
from emoadapt.terminal.results.changes import find_changes, list_outdated
from emoadapt.terminal.results.fitting import fit_table
from emoadapt.terminal.results.folder import Results

MODELS = {"egemaps.original": 0, "rms.original": 1}
TRUTH = "abab" * 5
"""Labels of 20 test clips."""


def study(classes: Sequence[str]) -> Any:
    return load_study(
        {
            "study": "mine",
            "corpora": {"c": {"importer": "csv", "root": "speech", "file": "labels.csv"}},
            "backbones": {name.split(".")[0]: {"architecture": "vector", "reads": "egemaps"} for name in MODELS},
            "tasks": {"t": {"corpus": "c", "classes": list(classes), "split": {"by": "fractions"}}},
        }
    )


Make = Callable[..., Results]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a folder of results: each run is wrong on its first clips."""

    def make_results(
        name: str, wrong: dict[str, list[int]], truth: str = TRUTH, first: int = 0, seeds: Sequence[int] = (0, 1, 2),
        classes: str = "ab",
    ) -> Results:  # fmt: skip
        folder = tmp_path / name / "results"
        for model, numbers in wrong.items():
            batch = folder / "runs/t" / model / "full/b000"
            backbone, start = model.split(".")
            run = dict(
                task="t",
                backbone=backbone,
                start=start,
                finetuning="default",
                subset="full",
                partition=0,
                fold=0,
                resampling=0,
            )
            rows = [
                {**run, "seed": seed, "test_corpus": "c", "utterance_id": f"c/{first + place:02}", "speaker": "s", "sex": None, "label": label,
                 "predicted": ("b" if label == "a" else "a") if place < number else label, "logits": [0.0] * len(classes)}
                for seed, number in zip(seeds, numbers, strict=True) for place, label in enumerate(truth)
            ]  # fmt: skip
            write_table(batch / "predictions.parquet", rows, schema.PREDICTIONS)
            write_table(batch / "embeddings.parquet", [], schema.EMBEDDINGS)
        write_table(folder / "splits/t/0.parquet", [], schema.SPLITS)
        score(folder, classes)
        claim_results(folder, "mine")
        return Results.find(tmp_path / name)

    return make_results


def score(folder: Path, classes: str = "ab") -> None:
    """Compute scores and tables as the rules do."""
    predictions = sorted(folder.glob("runs/t/*/*/*/predictions.parquet"))
    inputs = {p.relative_to(folder.parent).as_posix(): p for p in [*predictions, *sorted(folder.glob("runs/t/*/*/*/embeddings.parquet")),
              folder / "splits/t/0.parquet"]}  # fmt: skip
    state_claim(Claim("0" * 32, digest_inputs(inputs, "", lambda name: read_identity(inputs[name]))))
    try:
        evaluate_task(
            pose_question("t", "classes", classes), predictions, [], folder / "metrics", Scoring(bootstrap=50)
        )
    finally:
        state_claim(None)
    config, tables = study(classes), folder / "tables"
    tables.mkdir(exist_ok=True)
    results = build_results(config, read_frame(folder / "metrics/t.comparisons.parquet"))
    (tables / "results.csv").write_text(format_frame(results))
    per_class = average_runs(config, read_frame(folder / "metrics/t.parquet").filter(metric="f1"))
    (tables / "per_class_f1.csv").write_text(format_frame(per_class))
    (tables / "quarantine.csv").write_text("corpus,feature,status,code,utterances\n")
    (tables / "results.notes.json").write_text(json.dumps(["t: a footnote of the report."]))
    seal_folder(tables)


def run(arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(sys, "argv", ["emoadapt", "results", *arguments.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 0, said.err
    return said.out


def pick(frame: pl.DataFrame, metric: str, model: str = "egemaps") -> dict[str, Any]:
    """The row of a model and metric; of a metric of classes that of the first class."""
    return frame.filter(metric=metric, backbone=model).row(0, named=True)


def test_the_numbers_are_those_of_the_report(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = make("one", {"egemaps.original": [4, 6, 8], "rms.original": [2, 2, 2]})
    monkeypatch.chdir(tmp_path / "one")
    out = run("results --format csv --where metric=accuracy --where model=egemaps.original", monkeypatch, capsys)
    assert out.splitlines()[0] == (results.tables["results"]).read_text().splitlines()[0]
    assert out.splitlines()[1] in results.tables["results"].read_text()
    assert pick(results.scan("results").collect(), "accuracy")["mean"] == pytest.approx(0.7)  # (16 + 14 + 12) / 60
    shown = run("results", monkeypatch, capsys)
    assert "0.700 ± 0.100" in shown and "t: a footnote of the report." in shown
    assert "in all rows: task t; training clips all clips" in shown
    markdown = run("results --format markdown --where metric=accuracy", monkeypatch, capsys)
    assert (
        "| t | all clips | egemaps | descriptors: 25 low-level descriptors of eGeMAPSv02 | 0.700 ± 0.100 |" in markdown
    )


def test_rows_are_sorted_by_a_metric(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make("one", {"egemaps.original": [4, 6, 8], "rms.original": [2, 2, 2]})
    monkeypatch.chdir(tmp_path / "one")
    lines = [line for line in run("results --sort accuracy --descending", monkeypatch, capsys).splitlines()]
    order = [line.split()[0] for line in lines if line.startswith(("egemaps", "rms"))]
    assert order == ["rms", "egemaps"]
    shown = run("results --sort accuracy --rows 1", monkeypatch, capsys)
    assert "rms" not in shown and "1 more rows" in shown


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("resluts", "has no table resluts; there is results, per_class_f1, quarantine"),
        ("results --where bakbone=x", "no column bakbone; did you mean backbone?"),
        ("results --where mean>high", "--where mean>high: this column holds numbers, and high is none"),
        ("results --where task>1", "--where task>1: only numbers are compared by >; write =, != or ~ (contains)"),
        ("results --where task", "--where task: cannot be read; write COLUMN=VALUE, such as model=tiny.original"),
        ("results --sort f2", "no column f2"),
        ("results --results nowhere", "nowhere is no folder; run the study first (snakemake), or name the folder"),
        ("quarantine --against .", "--against compares tables of scores, and quarantine is none; name one of results"),
    ],
)
def test_what_is_not_there_is_answered_by_a_sentence(
    arguments: str, sentence: str, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    make("one", {"egemaps.original": [4]}, seeds=[0])
    monkeypatch.chdir(tmp_path / "one")
    monkeypatch.setattr(sys, "argv", ["emoadapt", "results", *arguments.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1


def test_the_overview_names_tables_and_kept_models(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make("one", {"egemaps.original": [4]}, seeds=[0])
    monkeypatch.chdir(tmp_path / "one")
    shown = run("", monkeypatch, capsys)
    assert "study mine" in shown and "classifiers: none is kept; `keep_models: best` keeps those" in shown
    assert "note:" not in shown
    kept = Path("results/runs/t/egemaps.original/full/b000/models/t.egemaps.original.full.p0f0r0s0")
    kept.mkdir(parents=True)
    (kept / "config.json").write_text("{}")
    seal_folder(kept)
    assert f"emoadapt predict {kept} FILE ..." in run("", monkeypatch, capsys)
    best = Path("results/classifiers/t")
    best.parent.mkdir()
    best.symlink_to(kept.absolute())
    assert "emoadapt predict results/classifiers/t FILE ..." in run("", monkeypatch, capsys)
    assert "no clip was set aside, and none has a note" in run("quarantine", monkeypatch, capsys)


def test_the_overview_begins_with_the_main_scores(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Symptom: the overview was a list of names, with tables of 0 rows among them, and no score."""
    folder = make("one", {"egemaps.original": [4, 6, 8], "rms.original": [2, 2, 2]}).path
    levels = find_levels(read_frame(folder / "metrics/t.confusion.parquet"))
    scored = add_chance(build_results(study("ab"), read_frame(folder / "metrics/t.comparisons.parquet")), levels)
    (folder / "tables/results.csv").write_text(format_frame(scored))
    seal_folder(folder / "tables")
    monkeypatch.chdir(tmp_path / "one")
    shown = run("", monkeypatch, capsys)
    scores, tables = shown.partition("what it shows")[::2]
    lines = [line for line in scores.splitlines() if line.startswith(("egemaps", "rms"))]
    mean = pick(Results.find(Path()).scan("results").collect(), "macro_f1")["mean"]
    assert len(lines) == 2 and lines[0].split()[:2] == ["egemaps", f"{mean:.3f}"] and "[" in lines[0]
    assert "in all rows: task t; training clips all clips" in scores
    assert f"chance {scored.filter(metric='macro_f1')['chance'][0]:.3f}" in scores
    assert "n test 20" in scores and "runs 3" in scores and "metric macro-F1" in scores
    assert "per_class_f1" in tables and "quarantine" not in shown


def test_the_overview_of_a_study_without_classifiers_says_so(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make("one", {"egemaps.original": [4]}, seeds=[0]).path
    for name in ("results.csv", "per_class_f1.csv"):
        head = (folder / "tables" / name).read_text().splitlines()[0]
        (folder / "tables" / name).write_text(f"{head}\n")
    seal_folder(folder / "tables")
    monkeypatch.chdir(tmp_path / "one")
    shown = run("", monkeypatch, capsys)
    assert "no scores: this study has trained no classifier yet" in shown and "what it shows" not in shown


def test_folders_with_the_same_clips_and_runs_are_compared_in_pairs(make: Make) -> None:
    here, there = make("one", {"egemaps.original": [4, 6, 8]}), make("two", {"egemaps.original": [8, 8, 9]})
    row = pick(compare_results(here, there, "results"), "accuracy")
    assert (row["here"], row["there"]) == (pytest.approx(0.7), pytest.approx(35 / 60))
    assert row["difference"] == pytest.approx((4 + 2 + 1) / 60)
    assert row["p_value"] == pytest.approx(stats.ttest_rel([16, 14, 12], [12, 12, 11]).pvalue)
    assert row["difference_low"] <= row["difference"] <= row["difference_high"]
    assert row["tested"] == "same 20 clips, 3 runs" and row["n_pairs"] == 3
    by_class = pick(compare_results(here, there, "per_class_f1"), "f1")
    assert by_class["n_pairs"] == 3 and by_class["difference_low"] is None
    again = pick(compare_results(here, here, "results"), "accuracy")
    assert again["tested"] == "same 20 clips, 3 runs, the same predictions" and again["difference"] == 0


def test_a_difference_is_of_the_clips_and_runs_that_both_have(make: Make) -> None:
    here = make("one", {"egemaps.original": [4, 6, 8]})
    there = make("two", {"egemaps.original": [0, 0]}, truth=TRUTH[:10], first=10, seeds=[2, 5])
    row = pick(compare_results(here, there, "results"), "accuracy")
    # Run 2 is wrong on clips 0 to 7, of which none is there: it is right on the ten in common.
    assert row["difference"] == 0 and row["n_pairs"] == 1
    assert row["tested"] == "10 clips of 20 and 10, 1 run of 3 and 2"
    per_class = pick(compare_results(here, there, "per_class_f1"), "f1")
    assert per_class["n_pairs"] is None and per_class["tested"].endswith("; of this score no pairs")


@pytest.mark.parametrize(
    ("other", "remark"),
    [
        (dict(truth="b" + TRUTH[1:]), "not comparable: 1 of 20 common test clips have other labels"),
        (dict(first=20), "not comparable: of 20 and 20 test clips none is in both"),
        (dict(classes="abc"), "not comparable: classes a, b here, a, b, c there"),
    ],
)
def test_no_difference_of_what_cannot_be_compared(other: dict[str, Any], remark: str, make: Make) -> None:
    here = make("one", {"egemaps.original": [4, 6, 8]})
    there = make("two", {"egemaps.original": [4, 6, 8]}, **other)
    row = pick(compare_results(here, there, "results"), "accuracy")
    assert row["difference"] is None and row["p_value"] is None and row["tested"] == remark


def test_other_recordings_under_the_same_names_are_not_compared(make: Make) -> None:
    sides = [make(name, {"egemaps.original": [4, 6, 8]}) for name in ("one", "two")]
    empty = dict.fromkeys(("start", "end", "speaker", "sex", "language", "split", "transcript"))
    for side, changed in zip(sides, (0, 3), strict=True):
        rows = [{**empty, "utterance_id": f"c/{n:02}", "media": f"{n}.wav", "fingerprint": f"{n}{'x' * (n < changed)}"}
                for n in (*range(20), 99)]  # fmt: skip
        rows[-1]["fingerprint"] = str(changed)  # no test clip
        write_table(side.path / "manifests/c/000.parquet", rows, schema.MANIFEST)
    row = pick(compare_results(*sides, "results"), "accuracy")
    assert row["difference"] is None
    assert row["tested"] == "not comparable: 3 test clips of c are other recordings under the same name"
    assert pick(compare_results(sides[0], sides[0], "results"), "accuracy")["n_pairs"] == 3


def divide(results: Results, parts: Sequence[range]) -> None:
    """Let the runs of a folder be partitions, each tested on its part of the clips."""
    path = results.path / "runs/t/egemaps.original/full/b000/predictions.parquet"
    rows = [
        {**row, "seed": 0, "partition": row["seed"]}
        for row in read_frame(path).to_dicts()
        if int(row["utterance_id"].removeprefix("c/")) in parts[row["seed"]]
    ]
    write_table(path, rows, schema.PREDICTIONS)
    for number in range(len(parts)):
        write_table(results.path / f"splits/t/{number}.parquet", [], schema.SPLITS)
    score(results.path)


@pytest.mark.parametrize(
    ("parts", "n_pairs", "remark"),
    [
        ([range(10), range(10, 20)], 2, "same 20 clips, 2 runs"),
        (
            [range(10, 20), range(10)],
            None,
            "means alone: runs of the same partition were tested on other clips; same 20 clips",
        ),
        (
            [range(5), range(5, 20)],
            2,
            "same 20 clips, 2 runs; partitions differ, and pairs of runs have 60% of their clips in common",
        ),
    ],
)
def test_partitions_of_other_clips_are_not_taken_for_the_same_runs(
    parts: Sequence[range], n_pairs: int | None, remark: str, make: Make
) -> None:
    here, there = (make(name, {"egemaps.original": [4, 6]}, seeds=[0, 1]) for name in ("one", "two"))
    divide(here, [range(10), range(10, 20)])
    divide(there, parts)
    row = pick(compare_results(here, there, "results"), "accuracy")
    assert (row["n_pairs"], row["tested"].removesuffix(", the same predictions")) == (n_pairs, remark)


def test_a_condition_on_a_score_hides_no_row_of_one_folder_alone(make: Make) -> None:
    here, there = make("one", {"egemaps.original": [4, 6, 8]}), make("two", {"egemaps.original": [12, 12, 12]})
    (row,) = compare_results(here, there, "results", ["mean>0.5", "metric=accuracy"]).to_dicts()
    assert (row["here"], row["there"]) == (pytest.approx(0.7), pytest.approx(0.4)) and row["n_pairs"] == 3
    assert compare_results(here, there, "results", ["mean>0.9", "metric=accuracy"]).is_empty()


def test_a_comparison_is_sorted_by_a_metric(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        make(name, {"egemaps.original": [4, 6, 8], "rms.original": [2, 2, 2]})
    monkeypatch.chdir(tmp_path)
    shown = run(
        "results --results one --against two --where metric=accuracy --sort accuracy --descending", monkeypatch, capsys
    )
    assert next(line.split()[0] for line in shown.splitlines() if line.startswith(("egemaps", "rms"))).startswith("rms")


def test_means_alone_are_named_as_such(make: Make) -> None:
    here = make("one", {"egemaps.original": [4, 6, 8]})
    there = make("two", {"egemaps.original": [8, 8, 9]}, seeds=[7, 8, 9])
    row = pick(compare_results(here, there, "results"), "accuracy")
    assert row["tested"] == "means alone: no run (partition, draw, seed) is in both; same 20 clips"
    assert row["difference"] == pytest.approx(7 / 60) and row["p_value"] is None
    (there.path / "runs/t/egemaps.original/full/b000/predictions.parquet").unlink()
    row = pick(compare_results(here, there, "results"), "accuracy")
    assert row["tested"].startswith(f"means alone: {there.path} has no predictions") and row["p_value"] is None


@pytest.fixture
def make_rated(tmp_path: Path) -> Callable[[str, float], Results]:
    """Makes results of a task with attributes: predictions are the ratings and some noise."""

    def make_results(name: str, noise: float) -> Results:
        folder, rows = tmp_path / name / "results", []
        base = dict(
            task="t",
            backbone="egemaps",
            start="original",
            finetuning="default",
            subset="full",
            partition=0,
            fold=0,
            resampling=0,
        )
        for seed in (0, 1):
            drawn = np.random.default_rng(seed)
            for clip in range(20):
                for attribute in ("valence", "arousal"):
                    value = float(clip % 7)
                    rows.append({**base, "seed": seed, "test_corpus": "c", "utterance_id": f"c/{clip:02}", "speaker": "s", "sex": None,
                                 "attribute": attribute, "value": value, "predicted": value + noise * drawn.normal()})  # fmt: skip
        path = folder / "runs/t/egemaps.original/full/b000/predictions.parquet"
        write_table(path, rows, schema.ATTRIBUTE_PREDICTIONS)
        question = pose_question("t", "attributes", ("valence", "arousal"))
        evaluate_task(question, [path], [], folder / "metrics", Scoring(bootstrap=50))
        (folder / "tables").mkdir()
        rated = study("ab").model_copy(
            update={
                "tasks": {
                    "t": study("ab").tasks["t"].model_copy(update={"classes": (), "attributes": ("valence", "arousal")})
                }
            }
        )
        found = build_results(rated, read_frame(folder / "metrics/t.comparisons.parquet"))
        (folder / "tables/results.csv").write_text(format_frame(found))
        return Results.find(folder)

    return make_results


def test_attributes_are_compared_in_pairs(make_rated: Callable[[str, float], Results]) -> None:
    here, there = make_rated("one", 0.1), make_rated("two", 2.0)
    found = compare_results(here, there, "results")
    row = pick(found, "ccc_mean")
    assert row["tested"] == "same 20 clips, 2 runs" and row["difference"] == pytest.approx(row["here"] - row["there"])
    assert row["difference_low"] < row["difference"] < row["difference_high"] and row["difference"] > 0.1
    assert set(found["metric"]) >= {"ccc_mean", "ccc_valence", "ccc_arousal"}


def test_scores_of_whole_recordings_are_compared_in_pairs(make: Make) -> None:
    results = make("one", {"egemaps.original": [4, 6]}, seeds=[0, 1])
    path = results.path / "runs/t/egemaps.original/full/b000/predictions.parquet"
    rows = read_frame(path).to_dicts()
    for row in rows:  # ten recordings of two segments each, with one label
        clip = int(row["utterance_id"].removeprefix("c/"))
        row["utterance_id"] = f"c/{clip // 2}#{clip % 2}.00-{clip % 2 + 1}.00"
        row["label"], row["logits"] = (
            "ab"[clip // 2 % 2],
            [float(row["predicted"] == "a"), float(row["predicted"] == "b")],
        )
    write_table(path, rows, schema.PREDICTIONS)
    question = pose_question("t", "classes", "ab", parents=True)
    evaluate_task(question, [path], [], results.path / "metrics", Scoring(bootstrap=50))
    found = build_results(study("ab"), read_frame(results.path / "metrics/t.comparisons.parquet"))
    (results.path / "tables/results.csv").write_text(format_frame(found))
    assert pick(compare_results(results, results, "results"), "accuracy")["tested"] == (
        "same 10 clips, 2 runs, the same predictions"
    )


def test_rows_of_one_folder_are_named(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = make("one", {"egemaps.original": [4, 6, 8]})
    there = make("two", {"egemaps.original": [4, 6, 8], "rms.original": [2, 2, 2]})
    found = compare_results(here, there, "results")
    assert pick(found, "accuracy", "rms")["tested"] == f"only in {there.path}"
    assert pick(found, "accuracy", "rms")["difference"] is None
    assert found.filter(pl.col("here").is_not_null())["backbone"].unique().to_list() == ["egemaps"]
    monkeypatch.chdir(tmp_path)
    shown = run("results --results one --against two", monkeypatch, capsys)
    assert "tested a: same 20 clips, 3 runs, the same predictions" in shown and "tested b: only in" in shown
    assert "runs, in batches: 1 with the same predictions, 1 only there" in shown


def test_changed_runs_are_named(make: Make) -> None:
    here = make("one", {"egemaps.original": [4, 6, 8], "rms.original": [1, 1, 1]})
    there = make("two", {"egemaps.original": [4, 6, 8], "rms.original": [2, 2, 2]})
    changes = find_changes(here, there)
    assert changes.same == ["t/egemaps.original/full/b000"]
    assert list(changes.changed) == ["t/rms.original/full/b000"]
    assert list_outdated(here) == []


def test_scores_that_are_not_those_of_the_runs_are_named(make: Make) -> None:
    results = make("one", {"egemaps.original": [4, 6, 8]})
    make("two", {"egemaps.original": [5, 6, 8]})
    runs = "results/runs/t/egemaps.original/full/b000/predictions.parquet"
    (results.path.parent / runs).write_bytes((results.path.parents[1] / "two" / runs).read_bytes())
    assert list_outdated(results) == [
        "t: its runs have changed since its scores were computed, or more were added; run snakemake"
    ]
    row = pick(compare_results(results, results, "results"), "accuracy")
    assert row["tested"].startswith("means alone: the scores are not those of the predictions")
    score(results.path)
    (results.path / "tables/results.csv").write_text("edited")
    assert len(list_outdated(results)) == 1 and "tables" in list_outdated(results)[0]


def test_a_table_fits_the_terminal() -> None:
    frame = pl.DataFrame({"task": ["t", "t"], "model": ["one", "two"], "macro-F1": [".1", ".2"], "empty": ["–", "–"],
                          "interval over test clips": ["[.0, .2]", "[.1, .3]"]})  # fmt: skip
    wide, narrow = fit_table(frame, None), fit_table(frame, 14)
    assert wide.same == {"task": "t"} and wide.hidden == []
    assert "empty" not in " ".join(wide.lines) and wide.lines[-1] == "two          .2  [.1, .3]"
    split = pl.DataFrame({"split": ["70/15/15 by speaker", "folds"], "p": [".04", "< .001"]})
    assert fit_table(split, None).lines[2] == "folds                < .001"
    assert narrow.hidden == ["interval over test clips"] and max(map(len, narrow.lines)) <= 15


def test_no_heavy_library_is_loaded(make: Make, tmp_path: Path) -> None:
    import subprocess

    make("one", {"egemaps.original": [4]}, seeds=[0])
    code = (
        "import sys; from pathlib import Path; from emoadapt.terminal.results.command import Wanted, print_results; "
        f"print_results(Path({str(tmp_path / 'one')!r}), Wanted('results'), Path({str(tmp_path / 'one')!r})); "
        "print(sorted({'torch', 'sklearn', 'pandas', 'matplotlib', 'transformers'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


DAMAGES = {
    "an empty table": lambda f: (f / "tables/results.csv").write_text(""),
    "half a table": lambda f: (f / "tables/results.csv").write_bytes((f / "tables/results.csv").read_bytes()[:150]),
    "a table of another version": lambda f: (f / "tables/results.csv").write_text("task,metric,mean\nt,accuracy,0.5\n"),
    "damaged scores": lambda f: (f / "metrics/t.parquet").write_bytes(b"PAR1"),
    "scores of another version": lambda f: pl.DataFrame({"task": ["t"]}).write_parquet(f / "metrics/t.parquet"),
    "damaged predictions": lambda f: (f / "runs/t/egemaps.original/full/b000/predictions.parquet").write_bytes(b"PAR1"),
    "predictions of another version": lambda f: pl.DataFrame({"task": ["t"]}).write_parquet(
        f / "runs/t/egemaps.original/full/b000/predictions.parquet"
    ),
    "notes that are no list": lambda f: (f / "tables/results.notes.json").write_text("{"),
}


@pytest.mark.parametrize(
    "arguments", ["", "results", "results --format csv", "results --changed", "results --against ."]
)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_results_are_a_sentence_and_no_traceback(
    damage: str, arguments: str, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    results = make("one", {"egemaps.original": [4]}, seeds=[0])
    DAMAGES[damage](results.path)
    monkeypatch.chdir(tmp_path / "one")
    monkeypatch.setattr(sys, "argv", ["emoadapt", "results", *arguments.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code in (0, 1) and "Traceback" not in said.err
    assert (ended.value.code == 1) == (said.err.count("\n") == 1), said.err
