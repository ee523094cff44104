"""The learner of a task of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from emoadapt.data.batching import Batch
from emoadapt.training.curve import Curve
from emoadapt.training.learner import TestedLearner
from emoadapt.training.scores import measure_macro_f1, measure_weighted_f1
from emoadapt.training.totals import Term

if TYPE_CHECKING:
    from emoadapt.training.terms import FurtherTerm


class EmotionLearner(TestedLearner):
    """Learner of classes by cross-entropy.

    The epoch with the best dev macro-F1, or weighted F1, is kept, on a tie the one with the smaller dev loss; other settings choose otherwise
    (`choose`).

    Args:
        model: batch -> (embedding (batch, width), logits (batch, n_classes)).
        settings: optimiser and learning rate.
        curve: collects losses and scores.
        seed: of dropout.
        class_weights: (n_classes,) weights of the cross-entropy, or None.
        terms: further loss terms.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: Any,
        curve: Curve,
        seed: int,
        class_weights: Tensor | None,
        terms: Sequence[FurtherTerm] = (),
    ) -> None:
        super().__init__(model, settings, curve, seed, {"cross_entropy": 1.0}, terms)
        self.register_buffer("class_weights", class_weights, persistent=False)

    def measure_task(self, outputs: Tensor, batch: Batch, *, keep: bool) -> dict[str, Term]:
        """Cross-entropy with labels or shares, optionally weighted and smoothed."""
        if "label" not in batch.values:
            # A batch of a target.
            return {"cross_entropy": Term(outputs.sum() * 0.0, outputs.new_zeros(()))}
        labels, shares = batch.values["label"], batch.values.get("shares")
        loss = nn.functional.cross_entropy(
            outputs,
            labels if shares is None else shares,
            weight=self.class_weights,
            label_smoothing=self.settings.label_smoothing,
        )
        # What torch divides by: the sum of the labels' weights, or with shares the number of clips.
        plain = self.class_weights is None or shares is not None
        weight = torch.ones_like(labels).sum() if plain else self.class_weights[labels].sum()
        if keep:
            self._kept.append((outputs.detach().cpu(), labels.cpu()))
        return {"cross_entropy": Term(loss, weight)}

    def rate(self, losses: Mapping[str, float]) -> tuple[dict[str, float], tuple[float, ...]]:
        """Macro-F1 over the whole part; weighted F1 where that chooses the epoch."""
        logits, labels = (torch.cat(tensors).numpy() for tensors in zip(*self._kept, strict=True))
        scores = {"macro_f1": measure_macro_f1(logits, labels)}
        if getattr(self.settings, "select", "") == "weighted_f1":
            scores["weighted_f1"] = measure_weighted_f1(logits, labels)
        return scores, self.choose((scores.get("weighted_f1", scores["macro_f1"]), -losses["loss"]), losses)
