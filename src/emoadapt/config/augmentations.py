"""Configuration of augmentations: what all of them share."""

from __future__ import annotations

from pydantic import Field

from emoadapt.config.base import Section


class Augmentation(Section):
    """Section of an augmentation of a clip's waveform."""

    chain: str
    probability: float = Field(1.0, gt=0, le=1)
    """Probability that a clip goes through it, drawn for each epoch."""

    def describe(self) -> str:
        """Its chain, and how often clips go through it: `ahn2024 (80 %)`."""
        return f"{self.chain} ({self.probability:.0%})".replace("%", " %")
