"""openSMILE, started once for all clips, and the features it computes.

The Python package (`opensmile.Smile`) parses its configuration and builds all components anew for every clip, and hands
the result over through pandas. Here one instance with the components of one level is built, and reset between clips.
The numbers are the same to the bit.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from ctypes import string_at
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from emoadapt.acoustics.components import (
    SINK,
    Component,
    Windows,
    keep_needed,
    read_components,
    set_windows,
    write_configuration,
)
from emoadapt.errors import ClipError, ModelError, show
from emoadapt.features.base import guard
from emoadapt.schema import SAMPLE_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

EGEMAPS = "egemaps/v02/eGeMAPSv02.conf"
COMPARE = "compare/ComParE_2016.conf"

_SOURCE = "extsource"
_FRAMES_PER_BEAT = 1000
_SHOWN = 3


class Smile:
    """One openSMILE instance that describes clip after clip. It is not thread-safe.

    Args:
        configuration: `EGEMAPS` or `COMPARE`.
        level: level of its data that is wanted: `lld` (contours), `lld;lld_de` (contours and their deltas, side by
            side, cut to the length of the contours), or `func` (functionals).
        windows: analysis windows and step.
        size: number of descriptors that it must give.
        beat: called now and then while a clip's contours are computed.

    Raises:
        ModelError: the installed openSMILE is not the one known here.
    """

    def __init__(
        self, configuration: str, level: str, windows: Windows, size: int, beat: Callable[[], None] = lambda: None
    ) -> None:
        from opensmile.core.lib import ExternalSinkCallbackEx

        self.shortest = round(max(windows.pitch, windows.spectrum) * SAMPLE_RATE)
        self._text = write_configuration(keep_needed(set_windows(_read_package(configuration, level), windows)))
        self._frames: list[bytes] = []
        self._collect = ExternalSinkCallbackEx(_collector(self._frames, beat))
        self._start()
        self.names = tuple(
            self._engine.external_sink_get_element_name(SINK, number)
            for number in range(self._engine.external_sink_get_num_elements(SINK))
        )
        """Descriptors in their order, named as `opensmile.Smile.feature_names` does."""
        if len(self.names) != size:
            raise ModelError(
                f"openSMILE gives {len(self.names)} descriptors on {level} of {configuration}, not {size}; "
                "install the locked version of opensmile"
            )

    def describe(self, audio: bytes) -> NDArray[np.float32]:
        """Descriptors of a clip: (n_frames, n_descriptors) float32, one frame for functionals.

        Args:
            audio: (n_samples,) int16 little-endian, mono, 16 kHz.

        Raises:
            ClipError: `too_short` for the longest analysis window, `opensmile_failed`, or `not_finite`.
        """
        n_samples = len(audio) // 2
        if n_samples < self.shortest:
            raise ClipError("too_short", f"{n_samples} samples, the longest analysis window has {self.shortest}")
        self._run(audio)
        frames = np.frombuffer(b"".join(self._frames), dtype="<f4").reshape(-1, len(self.names))
        if not np.isfinite(frames).all():
            wrong = [self.names[column] for column in np.flatnonzero(~np.isfinite(frames).all(axis=0))]
            raise ClipError("not_finite", f"openSMILE gives no number for {show(wrong, _SHOWN)}")
        return frames

    def _run(self, audio: bytes) -> None:
        from opensmile.core.lib import SMILE_ENDED, SMILE_FAIL, OpenSmileException, smileapi

        self._frames.clear()
        try:
            if smileapi.smile_get_state(self._engine._smileobj) == SMILE_ENDED:
                self._engine.reset()
            # A reset forgets the callback. The package's own method would add one more wrapper for each clip.
            smileapi.smile_extsink_set_data_callback_ex(self._engine._smileobj, SINK.encode(), self._collect, None)
            self._engine.external_audio_source_write_data(_SOURCE, audio)
            self._engine.external_audio_source_set_eoi(_SOURCE)
            self._engine.run()
            if not self._frames:
                raise OpenSmileException(SMILE_FAIL, "no frame came out")
        except OpenSmileException as error:
            # An instance that broke off cannot be reset, and a bad clip must not cost the others their rows.
            self._free()
            self._start()
            raise ClipError("opensmile_failed", str(error)) from None

    def _start(self) -> None:
        from opensmile.core.lib import OpenSMILE

        self._engine = OpenSMILE()
        # Read once, when the components are built, so that nothing is left behind by a killed job.
        with TemporaryDirectory(prefix="emoadapt-") as folder:
            path = Path(folder, "smile.conf")
            path.write_text(self._text)
            self._engine.initialize(str(path), {})
        self._free = weakref.finalize(self, self._engine.free)


class SmileExtractor:
    """A feature that openSMILE computes from a clip's audio.

    Args:
        smile: describes a clip.
        pack: the feature's columns of a clip from its descriptors, (n_frames, n_descriptors) float32.
    """

    def __init__(self, smile: Smile, pack: Callable[[NDArray[np.float32]], dict[str, Any]]) -> None:
        self.smile, self.pack = smile, pack

    def extract(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The feature's columns from each row's `audio`."""
        return [guard(lambda row: self.pack(self.smile.describe(row["audio"])), row) for row in rows]


def pack_frames(column: str, frames: NDArray[np.float32], step: float) -> dict[str, Any]:
    """Columns of a table of frames: the frames row by row, their shape, and their step in s."""
    n_frames, dimension = frames.shape
    return {column: frames.astype("<f4").tobytes(), "n_frames": n_frames, "dimension": dimension, "step": step}


def _read_package(configuration: str, level: str) -> dict[str, Component]:
    """Components of a configuration of the package that takes samples from memory and gives one level."""
    import opensmile
    from opensmile.core.config import config

    root = Path(opensmile.__file__).parent / "core" / config.CONFIG_ROOT
    options = {
        "source": str(root / config.EXTERNAL_INPUT_CONFIG),
        "sampleRate": str(SAMPLE_RATE),
        "nBits": "16",
        "sink": str(root / config.EXTERNAL_OUTPUT_SINGLE_CONFIG),
        "sinkLevel": level,
    }
    return read_components(root / configuration, options)


def _collector(frames: list[bytes], beat: Callable[[], None]) -> Callable[..., int]:
    """What openSMILE calls with each new frame."""

    def collect(data: Any, n_frames: int, n_names: int, meta: Any, parameter: Any) -> int:
        frames.append(string_at(data, 4 * n_frames * n_names))
        if len(frames) % _FRAMES_PER_BEAT == 0:
            beat()
        return 1

    return collect
