"""Which weights are here, and how they are."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from emoadapt.errors import ModelError
from emoadapt.storage.caches import read_cache, write_cache
from emoadapt.weights import inventory, registry
from emoadapt.weights.inventory import (
    inspect_weights,
    list_present,
    parse_name,
    print_list,
    print_verification,
    show_size,
    summarise,
)
from emoadapt.weights.registry import LOCK_FILE, WeightFile, Weights

SHA = hashlib.sha256(b"weights").hexdigest()
COMMIT = "a" * 40


@pytest.fixture(autouse=True)
def entries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    address = "https://example.org"
    pair = {"pair/a.pt": WeightFile(SHA, 1_990_000, address), "pair/b.pt": WeightFile(SHA, 10_000, address)}
    known = [
        Weights("pair", "detector", address, "MIT", "", pair),
        Weights("loose", "embedding", address, "BSD", "", {"loose.onnx": WeightFile(origin=address)}),
        Weights(
            "org/net", "backbone", address, "Apache-2.0", "", {"org/net/model.safetensors": WeightFile(SHA)}, hub=True,
            revision=COMMIT,
        ),
    ]  # fmt: skip
    for module in (registry, inventory):
        monkeypatch.setattr(module, "list_weights", lambda: {entry.name: entry for entry in known})
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


def write(folder: Path, name: str, content: bytes = b"weights") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def states(name: str, models: Path) -> dict[str, str]:
    return {file.place.relative_to(models).as_posix(): file.state for file in inspect_weights(name, models)}


def test_each_file_has_its_state(tmp_path: Path) -> None:
    write(tmp_path, "pair/a.pt"), write(tmp_path, "loose.onnx")
    assert states("pair", tmp_path) == {"pair/a.pt": "ok", "pair/b.pt": "missing"}
    write(tmp_path, "pair/b.pt", b"other")
    assert states("pair", tmp_path) == {"pair/a.pt": "ok", "pair/b.pt": "altered"}
    assert states("loose", tmp_path) == {"loose.onnx": "not pinned"}
    assert [file.state for file in inspect_weights(str(tmp_path / "loose.onnx"), tmp_path / "models")] == ["not pinned"]
    assert states("own/net.onnx", tmp_path) == {"own/net.onnx": "missing"}


def test_what_was_recorded_is_verified(tmp_path: Path) -> None:
    write(tmp_path, "loose.onnx")
    write(tmp_path, LOCK_FILE, json.dumps({"loose": {"files": {"loose.onnx": SHA}}}).encode())
    assert states("loose", tmp_path) == {"loose.onnx": "ok"}
    write(tmp_path, "loose.onnx", b"other")
    assert states("loose", tmp_path) == {"loose.onnx": "altered"}


def test_the_states_of_a_hub_folder(tmp_path: Path) -> None:
    assert states("org/net", tmp_path) == {"org/net": "missing"}
    write(tmp_path, "org/net/config.json")
    assert states("org/net", tmp_path) == {"org/net": "missing"}, "a configuration without weights is no model"
    write(tmp_path, "org/net/model.safetensors")
    assert states("org/net", tmp_path) == {"org/net/config.json": "not pinned", "org/net/model.safetensors": "ok"}
    assert summarise(inspect_weights("org/net", tmp_path)) == "ok", "its weights are pinned"
    lock = {"org/net": {"revision": "b" * 40, "files": {}}}
    write(tmp_path, LOCK_FILE, json.dumps(lock).encode())
    assert states("org/net", tmp_path) == {"org/net": "altered"}, "another commit than the registry's"


def test_the_worst_file_decides(tmp_path: Path) -> None:
    write(tmp_path, "pair/b.pt", b"other")
    assert summarise(inspect_weights("pair", tmp_path)) == "missing"
    write(tmp_path, "pair/a.pt")
    assert summarise(inspect_weights("pair", tmp_path)) == "altered"
    write(tmp_path, "pair/b.pt")
    assert summarise(inspect_weights("pair", tmp_path)) == "ok"
    write(tmp_path, "loose.onnx")
    assert summarise(inspect_weights("loose", tmp_path)) == "not pinned"


def test_names_of_weights_are_parsed(tmp_path: Path) -> None:
    own = write(tmp_path, "own.onnx")
    assert parse_name("pair", tmp_path) == ("pair", None)
    assert parse_name("some/model@v2", tmp_path) == ("some/model", "v2")
    assert parse_name("own.onnx", tmp_path) == ("own.onnx", None)
    assert parse_name(str(own), tmp_path / "models") == (str(own), None)
    odd = write(tmp_path, "me@home/own.onnx")
    assert parse_name(str(odd), tmp_path) == (str(odd), None)
    with pytest.raises(ModelError, match="did you mean pair"):
        parse_name("pairs", tmp_path)
    with pytest.raises(ModelError, match="did you mean org/net"):
        parse_name("net", tmp_path)
    with pytest.raises(ModelError, match="emoadapt models list"):
        parse_name("zzz", tmp_path)
    with pytest.raises(ModelError, match="only a hub model has a revision"):
        parse_name("pair@v2", tmp_path)


def test_present_weights_are_listed(tmp_path: Path) -> None:
    assert list_present(tmp_path) == []
    write(tmp_path, "pair/a.pt")
    write(tmp_path, LOCK_FILE, json.dumps({"some/model": {"revision": COMMIT, "files": {}}}).encode())
    assert list_present(tmp_path) == [("pair", None), ("some/model", COMMIT)]
    assert list_present(tmp_path, besides=[("some/model", "v2")]) == [("pair", None)]


def test_the_list_says_role_size_licence_and_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "loose.onnx")
    print_list(tmp_path)
    rows = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells[:4] == [
        ["name", "role", "size", "licence", "here"],
        ["pair", "detector", "2 MB", "MIT", "missing"],
        ["loose", "embedding", "BSD", "not pinned"],
        ["org/net", "backbone", "Apache-2.0", "missing"],
    ]


def test_verification_names_every_file_and_fails_on_the_bad_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "pair/a.pt"), write(tmp_path, "pair/b.pt"), write(tmp_path, "loose.onnx")
    print_verification([("pair", None), ("loose", None)], tmp_path)
    assert capsys.readouterr().out.splitlines() == [
        f"ok          pair  {tmp_path}/pair/a.pt",
        f"ok          pair  {tmp_path}/pair/b.pt",
        f"not pinned  loose  {tmp_path}/loose.onnx",
    ]
    write(tmp_path, "pair/b.pt", b"other")
    with pytest.raises(ModelError, match="2 of 3 sets") as error:
        print_verification([("pair", None), ("loose", None), ("org/net", None)], tmp_path)
    assert f"altered     pair  {tmp_path}/pair/b.pt" in capsys.readouterr().out
    assert f"pair (altered): `emoadapt models fetch pair --models-dir {tmp_path}`" in str(error.value)
    assert f"org/net (missing): `emoadapt models fetch org/net --models-dir {tmp_path}`" in str(error.value)


def test_a_model_at_another_commit_than_the_registrys_is_verified_as_it_was_fetched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Symptom: `verify` ended with an error where a study's `revision` had been fetched."""
    write(tmp_path, "org/net/config.json"), write(tmp_path, "org/net/model.safetensors")
    files = {f"org/net/{name}": SHA for name in ("config.json", "model.safetensors")}
    write(tmp_path, LOCK_FILE, json.dumps({"org/net": {"revision": "b" * 40, "files": files}}).encode())
    print_verification(list_present(tmp_path), tmp_path)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["ok", "ok"]


