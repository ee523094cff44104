"""Acoustic descriptors: audio seconds per CPU second against openSMILE's Python package, and what a second process brings.

    python benchmarks/egemaps.py --data DIR

Clips of natural length from DIR/ravdess, DIR/emodb and DIR/urdu. Both sides get the same files and the same configuration
and level (openSMILE's own windows), in turns of ten clips. `with decoding`: from files, ours by `emoadapt.media` as the
feature `audio` does, theirs by `opensmile.Smile.process_files`. `without`: from samples in memory, theirs by
`process_signal`. CPU seconds are those of this process. The pool's speed-up is wall-clock time, against an
extractor in this process; its workers are started before the clock is.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import opensmile
from opensmile import FeatureLevel, FeatureSet

from emoadapt.config import Features
from emoadapt.extraction.recipes import load_extractor
from emoadapt.extraction.workers import WorkerPool
from emoadapt.features.base import Context, Extractor
from emoadapt.features.compare_frames import Config as CompareFramesConfig
from emoadapt.features.egemaps import Config as EgemapsConfig
from emoadapt.media import decode_audio
from emoadapt.schema import SAMPLE_RATE

CORPORA = ("ravdess", "emodb", "urdu")
TURN = 10
PROCESSES = 2
POOL_ROUNDS = 3

LLD, DELTAS = FeatureLevel.LowLevelDescriptors, FeatureLevel.LowLevelDescriptors_Deltas
CASES: dict[str, tuple[Any, FeatureSet, tuple[FeatureLevel, ...]]] = {
    "egemaps": (EgemapsConfig(window="stock"), FeatureSet.eGeMAPSv02, (LLD,)),
    "egemaps_functionals": (Features().egemaps_functionals, FeatureSet.eGeMAPSv02, (FeatureLevel.Functionals,)),
    # The package gives contours and deltas in two calls.
    "compare_frames": (CompareFramesConfig(window="stock"), FeatureSet.ComParE_2016, (LLD, DELTAS)),
    "compare_functionals": (Features().compare_functionals, FeatureSet.ComParE_2016, (FeatureLevel.Functionals,)),
}
"""Feature -> our configuration, and the package's feature set and levels."""


@dataclass
class Clock:
    """CPU seconds of this process, by what they were spent on."""

    seconds: dict[str, float] = field(default_factory=dict)

    def __call__(self, what: str, work: Callable[[], Any]) -> Any:
        """Do the work and add its CPU seconds to `what`."""
        begun = time.process_time()
        result = work()
        self.seconds[what] = self.seconds.get(what, 0.0) + time.process_time() - begun
        return result


