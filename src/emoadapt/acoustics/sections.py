"""Sections of the features that openSMILE computes."""

from __future__ import annotations

from typing import Literal

from emoadapt.features.base import FeatureSection


class SmileSection(FeatureSection):
    """A feature that openSMILE computes, which keeps one core busy."""

    def runs_parallel(self) -> bool:
        """True: openSMILE keeps one core busy."""
        return True


class WindowedSection(SmileSection):
    """A set of descriptors with a choice of analysis windows; see `emoadapt.acoustics.components.WINDOWS`."""

    window: Literal["paper_pitch60", "paper", "stock"] = "paper_pitch60"
    """`paper_pitch60`: 32 ms windows every 16 ms, as G25 states, but 60 ms for pitch and voice quality. `paper`: 32 ms for
    all descriptors; too short for openSMILE's pitch tracker, which then takes most of a low voice for unvoiced. `stock`:
    openSMILE's own 20/60 ms windows every 10 ms."""
