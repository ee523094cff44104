"""Fine-tuning on tones: learns, pairs, repeats, keeps what it should."""

import os
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import f1_score
from transformers import AutoModel, AutoModelForAudioClassification, Wav2Vec2FeatureExtractor

from emoadapt import schema
from emoadapt.backbones.base import load_backbone
from emoadapt.errors import TrainingError
from emoadapt.inference.classifier import load_classifier
from emoadapt.layers.heads import build_head
from emoadapt.layers.trainable import TrainableBackbone
from emoadapt.storage.tables import read_provenance, read_table, write_table
from emoadapt.study.nodes import Run
from emoadapt.training.classification import EmotionLearner
from emoadapt.training.curve import Curve
from emoadapt.training.finetuning import FinetunedBackbone
from emoadapt.training.unfinished import UnfinishedJob

CACHED = ("audio", "frontend")


def save_start(work) -> Path:
    """A Stage-1 model with the weights of the original, whose front end's output is cached."""
    same = work.folder / "same"
    load_backbone(work.study.backbones["tiny"], work.folder).save(same, {})
    work.write_frontend(work.folder / "audio.parquet", same, work.folder / "frontend.parquet")
    return same


def get_logits(tables) -> np.ndarray:
    return np.array(tables["predictions"]["logits"].to_list())


@pytest.fixture
def labelled(work):
    work.write_labelled()
    return work


def test_beats_chance_on_test_and_on_the_other_corpus(labelled) -> None:
    found = labelled.train()["predictions"]
    for corpus, n in (("acted", 11), ("other", 6)):
        rows = found.filter(test_corpus=corpus)
        assert len(rows) == n
        assert f1_score(rows["label"], rows["predicted"], average="macro") > 0.9
    order = np.array(labelled.study.tasks["emotion"].classes)
    assert found["predicted"].to_list() == order[np.argmax(found["logits"].to_list(), axis=1)].tolist()


def test_clips_without_audio_are_left_out_and_counted(labelled) -> None:
    tables = labelled.train()
    assert "acted/001" not in tables["predictions"]["utterance_id"]
    assert read_provenance(labelled.folder / "run" / "predictions.parquet")["left_out"] == "1"


def test_runs_repeat_bit_for_bit_whatever_shares_their_job(labelled) -> None:
    runs = [Run(), Run(seed=1), Run(fold=1)]
    together = labelled.train(runs=runs)
    assert together["predictions"].equals(labelled.train(runs=runs)["predictions"])
    assert not np.array_equal(
        *(get_logits({"predictions": together["predictions"].filter(fold=0, seed=s)}) for s in (0, 1))
    )
    for key in runs:
        alone = labelled.train(runs=[key], name="alone")
        mine = pl.col("fold") == key.fold, pl.col("seed") == key.seed
        for table in ("predictions", "embeddings"):
            assert alone[table].equals(together[table].filter(*mine)), (key, table)


def test_curve_marks_the_best_dev_epoch(labelled) -> None:
    curves = labelled.train()["curves"]
    assert curves["run"].unique().to_list() == ["emotion.tiny.original.full.p0f0r0s0"]
    dev = curves.filter(part="dev").pivot("metric", index=["epoch", "best"], values="value").sort("epoch")
    assert dev["epoch"].to_list() == [0, 1, 2, 3, 4, 5]
    trained = dev.filter(pl.col("epoch") > 0).sort("macro_f1", "loss", descending=[True, False])
    assert dev.filter(pl.col("best"))["epoch"].to_list() == [trained["epoch"][0]]
    train = curves.filter(part="train", metric="loss").sort("epoch")["value"].to_list()
    assert train[-1] < 0.7 * train[0]


def test_pair_shares_head_batches_and_dropout(labelled, monkeypatch: pytest.MonkeyPatch) -> None:
    """An adapted model with the original's weights gives the original's run, CNN cached and frozen or not."""
    labelled.values["backbones"]["tiny"]["cnn"] = "frozen"
    same = save_start(labelled)
    seen: dict[str, list] = {"original": [], "all": []}
    real = TrainableBackbone.embed

    def watch(backbone, batch):
        if backbone.training:
            seen[current].append(batch.utterance_ids)
        return real(backbone, batch)

    monkeypatch.setattr(TrainableBackbone, "embed", watch)
    current = "original"
    original = labelled.train()
    current = "all"
    adapted = labelled.train("tiny.all", reads=CACHED, start=same)
    assert len(seen["original"]) == 5 * 2
    assert seen["original"] == seen["all"]
    assert seen["original"][:2] != seen["original"][2:4]
    np.testing.assert_allclose(get_logits(adapted), get_logits(original), atol=0.02)


