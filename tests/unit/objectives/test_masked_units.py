"""Masked prediction of units: the loss by hand, whose units they are, and what is refused."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from transformers import HubertConfig, HubertModel

from emoadapt.backbones.lld_transformer import Shape
from emoadapt.data.batching import Batch
from emoadapt.errors import ModelError
from emoadapt.layers.heads import seeded
from emoadapt.layers.lld_transformer import LldBackbone
from emoadapt.layers.masked_contrast import draw_masks
from emoadapt.layers.speech import SpeechBackbone
from emoadapt.objectives.base import Outputs, load_untargeted
from emoadapt.objectives.masked_units import MASKS

NAMES = ["c/one", "c/two", "c/three"]


@pytest.fixture
def backbone() -> SpeechBackbone:
    with seeded(2):
        config = HubertConfig(
            hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, conv_dim=(12, 12),
            conv_kernel=(10, 4), conv_stride=(5, 4), num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
            hidden_dropout=0.0, attention_dropout=0.0, layerdrop=0.0, feat_proj_dropout=0.0, activation_dropout=0.0,
            feat_extract_norm="layer",
        )  # fmt: skip
        model = HubertModel(config).eval()
    return SpeechBackbone(model, "speech_transformer", normalise=False, origin="small", trained=True).eval()


def make_batch(n_samples: int = 4000, draws: list[list[int]] | None = None, sweep: float = 20_000) -> Batch:
    time = torch.arange(n_samples) / 16_000
    audio = [torch.sin(6.28 * (first + sweep * time) * time) for first in (100, 300, 500)]
    return Batch(NAMES, {"audio": audio}, {}, {}, draws or [])


def begin(backbone: SpeechBackbone, sweep: float = 20_000):
    objective = load_untargeted("masked_units")
    objective.begin(backbone)
    objective.look(lambda: [make_batch(sweep=sweep)])
    return objective, objective.head(backbone, seed=0)


def test_the_loss_is_the_cross_entropy_of_cosines_at_masked_frames(backbone) -> None:
    """An independent computation, frame by frame, in float64."""
    objective, head = begin(backbone)
    outputs = Outputs(backbone, make_batch())
    with torch.no_grad():
        found = objective.measure(outputs, head.eval())
        states = backbone.encode_layers(*outputs.signals)
    frames, lengths = outputs.signals
    masked = draw_masks(lengths.tolist(), outputs.keys, MASKS)
    with torch.no_grad():
        hidden = backbone.parts.project(frames, lengths).clone()
        hidden[torch.from_numpy(masked)] = head.mask
        (last,) = backbone.parts.transform(hidden, lengths, every=False)
    weight, bias, units = (t.detach().double().numpy() for t in (head.project.weight, head.project.bias, head.units))
    centres, middle = head.centroids.double().numpy(), states[1].detach().double().numpy()
    losses, hits = [], []
    for clip, place in zip(*np.nonzero(masked), strict=True):
        unit = np.square(middle[clip, place] - centres).sum(axis=1).argmin()
        compared = weight @ last[clip, place].double().numpy() + bias
        cosines = units @ compared / np.linalg.norm(units, axis=1) / np.linalg.norm(compared) / 0.1
        losses.append(np.log(np.exp(cosines).sum()) - cosines[unit])
        hits.append(cosines.argmax() == unit)
    assert found.weight == masked.sum() == len(losses) > 100
    assert float(found.loss) == pytest.approx(np.mean(losses), rel=1e-4)
    assert float(found.scores["accuracy"]) == pytest.approx(np.mean(hits))
    # Spans of ten frames at different places for .8 of the frames overlap.
    assert 0.4 < masked.mean() < 0.8


def test_units_are_those_of_the_start_whatever_is_learned(backbone) -> None:
    objective, head = begin(backbone)
    changed = deepcopy(backbone)
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.add_(torch.randn_like(parameter))
    same = [objective._read(Outputs(model, make_batch())) for model in (backbone, changed)]
    assert torch.equal(*same)
    again, other = begin(backbone)
    assert torch.equal(head.centroids, other.centroids) and again.commonest == objective.commonest
    # 3 clips of 100 frames, and 20 frames for a unit.
    assert head.centroids.shape == (15, 16)


def test_held_out_clips_have_the_same_masks_in_every_epoch(backbone) -> None:
    objective, head = begin(backbone)
    with torch.no_grad():
        first, later = (
            objective.measure(Outputs(backbone, make_batch(), step=step), head.eval()).loss for step in (0, 500)
        )
        drawn = [
            objective.measure(Outputs(backbone, make_batch(draws=[[0, epoch, n] for n in range(3)])), head).loss
            for epoch in (0, 0, 1)
        ]
    assert first == later and drawn[0] == drawn[1] != drawn[2]


def test_masked_units_are_recognised_after_some_steps(backbone) -> None:
    """Tones, which what is not masked tells apart; on masks that no step has seen."""
    objective, head = begin(backbone, sweep=0)
    optimiser = torch.optim.Adam([*backbone.parameters(), *head.parameters()], lr=1e-2)
    with seeded(0):
        for step in range(60):
            batch = make_batch(draws=[[0, step, number] for number in range(3)], sweep=0)
            optimiser.zero_grad()
            objective.measure(Outputs(backbone.train(), batch, step), head.train()).loss.backward()
            optimiser.step()
    with torch.no_grad():
        found = objective.measure(Outputs(backbone.eval(), make_batch(sweep=0)), head.eval())
    assert found.scores["accuracy"] > 2 * found.scores["chance"]


def test_clips_that_are_shorter_than_a_span_count_as_nothing(backbone) -> None:
    objective, head = begin(backbone)
    found = objective.measure(Outputs(backbone, make_batch(100)), head)
    assert found.weight == 0 and found.loss == 0
    found.loss.backward()
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in head.parameters())


def test_what_has_no_frames_is_refused(backbone) -> None:
    objective = load_untargeted("masked_units")
    with pytest.raises(ModelError, match="random is no speech model; name speech models alone"):
        objective.begin(LldBackbone(Shape(), "mean", reads="compare_frames", origin="random", trained=False))
    objective.begin(backbone)
    with pytest.raises(
        ModelError, match=r"needs 40 frames of training clips for two units, and there are \d+; add clips"
    ):
        objective.look(lambda: [make_batch(200)])
