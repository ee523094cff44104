"""All figures of a GPU, in one command of at most eight minutes.

    python benchmarks/gpu.py [--models DIR] [--data DIR] [--only PART ...]
    python benchmarks/gpu.py --rehearse

It needs a checkout (`PYTHONPATH=src`), nothing from the network, and these libraries of `requirements.lock`: torch, transformers,
accelerate (for the Trainer), numpy, polars, pyarrow, pydantic, PyYAML, typer, safetensors, scikit-learn, openai-whisper, av,
opencv-python-headless, scikit-image, onnx, onnxscript, onnxruntime-gpu. A part whose library is missing fails alone, and says so.

Parts, each in processes of its own and with a time limit:

* `training`: Stage 2 of a model of wav2vec2-base's size (random weights) in bf16, 32 clips a batch, against the Hugging Face
  Trainer; with the front end's output cached or not, with `compile`, and with four times the batch. Model FLOPs utilisation (MFU) is
  the operations of `finetunings.count_operations` over those that the GPU could do (`--peak`).
* `resume`: a training is ended by SIGTERM and by SIGKILL and continued; results are compared with those of an unbroken one.
* `whisper`: hours of audio that the feature `transcript` recognises in an hour. Random weights of the size `small`, which end after
  20 tokens; with `--models` also the first real ones found there.
* `faces`: faces per second of the feature `faces` by each detector that runs, and of `face_embedding` with an EfficientNet-B2.

`--rehearse` does all of it on a CPU with tiny models: it shows that the parts work, and its figures mean nothing. Without a GPU and
without `--rehearse` nothing is measured, and the exit status is 2. It is 1 if a part failed.

The share of time in which the GPU is busy is the driver's (`nvidia-smi`): some kernel ran, however small.
"""

from __future__ import annotations

import os
import sys

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
# A process that has begun to use CUDA cannot be forked: a library that asks for a GPU when it is imported shall ask the driver.
os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
if "--rehearse" in sys.argv:
    os.environ |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}

import argparse
import contextlib
import functools
import importlib
import json
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import finetunings
import numpy as np
from finetunings import BASE, SAMPLE_RATE, TINY, Bench, ChildError, Looks, call_apart, draw_lengths, fork

TOTAL = 480.0
"""s for everything."""
H200_PEAK = 989e12
"""Dense bf16 operations per second of an H200, by its data sheet."""
IMPORTED = ("torch", "transformers", "transformers.trainer", "accelerate", "emoadapt.training.finetuning", "whisper")
"""Imported once, before the parts are forked, which saves each of their processes some ten seconds."""
UNPREPARED = "EMOADAPT_BENCHMARK_UNPREPARED"
"""Variable that is set where nothing is imported before: a library began to use CUDA when it was imported."""
WORDS = 20
"""Tokens that random weights say of a clip: five seconds of speech have about as many."""
SMALL = {"n_audio_state": 768, "n_audio_head": 12, "n_audio_layer": 12}
"""Dimensions of Whisper small, the usual `features.transcript.model`."""
MINIMAL = {"n_audio_state": 32, "n_audio_head": 2, "n_audio_layer": 1}
REAL = ("whisper/small.pt", "whisper/base.pt", "whisper/tiny.pt", "whisper/tiny.en.pt", "whisper_converted/tiny.en.pt")
CLIPS = 512
"""Clips that Whisper recognises."""
DETECTORS = ("mtcnn", "yunet", "mediapipe", "haar")
MISSING = ("ModelError", "ConfigError", "ImportError", "ModuleNotFoundError")
"""Errors of a detector whose weights or library are not here."""


@dataclass(frozen=True)
class Plan:
    """Sizes of what is measured.

    Args:
        bench: of the trainings.
        models: folder of real weights, if one is named.
        data: folder of real clips, likewise.
        peak: operations per second of the GPU.
        notes: file that parts write their rows to as they find them.
        rehearsed: on a CPU, with tiny models.
    """

    bench: Bench
    models: Path | None
    data: Path | None
    peak: float
    notes: Path
    rehearsed: bool

    @property
    def device(self) -> str:
        """`cpu` or `cuda`."""
        return self.bench.device

    def say(self, what: str, measured: str, goal: str = "", note: str = "", **figures: Any) -> None:
        """Add a row to the table, and figures to the line of JSON."""
        row = {"what": what, "goal": goal, "measured": measured, "note": note, "figures": figures}
        with self.notes.open("a") as file:
            file.write(finetunings.dump(row) + "\n")


