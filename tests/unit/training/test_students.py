"""A student learns the embeddings of its teacher where these are worth it."""

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import ValidationError

from emoadapt import schema
from emoadapt.data.batching import Batch
from emoadapt.errors import TrainingError
from emoadapt.methods.student import Config
from emoadapt.storage.frames import read_frame
from emoadapt.storage.tables import read_provenance, write_table
from emoadapt.study.nodes import Run
from emoadapt.training.labelled import LabelledClips
from emoadapt.training.rated import RatedClips
from emoadapt.training.students import Judgement, Lesson, TeacherTerm, judge, measure_residuals

NAN = math.nan


def test_residuals_are_those_of_the_least_squares_line() -> None:
    """Slope 8 / 5 through the means 1.5 and 2; residuals -.4, .2, .8, -.6, whose mean square is .3."""
    found = measure_residuals(np.array([0.0, 1.0, 7.0, 2.0, 3.0]), np.array([0.0, 1.0, NAN, 2.0, 5.0]))
    assert found * math.sqrt(0.3) == pytest.approx([-0.4, 0.2, NAN, 0.8, -0.6], nan_ok=True)


@pytest.mark.parametrize(
    ("predicted", "truth", "expected"),
    [
        ([0.1, 0.2, 0.3], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]),  # a line fits all, but for rounding
        ([5.0, 5.0, 5.0], [0.0, 0.0, 3.0], [1 / math.sqrt(2), 1 / math.sqrt(2), -math.sqrt(2)]),  # a level line
        ([0.0, 1.0], [NAN, NAN], [NAN, NAN]),
        ([2.0, 2.0], [4.0, 4.0], [0.0, 0.0]),
    ],
)
def test_residuals_where_there_is_no_line_or_a_perfect_one(predicted, truth, expected) -> None:
    assert measure_residuals(np.array(predicted), np.array(truth)) == pytest.approx(expected, nan_ok=True)


def make_clips(kind: str, values: list[Any]) -> Any:
    """Clips a, b, ... of a task, with labels or with ratings of two attributes."""
    names = [chr(97 + place) for place in range(len(values))]
    rows: dict[str, Any] = {"utterance_id": names, "split": ["train"] * len(names)}
    if kind == "classes":
        rows |= {"label": values}
        return LabelledClips(pl.DataFrame(rows), pl.DataFrame(), ["low", "high"], names)
    rows |= {"arousal": [first for first, _ in values], "valence": [second for _, second in values]}
    return RatedClips(pl.DataFrame(rows), pl.DataFrame(), ["arousal", "valence"], names)


def make_lessons(*outputs: list[float]) -> dict[str, Lesson]:
    return {chr(97 + place): Lesson(np.zeros(2, np.float32), np.float32(row)) for place, row in enumerate(outputs)}


def test_a_clip_with_a_large_residual_of_any_attribute_is_left_out() -> None:
    """Arousal as above: the third residual is 1.46 standard deviations; valence is rated twice, and a line goes through two points."""
    clips = make_clips("attributes", [(0.0, 1.0), (1.0, None), (2.0, None), (5.0, 3.0), (9.0, 9.0)])
    lessons = make_lessons([0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 1.0])
    found = judge(clips, list("abcde"), lessons, 1.4, correct_only=False)
    assert found.uses == {"a": "taught", "b": "taught", "c": "residual", "d": "taught", "e": "absent"}
    assert {use: found.count(use) / 5 for use in ("taught", "residual", "absent")} == {
        "taught": 0.6, "residual": 0.2, "absent": 0.2,
    }  # fmt: skip
    assert found.residuals["c"] == pytest.approx([0.8 / math.sqrt(0.3), NAN], nan_ok=True)
    # 2 cov / (var + var + distance): 2 * 2 / (1.25 + 3.5 + .25); cov / (std * std); of valence 2 * .25 * 2 / (.25 + 1 + 2.25).
    assert found.scores == pytest.approx(
        {
            "ccc_arousal": 0.8,
            "pearson_arousal": 2 / math.sqrt(1.25 * 3.5),
            "ccc_valence": 1 / 3.5,
            "pearson_valence": 1.0,
        }
    )
    everyone = judge(clips, list("abcde"), lessons, None, correct_only=False)
    assert everyone.count("taught") == 4 and everyone.residuals.keys() == set("abcd")


def test_a_clip_that_the_teacher_misclassifies_is_left_out() -> None:
    clips = make_clips("classes", ["low", "high", "high"])
    lessons = make_lessons([1.0, 0.0], [0.0, 1.0], [2.0, 1.0])
    found = judge(clips, list("abc"), lessons, None, correct_only=True)
    assert found.uses == {"a": "taught", "b": "taught", "c": "misclassified"}
    # F1 of low 2 / 3 (one wrongly), of high 2 / 3 (one missed).
    assert found.scores == pytest.approx({"macro_f1": 2 / 3})
    assert judge(clips, list("abc"), lessons, None, correct_only=False).count("taught") == 3


