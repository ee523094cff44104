"""Features, one module each: see `base`."""

from emoadapt.plugins import extend_path

__path__ = extend_path(__path__, __name__)

# The configuration is made of the features' sections: it must be there before the first of them is imported by itself.
import emoadapt.config  # noqa: F401
