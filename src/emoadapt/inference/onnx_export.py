"""Export of a classifier to ONNX, and the proof that the file computes the same.

The graph takes raw audio at 16 kHz, (batch, samples) float32 in [-1, 1], all clips of a batch equally long and unpadded:
what is padded would be heard. Normalisation, where the model has it, is part of the graph. The lengthening of short clips
is not, so those of a model that is used to it begin where it ends.
"""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from emoadapt.errors import ConfigError, ModelError
from emoadapt.layers.frozen import FrozenLayers
from emoadapt.schema import SAMPLE_RATE

if TYPE_CHECKING:
    from emoadapt.inference.classifier import EmotionClassifier

TOLERANCE = 1e-3
"""Largest difference of a logit between the exported file and torch."""
SECONDS = (0.1, 1.0, 3.3, 10.0)
"""Lengths at which the two are compared, beside the shortest that the model takes."""
_LARGEST_FILE = 1_900_000_000
"""Bytes of weights from which on they are kept beside the file: protobuf ends at 2 GiB."""


@dataclass(frozen=True)
class Comparison:
    """Clips of one length in both runtimes: the largest absolute difference of a logit; of a value in parts of the largest."""

    n_clips: int
    n_samples: int
    difference: float


class _Graph(nn.Module):
    """What is exported: normalisation, the backbone's parts, pooling, head, and for classes softmax."""

    def __init__(self, classifier: EmotionClassifier) -> None:
        super().__init__()
        self.backbone, self.head = classifier.backbone, classifier.head
        self.rated = bool(classifier.attributes)

    def forward(self, audio: Tensor) -> tuple[Tensor, ...]:
        """(batch, samples) -> logits and probabilities (batch, n_classes), or values (batch, n_attributes)."""
        if self.backbone.normalise:
            centred = audio - audio.mean(dim=1, keepdim=True)
            audio = centred / torch.sqrt(audio.var(dim=1, correction=0, keepdim=True) + 1e-7)
        weights = self.backbone.layer_weights
        states = self.backbone.parts.trace(audio, every=weights is not None)
        shares = [1.0] if weights is None else weights.softmax(dim=0)
        hidden = sum(share * state for share, state in zip(shares, states, strict=True))
        lengths = torch.full(hidden.shape[:1], hidden.shape[1], device=hidden.device)
        outputs = self.head(self.backbone.pooling(hidden, lengths))
        return (outputs,) if self.rated else (outputs, outputs.softmax(dim=1))


def export_onnx(classifier: EmotionClassifier, file: Path) -> list[Comparison]:
    """Write an ONNX file with the input `audio` and the outputs `logits` and `probabilities`, batch and time free.

    That of a model that rates attributes has one output, `values`.

    Its metadata hold `labels` (JSON list, in the order of the outputs), `sampling_rate`, `min_samples` (length of the shortest clip)
    and, where there is a limit, `max_samples` (of the longest). Weights of 1.9 GB or more stand beside it in `<file>.data`.
    Nothing is written unless the file agrees with torch.

    Args:
        classifier: from `load_classifier`, on the CPU.
        file: ONNX file to write.

    Returns:
        The comparisons with torch.

    Raises:
        ModelError: the model cannot be exported, or the file gives other logits than torch.
        ConfigError: the file cannot be written.
    """
    if classifier.reads != ("audio",):
        raise ModelError(
            f"the model reads {' and '.join(classifier.reads)}, and only one that reads audio alone can be exported to ONNX; use "
            "`emoadapt predict`"
        )
    if isinstance(classifier.backbone, FrozenLayers):
        raise ModelError(
            "the model is a classifier on the layers of a frozen backbone, and only a fine-tuned model can be exported to ONNX; use "
            "`emoadapt predict`"
        )
    if obstacle := classifier.backbone.parts.obstacle or classifier.backbone.pooling.obstacle:
        raise ModelError(
            f"a model of the architecture {classifier.backbone.model.config.model_type} cannot be exported to ONNX, because "
            f"{obstacle}; use `emoadapt predict`"
        )
    shortest = _find_shortest(classifier)
    program = _trace(classifier, shortest)
    program.model.metadata_props.update(
        labels=json.dumps(list(classifier.outputs), ensure_ascii=False),
        sampling_rate=str(SAMPLE_RATE),
        min_samples=str(shortest),
        **({} if (longest := classifier.backbone.parts.longest) is None else {"max_samples": str(longest)}),
    )
    n_bytes = sum(parameter.nbytes for parameter in classifier.parameters())
    with _scratch_beside(file) as scratch:
        draft = scratch / file.name
        program.save(draft, external_data=n_bytes >= _LARGEST_FILE)
        found = compare(classifier, draft)
        worst = max(comparison.difference for comparison in found)
        if not worst <= TOLERANCE:
            raise ModelError(
                f"the export of this {classifier.backbone.model.config.model_type} model gives logits up to {worst:.2g} away "
                f"from torch, allowed is {TOLERANCE:g}; nothing was written, use the model with torch"
            )
        for part in sorted(scratch.iterdir()):
            part.replace(file.parent / part.name)
    return found


