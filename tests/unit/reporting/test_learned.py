"""The table of what Stage 1 learned."""

from __future__ import annotations

import polars as pl
import pytest

from emoadapt import schema
from emoadapt.reporting.learned import build_learned, choose_score, describe_learned


def list_rows(run: str, values: dict[str, tuple[float, float, float]], kept: int) -> list[dict]:
    """Held-out values of epochs 0 to 2."""
    return [
        dict(stage="stage1", run=run, epoch=epoch, part="held_out", metric=metric, value=value, best=epoch == kept)
        for metric, of_epochs in values.items()
        for epoch, value in enumerate(of_epochs)
    ]


def test_each_objective_has_its_score_before_training_and_at_the_kept_epoch(make_study) -> None:
    study = make_study()
    (first, *_), (backbone, *_) = study.adaptations, study.backbones
    names = ("sentiment", "face")
    object.__setattr__(study.adaptations[first], "objectives", dict.fromkeys(names, 1.0))
    rows = list_rows(
        f"{backbone}.{first}",
        {
            "loss": (3.0, 2.0, 2.5), "loss_sentiment": (1.0, 0.7, 0.8), "loss_face": (2.0, 1.3, 1.7),
            "accuracy_sentiment": (0.3, 0.6, 0.5), "majority_sentiment": (0.45, 0.45, 0.45), "ccc_face": (0.0, 0.2, 0.1),
        },
        kept=1,
    )  # fmt: skip
    found = build_learned(study, pl.DataFrame(rows, schema=dict.fromkeys(schema.CURVES.names), strict=False))
    assert found.drop("backbone", "adaptation", "weights").rows() == [
        ("face", 1, 2.0, 1.3, "ccc", 0.0, 0.2, None),
        ("sentiment", 1, 1.0, 0.7, "accuracy", 0.3, 0.6, 0.45),
    ]
    shown = describe_learned(found.row(1, named=True))
    assert shown["held-out score"] == "0.300 → 0.600" and shown["without learning"] == "0.450"


@pytest.mark.parametrize(
    ("metrics", "chosen"),
    [
        (["accuracy_a", "chance_a", "contrastive_a", "loss_a"], "accuracy_a"),
        (["majority_a", "loss_a"], None),
        (["ccc_b_a", "ccc_a", "loss"], "ccc_a"),
    ],
)
def test_an_accuracy_stands_for_an_objective(metrics: list[str], chosen: str | None) -> None:
    assert choose_score(metrics, "a") == chosen


def test_score_of_an_objective_whose_name_ends_alike_is_not_taken() -> None:
    """Symptom: of a model with `lld_frames` and `frames`, the row of `frames` showed the score of `lld_frames`."""
    metrics = ["accuracy_lld_frames", "ccc_frames", "loss_frames", "loss_lld_frames"]
    assert choose_score(metrics, "frames") == "ccc_frames"
    assert choose_score(metrics, "lld_frames") == "accuracy_lld_frames"
