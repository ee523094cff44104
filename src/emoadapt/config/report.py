"""Configuration of tables, figures and the report."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from emoadapt.config.base import Fraction, Name, Section


class Report(Section):
    """Tables, figures, HTML."""

    title: str | None = None
    """Title of the report. null: the name of the study."""
    bootstrap: int = Field(1000, ge=100)
    """Draws of the bootstrap intervals."""
    confidence: Fraction = 0.95
    """Level of the confidence intervals."""
    alternative: Literal["two-sided", "greater"] = "two-sided"
    """Alternative hypothesis of the paired t-tests. `two-sided`: any difference. `greater`: the model is better than its baseline
    (one-tailed)."""
    group_clips: int = Field(10, ge=1)
    """Smallest number of test clips of a sex or a speaker in the table of fairness; for its recall, of each of its classes."""
    paper: Name | None = None
    """Paper whose values are printed beside ours, such as `goncalves2025`. docs/add-a-paper.md says how to add one."""
    baseline: str | None = None
    """Model with which all others of a task are also compared, such as `egemaps.original`. null: compare with the originals only."""
    names: dict[str, str] = {}
    """Printed names: backbone, start, fine-tuning or model -> name in all tables, pictures and sentences of the report; task, corpus or number
    of clips -> name in `tables`. CSV files and commands have the keys of the study."""
