"""Training: throughput against the Hugging Face Trainer, start-up, and memory by size of the corpus.

The model has the size of wav2vec2-base and random weights, the same on both sides. Theirs: `transformers.Trainer` with its
defaults, batches in random order, padded to their longest clip, CNN encoder frozen. Ours: a Stage-2 step from length
buckets and the CNN encoder's cached output. Both read the same real clips at their natural length, each side in a process of
its own, and take turns step by step, after two steps that do not count: the first ones fetch memory from the system. A few
batches stand for an epoch: those that have its mean audio and its mean padding.

CPU seconds of one thread; seconds by the clock on a GPU.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

SAMPLE_RATE = 16_000
CORPORA = ("ravdess", "emodb", "urdu")
CLASSES = tuple("abcd")
"""Labels are made up: what is measured does not depend on them."""
BATCH = 8
GPU_BATCH = 32
GPU_STEPS = 32
UNMEASURED = 2
"""Steps of each side before those that count."""
DRAWS = 20_000
"""Sets of batches among which the one that stands for an epoch is sought."""
PASSES = 20
"""Epochs of a Stage-2 run (G25), over which the one pass of the CNN encoder is spread."""
PRODUCTS = 8
"""Matrix products with whose speed the model's is compared."""
SHARD = 250
"""Clips in a shard of the memory test."""
SIZES = (1_000, 20_000)
TINY = {
    "conv_dim": (8, 8, 16, 16, 16), "hidden_size": 16, "layers": 1, "heads": 2, "intermediate_size": 16,
    "conv_pos_kernel": 8, "conv_pos_groups": 2,
}  # fmt: skip
"""A backbone so small that memory is what the clips take."""


def read_clock(device: str) -> float:
    """Seconds of the process on a CPU, by the clock on a GPU when it has done what it was given."""
    import torch

    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


class Turns:
    """The steps of one side: each begins when a line comes in, and ends with a line that says how long it took.

    Args:
        device: `cpu` or `cuda`.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.began = 0.0
        # Libraries may print; what goes to the other process goes through a file of its own.
        self.answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def answer(self, value: Any) -> None:
        """Say something."""
        print(json.dumps(value), file=self.answers, flush=True)

    def begin(self) -> None:
        """Wait for the turn."""
        sys.stdin.readline()
        self.began = read_clock(self.device)

    def end(self) -> None:
        """Say how long the step took, in seconds."""
        self.answer(read_clock(self.device) - self.began)


def list_clips(data: Path) -> dict[str, Path]:
    """Utterance -> file, of all clips of the three corpora."""
    paths = [path for name in CORPORA for path in sorted((data / name).rglob("*")) if path.suffix in (".flac", ".wav")]
    if not paths:
        raise SystemExit(f"{data} has no clips in {', '.join(CORPORA)}; name their folder with --data or EMOADAPT_DATA")
    return {str(path.relative_to(data).with_suffix("")): path for path in paths}


def read_clips(paths: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """Utterance -> (n_samples,) int16."""
    from emoadapt.media import decode_audio

    return {name: decode_audio(path) for name, path in paths.items()}


def pad_share(batches: Sequence[Sequence[int]]) -> float:
    """Padding as a share of all samples of padded batches of clip lengths."""
    return 1 - sum(map(sum, batches)) / sum(max(batch) * len(batch) for batch in batches)


def choose(batches: Sequence[list[str]], lengths: Mapping[str, int], n: int) -> list[list[str]]:
    """`n` batches whose audio and whose padded audio are nearest to those of the epoch, of `DRAWS` draws."""
    audio = np.array([sum(lengths[name] for name in batch) for batch in batches])
    padded = np.array([max(lengths[name] for name in batch) * len(batch) for batch in batches])
    random = np.random.default_rng(0)
    draws = np.stack([random.choice(len(batches), n, replace=False) for _ in range(DRAWS)])
    distance = sum(np.abs(values[draws].mean(axis=1) / values.mean() - 1) for values in (audio, padded))
    return [batches[i] for i in draws[np.argmin(distance)]]


def shuffle(lengths: Mapping[str, int], size: int) -> list[list[str]]:
    """An epoch in random order, as the Trainer's sampler makes it."""
    import torch

    names = sorted(lengths)
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(42)).tolist()
    return [[names[i] for i in order[begin : begin + size]] for begin in range(0, len(order) - size + 1, size)]


def bucket(lengths: Mapping[str, int], size: int) -> list[list[str]]:
    """An epoch of ours."""
    from emoadapt.data.batching import BucketedBatches

    return [[name for name, _ in batch] for batch in BucketedBatches(lengths, size, seed=0) if len(batch) == size]


