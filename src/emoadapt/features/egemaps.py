"""The 25 low-level descriptors of eGeMAPSv02, averaged over time.

Eyben et al. 2016, "The Geneva Minimalistic Acoustic Parameter Set (GeMAPS)"; computed by openSMILE from the
configuration files in its Python package. With `means: all` the mean includes unvoiced frames, where openSMILE gives 0 for pitch
and voice quality. With `means: voiced` the 15 descriptors that eGeMAPS defines in voiced frames (`_sma3nz`) are averaged as its own
functionals are: pitch, jitter, shimmer, HNR, H1-H2 and H1-A3 over the frames where they are not 0, which gives openSMILE's `amean`
to the last digits; frequencies and bandwidths of formants over voiced frames, within 1 % of it, as openSMILE smooths them
after it has left the others out. Levels of formants are averaged over voiced frames too; openSMILE's functionals of them also
count the -201 dB that stand for unvoiced frames.

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

from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from emoadapt import schema
from emoadapt.acoustics.sections import WindowedSection
from emoadapt.features.base import Context, Extractor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INPUTS = ("audio",)
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


PITCH, FIRST_VOICED, FIRST_FORMANT = 10, 10, 16
"""Places in the vector: pitch, which is 0 in unvoiced frames; the first descriptor of voiced frames; the first of formants."""


class Config(WindowedSection):
    """eGeMAPSv02 low-level descriptors."""

    means: Literal["all", "voiced"] = "all"
    """Frames that are averaged. `all`: every frame, with 0 for the pitch of an unvoiced one. `voiced`: for pitch, voice quality and
    formants only voiced frames, as in eGeMAPS' own functionals. The paper (G25) says neither, so `all` is a choice."""


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
    return SmileExtractor(smile, _average if config.means == "all" else _average_voiced)


def _average(frames: NDArray[np.float32]) -> dict[str, Any]:
    """`egemaps`: (25,) float32 in the order of `DESCRIPTORS`."""
    return {"egemaps": frames.mean(axis=0, dtype="float64").astype("float32")}


def _average_voiced(frames: NDArray[np.float32]) -> dict[str, Any]:
    """The same, with means over voiced frames for the descriptors of these; 0, and a note, where there are none."""
    import numpy as np

    values = frames.astype(np.float64)
    counted = np.ones(values.shape, bool)
    counted[:, FIRST_VOICED:FIRST_FORMANT] = values[:, FIRST_VOICED:FIRST_FORMANT] != 0
    counted[:, FIRST_FORMANT:] = values[:, PITCH, None] != 0
    sums = np.where(counted, values, 0.0).sum(axis=0)
    found = {"egemaps": (sums / np.maximum(counted.sum(axis=0), 1)).astype(np.float32)}
    return (
        found if counted[:, PITCH].any() else found | {"reason": "unvoiced: no frame is voiced, so that 15 means are 0"}
    )
