"""Training on a labelled source and an unlabelled target."""

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from sklearn.metrics import f1_score

from emoadapt import schema
from emoadapt.data.batching import Batch
from emoadapt.errors import TrainingError
from emoadapt.methods.domain import Config
from emoadapt.study.nodes import Run
from emoadapt.training.classification import EmotionLearner
from emoadapt.training.domains import build_terms

MODEL = "tiny.original.adaptive"


@pytest.fixture
def divided(work):
    work.write_labelled()
    work.add_target()
    return work


def spy(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, tuple[float, int]]]]:
    """Corpus and terms (mean, clips) of each training batch, as they are measured."""
    seen: list[tuple[str, dict[str, tuple[float, int]]]] = []
    measure = EmotionLearner.measure

    def watch(self, batch, *, keep):
        terms = measure(self, batch, keep=keep)
        if not keep:
            found = {name: (float(term.mean.detach()), int(term.weight)) for name, term in terms.items()}
            seen.append((batch.utterance_ids[0].split("/")[0], found))
        return terms

    monkeypatch.setattr(EmotionLearner, "measure", watch)
    return seen


def test_batches_of_the_target_have_all_losses_but_the_cross_entropy(divided, monkeypatch: pytest.MonkeyPatch) -> None:
    """12 training clips in 2 batches, 5 chains: 10 batches of the source, then 5 of the two clips of the target, twice."""
    seen = spy(monkeypatch)
    curves = divided.train(MODEL)["curves"]
    assert [corpus for corpus, _ in seen] == (["acted"] * 10 + ["other"] * 5) * 2
    for corpus, terms in seen:
        assert list(terms) == ["cross_entropy", "contrastive", "information", "augmentation_type"]
        assert (terms["cross_entropy"][1] > 0) is (corpus == "acted")
        assert {terms[name][1] for name in ("contrastive", "information", "augmentation_type")} == (
            {4} if corpus == "other" else {terms["cross_entropy"][1]}
        )
    assert curves.filter(part="dev")["metric"].unique().sort().to_list() == ["loss", "loss_cross_entropy", "macro_f1"]
    named = {name for name in curves.filter(part="train")["metric"]}
    assert named == {"loss", *(f"loss_{name}" for name in seen[0][1])}


@pytest.mark.parametrize("lost", ["contrastive", "information", "augmentation_type"])
def test_a_loss_without_weight_has_no_head(lost: str) -> None:
    weights = {"contrastive": 0.5, "information": 0.5, "augmentation_type": 0.1}
    settings = Config(method="domain", objectives=weights | {lost: 0.0})
    terms = build_terms(settings, Run(), None, None, 8)
    assert [term.name for term in terms] == [name for name in weights if name != lost]
    assert (
        settings.describe()
        == Config(method="domain", objectives={n: w for n, w in weights.items() if n != lost}).describe()
    )
    heads = [name for term in terms for name, _ in term.named_parameters()]
    assert heads == [
        *(["projector.inner.weight", "projector.outer.weight"] if lost != "contrastive" else []),
        *(["layer.weight", "layer.bias"] if lost != "augmentation_type" else []),
    ]


