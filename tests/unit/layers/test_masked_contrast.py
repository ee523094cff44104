"""wav2vec 2.0's objective against that of `transformers`, on the same masks and negatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining

from emoadapt.layers.heads import seeded
from emoadapt.layers.masked_contrast import Contrast, MaskedContrast, draw_masks, draw_negatives

SETTINGS = Contrast(groups=2, codevectors=6, codevector_width=8, width=10, negatives=7, mask_share=0.5, mask_frames=4)
LENGTHS, KEYS = [60, 41, 33], [[1, 0, 4], [1, 0, 5], [1, 0, 6]]


def make_reference() -> Wav2Vec2ForPreTraining:
    """A small model that masks nothing by itself, and equals ours in what is learned besides the backbone."""
    with seeded(2):
        config = Wav2Vec2Config(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(12, 12),
            conv_kernel=(10, 4), conv_stride=(5, 4), num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
            num_codevectors_per_group=6, num_codevector_groups=2, codevector_dim=8, proj_codevector_dim=10,
            num_negatives=7, feat_quantizer_dropout=0.0, hidden_dropout=0.0, attention_dropout=0.0, layerdrop=0.0,
            feat_proj_dropout=0.0, activation_dropout=0.0, apply_spec_augment=True, mask_time_prob=0.5,
        )  # fmt: skip
        return Wav2Vec2ForPreTraining(config)


def make_case(reference: Wav2Vec2ForPreTraining) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Audio, masks, our negatives, and the same ones as `transformers` counts them, over all frames."""
    audio = torch.randn(3, 1300, generator=torch.Generator().manual_seed(1))
    n_frames = int(reference._get_feat_extract_output_lengths(1300))
    masked = np.zeros((3, n_frames), dtype=bool)
    masked[:, : max(LENGTHS)] = draw_masks(LENGTHS, KEYS, SETTINGS)
    negatives = draw_negatives(masked, KEYS, SETTINGS.negatives)
    places = np.flatnonzero(masked)
    theirs = np.zeros((masked.size, SETTINGS.negatives), dtype=np.int64)
    theirs[places] = places[negatives]
    theirs = theirs.reshape(3, n_frames, -1)
    return audio, torch.from_numpy(masked), torch.from_numpy(negatives), torch.from_numpy(theirs)


