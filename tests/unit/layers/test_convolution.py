"""The CNN as matrix products against torch's convolution and transformers' feature encoders."""

import pytest
import torch

from emoadapt.backbones.speech_transformer import UntrainedBackbone, build_untrained
from emoadapt.layers.convolution import convolve, encode_signals


# Kernel a multiple of the stride, not a multiple, equal to it, and smaller: samples between windows are then skipped.
@pytest.mark.parametrize(("kernel", "stride"), [(10, 5), (3, 2), (4, 4), (2, 3), (5, 1), (7, 3)])
@pytest.mark.parametrize("time", [23, 24, 25])
def test_equals_conv1d_with_gradients(kernel: int, stride: int, time: int) -> None:
    generator = torch.Generator().manual_seed(0)
    convolution = torch.nn.Conv1d(3, 5, kernel, stride).double()
    found = torch.randn(2, time, 3, generator=generator, dtype=torch.double).requires_grad_()
    expected = found.detach().clone().requires_grad_()
    results = convolve(found, convolution), convolution(expected.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(*results)
    gradients = [
        torch.autograd.grad(result.sin().sum(), [signal, *convolution.parameters()])
        for signal, result in zip((found, expected), results, strict=True)
    ]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    ("architecture", "norm"),
    [("wav2vec2", "group"), ("wav2vec2", "layer"), ("wavlm", "group"), ("hubert", "layer"), ("data2vec", "layer")],
)
def test_equals_the_feature_encoder_of_transformers(architecture: str, norm: str) -> None:
    shapes = {"conv_dim": (8,) * 7, "conv_kernel": (10, 3, 3, 3, 3, 2, 2), "conv_stride": (5, 2, 2, 2, 2, 2, 2)}
    dimensions = UntrainedBackbone(**shapes, feat_extract_norm=norm, hidden_size=16, layers=1)
    encoder = build_untrained(architecture, dimensions).model.feature_extractor
    signals = torch.randn(2, 3000, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(encode_signals(encoder, signals), encoder(signals).transpose(1, 2), atol=1e-5, rtol=1e-4)


def test_narrow_layers_are_right_in_bfloat16() -> None:
    """Conv1d of one input channel was wrong there on CPUs with AMX (pytorch issue 169688)."""
    generator = torch.Generator().manual_seed(2)
    convolution, hidden = torch.nn.Conv1d(1, 16, 10, 5), torch.randn(4, 16_000, 1, generator=generator)
    exact = convolve(hidden, convolution)
    with torch.autocast("cpu", torch.bfloat16):
        rough = convolve(hidden, convolution)
    assert rough.dtype == torch.bfloat16
    assert (rough.float() - exact).norm() / exact.norm() < 0.01
