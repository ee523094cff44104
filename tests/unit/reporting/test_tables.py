"""Tables: complete, tidy, readable."""

import json
from dataclasses import replace

import polars as pl
import pytest

from emoadapt import schema
from emoadapt.config import AllSplit
from emoadapt.reporting.exposure import count_shared
from emoadapt.reporting.style import probability
from emoadapt.reporting.tables import (
    _say_methods,
    build_tables,
    print_quarantine,
    read_tidy,
    split_home,
    table_names,
    write_tables,
)
from emoadapt.storage.tables import read_table, write_table

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def tables(written):
    return written / "tables"


def test_every_named_table_is_written_and_nothing_else(study, tables):
    expected = {f"{name}.{kind}" for name in table_names(study, ["pretext"]) for kind in ("csv", "md")}
    models = (
        "results",
        "low_resource",
        "per_class_f1",
        "f1_bias",
        "cosine_distance",
        "cross_corpus",
        "fairness",
        "calibration",
        "pretext",
    )
    expected |= {f"{name}.notes.json" for name in models}
    assert {path.name for path in tables.iterdir()} == expected


def test_results_carry_the_numbers_of_the_comparisons(inputs, tables):
    results = read_tidy(tables / "results.csv")
    source = pl.from_arrow(read_table(inputs.comparisons, schema.COMPARISONS))
    chosen = dict(
        task="crema", test_corpus="crema_d", subset="64", backbone="tiny", start="multimodal", metric="macro_f1"
    )
    row = results.filter(**chosen).row(0, named=True)
    main = source.filter(baseline="original", **chosen).row(0, named=True)
    reference = source.filter(baseline_backbone="egemaps", **chosen).row(0, named=True)
    for column in (
        "mean",
        "std",
        "low",
        "high",
        "difference",
        "difference_low",
        "difference_high",
        "p_value",
        "n",
        "n_runs",
    ):
        assert row[column] == pytest.approx(main[column]), column
    assert row["reference"] == "egemaps.original.mlp"
    assert row["reference_difference"] == pytest.approx(reference["difference"])
    assert row["reference_p_value"] == pytest.approx(reference["p_value"])
    assert (row["weights"], row["labels"], row["split"]) == (
        "untrained",
        "audiovisual, ties drop",
        "70/15/15 by speaker (seed 0)",
    )


def test_results_and_cross_corpus_part_by_test_corpus(tables):
    results, cross = (read_tidy(tables / f"{name}.csv") for name in ("results", "cross_corpus"))
    assert (results["corpus"] == results["test_corpus"]).all()
    assert set(cross["test_corpus"]) == {"msp_improv"}
    assert set(cross["task"]) == {"crema"}
    assert results["subset"].unique(maintain_order=True).to_list() == ["64", "256", "full"]


def test_paper_values_stand_beside_matching_rows_only(tables):
    rows = read_tidy(tables / "results.csv").filter(pl.col("paper_mean").is_not_null())
    assert "probe" not in rows["finetuning"], "the paper fine-tunes"
    found = {(r["task"], r["backbone"], r["start"], r["paper_mean"]) for r in rows.iter_rows(named=True)}
    assert found == {
        ("crema", "wavlm", "original", 0.675), ("crema", "wavlm", "multimodal", 0.724), ("crema", "egemaps", "original", 0.387),
        ("improv", "wavlm", "original", 0.555), ("improv", "wavlm", "multimodal", 0.612), ("improv", "egemaps", "original", 0.354),
    }  # fmt: skip


def test_low_resource_has_tasks_with_several_sizes(tables):
    low = read_tidy(tables / "low_resource.csv")
    assert set(low["task"]) == {"crema"}
    assert set(low["metric"]) == {"macro_f1"}


def test_data_counts_utterances_speakers_and_overlap(tables):
    data = read_tidy(tables / "data.csv").filter(task="crema", corpus="crema_d")
    total = data.filter(pl.col("label").is_null())
    # 60 utterances of 10 speakers; 8 and 9 are test, 6 and 7 dev, and one utterance of speaker 8 strayed into train.
    assert total.select("split", "utterances", "speakers", "shared_speakers").rows() == [
        ("train", 37, 7, 1), ("dev", 12, 2, 0), ("test", 11, 2, 1),
    ]  # fmt: skip
    assert data.filter(pl.col("label").is_not_null())["utterances"].sum() == 60


