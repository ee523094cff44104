"""PASE+, a self-supervised speech encoder (Ravanelli et al. 2020).

Its SincNet filters, seven convolutions, quasi-recurrent layer and skip connections are those of the authors' code and of their
`cfg/frontend/PASE+.cfg`, https://github.com/santi-pdp/pase (`models/frontend.py`, `models/modules.py`), and its parameters have the names
of their checkpoint. A frame has 256 values and covers 160 samples at 16 kHz.

Unlike there, each skip connection is averaged before it is projected, and the first two layers see a clip piece by piece. Both
change rounding alone; a minute at the full rate would take gigabytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, pad

from emoadapt.errors import ModelError
from emoadapt.schema import SAMPLE_RATE

KERNELS = (251, 20, 11, 11, 11, 11, 11, 11)
STRIDES = (1, 10, 2, 1, 2, 1, 2, 2)
CHANNELS = (64, 64, 128, 128, 256, 256, 512, 512)
MARGINS = tuple((kernel // 2 - (stride > 1), kernel // 2) for kernel, stride in zip(KERNELS, STRIDES, strict=True))
"""Frames that are mirrored before and after a clip, of each layer."""
RECURRENT = 512
WIDTH = 256
HOP = math.prod(STRIDES)
"""Samples from frame to frame: 10 ms."""
SHORTEST = 471
"""Samples of the shortest clip: the last convolution, which mirrors five frames at 200 Hz, then has six."""
PIECE = 16_000
"""Frames of the second layer, 10 s, that are computed at once."""


class SincConvolution(nn.Module):
    """Band-pass filters whose two cut-off frequencies alone are learned (Ravanelli & Bengio 2018, Eq. 4)."""

    LOWEST, NARROWEST = 50.0, 50.0
    """Hz: the least lower cut-off, and the least bandwidth."""

    def __init__(self) -> None:
        super().__init__()
        edges = _space_mel(30.0, SAMPLE_RATE / 2 - (self.LOWEST + self.NARROWEST), CHANNELS[0] + 1)
        self.low_hz_ = nn.Parameter(edges[:-1, None].clone())
        self.band_hz_ = nn.Parameter(edges.diff()[:, None])

    def build_filters(self) -> Tensor:
        """(64, 1, 251) filters, windowed after Hamming, with 1 in their middle."""
        half = KERNELS[0] // 2
        low = self.LOWEST + self.low_hz_.abs()
        high = (low + self.NARROWEST + self.band_hz_.abs()).clamp(self.LOWEST, SAMPLE_RATE / 2)
        steps = torch.arange(half, device=low.device)
        places = 2 * math.pi * (steps - half) / SAMPLE_RATE
        # The authors' window begins as one of 251 points, and its last point before the middle is that of 124.5.
        window = 0.54 - 0.46 * torch.cos(2 * math.pi * steps * (KERNELS[0] / 2 - 1) / (half - 1) / KERNELS[0])
        left = (torch.sin(high * places) - torch.sin(low * places)) / (places / 2) * window / (2 * (high - low))
        return torch.cat([left, torch.ones_like(low), left.flip(1)], dim=1)[:, None]

    def forward(self, signal: Tensor) -> Tensor:
        """(batch, 1, n_samples + 250) -> (batch, 64, n_samples)."""
        return conv1d(signal, self.build_filters())


class Block(nn.Module):
    """A convolution, batch norm and PReLU, without the padding.

    Args:
        index: of the layer.
    """

    def __init__(self, index: int) -> None:
        super().__init__()
        channels = CHANNELS[index]
        plain = (CHANNELS[index - 1], channels, KERNELS[index], STRIDES[index])
        self.conv = nn.Conv1d(*plain) if index else SincConvolution()
        self.norm = nn.BatchNorm1d(channels)
        self.act = nn.PReLU(channels, init=0.0)

    def forward(self, padded: Tensor) -> Tensor:
        """(batch, channels before, n_frames + margins) -> (batch, channels, n_frames / stride)."""
        return self.act(self.norm(self.conv(padded)))


class QuasiRecurrentLayer(nn.Module):
    """Gates from two neighbouring frames, and a recurrence without weights (Bradbury et al. 2017, fo-pooling).

    Args:
        dimension: of a frame.
        width: of the output.
    """

    def __init__(self, dimension: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * dimension, 3 * width)

    def forward(self, frames: Tensor) -> Tensor:
        """(n_frames, batch, dimension) -> (n_frames, batch, width); before the first frame are zeros."""
        before = torch.cat([torch.zeros_like(frames[:1]), frames[:-1]])
        values, forget, output = self.linear(torch.cat([frames, before], dim=2)).chunk(3, dim=2)
        forget = forget.sigmoid()
        kept, states = torch.zeros_like(values[0]), []
        for new, old in zip((forget * values.tanh()).unbind(), (1 - forget).unbind(), strict=True):
            kept = new + old * kept
            states.append(kept)
        return output.sigmoid() * torch.stack(states)


class Recurrence(nn.Module):
    """Layers of a recurrent network; PASE+ has one."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([QuasiRecurrentLayer(CHANNELS[-1], RECURRENT)])

    def forward(self, frames: Tensor) -> Tensor:
        """(batch, 512, n_frames) -> (batch, 512, n_frames)."""
        hidden = frames.permute(2, 0, 1)
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden.permute(1, 2, 0)


