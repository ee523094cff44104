"""The loss of the classifiers, by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch import nn

from emoadapt import schema
from emoadapt.config import Finetuning
from emoadapt.data.batching import collate_clips
from emoadapt.data.clips import Clip
from emoadapt.errors import TrainingError
from emoadapt.flow.store import write_table
from emoadapt.training.classification import EmotionLearner, LabelledClips, measure_macro_f1
from emoadapt.training.curve import Curve

LOGITS = np.array([[2.0, 0.0, -1.0], [0.5, 1.0, 0.0]])
LOG_PROBABILITIES = LOGITS - np.log(np.exp(LOGITS).sum(axis=1, keepdims=True))
LABELS = [0, 2]
WEIGHTS = np.array([0.5, 1.0, 2.0])


class Fixed(nn.Module):
    def forward(self, batch):
        return None, torch.tensor(LOGITS, dtype=torch.float32)


def measure(weighted: bool = False, shares: list[list[float]] | None = None, **settings):
    clips = [
        Clip(str(i), torch.zeros(4), {"label": torch.tensor(label)} | ({"shares": torch.tensor(shares[i])} if shares else {}))
        for i, label in enumerate(LABELS)
    ]  # fmt: skip
    weights = torch.tensor(WEIGHTS, dtype=torch.float32) if weighted else None
    learner = EmotionLearner(Fixed(), Finetuning(**settings), Curve("stage2", "run"), 0, weights)
    term = learner.measure(collate_clips(clips), keep=False)["cross_entropy"]
    return float(term.mean), float(term.weight)


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


def write_clips(folder: Path, soft: dict[str, list[float]]) -> LabelledClips:
    rows = [
        {"utterance_id": f"c/{i}", "corpus": "c", "label": "high" if i % 2 else "low", "fold": fold, "split": "train",
         "soft": soft.get(f"c/{i}")}
        for fold in (0, 1)
        for i in range(4)
    ]  # fmt: skip
    write_table(folder / "splits.parquet", rows, schema.SPLITS)
    write_table(folder / "subsets.parquet", [], schema.SUBSETS)
    return LabelledClips(folder / "splits.parquet", folder / "subsets.parquet", ["low", "high"], {}, soft=True)


def test_clip_without_votes_has_its_label(tmp_path: Path) -> None:
    clips = write_clips(tmp_path, {"c/0": [0.6, 0.4]})
    assert clips.annotate("c/0")["shares"].tolist() == pytest.approx([0.6, 0.4])
    assert clips.annotate("c/1")["shares"].tolist() == [0.0, 1.0]
    assert int(clips.annotate("c/0")["label"]) == 0


def test_soft_targets_without_any_votes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"finetuning\.targets is soft, and no clip of the task has raters' votes"):
        write_clips(tmp_path, {})


@pytest.mark.parametrize("absent", [(), (3,), (0, 2)])
def test_macro_f1_is_that_of_scikit_learn_over_all_classes(absent: tuple[int, ...]) -> None:
    random = np.random.default_rng(len(absent))
    labels = random.choice([name for name in range(5) if name not in absent], 40)
    logits = random.standard_normal((40, 5)) - 9 * np.isin(np.arange(5), absent[:1])
    found = measure_macro_f1(torch.from_numpy(logits), torch.from_numpy(labels))
    expected = f1_score(labels, logits.argmax(axis=1), labels=range(5), average="macro", zero_division=0)
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("guess", [0, 1])
def test_class_missing_from_dev_counts_alike_whether_it_is_predicted_or_not(guess: int) -> None:
    """Clips of classes 0 and 2 of four; the second is predicted as 0, or as 1, which no clip has."""
    learner = EmotionLearner(Fixed(), Finetuning(), Curve("stage2", "run"), 0, None)
    guesses = [0, guess, 2]
    learner._kept = [(torch.eye(4)[guesses], torch.tensor([0, 2, 2]))]
    expected = f1_score([0, 2, 2], guesses, labels=[0, 1, 2, 3], average="macro", zero_division=0)
    assert learner.rate({"loss": 1.0})[0]["macro_f1"] == pytest.approx(expected)


def test_clips_without_votes_are_counted_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    write_clips(tmp_path, {"c/0": [0.6, 0.4]})
    assert caplog.messages == ["3 of the 4 clips have no vote for a class of the task; their targets are hard"]


def test_a_class_without_a_usable_training_clip_is_refused(tmp_path: Path) -> None:
    """Both clips of `high` in train failed; the model would never predict the class, and the scores would not say why."""
    parts = {"c/0": "train", "c/1": "train", "c/2": "train", "c/3": "train", "c/4": "dev", "c/5": "test"}
    labels = {"c/1": "high", "c/3": "high", "c/5": "high"}
    rows = [
        {"utterance_id": name, "corpus": "c", "label": labels.get(name, "low"), "fold": 0, "split": part}
        for name, part in parts.items()
    ]
    drawn = [{"utterance_id": f"c/{n}", "label": "low", "fold": 0, "resampling": 0} for n in range(4)]
    write_table(tmp_path / "splits.parquet", rows, schema.SPLITS)
    write_table(tmp_path / "subsets.parquet", drawn, schema.SUBSETS)
    paths = tmp_path / "splits.parquet", tmp_path / "subsets.parquet"
    usable = set(parts) - {"c/1"}
    assert LabelledClips(*paths, ["low", "high"], usable).select((0, 0, 0)).train == ["c/0", "c/2", "c/3"]
    with pytest.raises(TrainingError, match=r"resampling 0, fold 0: no training clip of high has usable input"):
        LabelledClips(*paths, ["low", "high"], usable - {"c/3"}).select((0, 0, 0))
