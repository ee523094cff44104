"""Downloads, from a server, a wheel and a hub that live in the test."""

from __future__ import annotations

import hashlib
import json
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from emoadapt.errors import ModelError
from emoadapt.weights import fetching, inventory, registry
from emoadapt.weights.fetching import fetch, fetch_all
from emoadapt.weights.inventory import inspect_weights, summarise
from emoadapt.weights.registry import LOCK_FILE, WeightFile, Weights, identity, read_lock, resolve

CONTENT = b"weights " * 100
COMMIT, NEWER = "a" * 40, "b" * 40


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Server:
    """Serves `files` by path; says `lengths` where a path's true length is not to be told."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            state.asked.append(path)
            content = state.files.get(path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(state.lengths.get(path, len(content or b""))))
            for name, value in state.headers.get(path, {}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content or b"")

        do_HEAD = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        state.address = f"http://127.0.0.1:{httpd.server_port}"
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        httpd.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


def register(monkeypatch: pytest.MonkeyPatch, *entries: Weights) -> None:
    for module in (registry, inventory, fetching):
        monkeypatch.setattr(module, "list_weights", lambda: {entry.name: entry for entry in entries})


def weights(name: str, files: dict[str, WeightFile], **facts: Any) -> Weights:
    return Weights(name, "", f"https://example.org/{name}", "MIT", "", files, **facts)


@pytest.fixture
def pair(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Two files of one entry, the second not pinned."""
    server.files = {"/a": CONTENT, "/b": b"anything"}
    files = {
        "pair/a.pt": WeightFile(sha256(CONTENT), origin=f"{server.address}/a"),
        "pair/b.pt": WeightFile(origin=f"{server.address}/b"),
    }
    register(monkeypatch, weights("pair", files))
    return server


