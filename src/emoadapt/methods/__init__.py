"""How a training is done, one module for each method: see `base`."""

from emoadapt.plugins import extend_path

__path__ = extend_path(__path__, __name__)