def test_recordings_in_two_splits_are_counted_over_all_corpora(tables):
    data = read_tidy(tables / "data.csv").filter(pl.col("label").is_null(), task="crema")
    counts = dict(((c, s), n) for c, s, n in data.select("corpus", "split", "shared_clips").rows())
    # msp_improv/3, only tested on, is the recording of crema_d/3, which is trained on.
    assert counts == {("crema_d", "train"): 1, ("crema_d", "dev"): 0, ("crema_d", "test"): 0, ("msp_improv", "test"): 1}


def test_test_clips_used_in_stage_1_are_counted(tables):
    rows = read_tidy(tables / "stage1_data.csv").filter(adaptation="speech_only").drop("adaptation", "corpora").rows()
    # 60 films of unknown speakers, nine held out; film 0 is crema_d/9, a test clip of speaker s9. Who else of the test
    # speakers is in the films cannot be known.
    assert rows == [(60, 9, 0, 60, "crema", "crema_d", 11, 1, 2, 1), (60, 9, 0, 60, "crema", "msp_improv", 60, 0, 10, 0),
                    (60, 9, 0, 60, "improv", "msp_improv", 11, 0, 2, 0)]  # fmt: skip
    assert "| 1 of 11 | 1 known of 2 |" in (tables / "stage1_data.md").read_text()


def test_a_published_corpus_has_the_same_speakers_under_every_name(make_study, inputs, tmp_path):
    corpora = {name: {"importer": "ravdess", "root": root} for name, root in [("a", "here"), ("b", "there")]}
    corpora |= {name: {"importer": "csv", "root": name, "file": "l.csv"} for name in ("c", "d")}
    study = make_study(
        corpora=corpora,
        adaptations={"x": {"corpora": ["a"], "objectives": {"egemaps": 1}}},
        tasks={},
    )
    from emoadapt.reporting.exposure import build_stage1, read_clips

    for name in corpora:
        rows = [{**row, "fingerprint": f"{name}{row['media']}"} for row in invent(name)]
        write_table(tmp_path / name / "0.parquet", rows, schema.MANIFEST)
    clips = read_clips(study, [tmp_path / name / "0.parquet" for name in corpora])
    part = [dict(utterance_id=f"a/{i}", corpus="a", speaker=f"s{i}", part="train") for i in range(4)]
    write_table(tmp_path / "parts.parquet", part, schema.PARTS)
    tested = pl.DataFrame(
        {"utterance_id": [f"{c}/{i}" for c in "bc" for i in (0, 5)], "corpus": list("bbcc"), "split": "test"}
    )
    found = build_stage1(study, {"t": tested}, clips, {"x": tmp_path / "parts.parquet"})
    # The audio of speaker s0 lies in another file, so that the clip is not the same; the person is, in b and not in c.
    assert found.select("test_corpus", "seen_clips", "test_speakers", "seen_speakers").rows() == [
        ("b", 0, 2, 1),
        ("c", 0, 2, 0),
    ]


def invent(corpus):
    empty = dict.fromkeys(("start", "end", "sex", "language", "split", "transcript"))
    return [{**empty, "utterance_id": f"{corpus}/{i}", "media": f"{i}.wav", "speaker": f"s{i}"} for i in range(6)]


def test_left_out_utterances_are_taken_from_the_splits(study, inputs, tmp_path):
    marked = tmp_path / "0.parquet"
    write_table(marked, read_table(inputs.splits["crema"]), schema.SPLITS, {"left_out": "12 disgust"})
    write_tables(study, replace(inputs, splits=inputs.splits | {"crema": [marked]}), tmp_path)
    assert "12 disgust" in (tmp_path / "data.md").read_text()


def test_quarantine_is_counted_by_reason_code(tables):
    rows = read_tidy(tables / "quarantine.csv").rows()
    assert rows == [("films", "audio", "failed", "decode_error", 1), ("films", "audio", "noted", "narrow_band", 1), ("films", "face_embedding", "absent", "no_face", 2),
                    ("films", "transcript", "absent", "no_words", 1)]  # fmt: skip


