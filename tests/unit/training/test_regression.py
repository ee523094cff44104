"""Attributes: the loss, the scale, and runs from ratings to predictions."""

import re

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn
from torchmetrics.functional.regression import concordance_corrcoef
from transformers import pipeline

from emoadapt import schema
from emoadapt.data.batching import collate_clips
from emoadapt.data.clips import Clip
from emoadapt.data.streams import AUDIO
from emoadapt.errors import TrainingError
from emoadapt.inference.classifier import load_classifier
from emoadapt.layers.heads import ScaledHead, build_head
from emoadapt.methods.finetune import Config
from emoadapt.storage.tables import read_table, write_table
from emoadapt.study.nodes import Model, Run
from emoadapt.training.curve import Curve
from emoadapt.training.regression import AttributeLearner, measure_concordance

NAN = float("nan")
RUNS = [Run(), Run(seed=1)]


def test_concordance_by_hand() -> None:
    # Means 2 and 3, variances 2/3 and 8/3 and covariance 4/3 over n: 2 * 4/3 / (2/3 + 8/3 + 1) = 8/13.
    assert float(measure_concordance(torch.tensor([1.0, 2, 3]), torch.tensor([1.0, 3, 5]))) == pytest.approx(8 / 13)


def test_concordance_is_that_of_torchmetrics_up_to_its_n_minus_1() -> None:
    """Torchmetrics divides by n - 1 except in the squared difference of the means, where nothing is divided."""
    random = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 2000, generator=random, dtype=torch.double)
    assert float(measure_concordance(x, y + 0.5 * x + 0.3)) == pytest.approx(
        float(concordance_corrcoef(x, y + 0.5 * x + 0.3)), abs=1e-3
    )
    # Where both means are the same, the divisor cancels.
    x, y = x - x.mean(), y + 0.5 * x - (y + 0.5 * x).mean()
    assert float(measure_concordance(x, y)) == pytest.approx(float(concordance_corrcoef(x, y)), abs=1e-9)


def test_concordance_of_constants_is_0_with_a_finite_gradient() -> None:
    x = torch.full((4,), 2.0, requires_grad=True)
    ccc = measure_concordance(x, torch.full((4,), 2.0))
    ccc.backward()
    assert ccc.item() == 0
    assert x.grad is not None and x.grad.isfinite().all()


class Fixed(nn.Module):
    def __init__(self, values: list[list[float]]) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.tensor(values))

    def forward(self, batch):
        return torch.zeros(len(self.values), 2), self.values


def make_batch(ratings: list[list[float]]):
    return collate_clips(
        [Clip(str(i), {"audio": torch.zeros(4)}, {"ratings": torch.tensor(row)}) for i, row in enumerate(ratings)],
        {"audio": AUDIO},
    )


def test_terms_are_masked_and_one_rating_teaches_nothing() -> None:
    model = Fixed([[1.0, 5.0, 1.0], [2.0, 7.0, 1.0], [3.0, 9.0, 2.0]])
    learner = AttributeLearner(model, Config(), Curve("stage2", "run"), 0, ("arousal", "valence", "dominance"))
    terms = learner.measure(make_batch([[1.0, 1.0, NAN], [3.0, NAN, NAN], [5.0, 4.0, 1.0]]), keep=False)
    assert float(terms["arousal"].mean) == pytest.approx(1 - 8 / 13)
    # 5 and 9 against 1 and 4: means 7 and 2.5, variances 4 and 2.25, covariance 3.
    assert float(terms["valence"].mean) == pytest.approx(1 - 6 / (6.25 + 4.5**2))
    assert {name: int(term.weight) for name, term in terms.items()} == {"arousal": 3, "valence": 2, "dominance": 0}
    assert float(terms["dominance"].mean) == 0
    sum(term.mean for term in terms.values()).backward()
    assert model.values.grad is not None
    assert model.values.grad.isfinite().all() and model.values.grad[1, 1] == 0 and not model.values.grad[:, 2].any()


@pytest.mark.parametrize("kind", ["mlp", "hf"])
def test_scaled_head_folds_into_a_plain_one(kind) -> None:
    head = ScaledHead(build_head(kind, 6, 4, 2, seed=1), [50.0, 4.0], [20.0, 1.5])
    embedding = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    plain = head.head(embedding).detach()
    torch.testing.assert_close(head(embedding), plain * torch.tensor([20.0, 1.5]) + torch.tensor([50.0, 4.0]))
    torch.testing.assert_close(head.fold()(embedding), head(embedding))
    torch.testing.assert_close(head.head(embedding), plain)


