"""What the Snakefile asks: light, and right where counting is easy to get wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from emoadapt.config import load_study
from emoadapt.errors import ConfigError, ModelError, Problem
from emoadapt.flow import code
from emoadapt.study.check.weights import check_weights
from emoadapt.study.graph import STUDY_VARIABLE, Graph, open_study
from emoadapt.study.nodes import Model, Setting
from emoadapt.study.origins import Origins
from emoadapt.weights.fetching import fetch

ROOT = Path(__file__).parents[3]


def test_neither_the_snakefile_nor_the_help_loads_a_heavy_library() -> None:
    text = (
        "import sys, emoadapt.cli, emoadapt.study.graph, yaml\n"
        "from emoadapt.config import load_study\n"
        "graph = emoadapt.study.graph.Graph(load_study(yaml.safe_load(open('config.yaml'))))\n"
        "[(graph.manifest_state(c, '0'), graph.recipe(f)) for f, c in graph.features_in_use()]\n"
        "graph.stage1_code(next(iter(graph.study.backbones)), 'adapted')\n"
        "print([m for m in ('torch', 'transformers', 'cv2', 'polars', 'opensmile') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    media = tmp_path / "media"
    media.mkdir()
    lines = ["file,who,label"]
    for number in range(12):
        (media / f"{number}.wav").write_bytes(bytes([number]))
        # The last speaker has no clip of a class of the task.
        lines.append(f"{number}.wav,s{number // 3},{'x' if number >= 9 else 'ab'[number % 2]}")
    (media / "labels.csv").write_text("\n".join(lines))
    return Graph(
        load_study(
            {
                "study": "counting",
                "corpora": {
                    "c": {
                        "importer": "csv",
                        "root": str(media),
                        "file": "labels.csv",
                        "columns": {"media": "file", "speaker": "who", "label": "label"},
                        "modalities": ["audio", "video"],
                    },
                    "d": {"importer": "folder", "root": str(media)},
                },
                "backbones": {
                    "h": {"architecture": "hubert", "weights": "some/hubert"},
                    "e": {"architecture": "vector", "reads": "egemaps"},
                },
                "finetunings": {
                    "default": {"backbones": ["h"]},
                    "mlp": {"backbones": ["e"]},
                    "svm": {"method": "svm", "backbones": ["e"]},
                    "probe": {"method": "probe", "backbones": ["h"]},
                },
                "adaptations": {
                    "one": {"corpora": ["c"], "objectives": {"egemaps": 1.0}},
                    "two": {"corpora": ["c", "d"], "objectives": {"face": 1.0, "egemaps": 2.0}},
                },
                "tasks": {
                    "t": {
                        "corpus": "c",
                        "classes": ["a", "b"],
                        "other_labels": "drop",
                        "split": {"by": "leave_one_speaker_out"},
                        "resamplings": 3,
                    }
                },
            }
        )
    )


def test_folds_are_counted_over_speakers_with_a_class(graph: Graph) -> None:
    """Symptom: a speaker whose clips are all dropped had a fold that no split holds."""
    assert graph.folds("t") == 3


def test_folds_of_official_parts_are_counted_over_parts_with_a_class(graph: Graph) -> None:
    values = graph.study.model_dump(mode="json", exclude_unset=True)
    values["corpora"]["c"]["columns"] = {"media": "file", "split": "who", "label": "label"}
    values["tasks"]["t"]["split"] = {"by": "leave_one_part_out"}
    assert Graph(load_study(values)).folds("t") == 3


@pytest.mark.parametrize(
    ("engine", "said", "compared"), [("pocketsphinx", "a,b", ["c"]), ("pocketsphinx", ",", []), ("corpus", "a,b", [])]
)
def test_word_errors_are_for_corpora_with_transcripts(
    graph: Graph, tmp_path: Path, engine: str, said: str, compared: list[str]
) -> None:
    values = graph.study.model_dump(mode="json", exclude_unset=True)
    words = said.split(",")
    (tmp_path / "media/labels.csv").write_text(f"file,who,said\n0.wav,s0,{words[0]}\n1.wav,s0,{words[1]}\n")
    values["corpora"]["c"]["columns"] = {"media": "file", "speaker": "who", "transcript": "said"}
    values |= {"tasks": {}, "features": {"transcript": {"engine": engine}}}
    without = Graph(load_study(values))
    assert without.word_errors() == [], "no objective needs what is said"
    values["adaptations"] |= {"three": {"corpora": ["c", "d"], "objectives": {"sentiment": 1.0}}}
    found = Graph(load_study(values))
    assert found.compared_corpora() == compared
    assert found.word_errors() == ["results/metrics/word_errors.parquet"] * len(compared)


def test_an_objective_without_its_modality_is_no_input(graph: Graph) -> None:
    inputs = graph.training_inputs("egemaps+face", "d", "000")
    assert [path.split("/")[2] for path in inputs] == ["audio", "egemaps"]
    assert ("faces", "d") not in graph.features_in_use() and ("faces", "c") in graph.features_in_use()


def test_features_are_also_computed_where_the_corpus_has_what_they_need(graph: Graph) -> None:
    assert graph.extra_features() == []
    before = graph.features_in_use()
    values = graph.study.model_dump(mode="json", exclude_unset=True)
    values["features"] = {"also": ["egemaps_frames", "face_embedding"]}
    after = Graph(load_study(values))
    wanted = [("egemaps_frames", "c"), ("egemaps_frames", "d"), ("face_embedding", "c")]
    shards = [f"results/features/{name}/{corpus}/{shard:03d}.parquet" for name, corpus in wanted for shard in range(4)]
    assert after.extra_features() == shards
    assert set(after.features_in_use()) - set(before) == {("egemaps_frames", "c"), ("egemaps_frames", "d")}
    assert set(shards) <= set(after.all_features())
    # One more feature makes none of the others stale.
    assert after.recipe("egemaps") == graph.recipe("egemaps") and after.stage1_state("two") == graph.stage1_state("two")


def test_weights_in_use_are_those_of_the_engines_in_force(graph: Graph) -> None:
    assert graph.weights_in_use() == {
        "feature faces": ("mtcnn", None),
        "feature face_embedding": ("enet_b2_8", None),
        "backbone h": ("some/hubert", None),
    }
    values = graph.study.model_dump(mode="json", exclude_unset=True)
    values["backbones"]["h"] = {"architecture": "hubert", "weights": "some/hubert", "revision": "v2"}
    values["adaptations"] = {"one": {"corpora": ["c"], "objectives": {"sentiment": 1.0}}}
    assert Graph(load_study(values)).weights_in_use() == {
        "feature transcript": ("whisper/small", None),
        "feature sentiment": ("cardiffnlp/twitter-xlm-roberta-base-sentiment", None),
        "backbone h": ("some/hubert", "v2"),
    }
    values["features"] = {"transcript": {"engine": "pocketsphinx"}, "sentiment": {"engine": "vader"}}
    values["backbones"]["h"] = {"architecture": "hubert", "untrained": {}}
    assert Graph(load_study(values)).weights_in_use() == {}


def test_missing_weights_are_those_that_are_not_here(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    values = graph.study.model_dump(mode="json", exclude_unset=True) | {"models_dir": str(tmp_path / "models")}
    graph = Graph(load_study(values))

    def name_missing() -> list[str]:
        return [str(problem).split("'")[1] for problem in graph.list_missing_weights()]

    assert name_missing() == ["mtcnn", "enet_b2_8", "some/hubert"]
    for name in ("mtcnn/pnet.pt", "mtcnn/rnet.pt", "mtcnn/onet.pt", "some/hubert/config.json"):
        path = tmp_path / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"altered, which only a job or `emoadapt check` sees")
    assert name_missing() == ["enet_b2_8"]


@pytest.mark.parametrize("name", ["converted/tiny2.pt", "enet_b2_8", "some/hubert", "my/net.onnx", "/not/here.pt"])
def test_a_run_a_check_and_fetching_say_the_same_of_missing_weights(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Symptom: a run advised `models fetch` for a mistyped path, and fetching said that the source is not known."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    models = tmp_path / "models"
    values = graph.study.model_dump(mode="json", exclude_unset=True) | {"models_dir": str(models)}
    graph = Graph(load_study(values))
    monkeypatch.setattr(graph, "weights_in_use", lambda: {"backbone a": (name, None), "backbone b": (name, None)})
    checked: list[Problem] = []
    monkeypatch.setattr("emoadapt.study.check.weights._check_network", lambda *_: None)
    check_weights(graph, checked)
    said = graph.explain_missing_weights() or ""
    assert said == str(checked[0]) and said.startswith(f"backbone a: weights '{name}' are missing: ")
    with pytest.raises(ModelError) as refused:
        graph.refuse_missing_weights()
    assert str(refused.value) == said
    source_known = name in ("enet_b2_8", "some/hubert")
    assert ("models fetch" in said) == source_known
    if not source_known:
        with pytest.raises(ModelError) as fetched:
            fetch(name, models)
        assert said == f"backbone a: {fetched.value}"


def test_a_damaged_file_of_the_study_is_written_anew(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every job reads it, and no start wrote one that was there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("emoadapt.study.graph.remember_modules", lambda _: None)  # for the whole process
    for name in (STUDY_VARIABLE, "PYTHONPATH", "PATH"):
        monkeypatch.setenv(name, os.environ.get(name, ""))  # put back afterwards
    values = graph.study.model_dump(mode="json", exclude_unset=True)
    open_study(values, tmp_path)
    file = Path(os.environ[STUDY_VARIABLE])
    whole = file.read_bytes()
    assert json.loads(whole) == values
    file.write_bytes(bytes(len(whole)))
    open_study(values, tmp_path)
    assert file.read_bytes() == whole


def test_adaptations_share_shards_only_with_the_same_objectives(graph: Graph) -> None:
    """Symptom: one more adaptation with another objective made the training shards of all others stale."""
    assert graph.objective_sets() == ["egemaps", "egemaps+face"]
    assert graph.training_shards("one")[0] == "results/training/egemaps/c/000.parquet"


def test_objectives_without_target_share_the_shards_and_normalisers_of_the_others(graph: Graph) -> None:
    kept = change(graph, "adaptations.one.objectives", {"egemaps": 1.0, "l2_sp": 0.1, "distillation": 1.0})
    assert kept.objective_sets() == graph.objective_sets()
    assert kept.normaliser_inputs("one") == graph.normaliser_inputs("one")
    assert kept.normaliser_code("one") == graph.normaliser_code("one")
    assert kept.features_in_use() == graph.features_in_use()
    assert kept.stage1_code("h", "one") != graph.stage1_code("h", "one")


def test_only_an_epoch_chosen_by_a_probe_reads_a_task(graph: Graph) -> None:
    assert graph.judge_splits("one") == graph.judge_shards("h", "one") == []
    alone = change(change(graph, "tasks.t.split", {"by": "fractions"}), "adaptations.one.tasks", ["t"])
    judged = change(alone, "adaptations.one.select", "probe")
    assert judged.judge_splits("one") == ["results/splits/t/0.parquet"]
    assert judged.judge_shards("h", "one")[0].startswith("results/features/frontend.h/")
    assert set(judged.judge_shards("h", "one")) <= set(judged.all_features())
    assert judged.stage1_state("one")["adaptations.one.tasks"] == "t" and len(graph.stage1_state("one")) == 1
    job = judged.adaptation_job("h", "one", Path("model"), Path("curves"), 1)
    assert job.splits and set(job.labelled["frontend.h"]) == {judged.study.tasks["t"].corpus}


TUNED, ADAPTED, VECTOR, MACHINE, PROBED = (
    Setting("t", Model.parse(name), "full")
    for name in ("h.original", "h.one", "e.original.mlp", "e.original.svm", "h.one.probe")
)
SETTINGS = (TUNED, ADAPTED, VECTOR, MACHINE, PROBED)


def change(graph: Graph, path: str, value: object) -> Graph:
    """The graph of the study in which the value at a path is another."""
    values = graph.study.model_dump(mode="json", exclude_unset=True)
    *keys, last = path.split(".")
    section = values
    for key in keys:
        section = section.setdefault(key, {})
    section[last] = value
    return Graph(load_study(values))


def stale(before: Graph, after: Graph) -> set[Setting]:
    """Settings whose trainings would be done again."""
    return {setting for setting in SETTINGS if before.training_state(setting) != after.training_state(setting)}


@pytest.mark.parametrize(
    ("path", "value", "wanted"),
    [
        ("finetunings.mlp.epochs", 3, {VECTOR}),
        ("finetunings.default.epochs", 3, {TUNED, ADAPTED}),
        ("finetunings.svm.c", 2.0, {MACHINE}),
        ("finetunings.probe.layer", "last", {PROBED}),
        ("finetunings.more", {"method": "svm", "c": 3.0}, set()),
        ("finetunings.default.seeds", [0, 1], set()),
        ("finetunings.default.tasks", ["t"], set()),
        ("finetunings.probe.starts", ["one"], set()),
        ("keep_models", "best", {TUNED, ADAPTED}),
        ("keep_models", "all", {TUNED, ADAPTED, PROBED, MACHINE}),
        ("backbones.h.train_layers", 1, {TUNED, ADAPTED}),
        ("backbones.h.pooling", "attentive_statistics", {TUNED, ADAPTED}),
        ("backbones.h.pad", {"seconds": 1.0}, {TUNED, ADAPTED, PROBED}),
        ("backbones.h.weights", "some/other", {TUNED, ADAPTED, PROBED}),
        ("backbones.e.subsets", ["full"], set()),
        ("tasks.t.classes", ["b", "a"], set(SETTINGS)),
    ],
)
def test_a_key_makes_stale_what_reads_it(graph: Graph, path: str, value: object, wanted: set[Setting]) -> None:
    assert stale(graph, change(graph, path, value)) == wanted


def test_only_a_training_that_keeps_a_classifier_loads_its_frozen_backbone(graph: Graph) -> None:
    """Results without kept models do not depend on what keeps them."""
    kept = change(graph, "keep_models", "all")
    assert kept.training_inputs_of(PROBED)["model"] == ["results/models/h.one"]
    assert "model" not in kept.training_inputs_of(MACHINE)
    for setting in (PROBED, MACHINE):
        assert kept.training_code(setting)["code"] != graph.training_code(setting)["code"]
    assert "transformers" in kept.training_code(MACHINE)["libraries"]
    assert "transformers" not in graph.training_code(MACHINE)["libraries"]
    unkept = {**graph.study.model_dump(mode="json", exclude_unset=True)["finetunings"]["svm"], "normalise": "corpus"}
    before, after = (change(one, "finetunings.svm", unkept) for one in (graph, kept))
    assert before.training_state(MACHINE) == after.training_state(MACHINE)
    assert before.training_code(MACHINE) == after.training_code(MACHINE)


def test_classifiers_are_fitted_once_more_where_some_are_kept(graph: Graph) -> None:
    """With the most clips; the trainings before them do not know of it."""
    assert graph.refits() == []
    best, every = (change(graph, "keep_models", policy) for policy in ("best", "all"))
    wanted = {f"results/refits/t/{one.model}/{one.subset}/models" for one in (PROBED, MACHINE)}
    assert wanted <= set(best.refits()) and best.refits() == every.refits()
    assert {Path(path).parent.name for path in best.refits()} == {"full"}
    assert best.refit_state(PROBED) == every.refit_state(PROBED)
    assert best.refit_code(PROBED) == every.refit_code(PROBED) != best.training_code(PROBED)
    assert best.training_code(PROBED) == graph.training_code(PROBED)
    read = Origins(best).refit("t", str(PROBED.model), "full").inputs
    assert read["model"] == ["results/models/h.one"]
    assert [Path(path).name for path in read["tables"]][:1] == ["curves.parquet"]


def test_how_a_subset_is_drawn_concerns_its_trainings(graph: Graph) -> None:
    """More draws are more runs; those of before keep their clips."""
    ten = Setting("t", TUNED.model, "10")
    for key, value, wanted in (("draws", "nested", {ten}), ("resamplings", 9, set())):
        other = change(graph, f"tasks.t.{key}", value)
        assert {s for s in (TUNED, ten) if graph.training_state(s) != other.training_state(s)} == wanted


def test_a_training_reads_what_its_method_and_backbone_say(graph: Graph) -> None:
    assert graph.read_features(TUNED) == ["audio", "frontend.h"]
    assert graph.read_features(ADAPTED) == ["audio", "frontend.h"]
    assert graph.read_features(VECTOR) == graph.read_features(MACHINE) == ["egemaps"]
    assert graph.read_features(PROBED) == ["layers.h.one"]
    assert graph.training_inputs_of(ADAPTED)["model"] == ["results/models/h.one"]
    assert "model" not in graph.training_inputs_of(PROBED), "its backbone is not loaded"
    free = change(graph, "backbones.h.cnn", "stage1")
    assert free.read_features(TUNED) == ["audio"] and free.read_features(ADAPTED) == ["audio", "frontend.h.one"]


def test_one_more_seed_leaves_full_batches_as_they_are(graph: Graph) -> None:
    """Symptom: seeds varied fastest, so every batch was another."""
    before = graph.batches(TUNED)
    after = change(graph, "finetunings.default.seeds", [0, 1, 2, 3, 4, 5]).batches(TUNED)
    assert all(after[name] == runs for name, runs in before.items() if len(runs) == graph.study.runs_per_job)


def describe_jobs(graph: Graph) -> dict[str, object]:
    """Job -> all that its rule states, inputs as a set."""
    study, found = graph.study, {}
    for feature, corpus in (("audio", "c"), ("audio", "d"), ("egemaps", "c"), ("transcript", "c"), ("transcript", "d")):
        found[f"{feature} {corpus}"] = graph.recipe(feature, corpus)
    found |= {f"manifest {corpus}": graph.manifest_state(corpus, "000") for corpus in study.corpora}
    for task in study.tasks:
        found[f"split {task}"] = (graph.split_state(task, 0), graph.label_states(task), graph.task_corpora(task))
        found[f"leaks {task}"] = graph.leak_state(task)
    for name, adaptation in study.adaptations.items():
        found[f"parts {name}"] = (adaptation.corpora, adaptation.held_out, adaptation.seed)
        found[f"normalisers {name}"] = (graph.normaliser_code(name), {*graph.normaliser_inputs(name)})
        found[f"shards {name}"] = (graph.objective_set(name), graph.training_columns(graph.objective_set(name)))
        found[f"adapt {name}"] = (graph.stage1_state(name), graph.stage1_code("h", name), graph.training_shards(name))
    for s in study.list_settings():
        state = (graph.training_state(s), graph.training_code(s), graph.training_inputs_of(s), graph.batches(s))
        found[f"train {s.task} {s.model}"] = state
    return found


TURNED = {"face": 1.0, "egemaps": 2.0}


@pytest.mark.parametrize(
    ("path", "value", "concerned"),
    [
        ("adaptations.two.objectives", dict(reversed(TURNED.items())), set()),
        ("adaptations.two.corpora", ["d", "c"], set()),
        ("finetunings.default.seeds", [4, 2, 3, 1, 0], set()),
        ("tasks.t.test_also", ["e", "d"], set()),
        ("corpora.d.language", "de", {"transcript d"}),
        ("corpora.d.optional", True, set()),
        ("report", {"bootstrap": 200}, set()),
        ("tasks.t.leaks", {"transcripts": "refuse"}, {"leaks t"}),
        ("device", "cpu", set()),
        ("extraction_threads", 3, set()),
        ("features.also", ["rms"], set()),
        ("tables", {}, set()),
        ("adaptations.two.objectives", {"face": 1.0, "egemaps": 1.0}, {"adapt two"}),
        ("adaptations.two.held_out", 0.3, {"adapt two", "parts two"}),
    ],
)
def test_an_order_or_a_key_concerns_only_jobs_that_it_decides(
    graph: Graph, path: str, value: object, concerned: set[str], tmp_path: Path
) -> None:
    """Symptoms: objectives or corpora in another order, and a corpus's language, had all trained again."""
    (tmp_path / "more").mkdir()
    for number in range(4):
        (tmp_path / f"more/s{number % 2}_{number}.wav").write_bytes(bytes([number]))
    folder = {"importer": "folder", "root": str(tmp_path / "more")}
    graph = change(graph, "corpora.e", folder)
    graph = change(graph, "tasks.t.test_also", ["d", "e"])
    before, after = describe_jobs(graph), describe_jobs(change(graph, path, value))
    assert set(before) == set(after)
    assert {job for job in before if before[job] != after[job]} == concerned


