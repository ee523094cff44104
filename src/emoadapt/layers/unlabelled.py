"""Losses without labels: contrast of two views, and information maximisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, normalize

from emoadapt.layers.heads import seeded

WIDTH, TEMPERATURE = 128, 0.07
"""Dimension of the latent vector (Ahn et al. 2024), and the temperature, which they do not state."""


class Projector(nn.Module):
    """Latent vectors of embeddings, z = V relu(U h) (Ahn et al. 2024, Eq. 4), without biases.

    Args:
        width: dimension of the embedding.
        hidden: units between the two layers; None = `width`.
        latent: dimension of the latent vector.
        seed: of the initial weights, which depend on nothing else.
    """

    def __init__(self, width: int, hidden: int | None = None, latent: int = WIDTH, seed: int = 0) -> None:
        super().__init__()
        with seeded(seed):
            self.inner = nn.Linear(width, hidden or width, bias=False)
            self.outer = nn.Linear(hidden or width, latent, bias=False)

    def forward(self, embedding: Tensor) -> Tensor:
        """(batch, width) -> (batch, latent)."""
        return self.outer(torch.relu(self.inner(embedding)))


def contrast(first: Tensor, second: Tensor, temperature: float = TEMPERATURE, *, with_positive: bool = False) -> Tensor:
    """Contrastive loss of two views of the same clips (Ahn et al. 2024, Eq. 5).

    For each clip i, it is -log(exp(s_ii / t) / sum_j exp(s_ij / t)), where s_ij is the cosine of the first view of i and the second view
    of j; the mean over clips.

    Args:
        first: (batch, latent) vectors of the first view.
        second: (batch, latent) vectors of the second view.
        temperature: t.
        with_positive: whether the sum includes j = i (InfoNCE: the loss is then positive), or the other clips alone.

    Returns:
        A scalar. It is 0 for a batch of one clip, which has no negatives.
    """
    cosines = normalize(first.float(), dim=1) @ normalize(second.float(), dim=1).T / temperature
    if len(first) < 2:
        return 0.0 * cosines.sum()
    positive = torch.eye(len(first), dtype=torch.bool, device=first.device)
    others = cosines if with_positive else cosines.masked_fill(positive, -torch.inf)
    return (others.logsumexp(dim=1) - cosines.diagonal()).mean()


def maximise_information(logits: Tensor) -> Tensor:
    """Information maximisation (Ahn et al. 2024, Eq. 6): mean entropy of the predictions minus the entropy of their mean, in nats.

    Its smallest value is -log(n_classes), where each prediction is sure and all classes are predicted equally often. It is 0, its largest
    value, where all predictions are the same: all uniform, or all sure of one class.

    Args:
        logits: (batch, n_classes).

    Returns:
        A scalar.
    """
    logarithms = log_softmax(logits.float(), dim=1)
    entropies = -(logarithms.exp() * logarithms).sum(dim=1)
    mean = logarithms.exp().mean(dim=0)
    return entropies.mean() + torch.special.xlogy(mean, mean).sum()
