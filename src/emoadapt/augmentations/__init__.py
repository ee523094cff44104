"""Augmentations of a clip's waveform, one module each: see `base`."""

from emoadapt.plugins import extend_path

__path__ = extend_path(__path__, __name__)
