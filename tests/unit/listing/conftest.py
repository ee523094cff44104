"""The made-up and the real corpora of the importers' tests."""

from ..corpora.conftest import crema_d_clips, make_tree, real_data  # noqa: F401
