"""Backbones, one module for each family of architectures: see `base`."""

from emoadapt.plugins import extend_path

__path__ = extend_path(__path__, __name__)

# A study's union of backbones imports the modules here, which would otherwise be half there.
import emoadapt.config  # noqa: F401
