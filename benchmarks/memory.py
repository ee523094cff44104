"""Peak memory of extraction jobs over shards of 100 and of 2,000 clips: it should not follow their number.

    python benchmarks/memory.py [--data DIR] [--models DIR]

Each job is the command that its rule runs, `emoadapt extract`, with two worker processes. Its memory is the sum of the
peaks of the job's process and of all processes that it starts, as the kernel counts them (`VmHWM`; pages that they share count for
each). Clips are generated, or with `--data` real ones, DIR/ravdess for sound and DIR/clips for faces, under as many names
as needed (hard links). Of each, two seconds of sound are used and the first picture, so that it ends in time.
Faces are found by YuNet where `--models` has its weights, else by the Haar cascade.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from emoadapt import schema
from emoadapt.config import load_study
from emoadapt.flow.fingerprints import fingerprint_file
from emoadapt.storage.tables import read_table, write_table

SIZES = (100, 2000)
SECONDS = 2.0
LOOK = 0.02
"""s between two looks at a job's processes. Peaks are the kernel's own, so only a process's last moments can be missed."""


def main() -> None:
    """Measure, print a table, and as the last line one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder with ravdess/ and clips/")
    parser.add_argument("--models", type=Path, help="folder of weights")
    options = parser.parse_args()
    figures: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="memory-") as folder:
        root = Path(folder)
        detector = write_study(root, options.models)
        sounds, films = find_clips(root, options.data)
        for size in SIZES:
            measure(root, size, sounds, films, figures)
    print(f"{'feature':<10}{'clips':>8}{'MiB':>8}{'of them in workers':>21}")
    for feature, found in figures.items():
        for size in SIZES:
            parent, workers = found.pop(f"peak_{size}")
            found[f"mib_{size}"] = round(parent + workers, 1)
            print(f"{feature:<10}{size:>8,}{parent + workers:>8.0f}{workers:>21.0f}")
        found["growth"] = round(found[f"mib_{SIZES[1]}"] / found[f"mib_{SIZES[0]}"] - 1, 3)
        print(f"{feature:<10}{'growth':>8}{found['growth']:>8.1%}")
    print(json.dumps({"clips": "real" if options.data else "generated", "detector": detector, **figures}))


def write_study(root: Path, models: Path | None) -> str:
    """Write `study.json`; the name of the detector."""
    weights = models and (models / "yunet").is_dir()
    faces = {"detector": "yunet" if weights else "haar", "crop_size": 112}
    corpora = {name: {"importer": "folder", "root": str(root / name)} for name in ("sounds", "films")}
    study = {"study": "memory", "device": "cpu", "corpora": corpora, "features": {"faces": faces}}
    study |= {"models_dir": str(models.absolute())} if weights and models else {}
    load_study(study)
    (root / "study.json").write_text(json.dumps(study))
    return str(faces["detector"])


def find_clips(root: Path, data: Path | None) -> tuple[list[Path], list[Path]]:
    """Recordings and films."""
    if data is None:
        return make_clips(root)
    sounds, films = sorted((data / "ravdess").rglob("*.flac")), sorted((data / "clips").glob("*.mp4"))
    if not sounds or not films:
        sys.exit(f"{data} has no ravdess/**/*.flac or no clips/*.mp4; leave --data out for generated clips")
    return sounds[:200], films


def make_clips(root: Path, count: int = 20) -> tuple[list[Path], list[Path]]:
    """Noise of which no two files are alike, and short films of a portrait."""
    import soundfile

    rng = np.random.default_rng(0)
    sounds = [root / f"{i}.flac" for i in range(count)]
    for sound in sounds:
        soundfile.write(sound, 0.1 * rng.standard_normal(round((SECONDS + 1) * schema.SAMPLE_RATE)), schema.SAMPLE_RATE)
    return sounds, make_films(root, count, 5)


def make_films(root: Path, count: int, frames: int, rate: int = 10) -> list[Path]:
    """Films of a portrait that moves sideways, no two alike."""
    import av
    from skimage.data import astronaut

    rng = np.random.default_rng(0)
    portrait = np.ascontiguousarray(astronaut()[:256, 58:378])
    films = [root / f"{i}.mp4" for i in range(count)]
    for film in films:
        with av.open(str(film), "w") as container:
            stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
            stream.height, stream.width = portrait.shape[:2]
            stream.pix_fmt = "yuv420p"
            for _ in range(frames):
                picture = np.roll(portrait, rng.integers(-20, 20), axis=1)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
    return films


def measure(root: Path, size: int, sounds: list[Path], films: list[Path], figures: dict[str, dict[str, Any]]) -> None:
    """Run the three jobs over so many clips."""
    jobs = [
        ("audio", "sounds"),
        ("egemaps", "sounds"),
        ("faces", "films"),
    ]
    write_manifest(root, "sounds", sounds, size, 0.5, 0.5 + SECONDS)
    write_manifest(root, "films", films, size, 0.0, 0.03)
    for feature, corpus in jobs:
        output = root / "results/features" / feature / corpus / f"{size}.parquet"
        command = ["extract", feature, corpus, str(size), "--output", str(output), "--threads", "2"]
        figures.setdefault(feature, {})[f"peak_{size}"] = watch([sys.executable, "-m", "emoadapt", *command], root)
        good = read_table(output, columns=["status"]).column("status").to_pylist().count("ok")
        if good < 0.9 * size:
            sys.exit(f"{feature}: only {good} of {size} rows are ok, so this measures nothing; see {output}")


def write_manifest(root: Path, corpus: str, clips: list[Path], size: int, start: float, end: float) -> Path:
    """List clips under `size` names of their own."""
    folder = root / corpus / str(size)
    folder.mkdir(parents=True)
    rows = []
    for number, clip in enumerate(islice(cycle(clips), size)):
        path = folder / f"{number:05d}{clip.suffix}"
        try:
            os.link(clip, path)
        except OSError:  # another file system
            path.symlink_to(clip.absolute())
        media = path.relative_to(root / corpus).as_posix()
        row = {"utterance_id": f"{corpus}/{media}", "media": media, "start": start, "end": end}
        rows.append(row | {"fingerprint": fingerprint_file(path)})
    manifest = root / "results/manifests" / corpus / f"{size}.parquet"
    write_table(manifest, rows, schema.MANIFEST)
    return manifest


def watch(command: list[str], folder: Path) -> tuple[float, float]:
    """Run a command; peak memory of its own process and, summed, of those that it started, in MiB."""
    import psutil

    environment = {**os.environ, "OMP_NUM_THREADS": "1", "EMOADAPT_STUDY": str(folder / "study.json")}
    peaks: dict[int, float] = {}
    with (folder / "log").open("w+") as log:
        with subprocess.Popen(command, cwd=folder, stderr=log, env=environment) as process:
            while process.poll() is None:
                try:
                    children = psutil.Process(process.pid).children(recursive=True)
                except psutil.NoSuchProcess:
                    children = []
                for pid in [process.pid, *(child.pid for child in children)]:
                    # The last figure counts: a process that has not yet become the new program shows its parent's.
                    peaks[pid] = read_peak(pid) or peaks.get(pid, 0.0)
                try:
                    process.wait(LOOK)
                except subprocess.TimeoutExpired:
                    continue
        log.seek(0)
        if process.returncode:
            sys.exit(log.read())
    parent = peaks.pop(process.pid)
    return parent, sum(peaks.values())


def read_peak(pid: int) -> float:
    """MiB; 0 once it has ended."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


if __name__ == "__main__":
    main()
