"""wav2vec 2.0's objective on a backbone, against `transformers`."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining

from emoadapt.backbones.lld_transformer import Shape
from emoadapt.data.batching import Batch
from emoadapt.errors import ModelError
from emoadapt.layers.heads import seeded
from emoadapt.layers.lld_transformer import LldBackbone
from emoadapt.layers.masked_contrast import Contrast, draw_masks, draw_negatives
from emoadapt.layers.speech import SpeechBackbone
from emoadapt.objectives.base import Outputs, load_untargeted

NAMES = ["c/one", "c/two", "c/three"]


@pytest.fixture
def reference() -> Wav2Vec2ForPreTraining:
    """A small model without dropout, whose quantiser has the published size."""
    with seeded(2):
        config = Wav2Vec2Config(
            hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, conv_dim=(12, 12),
            conv_kernel=(10, 4), conv_stride=(5, 4), num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
            feat_quantizer_dropout=0.0, hidden_dropout=0.0, attention_dropout=0.0, layerdrop=0.0,
            feat_proj_dropout=0.0, activation_dropout=0.0, mask_time_prob=0.5, feat_extract_norm="layer",
        )  # fmt: skip
        return Wav2Vec2ForPreTraining(config).eval()


def wrap(reference: Wav2Vec2ForPreTraining) -> SpeechBackbone:
    return SpeechBackbone(
        reference.wav2vec2, "speech_transformer", normalise=False, origin="small", trained=True
    ).eval()


def make_batch(n_samples: int, draws: list[list[int]] | None = None) -> Batch:
    audio = torch.randn(len(NAMES), n_samples, generator=torch.Generator().manual_seed(1))
    return Batch(NAMES, {"audio": list(audio)}, {}, {}, draws or [])


def test_loss_is_that_of_transformers(reference) -> None:
    backbone, objective, batch = wrap(reference), load_untargeted("wav2vec2"), make_batch(1600)
    head = objective.head(backbone, seed=0).eval()
    head.load_state_dict({**reference.state_dict(), "mask": reference.wav2vec2.masked_spec_embed}, strict=False)
    outputs = Outputs(backbone, batch)
    _, lengths = outputs.signals
    masked = draw_masks(lengths.tolist(), outputs.keys, head.settings)
    negatives = draw_negatives(masked, outputs.keys, 100)
    places = torch.from_numpy(masked).flatten().nonzero()[:, 0]
    theirs = torch.zeros(masked.size, 100, dtype=torch.long)
    theirs[places] = places[torch.from_numpy(negatives)]
    with torch.no_grad():
        expected = reference(
            torch.stack(batch.streams["audio"]), mask_time_indices=torch.from_numpy(masked),
            sampled_negative_indices=theirs.reshape(*masked.shape, 100),
        )  # fmt: skip
        found = objective.measure(outputs, head)
    assert found.weight == masked.sum() > 50
    torch.testing.assert_close(found.loss * found.weight, expected.loss, rtol=1e-4, atol=1e-3)
    contrastive = found.scores["contrastive"] * found.weight
    torch.testing.assert_close(contrastive, expected.contrastive_loss, rtol=1e-4, atol=1e-3)
    assert 0 <= found.scores["accuracy"] <= 1 and float(found.scores["chance"]) == pytest.approx(1 / 101)


def test_held_out_clips_have_the_same_masks_in_every_epoch_and_batch(reference) -> None:
    backbone, objective = wrap(reference), load_untargeted("wav2vec2")
    head = objective.head(backbone, seed=0).eval()
    first, later = (objective.measure(Outputs(backbone, make_batch(1600), step=step), head) for step in (0, 500))
    assert first.loss == later.loss
    by_epoch = [
        objective.measure(Outputs(backbone, make_batch(1600, [[0, epoch, n] for n in range(3)])), head).loss
        for epoch in (0, 0, 1)
    ]
    assert by_epoch[0] == by_epoch[1] != by_epoch[2]
    whole = make_batch(1600)
    assert Outputs(backbone, whole).keys[1] == Outputs(backbone, Batch([NAMES[1]], {}, {}, {})).keys[0]


def test_noise_of_the_quantiser_follows_the_steps(reference) -> None:
    backbone, objective = wrap(reference), load_untargeted("wav2vec2")
    head = objective.head(backbone, seed=0).train()
    temperatures = []
    for step in (0, 100_000, 1_000_000):
        with seeded(0):
            objective.measure(Outputs(backbone, make_batch(1600), step=step), head)
        temperatures.append(head.quantizer.temperature)
    assert temperatures == [2.0, pytest.approx(2.0 * 0.999995**100_000), 0.5]


def test_clips_that_are_shorter_than_a_span_count_as_nothing(reference) -> None:
    backbone, objective = wrap(reference), load_untargeted("wav2vec2")
    head = objective.head(backbone, seed=0)
    found = objective.measure(Outputs(backbone, make_batch(100)), head)
    assert found.weight == 0 and found.loss == 0
    found.loss.backward()
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in head.parameters())


def test_masked_frames_are_recognised_after_some_steps(reference, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweeps, whose frames follow from those around them; on masks that no step has seen."""
    sizes = partial(Contrast, codevectors=16, codevector_width=16, width=16)
    monkeypatch.setattr("emoadapt.objectives.wav2vec2.Contrast", sizes)
    backbone, objective = wrap(reference), load_untargeted("wav2vec2")
    head = objective.head(backbone, seed=0)
    time = torch.arange(2000) / 16_000
    audio = [torch.sin(6.28 * (first + 20_000 * time) * time) for first in (100, 300, 500)]
    optimiser = torch.optim.Adam([*backbone.parameters(), *head.parameters()], lr=1e-2)
    with seeded(0):
        for step in range(80):
            batch = Batch(NAMES, {"audio": audio}, {}, {}, [[0, step, number] for number in range(3)])
            optimiser.zero_grad()
            objective.measure(Outputs(backbone.train(), batch, step), head.train()).loss.backward()
            optimiser.step()
    with torch.no_grad():
        found = objective.measure(Outputs(backbone.eval(), Batch(NAMES, {"audio": audio}, {}, {})), head.eval())
    assert found.scores["accuracy"] > 3 * found.scores["chance"]


def test_a_backbone_without_audio_is_refused() -> None:
    backbone = LldBackbone(Shape(), "mean", reads="compare_frames", origin="random", trained=False)
    with pytest.raises(ModelError, match="random is no speech model; name speech models alone"):
        load_untargeted("wav2vec2").begin(backbone)
