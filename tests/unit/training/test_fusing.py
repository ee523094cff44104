"""Logits of trained models are added run by run."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from emoadapt import schema
from emoadapt.errors import TrainingError
from emoadapt.methods.fuse import Config
from emoadapt.storage.footers import read_statement
from emoadapt.storage.tables import read_table
from emoadapt.study.nodes import Run
from emoadapt.training.fusing import add_logits
from emoadapt.training.jobs import run_job

PARTS = ("tiny.original", "egemaps.original.mlp")


@pytest.fixture
def job(work):
    """A fusion of two models in two runs; the second one lacks a clip."""
    work.write_labelled()
    work.tune("fused", method="fuse", of=list(PARTS))
    work.write_predictions(PARTS[0], {0: [1.0, 0.5], 1: [0.0, -1.0]})
    work.write_predictions(PARTS[1], {0: [-2.0, 0.25], 1: [0.5, 1.0]}, "acted/006")
    return work.task_job("tiny.original.fused", [Run(), Run(seed=1)])


def test_logits_of_the_same_run_are_added(job) -> None:
    run_job(job, 0)
    table = read_rows(job)
    found = {row["seed"]: row for row in table if row["utterance_id"] == "acted/000"}
    # 1 - 2 and .5 + .25; 0 + .5 and -1 + 1.
    assert [found[seed]["logits"] for seed in (0, 1)] == [[-1.0, 0.75], [0.5, 0.0]]
    assert [found[seed]["predicted"] for seed in (0, 1)] == ["high", "low"]
    assert {(row["backbone"], row["start"], row["finetuning"]) for row in table} == {("tiny", "original", "fused")}


def read_rows(job) -> list[dict[str, Any]]:
    return read_table(job.output / "predictions.parquet", schema.PREDICTIONS).to_pylist()


def test_a_clip_that_one_model_lacks_is_left_out_and_counted(job) -> None:
    run_job(job, 0)
    assert "acted/006" not in {row["utterance_id"] for row in read_rows(job)}
    assert read_statement(job.output / "predictions.parquet").provenance["left_out"] == "1"


def test_a_run_without_a_common_clip_is_refused(work, job) -> None:
    work.write_predictions(PARTS[1], {5: [0.0, 0.0]})
    with pytest.raises(TrainingError, match="no usable clip in test"):
        run_job(job, 0)


def test_logits_are_added_in_single_precision() -> None:
    models = [{(Run(), "a"): np.float32([0.1, 1.0])}, {(Run(), "a"): np.float32([0.2, -1.0])}]
    found = add_logits(models, Run(), "a")
    assert found.dtype == np.float32 and found.tolist() == pytest.approx([0.3, 0.0])


def test_a_fused_model_is_called_by_the_first_of_its_models() -> None:
    config = Config(method="fuse", of=("a.adapted.x", "b.original"))
    assert (config.backbones, config.starts, list(config.upstream)) == (
        ("a",),
        ("adapted",),
        ["a.adapted.x", "b.original"],
    )


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"of": ["a.original"]}, "at least 2"),
        ({"of": ["a.original", "a.original"]}, "of repeats a.original"),
        ({"of": ["a", "b.original"]}, "should match pattern"),
        ({"of": ["a.original.default", "b.original"]}, "default is not part of a name"),
        ({"of": ["a.original", "b.original"], "backbones": ["c"]}, "called by the first one in `of`; remove backbones"),
    ],
)
def test_what_cannot_be_fused_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Config(**{"method": "fuse", **keys})


def test_a_fusion_imports_no_torch() -> None:
    """It adds numbers of tables; a job starts in half a second."""
    code = (
        "import sys, emoadapt.training.fusing; print(sorted({'torch', 'sklearn', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