def build_reference() -> Any:
    """wav2vec2-base with a head, random weights. No LayerDrop: skipped layers would count as trained ones."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

    torch.manual_seed(0)
    return Wav2Vec2ForSequenceClassification(Wav2Vec2Config(num_labels=len(CLASSES), layerdrop=0.0))


class Ours:
    """A Stage-2 model in our trainer, on the CNN encoder's cached output."""

    def __init__(self, model: Any, clips: Mapping[str, np.ndarray], device: str, precision: str) -> None:
        from emoadapt.layers.heads import build_head
        from emoadapt.layers.speech import SpeechBackbone
        from emoadapt.methods.finetune import Config
        from emoadapt.training.finetuning import FinetunedBackbone

        backbone = SpeechBackbone(model, normalise=True, origin="random weights", trained=False)
        backbone.set_cnn_trainable(False)
        self.model = FinetunedBackbone(backbone, build_head("mlp", backbone.width, None, len(CLASSES), 0))
        self.settings = Config(epochs=1, precision=precision)
        self.clips, self.device = clips, device
        self.frames: dict[str, Any] = {}

    def cache(self, names: Sequence[str]) -> float:
        """Run the CNN encoder over clips, as the rule `keep` does once for a study; audio seconds per second."""
        import torch

        from emoadapt.extraction.kept import FrontEndExtractor

        extractor = FrontEndExtractor(self.model.backbone.to(self.device))
        began = read_clock(self.device)
        for name in names:
            (row,) = extractor.extract([{"audio": self.clips[name].tobytes()}])
            self.frames[name] = torch.from_numpy(
                np.frombuffer(row["frontend"], "<f2").reshape(row["n_frames"], -1).copy()
            )
        return sum(len(self.clips[name]) for name in names) / SAMPLE_RATE / (read_clock(self.device) - began)

    def train(self, batches: Sequence[list[str]], turns: Turns, scratch: Path) -> None:
        """One epoch of these batches, a turn each."""
        import torch
        from torch.utils.data import DataLoader, Dataset

        from emoadapt.data.batching import collate_clips
        from emoadapt.data.clips import Clip
        from emoadapt.data.streams import FRONTEND
        from emoadapt.training.classification import EmotionLearner
        from emoadapt.training.curve import Curve
        from emoadapt.training.trainer import Trainer
        from emoadapt.training.watchers import Watcher

        class Watch(Watcher):
            def begin_epoch(self) -> None:
                turns.begin()

            def end_batch(self) -> None:
                turns.end()
                turns.begin()

        frames = self.frames

        class Frames(Dataset):
            def __getitem__(self, name: str) -> Clip:
                return Clip(
                    name, {FRONTEND.feature: frames[name].clone()}, {"label": torch.tensor(len(name) % len(CLASSES))}
                )

        def load(listed: Sequence[list[str]]) -> Any:
            collate = partial(collate_clips, streams={FRONTEND.feature: FRONTEND})
            return DataLoader(Frames(), batch_sampler=listed, collate_fn=collate)

        learner = EmotionLearner(self.model, self.settings, Curve("stage2", "benchmark"), 0, None)
        Trainer(self.device, self.settings, watchers=[Watch()]).train(learner, load(batches), load([batches[0][:1]]))


