import hashlib
import os
from pathlib import Path

import pytest

from emoadapt.errors import ModelError
from emoadapt.models import registry
from emoadapt.models.registry import Weights, identity, list_weights, resolve

CONTENT = b"weights"
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def pinned(monkeypatch):
    """A registry of our own: one pinned file, one pair of which one is pinned, one hub model."""
    entries = [
        Weights("net", "https://example.org/net", "MIT", "", {"net/net.onnx": SHA}),
        Weights("pair", "https://example.org/pair", "MIT", "", {"pair/a.pt": SHA, "pair/b.pt": None}),
        Weights("org/speech", "https://huggingface.co/org/speech", "MIT", "", {}, hub=True),
    ]
    monkeypatch.setattr(registry, "list_weights", lambda: {entry.name: entry for entry in entries})


def _write(folder: Path, name: str, content: bytes = CONTENT) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_every_entry_is_complete():
    names = list_weights()
    assert {
        "mtcnn",
        "yunet",
        "mediapipe",
        "mediapipe_landmarker",
        "mini_xception_fer2013",
        "enet_b2_8",
        "whisper/small",
    } <= set(names)
    assert {"facebook/wav2vec2-base", "microsoft/wavlm-base", "facebook/hubert-base-ls960"} <= set(names)
    for entry in names.values():
        assert entry.source.startswith("https://") and entry.licence and entry.input
        assert bool(entry.files) != entry.hub
        assert all(digest is None or len(bytes.fromhex(digest)) == 32 for digest in entry.files.values())


def test_whisper_pins_are_those_in_the_library():
    source = Path(pytest.importorskip("whisper").__file__).read_text()
    for name in ("tiny", "base", "small", "medium", "large-v2", "large-v3", "turbo"):
        entry = list_weights()[f"whisper/{name}"]
        assert f'"{name}": "{entry.source}"' in source
        assert next(iter(entry.files.values())) in entry.source


def test_resolve_finds_names_files_and_folders(pinned, tmp_path):
    file = _write(tmp_path, "net/net.onnx")
    _write(tmp_path, "pair/a.pt"), _write(tmp_path, "pair/b.pt", b"anything")
    own = _write(tmp_path / "elsewhere", "own.onnx", b"mine")
    assert resolve("net", tmp_path) == resolve("net/net.onnx", tmp_path) == file
    assert resolve("pair", tmp_path) == tmp_path / "pair"
    assert resolve(str(own), tmp_path) == own


def test_missing_weights_say_where_they_belong_and_where_to_get_them(pinned, tmp_path):
    with pytest.raises(ModelError, match=r"'net' are missing.*net/net\.onnx.*https://example\.org/net.*MIT"):
        resolve("net", tmp_path)
    with pytest.raises(ModelError, match=r"pair/b\.pt"):
        _write(tmp_path, "pair/a.pt")
        resolve("pair", tmp_path)
    with pytest.raises(ModelError, match=r"own\.onnx.*models_dir"):
        resolve("own.onnx", tmp_path)


@pytest.mark.parametrize("name", ["net", "net/net.onnx"])
def test_altered_weights_are_refused(pinned, tmp_path, name):
    _write(tmp_path, "net/net.onnx", b"other")
    with pytest.raises(ModelError, match=SHA[:12]):
        resolve(name, tmp_path)


def test_an_absolute_path_may_hold_any_weights(pinned, tmp_path):
    file = _write(tmp_path, "net/net.onnx", b"retrained")
    assert resolve(str(file), tmp_path) == file


def test_pinned_identity_is_the_content_and_needs_no_file(pinned, tmp_path):
    wanted = f"sha256:{SHA[:16]}"
    assert identity("net", tmp_path) == identity("net/net.onnx", tmp_path) == wanted
    assert identity(str(_write(tmp_path, "copy.onnx")), tmp_path) == wanted


def test_identity_of_unpinned_weights_follows_the_content(pinned, tmp_path):
    assert identity("pair", tmp_path) == "missing:pair"
    _write(tmp_path, "pair/a.pt"), _write(tmp_path, "pair/b.pt", b"one")
    first = identity("pair", tmp_path)
    _write(tmp_path, "pair/b.pt", b"two!")
    assert first.startswith("sha256:") and identity("pair", tmp_path) != first


def test_identity_of_a_folder(pinned, tmp_path):
    _write(tmp_path, "model/config.json"), _write(tmp_path, "model/deep/weights.bin")
    first = identity("model", tmp_path)
    _write(tmp_path, "model/.cache/download.lock")
    os.utime(tmp_path / "model" / "config.json", (1, 1))
    assert identity("model", tmp_path) == first
    (tmp_path / "model/config.json").rename(tmp_path / "model/other.json")
    assert identity("model", tmp_path) != first


def test_identity_of_hub_models(pinned, tmp_path):
    assert identity("org/speech", tmp_path) == "hub:org/speech@main"
    assert identity("some/one", tmp_path, revision="abc") == "hub:some/one@abc"
    assert identity("some/net.onnx", tmp_path) == "missing:some/net.onnx"
    _write(tmp_path, "org/speech/model.safetensors")
    assert identity("org/speech", tmp_path) == f"sha256:{SHA[:16]}"


def test_digests_of_large_files_are_remembered_between_processes(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "REMEMBERED_BYTES", 1)
    file = _write(tmp_path, "large.bin")
    assert registry.digest_file(file) == SHA
    registry._digest_state.cache_clear()
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("read again"))
    assert registry.digest_file(file) == SHA


def test_a_file_replaced_by_one_of_equal_size_and_time_is_read_again(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "REMEMBERED_BYTES", 1)
    file = _write(tmp_path, "large.bin")
    os.utime(file, (5, 5))
    registry.digest_file(file)
    file.rename(tmp_path / "old.bin")
    _write(tmp_path, "large.bin", CONTENT[::-1])
    os.utime(file, (5, 5))
    assert registry.digest_file(file) == hashlib.sha256(CONTENT[::-1]).hexdigest()


def test_a_memory_that_cannot_be_written_is_no_error(monkeypatch, tmp_path):
    (tmp_path / "cache").write_text("a file, not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "REMEMBERED_BYTES", 1)
    assert registry.digest_file(_write(tmp_path, "large.bin")) == SHA


@pytest.mark.skipif("EMOADAPT_MODELS" not in os.environ, reason="EMOADAPT_MODELS is not set")
@pytest.mark.parametrize("name", ["mtcnn", "yunet", "mediapipe", "mediapipe_landmarker", "mini_xception_fer2013"])
def test_real_weights_have_their_pins(name):
    assert resolve(name, Path(os.environ["EMOADAPT_MODELS"])).exists()
