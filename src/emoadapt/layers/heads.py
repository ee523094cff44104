"""Prediction heads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor, nn

PROJECTION = 256
"""Dimension of the `hf` head's projection where none is given: `classifier_proj_size` of `transformers`."""

DROPOUT = 0.5
"""Dropout of the `challenge` head where none is given."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's random numbers from `seed` inside, and leave the generators outside as they were."""
    # A process that has not touched a GPU shall not start to: its context takes memory, and the card may be another job's.
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


class TwoLayerHead(nn.Module):
    """Linear, ReLU, linear: the Stage-2 head (G25, Sec. III-F).

    Args:
        width: dimension of the input.
        hidden: hidden units.
        n_classes: logits.
        seed: of the initial weights, which depend on nothing else.
    """

    def __init__(self, width: int, hidden: int, n_classes: int, seed: int) -> None:
        super().__init__()
        with seeded(seed):
            self.hidden = nn.Linear(width, hidden)
            self.output = nn.Linear(hidden, n_classes)

    def forward(self, embedding: Tensor) -> Tensor:
        """(batch, width) -> logits (batch, n_classes)."""
        return self.output(torch.relu(self.hidden(embedding)))


class ProjectedHead(nn.Module):
    """Projection and classifier, both linear: the head of `transformers`' `AutoModelForAudioClassification`.

    `transformers` projects every frame and then takes the mean over time; the projection is linear, so that this is the
    projection of the mean, which is the pooled embedding.

    Args:
        width: dimension of the input.
        projection: dimension between the two.
        n_classes: logits.
        seed: of the initial weights, which depend on nothing else.
    """

    def __init__(self, width: int, projection: int, n_classes: int, seed: int) -> None:
        super().__init__()
        with seeded(seed):
            self.projector = nn.Linear(width, projection)
            self.classifier = nn.Linear(projection, n_classes)

    def forward(self, embedding: Tensor) -> Tensor:
        """(batch, width) -> logits (batch, n_classes)."""
        return self.classifier(self.projector(embedding))


class ChallengeHead(nn.Module):
    """Dropout, linear, LayerNorm, ReLU, dropout, linear: the head of the MSP lab's public code for the MSP-Podcast challenge.

    Goncalves et al. 2024, "Odyssey 2024 - speech emotion recognition challenge", baseline; dropout .5 there.

    Args:
        width: dimension of the input.
        hidden: hidden units.
        n_classes: logits.
        seed: of the initial weights, which depend on nothing else.
        dropout: share of units left out in training, before either linear layer.
    """

    def __init__(self, width: int, hidden: int, n_classes: int, seed: int, dropout: float = DROPOUT) -> None:
        super().__init__()
        with seeded(seed):
            self.hidden = nn.Linear(width, hidden)
            self.norm = nn.LayerNorm(hidden)
            self.output = nn.Linear(hidden, n_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, embedding: Tensor) -> Tensor:
        """(batch, width) -> logits (batch, n_classes)."""
        inner = self.norm(self.hidden(self.dropout(embedding)))
        return self.output(self.dropout(torch.relu(inner)))


class LinearHead(nn.Module):
    """One linear layer: the head of a probe, and of Srinivasan et al. (2022).

    Args:
        width: dimension of the input.
        n_classes: logits.
        seed: of the initial weights, which depend on nothing else.
    """

    def __init__(self, width: int, n_classes: int, seed: int) -> None:
        super().__init__()
        with seeded(seed):
            self.output = nn.Linear(width, n_classes)

    def forward(self, embedding: Tensor) -> Tensor:
        """(batch, width) -> logits (batch, n_classes)."""
        return self.output(embedding)


class ScaledHead(nn.Module):
    """A head whose outputs are brought to a scale by a fixed affine map: the values of a regression.

    The map is no part of what is learned, so that the learning rate means the same on every scale.

    Args:
        head: its outputs are in standard deviations from the mean.
        mean: of each output.
        std: of each output.
    """

    def __init__(self, head: PlainHead | LinearHead, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.head = head
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))

    def forward(self, embedding: Tensor) -> Tensor:
        """(batch, width) -> values (batch, n_outputs) in their scale."""
        return self.mean + self.std * self.head(embedding).float()

    def fold(self) -> PlainHead | LinearHead:
        """A head without the map that gives the same values: the map goes into its last layer, which is linear."""
        head = deepcopy(self.head)
        last = head.classifier if isinstance(head, ProjectedHead) else head.output
        with torch.no_grad():
            last.weight.mul_(self.std[:, None])
            last.bias.mul_(self.std).add_(self.mean)
        return head


