"""Layers of clips in a scratch file."""

from __future__ import annotations

import errno
import os
import tempfile

import numpy as np
import polars as pl
import pytest

from emoadapt.data.vector_file import VectorFile, stack_vectors
from emoadapt.data.vectors import fit_statistics, normalise_file, normalise_vectors
from emoadapt.errors import DataError, explain_disk_error

NAMES = [f"c/{number:02}" for number in range(30)]
SPLITS = pl.DataFrame(
    {"utterance_id": NAMES, "corpus": ["c"] * 20 + ["d"] * 10, "speaker": [f"s{n % 4}" for n in range(30)]}
)


@pytest.fixture
def layers() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {name: random.normal(5, 3, (4, 6)).astype(np.float32) for name in NAMES}


def test_clips_are_read_as_they_were_written_in_any_order(layers: dict[str, np.ndarray]) -> None:
    found = VectorFile.build(layers.items())
    assert found.shape == (4, 6) and list(found) == NAMES and len(found) == 30
    wanted = [NAMES[7], NAMES[0], NAMES[7]]
    assert np.array_equal(found.read(wanted), np.stack([layers[name] for name in wanted]))
    assert np.array_equal(found[NAMES[3]], layers[NAMES[3]]) and found[NAMES[3]].flags.writeable
    assert np.array_equal(stack_vectors(found, wanted), stack_vectors(layers, wanted))


def test_one_layer_is_read_without_the_others(layers: dict[str, np.ndarray]) -> None:
    found = VectorFile.build(layers.items())
    one = found.select(2)
    assert one.shape == (1, 6) and np.array_equal(one.read(NAMES)[:, 0], np.stack(list(layers.values()))[:, 2])
    assert np.array_equal(one.select(0)[NAMES[5]][0], layers[NAMES[5]][2]) and found.select(None) is found
    with pytest.raises(IndexError, match="no layer 4 among 4"):
        found.select(4)


def test_zeros_stand_for_a_clip_that_has_no_layers(layers: dict[str, np.ndarray]) -> None:
    found = VectorFile.build((name, layers[name]) for name in NAMES[1:])
    assert NAMES[0] not in found
    assert not found.read(NAMES[:2])[0].any() and found.read(NAMES[:2])[1].any()
    assert len(VectorFile.build(())) == 0


def test_layers_of_another_shape_are_refused(layers: dict[str, np.ndarray]) -> None:
    with pytest.raises(DataError, match="layers of c/x are 2 x 6 values, those of other clips 4 x 6"):
        VectorFile.build([*layers.items(), ("c/x", np.zeros((2, 6), np.float32))])


def test_a_full_disk_is_named(layers: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: `there is no space left on the disk`, and the disk of the results had plenty."""

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(OSError, match="No space left") as error:
        VectorFile.build(layers.items())
    assert f"({tempfile.gettempdir()})" in (explain_disk_error(error.value) or "")


@pytest.mark.parametrize("scope", ["train", "corpus", "speaker", "none"])
@pytest.mark.parametrize("layer", [None, 1])
def test_a_file_is_z_scored_as_arrays_in_memory_are(
    layers: dict[str, np.ndarray], scope: str, layer: int | None
) -> None:
    found, wanted, train = VectorFile.build(layers.items()).select(layer), set(NAMES[:25]), NAMES[:9]
    arrays = {name: values if layer is None else values[layer : layer + 1] for name, values in layers.items()}
    expected = normalise_vectors(arrays, SPLITS, train, scope, wanted)  # type: ignore[arg-type]
    scored = normalise_file(found, SPLITS, train, scope, wanted)  # type: ignore[arg-type]
    assert set(expected) == wanted
    for name, values in expected.items():
        assert np.array_equal(scored[name], values)


def test_statistics_of_a_file_are_those_of_numpy(layers: dict[str, np.ndarray]) -> None:
    """To the last bit, though one clip is in memory at a time."""
    (found,) = fit_statistics(VectorFile.build(layers.items()), SPLITS, NAMES[:9], "train")
    together = np.stack([layers[name] for name in NAMES[:9]]).astype(np.float64)
    assert np.array_equal(found.mean, together.mean(axis=0)) and np.array_equal(found.scale, together.std(axis=0))


def test_a_file_leaves_nothing_behind(tmp_path, monkeypatch: pytest.MonkeyPatch, layers: dict[str, np.ndarray]) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = VectorFile.build(layers.items())
    assert len(found) == 30 and list(tmp_path.iterdir()) == [], "a killed job leaves no file"