# --- training ---------------------------------------------------------------------------------------


def measure_training(plan: Plan) -> None:
    """Stage 2 against the Trainer."""
    bench = plan.bench
    bench.write_tables()
    kept = call_apart(finetunings.keep_front_end, bench)
    plan.say("front end, kept once", f"{kept['rate']:,.0f} s/s", note="audio seconds per second; with start of the job")
    size = bench.settings["batch_size"]
    large = replace(bench, settings={**bench.settings, "batch_size": 4 * size})
    train = finetunings.train_ours
    ours = _say_training(plan, "cached", bench, train, "cached", cached=True)
    theirs = _say_training(plan, "Trainer", bench, finetunings.train_theirs, goal="")
    if ours and theirs:
        ratio, goal = ours["rate"] / theirs["rate"], "2.00"
        plan.say("  ours / Trainer", f"{ratio:.2f}", goal, "the front end's one pass not counted", ratio=ratio)
    _say_training(plan, "not cached", bench, train, "whole", cached=False)
    _say_training(plan, f"cached, batch {4 * size}", large, train, "large", cached=True)
    _say_training(plan, "cached, compile", bench, _train_compiled, "compiled", plan.rehearsed)


def _train_compiled(bench: Bench, name: str, rehearsed: bool) -> dict[str, Any]:
    import torch

    if rehearsed:
        # Traced, and not compiled, which takes longer than all other parts.
        torch.compile = functools.partial(torch.compile, backend="eager")
    return finetunings.train_ours(bench, name, cached=True, compile=True)


def _say_training(
    plan: Plan, what: str, bench: Bench, train: Callable[..., Any], *args: Any, goal: str = "40 %", **keywords: Any
) -> dict[str, Any] | None:
    """Train in a process of its own, and add two rows; None if that failed, which the others need not."""
    try:
        found = call_apart(train, bench, *args, **keywords)
    except ChildError as error:
        plan.say(f"training, {what}", "failed", note=str(error))
        return None
    mfu = found["operations"] / plan.peak
    memory = f", {found['memory']:.0f} GiB" if "memory" in found else ""
    note = f"audio seconds per second; step {1000 * found['step']:.1f} ms{memory}"
    plan.say(f"training, {what}", f"{found['rate']:,.0f} s/s", note=note, **found)
    plan.say("  MFU, busy", f"{mfu:.1%}, {_share(found['busy'])}", goal, f"of {plan.peak / 1e12:,.0f} TFLOP/s", mfu=mfu)
    return found


def _share(busy: float | None) -> str:
    return "?" if busy is None else f"{busy:.0%}"


# --- resume -----------------------------------------------------------------------------------------


def measure_resume(plan: Plan) -> None:
    """End trainings, continue them, and compare with an unbroken one."""
    settings = {**plan.bench.settings, "epochs": 3}
    study = {"keep_models": "all", "checkpoint_minutes": 0.0001 if plan.rehearsed else 0.03}
    bench = replace(
        plan.bench, folder=plan.bench.folder / "resume", n_train=plan.bench.n_train // 2, settings=settings, study=study
    )
    bench.write_tables()
    steps, _ = _follow(bench, "unbroken")
    at = len(steps) * 3 // 5
    for number in (signal.SIGTERM, signal.SIGKILL):
        name = number.name.lower()
        begun = time.time()
        before, ended = _follow(bench, name, (at, number))
        again = time.time()
        after, _ = _follow(bench, name)
        first, last = min(after), max(before)
        # What was done after the last step that is not repeated; SIGTERM lets the job write its state first.
        lost = (before[last] if number == signal.SIGTERM else ended) - before.get(first - 1, begun)
        plan.say(
            f"resume, {number.name} after step {last} of {len(steps)}", f"{lost:.2f} s lost",
            note=f"{last - first + 1} steps done again, the first {after[first] - again:.1f} s after the new start",
            lost=lost, repeated=last - first + 1,
        )  # fmt: skip
        same, note = _compare(bench.folder / "unbroken", bench.folder / name)
        plan.say("  result against unbroken", "the same bits" if same else "differs", "the same bits", note, same=same)