def make_term(width: int = 2, seed: int = 0, **uses: str) -> TeacherTerm:
    """A teacher whose embeddings are (3, 4), (1, 0), (0, 0), ..."""
    vectors = [[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]]
    lessons = {
        name: Lesson(np.float32(vector), np.zeros(2, np.float32)) for name, vector in zip("abc", vectors, strict=True)
    }
    return TeacherTerm(30.0, lessons, Judgement(uses, {}, {}), width, seed)


def measure(term: TeacherTerm, embedding: torch.Tensor, *names: str) -> Any:
    annotations = [term.annotate(name) for name in names]
    values = {key: torch.stack([found[key] for found in annotations]) for key in annotations[0]}
    return term.measure(embedding, torch.zeros(len(names), 2), Batch(list(names), {}, {}, values))


def test_the_term_is_the_mean_distance_over_taught_clips() -> None:
    """Distances 5 and 2 of a and c; b is left out, d is a clip of dev."""
    embedding = torch.tensor([[0.0, 0.0], [9.0, 9.0], [0.0, 2.0], [7.0, 7.0]], requires_grad=True)
    term = measure(make_term(a="taught", b="residual", c="taught"), embedding, "a", "b", "c", "d")
    assert (float(term.mean.detach()), int(term.weight)) == (3.5, 2)
    term.mean.backward()
    # Of a distance: (student - teacher) / distance, halved by the mean.
    assert embedding.grad.tolist() == pytest.approx(torch.tensor([[-0.3, -0.4], [0, 0], [0, 0.5], [0, 0]]).numpy())


def test_a_batch_without_a_taught_clip_has_no_gradient() -> None:
    embedding = torch.zeros(2, 2, requires_grad=True)
    term = measure(make_term(a="residual"), embedding, "a", "d")
    assert (float(term.mean.detach()), int(term.weight)) == (0.0, 0)
    term.mean.backward()
    assert embedding.grad.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_a_student_that_equals_its_teacher_has_a_finite_gradient() -> None:
    embedding = torch.tensor([[3.0, 4.0]], requires_grad=True)
    measure(make_term(a="taught"), embedding, "a").mean.backward()
    assert embedding.grad.tolist() == [[0.0, 0.0]]


def test_embeddings_of_other_widths_are_compared_by_a_learned_map() -> None:
    assert not list(make_term().parameters())
    one, same, other = (make_term(width=5, seed=seed, a="taught") for seed in (1, 1, 2))
    assert one.map.weight.shape == (2, 5)
    assert torch.equal(one.map.weight, same.map.weight) and not torch.equal(one.map.weight, other.map.weight)
    assert measure(one, torch.ones(1, 5, requires_grad=True), "a").mean > 0


@pytest.fixture
def taught(work):
    """A teacher on descriptors, trained with two seeds, and its student."""
    work.write_labelled()
    work.teach("egemaps.original.teacher", [Run(), Run(seed=1)])
    work.tune("student", method="student", backbones=["tiny"], teacher="egemaps.original.teacher", epochs=3, batch_size=8,
              learning_rate=3e-3, weight=1.0)  # fmt: skip
    return work


def read_clips(work, name: str = "run") -> pl.DataFrame:
    return read_frame(work.folder / name / "training_clips.parquet", schema.TRAINING_CLIPS)


def test_a_student_comes_closer_to_its_teacher(taught) -> None:
    curves = taught.train("tiny.original.student")["curves"]
    distances = curves.filter(part="train", metric="loss_teacher").sort("epoch")["value"].to_list()
    assert distances == sorted(distances, reverse=True) and len(distances) == 3
    assert curves.filter(part="dev", metric="loss_teacher").is_empty(), "no clip of dev is taught"


def test_each_run_has_the_teacher_of_its_own(taught) -> None:
    """The same clips and labels; only the teacher's outputs differ between seeds."""
    taught.tune("student", correct_only=True)
    found = taught.train("tiny.original.student", [Run(), Run(seed=1)])
    own = pl.read_parquet(taught.folder / "egemaps.original.teacher.training_clips.parquet")
    # Every other clip is of the first class.
    label = {name: int(name[-1]) % 2 for name in own["utterance_id"]}
    for seed in (0, 1):
        wrong = {
            name for name, outputs in own.filter(seed=seed).select("utterance_id", "outputs").iter_rows()
            if np.argmax(outputs) != label[name]
        }  # fmt: skip
        rows = read_clips(taught).filter(seed=seed)
        assert set(rows.filter(use="misclassified")["utterance_id"]) == wrong
        noted = found["curves"].filter(pl.col("run").str.ends_with(f"s{seed}"), part="teacher")
        assert dict(noted.select("metric", "value").iter_rows())["clips_misclassified"] == len(wrong)


