"""Jobs on tasks that were killed go on, and end with the same bytes."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from emoadapt import schema
from emoadapt.errors import TrainingError
from emoadapt.flow import provenance
from emoadapt.flow.code import read_covered
from emoadapt.storage.tables import read_table, write_table
from emoadapt.study import graph
from emoadapt.study.nodes import Run
from emoadapt.training import adaptation, finetuning, probing, states
from emoadapt.training.checkpoints import Checkpoint
from emoadapt.training.interruption import Interrupted
from emoadapt.training.jobs import AdaptationJob, TaskJob, run_job
from emoadapt.training.runs import RunTables
from emoadapt.training.states import load_object, save_object
from emoadapt.training.trainer import Trainer
from emoadapt.training.unfinished import UnfinishedJob, place_job
from emoadapt.training.watchers import Watcher

RUNS = [Run(), Run(seed=1), Run(fold=1)]
FINETUNED, PROBED, TAUGHT = "tiny.original", "tiny.original.probe", "tiny.original.student"
ADAPTED = "tiny.original.adaptive"


def do_job(work, name: str, model: str = FINETUNED) -> dict[str, str]:
    """Digest of each file of the output; the folder shows in none of them."""
    job = work.task_job(model, RUNS, name)
    run_job(job, 0)
    out = job.output
    files = [path for path in sorted(out.rglob("*")) if path.is_file()]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def labelled(work):
    work.write_labelled()
    # Epochs of four batches; something of all that a checkpoint has to hold.
    work.tune(epochs=3, batch_size=3, schedule="linear", warmup=0.2)
    work.values["keep_models"] = "all"
    return work


def prepare(work, model: str) -> None:
    """Layers to probe if the model is a probe, a teacher if it is a student, which teaches others itself."""
    if model == FINETUNED:
        return
    if model == ADAPTED:
        work.add_target(batch_size=4, epoch_steps=2, epochs=4, schedule="plateau", plateau_epochs=1, accumulate=2)
        return
    if model == TAUGHT:
        work.teach("egemaps.original.teacher", RUNS)
        default = work.values["finetunings"]["default"]
        work.tune("student", **default, method="student", teacher="egemaps.original.teacher", keep="embeddings")
        return
    random = np.random.default_rng(0)
    names = read_table(work.folder / "splits.parquet", columns=["utterance_id"]).column(0).unique().to_pylist()
    work.write_layers({name: random.normal(size=(2, 6)) for name in names})
    work.add_probe(epochs=3, batch_size=3, schedule="linear", warmup=0.2)


class Killer(Watcher):
    """Does what it is told in the n-th batch of training, or of tests, of the job."""

    def __init__(self, batch: int, kill, part: str = "train") -> None:
        self.left, self.kill, self.part = batch, kill, part

    def begin_batch(self) -> None:
        self._count("train")

    def begin_test_batch(self) -> None:
        self._count("test")

    def _count(self, part: str) -> None:
        self.left -= part == self.part
        if self.left == 0 and part == self.part:
            self.kill()


def arrange_end(batch: int, kill=None, part: str = "train") -> Killer:
    """Arrange that a job ends in its n-th batch (0 = never); `left` counts down from there."""
    killer = Killer(batch, kill, part)

    def build(*args, **kwargs):
        trainer = Trainer(*args, **kwargs)
        trainer.watchers.append(killer)
        return trainer

    finetuning.Trainer = probing.Trainer = build
    return killer


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `arrange_end` changes is changed back."""
    for module in (finetuning, probing):
        monkeypatch.setattr(module, "Trainer", Trainer)


def list_states(work, name: str) -> list[str]:
    folders = [path for path in (work.folder / name).iterdir() if path.name.startswith(".models.")]
    assert len(folders) <= 1
    return sorted(path.name for folder in folders for path in folder.iterdir())


def interrupt() -> None:
    raise TrainingError("the cluster ended it")


def find_middle(batches: int) -> int:
    """A batch in the middle of an epoch of the second run of a job, given the number of all batches of its three runs."""
    return batches // 3 + batches // 9 + 2