def _follow(bench: Bench, name: str, kill: tuple[int, int] | None = None) -> tuple[dict[int, float], float]:
    """Run a job to its end, or to the signal that it is sent after a step; step -> when it was done, and when the job ended."""
    process, pipe = fork(_train_reporting, bench, name)
    steps: dict[int, float] = {}
    with contextlib.suppress(EOFError):
        while True:
            match pipe.recv():
                case int(step), float(when):
                    steps[step] = when
                    if kill and step == kill[0]:
                        os.kill(process.pid, kill[1])
                case {"failed": failed} if kill is None:
                    raise ChildError(failed)
                case _:
                    break
    process.join()
    return steps, time.time()


def _train_reporting(bench: Bench, name: str, *, report: Any) -> None:
    """A job that reports when each step is done."""
    from emoadapt.training.jobs import run_job
    from emoadapt.training.watchers import Watcher

    class Watch(Watcher):
        def begin_training(self, learner: Any, optimizer: Any, n_batches: int) -> None:
            self.position = learner.position

        def end_batch(self) -> None:
            finetunings.synchronise(bench.device)
            report((self.position.step, time.time()))

    with finetunings.watched(Watch()):
        run_job(bench.open_job(name, cached=False), int(bench.device == "cuda"))


def _compare(unbroken: Path, resumed: Path) -> tuple[bool, str]:
    """Compare predictions and weights: the same bits, or the largest difference."""
    from safetensors.numpy import load_file

    from emoadapt.storage.tables import read_table

    logits = [
        np.array(read_table(at / "predictions.parquet").column("logits").to_pylist()) for at in (unbroken, resumed)
    ]
    files = [path.relative_to(unbroken) for path in sorted((unbroken / "models").rglob("*.safetensors"))]
    differences = [float(np.abs(logits[0] - logits[1]).max())]
    for file in files:
        ours, others = load_file(unbroken / file), load_file(resumed / file)
        differences.append(max(float(np.abs(ours[name] - others[name]).max()) for name in ours))
    note = f"largest difference of a logit {differences[0]:.3g}, of a weight {max(differences[1:]):.3g}"
    return not any(differences), note


# --- whisper ----------------------------------------------------------------------------------------


def measure_whisper(plan: Plan) -> None:
    """Recognition with random weights of a usual size, and with real ones."""
    name = "random weights, tiniest" if plan.rehearsed else "random weights, small"
    file = write_whisper(plan.bench.folder / "random.pt", MINIMAL if plan.rehearsed else SMALL)
    _say_whisper(plan, name, file, draw_speech(plan))
    if plan.rehearsed:
        return
    real = next((plan.models / found for found in REAL if plan.models and (plan.models / found).is_file()), None)
    if real is None or not (clips := read_speech(plan)):
        plan.say("whisper, real weights", "not measured", note="name folders with --models and --data that have some")
    else:
        _say_whisper(plan, f"real weights, {real.stem}", real, clips)


def draw_speech(plan: Plan) -> list[bytes]:
    """Noise of usual lengths, which is speech to random weights."""
    random, n = np.random.default_rng(2), 2 if plan.rehearsed else CLIPS
    lengths = draw_lengths(n, plan.bench.seconds)
    return [(3000 * random.standard_normal(length)).astype("<i2").tobytes() for length in lengths]


def read_speech(plan: Plan) -> list[bytes]:
    """Real English clips, if `--data` has some."""
    from emoadapt.media import decode_audio

    files = sorted((plan.data / "ravdess").rglob("*.flac"))[:CLIPS] if plan.data else []
    return [decode_audio(file).tobytes() for file in files]