class PasePlus(nn.Module):
    """The encoder, for one clip at a time, in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(index) for index in range(len(CHANNELS)))
        self.denseskips = nn.ModuleList(nn.Conv1d(channels, WIDTH, 1, bias=False) for channels in CHANNELS[:-1])
        self.rnn = Recurrence()
        self.W = nn.Conv1d(RECURRENT, WIDTH, 1)
        self.norm_out = nn.BatchNorm1d(WIDTH, affine=False)
        self.eval().requires_grad_(False)

    def forward(self, signal: Tensor) -> Tensor:
        """Encode a clip.

        Args:
            signal: (n_samples,) float32 in [-1, 1], 16 kHz, of `SHORTEST` samples or more.

        Returns:
            (n_frames, 256) float32, 100 frames a second.
        """
        n_frames = count_frames(len(signal))
        first, hidden = self._encode_signal(signal, n_frames)
        skips = [first, _average(hidden, n_frames)]
        for block, margins in zip(self.blocks[2:], MARGINS[2:], strict=True):
            hidden = block(pad(hidden, margins, mode="reflect"))
            skips.append(_average(hidden, n_frames))
        found = self.W(self.rnn(hidden))
        for skip, projection in zip(skips[:-1], self.denseskips, strict=True):
            found = found + projection(skip)
        return self.norm_out(found)[0].T

    def _encode_signal(self, signal: Tensor, n_frames: int) -> tuple[Tensor, Tensor]:
        """Averages of the first layer for each frame, (1, 64, n_frames), and the second layer, (1, 64, n_samples / 10)."""
        sinc, convolution = self.blocks[:2]
        padded = pad(signal[None, None], MARGINS[0], mode="reflect")
        before, after = MARGINS[1]
        averaged = _Averages(len(signal) // n_frames, n_frames, signal.device)
        parts = []
        for begin, end in _cut(len(signal), STRIDES[1]):
            # What the second layer reads: samples beyond the piece, which at both ends of the clip are mirrored
            first, last = max(begin - before, 0), min(end + after, len(signal))
            filtered = sinc(padded[..., first : last + sum(MARGINS[0])])
            averaged.add(filtered[..., begin - first : end - first], begin)
            lacking = (before - (begin - first), after - (last - end))
            parts.append(convolution(pad(filtered, lacking, mode="reflect")))
        return averaged.mean, torch.cat(parts, dim=2)


class _Averages:
    """Means over groups of samples that arrive piece by piece.

    Args:
        size: samples in a group.
        n_groups: groups; samples beyond the last one do not count.
        device: of the samples.
    """

    def __init__(self, size: int, n_groups: int, device: torch.device) -> None:
        self.size, self.n_groups = size, n_groups
        self.sums = torch.zeros(1, CHANNELS[0], n_groups, device=device)

    def add(self, samples: Tensor, begin: int) -> None:
        """Add (1, 64, n) samples, whose first is sample `begin` of the clip."""
        groups = torch.arange(begin, begin + samples.shape[2], device=samples.device) // self.size
        kept = groups < self.n_groups
        self.sums.index_add_(2, groups[kept], samples[..., kept])

    @property
    def mean(self) -> Tensor:
        """(1, 64, n_groups)."""
        return self.sums / self.size


def count_frames(n_samples: int) -> int:
    """Frames of a clip of `n_samples` samples."""
    for kernel, stride, margins in zip(KERNELS, STRIDES, MARGINS, strict=True):
        n_samples = (n_samples + sum(margins) - kernel) // stride + 1
    return n_samples


def build_untrained(seed: int) -> PasePlus:
    """PASE+ with random weights, for trials; the filters are its initial ones."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return PasePlus()


def load_checkpoint(file: Path) -> PasePlus:
    """Load the authors' `FE_e199.ckpt`, or another encoder of that layout, without running code from it.

    Raises:
        ModelError: it cannot be read, or its weights are not those of PASE+.
    """
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
        # Encoders that were saved while they were trained lie beside the state of their optimiser
        state = found.get("state_dict", found)
        with torch.device("meta"):
            network = PasePlus()
        network.load_state_dict(state, assign=True)
    except (OSError, EOFError, ValueError, AttributeError, TypeError, RuntimeError, UnpicklingError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = " ".join(lines[1:2] if lines and "Error(s) in loading" in lines[0] else lines[:1])
        raise ModelError(
            f"{file} is not PASE+'s encoder ({reason[:200] or type(error).__name__}); fetch the authors' FE_e199.ckpt again"
        ) from None
    return network.requires_grad_(False)


def _average(frames: Tensor, n_frames: int) -> Tensor:
    """(1, channels, n) -> (1, channels, n_frames): means of as many whole frames as there are; what is left over is dropped."""
    size = frames.shape[2] // n_frames
    return frames[..., : size * n_frames].unflatten(2, (n_frames, size)).mean(dim=3)


def _cut(n_samples: int, stride: int) -> Iterator[tuple[int, int]]:
    """Ends of pieces of about equal length, each but the last a multiple of `stride` samples."""
    n_steps = -(-n_samples // stride)
    n_pieces = -(-n_steps // PIECE)
    ends = [stride * (n_steps * piece // n_pieces) for piece in range(n_pieces)]
    yield from zip(ends, [*ends[1:], n_samples], strict=True)


def _space_mel(low: float, high: float, n: int) -> Tensor:
    """(n,) frequencies in Hz, evenly spaced on the mel scale."""
    first, last = (2595 * math.log10(1 + hz / 700) for hz in (low, high))
    mel = torch.linspace(first, last, n, dtype=torch.float64)
    return (700 * (10 ** (mel / 2595) - 1)).float()