def find_clips(data: Path, n_clips: int) -> list[Path]:
    """About as many clips of each corpus, spread over its speakers and classes."""
    chosen = []
    for corpus in CORPORA:
        files = sorted(path for kind in ("flac", "wav") for path in (data / corpus).rglob(f"*.{kind}"))
        chosen += files[:: max(1, len(files) * len(CORPORA) // n_clips)]
    if not chosen:
        raise SystemExit(f"{data} holds no clips of {', '.join(CORPORA)}; name their folder with --data")
    return chosen


def build(feature: str, config: Any) -> Extractor:
    """One of our extractors."""
    return load_extractor(feature)(config, Context(Path()))


def read_result(feature: str, row: dict[str, Any]) -> np.ndarray:
    """Descriptors of one of our rows: (n_frames, dimension), or (dimension,)."""
    if isinstance(row[feature], bytes):
        return np.frombuffer(row[feature], "<f4").reshape(row["n_frames"], row["dimension"])
    return row[feature]


def combine(feature: str, levels: Sequence[np.ndarray]) -> np.ndarray:
    """What our row should hold, from the package's (n_frames, n) of each level."""
    if feature == "egemaps":
        return levels[0].mean(axis=0, dtype=np.float64).astype(np.float32)
    shortest = min(len(level) for level in levels)
    joined = np.concatenate([level[:shortest] for level in levels], axis=1)
    return joined[0] if len(joined) == 1 else joined


def cut(values: Sequence[Any], size: int) -> Iterator[list[Any]]:
    """Pieces of that size; the last may be shorter."""
    for begin in range(0, len(values), size):
        yield list(values[begin : begin + size])


def measure(feature: str, clips: Sequence[Path]) -> dict[str, float]:
    """Both sides on the same clips, in turns."""
    config, feature_set, levels = CASES[feature]
    extractor = build(feature, config)
    smiles = [opensmile.Smile(feature_set, level) for level in levels]
    clock, different = Clock(), 0

    def from_files(files: Sequence[Path]) -> list[dict[str, Any]]:
        return extractor.extract([{"audio": decode_audio(path).tobytes()} for path in files])

    for files in cut(clips, TURN):
        names = [str(path) for path in files]
        samples = [decode_audio(path) for path in files]
        rows = [{"audio": clip.tobytes()} for clip in samples]
        signals = [clip.astype(np.float32) / 32768 for clip in samples]
        ours = clock("ours", lambda files=files: from_files(files))
        clock("theirs", lambda names=names: [smile.process_files(names) for smile in smiles])
        clock("ours_without", lambda rows=rows: extractor.extract(rows))
        frames = [
            clock(
                "theirs_without", lambda s=signal: [smile.process_signal(s, SAMPLE_RATE).to_numpy() for smile in smiles]
            )
            for signal in signals
        ]
        different += sum(
            not np.array_equal(read_result(feature, row), combine(feature, theirs))
            for row, theirs in zip(ours, frames, strict=True)
        )
    seconds = sum(len(decode_audio(path)) for path in clips) / SAMPLE_RATE
    spent = clock.seconds
    return {
        "ours": seconds / spent["ours"],
        "theirs": seconds / spent["theirs"],
        "ratio": spent["theirs"] / spent["ours"],
        "ratio_without_decoding": spent["theirs_without"] / spent["ours_without"],
        "clips_that_differ": different,
    }


def measure_pool(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Wall-clock time of the feature `egemaps` in this process and in two workers, in turns."""
    config = EgemapsConfig()
    extractor = build("egemaps", config)
    alone = together = 0.0

    with WorkerPool(load_extractor("egemaps"), config, Context(Path()), PROCESSES, 120.0) as pool:
        list(pool.run(iter([rows[:PROCESSES]])))
        for _ in range(POOL_ROUNDS):
            begun = time.perf_counter()
            extractor.extract(rows)
            between = time.perf_counter()
            list(pool.run(cut(rows, extractor.chunk_size)))
            alone, together = alone + between - begun, together + time.perf_counter() - between
    return {"processes": PROCESSES, "cores": len(os.sched_getaffinity(0)), "speed_up": alone / together}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("EMOADAPT_DATA", "data"), help="folder of the corpora"
    )
    parser.add_argument("--models", type=Path, help="as for the other benchmarks; none are needed here")
    parser.add_argument("--clips", type=int, default=90, help="clips in all")
    arguments = parser.parse_args()
    clips = find_clips(Path(arguments.data), arguments.clips)
    rows = [{"audio": decode_audio(path).tobytes()} for path in clips]
    seconds = sum(len(row["audio"]) for row in rows) / 2 / SAMPLE_RATE
    print(f"{len(clips)} clips, {seconds:.0f} s of audio; audio seconds per CPU second")
    print(f"{'feature':<22}{'ours':>8}{'package':>9}{'ratio':>8}{'without decoding':>18}{'clips that differ':>19}")
    figures: dict[str, Any] = {"clips": len(clips), "audio_seconds": round(seconds, 1)}
    for feature in CASES:
        found = measure(feature, clips)
        figures[feature] = {name: round(value, 3) for name, value in found.items()}
        print(
            f"{feature:<22}{found['ours']:>8.1f}{found['theirs']:>9.1f}{found['ratio']:>8.2f}"
            f"{found['ratio_without_decoding']:>18.2f}{found['clips_that_differ']:>19}"
        )
    if len(os.sched_getaffinity(0)) < PROCESSES:
        print(f"{PROCESSES} processes: not measured, there is one core")
    else:
        figures["pool"] = {name: round(value, 3) for name, value in measure_pool(rows).items()}
        print(f"egemaps in {PROCESSES} processes: {figures['pool']['speed_up']:.2f} times as fast, by the clock")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
