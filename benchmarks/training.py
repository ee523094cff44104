"""Training on a CPU: throughput against the Hugging Face Trainer, start-up, and memory by size of the corpus.

    python benchmarks/training.py [--clips N] [--small] [--scratch DIR] [--skip-memory]

The comparison is that of `finetunings.py`, in fp32 and in CPU seconds of one thread; `gpu.py` makes it on a GPU. Start-up is that of a
Stage 1 to the end of its first step. Memory is that of an epoch of Stage 1, over 1,000 and 20,000 clips of a tiny backbone.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import finetunings
import numpy as np
from finetunings import BASE, TINY, Bench, call_apart, draw_lengths

BATCH = 8
PASSES = 20
"""Epochs of a Stage-2 run (G25), over which the one pass of the CNN encoder is spread."""
SHARD = 250
"""Clips in a shard of the memory test."""
SIZES = (1_000, 20_000)


def compare(bench: Bench) -> dict[str, float]:
    """Both sides, one after the other, each in a process of its own."""
    bench.write_tables()
    begun = call_apart(finetunings.keep_front_end, bench)["rate"]
    ours = call_apart(finetunings.train_ours, bench, "ours", cached=True)["rate"]
    whole = call_apart(finetunings.train_ours, bench, "whole", cached=False)["rate"]
    theirs = call_apart(finetunings.train_theirs, bench)["rate"]
    with_cnn = 1 / (1 / ours + 1 / begun / PASSES)
    rates = {"ours": ours, "ours_not_cached": whole, "theirs": theirs, "front_end": begun}
    return rates | {"ratio": ours / theirs, "ratio_not_cached": whole / theirs, "ratio_with_cnn": with_cnn / theirs}


def start_process(*arguments: str) -> subprocess.Popen[str]:
    """This file in a process of its own, with the time at which it began."""
    environment = os.environ | {"BENCHMARK_BEGAN": str(time.time())}
    return subprocess.Popen([sys.executable, __file__, *arguments], env=environment, stdout=subprocess.PIPE, text=True)


def read_answer(process: subprocess.Popen[str]) -> dict[str, float]:
    """The line that a process prints."""
    text, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"the process of a measurement ended with exit status {process.returncode}; see above")
    return json.loads(text)


def write_shards(total: int, folder: Path) -> None:
    """Tables of a Stage 1 on `total` clips of noise, with targets that are drawn."""
    from emoadapt import schema
    from emoadapt.storage.tables import write_table

    columns, lengths = schema.training(("egemaps",)), draw_lengths(total)
    utterances = [f"repeated/{number:06}" for number in range(total)]
    random = np.random.default_rng(0)
    for begin in range(0, total, SHARD):
        rows = [
            {
                "utterance_id": utterances[number], "n_samples": int(lengths[number]),
                "audio": (3000 * random.standard_normal(lengths[number], dtype=np.float32)).astype("<i2").tobytes(),
                "target_egemaps": random.standard_normal(25).tolist(), "mask_egemaps": True,
            }
            for number in range(begin, min(begin + SHARD, total))
        ]  # fmt: skip
        write_table(folder / "repeated" / f"{begin // SHARD:03}.parquet", rows, columns)
    parts = [
        {"utterance_id": name, "corpus": "repeated", "part": "held_out" if number % 10 == 0 else "train"}
        for number, name in enumerate(utterances)
    ]
    write_table(folder / "parts.parquet", parts, schema.PARTS)
    normaliser = {"objective": "egemaps", "corpus": "*", "mean": [0.0] * 25, "std": [1.0] * 25, "n": total}
    write_table(folder / "normalisers.parquet", [normaliser], schema.NORMALISERS)


def train_apart(folder: Path, epoch: bool) -> dict[str, float]:
    """Stage 1 of a tiny backbone in this fresh process: seconds to the end of its first step, then an epoch's peak memory.

    Steps are taken in the first batches only; the others are read.
    """
    import torch

    from emoadapt.backbones.speech_transformer import UntrainedBackbone, build_untrained
    from emoadapt.config import load_study
    from emoadapt.training.adaptation import AdaptationLearner, AdaptedBackbone, TrainingClips
    from emoadapt.training.curve import Curve
    from emoadapt.training.jobs import AdaptationJob

    torch.set_num_threads(1)
    study = load_study(
        {
            "study": "benchmark",
            "corpora": {"repeated": {"importer": "folder", "root": str(folder)}},
            "backbones": {"tiny": {"architecture": "wav2vec2", "untrained": TINY}},
            "adaptations": {"one": {"corpora": ["repeated"], "objectives": {"egemaps": 1.0}, "batch_size": BATCH}},
        }
    )
    shards = {"training": {"repeated": sorted((folder / "repeated").glob("*.parquet"))}}
    tables = folder / "parts.parquet", folder / "normalisers.parquet"
    job = AdaptationJob(study, "tiny", "one", shards, folder / "model", 1, *tables, folder / "curves.parquet")
    backbone, settings = build_untrained("wav2vec2", UntrainedBackbone(**TINY)), job.settings
    clips = TrainingClips(job, backbone, folder)
    adapter = AdaptedBackbone(backbone, clips.objectives, clips.dimensions, 0)
    learner = AdaptationLearner(adapter, clips.objectives, settings, Curve("stage1", "benchmark"))
    optimiser = learner.build_optimizer()
    figures: dict[str, float] = {}
    for number, batch in enumerate(clips.load("train")):
        if number < 8:
            learner.measure(batch, keep=False)["egemaps"].mean.backward()
            optimiser.step()
            optimiser.zero_grad()
        if not figures:
            figures = {"cpu": time.process_time(), "clock": time.time() - float(os.environ["BENCHMARK_BEGAN"])}
            if not epoch:
                break
    return figures | {"peak_mib": read_peak()}


def read_peak() -> float:
    """Largest resident memory of this process, MiB. The kernel's, as `getrusage` begins with that of the parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def measure_apart(total: int, epoch: bool, scratch: Path | None) -> dict[str, float]:
    """`train_apart` on `total` clips, in a process of its own."""
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        write_shards(total, Path(name))
        return read_answer(start_process("--apart", name, *(["--epoch"] if epoch else [])))


