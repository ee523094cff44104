"""Versions of the libraries that made results."""

from __future__ import annotations

import pytest

from emoadapt.flow.provenance import installed_version, join_versions, library_versions, state_libraries


def test_versions_are_those_of_the_libraries_that_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOADAPT_LIBRARIES", "")
    state_libraries(["numpy", "no-such-library"])
    assert library_versions() == {f"version.{name}": installed_version(name) for name in ("emoadapt", "numpy")}


def test_versions_that_differ_are_told_with_what_they_made() -> None:
    made = [
        ("audio", {"version.av": "1", "feature": "audio"}),
        ("adapt", {"version.torch": "2.12"}),
        ("train", {"version.torch": "2.13"}),
        ("adapt", {"version.torch": "2.13"}),
    ]
    assert join_versions(made) == {"av": "1", "torch": "2.12 (adapt); 2.13 (adapt, train)"}
