"""Heads."""

import pytest
import torch

from emoadapt.layers.heads import ChallengeHead, ProjectedHead, ScaledHead, TwoLayerHead, build_head, seeded


def test_head_is_linear_relu_linear() -> None:
    head = TwoLayerHead(2, 2, 1, seed=0)
    with torch.no_grad():
        head.hidden.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        head.hidden.bias.zero_()
        head.output.weight.copy_(torch.tensor([[2.0, 3.0]]))
        head.output.bias.fill_(0.5)
    assert head(torch.tensor([[1.0, -4.0], [1.0, 1.0]])).tolist() == [[2.5], [5.5]]


def test_challenge_head_is_dropout_linear_norm_relu_dropout_linear() -> None:
    """By hand: [3, 1] has mean 2 and deviation 1, so that the norm gives [1, -1] and ReLU [1, 0]."""
    head = ChallengeHead(2, 2, 1, seed=0).eval()
    with torch.no_grad():
        head.hidden.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        head.hidden.bias.zero_()
        head.output.weight.copy_(torch.tensor([[2.0, 3.0]]))
        head.output.bias.fill_(0.5)
    assert head(torch.tensor([[3.0, 1.0]])).tolist()[0] == pytest.approx([2.5], abs=1e-4)
    plain = torch.nn.Sequential(
        torch.nn.Dropout(0.5), head.hidden, head.norm, torch.nn.ReLU(), torch.nn.Dropout(0.5), head.output
    )
    vectors = torch.randn(50, 2, generator=torch.Generator().manual_seed(1))
    outputs = []
    for model in (head.train(), plain.train()):
        with seeded(4):
            outputs.append(model(vectors))
    assert torch.equal(*outputs) and not torch.equal(outputs[0], head.eval()(vectors))


@pytest.mark.parametrize("kind", ["mlp", "hf", "challenge"])
def test_a_scale_goes_into_the_last_layer(kind: str) -> None:
    head = ScaledHead(build_head(kind, 8, 5, 2, 1).eval(), [50.0, 4.0], [20.0, 0.5])
    vectors = torch.randn(6, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(head.fold()(vectors), head(vectors))


def test_initial_weights_depend_on_the_seed_only() -> None:
    torch.manual_seed(1)
    first = TwoLayerHead(8, 4, 3, seed=5)
    torch.manual_seed(2)
    second, other = TwoLayerHead(8, 4, 3, seed=5), TwoLayerHead(8, 4, 3, seed=6)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.hidden.weight, other.hidden.weight)


def test_projection_of_the_mean_is_the_mean_of_projected_frames() -> None:
    """`transformers` projects frames and then pools; this head sees the pooled embedding."""
    head, frames = ProjectedHead(6, 4, 3, seed=0), torch.randn(2, 50, 6, generator=torch.Generator().manual_seed(1))
    expected = head.classifier(head.projector(frames).mean(dim=1))
    torch.testing.assert_close(head(frames.mean(dim=1)), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("kind", "hidden", "units"), [("mlp", None, 8), ("mlp", 5, 5), ("hf", None, 256), ("hf", 5, 5)]
)
def test_builds_heads_by_kind_and_seed(kind: str, hidden: int | None, units: int) -> None:
    first, second, other = (build_head(kind, 8, hidden, 3, seed) for seed in (1, 1, 2))
    assert [tuple(value.shape) for value in first.parameters()] == [(units, 8), (units,), (3, units), (3,)]
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(*(next(head.parameters()) for head in (first, other)))


def test_dropout_is_of_the_challenge_head() -> None:
    assert build_head("challenge", 8, None, 3, 1).dropout.p == 0.5
    head = build_head("challenge", 8, 4, 3, 1, 0.1)
    assert head.dropout.p == 0.1 and head.hidden.out_features == 4


def test_seeded_leaves_the_generator_as_it_was() -> None:
    before = torch.random.get_rng_state()
    with seeded(3):
        torch.rand(2)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_seeded_leaves_a_gpu_alone_that_the_process_has_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs with `device: cpu` opened a context on every GPU of the machine, and torch warned of two or more."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda *_: pytest.fail("the GPU was asked"))
    TwoLayerHead(2, 2, 2, seed=0)