class Theirs:
    """The same model in the Hugging Face Trainer."""

    def __init__(self, model: Any, clips: Mapping[str, np.ndarray], device: str, precision: str) -> None:
        self.model, self.clips, self.device, self.precision = model, clips, device, precision
        model.freeze_feature_encoder()

    def train(self, batches: Sequence[list[str]], turns: Turns, scratch: Path) -> None:
        """One epoch of these batches, a turn each, in this order: it is a random one already."""
        from torch.utils.data import Dataset, SequentialSampler
        from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, Wav2Vec2FeatureExtractor

        extractor = Wav2Vec2FeatureExtractor(do_normalize=True)
        names, clips = [name for batch in batches for name in batch], self.clips

        class Audio(Dataset):
            def __len__(self) -> int:
                return len(names)

            def __getitem__(self, index: int) -> dict[str, Any]:
                values = extractor(clips[names[index]].astype(np.float32) / 32768, sampling_rate=SAMPLE_RATE)
                return {"input_values": values["input_values"][0], "labels": len(names[index]) % len(CLASSES)}

        def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
            return dict(extractor.pad(rows, padding="longest", return_tensors="pt"))

        class Watch(TrainerCallback):
            def on_epoch_begin(self, *_: Any, **__: Any) -> None:
                turns.begin()

            def on_step_end(self, *_: Any, **__: Any) -> None:
                turns.end()
                turns.begin()

        class InOrder(Trainer):
            def _get_train_sampler(self, *_: Any) -> Any:
                return SequentialSampler(self.train_dataset)

        settings = TrainingArguments(
            str(scratch), num_train_epochs=1, per_device_train_batch_size=len(batches[0]), use_cpu=self.device == "cpu",
            bf16=self.precision == "bf16-mixed", report_to="none", save_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        trainer = InOrder(self.model, settings, collate, Audio(), callbacks=[Watch()])
        trainer.remove_callback(PrinterCallback)
        trainer.train()


def compare(
    data: Path, lengths: Mapping[str, int], device: str, precision: str, size: int, steps: int
) -> dict[str, float]:
    """Train both in turns on the same device; figures of both."""
    epochs = {"ours": bucket(lengths, size), "theirs": shuffle(lengths, size)}
    chosen = {side: choose(batches, lengths, steps) for side, batches in epochs.items()}
    processes, told, seconds = {}, {}, dict.fromkeys(epochs, 0.0)
    for side, batches in chosen.items():
        task = {
            "data": str(data), "side": side, "device": device, "precision": precision,
            "batches": [*batches[:UNMEASURED], *batches],
        }  # fmt: skip
        processes[side] = start_process("--turns", json.dumps(task))
        told[side] = read_answer(processes[side])
    for turn in range(UNMEASURED + steps):
        for side, process in processes.items():
            process.stdin.write("\n")
            process.stdin.flush()
            taken = read_answer(process)
            seconds[side] += taken if turn >= UNMEASURED else 0.0
    for process in processes.values():
        process.communicate()
    figures = {}
    for side, batches in epochs.items():
        sizes = [[lengths[clip] for clip in batch] for batch in chosen[side]]
        audio = sum(map(sum, sizes)) / SAMPLE_RATE
        figures[f"{side}_rate"] = audio / seconds[side]
        figures[f"{side}_padding"] = pad_share([[lengths[clip] for clip in batch] for batch in batches])
        figures[f"{side}_measured_padding"] = pad_share(sizes)
        figures[f"{side}_mean_seconds"] = audio / (steps * size)
        done = sum(count_operations(length) for batch in sizes for length in batch)
        figures[f"{side}_utilisation"] = done / seconds[side] / told["ours"]["peak"]
    ours, theirs, cnn = figures["ours_rate"], figures["theirs_rate"], told["ours"]["cnn_rate"]
    with_cnn = 1 / (1 / ours + 1 / cnn / PASSES)
    return figures | {"ratio": ours / theirs, "cnn_rate": cnn, "ratio_with_cnn": with_cnn / theirs}


def start_process(*arguments: str) -> subprocess.Popen[str]:
    """This file in a process of its own, with the time at which it began."""
    environment = os.environ | {"BENCHMARK_BEGAN": str(time.time())}
    command = [sys.executable, __file__, *arguments]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def read_answer(process: subprocess.Popen[str]) -> Any:
    """The next line of a process."""
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise SystemExit(f"a side ended before its time (exit status {process.wait()}); see above")
    return json.loads(line)


def take_turns(task: Mapping[str, Any]) -> None:
    """One side, in this fresh process."""
    import torch

    torch.set_num_threads(1)
    turns, device, paths = Turns(task["device"]), task["device"], list_clips(Path(task["data"]))
    clips = read_clips({name: paths[name] for batch in task["batches"] for name in batch})
    told, model = {}, build_reference()
    if task["side"] == "ours":
        side: Ours | Theirs = Ours(model.wav2vec2, clips, device, task["precision"])
        told = {"cnn_rate": side.cache(sorted(clips)), "peak": measure_peak(device, task["precision"])}
    else:
        side = Theirs(model, clips, device, task["precision"])
    turns.answer(told)
    with tempfile.TemporaryDirectory() as scratch:
        side.train(task["batches"], turns, Path(scratch))


def count_operations(n_samples: int) -> float:
    """Floating-point operations of a training step of the transformer on one clip, unpadded: three forward passes."""
    width, inner, layers, frames = 768, 3072, 12, n_samples / 320
    positions = 2 * 128 * width * width / 16
    per_frame = layers * 2 * (4 * width**2 + 2 * width * inner) + positions + 2 * 512 * width
    return 3 * (frames * per_frame + layers * 4 * frames**2 * width)


def measure_peak(device: str, precision: str) -> float:
    """Operations per second of a large matrix product."""
    import torch

    n = 1024 if device == "cpu" else 8192
    kind = torch.bfloat16 if precision == "bf16-mixed" else torch.float32
    matrix = torch.randn(n, n, device=device, dtype=kind)
    matrix @ matrix
    began = read_clock(device)
    for _ in range(PRODUCTS):
        matrix @ matrix
    return PRODUCTS * 2 * n**3 / (read_clock(device) - began)


def write_shards(clips: Mapping[str, np.ndarray], total: int, folder: Path) -> None:
    """Tables of a Stage 1 on `total` clips: the real ones again and again under other names, targets drawn."""
    from emoadapt import schema
    from emoadapt.storage.tables import write_table

    names, columns = sorted(clips), schema.training(("egemaps",))
    utterances = [f"repeated/{number:06}" for number in range(total)]
    random = np.random.default_rng(0)
    for begin in range(0, total, SHARD):
        rows = [
            {
                "utterance_id": utterances[number], "audio": clips[names[number % len(names)]].tobytes(),
                "n_samples": len(clips[names[number % len(names)]]),
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


def measure_apart(clips: Mapping[str, np.ndarray], total: int, epoch: bool, scratch: Path | None) -> dict[str, float]:
    """`train_apart` on `total` clips, in a process of its own."""
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        write_shards(clips, total, Path(name))
        process = start_process("--apart", name, *(["--epoch"] if epoch else []))
        figures = read_answer(process)
        process.communicate()
    return figures


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Rows in columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def describe(title: str, figures: Mapping[str, float] | None) -> Iterator[tuple[str, ...]]:
    """Rows of a comparison."""
    if figures is None:
        yield title, "not measured", "not measured", "not measured"
        return
    ours, theirs = figures["ours_rate"], figures["theirs_rate"]
    yield f"{title}: audio seconds per second", f"{ours:.2f}", f"{theirs:.2f}", f"{figures['ratio']:.2f}"
    yield f"  with the CNN encoder's pass, over {PASSES} epochs", "", "", f"{figures['ratio_with_cnn']:.2f}"
    shown: list[tuple[str, str, Callable[[float], str]]] = [
        ("  padding of an epoch", "padding", "{:.1%}".format),
        ("  padding of the steps measured", "measured_padding", "{:.1%}".format),
        ("  mean seconds of a clip", "mean_seconds", "{:.2f}".format),
        ("  model operations, of a matrix product's", "utilisation", "{:.1%}".format),
    ]
    for label, key, form in shown:
        yield label, form(figures[f"ours_{key}"]), form(figures[f"theirs_{key}"]), ""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("EMOADAPT_DATA"), help="folder of the corpora")
    parser.add_argument("--models", type=Path, help="not read: the weights are random")
    parser.add_argument("--steps", type=int, default=4, help="steps per side on the CPU, at least 2 (default 4)")
    parser.add_argument("--scratch", type=Path, help="folder with 6 GB to spare for the memory test")
    parser.add_argument("--skip-memory", action="store_true", help="leave the memory test out")
    parser.add_argument("--turns", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--apart", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--epoch", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.turns:
        take_turns(arguments.turns)
        return
    if arguments.apart:
        print(json.dumps(train_apart(arguments.apart, arguments.epoch)))
        return
    if arguments.data is None:
        parser.error("name the folder of the corpora with --data or EMOADAPT_DATA")
    import torch

    clips = read_clips(list_clips(Path(arguments.data)))
    lengths = {name: len(samples) for name, samples in clips.items()}
    cpu = compare(arguments.data, lengths, "cpu", "32-true", BATCH, arguments.steps)
    gpu = None
    if torch.cuda.is_available():
        gpu = compare(arguments.data, lengths, "cuda", "bf16-mixed", GPU_BATCH, GPU_STEPS)
    start = measure_apart(clips, SHARD, False, arguments.scratch)
    memory = {} if arguments.skip_memory else {n: measure_apart(clips, n, True, arguments.scratch) for n in SIZES}
    growth = memory[SIZES[1]]["peak_mib"] / memory[SIZES[0]]["peak_mib"] - 1 if memory else None
    rows = [("", "ours", "Trainer", "ratio")]
    rows += describe(f"CPU, fp32, batch {BATCH}", cpu)
    rows += describe(f"GPU, bf16, batch {GPU_BATCH}", gpu)
    rows.append(
        ("start-up to the end of the first step, CPU s (clock s)", f"{start['cpu']:.1f} ({start['clock']:.1f})", "", "")
    )
    for n, figures in memory.items():
        rows.append((f"peak memory of an epoch of {n:,} clips, MiB", f"{figures['peak_mib']:.0f}", "", ""))
    rows.append(("  growth", "not measured" if growth is None else f"{growth:+.1%}", "", ""))
    print_table(rows)
    figures = {
        "clips": len(clips), "steps": arguments.steps, "cpu": cpu, "gpu": gpu or "not measured", "start": start,
        "memory_mib": {str(n): found["peak_mib"] for n, found in memory.items()}, "memory_growth": growth,
    }  # fmt: skip
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