def test_kept_states_give_the_training_of_a_frozen_transformer(labelled) -> None:
    labelled.values["backbones"]["tiny"] |= {"cnn": "frozen", "train_layers": 0, "pooling": "gru", "embedding": 16}
    labelled.values["adaptations"] = {}
    labelled.write_frontend(labelled.folder / "audio.parquet", None, labelled.folder / "states.parquet", "states")
    kept, whole = (
        labelled.train(name=name, reads=[*reads])
        for name, reads in (("kept", ("audio", "states")), ("whole", ("audio",)))
    )
    np.testing.assert_allclose(get_logits(kept), get_logits(whole), atol=0.02)
    rows = kept["predictions"].filter(test_corpus="acted")
    assert f1_score(rows["label"], rows["predicted"], average="macro") > 0.9
    assert np.abs(get_logits(kept)).max() > 0.5, "it has learned something"


def test_a_fusion_learns_what_the_words_alone_tell(labelled, caplog: pytest.LogCaptureFixture) -> None:
    labelled.values["keep_models"] = "all"
    labelled.add_words(lacking=("acted/004", "acted/005"))
    labelled.write_frontend(labelled.folder / "audio.parquet", None, labelled.folder / "states.tiny.parquet", "states")
    with caplog.at_level("INFO"):
        tables = labelled.train("joint.original.joint", reads=("audio", "states.tiny", "text_tokens"))
    assert (
        "joint.original.joint on emotion: 2 of 41 clips lack text.tokens; a substitute stands for it" in caplog.messages
    )
    found = tables["predictions"].filter(test_corpus="acted")
    lacking = found["utterance_id"].is_in(["acted/004", "acted/005"])
    told = found.filter(~lacking)
    assert f1_score(told["label"], told["predicted"], average="macro") == 1.0
    speech = labelled.train(name="speech", reads=("audio",))["predictions"].filter(test_corpus="acted")
    assert f1_score(speech["label"], speech["predicted"], average="macro") < 0.7, "its audio is the same noise"
    (folder,) = (labelled.folder / "run/models").glob("*/")
    assert sorted(path.name for path in folder.glob("*/")) == ["audio", "text"]
    assert load_classifier(folder).backbone.width == 16


def test_a_fusion_is_trained_alike_with_kept_states_and_without(labelled) -> None:
    labelled.add_words(lacking=("acted/004",))
    labelled.write_frontend(labelled.folder / "audio.parquet", None, labelled.folder / "states.tiny.parquet", "states")
    reads = ("audio", "text_tokens")
    kept = labelled.train("joint.original.joint", name="kept", reads=(*reads, "states.tiny"))
    whole = labelled.train("joint.original.joint", name="whole", reads=reads)
    np.testing.assert_allclose(get_logits(kept), get_logits(whole), atol=0.03)


def test_the_models_own_weights_are_trained_with_their_factor(labelled) -> None:
    labelled.values["backbones"]["tiny"] |= {"cnn": "frozen", "pooling": "gru", "learning_rate_factor": 0.25}
    rates: dict[str, float] = {}
    job = labelled.task_job()
    backbone = load_backbone(job.config, labelled.folder)
    backbone.freeze_kept(job.kept)
    model = FinetunedBackbone(backbone, build_head("mlp", backbone.width, 8, 2, 0))
    learner = EmotionLearner(model, job.settings, Curve("stage2", "x"), 0, None)
    places = {id(parameter): name for name, parameter in model.named_parameters()}
    for group in learner.build_optimizer().param_groups:
        rates |= {places[id(parameter)]: group["lr"] for parameter in group["params"]}
    assert {rate for name, rate in rates.items() if name.startswith("backbone.model.")} == {3e-3 / 4}
    assert {rate for name, rate in rates.items() if not name.startswith("backbone.model.")} == {3e-3}
    assert not any("feature_extractor" in name for name in rates) and len(rates) > 10