def test_terms_by_hand() -> None:
    """Two clips in two views; logits sure of one class each, so that information is -log 2; a new type layer is not sure of any."""
    settings = Config(method="domain", temperature=1.0)
    contrastive, information, types = build_terms(settings, Run(), None, None, 4)
    embedding = torch.randn(4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    logits = torch.tensor([[40.0, 0.0], [0.0, 40.0]]).repeat(2, 1)
    batch = Batch(["a", "b"] * 2, {}, {}, {"augmentation": torch.tensor([0, 3, 0, 3])})
    assert float(information.measure(embedding, logits, batch).mean) == pytest.approx(-math.log(2))
    with torch.no_grad():
        types.layer.weight.zero_()
        types.layer.bias.zero_()
    assert float(types.measure(embedding, logits, batch).mean.detach()) == pytest.approx(math.log(5))
    vectors = torch.nn.functional.normalize(contrastive.projector(embedding), dim=1)
    cosines = (vectors[:2] @ vectors[2:].T).tolist()
    by_hand = ((cosines[0][1] - cosines[0][0]) + (cosines[1][0] - cosines[1][1])) / 2
    assert float(contrastive.measure(embedding, logits, batch).mean.detach()) == pytest.approx(by_hand, abs=1e-6)
    plain = Batch(["a", "b"] * 2, {}, {}, {})
    assert all(int(term.measure(embedding, logits, plain).weight) == 0 for term in (contrastive, information, types))


def test_no_label_of_the_target_is_read(divided) -> None:
    """There is none in what a training reads, and one that is there changes nothing but the column that repeats it."""
    blind = divided.train(MODEL)
    assert blind["predictions"].filter(test_corpus="other")["label"].null_count() == 4
    for poison in ("low", "high"):
        divided.edit(
            "splits", lambda row, p=poison: row | {"label": p} if row["corpus"] == "other" else row, schema.SPLITS
        )
        poisoned = divided.train(MODEL, name=poison)
        assert poisoned["predictions"].drop("label").equals(blind["predictions"].drop("label"))
        assert poisoned["embeddings"].equals(blind["embeddings"]) and poisoned["curves"].equals(blind["curves"])


def test_it_learns_source_and_target(divided) -> None:
    divided.tune("adaptive", epochs=3)
    found = divided.train(MODEL)["predictions"]
    acted = found.filter(test_corpus="acted")
    assert f1_score(acted["label"], acted["predicted"], average="macro") > 0.9
    truth = {f"other/{i:03}": ("low", "high")[i % 2] for i in range(6)}
    others = found.filter(test_corpus="other")
    assert others["predicted"].to_list() == [truth[name] for name in others["utterance_id"]]


def test_evaluations_come_after_so_many_batches(divided, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass has fewer batches than four epochs of 7."""
    seen = spy(monkeypatch)
    divided.tune("adaptive", epoch_steps=7, epochs=4)
    curves = divided.train(MODEL)["curves"]
    assert len(seen) == 28
    assert sorted(curves.filter(part="dev")["epoch"].unique()) == [0, 1, 2, 3, 4]


def test_the_smaller_one_is_duplicated(divided, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = spy(monkeypatch)
    divided.tune("adaptive", duplicate=4, alternate="batches", epochs=1)
    divided.train(MODEL)
    assert [corpus for corpus, _ in seen].count("other") == 20 and len(seen) == 30
    assert "other" in [corpus for corpus, _ in seen[:3]]


def test_without_target_data(divided, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = spy(monkeypatch)
    divided.tune("adaptive", target=False, epochs=1)
    tested = divided.train(MODEL)["predictions"].filter(test_corpus="other")
    assert {corpus for corpus, _ in seen} == {"acted"} and len(seen) == 10 and len(tested) == 4


def test_a_target_without_usable_clips_is_refused(divided) -> None:
    divided.edit("splits", lambda row: row | ({"split": "test"} if row["corpus"] == "other" else {}), schema.SPLITS)
    with pytest.raises(TrainingError, match="the target has no usable clip to read without labels"):
        divided.train(MODEL)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"target": False, "duplicate": 2}, "target: false reads the source alone; remove duplicate"),
        ({"objectives": {"information": 1.0}, "temperature": 0.1}, "temperature is of the contrastive loss"),
        ({"augment": [{"chain": "ahn2024"}]}, "at least two chains"),
    ],
)
def test_keys_without_use_are_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Config(method="domain", **keys)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda values: values["tasks"]["emotion"].pop("target"), "the task has no target"),
        (lambda values: values["finetunings"]["adaptive"].update(backbones=["egemaps"]), "neither audio nor tokens"),
    ],
)
def test_what_it_cannot_train_is_refused(divided, change, said: str) -> None:
    change(divided.values)
    with pytest.raises(Exception, match=said):
        divided.study  # noqa: B018


def test_text_is_cut_and_a_fusion_changes_both(divided, monkeypatch: pytest.MonkeyPatch) -> None:

    divided.add_words()
    divided.values["backbones"]["tiny"] |= {"train_layers": 1}
    divided.tune("adaptive", backbones=["words", "joint"], epochs=1)
    with pytest.raises(Exception, match="leave augmentation_type out of objectives"):
        divided.study  # noqa: B018
    divided.tune("adaptive", objectives={"contrastive": 0.5, "information": 0.5})
    seen = spy(monkeypatch)
    found = divided.train("words.original.adaptive")["predictions"]
    assert [corpus for corpus, _ in seen] == ["acted"] * 10 + ["other"] * 5
    assert list(seen[0][1]) == ["cross_entropy", "contrastive", "information"]
    # One clip has words and no audio.
    assert len(divided.train("joint.original.adaptive")["predictions"]) == len(found) - 1


@pytest.mark.parametrize("architecture", ["whisper", "ast", "hubert"])
def test_any_encoder_of_audio_with_weighted_layers(divided, architecture: str) -> None:
    shape = {"hidden_size": 16, "layers": 2, "heads": 2, "intermediate_size": 16}
    extra = {
        "conv_dim": [16, 16],
        "conv_kernel": [20, 16],
        "conv_stride": [20, 8],
        "conv_pos_kernel": 4,
        "conv_pos_groups": 2,
    }
    divided.values["backbones"]["other"] = {
        "architecture": architecture, "layers": "weighted", "train_layers": 1,
        "untrained": shape | (extra if architecture == "hubert" else {}),
    }  # fmt: skip
    divided.tune("adaptive", backbones=["other"], epochs=1)
    found = divided.train("other.original.adaptive")
    assert len(found["predictions"]) == 15
    moved = [
        not torch.allclose(torch.tensor(after), torch.tensor(before))
        for after, before in found["embeddings"].select("tuned", "start_point").iter_rows()
    ]
    assert all(moved)
