"""Damaged media: mutated copies of a few generated clips through the audio and the face stage, one job each.

A stage must not crash or hang, and every clip must be one row, good or with its reason. Counts by reason are printed.

    python benchmarks/fuzz.py --clips 500 --seed 1
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[1]
RATE, FPS, FRAMES, SIDE = 16_000, 10, 6, 96
FORMATS = {".mp4": ("libx264", "aac"), ".mkv": ("mpeg4", "flac"), ".wav": (None, "pcm_s16le"), ".flac": (None, "flac")}
"""Extension -> codecs of pictures and sound."""
STALL_LIMIT = 20.0


def main() -> None:
    """Mutate, extract, count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=float, default=1800, help="seconds after which a stage counts as hung")
    parser.add_argument("--data", help="not used: the clips are made")
    parser.add_argument("--models", help="not used")
    arguments = parser.parse_args()
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="emoadapt-fuzz-") as folder:
        media = Path(folder, "media")
        make_mutants(media, arguments.clips, arguments.seed)
        (Path(folder) / "study.json").write_text(json.dumps(describe_study(media)))
        emoadapt(
            Path(folder), arguments.limit, "manifest", "clips", "0", "--output", "results/manifests/clips/000.parquet"
        )
        for feature in ("audio", "faces"):
            begun = time.perf_counter()
            output = f"results/features/{feature}/clips/000.parquet"
            options = ["--output", output, "--threads", str(arguments.threads)]
            emoadapt(Path(folder), arguments.limit, "extract", feature, "clips", "000", *options)
            seconds = time.perf_counter() - begun
            reasons = count_reasons(Path(folder, output), media)
            print(f"{feature}: {arguments.clips} clips in {seconds:.0f} s")
            for reason, count in reasons.most_common():
                print(f"  {count:>5}  {reason}")
            figures[feature] = {"seconds": round(seconds, 1), "rows": sum(reasons.values()), "reasons": dict(reasons)}
    print(json.dumps({"benchmark": "fuzz", "clips": arguments.clips, "seed": arguments.seed, **figures}))


def describe_study(media: Path) -> dict:
    """One corpus of all mutants in one shard."""
    return {
        "study": "fuzz",
        "device": "cpu",
        "corpora": {"clips": {"importer": "folder", "root": str(media), "shards": 1, "modalities": ["audio", "video"]}},
        "features": {"faces": {"detector": "haar", "fps": 5, "crop_size": 32}, "stall_limit": STALL_LIMIT},
        "backbones": {},
        "adaptations": {},
        "tasks": {},
    }


def emoadapt(folder: Path, limit: float, *arguments: str) -> None:
    """Run one command; a failure or a hang ends the benchmark."""
    environment = os.environ | {"EMOADAPT_STUDY": str(folder / "study.json"), "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "emoadapt", *arguments]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        raise SystemExit(f"{' '.join(arguments[:2])} hung") from None
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments[:2])} ended with {done.returncode}:\n{done.stderr[-3000:]}")


def count_reasons(table: Path, media: Path) -> Counter[str]:
    """How many rows are ok, and how many were set aside why; every clip must be one row."""
    rows = pq.read_table(table, columns=["utterance_id", "status", "reason"]).to_pylist()
    expected = sorted(f"clips/{path.stem}" for path in media.iterdir())
    if [row["utterance_id"] for row in rows] != expected:
        raise SystemExit(f"{table.name} holds {len(rows)} rows for {len(expected)} clips, or others")
    return Counter(" ".join(filter(None, [row["status"], (row["reason"] or "").partition(":")[0]])) for row in rows)


# --- clips and what is done to them -------------------------------------------------------------------


def make_mutants(folder: Path, count: int, seed: int) -> None:
    """Write `count` damaged clips, of each format in turn; the same for the same seed."""
    folder.mkdir()
    originals = {}
    for extension in FORMATS:
        path = folder / f"original{extension}"
        write_clip(path)
        originals[extension] = path.read_bytes()
        path.unlink()
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        extension = list(FORMATS)[number % len(FORMATS)]
        content = np.frombuffer(originals[extension], np.uint8)
        for _ in range(int(rng.integers(1, 4))):
            content = MUTATIONS[int(rng.integers(len(MUTATIONS)))](content, rng)
        (folder / f"mutant_{number:05d}{extension}").write_bytes(content.tobytes())


def write_clip(path: Path) -> None:
    """0.6 s of a buzz and, in films, of a moving pattern."""
    picture_codec, sound_codec = FORMATS[path.suffix]
    with av.open(str(path), "w") as container:
        film = container.add_stream(picture_codec, rate=FPS) if picture_codec else None
        if film is not None:
            film.width, film.height, film.pix_fmt = SIDE, SIDE, "yuv420p"
        sound = container.add_stream(sound_codec, rate=RATE)
        sound.layout = "mono"
        if film is not None:
            ramp = np.add.outer(np.arange(SIDE), np.arange(SIDE)).astype(np.uint8)
            for number in range(FRAMES):
                picture = np.stack([ramp + 9 * number, ramp, 255 - ramp], axis=-1)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, FPS)
                container.mux(film.encode(frame))
            container.mux(film.encode(None))
        times = np.arange(RATE * FRAMES // FPS) / RATE
        samples = (8000 * np.sin(2 * np.pi * 150 * times)).astype(np.int16)
        resampler = av.AudioResampler(format=sound.format.name, layout="mono", rate=RATE)
        for begin in range(0, len(samples), 960):
            frame = av.AudioFrame.from_ndarray(samples[np.newaxis, begin : begin + 960], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
            for ready in resampler.resample(frame):
                container.mux(sound.encode(ready))
        container.mux(sound.encode(None))


def flip_bits(content: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Up to 64 single bits anywhere."""
    content = content.copy()
    places = rng.integers(len(content), size=int(rng.integers(1, 65)))
    np.bitwise_xor.at(content, places, (1 << rng.integers(8, size=len(places))).astype(np.uint8))
    return content


def spoil_head(content: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A few bytes of the first 256, where sizes, rates and codecs stand."""
    content = content.copy()
    places = rng.integers(min(256, len(content)), size=int(rng.integers(1, 9)))
    content[places] = rng.integers(256, size=len(places), dtype=np.uint8)
    return content


def fill_block(content: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A block of zeros, ones or noise."""
    content = content.copy()
    begin, end = choose_block(content, rng)
    content[begin:end] = (
        rng.integers(256, size=end - begin, dtype=np.uint8) if rng.integers(2) else rng.choice([0, 255])
    )
    return content


def remove_block(content: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A block is missing."""
    begin, end = choose_block(content, rng)
    return np.concatenate([content[:begin], content[end:]])


def repeat_block(content: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A block stands there twice."""
    begin, end = choose_block(content, rng)
    return np.concatenate([content[:end], content[begin:]])


def cut_end(content: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The end is missing."""
    return content[: int(rng.integers(len(content) + 1))]


def choose_block(content: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """Begin and end of up to a quarter of the bytes."""
    begin = int(rng.integers(len(content) + 1))
    return begin, min(len(content), begin + int(rng.integers(1, max(2, len(content) // 4))))


MUTATIONS: tuple[Callable[[np.ndarray, np.random.Generator], np.ndarray], ...] = (
    flip_bits, spoil_head, fill_block, remove_block, repeat_block, cut_end,
)  # fmt: skip


if __name__ == "__main__":
    main()
