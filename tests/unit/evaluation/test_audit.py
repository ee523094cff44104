"""From prediction tables to tables of fairness and calibration."""

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import f1_score

from emoadapt import schema
from emoadapt.errors import DataError
from emoadapt.evaluation.audit import AUDITS
from emoadapt.evaluation.calibration import BINS, CALIBRATION_METRICS
from emoadapt.evaluation.comparisons import Scoring
from emoadapt.evaluation.evaluate import evaluate_task, name_table
from emoadapt.evaluation.questions import pose_question
from emoadapt.storage.tables import read_table, write_table

CLASSES = ("anger", "neutral", "sadness")


def predictions(start, seed, *, fold=0, corpus="home", utterances=range(60), **changes):
    generator = np.random.default_rng([seed, len(start)])
    rows = []
    for number in utterances:
        truth = (number * 7) % 3
        logits = generator.normal(size=3) + 1.5 * np.eye(3)[truth]
        rows.append(
            dict(task="t", backbone="w", start=start, finetuning="default", subset="full", partition=0,
                 resampling=0, fold=fold, seed=seed, test_corpus=corpus,
                 utterance_id=f"{corpus}/{number}", speaker=f"s{number % 3}", sex=("female", "male", None)[number // 3 % 3],
                 label=CLASSES[truth], predicted=CLASSES[int(np.argmax(logits))], logits=logits.tolist()) | changes
        )  # fmt: skip
    return rows


@pytest.fixture
def audit(tmp_path):
    def run(tables, smallest=10):
        paths = []
        for number, rows in enumerate(tables):
            paths.append(tmp_path / f"p{number}.parquet")
            write_table(paths[-1], rows, schema.PREDICTIONS)
        evaluate_task(pose_question("t", "classes", CLASSES), paths, [], tmp_path, Scoring(100, group_clips=smallest))
        return {name: pl.from_arrow(read_table(name_table(tmp_path, "t", name), kind)) for name, kind in AUDITS.items()}

    return run


def test_every_run_is_audited_by_itself(audit):
    tables = [predictions(start, seed) for start in ("original", "adapted") for seed in (0, 1)]
    found = audit(tables)
    assert found["calibration"].group_by("start", "seed").len()["len"].to_list() == [len(CALIBRATION_METRICS)] * 4
    for rows in tables:
        chosen = dict(start=rows[0]["start"], seed=rows[0]["seed"])
        bins = found["reliability"].filter(**chosen)
        right = sum(row["label"] == row["predicted"] for row in rows)
        assert (bins.height, bins["count"].sum()) == (BINS, 60)
        assert (bins["accuracy"] * bins["count"]).sum() == pytest.approx(right)
        last = found["coverage"].filter(coverage=1.0, **chosen).row(0, named=True)
        assert (last["kept"], last["accuracy"]) == (60, pytest.approx(right / 60))
        women = [row for row in rows if row["sex"] == "female"]
        expected = f1_score([r["label"] for r in women], [r["predicted"] for r in women], average="macro")
        row = found["fairness"].filter(group="female", metric="macro_f1", **chosen).row(0, named=True)
        assert (row["value"], row["n"]) == (pytest.approx(expected), len(women))


def test_every_model_and_partition_is_audited_by_itself(audit):
    changes = [dict(finetuning="default"), dict(finetuning="probe"), dict(partition=1)]
    found = audit([predictions("original", 0, **change) for change in changes])
    for table in found.values():
        runs = table.select("finetuning", "partition").unique().sort("finetuning", "partition").rows()
        assert runs == [("default", 0), ("default", 1), ("probe", 0)]
    assert set(found["calibration"]["n"]) == {60}


def test_folds_are_pooled_and_utterances_counted_once(audit):
    """A corpus that both folds are tested on has 24 clips of 8 per speaker, although there are 48 predictions."""
    again = [predictions("original", seed, fold=fold, utterances=range(24)) for seed, fold in ((0, 0), (0, 1))]
    found = audit(again, smallest=8)
    assert set(found["calibration"]["n"]) == {24}
    assert found["reliability"]["count"].sum() == 48
    assert found["fairness"].filter(metric="macro_f1_std").select("n", "groups").row(0) == (24, 3)
    assert audit(again, smallest=9)["fairness"].filter(grouping="speaker").is_empty()


def test_utterances_of_all_partitions_are_counted_once(audit):
    """Overlapping partitions of 24 clips; a model, a speaker, a sex and a class count each of theirs once."""
    parts = [range(0, 24), range(16, 40), range(8, 32)]
    tables = [predictions("original", 0, partition=number, utterances=part) for number, part in enumerate(parts)]
    rows = {row["utterance_id"]: row for table in tables for row in table}
    found = audit(tables, smallest=2)
    assert set(found["calibration"].select("n", "n_all").rows()) == {(24, 40)}
    fairness = found["fairness"]
    assert {"sex", "speaker"} == set(fairness["grouping"])
    for row in fairness.filter(pl.col("group").is_not_null()).iter_rows(named=True):
        own = [r for r in rows.values() if r[row["grouping"]] == row["group"] and row["label"] in (None, r["label"])]
        assert row["n_all"] == len(own) >= row["n"]
    # Every class has both sexes; the sex of a third of the clips is unknown.
    known = {name: sum(row[name] is not None for row in rows.values()) for name in ("sex", "speaker")}
    assert known == {"sex": 28, "speaker": 40}
    over_groups = fairness.filter(pl.col("group").is_null(), pl.col("label").is_null())
    assert set(over_groups["metric"]) == {"macro_f1_gap", "recall_gap", "macro_f1_std", "macro_f1_lowest"}
    assert over_groups["n_all"].to_list() == [known[name] for name in over_groups["grouping"]]
    single = audit(tables[:1], smallest=2)
    for name in ("calibration", "fairness"):
        assert single[name]["n"].equals(single[name]["n_all"], check_names=False)


def test_unknown_speakers_and_sexes_leave_calibration_alone(audit):
    found = audit([predictions("original", 0, speaker=None, sex=None)])
    assert found["fairness"].is_empty()
    assert found["calibration"].height == len(CALIBRATION_METRICS)


def test_what_does_not_belong_together_is_refused(audit):
    with pytest.raises(DataError, match=r"predictions of task other were given to the evaluation of t"):
        audit([predictions("original", 0, task="other")])
    with pytest.raises(
        DataError, match=r"home/0 does not fit its classes anger, neutral, sadness; .*fine-tuning again"
    ):
        audit([predictions("original", 0, logits=[0.0, 1.0])])