def test_av_hubert_learns_from_its_cached_filter_banks(labelled) -> None:
    shape = {key: labelled.values["backbones"]["tiny"]["untrained"][key] for key in ("hidden_size", "layers", "heads")}
    labelled.values["backbones"]["tiny"] = {
        "architecture": "av_hubert",
        "untrained": shape | {"intermediate_size": 32, "conv_pos_kernel": 4, "conv_pos_groups": 4},
    }
    save_start(labelled)
    rows = labelled.train(reads=CACHED)["predictions"].filter(test_corpus="acted")
    assert f1_score(rows["label"], rows["predicted"], average="macro") > 0.9


def test_embeddings_before_and_after(labelled) -> None:
    labelled.values["backbones"]["tiny"]["cnn"] = "frozen"
    tables = labelled.train()
    embeddings = tables["embeddings"]
    assert embeddings["utterance_id"].equals(tables["predictions"]["utterance_id"])
    row = embeddings.filter(utterance_id="acted/000").row(0, named=True)
    audio = read_table(labelled.folder / "audio.parquet").to_pylist()[0]["audio"]
    signal = torch.from_numpy(np.frombuffer(audio, "<i2").astype(np.float32) / 32768)
    with torch.no_grad():
        expected = load_backbone(labelled.study.backbones["tiny"], labelled.folder).eval()([signal])[0]
    np.testing.assert_allclose(row["start_point"], expected, atol=1e-4)
    assert np.abs(np.array(row["tuned"]) - expected.numpy()).max() > 0.01


def test_each_seed_begins_with_a_pooling_of_its_own(labelled) -> None:
    labelled.values["backbones"]["tiny"] |= {"cnn": "frozen", "pooling": {"name": "gru", "hidden": 8}}
    embeddings = labelled.train(runs=[Run(), Run(seed=1)])["embeddings"].filter(utterance_id="acted/000")
    starts = dict(embeddings.select("seed", "start_point").iter_rows())
    assert starts[0] != starts[1], "the spread over seeds covers the weights of the pooling"
    alone = labelled.train(runs=[Run(seed=1)], name="alone")["embeddings"].filter(utterance_id="acted/000")
    assert alone["start_point"].to_list() == [starts[1]]


def test_each_draw_begins_with_statistics_of_its_own(labelled) -> None:
    """The transformer over descriptors z-scores its input with statistics of the training clips, which differ from draw to draw."""
    random = np.random.default_rng(4)
    rows = [
        {"utterance_id": name, "key": "k", "status": "ok", "n_frames": 6, "dimension": 2, "step": 0.01}
        | {"egemaps_frames": random.normal(5, 3, (6, 2)).astype("<f4").tobytes()}
        for name in read_table(labelled.folder / "egemaps.parquet").column("utterance_id").to_pylist()
    ]
    write_table(labelled.folder / "egemaps_frames.parquet", rows, schema.feature_table("egemaps_frames"))
    shape = {"reads": "egemaps_frames", "dimension": 2, "width": 4, "heads": 2, "layers": 1, "scaled_layers": 1}
    labelled.values["backbones"]["frames"] = {"architecture": "lld_transformer", **shape}
    labelled.values["tasks"]["emotion"] |= {"subsets": [4], "resamplings": 2}
    labelled.tune(backbones=["tiny", "frames"], epochs=1)
    runs = [Run(), Run(resampling=1)]
    model = {"model": "frames.original", "subset": "4"}
    both = labelled.train(runs=runs, **model)["embeddings"]
    alone = labelled.train(runs=runs[1:], name="alone", **model)["embeddings"]
    assert both.filter(resampling=1).equals(alone)
    starts = both.filter(utterance_id="other/000").select("resampling", "start_point").rows()
    assert len(starts) == 2 and starts[0][1] != starts[1][1]


@pytest.mark.parametrize(("policy", "kept"), [("adapted", 0), ("best", 1), ("all", 2)])
def test_keeps_models_by_policy(labelled, policy: str, kept: int) -> None:
    labelled.values["keep_models"] = policy
    tables = labelled.train(runs=[Run(), Run(seed=1)])
    folders = sorted((labelled.folder / "run" / "models").glob("*/"))
    assert len(folders) == kept
    audio = {row["utterance_id"]: row["audio"] for row in read_table(labelled.folder / "audio.parquet").to_pylist()}
    for folder in folders:
        assert AutoModel.from_pretrained(folder).config.hidden_size == 32
        classifier = load_classifier(folder)
        assert classifier.classes == ("low", "high")
        rows = tables["predictions"].filter(seed=int(folder.name[-1]))
        for name, logits in rows.select("utterance_id", "logits").iter_rows():
            signal = torch.from_numpy(np.frombuffer(audio[name], "<i2").astype(np.float32) / 32768)
            with torch.no_grad():
                np.testing.assert_allclose(classifier([signal])[0], logits, atol=1e-4)


