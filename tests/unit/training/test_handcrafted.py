"""The handcrafted baseline on vectors that separate the classes."""

import os
import signal

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import f1_score

from emoadapt import schema
from emoadapt.flow.store import read_table, write_table
from emoadapt.training import handcrafted
from emoadapt.training.checkpoints import Interrupted
from emoadapt.training.handcrafted import train_handcrafted
from emoadapt.training.trainer import Trainer
from emoadapt.training.watchers import Watcher


def run(work, runs, name: str = "run"):
    folder = work.folder
    paths = {key: folder / f"{name}.{key}.parquet" for key in ("predictions", "embeddings", "curves")}
    tables = {"splits": folder / "splits.parquet", "subsets": folder / "subsets.parquet"}
    train_handcrafted(
        work.study, "emotion", "full", runs, {"acted": [folder / "egemaps.parquet"]}, **tables, **paths,
        models=folder / name / "models", threads=1,
    )  # fmt: skip
    return {key: pl.from_arrow(read_table(path, getattr(schema, key.upper()))) for key, path in paths.items()}


def test_beats_chance_and_repeats(work) -> None:
    work.write_labelled()
    runs = [(0, 0, 0), (0, 1, 3)]
    tables = run(work, runs)
    found = tables["predictions"]
    assert len(found) == 2 * (12 + 6)
    assert f1_score(found["label"], found["predicted"], average="macro") > 0.9
    assert found.select("backbone", "start").unique().rows() == [("handcrafted", "egemaps")]
    assert tables["embeddings"].is_empty()
    assert run(work, runs)["predictions"].equals(found)


def test_it_needs_no_gpu_whatever_the_study_says(work) -> None:
    """Its job asks for none."""
    work.write_labelled()
    before = run(work, [(0, 0, 0)])["predictions"]
    work.values["device"] = "cuda"
    work.values["finetuning"] |= {"precision": "16-mixed"}
    assert run(work, [(0, 0, 0)])["predictions"].equals(before)


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
    work.values["finetuning"] |= {"batch_size": 3, "egemaps_epochs": 3}
    counter = Counter()

    def build(*args, **kwargs):
        trainer = Trainer(*args, **kwargs)
        trainer.watchers.append(counter)
        return trainer

    monkeypatch.setattr(handcrafted, "Trainer", build)
    runs = [(0, 0, 0), (0, 0, 1), (0, 1, 0)]
    run(work, runs, "whole")
    whole, counter.batches = counter.batches, 0
    # In the second epoch of the second of three runs, of three epochs each.
    counter.last, counter.signal = whole // 2, number
    sentence = rf"full.r0f0s1: ended by {number.name} in epoch 2 after batch \d of 4; started again, it continues from"
    with pytest.raises(Interrupted, match=sentence):
        run(work, runs, "told")
    assert not (work.folder / "told.predictions.parquet").exists()
    run(work, runs, "told")
    assert counter.batches == whole
    for key in ("predictions", "embeddings", "curves"):
        paths = (work.folder / f"{name}.{key}.parquet" for name in ("whole", "told"))
        assert len({path.read_bytes() for path in paths}) == 1
    assert not list((work.folder / "told").glob(".*"))


def test_scaling_a_descriptor_does_not_matter(work) -> None:
    """z-scores come from the training clips: units of the vector cancel."""
    work.write_labelled()
    before = run(work, [(0, 0, 0)])["predictions"]
    rows = read_table(work.folder / "egemaps.parquet").to_pylist()
    for row in rows:
        row["egemaps"] = [8 * value for value in row["egemaps"]]
    write_table(work.folder / "egemaps.parquet", rows, schema.EGEMAPS)
    after = run(work, [(0, 0, 0)])["predictions"]
    np.testing.assert_allclose(after["logits"].to_list(), before["logits"].to_list(), atol=1e-4)


def test_test_clips_do_not_move_the_z_scores(work) -> None:
    work.write_labelled()
    before = run(work, [(0, 0, 0)])["predictions"].filter(test_corpus="acted")
    rows = read_table(work.folder / "egemaps.parquet").to_pylist()
    for row in rows:
        if row["utterance_id"].startswith("other/"):
            row["egemaps"] = [1e4] * 25
    write_table(work.folder / "egemaps.parquet", rows, schema.EGEMAPS)
    after = run(work, [(0, 0, 0)])["predictions"].filter(test_corpus="acted")
    np.testing.assert_allclose(after["logits"].to_list(), before["logits"].to_list(), atol=1e-5)
