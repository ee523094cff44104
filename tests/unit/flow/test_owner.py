"""Whose results a folder holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from emoadapt.errors import DataError
from emoadapt.flow.owner import claim_results, find_owner, refuse_other_study, supersede_batches


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    return Path("results")


def write_report(results: Path, study: str) -> None:
    (results / "report").mkdir()
    (results / "report/index.html").write_text(f'<h1>x</h1>\n<p class="soft">Study {study}: 2 tasks, ...</p>')


def test_a_folder_belongs_to_the_study_that_claimed_it(results: Path) -> None:
    assert find_owner(results) is None
    claim_results(results, "one")
    claim_results(results, "one")
    assert find_owner(results) == "one"
    with pytest.raises(DataError, match="results/ belongs to study one, and this is study two"):
        refuse_other_study(results, "two")
    with pytest.raises(DataError):
        claim_results(results, "two")
    assert find_owner(results) == "one"


@pytest.mark.parametrize("record", [None, "", "[1]", '{"study": 3}'])
def test_without_a_record_the_report_says_whose_it_is(results: Path, record: str | None) -> None:
    write_report(results, "one")
    if record is not None:
        (results / "study.json").write_text(record)
    with pytest.raises(DataError, match="belongs to study one"):
        refuse_other_study(results, "two")
    claim_results(results, "one")
    assert '"one"' in (results / "study.json").read_text()


def test_results_of_nobody_are_adopted(results: Path) -> None:
    (results / "features").mkdir()
    claim_results(results, "two")
    assert find_owner(results) == "two"


def test_the_command_that_is_advised_gives_the_folder_to_another_study(results: Path) -> None:
    claim_results(results, "one")
    write_report(results, "one")
    (results / "runs").mkdir()
    (results / "features").mkdir()
    with pytest.raises(DataError) as error:
        refuse_other_study(results, "two")
    advised = str(error.value).partition("rm -r ")[2].split()
    assert advised == ["results/study.json", "results/runs", "results/report"]


def test_a_forgotten_configuration_file_is_named(results: Path) -> None:
    claim_results(results, "one")
    with pytest.raises(DataError, match="no --configfile is given, which means the demo"):
        refuse_other_study(results, "demo", chosen=False)


def test_batches_that_the_study_no_longer_has_are_moved_away(results: Path) -> None:
    def make(path: str, text: str = "old") -> Path:
        (results / path).mkdir(parents=True, exist_ok=True)
        (results / path / "predictions.parquet").write_text(text)
        return results / path

    kept, stale = make("runs/t/m.original/full/b000"), make("runs/t/m.original/full/b001")
    other = make("runs/t/m.other/full/b001")
    make("superseded/runs/t/m.original/full/b001", "older")
    assert supersede_batches(results, [kept]) == [stale]
    assert kept.is_dir() and not stale.exists()
    assert other.is_dir(), "a setting that the study no longer has may come back"
    assert (results / "superseded/runs/t/m.original/full/b001/predictions.parquet").read_text() == "old"
    assert supersede_batches(results, [kept]) == []