def test_what_the_kept_model_gives_for_training_clips_is_kept(labelled) -> None:
    """Of the chosen epoch, in evaluation mode: the saved model says the same."""
    labelled.values["keep_models"] = "all"
    labelled.tune(keep="embeddings", epochs=3)
    labelled.train(runs=[Run(), Run(fold=1)])
    rows = read_table(labelled.folder / "run" / "training_clips.parquet", schema.TRAINING_CLIPS).to_pylist()
    splits = read_table(labelled.folder / "splits.parquet").to_pylist()
    trained = {(row["fold"], row["utterance_id"]) for row in splits if row["split"] == "train" and row["fold"] < 2}
    assert sorted((row["fold"], row["utterance_id"]) for row in rows) == sorted(trained - {(1, "acted/001")})
    audio = {row["utterance_id"]: row["audio"] for row in read_table(labelled.folder / "audio.parquet").to_pylist()}
    for row in rows[::5]:
        (folder,) = (labelled.folder / "run" / "models").glob(f"*f{row['fold']}r0s0")
        classifier = load_classifier(folder)
        signal = torch.from_numpy(np.frombuffer(audio[row["utterance_id"]], "<i2").astype(np.float32) / 32768)
        with torch.no_grad():
            np.testing.assert_allclose(classifier([signal])[0], row["outputs"], atol=1e-4)
            np.testing.assert_allclose(classifier.backbone([signal])[0], row["embedding"], atol=1e-4)
        assert (row["use"], row["residuals"]) == (None, None)


def test_nothing_of_training_clips_is_kept_unless_it_is_asked_for(labelled) -> None:
    without = labelled.train(name="without")
    assert read_table(labelled.folder / "without" / "training_clips.parquet", schema.TRAINING_CLIPS).num_rows == 0
    labelled.tune(keep="embeddings")
    kept = labelled.train(name="with")
    assert all(kept[name].equals(without[name]) for name in without), "it changes no training"


