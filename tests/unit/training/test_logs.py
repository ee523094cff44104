"""Logs of a run as it goes."""

import csv
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from emoadapt.config import Optimisation
from emoadapt.data.batching import Batch
from emoadapt.errors import TrainingError
from emoadapt.training.checkpoints import Checkpoint
from emoadapt.training.curve import Curve
from emoadapt.training.learner import Learner
from emoadapt.training.logs import LOGS, STEPS, open_logs
from emoadapt.training.totals import Term
from emoadapt.training.trainer import Trainer

SETTINGS = Optimisation(epochs=2, learning_rate=0.1, batch_size=1)


class SlopeLearner(Learner):
    """Loss = weight, so that Adam moves it down by its rate; raises before a step if told to."""

    def __init__(self, stop: int = 0) -> None:
        model = torch.nn.Module()
        model.weight = torch.nn.Parameter(torch.tensor(5.0))
        super().__init__(model, SETTINGS, Curve("stage1", "slope"), "held_out", 0, {"slope": 1.0})
        self.stop = stop

    def measure(self, batch: Batch, *, keep: bool) -> dict[str, Term]:
        if not keep and self.stop and self.position.step == self.stop:
            raise RuntimeError("killed")
        return {"slope": Term(self.model.weight * 1.0, torch.tensor(len(batch.utterance_ids)))}

    def rate(self, losses):
        return {}, (-losses["loss"],)


def run(folder: Path, kinds: tuple[str, ...], stop: int = 0) -> None:
    batches = [Batch([f"c/{i}"], {}, {}, {}) for i in range(STEPS + 5)]
    loaders = [DataLoader(part, batch_size=None, collate_fn=lambda batch: batch) for part in (batches, batches[:1])]
    trainer = Trainer("cpu", SETTINGS, Checkpoint(folder / "state.ckpt"), open_logs(kinds))
    trainer.train(SlopeLearner(stop), *loaders)


def read_rows() -> list[tuple[str, ...]]:
    with (LOGS / "slope" / "metrics.csv").open(newline="") as file:
        return [tuple(row.values()) for row in csv.DictReader(file)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_table_holds_epochs_and_steps(folder: Path) -> None:
    run(folder, ("csv",))
    rows = [
        (step, epoch, part, metric, pytest.approx(float(value), abs=1e-4))
        for step, epoch, part, metric, value in read_rows()
    ]
    # The weight falls by 0.1 a step; the loss of a step is that before it.
    assert rows == [
        ("0", "0", "held_out", "loss", 5.0),
        ("10", "1", "step", "slope", 4.1), ("10", "1", "step", "learning_rate", 0.1),
        ("15", "1", "train", "loss", 4.3), ("15", "1", "held_out", "loss", 3.5),
        ("20", "2", "step", "slope", 3.1), ("20", "2", "step", "learning_rate", 0.1),
        ("30", "2", "step", "slope", 2.1), ("30", "2", "step", "learning_rate", 0.1),
        ("30", "2", "train", "loss", 2.8), ("30", "2", "held_out", "loss", 2.0),
    ]  # fmt: skip


def test_resumed_run_continues_its_logs_and_a_new_run_starts_new_ones(folder: Path) -> None:
    run(folder, ("csv",))
    whole = read_rows()
    with pytest.raises(RuntimeError, match="killed"):
        run(folder, ("csv",), stop=22)
    assert read_rows()[-1][0] == "20"
    with (LOGS / "slope" / "metrics.csv").open("a") as file:
        file.write("2")
    run(folder, ("csv",))
    assert read_rows() == whole


def test_tensorboard_gets_the_same_values(folder: Path) -> None:
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    run(folder, ("csv", "tensorboard"))
    (file,) = (LOGS / "slope").glob("events.out.tfevents.*")
    content, found = file.read_bytes(), []
    # TFRecord: length (8 bytes), its checksum (4), the record, its checksum (4)
    while content:
        length = int.from_bytes(content[:8], "little")
        event = Event.FromString(content[12 : 12 + length])
        found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
        content = content[16 + length :]
    rows = [
        (int(step), f"{part}/{metric}", pytest.approx(float(value))) for step, _, part, metric, value in read_rows()
    ]
    assert found == rows
    assert len(found) == 11


def test_missing_library_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(
        TrainingError, match=r"the library tensorboardX is missing; install it with: pip install 'emoadapt\[training\]'"
    ):
        open_logs(("tensorboard",))


def test_nothing_is_written_unless_asked_for(folder: Path) -> None:
    run(folder, ())
    assert not LOGS.exists()