def test_markdown_has_one_cell_per_column_and_no_tags(tables):
    for path in tables.glob("*.md"):
        lines = path.read_text().partition("\n\n")[0].splitlines()
        assert len({line.count(" | ") for line in lines}) == 1, path.name
        assert "<script>" not in path.read_text()


def test_markdown_names_n_runs_weights_split_and_labels(tables):
    head = (tables / "results.md").read_text().splitlines()[0].strip("| ").split(" | ")
    assert {"n test", "runs", "weights", "split", "labels", "p over runs", "interval over test clips"} <= set(head)


def test_empty_quarantine_and_single_run_still_give_tables(inputs, tmp_path, make_study):
    study = make_study(report={"bootstrap": 200})
    empty = tmp_path / "quarantine.parquet"
    write_table(empty, [], schema.QUARANTINE)
    write_tables(study, replace(inputs, quarantine=empty), tmp_path / "out")
    assert (tmp_path / "out" / "quarantine.md").read_text() == "Nothing to show.\n"
    assert read_tidy(tmp_path / "out" / "quarantine_rows.csv").height == 0


def test_word_errors_are_a_table_where_there_are_any(study, inputs, tmp_path):
    counts = dict(clips=9, wordless=1, unheard=2, words=50, substitutions=3, deletions=5, insertions=2)
    rows = [
        dict(corpus="improv", language="en", engine="pocketsphinx", model=None, word_error_rate=0.2, **counts),
        dict(
            corpus="improv",
            language=None,
            engine="pocketsphinx",
            model=None,
            word_error_rate=None,
            **dict.fromkeys(counts, 0),
        ),
    ]
    write_table(tmp_path / "word_errors.parquet", rows, schema.WORD_ERRORS)
    write_tables(study, replace(inputs, word_errors=tmp_path / "word_errors.parquet"), tmp_path / "out")
    assert read_tidy(tmp_path / "out" / "word_errors.csv").to_dicts() == rows
    lines = (tmp_path / "out" / "word_errors.md").read_text().splitlines()
    assert lines[2] == "| improv | en | pocketsphinx | 20.0 % | 50 | 3 | 5 | 2 | 9 | 1 | 2 |"
    assert lines[3].startswith("| improv | unknown | pocketsphinx | – | 0 |")
    written = {path.stem for path in (tmp_path / "out").iterdir() if path.suffix != ".json"}
    assert written == set(table_names(study, optional=["pretext", "word_errors"]))
    (note,) = (
        n for n in json.loads((tmp_path / "out" / "f1_bias.notes.json").read_text()) if n.startswith("improv: mean")
    )
    assert note == "improv: mean ± standard deviation over runs, 5 seeds, on one partition."


def test_an_empty_quarantine_is_a_sentence(tmp_path, capsys):
    write_table(tmp_path / "quarantine.parquet", [], schema.QUARANTINE)
    print_quarantine(tmp_path / "quarantine.parquet", rows=True)
    assert capsys.readouterr().out == "No clip was set aside, and none has a note.\n"


def test_quarantine_is_printed(inputs, capsys):
    print_quarantine(inputs.quarantine, rows=False)
    assert "no_face" in (short := capsys.readouterr().out)
    assert "films/3" not in short
    assert "| films | audio | used, with a note | narrow_band | 1 |" in short
    print_quarantine(inputs.quarantine, rows=True)
    assert "films/3" in (long := capsys.readouterr().out)
    assert SCRIPT not in long


def test_tables_with_the_svm_say_how_it_decides(make_study):
    study = make_study(finetunings={"default": {}, "machine": {"method": "svm"}}, report={})
    scores = pl.DataFrame({"task": ["t"], "finetuning": ["machine"], "metric": ["uar"]})
    (note,) = _say_methods(study, scores)
    assert "break_ties=True" in note
    assert _say_methods(study, scores.with_columns(finetuning=pl.lit("default"))) == []
    assert _say_methods(study, scores.drop("finetuning")) == []


