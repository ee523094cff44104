"""The registry: what is named, where it is found, and what a result says it was computed with."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from emoadapt.errors import ModelError
from emoadapt.weights import registry
from emoadapt.weights.registry import LOCK_FILE, WeightFile, Weights, identity, list_weights, locate, resolve

CONTENT = b"weights"
SHA = hashlib.sha256(CONTENT).hexdigest()
COMMIT, OTHER = "a" * 40, "b" * 40


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A registry of our own: a pinned file under two names, a pair of which one is pinned, hub models, one to be got by hand."""
    address = "https://example.org/file"
    net = Weights("net", "", "https://example.org/net", "MIT", "", {"net/net.onnx": WeightFile(SHA, 7, address)})
    pair = {"pair/a.pt": WeightFile(SHA, 7, address), "pair/b.pt": WeightFile(origin=address)}
    entries = [
        net,
        Weights("pair", "", "https://example.org/pair", "MIT", "", pair),
        Weights("byhand", "", "https://example.org/byhand", "MIT", "", {"own/byhand.onnx": WeightFile(SHA)}),
        Weights("org/speech", "", "https://huggingface.co/org/speech", "MIT", "", {}, hub=True),
        Weights(
            "org/fixed", "", "https://huggingface.co/org/fixed", "MIT", "",
            {"org/fixed/model.safetensors": WeightFile(SHA)}, hub=True, revision=COMMIT,
        ),
    ]  # fmt: skip
    monkeypatch.setattr(registry, "list_weights", lambda: {entry.name: entry for entry in entries} | {"alias": net})
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


def _write(folder: Path, name: str, content: bytes = CONTENT) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _cache(tmp_path: Path, name: str, commit: str, content: bytes = CONTENT) -> Path:
    """A snapshot as the Hugging Face cache has it: links to blobs, and the branch `main` leading to the commit."""
    repository = tmp_path / "cache" / f"models--{name.replace('/', '--')}"
    for file, text in (("config.json", b"{}"), ("model.safetensors", content)):
        blob = _write(repository, f"blobs/{hashlib.sha256(text).hexdigest()}", text)
        link = repository / "snapshots" / commit / file
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    _write(repository, "refs/main", commit.encode())
    return repository / "snapshots" / commit


def _lock(folder: Path, **entries: dict) -> None:
    _write(folder, LOCK_FILE, json.dumps({name.replace("__", "/"): entry for name, entry in entries.items()}).encode())


# --- what is registered -----------------------------------------------------------------------------


def test_every_model_of_the_papers_is_registered():
    assert {
        "mtcnn", "yunet", "mediapipe", "mediapipe_landmarker", "mediapipe_blendshapes", "mini_xception_fer2013", "enet_b2_8",
        "cardiffnlp/twitter-xlm-roberta-base-sentiment", "roberta-base", "bert-base-uncased",
        "facebook/wav2vec2-base", "microsoft/wavlm-base", "facebook/hubert-base-ls960", "facebook/data2vec-audio-base",
        "MIT/ast-finetuned-audioset-10-10-0.4593",
    } <= set(list_weights())  # fmt: skip


@pytest.mark.parametrize("entry", list_weights().values(), ids=lambda entry: entry.name)
def test_every_entry_is_complete(entry: Weights):
    assert entry.source.startswith("https://") and entry.licence and entry.input and entry.role
    assert entry.hub or entry.files
    assert entry.revision is None or len(bytes.fromhex(entry.revision)) == 20
    for place, file in entry.files.items():
        # The authors of AV-HuBERT and PASE+ publish no checksums; they are recorded when it is fetched.
        assert len(bytes.fromhex(file.sha256 or "")) == (
            0 if entry.name.startswith(("av_hubert/", "pase_plus")) else 32
        )
        assert place.startswith(f"{entry.name}/") if entry.hub else not place.startswith("/")
        if file.origin and not entry.wheel:
            assert file.origin.startswith("https://") and (entry.revision or "") in file.origin


def test_whisper_pins_are_those_of_the_library():
    library = pytest.importorskip("whisper")
    assert {name.removeprefix("whisper/") for name in list_weights() if name.startswith("whisper/")} == set(
        library.available_models()
    )
    for name, address in library._MODELS.items():
        ((place, file),) = list_weights()[f"whisper/{name}"].files.items()
        assert file.origin == address
        assert (place, file.sha256) == (f"whisper/{Path(address).name}", address.split("/")[-2])


