"""Processes that share each batch, against one process on the same batches."""

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy
import pytest
import torch
from safetensors.torch import load_file

from emoadapt import schema
from emoadapt.errors import TrainingError
from emoadapt.machine.processes import count_processes, run_in_processes
from emoadapt.storage.tables import read_table
from emoadapt.study.grid import count_gpus
from emoadapt.study.nodes import Model, Run, Setting

# Of the 48 clips to train on, 47 a batch leave one process without any in the other; of the 16 held out, so do 15 a batch.
CASES: dict[str, dict[str, Any]] = {
    "targets": {"batch_size": 15, "mean_over": "targets"},
    "plain": {"batch_size": 47, "gradient_clip": 0.5, "optimizer": "adamw", "weight_decay": 0.1},
    "gradnorm": {"batch_size": 15, "weighting": "gradnorm"},
    "uncertainty": {"batch_seconds": 2.0, "accumulate": 2, "max_seconds": 0.2, "weighting": "uncertainty"},
}


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Functions that other processes can import."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    return importlib.import_module("in_processes")


def test_two_processes_give_the_losses_and_the_weights_of_one(work, functions: ModuleType) -> None:
    work.write_unlabelled()
    # Dropout draws by process, which is the one thing that is not the same.
    work.values["backbones"]["tiny"]["untrained"] |= {"dropout": 0.0}
    plain, jobs = dict(work.values["adaptations"]["all"]), {}
    for name, case in CASES.items():
        work.values["adaptations"]["all"] = plain | {"epochs": 2} | case
        jobs[name] = work.adaptation_job()
    functions.adapt_all(jobs)
    run_in_processes(2, "cpu", functions.adapt_all, jobs)
    for name in CASES:
        one, two = (
            {
                (row["epoch"], row["part"], row["metric"]): row["value"]
                for row in read_table(work.folder / f"{name}.curves.parquet", schema.CURVES).to_pylist()
            }
            for name in (f"{name}.1", f"{name}.2")
        )
        assert two == pytest.approx(one, rel=1e-4, abs=1e-5), name
        for file in ("model", "heads"):
            weights, others = (load_file(work.folder / f"{name}.{n}" / f"{file}.safetensors") for n in (1, 2))
            for key, value in weights.items():
                torch.testing.assert_close(others[key], value, rtol=1e-3, atol=2e-4, msg=f"{name} {key}")
    assert not list(work.folder.glob(".*"))


def test_two_processes_predict_what_one_does(work, functions: ModuleType) -> None:
    """Every test clip once, in the same order, with the same logits; and the model that is kept is the same."""
    work.write_labelled()
    work.values["backbones"]["tiny"]["untrained"] |= {"dropout": 0.0}
    work.tune(epochs=2, batch_size=7, class_weights="balanced")
    work.values["keep_models"] = "best"
    job = work.task_job(runs=[Run(), Run(seed=1)])
    functions.finetune_all(job)
    run_in_processes(2, "cpu", functions.finetune_all, job)
    one, two = (read_table(work.folder / str(n) / "predictions.parquet", schema.PREDICTIONS) for n in (1, 2))
    assert two.num_rows == one.num_rows == 34
    assert two.drop(["logits"]).equals(one.drop(["logits"]))
    numpy.testing.assert_allclose(two["logits"].to_pylist(), one["logits"].to_pylist(), rtol=0, atol=1e-3)
    kept = [sorted(path.name for path in (work.folder / str(n) / "models").glob("*/")) for n in (1, 2)]
    assert kept[0] == kept[1] and len(kept[0]) == 1


@pytest.mark.parametrize(
    ("function", "sentence"),
    [("fail", "^process 1 has no clips$"), ("die", "training process 1 of 2 ended with exit status -9")],
)
def test_one_process_that_fails_ends_all(
    functions: ModuleType, function: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emoadapt.machine.processes.SECONDS_TO_END", 0.1)
    with pytest.raises(TrainingError, match=sentence):
        run_in_processes(2, "cpu", getattr(functions, function), 1)


def test_an_error_larger_than_a_pipe_ends_all() -> None:
    """It was read only after all had ended, which those that were writing it never did."""
    code = "from in_processes import fail_at_length; from emoadapt.machine.processes import run_in_processes; "
    code += "run_in_processes(2, 'cpu', fail_at_length, 300_000)"
    command, folder = [sys.executable, "-c", code], Path(__file__).parent
    # A session of its own, so that one that hangs is ended together with its processes.
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            _, said = process.communicate(timeout=600)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert f"TrainingError: process 0 has wrong clips: {'x' * 300_000}\n" in said


def test_one_process_is_this_one() -> None:
    seen: list[int] = []
    run_in_processes(1, "cpu", seen.append, 5)
    assert seen == [5]


@pytest.mark.parametrize(
    ("device", "here", "expected"), [("auto", 0, 1), ("auto", 2, 2), ("cuda", 8, 4), ("cpu", 8, 1)]
)
def test_a_process_per_gpu_that_the_job_has(
    work, device: str, here: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.values |= {"device": device, "gpus_per_job": 4}
    monkeypatch.setattr(torch.cuda, "device_count", lambda: here)
    assert count_processes(count_gpus(work.study)) == expected


def test_who_needs_no_gpu_or_only_one_asks_for_no_more(work) -> None:
    """A concordance coefficient is of a whole batch: shared out among processes it is another loss."""
    work.values |= {"device": "auto", "gpus_per_job": 4}
    work.add_probe()
    settings = {str(found.model): found for found in work.study.list_settings()}
    assert {name: count_gpus(work.study, found) for name, found in settings.items()} == {
        "tiny.original": 4, "tiny.all": 4, "egemaps.original.mlp": 0, "tiny.original.probe": 0, "tiny.all.probe": 0,
    }  # fmt: skip
    work.values["tasks"]["emotion"] |= {"classes": [], "attributes": ["arousal"]}
    assert count_gpus(work.study) == 4, "Stage 1"
    assert count_gpus(work.study, Setting("emotion", Model("tiny"), "full")) == 1
    assert count_gpus(work.study, Setting("emotion", Model("egemaps", finetuning="mlp"), "full")) == 0