def test_clips_without_a_teacher_are_counted_and_learned_by_their_labels(taught) -> None:
    path = taught.folder / "egemaps.original.teacher.training_clips.parquet"
    rows = read_frame(path, schema.TRAINING_CLIPS)
    lost = sorted(rows["utterance_id"].unique())[:2]
    write_table(path, rows.filter(~pl.col("utterance_id").is_in(lost)).to_dicts(), schema.TRAINING_CLIPS)
    taught.train("tiny.original.student")
    uses = read_clips(taught).select("utterance_id", "use")
    assert sorted(uses.filter(use="absent")["utterance_id"]) == lost
    provenance = read_provenance(taught.folder / "run" / "predictions.parquet")
    assert provenance["training_clips_absent"] == "2"
    assert provenance["training_clips_taught"] == str(uses.height - 2)


def test_a_weight_of_next_to_nothing_changes_nothing(taught) -> None:
    """Head, order of the batches and dropout are those of a model without teacher, bit for bit."""
    plain = {
        key: taught.values["finetunings"]["student"][key]
        for key in ("backbones", "epochs", "batch_size", "learning_rate")
    }
    taught.tune("plain", **plain)
    taught.tune("student", weight=1e-30)
    alone, with_teacher = (taught.train(f"tiny.original.{name}", name=name) for name in ("plain", "student"))
    logits = [np.array(found["predictions"]["logits"].to_list()) for found in (alone, with_teacher)]
    assert np.array_equal(*logits)


def test_a_teacher_of_attributes_leaves_out_by_residuals(taught) -> None:
    taught.values["tasks"]["emotion"] |= {"attributes": ["arousal", "valence"]}
    del taught.values["tasks"]["emotion"]["classes"]
    taught.teach("egemaps.original.teacher", [Run()])
    taught.tune("student", residual=1.0)
    found = taught.train("tiny.original.student")
    rows = read_clips(taught)
    large = rows.filter(pl.col("residuals").list.eval(pl.element().abs().fill_nan(0)).list.max() > 1.0)
    assert 0 < large.height < rows.height
    assert set(rows.filter(use="residual")["utterance_id"]) == set(large["utterance_id"])
    noted = dict(found["curves"].filter(part="teacher").select("metric", "value").iter_rows())
    assert noted["clips_residual"] == large.height and {"ccc_arousal", "pearson_valence"} <= noted.keys()


def test_the_card_of_a_student_names_its_teacher_and_the_corpora_behind_it(taught) -> None:
    taught.values["keep_models"] = "best"
    taught.values["backbones"]["other"] = taught.values["backbones"]["tiny"]
    taught.tune("student", teacher="other.all.teacher", backbones=["tiny"], starts=["original"])
    taught.tune("teacher", backbones=["other"], keep="embeddings")
    path = taught.folder / "egemaps.original.teacher.training_clips.parquet"
    path.rename(taught.folder / "other.all.teacher.training_clips.parquet")
    taught.train("tiny.original.student")
    (folder,) = (taught.folder / "run" / "models").glob("*/")
    card = (folder / "README.md").read_text()
    assert "other.all.teacher" in card and "Corpus talk:" in card and "Stage-1 corpora" not in card


def test_a_teacher_without_any_of_the_clips_is_refused(taught) -> None:
    with pytest.raises(TrainingError, match=r"teacher egemaps\.original\.teacher keeps none of its \d+ training clips"):
        taught.train("tiny.original.student", [Run(seed=7)])


@pytest.mark.parametrize(
    "backbone", [{"architecture": "vector", "reads": "egemaps"}, {"train_layers": 0, "cnn": "frozen"}]
)
def test_a_student_of_which_nothing_is_trained_is_refused(taught, backbone: dict[str, Any]) -> None:
    """Symptom: the teacher of descriptors changed nothing, and the report named it."""
    name = "egemaps" if "reads" in backbone else "tiny"
    taught.values["backbones"][name] |= backbone
    taught.values["adaptations"] = {}
    taught.tune("student", backbones=[name])
    with pytest.raises(TrainingError, match="a student needs a backbone of which something is trained"):
        taught.train(f"{name}.original.student", reads=("egemaps",) if name == "egemaps" else ("audio",))


def test_two_conditions_are_refused() -> None:
    with pytest.raises(ValidationError, match="remove one"):
        Config(method="student", teacher="a.original", residual=2.0, correct_only=True)


@pytest.mark.parametrize(
    ("keys", "kinds"),
    [({"residual": 2.0}, ("attributes",)), ({"correct_only": True}, ("classes",)), ({}, ("classes", "attributes"))],
)
def test_a_condition_is_of_one_kind_of_task(keys: dict[str, Any], kinds: tuple[str, ...]) -> None:
    assert Config(method="student", teacher="a.original", **keys).questions == kinds
