"""Acoustic descriptors by openSMILE."""