@contextmanager
def _scratch_beside(file: Path) -> Iterator[Path]:
    """A folder on the file system of the file, from where it can be renamed to its place.

    Raises:
        ConfigError: it cannot be made, or what is done inside cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".onnx-", dir=file.parent) as scratch:
            yield Path(scratch)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written ({error.strerror or error}); name another file") from None


def compare(classifier: EmotionClassifier, file: Path) -> list[Comparison]:
    """Run seeded noise of several lengths, alone and three together, through the file and through torch.

    Raises:
        ModelError: onnxruntime cannot run the file.
    """
    import onnxruntime

    random = torch.Generator().manual_seed(0)
    shortest = _find_shortest(classifier)
    lengths = sorted({shortest, *(max(shortest, round(seconds * SAMPLE_RATE)) for seconds in SECONDS)})
    found = []
    try:
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        for n_samples in lengths:
            for n_clips in (1, 3):
                audio = 0.1 * torch.randn(n_clips, n_samples, generator=random)
                with torch.inference_mode():
                    expected = torch.cat([classifier([clip]) for clip in audio])
                outputs = torch.from_numpy(session.run(_name_outputs(classifier)[:1], {"audio": audio.numpy()})[0])
                # Values have a scale of their own, beyond 1 their digits count.
                scale = float(expected.abs().max().clamp_min(1)) if classifier.attributes else 1.0
                found.append(Comparison(n_clips, n_samples, float((outputs - expected).abs().max()) / scale))
    except Exception as error:
        # onnxruntime raises classes of its extension module without a public common one.
        raise ModelError(f"{file.name} cannot be run by onnxruntime {onnxruntime.__version__}: {error}") from error
    return found


def _find_shortest(classifier: EmotionClassifier) -> int:
    """Samples of the shortest clip that is heard as it is."""
    return max(classifier.backbone.parts.shortest, classifier.backbone.shortest)


def _name_outputs(classifier: EmotionClassifier) -> list[str]:
    return ["values"] if classifier.attributes else ["logits", "probabilities"]


def print_comparisons(comparisons: Sequence[Comparison]) -> None:
    """Print what `export_onnx` returns as a table."""
    print("clips  samples  seconds  largest difference of a logit")
    for item in comparisons:
        print(f"{item.n_clips:5}  {item.n_samples:7}  {item.n_samples / SAMPLE_RATE:7.2f}  {item.difference:.1e}")
    print(f"largest {max(item.difference for item in comparisons):.1e}, allowed {TOLERANCE:g}")


def _trace(classifier: EmotionClassifier, shortest: int) -> Any:
    """The graph with free batch and time.

    Raises:
        ModelError: torch cannot export it.
    """
    import onnxscript  # noqa: F401  (a missing one is named here; torch says it in other words)

    free = {
        0: torch.export.Dim("batch", min=1),
        1: torch.export.Dim("samples", min=shortest, max=classifier.backbone.parts.longest),
    }
    # Two clips: a size of 1 would be taken for a constant.
    example = torch.zeros(2, max(SAMPLE_RATE, 2 * shortest))
    try:
        with _quiet_export(), torch.inference_mode(False), torch.no_grad():
            return torch.onnx.export(
                _Graph(classifier).eval(),
                (example,),
                dynamo=True,
                input_names=["audio"],
                output_names=_name_outputs(classifier),
                dynamic_shapes=(free,),
                verbose=False,
            )
    except (torch.onnx.OnnxExporterError, RuntimeError) as error:
        raise ModelError(
            f"torch {torch.__version__} cannot export this {classifier.backbone.model.config.model_type} model to ONNX "
            f"({str(error).splitlines()[0]}); use it with torch"
        ) from error


@contextmanager
def _quiet_export() -> Iterator[None]:
    """Without notes on operators of libraries that are not installed, and on what could not be folded."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.* is deprecated")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
