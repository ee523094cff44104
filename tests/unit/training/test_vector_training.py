"""The handcrafted baseline: a head on vectors that separate the classes."""

import os
import signal

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import f1_score

from emoadapt import schema
from emoadapt.errors import TrainingError
from emoadapt.storage.tables import read_provenance, read_table, write_table
from emoadapt.study.nodes import Run
from emoadapt.training import finetuning
from emoadapt.training.interruption import Interrupted
from emoadapt.training.trainer import Trainer
from emoadapt.training.watchers import Watcher


def run(work, *runs: Run, name: str = "run") -> dict[str, pl.DataFrame]:
    return work.train("egemaps.original.mlp", runs or (Run(),), name)


def test_beats_chance_and_repeats(work) -> None:
    work.write_labelled()
    runs = Run(), Run(fold=1, seed=3)
    tables = run(work, *runs)
    found = tables["predictions"]
    assert len(found) == 2 * (12 + 6)
    assert f1_score(found["label"], found["predicted"], average="macro") > 0.9
    assert found.select("backbone", "start", "finetuning").unique().rows() == [("egemaps", "original", "mlp")]
    assert tables["embeddings"].is_empty()
    assert not list((work.folder / "run" / "models").glob("*/"))
    assert run(work, *runs)["predictions"].equals(found)


def test_it_needs_no_gpu_whatever_the_study_says(work) -> None:
    """Its job asks for none."""
    work.write_labelled()
    before = run(work)["predictions"]
    work.values["device"] = "cuda"
    work.tune("mlp", precision="16-mixed")
    assert run(work)["predictions"].equals(before)


class Counter(Watcher):
    """Counts batches of training, and sends its process a signal in one of them."""

    def __init__(self) -> None:
        self.batches, self.last, self.signal = 0, 0, signal.SIGTERM

    def begin_batch(self) -> None:
        self.batches += 1
        if self.batches == self.last:
            os.kill(os.getpid(), self.signal)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_job_that_is_asked_to_end_continues_with_its_batch(
    work, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.write_labelled()
    work.tune("mlp", batch_size=3, epochs=3)
    counter = Counter()

    def build(*args, **kwargs):
        trainer = Trainer(*args, **kwargs)
        trainer.watchers.append(counter)
        return trainer

    monkeypatch.setattr(finetuning, "Trainer", build)
    runs = Run(), Run(seed=1), Run(fold=1)
    run(work, *runs, name="whole")
    whole, counter.batches = counter.batches, 0
    # In the second epoch of the second of three runs, of three epochs each.
    counter.last, counter.signal = whole // 2, number
    sentence = (
        rf"full.p0f0r0s1: ended by {number.name} in epoch 2 after batch \d of 4; started again, it continues from"
    )
    with pytest.raises(Interrupted, match=sentence):
        run(work, *runs, name="told")
    assert not (work.folder / "told" / "predictions.parquet").exists()
    run(work, *runs, name="told")
    assert counter.batches == whole
    for key in ("predictions", "embeddings", "curves"):
        paths = (work.folder / name / f"{key}.parquet" for name in ("whole", "told"))
        assert len({path.read_bytes() for path in paths}) == 1
    assert not list((work.folder / "told").glob(".*"))


def test_scaling_a_descriptor_does_not_matter(work) -> None:
    """z-scores come from the training clips: units of the vector cancel."""
    work.write_labelled()
    before = run(work)["predictions"]
    work.edit(
        "egemaps",
        lambda row: row | {"egemaps": [8 * value for value in row["egemaps"]]},
        schema.feature_table("egemaps"),
    )
    after = run(work)["predictions"]
    np.testing.assert_allclose(after["logits"].to_list(), before["logits"].to_list(), atol=1e-4)


def spoil(row: dict) -> dict:
    return row | {"egemaps": [1e4] * 25} if row["utterance_id"].startswith("other/") else row


def test_test_clips_do_not_move_the_z_scores(work) -> None:
    work.write_labelled()
    before = run(work)["predictions"].filter(test_corpus="acted")
    work.edit("egemaps", spoil, schema.feature_table("egemaps"))
    after = run(work)["predictions"].filter(test_corpus="acted")
    np.testing.assert_allclose(after["logits"].to_list(), before["logits"].to_list(), atol=1e-5)


def test_each_corpus_can_have_statistics_of_its_own(work) -> None:
    """A corpus on another scale: with statistics of the source it is far from all that was trained on."""

    def shift(row: dict) -> dict:
        if not row["utterance_id"].startswith("other/"):
            return row
        return row | {"egemaps": [3 * value + 1e3 for value in row["egemaps"]]}

    work.write_labelled()
    work.edit("egemaps", shift, schema.feature_table("egemaps"))
    scores = {}
    for scope in ("train", "corpus"):
        work.tune("mlp", normalise=scope)
        found = run(work, name=scope)["predictions"].filter(test_corpus="other")
        scores[scope] = f1_score(found["label"], found["predicted"], average="macro")
    assert scores["corpus"] == 1 and scores["train"] < 0.5


def test_clips_without_a_vector_are_left_out_and_counted(work) -> None:
    work.write_labelled()
    failed = {"status": "failed", "reason": "silent", "egemaps": None}
    work.edit(
        "egemaps",
        lambda row: row | (failed if row["utterance_id"] == "acted/001" else {}),
        schema.feature_table("egemaps"),
    )
    assert "acted/001" not in run(work)["predictions"]["utterance_id"]
    assert read_provenance(work.folder / "run" / "predictions.parquet")["left_out"] == "1"


def test_a_feature_that_no_clip_has_is_named(work) -> None:
    work.write_labelled()
    work.edit(
        "egemaps",
        lambda row: row | {"status": "failed", "reason": "silent", "egemaps": None},
        schema.feature_table("egemaps"),
    )
    with pytest.raises(TrainingError, match="no usable clip in train and dev and test"):
        run(work)


def test_trained_on_dev_is_trained_on_the_union_for_all_epochs(work) -> None:
    """The same tables, with dev clips named as training clips and training clips again as dev, whose last epoch is taken."""
    work.write_labelled()
    work.tune("mlp", epochs=4, train_on_dev=True)
    found = run(work, name="joined")
    curve = found["curves"]
    assert curve.filter("best")["epoch"].unique().to_list() == [4]
    assert set(curve["part"]) == {"train", "dev_trained", "course"} - ({"course"} - set(curve["part"]))
    splits = read_table(work.folder / "splits.parquet").to_pylist()
    moved = [row | {"split": "train"} for row in splits if row["split"] == "dev"]
    write_table(work.folder / "splits.parquet", [*splits, *moved], schema.SPLITS)
    work.values["finetunings"]["mlp"] |= {"train_on_dev": False}
    monitored = run(work, name="union")["curves"]
    assert moved and monitored.filter(part="train", metric="loss")["value"].to_list() == (
        curve.filter(part="train", metric="loss")["value"].to_list()
    )


def test_a_subset_is_trained_on_alone_also_with_train_on_dev(work) -> None:
    work.write_labelled()
    work.tune("mlp", epochs=3)
    usual = work.train("egemaps.original.mlp", (Run(),), "usual", subset="8")["curves"]
    work.tune("mlp", train_on_dev=True)
    fixed = work.train("egemaps.original.mlp", (Run(),), "fixed", subset="8")["curves"]
    assert fixed.drop("best").equals(usual.drop("best"))
    assert fixed.filter("best")["epoch"].unique().to_list() == [3]
