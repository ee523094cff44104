"""Probes on made-up layers, of which one tells the classes apart."""

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import f1_score
from torch import nn
from torchmetrics.functional.regression import concordance_corrcoef

from emoadapt import schema
from emoadapt.data.batching import Batch
from emoadapt.errors import ConfigError, TrainingError
from emoadapt.layers.heads import build_head
from emoadapt.storage.tables import read_provenance, read_table, write_table
from emoadapt.study.nodes import Run
from emoadapt.training.probing import LayerProbe

PROBE = "tiny.original.probe"
TELLING = 1


@pytest.fixture
def labelled(work):
    work.write_labelled()
    work.write_layers(work.make_layers(TELLING))
    return work


def run(work, *runs: Run, name: str = "run", model: str = PROBE, **settings: Any) -> dict[str, pl.DataFrame]:
    work.add_probe(**{"learning_rate": 3e-2, "epochs": 10, **settings})
    return work.train(model, runs or (Run(),), name)


def get_logits(tables: dict[str, pl.DataFrame]) -> np.ndarray:
    return np.array(tables["predictions"]["logits"].to_list())


def score(tables: dict[str, pl.DataFrame]) -> float:
    found = tables["predictions"]
    return f1_score(found["label"], found["predicted"], average="macro")


def get_weights(tables: dict[str, pl.DataFrame]) -> np.ndarray:
    """(n_epochs, n_layers) from the curve."""
    rows = tables["curves"].filter(pl.col("metric").str.starts_with("layer_weight_"), part="course")
    wide = rows.pivot("metric", index="epoch", values="value").sort("epoch")
    return wide.select(sorted(set(wide.columns) - {"epoch"})).to_numpy()


def test_weights_of_layers_begin_equal_and_give_the_mean() -> None:
    probe = LayerProbe({"layers": (4, 3)}, build_head("linear", 3, None, 2, seed=0))
    assert probe.note_state() == pytest.approx({f"layer_weight_{n:02d}": 0.25 for n in range(4)})
    layers = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0))
    mean, _ = probe(Batch([str(n) for n in range(5)], {"layers": layers}, {}, {}))
    torch.testing.assert_close(mean, layers.mean(dim=1))


def test_one_layer_has_no_weight_to_learn() -> None:
    probe = LayerProbe({"layers": (1, 3)}, build_head("linear", 3, None, 2, seed=0))
    assert probe.note_state() == {} and probe.share_layers() is None
    layers = torch.randn(5, 1, 3, generator=torch.Generator().manual_seed(0))
    mean, _ = probe(Batch([str(n) for n in range(5)], {"layers": layers}, {}, {}))
    assert torch.equal(mean, layers[:, 0])


def test_weights_of_layers_are_learned_and_sum_to_one(labelled) -> None:
    weights = get_weights(run(labelled))
    assert weights.shape == (10, 3)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-6)
    assert (weights[-1].argmax(), weights[0].argmax()) == (TELLING, TELLING)
    assert weights[-1, TELLING] > weights[0, TELLING] > 1 / 3


@pytest.mark.parametrize(("layers", "tells"), [("weighted", True), ("last", False), (0, False), (1, True), (2, False)])
def test_a_probe_learns_from_its_layer(labelled, layers: str | int, tells: bool) -> None:
    tables = run(labelled, layer=layers)
    assert (score(tables) > 0.9) is tells
    found = tables["predictions"]
    assert found.select("backbone", "start", "finetuning").unique().rows() == [("tiny", "original", "probe")]
    assert "acted/001" not in found["utterance_id"]
    assert read_provenance(labelled.folder / "run" / "predictions.parquet")["left_out"] == "1"


def test_the_last_layer_is_that_with_the_largest_number(labelled) -> None:
    last, second = run(labelled, layer="last", name="last"), run(labelled, layer=2, name="second")
    assert get_weights(last).size == 0, "one layer has no weights"
    for key in ("predictions", "curves"):
        assert last[key].equals(second[key])