def test_kept_models_are_on_the_disk_before_their_runs_count_as_done(labelled, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled.values["keep_models"] = "all"
    synced: set[int] = set()
    left: list[set[str]] = []
    note = UnfinishedJob._note

    def look_and_note(job: UnfinishedJob, run: Run) -> None:
        (folder,) = (job.folder / "models").glob("*/")
        left.append({path.name for path in folder.iterdir() if path.stat().st_ino not in synced})
        note(job, run)

    monkeypatch.setattr("os.fsync", lambda number: synced.add(os.fstat(number).st_ino))
    monkeypatch.setattr(UnfinishedJob, "_note", look_and_note)
    labelled.train()
    assert left == [set()]


def test_model_with_the_head_of_transformers(labelled) -> None:
    """The saved folder is a whole classification model, and its card has what is known of it."""
    labelled.values["keep_models"] = "all"
    labelled.tune(head="hf", head_hidden=12)
    tables = labelled.train()
    (folder,) = (labelled.folder / "run" / "models").glob("*/")
    model = AutoModelForAudioClassification.from_pretrained(folder).eval()
    assert model.config.id2label == {0: "low", 1: "high"}
    assert model.projector.weight.shape == (12, 32)
    audio = {row["utterance_id"]: row["audio"] for row in read_table(labelled.folder / "audio.parquet").to_pylist()}
    extract = Wav2Vec2FeatureExtractor.from_pretrained(folder)
    for name, logits in tables["predictions"].select("utterance_id", "logits").iter_rows():
        signal = np.frombuffer(audio[name], "<i2").astype(np.float32) / 32768
        with torch.no_grad():
            found = model(**extract(signal, sampling_rate=16_000, return_tensors="pt")).logits[0]
        np.testing.assert_allclose(found, logits, atol=1e-4)
    own = tables["predictions"].filter(test_corpus="acted")
    expected = f1_score(own["label"], own["predicted"], average="macro")
    card = (folder / "README.md").read_text()
    assert f"| test macro-F1 | {expected:.3f} (this run" in card
    assert "* Corpus acted: its own terms" in card


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"select": "loss", "head": "challenge", "head_dropout": 0.1}, r"\| dev loss \| (\d\.\d+) \|"),
        ({"train_on_dev": True, "head": "challenge"}, r"\| epochs \| 5, none chosen \|"),
        ({"train_on_dev": True, "head": "challenge", "steps": 7}, r"\| steps \| 7, none chosen \|"),
        (
            {"train_on_dev": True, "augment": [{"chain": "ahn2024", "probability": 0.5}]},
            r"\| augmentation \| ahn2024 \(50 %\) \|",
        ),
    ],
)
def test_a_kept_model_says_how_its_epoch_was_chosen(labelled, settings: dict, said: str) -> None:
    """And, without dropout and augmentation, it gives what the run predicted."""
    labelled.values["keep_models"] = "best"
    labelled.tune(**settings)
    tables = labelled.train(runs=[Run(), Run(seed=1)])
    (folder,) = (labelled.folder / "run" / "models").glob("*/")
    card = (folder / "README.md").read_text()
    found = re.search(said, card)
    assert found and "dev macro-F1" not in card
    curves = tables["curves"].filter(pl.col("best"), run=folder.name)
    if settings.get("select"):
        losses = tables["curves"].filter(pl.col("epoch") > 0, run=folder.name, part="dev", metric="loss")
        assert float(found[1]) == pytest.approx(losses["value"].min(), abs=1e-3)
        assert curves.filter(part="dev", metric="loss")["value"].item() == losses["value"].min()
    else:
        assert curves["epoch"].unique().to_list() == [tables["curves"]["epoch"].max()]
        assert "steps" in settings or curves["epoch"].max() == 5
        assert "dev" not in tables["curves"]["part"]
    audio = {row["utterance_id"]: row["audio"] for row in read_table(labelled.folder / "audio.parquet").to_pylist()}
    rows = tables["predictions"].filter(seed=int(folder.name[-1]))
    for name, logits in rows.select("utterance_id", "logits").head(4).iter_rows():
        signal = torch.from_numpy(np.frombuffer(audio[name], "<i2").astype(np.float32) / 32768)
        with torch.no_grad():
            np.testing.assert_allclose(load_classifier(folder)([signal])[0], logits, atol=1e-4)


def test_a_fold_that_tests_on_the_other_corpus_alone_has_no_score_of_its_own(labelled) -> None:
    """Symptom: where all clips of a left-out speaker were silent, the job ended in an error after its training."""
    path = labelled.folder / "splits.parquet"
    rows = read_table(path).to_pylist()
    write_table(path, [row for row in rows if (row["split"], row["corpus"]) != ("test", "acted")], schema.SPLITS)
    labelled.values["keep_models"] = "all"
    assert labelled.train()["predictions"]["test_corpus"].unique().to_list() == ["other"]
    (folder,) = (labelled.folder / "run" / "models").glob("*/")
    assert "test macro-F1" not in (folder / "README.md").read_text()


def test_best_policy_keeps_the_run_with_the_median_dev_score(labelled) -> None:
    """Symptom: the run of the easiest fold was kept, and offered with its score."""
    labelled.values["keep_models"] = "best"
    labelled.spoil_labels()
    curves = labelled.train(runs=[Run(), Run(fold=1), Run(fold=2)])["curves"]
    dev = curves.filter("best", part="dev", metric="macro_f1").sort("value")
    assert dev["value"].n_unique() == 3, "scores differ"
    assert [folder.name for folder in (labelled.folder / "run" / "models").glob("*/")] == [dev["run"][1]]


def test_class_weights_and_bf16(labelled) -> None:
    labelled.tune(class_weights="balanced", precision="bf16-mixed", max_seconds=0.2)
    found = labelled.train()["predictions"]
    assert f1_score(found["label"], found["predicted"], average="macro") > 0.8


def test_votes_pull_predictions_towards_their_shares(labelled) -> None:
    """All raters undecided: a model trained on their votes is so, too, where labels would have made it sure."""
    sure = np.abs(np.diff(get_logits(labelled.train()), axis=1)).mean()
    labelled.edit("splits", lambda row: row | {"soft": [0.5, 0.5]}, schema.SPLITS)
    labelled.tune(targets="soft")
    unsure = np.abs(np.diff(get_logits(labelled.train()), axis=1)).mean()
    assert unsure < 0.2 * sure


