"""One bit of every byte of every kind of file is flipped, and the file is read as the program reads it.

    python benchmarks/flips.py [--every 1] [--kinds tables models caches states]

A flip is *detected* (one sentence), *ignored* (a cache: as if it were not there), *harmless* (the same content is read, because no
reader looks at that byte: padding, names of the writing library, spaces), a *crash* (another error than a sentence) or *silent*
(other content is read without a word). There must be no silent one, and no crash. Everything happens in this process.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from emoadapt import schema
from emoadapt.errors import EmoadaptError

ROWS = 15
FEATURES = ("audio", "egemaps", "face_embedding", "faces", "sentiment", "transcript")


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Args:
        name: of the kind.
        file: an example.
        read: its content, as the program reads it; compared by `==`.
        cache: what the program gets where the file is missing is as good; `read` then restores nothing itself.
    """

    name: str
    file: Path
    read: Callable[[], Any]
    cache: bool = False


def flip_all(kind: Kind, every: int = 1) -> tuple[Counter[str], list[int]]:
    """Flip a bit of every so-many-th byte.

    Returns:
        Outcome -> number of flips; places of the silent ones and of crashes.
    """
    content, expected = kind.file.read_bytes(), kind.read()
    outcomes: Counter[str] = Counter()
    places = []
    for place in range(0, len(content), every):
        changed = bytes([content[place] ^ 1 << (place // every) % 8])
        kind.file.write_bytes(content[:place] + changed + content[place + 1 :])
        outcomes[found := _judge(kind, expected)] += 1
        places += [place] if found in ("silent", "crash") else []
    kind.file.write_bytes(content)
    return outcomes, places


def _judge(kind: Kind, expected: Any) -> str:
    try:
        same = kind.read() == expected
    except EmoadaptError as error:
        return "crash" if "\n" in str(error) else "detected"
    except Exception:
        return "crash"
    if kind.cache:
        return "ignored" if same else "silent"
    return "harmless" if same else "silent"


# --- tables


def make_tables(folder: Path) -> Iterator[Kind]:
    """A small table of each schema, read whole, by row groups, by rows and by its provenance."""
    from emoadapt.storage.tables import read_table, write_table

    schemas = {name.lower(): value for name, value in vars(schema).items() if isinstance(value, pa.Schema)}
    schemas |= {name: schema.feature_table(name) for name in FEATURES}
    schemas["training"] = schema.training(("egemaps", "face"))
    for name, columns in schemas.items():
        file = folder / f"{name}.parquet"
        write_table(file, [_invent_row(columns, number) for number in range(ROWS)], columns, {"left_out": "2"})
        yield Kind(
            f"table {name}",
            file,
            lambda file=file, columns=columns: (read_table(file, columns).to_pylist(), *_read_parts(file)),
        )


def _read_parts(file: Path) -> tuple[Any, Any]:
    from emoadapt.storage.tables import iterate_groups, read_provenance

    return [group.to_pylist() for group in iterate_groups(file)], read_provenance(file)


def _invent_row(columns: pa.Schema, number: int) -> dict[str, Any]:
    return {
        field.name: None if field.nullable and number % 4 == 3 else _invent(field.name, field.type, number)
        for field in columns
    }


def _invent(name: str, kind: pa.DataType, number: int) -> Any:
    if name == "utterance_id":
        return f"c/{number:03}"
    if pa.types.is_string(kind):
        return f"text {number % 3}"
    if pa.types.is_binary(kind):
        return bytes([number, 1, 2, 3] * 8)
    if pa.types.is_boolean(kind):
        return number % 2 == 0
    if pa.types.is_integer(kind):
        return number
    if pa.types.is_floating(kind):
        return number / 3
    if pa.types.is_struct(kind):
        return {field.name: _invent(field.name, field.type, number) for field in kind}
    size = kind.list_size if pa.types.is_fixed_size_list(kind) else 3
    return [_invent(name, kind.value_type, number + place) for place in range(size)]


# --- models


def make_models(folder: Path) -> Iterator[Kind]:
    """Files of saved models: of Stage 1 and Stage 2, with a head of `transformers` and with one of ours."""
    import torch

    from emoadapt.backbones.base import load_folder
    from emoadapt.backbones.speech_transformer import UntrainedBackbone, build_untrained
    from emoadapt.inference.classifier import EmotionClassifier, load_classifier
    from emoadapt.layers.heads import ProjectedHead, TwoLayerHead

    dimensions = UntrainedBackbone(hidden_size=8, layers=1, heads=1, conv_pos_groups=2, feat_extract_norm="layer")
    audio = [torch.linspace(-0.5, 0.5, 2000)]

    def answer(model: Any) -> Any:
        with torch.no_grad():
            return model(audio).tolist(), getattr(model, "outputs", None)

    for name, head in {"hf": ProjectedHead(8, 4, 2, seed=1), "mlp": TwoLayerHead(8, 4, 2, seed=1)}.items():
        place = folder / name
        EmotionClassifier(build_untrained("wavlm", dimensions), head, ["a", "b"]).save(place, {"title": "x"})
        for file in sorted(place.iterdir()):
            if file.suffix in (".json", ".safetensors"):
                yield Kind(f"{name} {file.name}", file, lambda place=place: answer(load_classifier(place)))
    place = folder / "mlp"
    yield Kind(
        "stage 1 config.json",
        place / "config.json",
        lambda: answer(load_folder(place, origin="it", trained=True).eval()),
    )


# --- caches and states


def make_caches(folder: Path) -> Iterator[Kind]:
    """Everything below `results/.cache`, by the functions that use it; each restores what it did not believe."""
    from emoadapt.corpora.csv import Config
    from emoadapt.flow import code
    from emoadapt.flow.fingerprints import fingerprint_media
    from emoadapt.listing import manifests
    from emoadapt.study.plan.work import read_calibration

    (folder / "media").mkdir()
    for name in "abc":
        (folder / "media" / f"{name}.wav").write_text(f"content of {name}")
    (folder / "media/table.csv").write_text(
        "file,emotion,start\na.wav,joy\nb.wav,joy\nc.wav,fear\n".replace(",start", "")
    )
    columns = {"media": "file", "label": "emotion"}
    config = Config(importer="csv", root=str(folder / "media"), file="table.csv", columns=columns, shards=1)
    state = manifests.find_state("c", config)
    found = folder / "found.parquet"

    def write_manifest() -> list[dict[str, Any]]:
        from emoadapt.storage.tables import read_table

        manifests.write_manifest("c", config, 0, state.shards[0], found)
        return read_table(found).to_pylist()

    yield Kind("cache states", manifests.STATES / "c.json", lambda: manifests.find_state("c", config), cache=True)
    listed = manifests.LISTED / "c"
    yield Kind(
        "cache labels", listed / f"{state.labels}.parquet",
        lambda: manifests.take_labels("c", config, state.labels).to_pylist(), cache=True,
    )  # fmt: skip
    yield Kind("cache manifests", listed / f"{state.shards[0]}.parquet", write_manifest, cache=True)
    prints = folder / "prints.json"
    names = ["a.wav", "b.wav"]
    fingerprint_media(folder / "media", names, prints)
    yield Kind("cache fingerprints", prints, lambda: fingerprint_media(folder / "media", names, prints), cache=True)

    def digest() -> str:
        code._recall.cache_clear()
        return code._recall("emoadapt.storage.notes", False, "import emoadapt.errors\nX = 1\n")

    code.remember_modules(folder / "code")
    digest()
    (file,) = (folder / "code").iterdir()
    yield Kind("cache code", file, digest, cache=True)
    speeds = folder / "calibration.json"
    _write_calibration(speeds, _SPEEDS)
    yield Kind("cache calibration", speeds, lambda: read_calibration(speeds) or _SPEEDS, cache=True)


_SPEEDS = {"torch": "2", "backbones": {"tiny": {"forward": 1.5}}}


def _write_calibration(path: Path, content: dict[str, Any]) -> None:
    try:
        from emoadapt.storage.caches import write_cache

        write_cache(path, content)
    except TypeError:  # as it was before caches had a digest
        import json

        path.write_text(json.dumps(content, indent=1) + "\n")


def make_states(folder: Path) -> Iterator[Kind]:
    """Training states; a damaged one is none."""
    import torch

    from emoadapt.training.states import load_object, save_object

    content = {"epoch": 3, "score": [0.5], "state": {"w": torch.arange(6.0).reshape(2, 3), "b": torch.ones(1)}}
    save_object(content, folder / "best.pt")

    def read() -> Any:
        found = load_object(folder / "best.pt")
        return repr(content) if found is None else repr(found)

    yield Kind("training state", folder / "best.pt", read, cache=True)


MAKERS = {"tables": make_tables, "models": make_models, "caches": make_caches, "states": make_states}


def main() -> None:
    """Print a table of all kinds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="flip a bit of every so-many-th byte")
    parser.add_argument("--kinds", nargs="+", choices=[*MAKERS], default=[*MAKERS])
    parser.add_argument("--only", default="", help="kinds whose name has this in it")
    options = parser.parse_args()
    outcomes = ("detected", "ignored", "harmless", "crash", "silent")
    print(f"{'file':<34} {'bytes':>7} " + " ".join(f"{name:>9}" for name in outcomes))
    total: Counter[str] = Counter()
    for group in options.kinds:
        with tempfile.TemporaryDirectory(prefix="emoadapt-flips-") as scratch, chdir(scratch):
            for kind in MAKERS[group](Path(scratch)):
                if options.only not in kind.name:
                    continue
                size = kind.file.stat().st_size
                found, places = flip_all(kind, options.every)
                total += found
                shown = f"  at {places[:8]}" if places else ""
                print(
                    f"{kind.name:<34} {size:>7,} " + " ".join(f"{found[name]:>9,}" for name in outcomes) + shown,
                    flush=True,
                )
    print(f"{'all':<34} {'':>7} " + " ".join(f"{total[name]:>9,}" for name in outcomes))
    raise SystemExit(bool(total["silent"]))


if __name__ == "__main__":
    logging.disable()
    main()
