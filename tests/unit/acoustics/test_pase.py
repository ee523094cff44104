"""PASE+ against the authors' definition, written out plainly, on a checkpoint of their layout that is made here."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv1d, linear, pad, prelu

from emoadapt.acoustics import pase
from emoadapt.acoustics.pase import SHORTEST, SincConvolution, build_untrained, count_frames, load_checkpoint
from emoadapt.errors import ModelError

# cfg/frontend/PASE+.cfg
KERNELS = [251, 20, 11, 11, 11, 11, 11, 11]
STRIDES = [1, 10, 2, 1, 2, 1, 2, 2]
FMAPS = [64, 64, 128, 128, 256, 256, 512, 512]


def make_state(seed: int = 0) -> OrderedDict[str, Tensor]:
    """Names and shapes of `FE_e199.ckpt`, with values whose every part counts."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) / max(1, np.prod(shape[1:])) ** 0.5

    def draw_norm(name: str, n: int) -> dict[str, Tensor]:
        return {
            f"{name}.running_mean": 0.1 * draw(n),
            f"{name}.running_var": 1 + 0.1 * draw(n).abs(),
            f"{name}.num_batches_tracked": torch.tensor(7),
        }

    state: OrderedDict[str, Tensor] = OrderedDict()
    for index, (kernel, channels) in enumerate(zip(KERNELS, FMAPS, strict=True)):
        name = f"blocks.{index}"
        if index == 0:
            state[f"{name}.conv.low_hz_"] = torch.linspace(-20, 6000, 64)[:, None]
            state[f"{name}.conv.band_hz_"] = torch.linspace(-100, 900, 64)[:, None]
        else:
            state |= {
                f"{name}.conv.weight": draw(channels, FMAPS[index - 1], kernel),
                f"{name}.conv.bias": 0.1 * draw(channels),
            }
        state |= {f"{name}.norm.weight": 1 + 0.1 * draw(channels), f"{name}.norm.bias": 0.1 * draw(channels)}
        state |= draw_norm(f"{name}.norm", channels)
        state[f"{name}.act.weight"] = 0.2 + 0.1 * draw(channels)
    state |= {f"denseskips.{index}.weight": draw(256, FMAPS[index], 1) for index in range(7)}
    state |= {"rnn.layers.0.linear.weight": draw(1536, 1024), "rnn.layers.0.linear.bias": 0.1 * draw(1536)}
    state |= {"W.weight": draw(256, 512, 1), "W.bias": 0.1 * draw(256), **draw_norm("norm_out", 256)}
    return state


def make_filters(low: Tensor, band: Tensor) -> Tensor:
    """Difference of two ideal low-pass filters under a window, (64, 1, 251), by numpy's sinc."""
    low = 50 + low.double().abs().numpy()
    high = np.clip(low + 50 + band.double().abs().numpy(), 50, 8000)
    time = np.arange(-125, 126) / 16_000
    ideal = 2 * high * np.sinc(2 * high * time) - 2 * low * np.sinc(2 * low * time)
    half = 0.54 - 0.46 * np.cos(2 * np.pi * np.linspace(0, 251 / 2 - 1, 125) / 251)
    filters = ideal * np.concatenate([half, [1], half[::-1]]) / (2 * (high - low))
    return torch.from_numpy(filters).float()[:, None]


def encode_plainly(state: dict[str, Tensor], signal: Tensor) -> Tensor:
    """What the authors' `WaveFe.forward` does in evaluation mode, (n_frames, 256)."""

    def normalise(name: str, hidden: Tensor) -> Tensor:
        mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return batch_norm(hidden, mean, variance, state.get(f"{name}.weight"), state.get(f"{name}.bias"))

    hidden, skips = signal[None, None], []
    for index, (kernel, stride) in enumerate(zip(KERNELS, STRIDES, strict=True)):
        name = f"blocks.{index}"
        margins = (kernel // 2 - 1, kernel // 2) if stride > 1 else (kernel // 2, kernel // 2)
        padded = pad(hidden, margins, mode="reflect")
        if index == 0:
            filters = make_filters(state[f"{name}.conv.low_hz_"], state[f"{name}.conv.band_hz_"])
            hidden = conv1d(padded, filters)
        else:
            hidden = conv1d(padded, state[f"{name}.conv.weight"], state[f"{name}.conv.bias"], stride)
        hidden = prelu(normalise(f"{name}.norm", hidden), state[f"{name}.act.weight"])
        if index < 7:
            skips.append(conv1d(hidden, state[f"denseskips.{index}.weight"]))
    frames = hidden[0].T
    before = torch.cat([torch.zeros(1, 512), frames[:-1]])
    gates = linear(
        torch.cat([frames, before], dim=1), state["rnn.layers.0.linear.weight"], state["rnn.layers.0.linear.bias"]
    )
    values, forget, output = gates[:, :512].tanh(), gates[:, 512:1024].sigmoid(), gates[:, 1024:].sigmoid()
    kept, rows = torch.zeros(512), []
    for t in range(len(frames)):
        kept = forget[t] * values[t] + (1 - forget[t]) * kept
        rows.append(output[t] * kept)
    found = conv1d(torch.stack(rows).T[None], state["W.weight"], state["W.bias"])
    for skip in skips:
        factor = skip.shape[2] // found.shape[2]
        skip = skip[:, :, : found.shape[2] * factor]
        found = found + skip.view(1, 256, found.shape[2], factor).mean(dim=3)
    return normalise("norm_out", found)[0].T


def make_noise(n: int) -> Tensor:
    return 0.1 * torch.randn(n, generator=torch.Generator().manual_seed(n))


@pytest.mark.parametrize("n", [SHORTEST, 1600, 16_150, 40_007])
def test_checkpoint_of_the_authors_layout_gives_their_encoding(n: int, tmp_path: Path) -> None:
    state = make_state()
    torch.save(state, tmp_path / "FE_e199.ckpt")
    found, expected = load_checkpoint(tmp_path / "FE_e199.ckpt")(make_noise(n)), encode_plainly(state, make_noise(n))
    assert found.shape == expected.shape == (count_frames(n), 256)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=0)