def write_whisper(path: Path, dims: dict[str, int]) -> Path:
    """A checkpoint of random weights that ends each clip after `WORDS` tokens.

    From that position on, the decoder's positional embedding is a large multiple of the end token's embedding, which its residual
    connections carry to the output.
    """
    import torch
    from whisper.model import ModelDimensions, Whisper
    from whisper.tokenizer import get_tokenizer

    text = {name.replace("audio", "text"): value for name, value in dims.items()}
    torch.manual_seed(0)
    sizes = ModelDimensions(n_mels=80, n_audio_ctx=1500, n_vocab=51865, n_text_ctx=448, **dims, **text)
    model = Whisper(sizes)
    embedding = model.decoder.token_embedding.weight
    end = embedding[get_tokenizer(multilingual=True, num_languages=99).eot]
    with torch.no_grad():
        for weights in (embedding, model.decoder.positional_embedding):
            weights.normal_(std=0.02)
        # Not smaller than the others, so that the end is the likeliest token where it is meant to be.
        end.mul_(2.0)
        model.decoder.positional_embedding[WORDS:] = 1000 * end
    state = {name: value.half() for name, value in model.state_dict().items()}
    torch.save({"dims": vars(sizes), "model_state_dict": state}, path)
    return path


def _say_whisper(plan: Plan, name: str, file: Path, clips: Sequence[bytes]) -> None:
    found = call_apart(_transcribe, plan, file, clips)
    note = f"{found['clips']} clips of {found['mean']:.1f} s, {found['tokens']:.0f} tokens each; busy {_share(found['busy'])}"
    plan.say(f"whisper, {name}", f"{found['rate']:,.0f} h/h", note=note, **found)


def _transcribe(plan: Plan, file: Path, clips: Sequence[bytes]) -> dict[str, Any]:
    from emoadapt.features import transcript
    from emoadapt.features.base import Context

    config = transcript.Config(model=file.name, language="en", doubtful="note", no_speech_threshold=1.0)
    extractor = transcript.load(config, Context(file.parent, plan.device, plan.bench.threads))
    rows = [{"audio": clip, "language": "en"} for clip in clips]
    extractor.extract(rows[:2])
    looks = Looks(plan.device)
    looks.begin()
    begun = time.perf_counter()
    size, results = transcript.CHUNK_ROWS, []
    for begin in range(0, len(rows), size):
        results += extractor.extract(rows[begin : begin + size])
    seconds = time.perf_counter() - begun
    audio = sum(map(len, clips)) / 2 / SAMPLE_RATE
    tokens = [len(extractor.recognise.tokenizer.encode(found.get("text", ""))) for found in results]
    found = {"clips": len(clips), "mean": audio / len(clips), "tokens": float(np.mean(tokens)), "busy": looks.end()}
    return found | {"rate": audio / seconds}


# --- faces ------------------------------------------------------------------------------------------


def measure_faces(plan: Plan) -> None:
    """Detection by each detector that runs, and embedding."""
    from memory import write_manifest

    root = plan.bench.folder / "faces"
    films = find_films(plan, root)
    # A job in which every worker starts, and a larger one; the difference is the rate.
    sizes = (2,) if plan.rehearsed else (16, 128)
    manifests = [write_manifest(root, "films", films, n, 0.0, 2.0) for n in sizes]
    crops = None
    for detector in ["haar"] if plan.rehearsed else DETECTORS:
        try:
            found = call_apart(_detect, plan, root, detector, manifests)
        except ChildError as error:
            missing = str(error).startswith(MISSING)
            plan.say(f"faces, {detector}", "not measured" if missing else "failed", note=str(error))
            continue
        crops = crops or found["table"]
        _say_faces(plan, f"faces, {detector}", found)
    if crops is not None:
        _say_faces(
            plan, "face embedding, " + ("tiny" if plan.rehearsed else "B2"), call_apart(_embed, plan, root, crops)
        )


def _say_faces(plan: Plan, what: str, found: dict[str, Any]) -> None:
    note = f"{found['faces']:.0f} faces; {found['where']}; busy {_share(found['busy'])}"
    plan.say(what, f"{found['rate']:,.0f} faces/s", note=note, **found)


def find_films(plan: Plan, root: Path) -> list[Path]:
    """Real clips where `--data` has some, else short films of a portrait."""
    from memory import make_films

    root.mkdir(parents=True, exist_ok=True)
    real = sorted((plan.data / "clips").glob("*.mp4")) if plan.data and not plan.rehearsed else []
    return real or make_films(root, *((1, 4) if plan.rehearsed else (16, 50)))