# --- finding and checking ---------------------------------------------------------------------------


def test_resolve_finds_names_aliases_files_and_folders(pinned, tmp_path):
    file = _write(tmp_path, "net/net.onnx")
    _write(tmp_path, "pair/a.pt"), _write(tmp_path, "pair/b.pt", b"anything")
    own = _write(tmp_path / "elsewhere", "own.onnx", b"mine")
    assert resolve("net", tmp_path) == resolve("net/net.onnx", tmp_path) == resolve("alias", tmp_path) == file
    assert resolve("pair", tmp_path) == tmp_path / "pair"
    assert resolve(str(own), tmp_path) == own


def test_missing_weights_say_where_they_belong_and_which_command_fetches_them(pinned, tmp_path):
    command = rf"`emoadapt models fetch %s --models-dir {tmp_path}`"
    with pytest.raises(ModelError, match=rf"'net' are missing.*net/net\.onnx; {command % 'net'}.*MIT"):
        resolve("net", tmp_path)
    with pytest.raises(ModelError, match=rf"net/net\.onnx; {command % 'net'}"):
        resolve("net/net.onnx", tmp_path)
    with pytest.raises(ModelError, match=rf"pair/b\.pt; {command % 'pair'}"):
        _write(tmp_path, "pair/a.pt")
        resolve("pair", tmp_path)
    with pytest.raises(
        ModelError, match=rf"org/speech, and the .* cache lacks revision main; {command % 'org/speech'}"
    ):
        resolve("org/speech", tmp_path)
    with pytest.raises(ModelError, match=rf"cache lacks revision {COMMIT}; {command % 'org/fixed'}"):
        resolve("org/fixed", tmp_path)
    with pytest.raises(ModelError, match=rf"cache lacks revision {OTHER}; {command % f'org/speech@{OTHER}'}"):
        resolve("org/speech", tmp_path, OTHER)
    with pytest.raises(ModelError, match=r"own/byhand\.onnx; get it from https://example\.org/byhand .*put it there"):
        resolve("byhand", tmp_path)
    with pytest.raises(ModelError, match=r"own\.onnx; put the file there, set models_dir"):
        resolve("own.onnx", tmp_path)


def test_the_command_can_be_pasted_where_the_folder_has_a_space(pinned, tmp_path):
    with pytest.raises(ModelError, match=r"--models-dir '.*/my models'`"):
        resolve("net", tmp_path / "my models")


@pytest.mark.parametrize("name", ["net", "net/net.onnx", "alias"])
def test_altered_weights_are_refused(pinned, tmp_path, name):
    _write(tmp_path, "net/net.onnx", b"other")
    with pytest.raises(ModelError, match=rf"net/net\.onnx is not the file .*{SHA[:12]}; `emoadapt models fetch net "):
        resolve(name, tmp_path)


def test_what_was_recorded_when_it_was_fetched_is_a_pin(pinned, tmp_path):
    _write(tmp_path, "pair/a.pt"), _write(tmp_path, "pair/b.pt", b"fetched")
    _lock(tmp_path, pair={"files": {"pair/b.pt": hashlib.sha256(b"fetched").hexdigest()}})
    assert resolve("pair", tmp_path) == tmp_path / "pair"
    _write(tmp_path, "pair/b.pt", b"altered")
    for name in ("pair", "pair/b.pt"):
        with pytest.raises(ModelError, match=r"pair/b\.pt is not the file"):
            resolve(name, tmp_path)


def test_the_registry_overrules_what_was_recorded(pinned, tmp_path):
    _write(tmp_path, "net/net.onnx", b"other")
    _lock(tmp_path, net={"files": {"net/net.onnx": hashlib.sha256(b"other").hexdigest()}})
    with pytest.raises(ModelError, match="is not the file"):
        resolve("net", tmp_path)


def test_a_broken_lock_file_is_named(pinned, tmp_path):
    _write(tmp_path, "net/net.onnx")
    for text in (b"{", b"[]", b'{"net": 1}'):
        _write(tmp_path, LOCK_FILE, text)
        with pytest.raises(ModelError, match=rf"{LOCK_FILE} cannot be read .*delete it"):
            resolve("net", tmp_path)


def test_an_absolute_path_may_hold_any_weights(pinned, tmp_path):
    file = _write(tmp_path, "net/net.onnx", b"retrained")
    assert resolve(str(file), tmp_path) == file