def everything(folder: Path) -> set[str]:
    """Files below a folder, without the empty one that processes lock."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return found - {fetching.GUARD}


# --- files ------------------------------------------------------------------------------------------


def test_files_are_fetched_verified_and_recorded(pair: Server, tmp_path: Path) -> None:
    models = tmp_path / "new" / "models"
    assert fetch("pair", models) == f"fetched 2 files, 808 bytes, to {models / 'pair'}"
    assert everything(models) == {"pair/a.pt", "pair/b.pt", LOCK_FILE}
    assert read_lock(models) == {"pair": {"files": {"pair/b.pt": sha256(b"anything")}}}
    assert resolve("pair", models) == models / "pair"
    assert summarise(inspect_weights("pair", models)) == "ok"


def test_present_weights_are_not_fetched_again(pair: Server, tmp_path: Path) -> None:
    fetch("pair", tmp_path)
    pair.asked.clear()
    assert fetch("pair", tmp_path) == f"is here, {tmp_path / 'pair'}"
    (tmp_path / "pair/a.pt").write_bytes(b"altered")
    fetch("pair/a.pt", tmp_path)
    assert pair.asked == ["/a"], "only the file that was altered"
    assert resolve("pair", tmp_path)


def test_an_altered_download_is_refused_and_leaves_nothing(pair: Server, tmp_path: Path) -> None:
    pair.files["/a"] = b"something else"
    with pytest.raises(ModelError, match=rf"pair/a\.pt from {pair.address}/a: .*{sha256(b'something else')[:12]}"):
        fetch("pair", tmp_path)
    assert everything(tmp_path) == set()
    assert not (tmp_path / fetching.PARTIAL).exists()


def test_an_altered_download_does_not_replace_present_weights(pair: Server, tmp_path: Path) -> None:
    fetch("pair", tmp_path)
    (tmp_path / "pair/b.pt").unlink()
    pair.files["/b"] = b"changed"
    with pytest.raises(ModelError, match=rf"expected is {sha256(b'anything')[:12]}"):
        fetch("pair", tmp_path)
    assert everything(tmp_path) == {"pair/a.pt", LOCK_FILE}


def test_a_connection_that_breaks_off_leaves_nothing(pair: Server, tmp_path: Path) -> None:
    pair.lengths["/b"] = 1_000_000
    with pytest.raises(ModelError, match=rf"{pair.address}/b cannot be fetched .*broke off"):
        fetch("pair", tmp_path)
    assert everything(tmp_path) == set()


def test_an_interrupt_leaves_nothing(pair: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(address: str, file: Path) -> None:
        file.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(fetching, "_download", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch("pair", tmp_path)
    assert everything(tmp_path) == set()


def test_a_server_that_has_no_such_file_is_named(pair: Server, tmp_path: Path) -> None:
    del pair.files["/a"]
    with pytest.raises(ModelError, match=rf"{pair.address}/a cannot be fetched \(the server answers 404"):
        fetch("pair", tmp_path)


def test_unpinned_files_are_recorded_in_place(pair: Server, tmp_path: Path) -> None:
    for name, content in (("a", CONTENT), ("b", b"by hand")):
        (tmp_path / "pair").mkdir(exist_ok=True)
        (tmp_path / f"pair/{name}.pt").write_bytes(content)
    before = identity("pair/b.pt", tmp_path)
    assert fetch("pair", tmp_path).endswith("1 file recorded as found")
    assert pair.asked == []
    assert identity("pair/b.pt", tmp_path) == before
    (tmp_path / "pair/b.pt").write_bytes(b"altered")
    with pytest.raises(ModelError, match=r"pair/b\.pt is not the file"):
        resolve("pair", tmp_path)


def test_weights_in_a_folder_that_cannot_be_written_can_be_used(
    pair: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch("pair", tmp_path)
    (tmp_path / LOCK_FILE).unlink()
    monkeypatch.setattr(fetching, "_record", lambda *_: (tmp_path / "pair").open())
    assert fetch("pair", tmp_path).endswith("1 file is not pinned, and cannot be recorded there")


def test_a_folder_that_cannot_be_written_is_named(pair: Server, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file, not a folder")
    with pytest.raises(ModelError, match=r"models.* cannot be written \(Not a directory\).*--models-dir"):
        fetch("pair", tmp_path / "models")
    (tmp_path / "weights/pair/a.pt").mkdir(parents=True)
    with pytest.raises(ModelError, match=r"weights/pair/a\.pt cannot be written \(Is a directory\)"):
        fetch("pair", tmp_path / "weights")


def test_weights_without_an_address_say_where_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, weights("byhand", {"own/byhand.onnx": WeightFile("0" * 64)}))
    with pytest.raises(ModelError, match=r"no address; get it from https://example\.org/byhand .*own/byhand\.onnx"):
        fetch("byhand", tmp_path)
    with pytest.raises(
        ModelError,
        match=r"'mine\.onnx' are missing: there is no .*/mine\.onnx; put the file there, set models_dir, or give an",
    ):
        fetch("mine.onnx", tmp_path)


def test_one_that_fails_does_not_keep_the_others(
    pair: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ModelError, match=r"mine\.onnx"):
        fetch_all([("mine.onnx", None), ("pair", None)], tmp_path)
    assert capsys.readouterr().out.startswith("pair: fetched 2 files")


@pytest.mark.parametrize("by_environment", [True, False])
def test_offline_nothing_is_downloaded(
    pair: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_environment: bool
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", by_environment)
    for name in ("pair", "some/model"):
        with pytest.raises(ModelError, match=rf"{name} is missing, and nothing is downloaded offline"):
            fetch(name, tmp_path, offline=not by_environment)
    assert pair.asked == []


# --- wheels -----------------------------------------------------------------------------------------


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the package index, with one wheel."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / "carrier-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("carrier/data/net.pt", CONTENT)
        wheel.writestr("carrier-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\n")
        wheel.writestr("carrier-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("carrier-1.0.dist-info/RECORD", "")
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(folder), "CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return folder


def test_files_are_taken_out_of_a_wheel(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = {"net/net.pt": WeightFile(sha256(CONTENT), origin="carrier/data/net.pt")}
    register(monkeypatch, weights("net", good, wheel="carrier==1.0"))
    fetch("net", tmp_path / "models")
    assert (tmp_path / "models/net/net.pt").read_bytes() == CONTENT
    assert everything(tmp_path / "models") == {"net/net.pt"}


@pytest.mark.parametrize(
    ("wheel", "member", "sentence"),
    [
        ("carrier==2.0", "carrier/data/net.pt", r"pip cannot download carrier==2\.0 \(.*No matching distribution"),
        ("carrier==1.0", "carrier/net.pt", r"carrier-1\.0-py3-none-any\.whl has no carrier/net\.pt"),
        ("carrier==1.0", "carrier/data/net.pt", r"net/net\.pt from carrier==1\.0: the download has the SHA-256"),
    ],
)
def test_a_wheel_that_is_not_as_registered(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheel: str, member: str, sentence: str
) -> None:
    register(monkeypatch, weights("net", {"net/net.pt": WeightFile("0" * 64, origin=member)}, wheel=wheel))
    with pytest.raises(ModelError, match=sentence):
        fetch("net", tmp_path / "models")
    assert everything(tmp_path / "models") == set()


# --- hub --------------------------------------------------------------------------------------------

REPOSITORY = {
    "config.json": b"{}",
    "vocab.json": b'{"a": 0}',
    "LICENSE": b"MIT",
    "model.safetensors": CONTENT,
    "pytorch_model.bin": b"the same, pickled",
    "tf_model.h5": b"another framework",
    "training_args.bin": b"a pickle",
    "onnx/model.onnx": b"a folder",
    ".gitattributes": b"",
}
FETCHED = {"config.json", "vocab.json", "LICENSE", "model.safetensors"}


@pytest.fixture
def hub(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The part of the hub's API that a download needs, with `org/net` at one commit."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.address)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
        server.address + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    register(monkeypatch)
    publish(server, COMMIT, REPOSITORY)
    return server


def publish(server: Server, commit: str, files: dict[str, bytes]) -> None:
    """Make a commit the head of `main`; its safetensors file is announced with its SHA-256, as large files are."""
    siblings: list[dict[str, Any]] = [{"rfilename": name} for name in files]
    for sibling in siblings:
        content = files[sibling["rfilename"]]
        if sibling["rfilename"].endswith(".safetensors"):
            sibling["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 134}
    answer = json.dumps({"id": "org/net", "sha": commit, "siblings": siblings}).encode()
    for path in ("", "/revision/main", f"/revision/{commit}"):
        server.files[f"/api/models/org/net{path}"] = answer
    for name, content in files.items():
        path = f"/org/net/resolve/{commit}/{name}"
        server.files[path] = content
        server.headers[path] = {"X-Repo-Commit": commit, "ETag": f'"{sha256(content)}"'}


def test_a_hub_model_is_fetched_with_one_format_of_its_weights(hub: Server, tmp_path: Path) -> None:
    models = tmp_path / "models"
    assert fetch("org/net", models).startswith("fetched commit aaaaaaaaaaaa, 4 files, 813 bytes, to")
    assert everything(models) == {f"org/net/{name}" for name in FETCHED} | {LOCK_FILE}
    record = read_lock(models)["org/net"]
    assert record["revision"] == COMMIT
    assert record["files"] == {f"org/net/{name}": sha256(REPOSITORY[name]) for name in FETCHED}
    assert resolve("org/net", models) == models / "org/net"
    assert identity("org/net", models) == f"hub:org/net@{COMMIT}"
    assert fetch("org/net", models) == f"is here, {models / 'org/net'}"


def test_a_revision_is_asked_for_by_name_or_by_the_registry(
    hub: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, NEWER, {**REPOSITORY, "model.safetensors": b"newer"})
    pins = {"org/net/model.safetensors": WeightFile(sha256(CONTENT))}
    register(monkeypatch, weights("org/net", pins, hub=True, revision=COMMIT))
    fetch("org/net", tmp_path)
    assert (tmp_path / "org/net/model.safetensors").read_bytes() == CONTENT
    with pytest.raises(ModelError, match=f"fetch org/net@{NEWER}"):
        resolve("org/net", tmp_path, NEWER)
    fetch("org/net", tmp_path, NEWER)
    assert (tmp_path / "org/net/model.safetensors").read_bytes() == b"newer"
    assert everything(tmp_path) == {f"org/net/{name}" for name in FETCHED} | {LOCK_FILE}
    assert resolve("org/net", tmp_path, NEWER)


def test_another_branch_is_fetched_and_not_taken_for_the_one_that_is_here(hub: Server, tmp_path: Path) -> None:
    """Symptom: with `revision: v2` a study went on with the commit of `main` that was there."""
    publish(hub, NEWER, {**REPOSITORY, "model.safetensors": b"newer"})
    hub.files["/api/models/org/net/revision/v2"] = hub.files[f"/api/models/org/net/revision/{NEWER}"]
    publish(hub, COMMIT, REPOSITORY)
    fetch("org/net", tmp_path)
    assert resolve("org/net", tmp_path, "main")
    with pytest.raises(ModelError, match=f"has commit {COMMIT[:12]}.*fetch org/net@v2 "):
        resolve("org/net", tmp_path, "v2")
    fetch("org/net", tmp_path, "v2")
    assert identity("org/net", tmp_path, "v2") == f"hub:org/net@{NEWER}"
    assert resolve("org/net", tmp_path, "v2") == resolve("org/net", tmp_path, NEWER) == tmp_path / "org/net"


@pytest.mark.parametrize("lies", ["hidden", "beside", "behind a link"])
def test_files_that_were_not_fetched_are_not_deleted(hub: Server, tmp_path: Path, lies: str) -> None:
    """Symptom: fetching a model threw away the folder that stood there, with somebody's own weights in it."""
    models = tmp_path / "models"
    folder = tmp_path / "shared" if lies == "behind a link" else models / "org/net"
    own = {"hidden": ".git/config", "beside": "mine.pt", "behind a link": "config.json"}[lies]
    (folder / own).parent.mkdir(parents=True)
    (folder / own).write_bytes(b"own")
    if lies == "behind a link":
        (models / "org").mkdir(parents=True)
        (models / "org/net").symlink_to(folder)
    assert fetch("org/net", models).endswith(f"with files that were not fetched, is now {models / 'org/net.old1'}")
    assert (models / "org/net.old1" / own).read_bytes() == b"own"
    (models / "org/net/model.safetensors").write_bytes(b"altered")
    fetch("org/net", models)
    assert resolve("org/net", models)
    assert sorted(path.name for path in (models / "org").iterdir()) == ["net", "net.old1"]


