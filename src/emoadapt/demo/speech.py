"""Speech from espeak-ng, shaped by what a planned clip says about voice and prosody."""

from __future__ import annotations

import _ctypes
import ctypes
import os
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np

from emoadapt.demo.plan import VOICES, PlannedClip
from emoadapt.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""Hz of the speech that is returned; espeak-ng itself speaks at 22,050."""

# Constants of espeak-ng's speak_lib.h.
_SYNCHRONOUS, _UTF8 = 2, 1
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_LOCK = threading.Lock()  # espeak-ng's state belongs to the process
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def speak_clip(clip: PlannedClip) -> NDArray[np.float32]:
    """Audio of a planned clip: silence, sentence, silence, with a recording level and room noise.

    Returns:
        (n_samples,) float32 in [-1, 1], mono, 16 kHz; the same for the same plan, whatever was spoken before.

    Raises:
        ModelError: espeak-ng is not installed or does not know the voice.
    """
    voice, prosody = VOICES[clip.voice], clip.prosody
    with _LOCK:
        samples, rate = _synthesise(
            clip.sentence, voice.espeak, prosody.rate, prosody.pitch, prosody.pitch_range, clip.seed
        )
    speech = _resample(samples, rate)
    # A first-order high shelf: effort of the voice is heard in its spectral tilt as much as in its level.
    speech += prosody.effort * (speech - 0.95 * np.concatenate([[0.0], speech[:-1]]))
    speech *= 10 ** (prosody.level_db / 20) / max(np.sqrt(np.mean(speech**2)), 1e-6)
    padded = np.concatenate(
        [
            np.zeros(round(prosody.lead_seconds * SAMPLE_RATE)),
            speech,
            np.zeros(round(prosody.tail_seconds * SAMPLE_RATE)),
        ]
    )
    noise = np.random.default_rng(clip.seed).standard_normal(len(padded))
    padded += 10 ** (prosody.noise_db / 20) * noise
    return np.clip(padded, -1.0, 1.0).astype(np.float32)


def _resample(samples: NDArray[np.int16], rate: int) -> NDArray[np.float64]:
    """(n_samples,) in [-1, 1] at 16 kHz, by FFmpeg's resampler: scipy's takes a second to import."""
    from av import AudioFrame, AudioResampler

    frame = AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate = rate
    resampler = AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
    pieces = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([piece.to_ndarray()[0] for piece in pieces]).astype(np.float64)


def _synthesise(
    text: str, voice: str, rate: float, pitch: float, pitch_range: float, seed: int
) -> tuple[NDArray[np.int16], int]:
    """One utterance at espeak-ng's own sampling rate.

    The library is loaded and unloaded for each utterance (4 ms): its flutter and noise run on from one
    utterance to the next and `espeak_Initialize` does not rewind them, so that otherwise a clip would
    depend on the clips spoken before it.
    """
    try:
        import espeakng_loader

        library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path()
    except (ImportError, OSError, RuntimeError) as error:
        raise ModelError(
            f"espeak-ng, which speaks the demo corpus, cannot be loaded ({error}); run `pip install 'emoadapt[demo]'`"
        ) from None
    pieces: list[bytes] = []

    @_CALLBACK
    def collect(samples: object, count: int, _events: object) -> int:
        if samples and count:
            pieces.append(ctypes.string_at(samples, 2 * count))  # type: ignore[arg-type]
        return 0

    try:
        sample_rate = library.espeak_Initialize(_SYNCHRONOUS, 0, os.fsencode(data), 0)
        library.espeak_SetSynthCallback(collect)
        if sample_rate <= 0 or library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ModelError(f"espeak-ng has no voice {voice} in {data}; reinstall the package espeakng-loader")
        library.espeak_ng_SetRandSeed(ctypes.c_long(seed % 2**31))
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, pitch_range), (_VOLUME, 100)):
            library.espeak_SetParameter(parameter, round(value), 0)
        encoded = text.encode() + b"\0"
        library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded)), 0, 0, 0, _UTF8, None, None)
        library.espeak_Synchronize()
        library.espeak_Terminate()
    finally:
        # Named as on Windows or as everywhere else.
        unload = getattr(_ctypes, "FreeLibrary" if sys.platform == "win32" else "dlclose")
        unload(library._handle)
    if not pieces:
        raise ModelError(
            f"espeak-ng said nothing for {text!r} with voice {voice}; reinstall the package espeakng-loader"
        )
    return np.frombuffer(b"".join(pieces), np.int16), sample_rate