def test_long_clips_are_encoded_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    network, signal = build_untrained(1), make_noise(40_007)
    whole = network(signal)
    for piece in (300, 1999, 2001):
        monkeypatch.setattr(pase, "PIECE", piece)
        torch.testing.assert_close(network(signal), whole, atol=1e-5, rtol=0)


def test_parameters_are_the_eight_millions_that_care_counts() -> None:
    """Dutta & Ganapathy 2025, on the baseline PASE+: 8 M; here layer by layer."""
    convolutions = sum(
        out * (before * kernel + 1) for before, out, kernel in zip(FMAPS, FMAPS[1:], KERNELS[1:], strict=False)
    )
    filters, norms_and_slopes = 2 * 64, 3 * sum(FMAPS)
    skips = 256 * sum(FMAPS[:-1])
    recurrent, projection = (2 * 512 + 1) * 3 * 512, (512 + 1) * 256
    counted = filters + convolutions + norms_and_slopes + skips + recurrent + projection
    assert sum(parameter.numel() for parameter in build_untrained(0).parameters()) == counted
    assert round(counted / 1e6) == 8


def test_readme_s_example_has_625_frames() -> None:
    """https://github.com/santi-pdp/pase: 100,000 samples give (1, 256, 625)."""
    assert count_frames(100_000) == 625
    assert build_untrained(0)(make_noise(8000)).shape == (50, 256)


def test_shortest_clip_is_the_shortest_that_can_be_mirrored() -> None:
    network = build_untrained(0)
    assert network(make_noise(SHORTEST)).shape == (3, 256)
    with pytest.raises(RuntimeError, match=r"[Pp]adding size"):
        network(make_noise(SHORTEST - 1))


def test_filters_pass_their_band() -> None:
    """The gain of an ideal band-pass of this scale is the sampling rate over twice the bandwidth."""
    sinc = SincConvolution()
    low, band = sinc.low_hz_[:, 0].abs() + 50, sinc.band_hz_[:, 0].abs() + 50
    assert low[0].item() == pytest.approx(80, abs=0.01)
    gains = torch.fft.rfft(sinc.build_filters()[:, 0].detach(), 16_000).abs()
    for index in (40, 63):
        centre = round((low[index] + band[index] / 2).item())
        assert gains[index, centre].item() == pytest.approx(8000 / band[index].item(), rel=0.05)
        assert gains[index, round(low[index].item() / 2)] < 0.02 * gains[index, centre]


def test_random_weights_depend_on_the_seed_alone() -> None:
    signal = make_noise(4000)
    torch.manual_seed(5)
    assert torch.equal(build_untrained(3)(signal), build_untrained(3)(signal))
    assert not torch.equal(build_untrained(3)(signal), build_untrained(4)(signal))


def test_encoder_saved_with_its_optimiser_is_read_too(tmp_path: Path) -> None:
    state = make_state()
    torch.save({"step": 9, "state_dict": state, "optimizer": {"state": {}}}, tmp_path / "encoder.ckpt")
    torch.testing.assert_close(load_checkpoint(tmp_path / "encoder.ckpt").W.weight, state["W.weight"])


class Code:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[type[RuntimeWarning], tuple[str]]:
        return RuntimeWarning, ("run",)


@pytest.mark.parametrize(
    ("damage", "said"),
    [("missing", "rnn.layers.0.linear.weight"), ("shape", "size mismatch"), ("code", ""), ("text", ""), ("tensor", "")],
)
def test_file_of_something_else_is_refused_and_nothing_in_it_run(damage: str, said: str, tmp_path: Path) -> None:
    file, state = tmp_path / "x.ckpt", dict(make_state())
    match damage:
        case "missing":
            del state["rnn.layers.0.linear.weight"]
        case "shape":
            state["W.weight"] = torch.zeros(100, 512, 1)
        case "code":
            state["code"] = Code()  # type: ignore[assignment]
    torch.save(torch.zeros(3) if damage == "tensor" else state, file)
    if damage == "text":
        file.write_text("<html>Google Drive cannot scan this file for viruses</html>")
    with pytest.raises(ModelError, match=rf"x.ckpt is not PASE\+'s encoder \(.*{said}.*\); fetch"):
        load_checkpoint(file)
