"""A sample of the trial `benchmarks/flips.py`: no flipped bit is silent."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
import flips


@pytest.mark.parametrize(("group", "every"), [("tables", 499), ("caches", 149), ("states", 499)])
def test_no_flipped_bit_is_silent(group: str, every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for kind in flips.MAKERS[group](tmp_path):
        outcomes, _ = flips.flip_all(kind, every)
        assert not outcomes["silent"] and not outcomes["crash"], kind.name
        assert outcomes["detected"] + outcomes["ignored"] > outcomes["harmless"], kind.name


def test_no_flipped_bit_of_a_model_is_silent(tmp_path: Path) -> None:
    for kind in flips.make_models(tmp_path):
        outcomes, _ = flips.flip_all(kind, max(1, kind.file.stat().st_size // 5))
        assert set(outcomes) <= {"detected", "harmless"}, kind.name
        assert outcomes["harmless"] <= (kind.file.name == "contents.json"), "only spaces of the list may change"


def test_the_trial_tells_what_is_silent(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"abc")
    outcomes, places = flips.flip_all(flips.Kind("text", file, file.read_bytes))
    assert outcomes == {"silent": 3} and places == [0, 1, 2] and file.read_bytes() == b"abc"
    assert flips.flip_all(flips.Kind("none", file, lambda: 1))[0] == {"harmless": 3}
