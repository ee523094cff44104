"""Locks of killed runs."""

import subprocess
import sys
from pathlib import Path

from emoadapt.flow.lock import clear_stale_locks

HOLD = "import sys, pathlib; from emoadapt.flow.lock import clear_stale_locks; print(clear_stale_locks(pathlib.Path(sys.argv[1])), flush=True); sys.stdin.read()"


def test_lock_files_of_a_dead_run_go_and_those_of_a_live_one_stay(tmp_path: Path) -> None:
    """Symptom: after `kill -9` the same command ended with `Directory cannot be locked`."""
    left = tmp_path / ".snakemake/locks/0.input.lock"
    left.parent.mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "True\n"
        left.touch()
        assert not clear_stale_locks(tmp_path) and left.exists()
        other.kill()
    assert clear_stale_locks(tmp_path) and not left.exists()
