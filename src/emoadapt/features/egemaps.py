"""The 25 low-level descriptors of eGeMAPSv02, averaged over time.

Eyben et al. 2016, "The Geneva Minimalistic Acoustic Parameter Set (GeMAPS)"; computed by openSMILE from the
configuration files in its Python package.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from emoadapt import schema
from emoadapt.config import EgemapsConfig
from emoadapt.errors import ClipError, ModelError
from emoadapt.features.base import Context, guard
from emoadapt.media import to_float

if TYPE_CHECKING:
    from numpy.typing import NDArray

DESCRIPTORS: tuple[str, ...] = (
    "Loudness_sma3", "alphaRatio_sma3", "hammarbergIndex_sma3", "slope0-500_sma3", "slope500-1500_sma3",
    "spectralFlux_sma3", "mfcc1_sma3", "mfcc2_sma3", "mfcc3_sma3", "mfcc4_sma3",
    "F0semitoneFrom27.5Hz_sma3nz", "jitterLocal_sma3nz", "shimmerLocaldB_sma3nz", "HNRdBACF_sma3nz",
    "logRelF0-H1-H2_sma3nz", "logRelF0-H1-A3_sma3nz", "F1frequency_sma3nz", "F1bandwidth_sma3nz",
    "F1amplitudeLogRelF0_sma3nz", "F2frequency_sma3nz", "F2bandwidth_sma3nz", "F2amplitudeLogRelF0_sma3nz",
    "F3frequency_sma3nz", "F3bandwidth_sma3nz", "F3amplitudeLogRelF0_sma3nz",
)  # fmt: skip
"""Order of the vector, in openSMILE's names and units."""

PAPER_STEP = 0.016
"""s, of G25."""

WINDOWS = {
    "paper": {"gemapsv01b_frame60": 0.032, "gemapsv01b_frame25": 0.032},
    "paper_pitch60": {"gemapsv01b_frame60": 0.060, "gemapsv01b_frame25": 0.032},
}
"""s, for each of openSMILE's framers: that of pitch and voice quality, and that of the spectrum; all but `stock`."""

_LLD_FILE = Path("gemaps/v01b/GeMAPSv01b_core.lld.conf.inc")
_MAIN_FILE = Path("egemaps/v02/eGeMAPSv02.conf")
_FOLDERS = ("egemaps/v02", "gemaps/v01b", "shared")
_STOCK_LONGEST = 0.060
"""s, the stock pitch window."""


class EgemapsExtractor:
    """Mean over time of each descriptor, unvoiced frames (where openSMILE gives 0 for pitch and voice quality) included.

    `stock` is openSMILE's own configuration. It has two framers, both with a step of 10 ms: `frame60`, 60 ms, for pitch,
    harmonics and voice quality, and `frame25`, which despite its name is 20 ms, for loudness, spectrum, cepstrum and formants.
    `paper` sets both to a window of 32 ms and a step of 16 ms: G25 names one pair for all descriptors, and openSMILE
    joins the two framers frame by frame, which needs one step.

    32 ms are short for openSMILE's pitch tracker: low voices are mostly taken for unvoiced. Measured on 43 clips of
    EmoDB, 20 % of the frames are voiced (`stock`: 59 %) and a quarter of the clips have no voiced frame at all; on 40 of RAVDESS
    12 % (31 %) and an eighth. There, pitch, jitter, shimmer, HNR, H1-H2, H1-A3 and formant levels are constants. Loudness, spectrum,
    cepstrum and formant frequencies are not concerned. `paper_pitch60` keeps openSMILE's 60 ms for pitch and voice quality, with the
    paper's other values: 59 % and 31 % voiced frames, as with `stock`.

    A clip of n samples has floor((n - 512) / 256) + 2 frames under `paper`: one per full window, and one that the
    3-frame smoother adds when its input ends (`cContourSmoother`, noPostEOIprocessing = 0), as it does under `stock`.

    One openSMILE object is kept per extractor. It is not thread-safe.
    """

    table = schema.EGEMAPS
    inputs = ("audio",)
    manifest_columns = ()
    chunk_size = 64

    def __init__(self, config: EgemapsConfig, context: Context) -> None:
        import opensmile

        windows = WINDOWS.get(config.window, {"": _STOCK_LONGEST})
        longest = max(windows.values())
        self.shortest = round(longest * schema.SAMPLE_RATE)
        if config.window == "stock":
            feature_set, level = opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.LowLevelDescriptors
        else:
            # openSMILE reads its files again for each clip, so the folder lives as long as the extractor.
            self._folder = TemporaryDirectory(prefix="egemaps-")
            feature_set, level = str(write_configuration(Path(self._folder.name), windows, PAPER_STEP)), "lld"
        self.smile = opensmile.Smile(feature_set, level)
        if tuple(self.smile.feature_names) != DESCRIPTORS:
            raise ModelError(
                f"opensmile {opensmile.__version__} gives other descriptors than eGeMAPSv02's 25; install the locked version"
            )

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """`egemaps`: (25,) float32 in the order of `DESCRIPTORS`, from each row's `audio`."""
        return [guard(self._extract_row, row) for row in rows]

    def _extract_row(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"egemaps": self.extract_frames(row["audio"]).mean(axis=1, dtype=np.float64).astype(np.float32)}

    def extract_frames(self, audio: bytes | NDArray[np.int16]) -> NDArray[np.float32]:
        """The contours: (25, n_frames) float32.

        Raises:
            ClipError: `too_short` for a window, or `not_finite`.
        """
        signal = to_float(audio)
        if len(signal) < self.shortest:
            raise ClipError("too_short", f"{len(signal)} samples, the longest analysis window has {self.shortest}")
        frames = self.smile(signal, schema.SAMPLE_RATE)[0]
        if not np.isfinite(frames).all():
            wrong = [name for name, values in zip(DESCRIPTORS, frames, strict=True) if not np.isfinite(values).all()]
            raise ClipError("not_finite", f"openSMILE gives no number for {', '.join(wrong)}")
        return frames.astype(np.float32)


def write_configuration(folder: Path, windows: Mapping[str, float], step: float) -> Path:
    """Copy openSMILE's eGeMAPSv02 configuration with other windows and another step in its framers.

    Args:
        folder: where to write; must exist.
        windows: framer -> s; a framer not named here must have this step already.
        step: s, the same for all, since openSMILE joins their descriptors frame by frame.

    Returns:
        The main configuration file, for `opensmile.Smile`, with the level `lld`.

    Raises:
        ModelError: the package's configuration is not the one known here.
    """
    import opensmile

    source = Path(opensmile.__file__).parent / "core" / "config"
    for name in _FOLDERS:
        shutil.copytree(source / name, folder / name)
    text = (folder / _LLD_FILE).read_text()
    for framer, window in windows.items():
        # Within the framer's own section, which ends where the next line begins with "[".
        pattern = rf"(\[{framer}:cFramer\](?:(?!\n\[)[\s\S])*?\nframeSize = )[\d.]+(\nframeStep = )[\d.]+"
        text, count = re.subn(pattern, rf"\g<1>{window:.6f}\g<2>{step:.6f}", text)
        if count != 1:
            raise ModelError(
                f"opensmile {opensmile.__version__} has no framer {framer} in {_LLD_FILE}; install the locked version, "
                "or set features.egemaps.window: stock"
            )
    (folder / _LLD_FILE).write_text(text)
    return folder / _MAIN_FILE
