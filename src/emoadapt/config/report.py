"""Configuration of tables, figures and the report."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from emoadapt.config.base import Fraction, Section


class Report(Section):
    """Tables, figures, HTML."""

    title: str | None = None
    bootstrap: int = Field(1000, ge=100)
    """Draws of the bootstrap intervals."""
    confidence: Fraction = 0.95
    paper: Literal["goncalves2025"] | None = None
    """Paper whose figures stand beside ours."""
