"""Configuration of tables, figures and the report."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from emoadapt.config.base import Fraction, Name, Section


class Report(Section):
    """Tables, figures, HTML."""

    title: str | None = None
    bootstrap: int = Field(1000, ge=100)
    """Draws of the bootstrap intervals."""
    confidence: Fraction = 0.95
    alternative: Literal["two-sided", "greater"] = "two-sided"
    """What the paired t-tests look for. `two-sided`: any difference. `greater`: one-tailed, that a model is better than its baseline;
    of metrics such as F1 bias, where lower is better, that its value is smaller."""
    group_clips: int = Field(10, ge=1)
    """Test clips that a sex or a speaker must have, and a class of one for its recall, to be judged in the table of fairness."""
    paper: Name | None = None
    """Paper whose values stand beside ours, such as `goncalves2025`; see docs/add-a-paper.md for one of your own."""
    baseline: str | None = None
    """Model that all others of a task are also compared with, such as `egemaps.original`; null = none besides the originals."""
    names: dict[str, str] = {}
    """How `tables` print things: backbone, start, fine-tuning, model, task, corpus, or number of clips -> its name there."""