def _load_study(plan: Plan, root: Path, detector: str, network: dict[str, Any]) -> Any:
    from emoadapt.config import load_study

    features = {"faces": {"detector": detector, "crop_size": 260}, "face_embedding": {"network": network}}
    values = {"study": "benchmark", "device": plan.device, "code": "version", "features": features}
    corpora = {"films": {"importer": "folder", "root": str(root / "films"), "modalities": ["audio", "video"]}}
    models = {"models_dir": str(plan.models.absolute())} if plan.models else {}
    return load_study(values | models | {"corpora": corpora})


def _detect(plan: Plan, root: Path, detector: str, manifests: Sequence[Path]) -> dict[str, Any]:
    study = _load_study(plan, root, detector, {"untrained": "tiny_cnn"})
    tables = [root / f"{detector}_{number}.parquet" for number in range(len(manifests))]
    where = "GPU" if plan.device == "cuda" and study.features.faces.needs_gpu() else "CPU"
    return _extract(plan, study, "faces", manifests, tables) | {"table": str(tables[-1]), "where": where}


def _embed(plan: Plan, root: Path, crops: str) -> dict[str, Any]:
    import onnxruntime

    network: dict[str, Any] = {"untrained": "tiny_cnn"}
    if not plan.rehearsed:
        from efficientnet import MEAN, SIDE, STD, make_network
        from faces import decode_crops

        from emoadapt.storage.tables import read_table

        faces = [crop for row in read_table(Path(crops), columns=["crops"]).column(0).to_pylist() for crop in row or []]
        made = make_network(decode_crops(faces[:: max(1, len(faces) // 64)]))
        network = {"file": str(made), "input_size": SIDE, "mean": MEAN, "std": STD}
    study = _load_study(plan, root, "haar", network)
    providers = onnxruntime.get_available_providers() if plan.device == "cuda" else []
    where = "GPU" if "CUDAExecutionProvider" in providers else "CPU: onnxruntime has no CUDA here"
    tables = [root / "embedding.parquet"]
    return _extract(plan, study, "face_embedding", [Path(crops)], tables) | {"where": where}


def _extract(plan: Plan, study: Any, feature: str, inputs: Sequence[Path], outputs: Sequence[Path]) -> dict[str, Any]:
    """Bring shards up to date; faces per second, of two shards by their difference."""
    from emoadapt.extraction.shards import extract_shard
    from emoadapt.machine.devices import fit_threads
    from emoadapt.storage.tables import read_table

    looks, seconds, faces, threads = Looks(plan.device), [0.0], [0], 1 if plan.rehearsed else fit_threads(16)
    looks.begin()
    for source, output in zip(inputs, outputs, strict=True):
        begun = time.perf_counter()
        extract_shard(study, feature, "films", [source], output, threads)
        seconds.append(time.perf_counter() - begun)
        column = "crops" if feature == "faces" else "n_frames"
        rows = read_table(output, columns=[column]).column(0).to_pylist()
        faces.append(sum(len(row) if isinstance(row, list) else row or 0 for row in rows))
    if not faces[-1]:
        raise ChildError("no face was found")
    return {"faces": faces[-1], "rate": (faces[-1] - faces[-2]) / (seconds[-1] - seconds[-2]), "busy": looks.end()}


# --- all of it --------------------------------------------------------------------------------------

PARTS: dict[str, tuple[Callable[[Plan], None], float]] = {
    "training": (measure_training, 200.0),
    "resume": (measure_resume, 90.0),
    "whisper": (measure_whisper, 60.0),
    "faces": (measure_faces, 100.0),
}
"""Name -> what measures it, and its time limit in s."""


def run_part(name: str, plan: Plan, left: float) -> str:
    """Run a part in processes of its own; how it ended: `done`, or why it did not end well."""
    measure, limit = PARTS[name]
    limit = min(limit, left)
    if limit <= 0:
        return "left out: no time was left"
    process, pipe = fork(_lead, measure, plan)
    ended = pipe.poll(limit)
    answer = {}
    with contextlib.suppress(EOFError):
        answer = pipe.recv() if ended else {}
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()
    if not ended:
        return f"cut after {limit:.0f} s; rows above are complete"
    return "done" if "found" in answer else answer.get("failed", "its process was killed")


def _lead(measure: Callable[[Plan], None], plan: Plan) -> None:
    # A group of its own, so that all of its processes can be ended together.
    os.setpgid(0, 0)
    measure(plan)


def read_notes(plan: Plan) -> Iterator[dict[str, Any]]:
    """Rows that a part has written."""
    if plan.notes.exists():
        yield from map(json.loads, plan.notes.read_text().splitlines())
        plan.notes.unlink()


def describe_device(rehearsed: bool) -> str:
    """Name of what is measured."""
    import torch

    versions = f"torch {torch.__version__}"
    return f"a CPU, {versions}" if rehearsed else f"{torch.cuda.get_device_name()}, {versions}"


def make_plan(arguments: argparse.Namespace, folder: Path) -> Plan:
    """Sizes of a rehearsal, or of a measurement."""
    if arguments.rehearse:
        settings = {"epochs": 2, "batch_size": 4, "precision": "32-true"}
        bench = Bench(folder, TINY, 12, "cpu", settings, seconds=0.5)
    else:
        settings = {"epochs": 4, "batch_size": 32, "precision": "bf16-mixed"}
        bench = Bench(folder, BASE, 1920, "cuda", settings)
    return Plan(bench, arguments.models, arguments.data, arguments.peak, folder / "notes", arguments.rehearse)


def main() -> int:
    """Measure, print a table, and as the last line one JSON object; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rehearse", action="store_true", help="tiny models on a CPU; the figures mean nothing")
    parser.add_argument("--only", choices=PARTS, action="append", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--models", type=Path, default=os.environ.get("EMOADAPT_MODELS"), help="folder of weights")
    parser.add_argument("--data", type=Path, default=os.environ.get("EMOADAPT_DATA"), help="folder with clips/*.mp4")
    parser.add_argument("--peak", type=float, default=H200_PEAK, help="bf16 operations per second of the GPU (H200)")
    parser.add_argument("--folder", type=Path, help="scratch folder with 8 GB to spare (default: a temporary one)")
    arguments = parser.parse_args()
    begun = time.monotonic()
    from emoadapt.machine.devices import list_devices

    if not arguments.rehearse and not list_devices():
        print(
            "This machine has no GPU, so nothing is measured; add --rehearse to try all parts on a CPU.",
            file=sys.stderr,
        )
        return 2
    for module in () if UNPREPARED in os.environ else IMPORTED:
        # One that is missing fails its part, and says so there.
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    folder = Path(tempfile.mkdtemp(prefix="gpu-", dir=arguments.folder))
    try:
        plan = make_plan(arguments, folder)
        try:
            device = call_apart(describe_device, arguments.rehearse)
        except ChildError as error:
            if UNPREPARED not in os.environ:
                shutil.rmtree(folder, ignore_errors=True)
                os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {UNPREPARED: "1"})
            print(f"torch cannot use the GPU of this machine, so nothing is measured: {error}", file=sys.stderr)
            return 2
        rows, parts = [("", "goal", "measured", "")], {}
        for name in arguments.only or PARTS:
            since = time.monotonic()
            ended = run_part(name, plan, TOTAL - (since - begun))
            found = list(read_notes(plan))
            rows += [(row["what"], row["goal"], row["measured"], row["note"]) for row in found]
            taken = time.monotonic() - since
            rows += [] if ended == "done" else [(name, "", "incomplete", ended)]
            parts[name] = {"ended": ended, "seconds": taken, "rows": found}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if arguments.rehearse:
        print("Rehearsal on a CPU with tiny models: the figures mean nothing.")
    finetunings.print_table(rows)
    figures = {"device": device, "rehearsal": arguments.rehearse, "seconds": time.monotonic() - begun, "parts": parts}
    print(finetunings.dump(figures))
    failed = any(row["measured"] == "failed" for part in parts.values() for row in part["rows"])
    return int(failed or any(part["ended"] != "done" for part in parts.values()))


if __name__ == "__main__":
    sys.exit(main())
