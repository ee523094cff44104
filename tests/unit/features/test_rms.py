"""RMS energy, against the definition."""

import numpy as np
import pyarrow as pa
import pytest
from scipy.signal.windows import hann

from emoadapt import schema
from emoadapt.features.base import Context
from emoadapt.features.rms import Config, load


def measure(samples: np.ndarray) -> float:
    (found,) = load(Config(), Context(None)).extract([{"audio": samples.astype("<i2").tobytes()}])
    return float(found["rms"][0])


@pytest.mark.parametrize("n", [400, 2048, 16001])
def test_it_is_the_rms_of_windowed_frames(n: int) -> None:
    """By Parseval: the root of the mean square of each Hann-weighted frame, every 512 samples, the clip padded by half a frame."""
    samples = np.random.default_rng(n).integers(-9000, 9000, n)
    padded = np.pad(samples / 32768, 1024)
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2048)[::512] * hann(2048, sym=False)
    assert measure(samples) == pytest.approx(np.sqrt((frames**2).mean(axis=1)).mean(), rel=1e-4)


def test_a_clip_shorter_than_a_window_has_a_note(recwarn: pytest.WarningsRecorder) -> None:
    """Symptom: its energy was too low, and only a warning without its name said so."""
    clips = [{"audio": np.full(n, 5000, "<i2").tobytes()} for n in (2047, 2048)]
    short, whole = load(Config(), Context(None)).extract(clips)
    assert short["reason"].startswith("short_window: ") and "reason" not in whole and not recwarn.list


def test_twice_as_loud_is_twice_as_much_and_fits_the_table() -> None:
    samples = np.random.default_rng(0).integers(-9000, 9000, 8000)
    assert measure(2 * samples) == pytest.approx(2 * measure(samples), rel=1e-5)
    row = {"utterance_id": "c/x", "key": "k", "status": "ok", "rms": [measure(samples)]}
    assert pa.Table.from_pylist([row], schema=schema.feature_table("rms")).num_rows == 1


def test_it_is_librosa_s_own_value() -> None:
    """G22 computes the STFT, then the RMS, with librosa."""
    import librosa

    samples = np.random.default_rng(5).integers(-9000, 9000, 32000)
    stft = np.abs(librosa.stft(samples.astype(np.float32) / 32768, pad_mode="constant"))
    assert measure(samples) == pytest.approx(float(librosa.feature.rms(S=stft).mean()), rel=1e-6)