@pytest.mark.parametrize("training", [False, True])
def test_loss_is_that_of_transformers(training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = make_reference().train(training)
    ours = MaskedContrast(SETTINGS, 12, 16, seed=0).train(training)
    ours.load_state_dict({name: value for name, value in reference.state_dict().items() if name in ours.state_dict()})
    audio, masked, negatives, theirs = make_case(reference)
    # In training the quantiser draws noise for all frames there, for masked ones here; without noise both choose alike.
    monkeypatch.setattr(torch.nn.functional, "gumbel_softmax", choose_without_noise)
    with torch.no_grad():
        states = reference.wav2vec2(audio, mask_time_indices=masked)
        expected = reference(audio, mask_time_indices=masked, sampled_negative_indices=theirs)
        found = ours(states.extract_features, states.last_hidden_state, masked, negatives)
    assert found.n_frames == masked.sum() and found.n_frames > 40
    torch.testing.assert_close(found.contrastive, expected.contrastive_loss, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(found.diversity, expected.diversity_loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.combine(found) * found.n_frames, expected.loss, rtol=1e-5, atol=1e-4)
    assert found.diversity > 0 and found.contrastive > 1


def choose_without_noise(logits: Tensor, tau: float, hard: bool) -> Tensor:
    soft = (logits / tau).softmax(dim=-1)
    chosen = torch.zeros_like(logits).scatter_(-1, logits.argmax(dim=-1, keepdim=True), 1.0)
    return chosen - soft.detach() + soft


def test_gradient_reaches_backbone_and_codebooks() -> None:
    ours = MaskedContrast(SETTINGS, 12, 16, seed=0).train()
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(3, 60, 12, generator=generator).requires_grad_()
    hidden = torch.randn(3, 60, 16, generator=generator).requires_grad_()
    masked = draw_masks(LENGTHS, KEYS, SETTINGS)
    negatives = torch.from_numpy(draw_negatives(masked, KEYS, SETTINGS.negatives))
    with seeded(0):
        losses = ours(features, hidden, torch.from_numpy(masked), negatives)
    ours.combine(losses).backward()
    assert all(parameter.grad.isfinite().all() and parameter.grad.any() for parameter in ours.parameters())
    reached = torch.from_numpy(masked)
    assert hidden.grad[reached].any(dim=1).all() and not hidden.grad[~reached].any()
    assert features.grad[reached].any() and not features.grad[~reached].any()


def test_negative_that_equals_the_frame_does_not_count() -> None:
    """With one codevector all frames are alike: nothing is left to be told from, and the loss is 0."""
    alone = Contrast(groups=1, codevectors=1, codevector_width=4, width=4, negatives=3)
    ours = MaskedContrast(alone, 5, 5, seed=0).eval()
    masked, keys = torch.ones(1, 6, dtype=torch.bool), [[0]]
    negatives = torch.from_numpy(draw_negatives(masked.numpy(), keys, 3))
    losses = ours(torch.randn(1, 6, 5), torch.randn(1, 6, 5), masked, negatives)
    assert (losses.contrastive.item(), losses.diversity.item(), losses.n_frames) == (0.0, 0.0, 6)


def test_negatives_are_other_masked_frames_of_the_clip_all_equally_often() -> None:
    masked = np.zeros((3, 9), dtype=bool)
    masked[0, [1, 2, 5]], masked[2, [0, 3, 4, 8]] = True, True
    negatives = draw_negatives(masked, KEYS, 4000)
    assert negatives.shape == (7, 4000)
    clip = np.array([0, 0, 0, 2, 2, 2, 2])
    for frame in range(7):
        others = [other for other in range(7) if clip[other] == clip[frame] and other != frame]
        values, counts = np.unique(negatives[frame], return_counts=True)
        assert values.tolist() == others
        np.testing.assert_allclose(counts / 4000, 1 / len(others), atol=0.04)
    assert draw_negatives(np.zeros((1, 4), dtype=bool), KEYS[:1], 5).shape == (0, 5)


def test_masks_and_negatives_of_a_clip_depend_on_its_key_and_length_alone() -> None:
    together, alone = draw_masks(LENGTHS, KEYS, SETTINGS), draw_masks(LENGTHS[1:2], KEYS[1:2], SETTINGS)
    assert np.array_equal(together[1, :41], alone[0]) and not together[1, 41:].any()
    first = int(together[0].sum())
    rows = draw_negatives(together, KEYS, 5)[first : first + int(alone.sum())]
    assert np.array_equal(rows - first, draw_negatives(alone, KEYS[1:2], 5))
    assert not np.array_equal(together[0], draw_masks([60], [[1, 1, 4]], SETTINGS)[0])


def test_half_of_the_frames_are_masked_as_in_wav2vec_2() -> None:
    """Baevski et al. 2020, Sec. 4.2: 49 % of all frames, in spans of 14.7 frames (299 ms) on average; here of equal clips."""
    masked = draw_masks([749] * 200, [[0, 0, clip] for clip in range(200)], Contrast())
    assert masked.mean() == pytest.approx(0.49, abs=0.02)
    spans = (np.diff(masked.astype(int), axis=1) == 1).sum() + masked[:, 0].sum()
    assert masked.sum() / spans == pytest.approx(14.7, abs=0.7)


def test_short_clip_takes_no_part() -> None:
    masked = draw_masks([5, 60], KEYS[:2], Contrast())
    assert not masked[0].any() and masked[1].any()


def test_noise_is_annealed_to_its_last_temperature() -> None:
    ours = MaskedContrast(Contrast(noise=(2.0, 0.5, 0.9)), 4, 4, seed=0)
    found = []
    for step in (0, 1, 100):
        ours.anneal(step)
        found.append(ours.quantizer.temperature)
    assert found == pytest.approx([2.0, 1.8, 0.5])


def test_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = MaskedContrast(SETTINGS, 12, 16, seed=0).state_dict()
    torch.manual_seed(2)
    second = MaskedContrast(SETTINGS, 12, 16, seed=0).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
