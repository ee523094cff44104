"""The memory-mapped clip store."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from emoadapt import schema
from emoadapt.data import clips
from emoadapt.data.batching import Batch, collate_clips
from emoadapt.data.clips import ClipStore, SignalDataset, Source, VectorDataset, to_tensor
from emoadapt.data.streams import AUDIO, FRONTEND, LAYERS, Stream, list_columns
from emoadapt.errors import DataError
from emoadapt.storage.tables import ROWS_PER_GROUP, write_table

AUDIO_COLUMNS = list_columns(AUDIO)


def write_audio(path: Path, names: list[str], length: int = 100, **other) -> dict[str, np.ndarray]:
    random = np.random.default_rng(len(names) + length)
    audio = {name: random.integers(-3000, 3000, length).astype("<i2") for name in names}
    rows = [
        {"utterance_id": name, "key": "k", "status": "ok", "audio": samples.tobytes(), "n_samples": length} | other
        for name, samples in audio.items()
    ]
    write_table(path, rows, schema.feature_table("audio"))
    return audio


def test_every_clip_comes_back_in_any_order(tmp_path: Path) -> None:
    audio = write_audio(tmp_path / "0.parquet", ["c/b", "c/a"]) | write_audio(tmp_path / "1.parquet", ["d/a"], 70)
    store = ClipStore.build([tmp_path / "0.parquet", tmp_path / "1.parquet"], AUDIO_COLUMNS, tmp_path / "scratch")
    assert store.utterances == ["c/a", "c/b", "d/a"]
    for name in ("d/a", "c/a", "c/b"):
        assert np.array_equal(store.read(name, AUDIO), audio[name])
        assert store.value(name, "n_samples") == len(audio[name])
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_shard_is_never_in_memory_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = write_audio(tmp_path / "0.parquet", [f"c/{number:02d}" for number in range(70)])
    seen: list[int] = []
    select = clips._select
    monkeypatch.setattr(clips, "_select", lambda rows, *rest: seen.append(rows.num_rows) or select(rows, *rest))
    store = ClipStore.build([tmp_path / "0.parquet"], AUDIO_COLUMNS, tmp_path / "scratch")
    assert sum(seen) == 70 and max(seen) == ROWS_PER_GROUP
    assert all(np.array_equal(store.read(name, AUDIO), samples) for name, samples in audio.items())


def test_failed_and_unwanted_rows_are_left_out(tmp_path: Path) -> None:
    write_audio(tmp_path / "0.parquet", ["c/a", "c/b"])
    write_audio(tmp_path / "1.parquet", ["c/x"], status="failed", reason="too_short: 3 ms")
    shards = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    assert ClipStore.build(shards, AUDIO_COLUMNS, tmp_path).utterances == ["c/a", "c/b"]
    store = ClipStore.build(shards, AUDIO_COLUMNS, tmp_path, keep={"c/b", "c/x"})
    assert "c/b" in store
    assert len(store) == 1


def test_column_that_a_shard_lacks_is_null(tmp_path: Path) -> None:
    both, one = schema.training(("egemaps", "face")), schema.training(("egemaps",))
    row = {"utterance_id": "a/1", "audio": b"\0\0", "n_samples": 1, "target_egemaps": [1.0, 2.0], "mask_egemaps": True}
    write_table(tmp_path / "0.parquet", [row], one)
    full = row | {"utterance_id": "b/1", "target_face": [3.0], "mask_face": True}
    write_table(tmp_path / "1.parquet", [full], both)
    store = ClipStore.build([tmp_path / "0.parquet", tmp_path / "1.parquet"], both, tmp_path)
    assert store.column("mask_face") == {"a/1": None, "b/1": True}
    assert store.vector("a/1", "target_egemaps").tolist() == [1.0, 2.0]
    assert store.vector("b/1", "target_face").tolist() == [3.0]


def test_missing_shard_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.parquet is missing"):
        ClipStore.build([tmp_path / "gone.parquet"], AUDIO_COLUMNS, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    """Peak of Arrow's own allocations while packing, and what stays afterwards: 4 shards against 24 of 1 MB."""
    default, peaks = pa.default_memory_pool(), []
    for count in (4, 24):
        shards = [tmp_path / f"{count}.{i}.parquet" for i in range(count)]
        for i, shard in enumerate(shards):
            write_audio(shard, [f"c/{i}.{j}" for j in range(16)], 32_000)
        pool = pa.proxy_memory_pool(default)
        pa.set_memory_pool(pool)
        try:
            store = ClipStore.build(shards, AUDIO_COLUMNS, tmp_path)
            assert store.read("c/3.3", AUDIO).size == 32_000
            # Arrow's threads may not have let go of the last shard yet.
            assert pool.bytes_allocated() < 1_200_000
            peaks.append(pool.max_memory())
        finally:
            pa.set_memory_pool(default)
    assert peaks[0] > 900_000
    assert peaks[1] < 1.5 * peaks[0]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel does not say what is mapped")
