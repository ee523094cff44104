"""The face path: frames per CPU second against a naive chain, and how far its clip embeddings are from the naive ones.

    python benchmarks/faces.py --data DIR --models DIR

Naive: `cv2.VideoCapture`, MTCNN with its full pyramid frame by frame as facenet-pytorch runs it, crop of the largest face,
EfficientNet-B2 in onnxruntime image by image as hsemotion-onnx runs it, mean over the frames. Ours: the features `faces` and
`face_embedding`, crops stored between them included, in the configurations of `MODES`. All get the same clips in turns, with one thread per
library; CPU seconds are those of the whole process, threads that work ahead included. Frames are those of the video,
also where fewer are looked at.

Fidelity is the cosine of a clip's embedding to the naive one, after the naive mean over clips is subtracted from both: without
that, any two people are alike. Both are given: the mean over clips and the smallest. EfficientNet-B2 has no training here (see `efficientnet.py`) and may take shifted crops otherwise
than a trained one does; the fidelity of a small trained network on the same crops is therefore given as well.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from efficientnet import MEAN, SIDE, STD, make_network
from naive_faces import NaiveChain, NaiveMtcnn, NaiveNetwork

from emoadapt.faces.cropping import FacesExtractor
from emoadapt.faces.embedding import FaceEmbeddingExtractor
from emoadapt.faces.network_settings import OnnxNetwork
from emoadapt.faces.onnx_network import load_network
from emoadapt.features.base import Context
from emoadapt.features.face_embedding import Config as FaceEmbeddingConfig
from emoadapt.features.faces import Config as FacesConfig

MIN_SCORE = 0.9
# The naive chain takes the largest face of each frame, so all do here; a face with little doubt, or it would often be an ear.
COMMON = {"detector": "mtcnn", "several": "largest", "min_score": MIN_SCORE, "crop_size": SIDE}
NAIVE = "naive"
MODES: dict[str, dict[str, Any]] = {
    "every frame": {"crop_format": "png"},
    "every frame, search near": {"crop_format": "png", "search": "near"},
    "detection every 5th, near": {"detect_every": 5, "search": "near"},
    "5 fps, detection every 5th": {"fps": 5, "detect_every": 5, "min_face": 60},
}
TARGETS = {
    "every frame, search near": (1.5, 0.999),
    "detection every 5th, near": (2.5, 0.98),
    "5 fps, detection every 5th": (12.0, 0.95),
}
"""Frames per CPU second over those of the naive chain; fidelity."""
TRAINED = OnnxNetwork(
    file="mini_xception_fer2013", input_size=64, colour="grey", mean=(0.5,), std=(0.5,), output="embedding"
)
GPU_LOOKS_MS = 100


@dataclass
class Side:
    """What one side did: CPU seconds, faces, and per clip the mean embedding by either network."""

    seconds: float = 0.0
    n_faces: int = 0
    b2: list[np.ndarray] = field(default_factory=list)
    trained: list[np.ndarray] = field(default_factory=list)


def find_clips(data: Path, n_clips: int | None = None) -> list[Path]:
    """Clips spread over the alphabet, and so over their sources; None = all."""
    clips = sorted((data / "clips").glob("*.mp4"))
    if not clips:
        raise SystemExit(f"{data / 'clips'} holds no .mp4 files; name the folder above it with --data")
    return [
        clips[i] for i in np.linspace(0, len(clips) - 1, min(n_clips or len(clips), len(clips))).round().astype(int)
    ]


def calibrate(data: Path, context: Context) -> Path:
    """The stand-in network, its batch norms calibrated on two crops of each clip there is."""
    extractor = FacesExtractor(FacesConfig(**COMMON, fps=1, search="near"), context)
    rows = extractor.extract(list_rows(find_clips(data), 2.0))
    return make_network([crop for row in rows for crop in decode_crops(row.get("crops", []))])


def list_rows(clips: Iterable[Path], seconds: float) -> list[dict[str, Any]]:
    """The beginnings of clips, as the feature `faces` wants them."""
    return [{"path": clip, "start": 0.0, "end": seconds} for clip in clips]


def decode_crops(crops: Iterable[bytes]) -> list[np.ndarray]:
    """RGB images."""
    images = [cv2.imdecode(np.frombuffer(crop, np.uint8), cv2.IMREAD_COLOR) for crop in crops]
    return [cv2.cvtColor(image, cv2.COLOR_BGR2RGB) for image in images]


def declare(b2: Path) -> OnnxNetwork:
    """The stand-in as a user would configure HSEmotion's: the embedding is what enters its classifier."""
    return OnnxNetwork(file=str(b2), input_size=SIDE, mean=MEAN, std=STD)


