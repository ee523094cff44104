"""The loss of the classifiers, by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch import nn

from emoadapt.data.batching import collate_clips
from emoadapt.data.clips import Clip
from emoadapt.data.streams import AUDIO
from emoadapt.methods.finetune import Config
from emoadapt.training.classification import EmotionLearner
from emoadapt.training.curve import Curve
from emoadapt.training.trainer import BestWeights

LOGITS = np.array([[2.0, 0.0, -1.0], [0.5, 1.0, 0.0]])
LOG_PROBABILITIES = LOGITS - np.log(np.exp(LOGITS).sum(axis=1, keepdims=True))
LABELS = [0, 2]
WEIGHTS = np.array([0.5, 1.0, 2.0])


class Fixed(nn.Module):
    def forward(self, batch):
        return torch.zeros(len(LOGITS), 1), torch.tensor(LOGITS, dtype=torch.float32)


def measure(weighted: bool = False, shares: list[list[float]] | None = None, **settings):
    clips = [
        Clip(str(i), {"audio": torch.zeros(4)}, {"label": torch.tensor(label)} | ({"shares": torch.tensor(shares[i])} if shares else {}))
        for i, label in enumerate(LABELS)
    ]  # fmt: skip
    weights = torch.tensor(WEIGHTS, dtype=torch.float32) if weighted else None
    learner = EmotionLearner(Fixed(), Config(**settings), Curve("stage2", "run"), 0, weights)
    term = learner.measure(collate_clips(clips, {"audio": AUDIO}), keep=False)["cross_entropy"]
    return float(term.mean), float(term.weight)


@pytest.mark.parametrize(
    ("settings", "best"),
    [({}, 2), ({"select": "loss"}, 1), ({"train_on_dev": True}, 3)],
    ids=["macro_f1", "loss", "last"],
)
def test_the_epoch_is_chosen_as_the_settings_say(settings: dict, best: int) -> None:
    """Three epochs: the second has the smallest loss, the third the best macro-F1, the last neither."""
    learner = EmotionLearner(Fixed(), Config(**settings), Curve("stage2", "run"), 0, None)
    wrong, right = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]])
    kept = BestWeights()
    for epoch, (logits, loss) in enumerate([(wrong, 0.9), (wrong, 0.5), (right, 0.7), (wrong, 0.8)]):
        learner.position.epoch = epoch
        learner._kept = [(logits, torch.tensor([0]))]
        scores, score = learner.rate({"loss": loss})
        assert scores.keys() == {"macro_f1"}
        kept.consider(epoch, score, learner.model)
    assert kept.epoch == best


@pytest.mark.parametrize(
    ("keys", "named"),
    [({"select": "loss"}, "select"), ({"patience": 3}, "patience"), ({"schedule": "plateau"}, "schedule: plateau")],
)
def test_without_a_dev_part_no_key_may_need_one(keys: dict, named: str) -> None:
    with pytest.raises(ValueError, match=f"train_on_dev leaves no dev part to judge an epoch by; remove {named}"):
        Config(train_on_dev=True, **keys)
    with pytest.raises(ValueError, match="head mlp has no dropout"):
        Config(head_dropout=0.2)


def test_labels_give_plain_cross_entropy() -> None:
    expected = -(LOG_PROBABILITIES[0, 0] + LOG_PROBABILITIES[1, 2]) / 2
    assert measure() == pytest.approx((expected, 2.0))


def test_weights_are_those_of_the_labels_and_divide_the_sum() -> None:
    expected = -(0.5 * LOG_PROBABILITIES[0, 0] + 2.0 * LOG_PROBABILITIES[1, 2]) / 2.5
    assert measure(weighted=True) == pytest.approx((expected, 2.5))


def test_smoothing_spreads_a_share_over_all_classes() -> None:
    targets = np.full((2, 3), 0.3 / 3)
    targets[0, 0] += 0.7
    targets[1, 2] += 0.7
    assert measure(label_smoothing=0.3) == pytest.approx((-(targets * LOG_PROBABILITIES).sum() / 2, 2.0))


@pytest.mark.parametrize("weighted", [False, True])
def test_shares_are_the_targets_where_they_are_soft(weighted: bool) -> None:
    shares = [[0.75, 0.25, 0.0], [0.0, 0.0, 1.0]]
    weights = WEIGHTS if weighted else np.ones(3)
    expected = -(np.array(shares) * weights * LOG_PROBABILITIES).sum() / 2
    assert measure(weighted, shares) == pytest.approx((expected, 2.0))


@pytest.mark.parametrize("guess", [0, 1])
def test_class_missing_from_dev_counts_alike_whether_it_is_predicted_or_not(guess: int) -> None:
    """Clips of classes 0 and 2 of four; the second is predicted as 0, or as 1, which no clip has."""
    learner = EmotionLearner(Fixed(), Config(), Curve("stage2", "run"), 0, None)
    guesses = [0, guess, 2]
    learner._kept = [(torch.eye(4)[guesses], torch.tensor([0, 2, 2]))]
    expected = f1_score([0, 2, 2], guesses, labels=[0, 1, 2, 3], average="macro", zero_division=0)
    assert learner.rate({"loss": 1.0})[0]["macro_f1"] == pytest.approx(expected)