def test_clips_that_were_read_do_not_stay_in_memory(tmp_path: Path) -> None:
    """Symptom: after an epoch the pages of all clips counted as the job's memory."""

    def read_mapped() -> int:
        return int(Path("/proc/self/status").read_text().partition("RssFile:")[2].split()[0]) // 1024

    shards, audio = [tmp_path / f"{i}.parquet" for i in range(4)], {}
    for i, shard in enumerate(shards):
        audio |= write_audio(shard, [f"c/{i}.{j}" for j in range(16)], 1_000_000)
    store = ClipStore.build(shards, AUDIO_COLUMNS, tmp_path)
    before, kept = read_mapped(), store.read("c/0.0", AUDIO)
    for name in store.utterances:
        store.read(name, AUDIO).max()
    # Of 128 MB: the last 4 MB, and what the kernel maps around them.
    assert read_mapped() - before < 48
    assert np.array_equal(kept, audio["c/0.0"])


def test_dataset_scales_and_crops_audio(tmp_path: Path) -> None:
    audio = write_audio(tmp_path / "0.parquet", ["c/a"], 1000)["c/a"]
    store = ClipStore.build([tmp_path / "0.parquet"], AUDIO_COLUMNS, tmp_path)
    annotate = {"c/a": {"label": torch.tensor(2)}}.__getitem__

    def make(**settings) -> SignalDataset:
        return SignalDataset({"audio": Source(store, AUDIO)}, annotate, **settings)

    whole = make()["c/a", 0]
    assert np.array_equal(whole.streams["audio"].numpy(), audio / np.float32(32768))
    assert whole.values["label"] == 2
    beginning = make(longest=300 / 16000)
    assert torch.equal(beginning["c/a", 5].streams["audio"], whole.streams["audio"][:300])
    centre = make(longest=300 / 16000, crop="centre", seed=1)
    assert torch.equal(centre["c/a", 5].streams["audio"], whole.streams["audio"][350:650])
    evaluated = make(longest=300 / 16000, crop="random")
    assert torch.equal(evaluated["c/a", 5].streams["audio"], whole.streams["audio"][:300])
    random = make(longest=300 / 16000, crop="random", seed=1)
    first, again, later = (
        random["c/a", 0].streams["audio"],
        random["c/a", 0].streams["audio"],
        random["c/a", 1].streams["audio"],
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    assert any(torch.equal(first, whole.streams["audio"][i : i + 300]) for i in range(701))


def test_frames_come_back_as_they_were_stored(tmp_path: Path) -> None:
    """float16 of a front end, float32 of layers: the bytes of a frame tell which."""
    stored = {FRONTEND: ("<f2", schema.FRONTEND), LAYERS: ("<f4", schema.LAYERS)}
    for stream, (dtype, columns) in stored.items():
        frames = np.arange(12, dtype=dtype).reshape(4, 3)
        row = {"utterance_id": "c/a", "key": "k", "status": "ok", stream.column: frames.tobytes()}
        write_table(tmp_path / "0.parquet", [row | {"n_frames": 4, "dimension": 3}], columns)
        store = ClipStore.build([tmp_path / "0.parquet"], list_columns(stream), tmp_path)
        clip = SignalDataset({"x": Source(store, stream, step=0.02)}, lambda _: {}, longest=0.06)["c/a", 0]
        assert clip.streams["x"].tolist() == frames[:3].tolist()
        assert str(clip.streams["x"].dtype) == {"<f2": "torch.float16", "<f4": "torch.float32"}[dtype]


FRAMES = Stream("compare_frames", "compare_frames", "frames")
TOKENS = Stream("words", "words", "tokens")


def pack(tmp_path: Path, name: str, stream: Stream, rows: list[dict]) -> Source:
    write_table(tmp_path / f"{name}.parquet", rows, list_columns(stream))
    return Source(ClipStore.build([tmp_path / f"{name}.parquet"], list_columns(stream), tmp_path), stream)


@pytest.fixture
def several(tmp_path: Path) -> dict[str, Source]:
    """A second of audio, 100 frames of 10 ms that count up, and two tokens; the clip b has audio alone."""
    write_audio(tmp_path / "audio.parquet", ["c/a", "c/b"], 16_000)
    audio = ClipStore.build([tmp_path / "audio.parquet"], AUDIO_COLUMNS, tmp_path)
    frames = np.repeat(np.arange(100, dtype="<f4")[:, None], 3, axis=1)
    row = {"utterance_id": "c/a", "compare_frames": frames.tobytes(), "n_frames": 100, "dimension": 3, "step": 0.01}
    return {
        "audio": Source(audio, AUDIO),
        "frames": pack(tmp_path, "frames", FRAMES, [row]),
        "words": pack(tmp_path, "words", TOKENS, [{"utterance_id": "c/a", "words": [5, 7]}]),
    }


def test_streams_of_a_clip_are_cropped_together(several: dict[str, Source]) -> None:
    dataset = SignalDataset(several, lambda _: {}, longest=0.3, crop="random", seed=4)
    begins = set()
    for epoch in range(8):
        clip = dataset["c/a", epoch]
        whole = to_tensor(several["audio"].read("c/a"), AUDIO)
        begin = next(i for i in range(11_201) if torch.equal(whole[i : i + 4800], clip.streams["audio"]))
        assert clip.streams["frames"].shape == (30, 3)
        assert float(clip.streams["frames"][0, 0]) == round(begin / 160)
        assert clip.streams["words"].tolist() == [5, 7]
        begins.add(begin)
    assert len(begins) > 4


def test_a_stream_that_a_clip_lacks_is_zeros_and_named(several: dict[str, Source]) -> None:
    clip = SignalDataset(several, lambda _: {})["c/b", 0]
    assert clip.absent == {"frames", "words"}
    assert clip.streams["frames"].tolist() == [[0.0] * 3] and clip.streams["words"].tolist() == [0]
    dataset = SignalDataset(several, lambda _: {})
    batch = collate_clips([dataset["c/a", 0], dataset["c/b", 0]], dataset.streams)
    assert {role: found.tolist() for role, found in batch.present.items()} == {
        "frames": [True, False],
        "words": [True, False],
    }
    assert batch.lengths["frames"].tolist() == [100, 1] and batch.streams["words"].tolist() == [[5, 7], [0, 0]]


def test_a_part_of_a_model_sees_its_own_streams() -> None:
    batch = Batch(["c/a"], {"text.words": torch.ones(1, 2), "sound.audio": []}, {"text.words": torch.tensor([2])}, {})
    part = batch.narrow("text")
    assert [*part.streams] == ["words"] and part.lengths["words"].tolist() == [2]


def test_vectors_are_clips_of_one_stream() -> None:
    dataset = VectorDataset({"layers": {"c/a": np.ones((2, 3), np.float32)}}, lambda _: {"label": torch.tensor(1)})
    clip = dataset["c/a", 4]
    assert clip.streams["layers"].tolist() == [[1.0] * 3] * 2
    assert clip.values == {"label": torch.tensor(1)}
    assert dataset.streams["layers"].layout == "vector"


def test_a_wanted_clip_without_a_row_is_refused(tmp_path: Path) -> None:
    """Symptom: a clip that a table had lost was left out like one that cannot be used."""
    write_audio(tmp_path / "0.parquet", ["c/a", "c/b"])
    with pytest.raises(DataError, match="1 of 2 clips have no row, such as c/x; run the same command again"):
        ClipStore.build([tmp_path / "0.parquet"], AUDIO_COLUMNS, tmp_path / "scratch", {"c/a", "c/x"})
    assert list((tmp_path / "scratch").iterdir()) == []
