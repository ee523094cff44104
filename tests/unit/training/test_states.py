"""Names of training states."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from emoadapt.training.states import name_state


@pytest.mark.parametrize("jump", [-86_400, 86_400], ids=["back", "ahead"])
def test_a_state_is_not_used_for_another_input_after_the_clock_jumped(tmp_path: Path, jump: int) -> None:
    table = tmp_path / "000.parquet"
    table.write_text("one")

    def name() -> str:
        return name_state([1], ["emoadapt.errors"], [tmp_path], None, tmp_path)

    before, written = name(), table.stat().st_mtime
    assert name() == before
    table.write_text("two")
    os.utime(table, (written + jump, written + jump))
    assert name() != before