def test_part_without_clips_is_refused(labelled) -> None:
    elsewhere = {("train", 0): "dev"}
    labelled.edit(
        "splits", lambda row: row | {"split": elsewhere.get((row["split"], row["fold"]), row["split"])}, schema.SPLITS
    )
    with pytest.raises(TrainingError, match="run p0f0r0s0: no usable clip in train"):
        labelled.train()


def test_long_clips_are_cropped_where_the_configuration_says(labelled) -> None:
    found = {}
    for crop in ("beginning", "centre"):
        labelled.tune(max_seconds=0.2, crop=crop)
        found[crop] = get_logits(labelled.train(name=crop))
    assert not np.allclose(found["beginning"], found["centre"])


def double_partitions(work) -> None:
    """A second partition, in which what was tested is trained on and the reverse, and which has no clip of `other`."""
    turned = {"train": "test", "test": "train"}
    path = work.folder / "splits.parquet"
    rows = read_table(path).to_pylist()
    more = [
        row | {"partition": 1, "split": turned.get(row["split"], row["split"])}
        for row in rows
        if row["corpus"] == "acted"
    ]
    write_table(path, rows + more, schema.SPLITS)


def test_runs_have_the_clips_of_their_partition_and_the_tables_name_it(labelled) -> None:
    one = labelled.train(name="one")
    double_partitions(labelled)
    splits = pl.from_arrow(read_table(labelled.folder / "splits.parquet"))
    tables = labelled.train(runs=[Run(), Run(partition=1)])
    found = tables["predictions"]
    assert found.columns[:9] == [
        "task", "backbone", "start", "finetuning", "subset", "partition", "resampling", "seed", "fold",
    ]  # fmt: skip
    for key in ("predictions", "embeddings"):
        assert tables[key].filter(partition=0).equals(one[key]), "the first partition is as it was"
    tested = splits.filter(partition=1, fold=0, split="test").filter(pl.col("utterance_id") != "acted/001")
    assert set(found.filter(partition=1)["utterance_id"]) == set(tested["utterance_id"])
    assert not set(found.filter(partition=1, test_corpus="acted")["utterance_id"]) & set(
        one["predictions"]["utterance_id"]
    )
    runs = ["emotion.tiny.original.full.p0f0r0s0", "emotion.tiny.original.full.p1f0r0s0"]
    assert tables["curves"]["run"].unique(maintain_order=True).to_list() == runs


def test_training_ends_with_the_step_that_is_configured(labelled) -> None:
    """11 or 12 clips in batches of 3 are 4 batches, so 2 steps an epoch with `accumulate: 2`; the fifth is in the third."""
    labelled.tune(steps=5, accumulate=2, batch_size=3, schedule="linear")
    curves = labelled.train()["curves"]
    assert sorted(curves.filter(part="dev")["epoch"].unique()) == [0, 1, 2, 3]
    rates = curves.filter(part="course", metric="learning_rate").sort("epoch")["value"].to_list()
    # Falling to 0 behind the fifth step: steps 1, 3 and 4, counted from 0, are the last of their epochs.
    assert rates == pytest.approx([3e-3 * (5 - step) / 5 for step in (1, 3, 4)])


def test_steps_of_whole_epochs_are_those_epochs(labelled) -> None:
    """Of 11 or 12 clips there are two batches of 8 an epoch."""
    epochs = labelled.train(name="epochs")
    labelled.tune(epochs=1, steps=10)
    steps = labelled.train(name="steps")
    for key, table in epochs.items():
        assert steps[key].equals(table), key


def test_a_fine_tuning_with_a_name_of_its_own_is_in_the_tables(labelled) -> None:
    usual = labelled.train(name="usual")
    labelled.values["finetunings"]["long"] = labelled.values["finetunings"]["default"] | {"epochs": 6}
    found = labelled.train("tiny.original.long", name="long")
    assert found["predictions"]["finetuning"].unique().to_list() == ["long"]
    assert found["curves"]["run"].unique().to_list() == ["emotion.tiny.original.long.full.p0f0r0s0"]
    # The epochs that both have are the same: the name is no part of what is drawn.
    compared = [tables["curves"].filter(pl.col("epoch") <= 5)["value"].to_list() for tables in (usual, found)]
    assert compared[0] == compared[1]
