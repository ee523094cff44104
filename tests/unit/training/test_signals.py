"""How signals of clips are cropped and put together."""

from itertools import chain
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
import torch

from emoadapt import schema
from emoadapt.backbones.base import load_backbone
from emoadapt.config import Optimisation
from emoadapt.data.clips import Source
from emoadapt.data.streams import AUDIO, Stream
from emoadapt.errors import TrainingError
from emoadapt.methods.finetune import Config as Finetune
from emoadapt.storage.tables import read_table
from emoadapt.training.signals import StreamSignals, VectorSignals, load_signals, measure_frames, note_cropped

LENGTHS = {f"c/{n}": 1600 * n for n in range(1, 9)}


class Sounds:
    """A store of clips of 0.1 s, 0.2 s and so on."""

    def read(self, name: str, stream: Stream) -> np.ndarray:
        assert stream == AUDIO
        return np.full(LENGTHS[name], 7, np.int16)

    def __contains__(self, name: str) -> bool:
        return name in LENGTHS


def load(shortest: int = 0, **settings: float) -> list[list[int]]:
    """Lengths of the clips that a loader gives, batch by batch."""
    backbone = SimpleNamespace(shortest=shortest)
    optimisation = Optimisation(epochs=1, **settings)  # type: ignore[arg-type]
    batches = load_signals(
        {"audio": Source(Sounds(), AUDIO)}, lambda name: {"label": torch.tensor(0)}, LENGTHS, optimisation, backbone, None
    )  # fmt: skip
    return [[len(clip) for clip in batch.streams["audio"]] for batch in batches]


@pytest.mark.parametrize(("shortest", "sizes"), [(0, [4, 2, 2]), (8000, [3, 2, 2, 1])])
def test_seconds_of_a_batch_count_padded_clips(shortest: int, sizes: list[int]) -> None:
    """Clips of 0.1 s that are lengthened to 0.5 s take the room of 0.5 s."""
    assert [len(batch) for batch in load(shortest, batch_seconds=1.6)] == sizes


def test_longer_clips_are_cropped_and_shorter_ones_left_alone() -> None:
    assert list(chain(*load(max_seconds=0.3, batch_size=3))) == [1600, 3200, *[4800] * 6]


def test_cropped_clips_are_counted_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    settings = Optimisation(epochs=1, max_seconds=0.3, crop="centre")
    assert note_cropped("tiny.all", LENGTHS.values(), settings) == 5
    assert caplog.messages == [
        "tiny.all: 5 of 8 clips are longer than max_seconds (0.3 s) and are cropped, in evaluations too (crop: centre)"
    ]
    assert note_cropped("tiny.all", LENGTHS.values(), Optimisation(epochs=1)) == 0
    assert note_cropped("tiny.all", LENGTHS.values(), Optimisation(epochs=1, max_seconds=9)) == 0
    assert len(caplog.messages) == 1


AUGMENTED = {"epochs": 1, "batch_size": 3, "max_seconds": 0.3, "augment": [{"chain": "ahn2024", "probability": 0.9}]}


class Noises(Sounds):
    """A store of clips of noise, each its own."""

    def read(self, name: str, stream: Stream) -> np.ndarray:
        random = np.random.default_rng(len(super().read(name, stream)))
        return (3000 * random.standard_normal(LENGTHS[name])).astype(np.int16)


def read_audio(seed: int | None, epoch: int = 0, **settings: object) -> dict[str, torch.Tensor]:
    """Utterance -> its audio, as a loader gives it."""
    config = Finetune.model_validate({**AUGMENTED, **settings})
    backbone, annotate = SimpleNamespace(shortest=0), lambda name: {"label": torch.tensor(0)}
    loader = load_signals({"audio": Source(Noises(), AUDIO)}, annotate, LENGTHS, config, backbone, seed)
    loader.batch_sampler.set_epoch(epoch)
    found = [pair for batch in loader for pair in zip(batch.utterance_ids, batch.streams["audio"], strict=True)]
    return dict(found)