@pytest.mark.parametrize("choose_by", ["dev", "folds"])
def test_the_best_layer_is_chosen(labelled, choose_by: str) -> None:
    best = run(labelled, layer="best", choose_by=choose_by, name="best")
    named = run(labelled, layer=[TELLING], choose_by=choose_by, name="named")
    assert best["predictions"].equals(named["predictions"])
    choices = best["curves"].filter(part="choice")
    assert choices["metric"].to_list() == ["layer=0", "layer=1", "layer=2"]
    assert choices["epoch"].to_list() == [0, 1, 2] and choices.filter("best")["metric"].to_list() == [
        f"layer={TELLING}"
    ]
    assert best["curves"].filter(pl.col("part") != "choice").equals(named["curves"])


@pytest.mark.parametrize("choose_by", ["dev", "folds"])
def test_the_test_part_does_not_choose_the_layer(labelled, choose_by: str) -> None:
    """Layer 0 tells the classes of the test clips only; layer 1 those of all others."""
    layers, splits = labelled.make_layers(TELLING), pl.from_arrow(read_table(labelled.folder / "splits.parquet"))
    tested = set(splits.filter(fold=0, split="test")["utterance_id"])
    labelled.write_layers({name: values[[1, 0, 2]] if name in tested else values for name, values in layers.items()})
    best = run(labelled, layer="best", choose_by=choose_by, name="best")
    named = run(labelled, layer=[TELLING], choose_by=choose_by, name="named")
    assert best["predictions"].equals(named["predictions"])
    assert score(best) < 0.8


def test_of_equal_layers_the_first_is_taken(labelled) -> None:
    layers = labelled.make_layers(0, n_layers=1)
    labelled.write_layers({name: np.concatenate([values, values, values]) for name, values in layers.items()})
    best, first = run(labelled, layer="best", name="best"), run(labelled, layer=0, name="first")
    assert best["predictions"].equals(first["predictions"])
    assert best["curves"].filter(part="choice")["value"].n_unique() == 1


def probe_by_hand(layers: dict[str, np.ndarray], part: dict[str, pl.DataFrame], epochs: int, rate: float) -> np.ndarray:
    """Logits of the test clips: a featurizer and a linear head as in SUPERB, in one batch an epoch, with torch alone."""
    stacks = {name: np.stack([layers[clip] for clip in rows["utterance_id"]]) for name, rows in part.items()}
    mean, std = stacks["train"].mean(axis=0, dtype=np.float64), stacks["train"].astype(np.float64).std(axis=0)
    inputs = {name: torch.tensor((stack - mean) / std, dtype=torch.float32) for name, stack in stacks.items()}
    labels = {
        name: torch.tensor([["low", "high"].index(label) for label in rows["label"]]) for name, rows in part.items()
    }
    torch.manual_seed(0)
    head, weights = nn.Linear(stacks["train"].shape[2], 2), nn.Parameter(torch.zeros(stacks["train"].shape[1]))
    optimizer = torch.optim.Adam([weights, *head.parameters()], lr=rate)

    def predict(name: str) -> torch.Tensor:
        shares = torch.softmax(weights, 0)
        return head((shares[None, :, None] * inputs[name]).sum(dim=1))

    best: tuple[tuple[float, float], np.ndarray] | None = None
    for _ in range(epochs):
        optimizer.zero_grad()
        nn.functional.cross_entropy(predict("train"), labels["train"]).backward()
        optimizer.step()
        with torch.no_grad():
            logits, test = predict("dev"), predict("test").numpy()
        macro_f1 = f1_score(labels["dev"], logits.argmax(dim=1), average="macro", labels=[0, 1], zero_division=0)
        found = (macro_f1, -nn.functional.cross_entropy(logits, labels["dev"]).item())
        if best is None or found > best[0]:
            best = found, test
    assert best is not None
    return best[1]


