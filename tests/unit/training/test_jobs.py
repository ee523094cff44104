"""The object that a training is handed."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from emoadapt.study.nodes import Run
from emoadapt.training.jobs import group_shards, run_job


def test_shards_are_grouped_by_feature_and_corpus() -> None:
    """Kept outputs of several backbones may be read together."""
    paths = [
        Path("results/features") / name
        for name in (
            "audio/a/000.parquet",
            "audio/b/000.parquet",
            "audio/a/001.parquet",
            "layers.tiny.all/a/000.parquet",
        )
    ]
    found = group_shards(paths)
    assert found == {"audio": {"a": [paths[0], paths[2]], "b": [paths[1]]}, "layers.tiny.all": {"a": [paths[3]]}}
    assert group_shards([]) == {}


def test_a_job_knows_its_sections_and_files(work) -> None:
    job = work.task_job("egemaps.original.mlp", [Run()], "out")
    assert (job.config.reads, job.settings.learning_rate, job.task.corpus) == ("egemaps", 1e-2, "acted")
    assert job.files == [work.folder / "egemaps.parquet"]
    assert job.models == work.folder / "out" / "models"
    adaptation = work.adaptation_job(cached=True)
    assert (adaptation.name, adaptation.settings.epochs) == ("tiny.all", 6)
    assert len(adaptation.files) == 4


@pytest.mark.parametrize(("model", "method"), [("egemaps.original.mlp", "finetune"), ("tiny.original.probe", "probe")])
def test_a_job_is_done_by_the_method_of_its_fine_tuning(
    work, model: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.add_probe()
    done, module = [], ModuleType("method")
    module.train = done.append  # type: ignore[attr-defined]
    monkeypatch.setattr(
        "emoadapt.training.jobs.load_plugin", lambda kind, name: {("methods", method): module}[kind, name]
    )
    job = work.task_job(model)
    run_job(job, 0)
    assert done == [job]


def test_a_job_is_handed_to_each_of_its_processes(work, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[object] = []
    processes = ModuleType("processes")
    processes.count_processes = lambda gpus: gpus  # type: ignore[attr-defined]
    processes.run_in_processes = lambda *args: taken.append(args)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "emoadapt.machine.processes", processes)
    monkeypatch.setattr("emoadapt.training.jobs.take_devices", taken.append)
    job = work.adaptation_job()
    run_job(job, 2)
    gpus, (count, device, train, handed) = taken
    assert (gpus, count, device) == (2, 2, "cpu")
    assert (train.__module__, handed) == ("emoadapt.methods.adapt", job)
