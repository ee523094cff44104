"""The five augmentations of Ahn et al. 2024 (Table 2).

Where the paper states no value, it is that of `torch-audiomentations`. Two differ from that library in how they compute. The band-stop filter is a Butterworth filter of 12 to 24 dB per octave, and
the slopes of the noise, from -6 to 6 dB per octave, are those that its documentation names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from emoadapt.config.augmentations import Augmentation

if TYPE_CHECKING:
    import numpy as np

    from emoadapt.augmentations.base import Chain

_GAIN = ("Gain", {"min_gain_db": -15.0, "max_gain_db": 5.0})
_INVERSION: tuple[str, dict[str, Any]] = ("PolarityInversion", {})
_SHIFT = ("Shift", {"min_shift": -0.5, "max_shift": 0.5, "rollover": True, "fade_duration": 0.0})
_REVERSAL: tuple[str, dict[str, Any]] = ("Reverse", {})
_BAND_STOP = (
    "BandStopFilter",
    {
        "min_center_freq": 200.0,
        "max_center_freq": 4000.0,
        "min_bandwidth_fraction": 0.5,
        "max_bandwidth_fraction": 1.99,
    },
)
_NORMALISATION: tuple[str, dict[str, Any]] = ("Normalize", {})
_NOISE = (
    "AddColorNoise",
    {"min_snr_db": 3.0, "max_snr_db": 30.0, "min_f_decay": -6.0206, "max_f_decay": 6.0206},
)
TYPES = {
    1: (_GAIN, _INVERSION),
    2: (_GAIN, _INVERSION, _SHIFT),
    3: (_GAIN, _INVERSION, _REVERSAL),
    4: (_BAND_STOP, _NORMALISATION, _SHIFT),
    5: (_GAIN, _INVERSION, _NOISE),
}
PROBABILITY = 0.3
"""Probability of each transform."""


class Config(Augmentation):
    """Gain and polarity, and then shift, reversal, noise, or band-stop filter with peak normalisation (Ahn et al. 2024)."""

    chain: Literal["ahn2024"]
    type: Literal[1, 2, 3, 4, 5] | None = None
    """1: gain (-15 to 5 dB) and inverted polarity. 2: and shift, by up to half the clip. 3: and reversal. 4: band-stop filter, peak
    normalisation and shift. 5: as 1, and coloured noise. Each step has probability 0.3. null: one of the five for each clip and epoch."""


def build(config: Config) -> Chain:
    """The chain of a section; see `base`."""
    from emoadapt.augmentations.audiomentations import compose

    types = [*TYPES] if config.type is None else [config.type]
    chains = [compose([(name, PROBABILITY, values) for name, values in TYPES[kind]]) for kind in types]

    def apply(samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
        chosen = chains[0] if len(chains) == 1 else chains[int(random.integers(len(chains)))]
        return chosen(samples, random)

    return apply
