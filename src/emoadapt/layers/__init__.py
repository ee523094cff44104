"""Parts of networks: speech backbones, heads, adapters, masks. Plug-ins are built from them."""

# First: a study's union of backbones imports `layers.settings`, which would otherwise be half there.
import emoadapt.config  # noqa: F401