def rate(work, model: str = "tiny.original", runs=RUNS, **settings) -> dict[str, pl.DataFrame]:
    """Train on arousal and valence."""
    work.values["tasks"]["emotion"] |= {"attributes": ["arousal", "valence"]}
    work.values["tasks"]["emotion"].pop("classes", None)
    work.tune(Model.parse(model).finetuning, **settings)
    work.values["keep_models"] = "best"
    return work.train(model, runs, "rated")


def test_batches_of_one_clip_are_refused_as_nothing_could_be_learned(work) -> None:
    work.write_labelled()
    with pytest.raises(TrainingError, match="no batch contained two clips rated for the same attribute"):
        rate(work, batch_size=1)


def leave_dev(work, arousal: str) -> None:
    """Take the ratings of the dev part away but for the arousal of the clips that a pattern fits."""
    work.write_labelled()
    rows = read_table(work.folder / "splits.parquet").to_pylist()
    for row in rows:
        if row["split"] == "dev":
            row |= {"arousal": 4.0 if re.fullmatch(arousal, row["utterance_id"]) else None, "valence": None}
    write_table(work.folder / "splits.parquet", rows, schema.SPLITS)


def test_attribute_that_no_epoch_can_be_chosen_by_is_named(work, caplog: pytest.LogCaptureFixture) -> None:
    leave_dev(work, ".*")
    rate(work)
    said = "fewer than two of the 12 dev clips are rated for valence: the epoch is chosen without"
    assert caplog.text.count(said) >= 1


def test_dev_part_of_one_rated_clip_is_refused_as_no_epoch_could_be_chosen(work) -> None:
    """All epochs had the score 0, so that the first was kept, silently."""
    leave_dev(work, "acted/002")
    with pytest.raises(
        TrainingError,
        match=r"^run p0f0r0s0: fewer than two of the 12 dev clips are rated for arousal or valence, so",
    ):
        rate(work)


def score(rows: pl.DataFrame) -> float:
    rows = rows.drop_nulls("value")
    return float(concordance_corrcoef(*(torch.tensor(rows[name].to_list()) for name in ("predicted", "value"))))


def test_ratings_of_the_own_scale_are_learned_and_kept_in_one_model(work) -> None:
    work.write_labelled()
    tables = rate(work, epochs=10, head="hf", head_hidden=16)
    found = tables["predictions"]
    for name in ("arousal", "valence"):
        for seed in (0, 1):
            assert score(found.filter(attribute=name, seed=seed, test_corpus="acted")) > 0.6
    # A row for each clip and attribute, rated or not.
    per_clip = found.group_by("seed", "utterance_id").len()["len"].unique().to_list()
    assert per_clip == [2]
    splits = pl.from_arrow(read_table(work.folder / "splits.parquet"))
    tested = splits.filter(fold=0, split="test").filter(pl.col("utterance_id") != "acted/001")
    ratings = dict(tested.select("utterance_id", "valence").iter_rows())
    assert {*ratings.values()} == {None, 40.0, 60.0}
    told = found.filter(attribute="valence", seed=0)
    assert dict(told.select("utterance_id", "value").iter_rows()) == ratings
    dev = tables["curves"].filter(part="dev").pivot("metric", index=["run", "epoch", "best"], values="value")
    assert {"ccc_mean", "ccc_arousal", "ccc_valence", "loss", "loss_arousal"} <= set(dev.columns)
    np.testing.assert_allclose(dev["loss"], 2 - 2 * dev["ccc_mean"], atol=1e-9)
    for _, run in dev.filter(pl.col("epoch") > 0).partition_by("run", as_dict=True).items():
        assert run.filter(pl.col("best"))["ccc_mean"].item() == run["ccc_mean"].max()
    (folder,) = (work.folder / "rated" / "models").glob("*/")
    rated = load_classifier(folder)
    assert (rated.attributes, rated.classes) == (("arousal", "valence"), ())
    rows = found.filter(seed=int(folder.name[-1]), utterance_id="acted/000").sort("attribute")
    audio = read_table(work.folder / "audio.parquet").to_pylist()[0]["audio"]
    signal = np.frombuffer(audio, "<i2").astype(np.float32) / 32768
    with torch.no_grad():
        np.testing.assert_allclose(rated([torch.from_numpy(signal)])[0], rows["predicted"], atol=1e-3)
    told = pipeline("audio-classification", str(folder))({"raw": signal, "sampling_rate": 16_000})
    assert {row["label"]: row["score"] for row in told} == pytest.approx(
        dict(rows.select("attribute", "predicted").iter_rows()), abs=1e-3
    )
    assert "| dev mean CCC |" in (folder / "README.md").read_text()


def test_handcrafted_vector_learns_ratings(work) -> None:
    work.write_labelled()
    found = rate(work, "egemaps.original.mlp", [Run()])["predictions"]
    assert score(found.filter(attribute="arousal", test_corpus="acted")) > 0.8