def test_verification_reads_a_file_that_seems_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: a file that rotted on its disk, as large and old as before, was said to be ok without being read."""
    file = write(tmp_path, "pair/a.pt").resolve()
    write(tmp_path, "pair/b.pt")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "REMEMBERED_BYTES", 1)
    assert summarise(inspect_weights("pair", tmp_path)) == "ok"
    before = file.stat()
    file.write_bytes(b"rotten!")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    # The time of change cannot be set back: let the file have that of before.
    memory = read_cache(tmp_path / "cache/emoadapt/weights.json")
    memory[str(file)][2] = file.stat().st_ctime_ns
    write_cache(tmp_path / "cache/emoadapt/weights.json", memory)
    assert summarise(inspect_weights("pair", tmp_path)) == "ok"
    with pytest.raises(ModelError, match=r"pair \(altered\)"):
        print_verification([("pair", None)], tmp_path)
    registry._recall_digest.cache_clear()
    assert summarise(inspect_weights("pair", tmp_path)) == "altered", "jobs are told, too"


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (None, ""),
        (7, "7 bytes"),
        (28_570, "28.6 kB"),
        (999_600, "1 MB"),
        (75_572_083, "75.6 MB"),
        (3_087_371_615, "3.09 GB"),
    ],
)
def test_sizes_are_formatted(size: int | None, shown: str) -> None:
    assert show_size(size) == shown