class MergedHead(nn.Module):
    """A head some of whose logits stand for the same class: their probabilities are added.

    The logit of such a class is the logarithm of the sum of the exponentials, whose softmax is the sum of the probabilities.

    Args:
        head: its logits.
        groups: indices of the logits of each class.
    """

    def __init__(self, head: PlainHead, groups: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.head = head
        self.groups = tuple(map(tuple, groups))

    def forward(self, embedding: Tensor) -> Tensor:
        """(batch, width) -> logits (batch, n_classes)."""
        logits = self.head(embedding)
        return torch.stack([logits[:, list(group)].logsumexp(dim=1) for group in self.groups], dim=1)


class SupportVectorHead(nn.Module):
    """Decision values of a support vector machine, of each class against the rest.

    They are those of scikit-learn's `SVC`, shape `ovr`: the votes that a class gets in its pairs with the others, and less than 1/3 from their
    distances to the borders. Of two classes they are the distance to the one border, with either sign. They rank classes, and
    are no log-probabilities.

    Args:
        tensors: `vectors` (n, width); `coefficients` (n_pairs, n) of the kernel with each vector, and `intercepts` (n_pairs,), positive for the
            first class of a pair, pairs in the order of `itertools.combinations`; `gamma` (), 0 = linear kernel; `classes` (n_known,) integers:
            places of the outputs that had training clips.
        n_classes: outputs; those that had no training clip are minus infinity.
    """

    def __init__(self, tensors: Mapping[str, Tensor], n_classes: int) -> None:
        super().__init__()
        self.n_classes = n_classes
        for name in SUPPORT:
            self.register_parameter(name, nn.Parameter(tensors[name], requires_grad=False))
        pairs = list(combinations(range(len(self.classes)), 2))
        sides = torch.zeros(len(pairs), len(self.classes), dtype=torch.float64)
        for row, (first, second) in enumerate(pairs):
            sides[row, first], sides[row, second] = 1, -1
        self.register_buffer("sides", sides, persistent=False)

    def forward(self, embedding: Tensor) -> Tensor:
        """(batch, width) -> decision values (batch, n_classes), computed in double precision."""
        vectors, given = self.vectors.double(), embedding.double()
        kernel = given @ vectors.T
        squares = (given**2).sum(dim=1)[:, None] - 2 * kernel + (vectors**2).sum(dim=1)
        kernel = torch.where(self.gamma > 0, torch.exp(-self.gamma * squares), kernel)
        decided = kernel @ self.coefficients.T + self.intercepts
        found = decided @ self.sides
        if len(self.classes) > 2:
            won = (decided >= 0).double() @ self.sides.clamp(min=0) + (decided < 0).double() @ (-self.sides).clamp(
                min=0
            )
            found = won + found / (3 * (found.abs() + 1))
        values = torch.full((len(found), self.n_classes), -torch.inf, dtype=found.dtype, device=found.device)
        values[:, self.classes] = found
        return values


SUPPORT = ("vectors", "coefficients", "intercepts", "gamma", "classes")
"""Tensors of a `SupportVectorHead`."""

PlainHead = TwoLayerHead | ProjectedHead | ChallengeHead
"""A head of several layers."""
Head = PlainHead | LinearHead | ScaledHead | MergedHead | SupportVectorHead
"""What leads from a pooled embedding to logits, or to values."""


def build_head(
    kind: Literal["mlp", "hf", "challenge", "linear"],
    width: int,
    hidden: int | None,
    n_classes: int,
    seed: int,
    dropout: float | None = None,
) -> PlainHead | LinearHead:
    """Build a head of Stage 2.

    Args:
        kind: `mlp`, the paper's; `hf`, that of `transformers`; `challenge`, `ChallengeHead`; or `linear`, one layer.
        width: dimension of the pooled embedding.
        hidden: units between the two layers; None = `width`, of `hf` `PROJECTION`.
        n_classes: logits.
        seed: of the initial weights.
        dropout: of `challenge`; None = `DROPOUT`.
    """
    if kind == "challenge":
        return ChallengeHead(width, hidden or width, n_classes, seed, DROPOUT if dropout is None else dropout)
    if kind == "linear":
        return LinearHead(width, n_classes, seed)
    if kind == "hf":
        return ProjectedHead(width, hidden or PROJECTION, n_classes, seed)
    return TwoLayerHead(width, hidden or width, n_classes, seed)