def test_finetunings_are_named_only_if_there_are_several(tables, make_study):
    models = read_models(tables / "results.md")
    assert {"wavlm original", "wavlm original probe", "egemaps mlp", "tiny speech_only"} <= models
    assert "wavlm original default" not in models
    heads = (tables / "results.md").read_text().splitlines()[0]
    assert "fine-tuning" not in heads and "partition" not in heads and "difference to egemaps.original.mlp" in heads


def test_every_difference_is_shown_with_its_p_value(tables):
    """That to the original and that to `report.baseline`; the row of the baseline itself has neither."""
    for name in ("results", "cross_corpus"):
        lines = [
            line.strip("| ").split(" | ")
            for line in (tables / f"{name}.md").read_text().splitlines()
            if line.startswith("|")
        ]
        shown = pl.DataFrame([dict(zip(lines[0], line, strict=True)) for line in lines[2:]])
        shown = shown.filter(~pl.col("model").str.starts_with("chance"))
        tidy = read_tidy(tables / f"{name}.csv").filter(metric="macro_f1")
        for column, value in (("p over runs", "p_value"), ("p against egemaps.original.mlp", "reference_p_value")):
            assert shown[column].to_list() == [probability(p).replace("<", "&lt;") for p in tidy[value]]
            assert set(shown[column]) - {"–"}
        lone = shown.filter(pl.col("difference to egemaps.original.mlp") == "–")
        assert set(lone["p against egemaps.original.mlp"]) == {"–"}


def read_models(path):
    lines = [line.split(" | ") for line in path.read_text().splitlines() if line.startswith("|")]
    return {line[lines[0].index("model")] for line in lines[2:]}


def test_without_a_baseline_there_is_no_column_of_it(inputs, tmp_path, make_study):
    study = make_study(report={"bootstrap": 200})
    write_tables(study, inputs, tmp_path)
    results = read_tidy(tmp_path / "results.csv")
    assert results["reference"].null_count() == results["reference_difference"].null_count() == results.height
    assert "difference to egemaps" not in (tmp_path / "results.md").read_text()


def test_a_corpus_whose_clips_all_train_is_scored_on_the_others(make_study):
    """Symptom: the table of results was empty, and the terminal said that no classifier was trained."""
    task = {"corpus": "crema_d", "classes": ["anger", "neutral"], "test_also": ["msp_improv"]}
    split = {"away": {"by": "all", "dev": 0.1}, "own": {"by": "official"}}
    study = make_study(tasks={name: task | {"split": split[name]} for name in split}, report={})
    rows = pl.DataFrame({"task": ["away", "own", "own"], "test_corpus": ["msp_improv", "crema_d", "msp_improv"]})
    home, away = split_home(study, rows)
    assert home.rows() == [("away", "msp_improv"), ("own", "crema_d")]
    assert away.rows() == [("own", "msp_improv")]


def test_results_of_such_a_task_are_those_on_the_other_corpora(study, inputs):
    home, every = study.tasks["crema"], build_tables(study, inputs)
    assert home.corpus == "crema_d" and set(every["results"].filter(task="crema")["test_corpus"]) == {"crema_d"}
    whole = home.model_copy(update={"split": AllSplit(by="all", dev=0.1)})
    tables = build_tables(study.model_copy(update={"tasks": study.tasks | {"crema": whole}}), inputs)
    assert set(tables["results"].filter(task="crema")["test_corpus"]) == {"msp_improv"}
    assert "msp_improv" not in tables["cross_corpus"].filter(task="crema")["test_corpus"]


def test_clips_without_labels_are_no_part_that_shares_clips():
    parts = (("a", "train"), ("b", "unlabelled"), ("c", "test"), ("d", "test"))
    splits = pl.DataFrame(
        [{"utterance_id": name, "corpus": "x", "partition": 0, "fold": 0, "split": part} for name, part in parts]
    )
    clips = pl.DataFrame([{"utterance_id": name, "person": name, "fingerprint": f"sha256:{content}", "start": 0.0, "end": 1.0}
                          for name, content in (("a", "1"), ("b", "2"), ("c", "1"), ("d", "2"))])  # fmt: skip
    assert count_shared(splits, clips)["x", 0, 0, "test"] == (1, 0)