@pytest.mark.parametrize("rate", [3e-2, 3e-1])
def test_a_probe_is_that_of_superb(labelled, rate: float) -> None:
    """Weights of layers begin equal, are learned with the head, and the best epoch counts."""
    tables = run(labelled, epochs=20, batch_size=64, learning_rate=rate)
    splits = pl.from_arrow(read_table(labelled.folder / "splits.parquet")).filter(pl.col("utterance_id") != "acted/001")
    of_fold = splits.filter(fold=0)
    part = {name: of_fold.filter(split=name).sort("corpus", "utterance_id") for name in ("train", "dev", "test")}
    assert tables["predictions"]["utterance_id"].to_list() == part["test"]["utterance_id"].to_list()
    expected = probe_by_hand(labelled.make_layers(TELLING), part, 20, rate)
    np.testing.assert_allclose(get_logits(tables), expected, rtol=0, atol=1e-3)


def test_accumulated_batches_are_one_batch(labelled) -> None:
    """Twelve clips at once, or four at a time."""
    whole = get_logits(run(labelled, batch_size=12, name="whole"))
    split = get_logits(run(labelled, batch_size=4, accumulate=3, name="split"))
    np.testing.assert_allclose(split, whole, rtol=0, atol=1e-4)


def test_the_order_of_a_table_does_not_matter(labelled) -> None:
    before = run(labelled, name="before")
    for table, columns in (("layers", schema.LAYERS), ("splits", schema.SPLITS)):
        path = labelled.folder / f"{table}.parquet"
        write_table(path, read_table(path).to_pylist()[::-1], columns)
    for key, table in run(labelled, name="after").items():
        assert table.equals(before[key]), key


def test_runs_repeat_bit_for_bit_whatever_shares_their_job(labelled) -> None:
    runs = [Run(), Run(seed=1), Run(fold=1)]
    together = run(labelled, *runs)
    assert len({logits.tobytes() for logits in (get_logits(run(labelled, one, name="one")) for one in runs)}) == 3
    for one in runs:
        alone = run(labelled, one, name="alone")["predictions"]
        assert alone.equals(together["predictions"].filter(fold=one.fold, seed=one.seed)), one


def move(layers: dict[str, np.ndarray], group) -> dict[str, np.ndarray]:
    """Layers on another scale for each group of clips, as of another microphone."""
    return {name: (values * (1 + group(name)) + 9 * group(name)).astype(np.float32) for name, values in layers.items()}