def measure(clips: Sequence[Path], seconds: float, b2: Path, context: Context) -> tuple[dict[str, Side], int]:
    """All sides in turns, clip by clip; the first clip once more before the clock runs. And the number of frames."""
    naive = NaiveChain(NaiveMtcnn(context.models_dir / "mtcnn", MIN_SCORE), NaiveNetwork(b2, SIDE, MEAN, STD))
    embedder = FaceEmbeddingExtractor(FaceEmbeddingConfig(network=declare(b2)), context)
    finders = {name: FacesExtractor(FacesConfig(**COMMON, **keys), context) for name, keys in MODES.items()}
    trained = load_network(TRAINED, context.models_dir)

    def run_naive(clip: Path, length: float) -> tuple[np.ndarray, int, Callable[[], list[np.ndarray]]]:
        vector, n_frames, crops = naive.embed(clip, length)
        return vector, n_frames, lambda: crops

    def run_ours(name: str, clip: Path, length: float) -> tuple[np.ndarray, int, Callable[[], list[np.ndarray]]]:
        (row,) = finders[name].extract(list_rows([clip], length))
        (result,) = embedder.extract([row])
        return np.array(result["face_embedding"]), row["n_frames"], lambda: decode_crops(row["crops"])

    sides = {name: Side() for name in (NAIVE, *MODES)}
    n_frames = 0
    for number, clip in enumerate([clips[0], *clips]):
        length = seconds if number else 0.5
        for name, side in sides.items():
            begun = time.process_time()
            vector, looked_at, crops = run_naive(clip, length) if name == NAIVE else run_ours(name, clip, length)
            spent = time.process_time() - begun
            if number:
                side.seconds += spent
                side.n_faces += len(crops())
                side.b2.append(vector)
                side.trained.append(trained.embed(crops()).mean(0))
                n_frames += looked_at if name == NAIVE else 0
    return sides, n_frames


def compare(found: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> np.ndarray:
    """Cosine of each clip's embedding to the reference, both without the reference's mean over clips: (n_clips,)."""
    a, b = np.stack(found) - np.mean(reference, axis=0), np.stack(reference) - np.mean(reference, axis=0)
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def measure_gpu(clips: Sequence[Path], seconds: float, b2: Path, models: Path) -> dict[str, float] | None:
    """Faces per second by the clock, every frame searched, and the share of time in which the GPU was busy; None without one."""
    import onnxruntime

    if not torch.cuda.is_available() or "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return None
    context = Context(models, "cuda")
    finder = FacesExtractor(FacesConfig(**COMMON), context)
    embedder = FaceEmbeddingExtractor(FaceEmbeddingConfig(network=declare(b2)), context)
    embedder.extract(finder.extract(list_rows(clips[:1], 0.5)))
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", f"-lms={GPU_LOOKS_MS}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as looks:
        begun = time.perf_counter()
        results = embedder.extract(finder.extract(list_rows(clips, seconds)))
        spent = time.perf_counter() - begun
        looks.terminate()
        shares = [float(line) for line in (looks.stdout or ()) if line.strip().isdigit()]
    faces = sum(result.get("n_frames", 0) for result in results)
    return {"faces_per_second": faces / spent, "busy": float(np.mean(shares)) / 100 if shares else float("nan")}


def print_table(sides: dict[str, Side], n_frames: int) -> dict[str, dict[str, float]]:
    """One line per side; returns the figures."""
    figures: dict[str, dict[str, float]] = {}
    print(f"{'':28}{'frames/CPU s':>13}{'ratio':>7}{'target':>8}{'faces':>7}   fidelity: B2, untrained    trained")
    naive = sides[NAIVE]
    for name, side in sides.items():
        b2, trained = compare(side.b2, naive.b2), compare(side.trained, naive.trained)
        figures[name] = {
            "frames_per_cpu_second": n_frames / side.seconds,
            "ratio": naive.seconds / side.seconds,
            "fidelity": float(b2.mean()),
            "fidelity_minimum": float(b2.min()),
            "fidelity_trained": float(trained.mean()),
            "fidelity_trained_minimum": float(trained.min()),
        }
        ratio, fidelity = TARGETS.get(name, (None, None))
        print(
            f"{name:28}{n_frames / side.seconds:13.1f}{naive.seconds / side.seconds:7.2f}"
            f"{f'>= {ratio:g}' if ratio else '':>8}{side.n_faces:7d}   "
            f"mean {b2.mean():.4f} min {b2.min():.4f}    mean {trained.mean():.4f} min {trained.min():.4f}"
            + (f"   (>= {fidelity:g})" if fidelity else "")
        )
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("EMOADAPT_DATA", "data")))
    parser.add_argument("--models", type=Path, default=Path(os.environ.get("EMOADAPT_MODELS", "models")))
    parser.add_argument("--clips", type=int, default=14)
    parser.add_argument("--seconds", type=float, default=3.0, help="looked at of each clip")
    options = parser.parse_args()
    torch.set_num_threads(1)
    clips = find_clips(options.data, options.clips)
    context = Context(options.models)
    b2 = calibrate(options.data, context)
    sides, n_frames = measure(clips, options.seconds, b2, context)
    print(
        f"{n_frames} frames, the first {options.seconds:g} s of {len(clips)} clips. EfficientNet-B2: random weights (seed 0), "
        "batch norms calibrated on crops. Trained: mini-Xception, FER-2013."
    )
    figures: dict[str, Any] = {"frames": n_frames, "clips": len(clips), "sides": print_table(sides, n_frames)}
    gpu = measure_gpu(clips, options.seconds, b2, options.models)
    print("GPU: " + (f"{gpu['faces_per_second']:.0f} faces/s, busy {gpu['busy']:.0%}" if gpu else "not measured"))
    print(json.dumps({**figures, "gpu": gpu or "not measured"}))


if __name__ == "__main__":
    main()
