"""The command line takes what Snakemake takes."""

import sys
from pathlib import Path

import pytest

from emoadapt.cli import main


@pytest.mark.parametrize(
    "files", [["a.yaml", "b.yaml"], ["a.yaml", "--configfile", "b.yaml"]], ids=["after one flag", "a flag each"]
)
def test_all_configuration_files_are_read(
    files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Symptom: after one flag, the second file was unknown to some commands."""
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text("study: mine\nreport: {bootstrap: none}\n")
    Path("b.yaml").write_text("report: {bootstrap: 100}\nbogus: 1\n")
    for command in (["check"], ["plan"]):
        monkeypatch.setattr(sys, "argv", ["emoadapt", *command, "--configfile", *files])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1
        said = capsys.readouterr().err
        assert "bogus: this key is not known" in said and "bootstrap" not in said