def test_locate_does_not_read_the_files(pinned, tmp_path):
    file = _write(tmp_path, "net/net.onnx", b"other")
    assert locate("net", tmp_path) == file
    with pytest.raises(ModelError, match="missing"):
        locate("pair", tmp_path)


# --- hub models -------------------------------------------------------------------------------------


def test_a_hub_model_is_a_local_folder_before_it_is_a_cached_snapshot(pinned, tmp_path):
    snapshot = _cache(tmp_path, "org/speech", COMMIT)
    models = tmp_path / "models"
    assert resolve("org/speech", models) == resolve("org/speech", models, COMMIT) == snapshot
    _write(models, "org/speech/config.json", b"{}")
    assert resolve("org/speech", models) == models / "org/speech"


def test_a_cached_snapshot_of_another_commit_is_not_taken(pinned, tmp_path):
    _cache(tmp_path, "org/fixed", OTHER)
    with pytest.raises(ModelError, match=f"lacks revision {COMMIT}"):
        resolve("org/fixed", tmp_path / "models")
    _cache(tmp_path, "org/fixed", COMMIT)
    assert resolve("org/fixed", tmp_path / "models").name == COMMIT


def test_a_cached_snapshot_without_weights_is_not_taken(pinned, tmp_path):
    (_cache(tmp_path, "org/speech", COMMIT) / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="missing"):
        resolve("org/speech", tmp_path / "models")


@pytest.mark.parametrize("cached", [True, False])
def test_altered_weights_of_a_hub_model_are_refused(pinned, tmp_path, cached):
    models = tmp_path / "models"
    if cached:
        _cache(tmp_path, "org/fixed", COMMIT, b"altered")
    else:
        _write(models, "org/fixed/config.json", b"{}"), _write(models, "org/fixed/model.safetensors", b"altered")
    with pytest.raises(ModelError, match=r"model\.safetensors is not the file that org/fixed names"):
        resolve("org/fixed", models)


def test_the_registry_pins_the_files_of_its_own_commit_only(pinned, tmp_path):
    snapshot = _cache(tmp_path, "org/fixed", OTHER, b"of another commit")
    assert resolve("org/fixed", tmp_path / "models", OTHER) == snapshot


def test_a_fetched_folder_must_be_whole_and_of_the_commit_asked_for(pinned, tmp_path):
    files = {f"org/speech/{name}": SHA for name in ("config.json", "model.safetensors")}
    for file in files:
        _write(tmp_path, file)
    _lock(tmp_path, org__speech={"revision": COMMIT, "files": files})
    assert resolve("org/speech", tmp_path) == resolve("org/speech", tmp_path, COMMIT) == tmp_path / "org/speech"
    with pytest.raises(ModelError, match=rf"has commit {COMMIT[:12]}.*fetch org/speech@{OTHER} "):
        resolve("org/speech", tmp_path, OTHER)
    (tmp_path / "org/speech/config.json").unlink()
    with pytest.raises(ModelError, match=r"no .*org/speech/config\.json"):
        resolve("org/speech", tmp_path)


def test_a_name_that_no_hub_could_have_is_missing(pinned, tmp_path):
    with pytest.raises(ModelError, match="missing"):
        resolve("not--a/name", tmp_path)


# --- identities -------------------------------------------------------------------------------------


def test_pinned_identity_is_the_content_and_needs_no_file(pinned, tmp_path):
    wanted = f"sha256:{SHA[:16]}"
    assert identity("net", tmp_path) == identity("net/net.onnx", tmp_path) == identity("alias", tmp_path) == wanted
    assert identity(str(_write(tmp_path, "copy.onnx")), tmp_path) == wanted


def test_identity_of_unpinned_weights_follows_the_content(pinned, tmp_path):
    assert identity("pair", tmp_path) == "missing:pair"
    _write(tmp_path, "pair/a.pt"), _write(tmp_path, "pair/b.pt", b"one")
    first = identity("pair", tmp_path)
    _write(tmp_path, "pair/b.pt", b"two!")
    assert first.startswith("sha256:") and identity("pair", tmp_path) != first


def test_recorded_weights_are_named_by_their_record_and_not_read(pinned, tmp_path):
    _write(tmp_path, "pair/a.pt"), _write(tmp_path, "pair/b.pt", b"altered")
    named = []
    for content in (b"one", b"two"):
        _lock(tmp_path, pair={"files": {"pair/b.pt": hashlib.sha256(content).hexdigest()}})
        named.append((identity("pair", tmp_path), identity("pair/b.pt", tmp_path)))
    assert named[0][1] == f"sha256:{hashlib.sha256(b'one').hexdigest()[:16]}"
    assert named[0][0] != named[1][0] and named[0][1] != named[1][1]


