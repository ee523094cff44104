"""Acoustic descriptors by openSMILE."""

# As in `emoadapt.features`: the configuration is made of sections that are made of those here.
import emoadapt.config  # noqa: F401
