"""Parts of networks: speech backbones, heads, adapters, masks. Plug-ins are built from them."""
