"""openSMILE's configurations, read and cut by us, against what openSMILE makes of the originals."""

from __future__ import annotations

from pathlib import Path

import opensmile
import pytest

from emoadapt.acoustics.components import (
    WINDOWS,
    Component,
    Windows,
    keep_needed,
    read_components,
    set_windows,
    write_configuration,
)
from emoadapt.errors import ModelError

PACKAGE = Path(opensmile.__file__).parent / "core" / "config"


def read(main: str, level: str = "lld") -> dict[str, Component]:
    options = {
        "source": str(PACKAGE / "shared/standard_external_wave_input.conf.inc"),
        "sink": str(PACKAGE / "shared/standard_external_data_output_single.conf.inc"),
        "sinkLevel": level,
    }
    return read_components(PACKAGE / main, options)


def test_reads_includes_options_and_comments(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "main.conf").write_text(
        "[componentInstances:cComponentManager]\ninstance[memory].type=cDataMemory\nprintLevelStats=0\n"
        "\\{part/one.inc}\n\\{\\cm[end{?}:what comes last]}\n"
    )
    (tmp_path / "part" / "one.inc").write_text(
        "// a remark\n/* instance[lost].type = cLost */\n[componentInstances:cComponentManager]\n"
        "instance[one].type = cFramer\n  ;; another\n[one:cFramer]\nreader.dmLevel=wave\n"
        "\\{\\cm[mode{two.inc}:path to the mode]}\nrate = \\cm[rate(r){16000}:Hz]\nagain = \\cm[rate]\n"
    )
    (tmp_path / "part" / "two.inc").write_text("writer.dmLevel = a ; b\n")
    (tmp_path / "end.inc").write_text("# nothing\n")
    found = read_components(tmp_path / "main.conf", {"end": "end.inc", "rate": "8000"})
    assert found == {
        "memory": Component("cDataMemory", ()),
        "one": Component("cFramer", ("reader.dmLevel=wave", "writer.dmLevel = a ; b", "rate = 8000", "again = 8000")),
    }
    assert found["one"].levels(written=False) == ["wave"]
    assert found["one"].levels(written=True) == ["a", "b"]


@pytest.mark.parametrize(
    ("main", "framers"),
    [
        ("egemaps/v02/eGeMAPSv02.conf", ("gemapsv01b_frame60", "gemapsv01b_frame25")),
        ("compare/ComParE_2016.conf", ("is13_frame60", "is13_frame25")),
    ],
)
def test_windows_change_the_framers_alone(main: str, framers: tuple[str, str]) -> None:
    before = read(main)
    after = set_windows(before, Windows(0.040, 0.030, 0.015))
    assert list(after) == list(before)
    changed = {name: set(after[name].settings) ^ set(before[name].settings) for name in before}
    assert {name: lines for name, lines in changed.items() if lines} == {
        framers[0]: {"frameSize = 0.060", "frameStep = 0.010", "frameSize = 0.040000", "frameStep = 0.015000"},
        framers[1]: {"frameSize = 0.020", "frameStep = 0.010", "frameSize = 0.030000", "frameStep = 0.015000"},
    }


def test_stock_windows_are_the_packages() -> None:
    for main in ("egemaps/v02/eGeMAPSv02.conf", "compare/ComParE_2016.conf"):
        for name, component in read(main).items():
            if component.kind == "cFramer":
                size = WINDOWS["stock"].pitch if name.endswith("60") else WINDOWS["stock"].spectrum
                assert f"frameSize = {size:.3f}" in component.settings
                assert f"frameStep = {WINDOWS['stock'].step:.3f}" in component.settings


def test_other_framers_are_refused() -> None:
    with pytest.raises(ModelError, match="has the framers frame99 in place of frame60, frame25"):
        set_windows({"x_frame99": Component("cFramer", ())}, WINDOWS["paper"])


def test_keeps_what_leads_to_the_sink_in_order() -> None:
    components = {
        "dataMemory": Component("cDataMemory", ()),
        "source": Component("cSource", ("writer.dmLevel = wave",)),
        "pitch": Component("cPitch", ("reader.dmLevel = wave", "writer.dmLevel = f0")),
        "other": Component("cOther", ("reader.dmLevel = f0", "writer.dmLevel = x")),
        "jitter": Component("cJitter", ("reader.dmLevel=wave", "F0reader.dmLevel = f0", "writer.dmLevel = j")),
        "extsink": Component("cExternalSink", ("reader.dmLevel = j;wave",)),
    }
    kept = keep_needed(components)
    assert list(kept) == ["dataMemory", "source", "pitch", "jitter", "extsink"]
    assert write_configuration(kept).startswith(
        "[componentInstances:cComponentManager]\ninstance[dataMemory].type = cDataMemory\ninstance[source].type = cSource\n"
    )


def test_contours_need_no_functionals() -> None:
    kinds = {component.kind for component in keep_needed(read("compare/ComParE_2016.conf")).values()}
    assert "cFunctionals" not in kinds and "cDeltaRegression" not in kinds and "cPitchJitter" in kinds
    assert "cFunctionals" in {c.kind for c in keep_needed(read("compare/ComParE_2016.conf", "func")).values()}