def main() -> None:
    """Measure, print a table, and as the last line one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=48, help="training clips of the comparison (default 48)")
    parser.add_argument("--small", action="store_true", help="a tiny model and memory of few clips: to try this file")
    parser.add_argument("--scratch", type=Path, help="folder with 6 GB to spare for the memory test")
    parser.add_argument("--skip-memory", action="store_true", help="leave the memory test out")
    parser.add_argument("--apart", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--epoch", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.apart:
        print(json.dumps(train_apart(arguments.apart, arguments.epoch)))
        return
    settings = {"epochs": 2, "batch_size": BATCH, "precision": "32-true"}
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        shape = TINY if arguments.small else BASE
        cpu = compare(Bench(Path(folder), shape, arguments.clips, "cpu", settings))
    start = measure_apart(SHARD, False, arguments.scratch)
    sizes = [] if arguments.skip_memory else [SIZES[0] // 10, SIZES[0]] if arguments.small else SIZES
    memory = {n: measure_apart(n, True, arguments.scratch)["peak_mib"] for n in sizes}
    rows = [(f"CPU, fp32, batch {BATCH}", "ours", "Trainer", "ratio")]
    theirs = f"{cpu['theirs']:.2f}"
    rows.append(("audio seconds per second", f"{cpu['ours']:.2f}", theirs, f"{cpu['ratio']:.2f}"))
    rows.append((f"  with the CNN encoder's pass, over {PASSES} epochs", "", "", f"{cpu['ratio_with_cnn']:.2f}"))
    rows.append(("  front end not cached", f"{cpu['ours_not_cached']:.2f}", theirs, f"{cpu['ratio_not_cached']:.2f}"))
    taken = f"{start['cpu']:.1f} ({start['clock']:.1f})"
    rows.append(("start-up to the end of the first step, CPU s (clock s)", taken, "", ""))
    rows += [(f"peak memory of an epoch of {n:,} clips, MiB", f"{found:.0f}", "", "") for n, found in memory.items()]
    finetunings.print_table(rows)
    figures = {"clips": arguments.clips, "small": arguments.small, "cpu": cpu, "start": start, "memory_mib": memory}
    print(finetunings.dump(figures))


if __name__ == "__main__":
    main()