def test_partitions_are_runs_of_their_own(graph: Graph) -> None:
    graph = change(graph, "tasks.t.split", {"by": "folds", "k": 3})
    graph = change(graph, "tasks.t.partitions", 4)
    runs = [run for batch in graph.batches(MACHINE).values() for run in batch]
    assert {(run.partition, run.fold, run.resampling, run.seed) for run in runs} == {
        (partition, fold, 0, 0) for partition in range(4) for fold in range(3)
    }, "what is deterministic has one seed"
    assert len([run for batch in graph.batches(TUNED).values() for run in batch]) == 4 * 3 * 5


def closure(*modules: str) -> set[str]:
    """Modules of this package that a digest covers."""
    return set(code.read_covered(*modules))


# What a digest covers of a training is asked of the graph, so that a module that is chosen by name cannot be forgotten.


def read_codes(graph: Graph) -> dict[str, str]:
    """Job -> digest of its code, for jobs of all kinds that train."""
    code.code_digest.cache_clear()
    found = {f"keep {name}": graph.kept_code(name) for name in graph.study.backbones if name != "e"}
    found |= {f"adapt {model}": graph.stage1_code(*model.split(".")) for model in graph.adapted_models()}
    return found | {f"train {s.model}": graph.training_code(s) for s in graph.study.list_settings()}


