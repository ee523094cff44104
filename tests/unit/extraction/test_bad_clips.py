"""Every kind of clip that goes wrong is a row with a reason, and what only looks bad is used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from bad_clips import KINDS, Kind, encode_sound, make_portrait, make_voice, write_film

from emoadapt.extraction.workers import WorkerPool
from emoadapt.faces.cropping import FacesExtractor
from emoadapt.features.audio import Config as AudioConfig
from emoadapt.features.audio import load as load_audio
from emoadapt.features.base import Context, Extractor
from emoadapt.features.faces import Config as FacesConfig


@pytest.fixture(scope="module")
def extractors() -> dict[str, Extractor]:
    context = Context(Path("models"))
    return {
        "audio": load_audio(AudioConfig(), context),
        "faces": FacesExtractor(FacesConfig(detector="haar"), context),
    }


@pytest.fixture(scope="module")
def find_path(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Kind], Path]:
    """Writes a clip once for all features."""
    folder = tmp_path_factory.mktemp("clips")

    def find(kind: Kind) -> Path:
        path = folder / kind.file
        if not path.is_symlink() and not path.exists():
            kind.make(path)
        return path

    return find


def outcome(result: dict[str, Any]) -> tuple[str, str] | None:
    """(status, code) as in the quarantine table."""
    reason = result.get("reason")
    if reason is None:
        assert "status" not in result
        return None
    code, detail = reason.split(": ", 1)
    assert detail and code.isidentifier()
    return result.get("status", "noted"), code


@pytest.mark.parametrize("feature", ["audio", "faces"])
@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_each_kind_has_a_row(
    extractors: dict[str, Extractor], find_path: Callable[[Kind], Path], kind: Kind, feature: str
) -> None:
    row = {"utterance_id": f"c/{kind.name}", "path": find_path(kind), "start": None, "end": None}
    (result,) = extractors[feature].extract([row])
    assert outcome(result) == getattr(kind, feature), result.get("reason")


def test_a_segment_of_a_long_file_is_taken(extractors: dict[str, Extractor], find_path: Callable[[Kind], Path]) -> None:
    paths = {kind.name: find_path(kind) for kind in KINDS if kind.name.startswith("40_minutes")}
    row = {"utterance_id": "c/x", "path": paths["40_minutes"], "start": 2000.0, "end": 2001.5}
    (result,) = extractors["audio"].extract([row])
    assert result == {"status": "absent", "reason": "silent: all 24000 samples are -32768"}
    row = {"utterance_id": "c/x", "path": paths["40_minutes_of_film"], "start": 1100.0, "end": 1300.0}
    (result,) = extractors["faces"].extract([row])
    assert result["frame_seconds"] == [1200.0]
    row |= {"start": 1100.0, "end": 2300.0}
    (result,) = extractors["faces"].extract([row])
    assert result["reason"].startswith("too_long: ")


def write_clean(path: Path) -> Path:
    """Two seconds of sound in the format of the extension, with a picture in a film."""
    if path.suffix == ".mp4":
        return write_film(path, [make_portrait()] * 20, make_voice(0, 2.0))
    if path.suffix == ".wav":
        soundfile.write(path, make_voice(0, 2.0), 16000)
        return path
    with av.open(str(path), "w") as container:
        stream = container.add_stream({".ogg": "libopus", ".mp3": "libmp3lame"}[path.suffix], rate=16000)
        stream.layout = "mono"
        encode_sound(container, stream, make_voice(0, 2.0))
    return path


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip bytes, in the header as often as anywhere; then, now and then, cut a piece out of the middle or off the end."""
    damaged = bytearray(content)
    for _ in range(rng.integers(1, 30)):
        damaged[rng.integers(min(200, len(damaged)) if rng.random() < 0.5 else len(damaged))] = rng.integers(256)
    if rng.random() < 0.5:
        begin, end = sorted(rng.integers(len(damaged), size=2))
        del damaged[begin : end if rng.random() < 0.5 else None]
    return bytes(damaged)


def test_damaged_clips_take_nothing_down(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    rows = []
    for suffix in ("mp4", "wav", "ogg", "mp3"):
        clean = write_clean(tmp_path / f"clean.{suffix}").read_bytes()
        for number in range(15):
            path = tmp_path / f"{number}.{suffix}"
            path.write_bytes(mutate(clean, rng))
            rows.append({"utterance_id": f"c/{path.name}", "path": path, "start": None, "end": None})
    with WorkerPool(load_audio, AudioConfig(), Context(Path("models")), 1, stall_limit=60.0) as pool:
        results = [result for _, result in pool.run(iter([rows]))]
    assert len(results) == 60
    outcomes = Counter(found if (found := outcome(result)) is None else found[0] for result in results)
    assert outcomes[None] > 5 and outcomes["failed"] > 20, outcomes
    for result in results:
        if result.get("status", "ok") == "ok":
            assert result["n_samples"] == len(result["audio"]) // 2 > 0
