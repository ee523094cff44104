"""The 25 low-level descriptors of eGeMAPSv02, averaged over time.

Eyben et al. 2016, "The Geneva Minimalistic Acoustic Parameter Set (GeMAPS)"; computed by openSMILE from the
configuration files in its Python package. The mean includes unvoiced frames, where openSMILE gives 0 for pitch and voice quality.

`stock` is openSMILE's own configuration. It has two framers, both with a step of 10 ms: `frame60`, 60 ms, for pitch,
harmonics and voice quality, and `frame25`, which despite its name is 20 ms, for loudness, spectrum, cepstrum and formants.
`paper` sets both to a window of 32 ms and a step of 16 ms: G25 names one pair for all descriptors, and openSMILE
joins the two framers frame by frame, which needs one step. `paper_pitch60`, the default, has these values too, but keeps
openSMILE's 60 ms for pitch and voice quality.

32 ms are too short for openSMILE's pitch tracker: low voices are mostly taken for unvoiced. Measured on 43 clips of
EmoDB, `paper` finds 20 % of the frames voiced (`stock` and `paper_pitch60`: 59 %), and a quarter of the clips have no voiced
frame at all; on 40 of RAVDESS 12 % (31 %) and an eighth. There, pitch, jitter, shimmer, HNR, H1-H2, H1-A3 and formant levels
are constants. Loudness, spectrum, cepstrum and formant frequencies are not concerned.

A clip of n samples has floor((n - longest) / 256) + 2 frames with a step of 16 ms, `longest` being the samples of the longest
window (`paper` 512, `paper_pitch60` 960): one per full window, and one that the 3-frame smoother adds when its input ends
(`cContourSmoother`, noPostEOIprocessing = 0), as it does under `stock`.
A clip shorter than the longest of the two windows fails (`too_short`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from emoadapt import schema
from emoadapt.acoustics.sections import WindowedSection
from emoadapt.features.base import Context, Extractor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INPUTS = ("audio",)
LIBRARIES = ("opensmile",)
TERMS = "computed with openSMILE, whose licence is for research only"
CHUNK_ROWS = 64
JOB = {"memory_mb": 1500, "memory_mb_per_thread": 500, "minutes": 120}

TABLE = schema.make_feature_table(
    schema.column("egemaps", pa.list_(pa.float32(), 25), "(25,) eGeMAPSv02 LLD, mean over time, openSMILE units"),
)

DESCRIPTORS: tuple[str, ...] = (
    "Loudness_sma3", "alphaRatio_sma3", "hammarbergIndex_sma3", "slope0-500_sma3", "slope500-1500_sma3",
    "spectralFlux_sma3", "mfcc1_sma3", "mfcc2_sma3", "mfcc3_sma3", "mfcc4_sma3",
    "F0semitoneFrom27.5Hz_sma3nz", "jitterLocal_sma3nz", "shimmerLocaldB_sma3nz", "HNRdBACF_sma3nz",
    "logRelF0-H1-H2_sma3nz", "logRelF0-H1-A3_sma3nz", "F1frequency_sma3nz", "F1bandwidth_sma3nz",
    "F1amplitudeLogRelF0_sma3nz", "F2frequency_sma3nz", "F2bandwidth_sma3nz", "F2amplitudeLogRelF0_sma3nz",
    "F3frequency_sma3nz", "F3bandwidth_sma3nz", "F3amplitudeLogRelF0_sma3nz",
)  # fmt: skip
"""Order of the vector, in openSMILE's names and units."""


class Config(WindowedSection):
    """eGeMAPSv02 low-level descriptors."""


def load(config: Config, context: Context) -> Extractor:
    """Start openSMILE.

    Raises:
        ModelError: the installed openSMILE gives other descriptors.
    """
    from emoadapt.acoustics.components import WINDOWS
    from emoadapt.acoustics.smile import EGEMAPS, Smile, SmileExtractor
    from emoadapt.errors import ModelError

    smile = Smile(EGEMAPS, "lld", WINDOWS[config.window], len(DESCRIPTORS), context.beat)
    if smile.names != DESCRIPTORS:
        raise ModelError(
            "openSMILE gives other descriptors than eGeMAPSv02's 25; install the locked version of opensmile"
        )
    return SmileExtractor(smile, _average)


def _average(frames: NDArray[np.float32]) -> dict[str, Any]:
    """`egemaps`: (25,) float32 in the order of `DESCRIPTORS`."""
    return {"egemaps": frames.mean(axis=0, dtype="float64").astype("float32")}