def find_concerned(graph: Graph, monkeypatch: pytest.MonkeyPatch, edited: str) -> set[str]:
    """Jobs that an edit of a module concerns."""
    before, read = read_codes(graph), code._recall
    with monkeypatch.context() as patch:
        patch.setattr(
            code,
            "_recall",
            lambda name, *rest: {
                part: replace(found, digest=found.digest + "!" * (name == edited))
                for part, found in read(name, *rest).items()
            },
        )
        after = read_codes(graph)
    code.code_digest.cache_clear()
    return {job for job in before if before[job] != after[job]}


def test_an_edit_of_a_method_concerns_what_is_trained_by_it(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    probed = {"train h.original.probe", "train h.one.probe", "train h.two.probe"}
    tuned = {"train h.original", "train h.one", "train h.two", "train e.original.mlp"}
    adapted = {"adapt h.one", "adapt h.two"}
    for edited, wanted in {
        "emoadapt.methods.svm": {"train e.original.svm"},
        "emoadapt.methods.probe": probed,
        "emoadapt.training.machines": probed | {"train e.original.svm"},
        "emoadapt.training.finetuning": tuned,
        "emoadapt.training.adaptation": adapted,
        "emoadapt.objectives.face": {"adapt h.two"},
        "emoadapt.training.trainer": adapted | tuned | probed,
        "emoadapt.config.training": adapted | tuned | probed | {"train e.original.svm"},
        "emoadapt.config.backbones": adapted | tuned | probed | {"train e.original.svm", "keep h"},
        "emoadapt.study.grid": set(),
        "emoadapt.reporting": set(),
        "emoadapt.poolings.mean": adapted | tuned - {"train e.original.mlp"},
    }.items():
        assert find_concerned(graph, monkeypatch, edited) == wanted, edited


CHAINS = [{"chain": "ahn2024", "probability": 0.5}]


def test_augmentation_concerns_the_trainings_that_have_it(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the other stage, nor kept outputs, nor heads and probes."""
    before, tuned = describe_jobs(graph), change(graph, "finetunings.default.augment", CHAINS)
    adapted = change(graph, "adaptations.two.augment", CHAINS)
    for other, concerned in (
        (tuned, {"train t h.original", "train t h.one", "train t h.two"}),
        (adapted, {"adapt two"}),
        (
            change(tuned, "finetunings.default.augment", [CHAINS[0] | {"type": 1}]),
            {"train t h.original", "train t h.one", "train t h.two"},
        ),
    ):
        after = describe_jobs(other)
        assert {job for job in before if before[job] != after[job]} == concerned
    for edited in ("emoadapt.augmentations.ahn2024", "emoadapt.augmentations.audiomentations"):
        assert find_concerned(graph, monkeypatch, edited) == set()
        assert find_concerned(tuned, monkeypatch, edited) == {"train h.original", "train h.one", "train h.two"}
        assert find_concerned(adapted, monkeypatch, edited) == {"adapt h.two"}
    libraries = [graph.training_code(TUNED)["libraries"], tuned.training_code(TUNED)["libraries"]]
    assert ["audiomentations" in text for text in libraries] == [False, True]


def test_kept_output_of_the_front_end_is_not_read_where_clips_are_augmented(graph: Graph) -> None:
    """It is that of other audio."""
    tuned, adapted = (
        change(graph, "finetunings.default.augment", CHAINS),
        change(graph, "adaptations.one.augment", CHAINS),
    )
    assert graph.read_features(TUNED) == ["audio", "frontend.h"] and tuned.read_features(TUNED) == ["audio"]
    assert tuned.read_features(PROBED) == graph.read_features(PROBED)
    assert graph.stage1_streams("h", "one") and adapted.stage1_streams("h", "one") == []
    assert adapted.stage1_streams("h", "two") == graph.stage1_streams("h", "two")


def test_keys_that_change_no_result_make_nothing_stale(graph: Graph) -> None:
    """How often a state is kept, what is logged, how many GPUs and threads a job has, where an adaptation is applied."""
    values = graph.study.model_dump(mode="json", exclude_unset=True)
    changed = {"checkpoint_minutes": 1.0, "logs": ["csv"], "gpus_per_job": 4, "training_threads": 1, "device": "cpu"}
    after = Graph(load_study(values | changed))
    assert stale(graph, after) == set()
    for name in graph.study.adaptations:
        applied = change(graph, f"adaptations.{name}.backbones", ["h"])
        assert after.stage1_state(name) == graph.stage1_state(name) == applied.stage1_state(name)


def test_what_is_trained_above_the_front_end_leaves_its_kept_output_alone(graph: Graph) -> None:
    values = graph.study.model_dump(mode="json", exclude_unset=True)
    values["backbones"]["h"] |= {"lora": {"rank": 2}, "layers": "weighted", "spec_augment": {}}
    other = Graph(load_study(values))
    assert (
        other.kept_state("frontend", "h") == other.kept_state("frontend", "h.one") == graph.kept_state("frontend", "h")
    )
    assert other.backbone_state("h") != graph.backbone_state("h")
    values["backbones"]["h"] |= {"weights": "some/other"}
    assert Graph(load_study(values)).kept_state("frontend", "h") != graph.kept_state("frontend", "h")


PAGES = ROOT / "src/emoadapt/reporting"


@pytest.mark.parametrize(
    "shown", sorted(path.relative_to(PAGES) for path in PAGES.rglob("*.*") if path.suffix[1] in "jc")
)
def test_an_edit_of_what_the_report_is_made_with_concerns_it(
    graph: Graph, shown: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Symptom: the folder of the template was looked for where it had been, so that its edit left the report as it was."""
    paper = shown.name.split(".")[0] if shown.parent.name == "papers" else "goncalves2025"
    graph = change(graph, "report", {"paper": paper})
    before, read = graph.report_state(), Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + b" " * (path == PAGES / shown))
    assert graph.report_state() != before


def test_classes_of_targets_that_the_report_counts_concern_it(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    """The counts are in the folders of Stage-1 models, the names in the modules of objectives."""
    models = {f"results/models/{model}" for model in graph.adapted_models()}
    assert models and models <= set(Origins(graph).report().list_inputs())
    before = graph.report_state()
    monkeypatch.setattr("emoadapt.study.graph.read_names", lambda name: ((f"{name} in other words",), ()))
    assert graph.report_state() != before


def test_leaks_are_looked_for_in_all_of_stage_1_and_decide_no_split(graph: Graph) -> None:
    """`t` trains on `c`; adaptation `one` heard `c`, `two` heard `c` and `d`."""
    task = graph.study.tasks["t"]
    assert graph.leak_inputs("t", "original") == graph.leak_inputs("t", "one") == graph.manifests("c")
    assert graph.leak_inputs("t", "two") == [*graph.manifests("c"), *graph.manifests("d")]
    strict = task.model_copy(update={"leaks": task.leaks.model_copy(update={"transcripts": "refuse"})})
    other = Graph(graph.study.model_copy(update={"tasks": {"t": strict}}))
    assert other.split_state("t", 0) == graph.split_state("t", 0)
    assert stale(graph, other) == set()
    assert other.leak_state("t") != graph.leak_state("t")


def test_a_study_for_a_gpu_is_refused_where_there_is_none(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    graph.refuse_missing_gpu()
    strict = Graph(graph.study.model_copy(update={"device": "cuda"}))
    with pytest.raises(ConfigError, match="device is cuda, but no GPU was found on this machine"):
        strict.refuse_missing_gpu()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    strict.refuse_missing_gpu()


def test_runs_that_wait_for_an_optional_corpus_stay_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    corpus = {"importer": "folder", "root": str(tmp_path / "home"), "optional": True}
    task = {"classes": ["a", "b"], "split": {"by": "fractions"}}
    values = {
        "study": "waiting",
        "corpora": {"home": corpus, "away": corpus | {"root": str(tmp_path / "away")}},
        "backbones": {"h": {"architecture": "hubert", "weights": "some/hubert"}},
        "adaptations": {"far": {"corpora": ["away"], "objectives": {"egemaps": 1.0}}},
        "tasks": {"near": task | {"corpus": "home", "test_also": ["away"]}, "abroad": task | {"corpus": "away"}},
    }
    (tmp_path / "away").mkdir()
    there = Graph(load_study(values))
    assert there.left_out_folders() == []
    settings = {Path("results/runs", s.task, str(s.model)) for s in there.study.list_settings()}
    (tmp_path / "away").rmdir()
    gone = Graph(load_study(values))
    stay = {Path("results/runs", s.task, str(s.model)) for s in gone.study.list_settings()} | set(
        gone.left_out_folders()
    )
    assert {path for path in settings if path not in stay and path.parent not in stay} == set()
    assert len(stay) == 3


def test_what_the_report_is_made_of_is_in_its_state(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    """The template, its style and its script are no modules, and were looked for in a folder that does not exist."""
    folder = ROOT / "src" / "emoadapt" / "reporting"
    made_of = [path for path in folder.iterdir() if path.is_file() and path.suffix != ".py"]
    assert {path.suffix for path in made_of} >= {".css", ".js", ".j2"}
    read, before = Path.read_bytes, graph.report_state()
    for edited in made_of:
        monkeypatch.setattr(Path, "read_bytes", lambda path, e=edited: read(path) + (b" " if path.samefile(e) else b""))
        assert graph.report_state() != before, edited.name
    monkeypatch.setattr(Path, "read_bytes", read)
    assert graph.report_state() == before


def make_care(**care: object) -> Graph:
    speech = {"architecture": "hubert", "untrained": {"layers": 4}, "cnn": "frozen"}
    return Graph(
        load_study(
            {
                "study": "care",
                "corpora": {"c": {"importer": "folder", "root": ".", "shards": 1}},
                "backbones": {
                    "speech": speech,
                    "words": {"architecture": "bert", "untrained": {}},
                    "care": {"architecture": "care", "speech": "speech", "text": "words"},
                    "other": {"architecture": "care", "speech": "speech", "text": "words", **care},
                },
                "adaptations": {
                    "both": {"corpora": ["c"], "backbones": ["care", "other"], "objectives": {"acoustic_egemaps": 1.0, "semantic": 1.0}},
                    "frames": {"corpora": ["c"], "backbones": ["care"], "objectives": {"acoustic": 1.0}},
                },
                "finetunings": {"probe": {"method": "probe", "backbones": ["care"]}},
                "tasks": {"t": {"corpus": "c", "classes": ["a", "b"], "split": {"by": "folds", "k": 3}}},
            }
        )
    )  # fmt: skip


def test_target_frames_are_read_from_the_features_own_shards() -> None:
    graph = make_care(text_layers="trained")
    assert graph.objective_set("both") == "semantic" and graph.objective_set("frames") == "no-target"
    frontend, egemaps = (f"results/features/{name}/c/000.parquet" for name in ("frontend.speech", "egemaps_frames"))
    # The frozen front end is the speech model's own: one output for all that are made of it.
    assert graph.stage1_streams("care", "both") == graph.stage1_streams("other", "both") == [frontend, egemaps]
    assert graph.stage1_streams("care", "frames") == [frontend, "results/features/pase_frames/c/000.parquet"]
    assert graph.normaliser_inputs("both") == [egemaps, "results/features/text_embedding/c/000.parquet"]
    used = {feature for feature, _ in graph.features_in_use()}
    assert {"egemaps_frames", "text_embedding", "transcript", "pase_frames"} <= used and "text_tokens" not in used
    assert graph.read_features(graph.setting("t", "care.both.probe", "full")) == ["layers.care.both"]


def test_what_changes_only_training_changes_no_kept_layer() -> None:
    """The settings of a part decide; how it is used alone does not."""
    before, graph = make_care(), make_care(text_layers="trained", acoustic_gradient="acoustic_only")
    assert graph.backbone_state("care") == before.backbone_state("care") != graph.backbone_state("other")
    values = {"learning_rate_factor": 0.5}
    assert make_care(**values).kept_state("layers", "other") == before.kept_state("layers", "other")
    assert make_care(**values).backbone_state("other") != before.backbone_state("other")


@pytest.mark.parametrize(("key", "value"), [("lora", {"rank": 4}), ("train_layers", 1)])
def test_stage_1_keys_that_a_backbone_lacks_are_refused(key: str, value: object) -> None:
    """Symptom: they were ignored."""
    values = {
        "study": "s",
        "corpora": {"c": {"importer": "folder", "root": "."}},
        "backbones": {"lld": {"architecture": "lld_transformer"}},
        "adaptations": {"a": {"corpora": ["c"], "objectives": {"egemaps": 1.0}, key: value}},
    }
    with pytest.raises(ConfigError, match=rf"adaptations.a.{key}: backbone lld has no such key"):
        load_study(values)


def test_augmentations_are_refused_where_frames_have_targets() -> None:
    """Symptom: a clip was turned round in time, and its target frames were not."""
    values = {
        "study": "s",
        "corpora": {"c": {"importer": "folder", "root": "."}},
        "backbones": {"h": {"architecture": "hubert", "untrained": {}}},
        "adaptations": {"a": {"corpora": ["c"], "objectives": {"acoustic": 1.0}, "augment": [{"chain": "ahn2024"}]}},
    }
    with pytest.raises(ConfigError, match="augment: objective acoustic has a target for each frame"):
        load_study(values)
    values["adaptations"]["a"]["objectives"] = {"semantic": 1.0}
    assert load_study(values).adaptations["a"].augmentations