def test_files_beside_a_fetched_commit_are_not_recorded_as_part_of_it(hub: Server, tmp_path: Path) -> None:
    fetch("org/net", tmp_path)
    recorded = read_lock(tmp_path)
    (tmp_path / "org/net/converted.safetensors").write_bytes(b"own")
    assert fetch("org/net", tmp_path).endswith("1 file does not belong to the commit that was fetched")
    assert read_lock(tmp_path) == recorded


@pytest.mark.parametrize("by", ["hub", "registry"])
def test_hub_weights_that_are_not_as_promised_are_refused(
    hub: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    if by == "hub":
        hub.files[f"/org/net/resolve/{COMMIT}/model.safetensors"] = b"x" * len(CONTENT)
    else:
        pins = {"org/net/model.safetensors": WeightFile("0" * 64)}
        register(monkeypatch, weights("org/net", pins, hub=True, revision=COMMIT))
    with pytest.raises(ModelError, match=r"model\.safetensors of org/net: the download has the SHA-256"):
        fetch("org/net", tmp_path)
    assert not (tmp_path / "org").exists() and read_lock(tmp_path) == {}


def test_an_interrupted_hub_download_continues(hub: Server, tmp_path: Path) -> None:
    weights_path = f"/org/net/resolve/{COMMIT}/model.safetensors"
    content = hub.files.pop(weights_path)
    with pytest.raises(ModelError, match=r"org/net at revision main cannot be fetched .*put a copy at .*/org/net"):
        fetch("org/net", tmp_path)
    assert not (tmp_path / "org").exists() and read_lock(tmp_path) == {}
    hub.files[weights_path] = content
    hub.asked.clear()
    fetch("org/net", tmp_path)
    assert {Path(path).name for path in hub.asked if "/resolve/" in path} == {"model.safetensors"}
    assert everything(tmp_path) == {f"org/net/{name}" for name in FETCHED} | {LOCK_FILE}


def test_a_hub_model_that_does_not_exist_is_named(hub: Server, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"org/other at revision main cannot be fetched from the Hugging Face hub"):
        fetch("org/other", tmp_path)


def test_a_hub_model_with_nothing_but_pickles_is_refused(hub: Server, tmp_path: Path) -> None:
    publish(hub, COMMIT, {"config.json": b"{}", "training_args.bin": b"a pickle", "tf_model.h5": b""})
    with pytest.raises(ModelError, match=r"org/net has neither model\.safetensors nor pytorch_model\.bin"):
        fetch("org/net", tmp_path)
    assert not any("/resolve/" in path for path in hub.asked)


def test_sharded_weights_come_with_their_index(hub: Server, tmp_path: Path) -> None:
    shards = {f"model-0000{n}-of-00002.safetensors": b"shard" for n in (1, 2)}
    publish(
        hub, COMMIT, {"config.json": b"{}", "model.safetensors.index.json": b"{}", **shards, "pytorch_model.bin": b""}
    )
    fetch("org/net", tmp_path)
    names = {"config.json", "model.safetensors.index.json", *shards}
    assert everything(tmp_path) == {f"org/net/{name}" for name in names} | {LOCK_FILE}


def test_a_model_in_the_hugging_face_cache_is_here_even_offline(hub: Server, tmp_path: Path) -> None:
    snapshot = tmp_path / "cache/models--org--net/snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (snapshot / name).write_bytes(REPOSITORY[name])
    assert fetch("org/net", tmp_path / "models", COMMIT, offline=True) == f"is here, {snapshot}"
    assert hub.asked == [] and not (tmp_path / "models").exists()


def test_a_model_that_is_altered_in_the_hugging_face_cache_is_fetched_anew(
    hub: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins = {"org/net/model.safetensors": WeightFile(sha256(CONTENT))}
    register(monkeypatch, weights("org/net", pins, hub=True, revision=COMMIT))
    snapshot = tmp_path / "cache/models--org--net/snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for name, content in (("config.json", b"{}"), ("model.safetensors", b"altered")):
        (snapshot / name).write_bytes(content)
    fetch("org/net", tmp_path / "models")
    assert resolve("org/net", tmp_path / "models") == tmp_path / "models/org/net"
    assert (tmp_path / "models/org/net/model.safetensors").read_bytes() == CONTENT