def is_alike(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> list[str]:
    assert first.keys() == second.keys() == LENGTHS.keys()
    return [name for name, audio in first.items() if torch.equal(audio, second[name])]


def test_clips_are_augmented_in_training_and_never_in_evaluation() -> None:
    plain = read_audio(None, augment=[])
    assert len(is_alike(read_audio(None), plain)) == 8
    assert len(is_alike(read_audio(5), plain)) < 8
    assert all(audio.dtype == torch.float32 and len(audio) == len(plain[n]) for n, audio in read_audio(5).items())


def test_an_augmented_clip_follows_from_seed_epoch_and_utterance_whatever_the_batch() -> None:
    expected = read_audio(5, epoch=2)
    assert len(is_alike(read_audio(5, epoch=2, batch_size=8), expected)) == 8
    assert len(is_alike(read_audio(5, epoch=2, batch_seconds=0.7), expected)) == 8
    for other in (read_audio(5, epoch=3), read_audio(6, epoch=2)):
        assert len(is_alike(other, expected)) < 5


def test_augmentation_and_crop_are_drawn_independently() -> None:
    """The augmented clip is the random crop of a training without augmentation, changed."""
    keys = {
        "crop": "random",
        "augment": [{"chain": "audiomentations", "transforms": [{"transform": "Gain", "probability": 1}]}],
    }
    found, plain = read_audio(5, **keys), read_audio(5, crop="random", augment=[])
    for name, audio in found.items():
        ratio = audio[0] / plain[name][0]
        torch.testing.assert_close(audio, ratio * plain[name], rtol=1e-4, atol=1e-6)
    assert is_alike(found, plain) == []


def make_signals(work, job) -> StreamSignals:
    backbone = load_backbone(job.config, work.folder)
    backbone.freeze_kept(job.kept)
    return StreamSignals(job, backbone, work.folder / "scratch")


@pytest.mark.parametrize(("cnn", "stream"), [("frozen", "frontend"), ("both", "audio")])
def test_the_kept_front_end_is_read_where_it_is_frozen(work, cnn: str, stream: str) -> None:
    """Lengths are those of the audio in both cases, so that the batches are the same."""
    work.write_labelled()
    work.write_frontend(work.folder / "audio.parquet", None, work.folder / "frontend.parquet")
    work.values["backbones"]["tiny"]["cnn"] = cnn
    signals = make_signals(work, work.task_job(reads=("audio", "frontend")))
    assert [*signals.sources] == [stream]
    rows = {row["utterance_id"]: row["n_samples"] for row in read_table(work.folder / "audio.parquet").to_pylist()}
    assert signals.usable == {name: n for name, n in rows.items() if n is not None}
    names = sorted(signals.usable)[:3]
    (batch,) = signals.load(names, lambda _: {}, work.task_job().settings)
    assert sorted(batch.utterance_ids) == names and set(batch.streams) == {stream}


def test_vectors_are_normalised_for_the_run_that_is_prepared(work) -> None:
    work.write_labelled()
    job = work.task_job("egemaps.original.mlp")
    signals, rows = VectorSignals(job, "egemaps"), pl.from_arrow(read_table(job.splits)).filter(fold=0)
    train = rows.filter(split="train")["utterance_id"].to_list()
    signals.prepare(rows, train)
    assert signals.width == 25
    batches = list(signals.load(train, lambda _: {}, job.settings))
    values = torch.cat([batch.streams["vector"] for batch in batches])
    torch.testing.assert_close(values.mean(dim=0), torch.zeros(25), atol=1e-5, rtol=0)
    torch.testing.assert_close(values.std(dim=0, correction=0), torch.ones(25), atol=1e-5, rtol=0)


def test_the_width_of_no_vectors_is_refused(work) -> None:
    work.write_labelled()
    work.edit("egemaps", lambda row: row | {"status": "failed", "egemaps": None}, schema.feature_table("egemaps"))
    with pytest.raises(
        TrainingError, match=r"^no clip has a vector of egemaps; see `emoadapt quarantine` for the reasons$"
    ):
        _ = VectorSignals(work.task_job("egemaps.original.mlp"), "egemaps").width


def test_statistics_of_frames_weigh_every_frame_alike() -> None:
    class Frames:
        values: ClassVar = {
            "c/a": np.array([[0.0, 5.0], [2.0, 5.0], [4.0, 5.0]], "f4"),
            "c/b": np.array([[6.0, 5.0]], "f4"),
        }

        def read(self, name: str, stream: Stream) -> np.ndarray:
            return self.values[name]

    source = Source(Frames(), Stream("x", "x", "frames"))
    mean, std = measure_frames(source, ["c/a", "c/b"])
    assert mean.tolist() == [3.0, 5.0]
    assert std.tolist() == [pytest.approx(5**0.5), 1.0], "a dimension that does not vary is left as it is"