def test_identity_of_a_folder(pinned, tmp_path):
    _write(tmp_path, "model/config.json"), _write(tmp_path, "model/deep/weights.bin")
    first = identity("model", tmp_path)
    _write(tmp_path, "model/.cache/download.lock")
    os.utime(tmp_path / "model" / "config.json", (1, 1))
    assert identity("model", tmp_path) == first
    (tmp_path / "model/config.json").rename(tmp_path / "model/other.json")
    assert identity("model", tmp_path) != first


def test_identity_of_hub_models_is_their_commit_wherever_they_are(pinned, tmp_path):
    models = tmp_path / "models"
    assert identity("org/speech", models) == "hub:org/speech@main"
    assert identity("some/one", models, revision="abc") == "hub:some/one@abc"
    assert identity("some/net.onnx", models) == "missing:some/net.onnx"
    assert identity("org/fixed", models) == f"hub:org/fixed@{COMMIT}"
    _cache(tmp_path, "org/speech", COMMIT)
    assert identity("org/speech", models) == f"hub:org/speech@{COMMIT}"
    _write(models, "org/speech/model.safetensors")
    _lock(models, org__speech={"revision": COMMIT, "files": {"org/speech/model.safetensors": SHA}})
    assert identity("org/speech", models) == f"hub:org/speech@{COMMIT}"


def test_a_folder_that_was_not_fetched_is_named_by_its_content(pinned, tmp_path):
    _write(tmp_path, "org/speech/model.safetensors"), _write(tmp_path, "org/fixed/model.safetensors")
    assert identity("org/speech", tmp_path) == identity("org/fixed", tmp_path) == f"sha256:{SHA[:16]}"


def test_a_file_put_into_a_fetched_folder_changes_its_identity(pinned, tmp_path):
    """Symptom: weights converted by hand, which loaders prefer, gave other results under the name of the commit."""
    file = _write(tmp_path, "org/speech/pytorch_model.bin")
    _lock(tmp_path, org__speech={"revision": COMMIT, "files": {"org/speech/pytorch_model.bin": SHA}})
    assert identity("org/speech", tmp_path) == f"hub:org/speech@{COMMIT}"
    converted = _write(tmp_path, "org/speech/model.safetensors", b"converted")
    first = identity("org/speech", tmp_path)
    assert first.startswith("sha256:")
    _write(tmp_path, "org/speech/model.safetensors", b"again")
    assert identity("org/speech", tmp_path) not in (first, f"hub:org/speech@{COMMIT}")
    converted.unlink()
    file.unlink()
    assert identity("org/speech", tmp_path) == f"hub:org/speech@{COMMIT}", "what is lacking is named by its pin"


@pytest.mark.parametrize(("name", "hub"), [("org/net", True), ("org/net.v1", True), ("roberta-base", False), ("./net", False), ("../net", False), ("-x/y", False), ("a/b/c", False), ("a/net.onnx", False)])  # fmt: skip
def test_hub_ids_are_distinguished_from_paths(pinned, tmp_path, name, hub):
    assert registry.is_hub_id(name) is hub


# --- digests ----------------------------------------------------------------------------------------


def test_digests_of_large_files_are_remembered_between_processes(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "REMEMBERED_BYTES", 1)
    file = _write(tmp_path, "large.bin")
    assert registry.digest_file(file) == SHA
    registry._recall_digest.cache_clear()
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
@pytest.mark.parametrize(
    "name", ["mtcnn", "yunet", "mediapipe", "mediapipe_landmarker", "mediapipe_blendshapes", "mini_xception_fer2013"]
)
def test_real_weights_have_their_pins_and_sizes(name):
    models, entry = Path(os.environ["EMOADAPT_MODELS"]), list_weights()[name]
    assert resolve(name, models).exists()
    assert sum((models / place).stat().st_size for place in entry.files) == entry.size


def test_a_misspelt_name_that_a_hub_could_have_is_asked_about(tmp_path):
    with pytest.raises(
        ModelError,
        match=r"did you mean av_hubert/base_vox_iter5\? If not, `emoadapt models fetch av_hubert/base_vox_iter ",
    ):
        resolve("av_hubert/base_vox_iter", tmp_path)