@pytest.mark.parametrize(
    ("scope", "group"),
    [
        ("corpus", lambda name: int(name.startswith("other"))),
        ("speaker", lambda name: int(name.split("/")[1]) // 2 % 5),
    ],
    ids=["corpus", "speaker"],
)
def test_statistics_of_a_group_cancel_its_scale(labelled, scope: str, group) -> None:
    # A clip that is alone in its group has the statistics of more clips.
    layers = {name: values for name, values in labelled.make_layers(TELLING).items() if name != "acted/000"}
    found = {}
    for name, tried in (("plain", layers), ("moved", move(layers, group))):
        labelled.write_layers(tried, "acted/000")
        found[name] = {
            statistics: get_logits(run(labelled, normalise=statistics, name=f"{name}.{statistics}"))
            for statistics in ("train", scope)
        }
    np.testing.assert_allclose(found["moved"][scope], found["plain"][scope], rtol=0, atol=1e-3)
    assert np.abs(found["moved"]["train"] - found["plain"]["train"]).max() > 0.1


def test_two_layers_of_the_head_are_trained_too(labelled) -> None:
    tables = run(labelled, classifier="mlp", head_hidden=5)
    assert score(tables) > 0.9
    labelled.values["finetunings"].pop("probe")
    assert not np.allclose(get_logits(tables), get_logits(run(labelled, name="linear", classifier="linear")))


def test_class_weights_and_votes_change_what_a_probe_learns(labelled) -> None:
    plain = get_logits(run(labelled, name="plain"))
    labelled.edit("splits", lambda row: row | {"soft": [0.5, 0.5]}, schema.SPLITS)
    soft = get_logits(run(labelled, name="soft", targets="soft"))
    assert np.abs(np.diff(soft, axis=1)).mean() < 0.3 * np.abs(np.diff(plain, axis=1)).mean()
    rows = read_table(labelled.folder / "splits.parquet").to_pylist()
    few = [r for r in rows if r["split"] != "train" or r["label"] == "low" or int(r["utterance_id"][-3:]) % 4 == 1]
    write_table(labelled.folder / "splits.parquet", few, schema.SPLITS)
    labelled.values["finetunings"].pop("probe")
    unweighted = get_logits(run(labelled, name="unweighted", layer=TELLING))
    weighted = get_logits(run(labelled, name="weighted", layer=TELLING, class_weights="balanced"))
    assert np.diff(weighted, axis=1).mean() > np.diff(unweighted, axis=1).mean(), "the rare class counts more"


def test_a_probe_keeps_no_model_unless_it_is_asked_for_and_no_embeddings(labelled) -> None:
    """Those of a frozen backbone are what was kept of it."""
    tables = run(labelled)
    assert tables["embeddings"].is_empty()
    assert list((labelled.folder / "run" / "models").glob("*/")) == []


def test_a_probe_needs_no_gpu_whatever_the_study_says(labelled) -> None:
    before = run(labelled, name="before")["predictions"]
    labelled.values["device"] = "cuda"
    assert run(labelled, name="after", precision="16-mixed")["predictions"].equals(before)


def test_a_probe_of_an_adapted_backbone_is_named_so(labelled) -> None:
    found = run(labelled, model="tiny.all.probe")
    assert found["predictions"].select("start", "finetuning").unique().rows() == [("all", "probe")]
    assert found["curves"]["run"].unique().to_list() == ["emotion.tiny.all.probe.full.p0f0r0s0"]


def test_a_vector_is_one_layer(work) -> None:
    work.write_labelled()
    for layers in ("weighted", "last", "best", 0):
        tables = run(work, model="egemaps.original.probe", backbones=["egemaps"], layer=layers, name=str(layers))
        assert score(tables) > 0.9
        assert get_weights(tables).size == 0
    with pytest.raises(
        ConfigError, match="layer 1 is asked for, and backbone egemaps has layer 0 alone; choose another"
    ):
        run(work, model="egemaps.original.probe", backbones=["egemaps"], layer=1)


def test_a_layer_that_does_not_exist_is_refused(labelled) -> None:
    # Of weights, only the layers themselves tell how many there are.
    labelled.values["backbones"]["tiny"]["untrained"]["layers"] = 9
    with pytest.raises(TrainingError, match=r"^the backbone has no layer 3; choose one from 0 to 2$"):
        run(labelled, layer=3)


@pytest.mark.parametrize("layers", ["weighted", "best", "last", 1])
def test_a_task_without_any_usable_clip_is_refused(labelled, layers: str | int) -> None:
    failed = {"status": "failed", "reason": "layers_not_finite", "layers": None}
    labelled.edit("layers", lambda row: row | failed, schema.LAYERS)
    with pytest.raises(TrainingError, match="run p0f0r0s0: no usable clip in train and dev and test"):
        run(labelled, layer=layers)


@pytest.mark.parametrize("layers", ["weighted", "best"])
def test_a_probe_learns_ratings(labelled, layers: str) -> None:
    labelled.values["tasks"]["emotion"] |= {"attributes": ["arousal", "valence"]}
    del labelled.values["tasks"]["emotion"]["classes"]
    tables = run(labelled, layer=layers, epochs=30)
    for name in ("arousal", "valence"):
        rows = tables["predictions"].filter(attribute=name, test_corpus="acted").drop_nulls("value")
        ccc = concordance_corrcoef(*(torch.tensor(rows[column].to_list()) for column in ("predicted", "value")))
        assert float(ccc) > 0.6, name
    assert "ccc_mean" in tables["curves"]["metric"].unique()


def test_runs_of_a_partition_have_its_clips(labelled) -> None:
    before = run(labelled, name="before")["predictions"]
    path = labelled.folder / "splits.parquet"
    rows = read_table(path).to_pylist()
    # Fold 1 of the first partition is fold 0 of the second.
    more = [row | {"partition": 1, "fold": 0} for row in rows if row["fold"] == 1]
    write_table(path, rows + more, schema.SPLITS)
    found = run(labelled, Run(), Run(partition=1), Run(fold=1), name="after")["predictions"]
    assert found.filter(partition=0, fold=0).equals(before)
    second, same = found.filter(partition=1), found.filter(partition=0, fold=1)
    assert second.drop("partition", "fold").equals(same.drop("partition", "fold"))
    assert not second.is_empty()


def test_a_probe_is_the_downstream_model_of_superb(labelled) -> None:
    """Against torch alone: softmax of layer weights, two linear layers with ReLU, AdamW, the epoch of the best weighted F1."""
    settings = {
        "classifier": "mlp", "head_hidden": 8, "normalise": "none", "select": "weighted_f1", "optimizer": "adamw",
        "weight_decay": 0.01, "betas": [0.8, 0.95], "epsilon": 1e-3, "learning_rate": 2e-2, "epochs": 12, "batch_size": 64,
    }  # fmt: skip
    found = get_logits(run(labelled, Run(seed=3), **settings))
    layers, splits = labelled.make_layers(TELLING), {}
    rows = pl.from_arrow(read_table(labelled.folder / "splits.parquet")).filter(fold=0).sort("utterance_id")
    for part in ("train", "dev", "test"):
        of_part = rows.filter(pl.col("utterance_id") != "acted/001", split=part)
        values = torch.from_numpy(np.stack([layers[name] for name in of_part["utterance_id"]]))
        splits[part] = values, torch.tensor([int(label == "high") for label in of_part["label"]])
    torch.manual_seed(3)
    weights = nn.Parameter(torch.zeros(3))
    head = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.AdamW(
        [weights, *head.parameters()], lr=2e-2, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.01
    )

    def predict(values: torch.Tensor) -> torch.Tensor:
        return head((weights.softmax(0)[:, None] * values).sum(dim=1))

    best, expected = (-1.0, 0.0), None
    for _ in range(12):
        optimizer.zero_grad()
        nn.functional.cross_entropy(predict(splits["train"][0]), splits["train"][1]).backward()
        optimizer.step()
        with torch.no_grad():
            logits, labels = predict(splits["dev"][0]), splits["dev"][1]
            weighted = f1_score(labels, logits.argmax(1), average="weighted")
            score = (weighted, -float(nn.functional.cross_entropy(logits, labels)))
            if score > best:
                best, expected = score, predict(splits["test"][0])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_a_probe_reads_one_branch_of_each_layer(labelled) -> None:
    """The layers' second half is made noise: a probe on the first half is that of layers which have this half alone."""
    layers = labelled.make_layers(TELLING)
    noise = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    both = {
        name: np.concatenate([values, noise * (number + 1)], axis=1)
        for number, (name, values) in enumerate(layers.items())
    }
    whole = get_logits(run(labelled, name="half"))
    labelled.write_layers(both)
    small = {"hidden_size": 8, "layers": 1, "heads": 2, "intermediate_size": 8, "vocabulary": 50, "positions": 16}
    labelled.values["backbones"] |= {
        "words": {"architecture": "bert", "untrained": small},
        "care": {"architecture": "care", "speech": "tiny", "text": "words", "common": 1, "branch": 1},
    }
    labelled.tune("default", backbones=["tiny"])
    for branch, same in (("acoustic", True), ("semantic", False)):
        labelled.values["finetunings"].pop("probe")
        settings = {"backbones": ["care"], "branch": branch}
        found = get_logits(run(labelled, name=branch, model="care.original.probe", **settings))
        assert np.array_equal(found, whole) is same
    labelled.values["finetunings"].pop("probe")
    with pytest.raises(ConfigError, match=r"probe.branch: backbone tiny has no branch acoustic \(it has none\)"):
        run(labelled, name="none", branch="acoustic")
