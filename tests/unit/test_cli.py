"""The command line takes what Snakemake takes."""

import sys
from pathlib import Path

import pytest

from emoadapt import __version__
from emoadapt.cli import main


def test_all_configuration_files_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Symptom: after one flag, the second file was unknown to some commands."""
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text("study: mine\nreport: {bootstrap: none}\n")
    Path("b.yaml").write_text("report: {bootstrap: 100}\nbogus: 1\n")
    for command in (["check"], ["plan"]):
        monkeypatch.setattr(sys, "argv", ["emoadapt", *command, "--configfile", "a.yaml", "b.yaml"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1
        said = capsys.readouterr().err
        assert "bogus: this key is not known" in said and "bootstrap" not in said


def test_the_version_is_that_of_the_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["emoadapt", "--version"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code, capsys.readouterr().out) == (0, f"emoadapt {__version__}\n")


@pytest.mark.parametrize("second", [["--configfile", "b.yaml"], ["--configfile=b.yaml"]])
def test_a_repeated_configfile_flag_is_refused(
    second: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Symptom: Snakemake read the last file alone, and emoadapt all of them."""
    monkeypatch.setattr(sys, "argv", ["emoadapt", "check", "--configfile", "a.yaml", *second])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert "--configfile is given twice; write both files after one flag" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["check"], ["plan"], ["contact-sheet", "talks"], ["explore", "talks"], ["models", "fetch"]]
)
def test_a_file_without_the_option_is_answered_with_the_option(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["emoadapt", *command, "my_study.yaml"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err.endswith("write --configfile my_study.yaml\n")


@pytest.mark.parametrize("command", ["quarantine", "disk"])
def test_commands_that_read_no_study_accept_its_file(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["emoadapt", command, "--configfile", "a.yaml", "b.yaml"])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().err
    assert "run the study first" in said if command == "quarantine" else "missing folder results" in said


def test_a_contact_sheet_of_a_corpus_without_video_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text("study: s\ncorpora: {acted: {importer: folder, root: a}}\n")
    monkeypatch.setattr(sys, "argv", ["emoadapt", "contact-sheet", "acted", "--configfile", "s.yaml"])
    with pytest.raises(SystemExit):
        main()
    assert "acted has no video" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("a1.rms", "there is no such objective; choose from a1.energy_level, a2.egemaps"),
        ("a1", "there is no such objective"),
        ("a2.egemaps", "a2 is not trained on films"),
        ("a1.energy_level", "the target energy_level of films is not computed"),
    ],
)
def test_a_contact_sheet_of_an_unknown_target_is_refused(
    target: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(
        "study: s\ncorpora:\n  films: {importer: folder, root: a, modalities: [audio, video]}\n  talks: {importer: folder, root: b}\n"
        "backbones: {lld: {architecture: lld_transformer}}\nadaptations:\n  a1: {corpora: [films], objectives: {energy_level: 1}}\n"
        "  a2: {corpora: [talks], objectives: {egemaps: 1}}\n"
    )
    command = ["contact-sheet", "films", "--target", target, "--configfile", "s.yaml"]
    monkeypatch.setattr(sys, "argv", ["emoadapt", *command])
    with pytest.raises(SystemExit):
        main()
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("flags", [[], ["--name", "mine"]])
def test_new_study_without_a_folder_asks_nothing_away_from_a_terminal(
    flags: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["emoadapt", "new-study", *flags])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = "emoadapt: new-study needs the folder of your clips: emoadapt new-study FOLDER\n"
    assert capsys.readouterr().err == said
