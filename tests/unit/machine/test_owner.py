"""Whose results a folder holds."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from emoadapt.errors import DataError
from emoadapt.machine.owner import claim_results, find_owner, refuse_other_study, supersede_runs


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


def test_results_without_an_owner_are_adopted(results: Path) -> None:
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


@pytest.mark.parametrize("made", ["runs", "models"])
def test_results_of_an_unknown_study_are_adopted_with_a_sentence(results: Path, made: str) -> None:
    (results / made).mkdir()
    said = claim_results(results, "two")
    assert said is not None and said.startswith(f"results/ holds {made}, and no record of the study that made them")
    assert claim_results(results, "two") is None


def test_nothing_is_said_of_an_empty_folder_or_of_one_whose_report_names_the_study(results: Path) -> None:
    assert claim_results(results, "one") is None
    (results / "study.json").unlink()
    write_report(results, "one")
    assert claim_results(results, "one") is None


def make_run(path: Path, text: str = "old") -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "predictions.parquet").write_text(text)
    return path


@pytest.mark.parametrize(
    ("stale", "moved"),
    [
        ("t/m.original/full/b001", "t/m.original/full/b001"),
        ("t/m.original/20/b000", "t/m.original/20"),
        ("t/m.other/full/b000", "t/m.other"),
        ("u/m.original/full/b000", "u"),
    ],
    ids=["batch", "subset", "model", "task"],
)
def test_what_is_no_run_of_the_study_is_moved_away(results: Path, stale: str, moved: str) -> None:
    """Symptom: predictions of a setting that had left the study were read with all others."""
    kept, old = make_run(results / "runs/t/m.original/full/b000"), make_run(results / "runs" / stale)
    earlier = make_run(results / "superseded/runs" / stale, "older")
    neighbour = make_run(results / "superseded/runs" / Path(stale).with_name("b007"), "older")
    assert supersede_runs(results, [kept]) == [results / "runs" / moved]
    assert kept.is_dir() and not old.exists()
    assert (earlier / "predictions.parquet").read_text() == "old"
    assert (neighbour / "predictions.parquet").read_text() == "older"
    assert list(results.glob("runs/*/*/*/*/predictions.parquet")) == [kept / "predictions.parquet"]
    assert supersede_runs(results, [kept]) == []


def test_a_whole_task_or_model_can_be_kept(results: Path) -> None:
    """Those that an optional corpus is missing for."""
    task, model = make_run(results / "runs/u/m.original/full/b000"), make_run(results / "runs/t/m.other/full/b000")
    assert supersede_runs(results, [results / "runs/u", results / "runs/t/m.other"]) == []
    assert task.is_dir() and model.is_dir()


def test_a_study_without_runs_moves_nothing(results: Path) -> None:
    assert supersede_runs(results, []) == []


def test_runs_on_another_disk_are_moved(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: `Invalid cross-device link`."""

    def refuse(source: object, target: object, **_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    (tmp_path / "disk").mkdir()
    (results / "runs").symlink_to(tmp_path / "disk")
    kept, old = make_run(results / "runs/t/m.a/full/b000"), make_run(results / "runs/t/m.b/full/b000")
    monkeypatch.setattr("os.rename", refuse)
    assert supersede_runs(results, [kept]) == [results / "runs/t/m.b"]
    assert kept.is_dir() and not old.exists()
    assert (results / "superseded/runs/t/m.b/full/b000/predictions.parquet").read_text() == "old"


def test_a_linked_folder_is_moved_as_a_link(results: Path, tmp_path: Path) -> None:
    made = make_run(tmp_path / "disk/m.b/full/b000")
    (results / "runs/t").mkdir(parents=True)
    (results / "runs/t/m.b").symlink_to("../../../disk/m.b")
    assert supersede_runs(results, []) == [results / "runs/t"]
    assert (results / "superseded/runs/t/m.b/full/b000/predictions.parquet").read_text() == "old" and made.is_dir()