@pytest.mark.parametrize("model", [FINETUNED, PROBED, TAUGHT, ADAPTED])
def test_killed_job_resumes_and_writes_the_same_bytes(labelled, model: str) -> None:
    prepare(labelled, model)
    counter = arrange_end(0)
    whole = do_job(labelled, "whole", model)
    batches = -counter.left
    assert model == PROBED or sum("models/" in name for name in whole) >= 4
    done = find_middle(batches) - 1
    # States are written after steps, of which some have two batches.
    kept = done // 2 * 2 if model == ADAPTED else done
    # A process of its own, killed so that nothing is tidied up behind it.
    command = [sys.executable, __file__, str(labelled.folder), str(done + 1), model]
    child = subprocess.run(command, input=json.dumps(labelled.values), text=True, capture_output=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert {"p0f0r0s0", "p0f0r0s1.ckpt"} <= set(list_states(labelled, "killed"))
    assert not (labelled.folder / "killed" / "predictions.parquet").exists()
    counter = arrange_end(0)
    assert do_job(labelled, "killed", model) == whole
    assert -counter.left == batches - kept
    assert list_states(labelled, "killed") == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize(
    ("batch", "said", "kept"),
    [
        (1, r"p0f0r0s0: ended by SIG\w+ before training; started again, it begins this run anew", []),
        (6 + 2, r"p0f0r0s0: SIG\w+ ended the job after this run; run the same command again to continue with the next run", ["p0f0r0s0"]),
        (2 * 6 + 6 + 1, r"p0f1r0s0: ended by SIG\w+ before training; started again, it begins", ["p0f0r0s0", "p0f0r0s1"]),
    ],
    ids=["starting point", "test", "starting point of another fold"],
)  # fmt: skip
def test_job_ended_during_a_test_keeps_finished_runs(
    labelled, batch: int, said: str, kept: list[str], number: signal.Signals
) -> None:
    """SIGTERM in a test ended the process with status 0 and without a word."""
    labelled.values["keep_models"] = "adapted"
    whole = do_job(labelled, "whole")
    arrange_end(batch, lambda: os.kill(os.getpid(), number), "test")
    with pytest.raises(Interrupted, match=f"^emotion.tiny.original.full.{said}"):
        do_job(labelled, "job")
    assert list_states(labelled, "job") == kept
    arrange_end(0)
    assert do_job(labelled, "job") == whole


def test_job_that_is_asked_to_end_in_its_last_test_is_done(labelled) -> None:
    whole = do_job(labelled, "whole")
    counter = arrange_end(0, part="test")
    assert do_job(labelled, "counted") == whole
    arrange_end(-counter.left, lambda: os.kill(os.getpid(), signal.SIGTERM), "test")
    assert do_job(labelled, "job") == whole


def test_best_model_of_an_interrupted_job_is_that_of_the_whole(labelled) -> None:
    labelled.values["keep_models"] = "best"
    counter = arrange_end(0)
    whole = do_job(labelled, "whole")
    assert len({Path(name).parts[1] for name in whole if name.startswith("models/") and name.count("/") > 1}) == 1
    # In the third run, whichever of the three has the median score.
    arrange_end(-counter.left * 5 // 6, interrupt)
    with pytest.raises(TrainingError, match="the cluster ended it"):
        do_job(labelled, "job")
    assert list_states(labelled, "job") == ["models", "p0f0r0s0", "p0f0r0s1"]
    assert do_job(labelled, "job") == whole


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_table_of_a_run_begins_this_run_anew(labelled, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    counter = arrange_end(0)
    whole = do_job(labelled, "whole")
    batches = -counter.left
    arrange_end(batches * 5 // 6, interrupt)
    with pytest.raises(TrainingError, match="the cluster ended it"):
        do_job(labelled, "job")
    (table,) = (labelled.folder / "job").glob(".models.*/p0f0r0s1/predictions.parquet")
    if damage == "gone":
        table.unlink()
    else:
        table.write_bytes(table.read_bytes()[:-100])
    counter = arrange_end(0)
    assert do_job(labelled, "job") == whole
    assert -counter.left == batches * 2 // 3, "the second run and the third"
    assert f"what is kept of a run in {table.parent} is damaged: this run begins anew" in caplog.text


@pytest.mark.parametrize("policy", ["best", "all"])
def test_models_outlive_a_job_that_ends_after_they_have_their_place(
    labelled, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snakemake deletes the output of a job that failed: models were moved there, and gone."""
    labelled.values["keep_models"] = policy
    whole = do_job(labelled, "whole")
    with monkeypatch.context() as patch:
        patch.setattr(RunTables, "write", lambda *_: interrupt())
        patch.setattr("emoadapt.training.unfinished.SECONDS_BETWEEN_SAVES", 0.0)
        with pytest.raises(TrainingError, match="the cluster ended it"):
            do_job(labelled, "job")
    assert list((labelled.folder / "job" / "models").iterdir())
    shutil.rmtree(labelled.folder / "job" / "models")
    counter = arrange_end(0)
    assert do_job(labelled, "job") == whole
    assert counter.left == 0, "all runs were done"


def test_interrupted_save_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = pa.schema({"n": pa.int32()})
    tables = SimpleNamespace(
        parts=lambda: [("numbers", columns, {run: pa.table([[run.seed]], columns) for run in RUNS})]
    )
    job, left = UnfinishedJob(tmp_path, tables), [1]  # type: ignore[arg-type]
    job._waiting = list(RUNS[:2])

    def write(*args) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        write_table(*args)

    monkeypatch.setattr("emoadapt.training.unfinished.write_table", write)
    with pytest.raises(KeyboardInterrupt):
        job.save()
    monkeypatch.undo()
    job.save()
    for name, number in (("p0f0r0s0", 0), ("p0f0r0s1", 1)):
        assert read_table(tmp_path / name / "numbers.parquet").to_pylist() == [{"n": number}]


def test_any_damage_of_a_saved_object_is_found_out(tmp_path: Path) -> None:
    """Some places of the file made its readers raise other errors than they tell damage by."""
    path = tmp_path / "object.pt"
    save_object({"run": [0, 1, 2], "state": {"weight": torch.arange(5.0)}}, path)
    whole = path.read_bytes()
    assert load_object(path)["run"] == [0, 1, 2]
    damaged = 0
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        found = load_object(path)
        damaged += found is None
        assert found is None or (found["run"] == [0, 1, 2] and found["state"]["weight"].tolist() == [0, 1, 2, 3, 4])
    assert damaged > len(whole) / 3, "the rest are time stamps and padding"


def test_too_little_memory_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who finds a state damaged deletes it."""
    save_object({"run": [0, 1, 2]}, tmp_path / "object.pt")

    def fail(*_, **__) -> None:
        raise MemoryError

    monkeypatch.setattr("torch.load", fail)
    with pytest.raises(MemoryError):
        load_object(tmp_path / "object.pt")


@pytest.mark.parametrize("library", ["torch", "transformers", "numpy", "polars"])
def test_another_version_of_a_library_begins_the_job_anew(
    labelled, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, here = place_job(labelled.task_job(runs=RUNS)), provenance.installed_version
    monkeypatch.setattr(provenance, "installed_version", lambda name: "99" if name == library else here(name))
    assert place_job(labelled.task_job(runs=RUNS)) != before


def list_code(job: TaskJob | AdaptationJob, place: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Modules whose edit gives the state of a job another name."""
    named: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(states, "code_digest", lambda *modules: named.extend(modules))
        place(job)
    return set(read_covered(*named))


def list_decisive(code: dict[str, Any]) -> set[str]:
    """What the digest of a job covers, but for its command."""
    command, *modules = code["code"]
    assert command.startswith("emoadapt.cli.")
    return set(read_covered(*modules))


@pytest.mark.parametrize("pooling", ["mean", "attentive_statistics"])
@pytest.mark.parametrize("architecture", ["wav2vec2", "av_hubert", "vector"])
def test_a_state_ends_with_each_edit_that_makes_its_job_stale(
    work, architecture: str, pooling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Symptom: a job that was killed continued from weights trained with another pooling or by another family's code."""
    work.write_labelled()
    work.write_unlabelled()
    work.add_probe()
    config = {"architecture": architecture, "pooling": pooling, "untrained": {}}
    if architecture == "vector":
        config = {"architecture": "vector", "reads": "egemaps"}
    work.values["backbones"]["tiny"] = config
    write_table(work.folder / "layers.parquet", [], schema.LAYERS)
    monkeypatch.setattr(graph, "study_code", lambda study, *modules: modules)
    asked = graph.Graph(work.study)
    for model in (FINETUNED, PROBED):
        job = work.task_job(model, RUNS)
        assert list_decisive(asked.training_code(job.setting)) <= list_code(job, place_job, monkeypatch)
    if architecture != "vector":
        job = work.adaptation_job()
        wanted = asked.stage1_code(job.backbone, job.start)
        assert list_decisive(wanted) <= list_code(job, adaptation._place_checkpoint, monkeypatch)


@pytest.mark.parametrize(("policy", "goes_on"), [("adapted", True), ("best", False), ("all", False)])
def test_models_are_kept_of_the_runs_that_are_still_wanted(labelled, policy: str, goes_on: bool) -> None:
    """The study lost a seed while its job was down: the best model so far, or one of those kept, may be of that seed."""
    labelled.values["keep_models"] = policy
    jobs = (labelled.task_job(runs=runs) for runs in (RUNS, RUNS[2:]))
    before, after = (place_job(job, finetuning._list_settings(job)) for job in jobs)
    assert (before == after) is goes_on


def test_a_short_job_writes_nothing_beside_its_output(labelled, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []
    monkeypatch.setattr(finetuning.UnfinishedJob, "save", lambda job: written.append(job.folder))
    monkeypatch.setattr(Checkpoint, "_write", lambda checkpoint, *_: written.append(checkpoint.path))
    do_job(labelled, "job")
    assert written == []


@pytest.mark.parametrize("stop", [1, 5, 8])
def test_a_probe_of_the_best_layer_resumes_in_its_layer(labelled, stop: int) -> None:
    """Each layer has a state of its own."""
    prepare(labelled, PROBED)
    labelled.tune("probe", layer="best")
    counter = arrange_end(0)
    whole = do_job(labelled, "whole", PROBED)
    arrange_end(-counter.left * stop // 9 + 1, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted):
        do_job(labelled, "job", PROBED)
    again = arrange_end(0)
    assert do_job(labelled, "job", PROBED) == whole
    assert 0 < -again.left < -counter.left
    assert list_states(labelled, "job") == []


@pytest.mark.parametrize("minutes", [None, 1e-9])
def test_state_is_written_as_often_as_the_study_says(
    labelled, minutes: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was written every minute whatever `checkpoint_minutes` was; null: only when the job is told to end."""
    labelled.values["checkpoint_minutes"] = minutes
    counter = arrange_end(0)
    whole = do_job(labelled, "whole")
    written: list[str] = []
    save, write = finetuning.UnfinishedJob.save, Checkpoint._write
    monkeypatch.setattr(finetuning.UnfinishedJob, "save", lambda job: (written.append("runs"), save(job)))
    monkeypatch.setattr(Checkpoint, "_write", lambda state, *run: (written.append("state"), write(state, *run)))
    arrange_end(find_middle(-counter.left), lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted):
        do_job(labelled, "job")
    if minutes is None:
        assert written == ["state", "runs"]
    else:
        assert len(written) > 10
    assert list_states(labelled, "job") == ["models", "p0f0r0s0", "p0f0r0s1.ckpt"]
    arrange_end(0)
    assert do_job(labelled, "job") == whole


def test_other_settings_begin_anew(labelled) -> None:
    arrange_end(20, interrupt)
    with pytest.raises(TrainingError):
        do_job(labelled, "job")
    (before,) = (path for path in (labelled.folder / "job").iterdir() if path.name.startswith(".models."))
    labelled.tune(learning_rate=1e-3)
    counter = arrange_end(0)
    do_job(labelled, "job")
    assert -counter.left == 3 * 3 * 4
    assert not before.exists()


if __name__ == "__main__":
    from conftest import Work

    arrange_end(int(sys.argv[2]), lambda: os.kill(os.getpid(), signal.SIGKILL))
    work = Work(Path(sys.argv[1]))
    work.values = json.loads(sys.stdin.read()) | {"checkpoint_minutes": 1e-9}
    do_job(work, "killed", sys.argv[3])
