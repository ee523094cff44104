"""The labelled clips of a task."""

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import f1_score

from emoadapt import schema
from emoadapt.errors import TrainingError
from emoadapt.storage.frames import make_frame
from emoadapt.study.nodes import Run
from emoadapt.training.labelled import LabelledClips
from emoadapt.training.scores import measure_macro_f1


def make_frames(rows: list[dict], drawn: list[dict] | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """SPLITS and SUBSETS rows."""
    return make_frame(rows, schema.SPLITS), make_frame(drawn or [], schema.SUBSETS)


def make_clips(soft: dict[str, list[float]]) -> LabelledClips:
    rows = [
        {"utterance_id": f"c/{i}", "corpus": "c", "label": "high" if i % 2 else "low", "fold": fold, "split": "train",
         "partition": 0,
         "soft": soft.get(f"c/{i}")}
        for fold in (0, 1)
        for i in range(4)
    ]  # fmt: skip
    return LabelledClips(*make_frames(rows), ["low", "high"], {}, soft=True)


def test_clip_without_votes_has_its_label() -> None:
    clips = make_clips({"c/0": [0.6, 0.4]})
    assert clips.annotate("c/0")["shares"].tolist() == pytest.approx([0.6, 0.4])
    assert clips.annotate("c/1")["shares"].tolist() == [0.0, 1.0]
    assert int(clips.annotate("c/0")["label"]) == 0


def test_soft_targets_without_any_votes_are_refused() -> None:
    with pytest.raises(TrainingError, match=r"targets is soft, but no clip of the task has raters' votes"):
        make_clips({})


@pytest.mark.parametrize("absent", [(), (3,), (0, 2)])
def test_macro_f1_is_that_of_scikit_learn_over_all_classes(absent: tuple[int, ...]) -> None:
    random = np.random.default_rng(len(absent))
    labels = random.choice([name for name in range(5) if name not in absent], 40)
    logits = random.standard_normal((40, 5)) - 9 * np.isin(np.arange(5), absent[:1])
    found = measure_macro_f1(logits, labels)
    expected = f1_score(labels, logits.argmax(axis=1), labels=range(5), average="macro", zero_division=0)
    assert found == pytest.approx(expected, rel=1e-6)


def test_clips_without_votes_are_counted_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    make_clips({"c/0": [0.6, 0.4]})
    assert caplog.messages == ["3 of the 4 clips have no vote for a class of the task; their targets are hard"]


def test_a_class_without_a_usable_training_clip_is_refused() -> None:
    """Both clips of `high` in train failed; the model would never predict the class, and the scores would not say why."""
    parts = {"c/0": "train", "c/1": "train", "c/2": "train", "c/3": "train", "c/4": "dev", "c/5": "test"}
    labels = {"c/1": "high", "c/3": "high", "c/5": "high"}
    rows = [
        {
            "utterance_id": name,
            "corpus": "c",
            "label": labels.get(name, "low"),
            "partition": 0,
            "fold": 0,
            "split": part,
        }
        for name, part in parts.items()
    ]
    drawn = [{"utterance_id": f"c/{n}", "label": "low", "partition": 0, "fold": 0, "resampling": 0} for n in range(4)]
    frames = make_frames(rows, drawn)
    usable = set(parts) - {"c/1"}
    assert LabelledClips(*frames, ["low", "high"], usable).select(Run()).train == ["c/0", "c/2", "c/3"]
    with pytest.raises(TrainingError, match=r"run p0f0r0s0: no training clip of high has usable input"):
        LabelledClips(*frames, ["low", "high"], usable - {"c/3"}).select(Run())


def test_classes_are_weighed_by_their_inverse_frequency() -> None:
    """Three low and one high: 4 / (2 * 3) and 4 / (2 * 1), so that the mean over clips is 1; an absent class keeps 1."""
    rows = [
        {"utterance_id": f"c/{i}", "corpus": "c", "label": "low" if i < 3 else "high", "partition": 0, "fold": 0}
        | {"split": "train"}
        for i in range(4)
    ]
    clips = LabelledClips(*make_frames(rows), ["low", "high", "none"], {})
    assert clips.weigh_classes([f"c/{i}" for i in range(4)]).tolist() == pytest.approx([2 / 3, 2.0, 1.0])


def test_clips_of_a_run_are_those_of_its_partition_fold_and_draw() -> None:
    """Every clip has a place of its own, so that a mix-up of any coordinate shows."""
    names = {"train": ["low", "high"], "dev": ["low"], "test": ["high"]}
    rows, drawn = [], []
    for partition in (0, 1):
        for fold in (0, 1):
            for part, labels in names.items():
                for label in labels:
                    place = {"partition": partition, "fold": fold}
                    clip = {"utterance_id": f"c/{partition}{fold}{part}{label}", "label": label}
                    rows.append(clip | place | {"corpus": "c", "split": part})
            for resampling in (0, 1):
                drawn += [
                    {"utterance_id": f"c/{partition}{fold}train{label}", "label": label, "resampling": resampling}
                    | place
                    for label in ("low", "high")[: 2 - resampling]
                ]
    usable = {row["utterance_id"] for row in rows}
    clips = LabelledClips(*make_frames(rows, drawn), ["low", "high"], usable)
    for partition in (0, 1):
        for fold in (0, 1):
            part, place = clips.select(Run(partition, fold)), f"{partition}{fold}"
            assert sorted(part.train) == [f"c/{place}trainhigh", f"c/{place}trainlow"]
            assert (part.dev, part.test["utterance_id"].to_list()) == ([f"c/{place}devlow"], [f"c/{place}testhigh"])
    with pytest.raises(TrainingError, match=r"run p1f0r1s0: no training clip of high"):
        clips.select(Run(1, 0, 1))
