"""A task that is divided several times: its runs are not those of one split, and every page says so."""

import json
import re
from itertools import combinations

import numpy as np
import polars as pl
import pytest

from emoadapt import schema
from emoadapt.reporting import write_all
from emoadapt.reporting.declared.footnotes import _say_data
from emoadapt.reporting.display import present_table
from emoadapt.reporting.notices import describe_partitions, list_gaps
from emoadapt.reporting.pages import collect_pages
from emoadapt.reporting.style import name_tested
from emoadapt.reporting.tables import _count_shared, _say_pairs, _say_shared, _say_sizes, average_runs, read_tidy
from emoadapt.reporting.trials import describe_runs, name_products
from emoadapt.storage.frames import read_frame
from emoadapt.study.nodes import Model, Setting

TASK = {
    "corpus": "crema_d",
    "classes": ["anger", "happiness", "neutral", "sadness"],
    "split": {"by": "fractions"},
    "partitions": 3,
}


@pytest.fixture(scope="module")
def study(make_study):
    return make_study(
        backbones={"wavlm": {"architecture": "wavlm", "weights": "microsoft/wavlm-base"}},
        adaptations={"multimodal": {"corpora": ["films"], "objectives": {"egemaps": 1}}},
        finetunings={"default": {"seeds": [0, 1]}},
        tasks={"crema": TASK},
        report={"bootstrap": 100, "alternative": "greater"},
        tables={"ours": {"title": "Ours", "tasks": ["crema"], "parts": [{"models": ["wavlm.original", "wavlm.multimodal"], "baseline": "original"}]}},
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(study, make_results, tmp_path_factory):
    return make_results(study, tmp_path_factory.mktemp("divided"))


@pytest.fixture(scope="module")
def written(study, made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_all(study, made[1], folder / "tables", folder / "figures", folder / "index.html")
    return folder


def test_every_run_of_every_partition_counts(written):
    row = read_tidy(written / "tables" / "results.csv").filter(metric="macro_f1", start="multimodal").row(0, named=True)
    assert (row["n_runs"], row["n_pairs"]) == (6, 6)


def test_splits_are_counted_partition_by_partition(written):
    data = read_tidy(written / "tables" / "data.csv").filter(pl.col("label").is_null())
    assert data.select("partition", "split").rows() == [(p, s) for p in range(3) for s in ("train", "dev", "test")]
    assert (written / "tables" / "data.md").read_text().startswith("| task | corpus | partition | fold | split |")


def test_every_table_counts_the_test_clips_of_all_partitions_once(written, made, study):
    """Partitions test 120, 80 and 60 of 240 clips, together 160."""
    tested = [number for number in range(240) if any(number % step == 0 for step in (2, 3, 4))]
    assert len(tested) == 160
    labels = np.random.default_rng(7).integers(4, size=240)
    names = ("results", "per_class_f1", "f1_bias", "calibration")
    for name in names:
        lines = [line.strip("| ").split(" | ") for line in (written / "tables" / f"{name}.md").read_text().splitlines()]
        shown = {line[lines[0].index("n test")] for line in lines[2:] if len(line) == len(lines[0])}
        assert shown - {"–"} == {"160"}, "that of chance levels has no number"
        note = "crema: n = 160 test clips of crema_d in 3 partitions of 60 to 120; one that several partitions test counts once."
        assert note in json.loads((written / "tables" / f"{name}.notes.json").read_text())
    per_class = read_tidy(written / "tables" / "per_class_f1.csv")
    for place, label in enumerate(TASK["classes"]):
        assert set(per_class.filter(label=label)["n"]) == {sum(labels[number] == place for number in tested)}
    assert "n = 160 test clips in 3 partitions" in (written / "tables" / "ours.notes.txt").read_text()
    inputs, results = made
    pages = collect_pages(study, results, inputs.metrics, inputs.confusion, inputs.splits)
    assert {page["tests"][0]["n"] for page in pages} == {160}


def test_only_a_test_set_of_which_partitions_hold_a_part_has_a_note(study, made):
    """Not where every partition tests all clips, as of a corpus that is only tested on."""
    measured = read_frame(made[0].metrics, schema.METRICS)
    tidy = average_runs(study, measured.filter(metric="f1"))
    assert len(_say_sizes(study, tidy, measured)) == 1
    assert _say_sizes(study, tidy, measured.with_columns(n="n_all")) == []
    assert _say_sizes(study, tidy, measured.filter(partition=0)) == []


def test_p_values_over_partitions_that_share_clips_have_a_footnote(written, made):
    """Symptom: twenty random partitions of one corpus were tested like twenty corpora."""
    splits = pl.concat([read_frame(path, schema.SPLITS) for path in made[0].splits["crema"]])
    parts = {
        (part, number): set(splits.filter(split=part, partition=number)["utterance_id"])
        for part in ("train", "test")
        for number in range(3)
    }
    counts = {
        part: len({clip for a, b in combinations(range(3), 2) for clip in parts[part, a] & parts[part, b]})
        for part in ("train", "test")
    }
    assert counts["test"] > 0
    shared = " and ".join(f"{count} {part} clips" for part, count in counts.items() if count)
    note = (
        f"crema: p-values are over 3 partitions, of which several have {shared} in common; such tests are not independent, and "
        "their p-values are too small rather than too large."
    )
    assert note in json.loads((written / "tables/results.notes.json").read_text())
    assert f"- {note}\n" in (written / "tables/results.md").read_text()
    assert not any("p-values" in line for line in json.loads((written / "tables/per_class_f1.notes.json").read_text()))
    sentence = "Where partitions share clips, p-values over them are too small rather than too large."
    assert sentence in (written / "tables/ours.notes.txt").read_text().splitlines()


def test_partitions_without_a_clip_in_common_have_no_such_footnote():
    def divide(*parts):
        rows = [(f"c/{clip}", number, part) for number, part, clips in parts for clip in clips]
        return _count_shared(pl.DataFrame(rows, schema=["utterance_id", "partition", "split"], orient="row"))

    tidy = pl.DataFrame({"task": ["t"], "p_value": [0.01]})
    apart = divide((0, "train", "ab"), (0, "test", "c"), (1, "train", "de"), (1, "test", "f"))
    crossed = divide((0, "train", "a"), (0, "test", "b"), (1, "train", "b"), (1, "test", "a"))
    alone = divide((0, "train", "ab"), (0, "train", "ab"), (0, "test", "c"))
    tested = divide((0, "train", "a"), (0, "test", "c"), (1, "train", "b"), (1, "test", "c"))
    assert [_say_shared(tidy, {"t": found}) for found in (apart, crossed, alone)] == [[], [], []]
    (note,) = _say_shared(tidy, {"t": tested})
    assert "over 2 partitions, of which several have 1 test clips in common" in note
    assert _say_shared(tidy.with_columns(p_value=pl.lit(None, pl.Float64)), {"t": tested}) == []


def test_differences_over_fewer_runs_than_the_means_are_told(make_study):
    """A mean over five seeds, and beside it a difference of the first seed alone, as if it were of the means."""
    mlp, svm = ({"backbone": "wavlm", "start": "original", "finetuning": name} for name in ("default", "svm"))
    against = {"baseline_backbone": "wavlm", "baseline": "original", "baseline_finetuning": "svm"}
    svms = {"method": "svm", "starts": ["original"]}
    study = make_study(
        backbones={"wavlm": {"architecture": "wavlm", "weights": "microsoft/wavlm-base"}}, adaptations={},
        finetunings={"default": {}, "svm": svms}, tasks={"crema": TASK | {"partitions": 1, "test_also": ["msp_improv"]}},
        report={"baseline": "wavlm.original.svm"},
    )  # fmt: skip
    common = {"task": "crema", "subset": "full", "metric": "macro_f1", "mean": 0.5, "low": 0.1, "high": 0.9, "n": 9}

    def say(pairs, runs, corpus="crema_d"):
        place = common | {"test_corpus": corpus}
        rows = [place | svm | {"n_runs": runs}, place | mlp | {"n_runs": 5}]
        rows.append(place | mlp | against | {"n_runs": 5, "n_pairs": pairs})
        compared = pl.DataFrame(rows, schema_overrides={"baseline": pl.String})
        return _say_pairs(study, compared.filter(pl.col("baseline").is_null()), compared)

    note = "differences to wavlm.original.svm are over fewer runs than the means, {}; only runs with the same partition, draw and seed"
    assert say(5, 5) == []
    (own,), (other,) = say(1, 1), say(0, 1, "msp_improv")
    assert own.startswith("crema: " + note.format("1 pair of 5 runs"))
    assert other.startswith("crema → msp_improv: " + note.format("0 pairs of 5 runs"))
    # The baseline has more runs than the model.
    (more,) = say(5, 9)
    assert "5 pairs of 9 runs" in more


def test_recordings_are_counted_where_segments_are_scored_together(study, make_study):
    whole = make_study(tasks={"crema": TASK | {"score": "parents"}})
    assert name_tested(whole, "crema") == "recordings"
    assert name_tested(make_study(tasks={"crema": TASK}), "crema") == "test clips"
    shown = [dict(task="crema", test_corpus=corpus, n=9, split="s", labels="l") for corpus in ("crema_d", "msp_improv")]
    own, other, _ = _say_data(whole, study.tables["ours"], pl.DataFrame(shown))
    assert "n = 9 recordings in 3 partitions;" in own and "n = 9 recordings;" in other


def test_the_page_says_what_runs_are_and_which_test_it_was(study, written):
    text = (written / "index.html").read_text()
    (sentence,) = describe_partitions(study)
    assert sentence.startswith("crema: 3 partitions of crema_d, each scored alone; a run is one partition, one draw")
    assert sentence in text
    assert (
        "one-tailed paired t-test (better than the baseline) over runs with the same partition, seed and resampling"
        in text
    )
    assert "over seeds and draws of the training clips, on one split" not in text
    headline = re.search(r'class="headline">([^<]+)', text)[1]
    assert "over 6 paired runs" in headline or "for other partitions" in headline
    notes = (written / "tables" / "ours.notes.txt").read_text()
    assert (
        "over 6 runs (crema: 3 partitions × 2 seeds; the standard deviation is over partitions too, each scored alone)"
        in notes
    )


def test_runs_and_curves_name_their_partition(study, made):
    inputs, results = made
    pages = collect_pages(study, results, inputs.metrics, inputs.confusion, inputs.splits)
    assert {page["partitions"] for page in pages} == {3}
    assert [(run["p"], run["s"]) for run in pages[0]["tests"][0]["runs"]] == [
        (p, s) for p in range(3) for s in range(2)
    ]
    assert {curve["run"] for curve in pages[0]["curves"]} == {f"p{p}f0r0s{s}" for p in range(3) for s in range(2)}


def describe(make_study, seeds, subset="full", corpus=None, **task):
    svm = {"method": "svm", "starts": ["original"], "seeds": [*range(seeds)]}
    study = make_study(
        backbones={"wavlm": {"architecture": "wavlm", "weights": "microsoft/wavlm-base"}}, adaptations={},
        finetunings={"default": {"seeds": [*range(seeds)]}, "svm": svm},
        tasks={"crema": TASK | task, "other": TASK | {"corpus": "msp_improv", "trials": "paired"}},
        report={},
    )  # fmt: skip
    found = (Setting("crema", Model("wavlm", finetuning=name), subset) for name in ("default", "svm"))
    return tuple(describe_runs(study, setting, corpus) for setting in found)


def test_a_footnote_says_how_partitions_draws_and_seeds_are_combined(make_study):
    paired, drawn = {"trials": "paired"}, {"partitions": 1, "subsets": [64, "full"], "resamplings": 3}
    assert describe(make_study, 3) == ("3 partitions × 3 seeds", "3 partitions")
    assert describe(make_study, 1) == ("3 partitions", "3 partitions")
    assert describe(make_study, 3, **paired) == ("3 trials, partition i with seed i", "3 partitions")
    assert describe(make_study, 3, "64", **drawn) == (
        "3 draws × 3 seeds, on one partition",
        "3 draws, on one partition",
    )
    assert describe(make_study, 3, "64", **drawn, **paired)[0] == "3 trials, draw i with seed i, on one partition"
    assert describe(make_study, 3, **drawn, **paired) == ("3 seeds, on one partition", "1 run")
    three = paired | {"subsets": [64], "resamplings": 3}
    assert describe(make_study, 3, "64", **three)[0] == "3 trials, partition i with draw i and seed i"


def test_products_are_named_by_what_tells_them_apart():
    assert name_products({"5 seeds": [("mlp", "12"), ("mlp", "full")]}) == "5 seeds"
    assert name_products({"5 seeds": [("mlp", "full")], "1 run": [("svm", "full")]}) == "5 seeds (mlp) or 1 run (svm)"
    sizes = {"3 draws": [("mlp", "1000"), ("mlp", "5K Subset")], "1 run": [("mlp", "full")]}
    assert name_products(sizes) == "3 draws (1,000 clips and 5K Subset) or 1 run (all clips)"
    both = {"3 draws": [("mlp", "12")], "1 run": [("mlp", "full"), ("svm", "full")]}
    assert name_products(both) == "3 draws (mlp with 12 clips) or 1 run (mlp with all clips and svm with all clips)"


def test_a_footnote_says_which_test_part_of_another_task_a_run_has(make_study):
    task = {"partitions": 1, "trials": "paired", "test_also": {"msp_improv": "test"}}
    assert describe(make_study, 3, **task)[0] == "3 seeds, on one partition"
    assert describe(make_study, 3, corpus="msp_improv", **task)[0] == "3 trials, partition i with seed i"
    # One division, one seed, or none that counts: what its own test clips show three times is one result.
    assert describe(make_study, 3, **task)[1] == "3 runs that are all the same"
    assert describe(make_study, 1, **task)[0] == "3 runs that are all the same"
    whole = {"partitions": 1, "test_also": ["msp_improv"]}
    assert describe(make_study, 3, corpus="msp_improv", **whole)[0] == "3 seeds, on one partition"


def test_a_class_that_one_partition_lacks_is_named(study, written):
    """Of each class the largest partition was taken: no test set had the sum of these, and a partition without a class was not named."""
    sizes = {"anger": (5, 3, 0), "happiness": (3, 5, 4), "neutral": (1, 1, 1), "sadness": (1, 1, 1)}
    rows = [
        {"task": "crema", "backbone": "wavlm", "start": "original", "finetuning": "default", "subset": "full"}
        | {"partition": partition, "resampling": 0, "seed": seed, "test_corpus": "crema_d"}
        | {"metric": "f1", "label": label, "value": 0.5, "n": counts[partition], "n_all": sum(counts)}
        for label, counts in sizes.items()
        for partition in range(3)
        for seed in (0, 1)
    ]
    found = average_runs(study, pl.DataFrame(rows))
    assert dict(found.select("label", "n").iter_rows()) == {label: sum(counts) for label, counts in sizes.items()}
    assert dict(found.select("label", "n_least").iter_rows())["anger"] == 0
    assert present_table("per_class_f1", found)["n test"].to_list() == ["26"]
    tables = written / "tables"
    notices = list_gaps(found, read_tidy(tables / "cross_corpus.csv"), read_tidy(tables / "data.csv"), study)
    assert notices[0].startswith("The test set of some partition of crema_d (task crema) has NO CLIP of class anger: ")
