"""PASE+ frames as CARE's code stores them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emoadapt import schema
from emoadapt.acoustics.pase import build_untrained
from emoadapt.data.streams import Stream, list_columns
from emoadapt.errors import ModelError
from emoadapt.features.base import Context, Network
from emoadapt.features.pase_frames import Config, load
from emoadapt.objectives.base import load_objective
from emoadapt.weights.registry import find_entry

SAMPLES = (3000 * np.random.default_rng(0).standard_normal(24_100)).astype("<i2")


def extract(samples: np.ndarray = SAMPLES, **keys: Any) -> dict[str, Any]:
    config = Config.model_validate({"weights": None, **keys})
    (row,) = load(config, Context(Path())).extract([{"audio": samples.tobytes()}])
    return row


def read(row: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(row["pase_frames"], "<f2").reshape(row["n_frames"], row["dimension"])


def test_frames_are_every_second_one_which_the_objective_scales_as_in_care() -> None:
    """`dataset_pase.py`: `x[::2]`, then (x - mean) / (std + 1) over the frames that are left."""
    row = extract()
    encoded = build_untrained(0)(torch.from_numpy(SAMPLES / np.float32(32768))).numpy()[::2]
    expected = (encoded - np.mean(encoded, 0)) / (np.std(encoded, 0) + 1.0)
    assert (row["n_frames"], row["dimension"], row["step"]) == (75, 256, 0.02)
    np.testing.assert_allclose(read(row), encoded, rtol=1e-3, atol=1e-4)
    scaled = load_objective("acoustic").scale(read(row))
    np.testing.assert_allclose(scaled, expected, atol=2e-3)
    assert np.abs(scaled.mean(axis=0)).max() < 1e-3


def test_the_mean_of_frames_says_something_of_a_clip() -> None:
    """Symptom: frames were scaled per clip, so that their mean over time, PASE+'s baseline in CARE's Table IV, was 0 for each clip."""
    loud, quiet = (read(extract(samples)).astype(float).mean(axis=0) for samples in (SAMPLES, SAMPLES // 8))
    assert np.abs(loud).max() > 0.01 and np.abs(loud - quiet).max() > 0.01


def test_another_rate_is_an_option() -> None:
    row = extract(rate=100)
    encoded = build_untrained(0)(torch.from_numpy(SAMPLES / np.float32(32768))).numpy()
    assert row["step"] == 0.01
    np.testing.assert_allclose(read(row), encoded, rtol=1e-3, atol=1e-4)
    assert not np.array_equal(read(row), read(extract(rate=100, seed=1)))


@pytest.mark.parametrize("frame", [20, 33, 61])
def test_click_lands_in_its_frame(frame: int) -> None:
    """A click in the middle of frame i, which begins i * step after the beginning."""
    samples = np.zeros(32_000, "<i2")
    samples[round((frame + 0.5) * 0.02 * 16_000)] = 30_000
    row = extract(samples)
    assert row["step"] == 0.02
    frames = read(row).astype(float)
    loud = np.linalg.norm(frames - np.median(frames, axis=0), axis=1)
    assert loud.argmax() == frame


def test_table_holds_the_row_and_can_be_a_stream() -> None:
    table = schema.feature_table("pase_frames")
    assert set(extract()) == {*table.names} - {field.name for field in schema.FEATURE_COLUMNS}
    for field in list_columns(Stream("pase_frames", "pase_frames", "frames")):
        assert table.field(field.name).type == field.type


def test_clip_too_short_for_the_network_says_so() -> None:
    assert extract(SAMPLES[:470]) == {"status": "failed", "reason": "too_short: 470 samples, PASE+ needs 471"}
    assert extract(SAMPLES[:471])["n_frames"] == 2


def test_untrained_network_says_that_it_is() -> None:
    assert Config(weights=None, seed=3).describe_network() == Network("acoustic frames", "PASE+", "untrained", seed=3)
    pretrained = Config().describe_network()
    assert (pretrained.state, pretrained.weights, Config().list_idle_keys()) == ("pretrained", "pase_plus", {"seed"})
    entry = find_entry("pase_plus")
    assert entry and entry.licence == "MIT" and entry.can_be_fetched


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="pase_plus"):
        load(Config(), Context(tmp_path))
