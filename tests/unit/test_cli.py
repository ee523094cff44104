"""The command line takes what Snakemake takes."""

import sys
from pathlib import Path

import pytest

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
