"""How a training is done, one module for each method: see `base`."""

from emoadapt.plugins import extend_path

__path__ = extend_path(__path__, __name__)

# The union of the sections of all methods needs each of them whole, also where a method is the first to be imported.
import emoadapt.config  # noqa: F401
