"""Configuration: what is refused, and in which words."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from emoadapt.config import expand_variables, load_study, objective_features, read_configfiles, read_study
from emoadapt.config.reading import merge_study
from emoadapt.errors import ConfigError
from emoadapt.features.faces import Config as FacesConfig

ROOT = Path(__file__).parents[2]
GOOD: dict[str, Any] = {
    "study": "good",
    "corpora": {
        "clips": {"importer": "folder", "root": "a", "modalities": ["audio", "video"]},
        "speech": {"importer": "folder", "root": "b"},
    },
    "backbones": {"hubert": {"architecture": "hubert", "weights": "facebook/hubert-base-ls960"}},
    "adaptations": {"adapted": {"corpora": ["clips", "speech"]}},
    "tasks": {"speech": {"corpus": "speech", "classes": ["a", "b"], "split": {"by": "folds"}}},
}


def problems(path: str, value: Any) -> str:
    """What is said of a good study in which the value at `path` is another."""
    values = copy.deepcopy(GOOD)
    *keys, last = path.split(".")
    section = values
    for key in keys:
        section = section.setdefault(key, {})
    section[last] = value
    with pytest.raises(ConfigError) as error:
        load_study(values)
    return str(error.value)


def test_the_papers_settings_are_the_defaults() -> None:
    """G25, Sec. III-F and PROTOCOLS."""
    study = load_study(GOOD)
    adapted, tuned = study.adaptations["adapted"], study.finetunings["default"]
    assert adapted.objectives == {"egemaps": 1.0, "sentiment": 0.5, "face": 1.0}
    assert (adapted.epochs, adapted.learning_rate, adapted.batch_size, adapted.optimizer) == (100, 1e-5, 32, "adam")
    assert (tuned.epochs, tuned.learning_rate, tuned.batch_size, tuned.optimizer) == (20, 1e-5, 32, "adam")
    assert adapted.held_out == 0.15 and len(tuned.seeds) == 5
    assert study.features.faces.detector == "mtcnn" and study.features.faces.fps == "native"
    assert study.backbones["hubert"].cnn_mode == "frozen"


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("finetunning", {}, "finetunning: this key is not known; did you mean `finetunings`?"),
        ("finetunings.default.sedes", [1], "finetunings.default.sedes: this key is not known; did you mean `seeds`?"),
        ("corpora.clips.shads", 3, "corpora.clips.shads: this key is not known; did you mean `shards`?"),
        ("finetunings.default.zzz", [1], "finetunings.default.zzz: this key is not known; see docs/configuration.md"),
        ("tasks.speech.head_hidden", 5, "this key is not known; it is a key of finetunings.<name>"),
        ("tasks.speech.architecture", "hubert", "it is a key of backbones.<name>"),
        ("corpora.clips.runs_per_job", 2, "it is a key of the top level"),
        (
            "corpora.acted",
            {"importer": "emodb", "root": "x", "file": "t.csv"},
            "corpora.acted.file: this key is not known; `file` is a key of importer csv; emodb has none",
        ),
        (
            "corpora.csv",
            {"importer": "emodb", "root": "x", "columns": {}},
            "corpora.csv.columns: this key is not known; `columns` is a key of importer csv; emodb has none",
        ),
        (
            "tasks.speech.split",
            {"by": "official", "k": 5},
            "tasks.speech.split.k: this key is not known; `k` is a key of a split by folds; official has none",
        ),
        (
            "corpora.acted",
            {"importer": "csv", "root": "x", "file": "t.csv", "columns": {"spkr": "who"}},
            "corpora.acted.columns.spkr: this key is not known; did you mean speaker? Allowed is 'media', 'start'",
        ),
        (
            "tasks.speech.subsets",
            ["ful"],
            "tasks.speech.subsets.0: found 'ful'; did you mean full? Allowed is 'full' or a number",
        ),
        ("finetunings.default.seeds", 5, "finetunings.default.seeds: found 5, allowed is a list, such as [5]"),
        (
            "finetunings.default.seeds",
            "0, 1, 2",
            "finetunings.default.seeds: found '0, 1, 2', allowed is a list, such as [0, 1, 2]",
        ),
        ("finetunings.default.seeds", None, "finetunings.default.seeds: found None, allowed is a list, such as [a, b]"),
        (
            "tasks.speech.classes",
            [True, False],
            "tasks.speech.classes.0: found True, allowed is text; YAML reads yes, no, on, off, true and false without "
            'quotes as truth values: quote the word, as in "yes"',
        ),
        (
            "tasks.speech.classes",
            [1, 2],
            'tasks.speech.classes.0: found 1, allowed is text; YAML reads this as a number: quote it, "1"',
        ),
        (
            "finetunings.default.seeds",
            [0, -1],
            "finetunings.default.seeds.1: found -1, allowed is greater than or equal to 0",
        ),
        (
            "adaptations.adapted.seed",
            -1,
            "adaptations.adapted.seed: found -1, allowed is greater than or equal to 0",
        ),
        (
            "finetunings.default.learning_rate",
            "1e-5",
            "found '1e-5', allowed is a valid number; YAML reads this as text, write 1.0e-5",
        ),
        (
            "finetunings.default.learning_rate",
            "fast",
            "finetunings.default.learning_rate: found 'fast', allowed is a valid number",
        ),
        ("tasks", None, "tasks: found None, allowed is a mapping of names to values"),
        ("corpora.clips.shards", "4", "corpora.clips.shards: found '4', allowed is a valid integer"),
        ("corpora.clips.shards", 0, "corpora.clips.shards: found 0, allowed is greater than or equal to 1"),
        ("corpora.clips.shards", True, "corpora.clips.shards: found True"),
        ("corpora.clips.root", "${NOT_SET_ANYWHERE}/a", "environment variable NOT_SET_ANYWHERE is not set"),
        ("corpora.acted", {"importer": "crema_d", "root": "x"}, "corpora.acted.labels: this key is required"),
        (
            "corpora.other",
            {"importer": "mp3", "root": "x"},
            "corpora.other.importer: found 'mp3', allowed is 'cafe', 'cmu_mosi'",
        ),
        ("corpora.other", {"root": "x"}, "corpora.other.importer: this key is required"),
        (
            "tasks.speech.split",
            {"by": "luck"},
            "tasks.speech.split.by: found 'luck', allowed is 'official', 'speakers'",
        ),
        (
            "features.face_embedding.network",
            {"fil": "a.onnx"},
            "features.face_embedding.network.fil: this key is not known; did you mean `file`?",
        ),
        ("finetunings.default.seeds", [0, 0], "finetunings.default: seeds repeats 0"),
        (
            "finetunings.default.seeds",
            [],
            "finetunings.default: seeds must not be empty; leave the key out for its default",
        ),
        (
            "tasks.speech.split",
            {"by": "speakers", "dev": ["a"], "test": []},
            "tasks.speech.split: test must not be empty; name at least one",
        ),
        ("finetunings.default.compile", "off", "finetunings.default.compile: found 'off', allowed is a valid boolean"),
        (
            "finetunings.default.method",
            "guess",
            "finetunings.default.method: found 'guess', allowed is 'domain', 'finetune', 'fuse', 'probe', 'student', 'svm'",
        ),
        (
            "finetunings.probe",
            {"method": "probe", "layr": 3},
            "finetunings.probe.layr: this key is not known; did you mean `layer`?",
        ),
        (
            "finetunings.probe",
            {"method": "probe", "classifier": "logistic"},
            "finetunings.probe: classifier logistic reads one layer",
        ),
        (
            "finetunings.default.backbones",
            ["bert"],
            "finetunings.default.backbones: bert is not defined; did you mean hubert?",
        ),
        (
            "finetunings.default.starts",
            ["adopted"],
            "finetunings.default.starts: adopted is not defined; did you mean adapted?",
        ),
        ("finetunings.default.tasks", ["talk"], "finetunings.default.tasks: talk is not defined; there is speech"),
        ("finetunings.default.subsets", [5], "finetunings.default.subsets: 5 is not defined; there is full"),
        ("adaptations.adapted.method", "guess", "adaptations.adapted.method: found 'guess', allowed is 'adapt'"),
        ("finetuning", {"epochs": 3}, "finetuning: fine-tunings have names now; write `finetunings: {default: {...}}`"),
        (
            "tasks.speech.allow_speaker_overlap",
            True,
            "write what is accepted, `leaks: {speakers: report, clips: report",
        ),
        (
            "features",
            {"pase_frames": {"normalise": "clip"}},
            "features.pase_frames.normalise: frames stay as PASE+ gives them",
        ),
        ("finetuning", {"egemaps_baseline": False}, "finetuning.egemaps_baseline: the baseline is a backbone now"),
        (
            "finetuning",
            {"egemaps_epochs": 3},
            "finetuning.egemaps_epochs: give the backbone egemaps a fine-tuning of its own",
        ),
        ("finetuning", {"egemaps_learning_rate": 1e-3}, "finetuning.egemaps_learning_rate: give the backbone egemaps"),
        (
            "finetuning",
            {"egemaps_normalise": "corpus"},
            "finetuning.egemaps_normalise: it is the key `normalise` of a fine-tuning",
        ),
        ("finetuning", {"classical": {}}, "finetuning.classical: a support vector machine is a method now"),
        ("finetuning", {"classical": {}}, "with `reads` as `features` was here"),
        ("finetuning", {"egemaps_epochs": 3}, "`backbones: {egemaps: {architecture: vector, reads: egemaps}}`"),
        (
            "tables",
            {"t": {"title": "T", "tasks": ["speech"], "parts": [{"models": ["handcrafted.egemaps"]}]}},
            "tables.t.parts.models: handcrafted.egemaps is a backbone of the study now",
        ),
        (
            "tables",
            {
                "t": {
                    "title": "T",
                    "tasks": ["speech"],
                    "parts": [{"models": [], "baseline": {"best_of": ["classical"]}}],
                }
            },
            "tables.t.parts.baseline.best_of: classical is a backbone of the study now",
        ),
        *(
            (f"finetunings.default.{key}", 1, f"finetunings.default.{key}: {sentence}")
            for key, sentence in (
                ("egemaps_baseline", "the baseline is a backbone now"),
                ("egemaps_epochs", "give the backbone egemaps a fine-tuning of its own"),
                ("egemaps_learning_rate", "give the backbone egemaps a fine-tuning of its own"),
                ("egemaps_normalise", "it is the key `normalise` of a fine-tuning now"),
                ("classical", "a support vector machine is a method now"),
            )
        ),
        *(
            (
                "report.baseline",
                model,
                f"report.baseline: {model} is a backbone of the study now; write <backbone>.<start>",
            )
            for model in ("egemaps", "handcrafted.egemaps", "classical", "handcrafted.classical")
        ),
        (
            "report.names",
            {"handcrafted.egemaps": "eGeMAPS"},
            "report.names: handcrafted.egemaps is a backbone of the study now",
        ),
        (
            "tables",
            {"t": {"title": "T", "tasks": ["speech"], "parts": [], "names": {"handcrafted.classical": "SVM"}}},
            "tables.t.names: handcrafted.classical is a backbone of the study now",
        ),
        ("finetunings.default.learning_rate", float("inf"), "finetunings.default.learning_rate"),
        (
            "features.faces.detector",
            "dlib",
            "features.faces.detector: face detector dlib is not known; there is haar, mediapipe, mtcnn, yunet",
        ),
        (
            "features.also",
            ["chroma"],
            "features.also: feature chroma is not known; there is action_units, audio, compare_frames, ",
        ),
        ("features.also", ["stall_limit"], "features.also: feature stall_limit is not known"),
        ("features.also", ["egemaps", "egemaps"], "features.also: it repeats egemaps"),
        ("features.egemaps_frames.step_ms", 12, "features.egemaps_frames.step_ms: found 12, allowed is 10, 16 or 20"),
        (
            "features.transcript",
            {"engine": "pocketsphinx", "timestamps": True},
            "features.transcript: timestamps: the engine pocketsphinx has none",
        ),
        ("tasks.speech.classes", ["a"], "tasks.speech: classes holds only a; name at least two"),
        (
            "tasks.speech.attributes",
            ["arousal"],
            "tasks.speech: a task has either classes or attributes",
        ),
        (
            "tasks.speech.attributes",
            ["anger"],
            "tasks.speech.attributes.0: found 'anger', allowed is 'arousal', 'valence'",
        ),
        (
            "tasks.speech",
            {"corpus": "speech", "split": {"by": "all", "dev": 0.1}, "target": {"corpus": "clips"}},
            "tasks.speech: a task has either classes or attributes, this has neither",
        ),
        ("tasks.speech.split.k", 2, "tasks.speech.split.k: found 2, allowed is greater than or equal to 3"),
        ("tasks.speech.subsets", [-5], "tasks.speech.subsets"),
        ("tasks.speech.corpus", "talks", "tasks.speech.corpus: talks is not defined; there is clips, speech"),
        ("tasks.speech.test_also", ["speech"], "speech is the corpus trained on"),
        ("tasks.speech.class_map", {"x": "c"}, "class_map names c"),
        (
            "adaptations.adapted.objectives",
            {"smell": 1.0},
            "objective smell is not known; there is acoustic, acoustic_egemaps, action_units, distillation, egemaps, energy, energy_level, energy_rms, face, l2_sp, landmark_motion, ",
        ),
        ("adaptations.adapted.objectives", {}, "adaptations.adapted.objectives"),
        ("adaptations.adapted.corpora", ["speech"], "adaptations.adapted.objectives.face: it needs video"),
        ("tasks.word_errors", GOOD["tasks"]["speech"], "tasks.word_errors: this name is taken"),
        ("tasks.test", GOOD["tasks"]["speech"], "tasks.test: in test_also this name means clips"),
        ("adaptations.original", {"corpora": ["clips"]}, "adaptations.original: this name is taken"),
        ("backbones.v", {"architecture": "vector"}, "backbones.v.reads: this key is required"),
        (
            "backbones.v",
            {"architecture": "vector", "reads": "chroma"},
            "backbones.v.reads: feature chroma is not known; there is action_units, audio, compare_frames",
        ),
        *(
            (
                "backbones.v",
                {"architecture": "vector", "reads": feature},
                f"backbones.v.reads: {feature} gives no vector for each clip; there is action_units, compare_functionals, egemaps, ",
            )
            for feature in ("audio", "compare_frames", "egemaps_frames", "faces", "transcript")
        ),
        (
            "backbones.v",
            {"architecture": "vector", "reads": "face_embedding"},
            "backbones.v: face_embedding needs video, and corpus speech of task speech has none",
        ),
        ("finetunings.original", {"method": "svm"}, "finetunings.original: this name is taken by models without"),
        ("report.baseline", "hubert.original.default", "default is not part of a name, write hubert.original"),
        ("report.baseline", "hubert.original.svm", "hubert.original.svm is not a model of this study; did you mean"),
        *(
            (
                "finetunings.probe",
                {"method": "probe", "classifier": "logistic", "layer": "last"} | keys,
                f"finetunings.probe: classifier logistic does not use {', '.join(keys)}; remove",
            )
            for keys in (
                {"targets": "soft"},
                {"label_smoothing": 0.1},
                {"head_hidden": 8},
                {"epochs": 3, "learning_rate": 0.1, "steps": 4},
            )
        ),
        (
            "finetunings.probe",
            {"method": "probe", "c": 2.0},
            "finetunings.probe: classifier linear does not use c; remove it",
        ),
        (
            "finetunings.probe",
            {"method": "probe", "head_hidden": 8},
            "classifier linear does not use head_hidden; remove it",
        ),
        ("backbones.hubert.untrained", {}, "needs either `weights` or `untrained`"),
        (
            "backbones.a-b",
            {"architecture": "hubert", "weights": "x"},
            "backbones.a-b: found 'a-b', allowed is letters, digits and underscores, a letter first",
        ),
    ],
)
def test_a_wrong_value_is_explained(path: str, value: Any, sentence: str) -> None:
    assert sentence in problems(path, value)


@pytest.mark.parametrize(
    ("path", "value", "number"),
    [
        ("features.face_embedding.network", {"file": "a.onnx", "input": 64}, 1),
        ("features.face_embedding.network", {"untrained": "tiny_cnn", "colour": "grey"}, 1),
        ("features.face_embedding.network", {"file": "a.onnx", "mean": [0.5]}, 1),
        ("features.face_embedding.network", "a.onnx", 2),
    ],
)
def test_of_two_ways_the_one_that_was_meant_is_spoken_of(path: str, value: Any, number: int) -> None:
    lines = problems(path, value).splitlines()[1:]
    assert len(lines) <= number and all(line.startswith(f"  {path}") for line in lines), lines
    assert not any("[" in line.split(":")[0] for line in lines)


@pytest.mark.parametrize("subset", ["ful", -5, 5.5])
def test_one_wrong_subset_is_one_line(subset: Any) -> None:
    lines = problems("tasks.speech.subsets", [subset]).splitlines()[1:]
    assert len(lines) == 1 and ("full" in lines[0]) == (subset == "ful"), lines


def test_all_problems_are_said_at_once() -> None:
    values = copy.deepcopy(GOOD) | {"foo": 1, "device": "tpu"}
    with pytest.raises(ConfigError) as error:
        load_study(values)
    assert "foo:" in str(error.value) and "device:" in str(error.value)


VECTOR = {"architecture": "vector", "reads": "egemaps"}
TINY = {"architecture": "hubert", "untrained": {"layers": 2}}


@pytest.mark.parametrize(
    ("backbone", "finetuning", "sentence"),
    [
        (VECTOR, {"method": "svm", "layer": 1}, ".layer: layer 1 is asked for, and backbone small has layer 0 alone"),
        (
            VECTOR,
            {"method": "probe", "layer": 1},
            ".layer: layer 1 is asked for, and backbone small has layer 0 alone",
        ),
        (TINY, {"method": "probe", "layer": 3}, ".layer: layer 3 is asked for, and backbone small has layers 0 to 2"),
        (TINY, {"method": "svm", "layer": 99}, ".layer: layer 99 is asked for, and backbone small has layers 0 to 2"),
        (TINY, {"method": "probe", "layer": 2}, None),
        (VECTOR, {"method": "svm", "layer": 0}, None),
    ],
)
def test_a_layer_that_a_backbone_lacks_is_refused_before_its_layers_are_computed(
    backbone: dict, finetuning: dict, sentence: str | None
) -> None:
    values = GOOD | {"backbones": {"small": backbone}, "finetunings": {"probe": finetuning}}
    if sentence is None:
        load_study(values)
        return
    with pytest.raises(ConfigError, match=re.escape(f"finetunings.probe{sentence}")):
        load_study(values)


@pytest.mark.parametrize(
    ("key", "finetuning", "idle"),
    [
        ("backbones", {"starts": ["adapted"], "backbones": ["hubert", "egemaps"]}, "egemaps"),
        ("backbones", {"starts": ["adapted"], "backbones": ["hubert", "kept"]}, "kept"),
        ("starts", {"starts": ["original", "adapted"], "backbones": ["kept", "egemaps"]}, "adapted"),
        ("tasks", {"starts": ["adapted"], "tasks": ["speech", "rated"]}, "rated"),
        ("subsets", {"starts": ["adapted"], "subsets": [10, "full"]}, "10"),
    ],
)
def test_a_name_in_a_list_of_a_fine_tuning_that_trains_nothing_is_refused(
    key: str, finetuning: dict, idle: str
) -> None:
    """`starts: [adapted]` said nothing of a backbone that the adaptation is not applied to: its rows were missing."""
    values = copy.deepcopy(GOOD)
    values["backbones"] |= {"kept": GOOD["backbones"]["hubert"], "egemaps": VECTOR}
    values["adaptations"]["adapted"] |= {"backbones": ["hubert"], "tasks": ["speech"], "subsets": ["full"]}
    values["tasks"]["speech"]["subsets"] = [10, "full"]
    values["tasks"]["rated"] = {"corpus": "speech", "attributes": ["arousal"], "split": {"by": "folds"}}
    values["finetunings"] = {"default": {}, "other": finetuning}
    with pytest.raises(ConfigError) as error:
        load_study(values)
    lines = str(error.value).splitlines()[1:]
    assert lines == [
        f"  finetunings.other.{key}: it trains nothing with {idle}; take that out of the list, or see what else the fine-tuning, "
        "the backbones and the adaptations are limited to"
    ]


def test_a_backbone_of_pictures_is_for_tasks_with_video() -> None:
    values = copy.deepcopy(GOOD)
    values["backbones"]["face"] = {"architecture": "vector", "reads": "face_embedding"}
    values["tasks"]["seen"] = GOOD["tasks"]["speech"] | {"corpus": "clips"}
    values["finetunings"] = {"default": {"backbones": ["hubert"]}, "face": {"backbones": ["face"], "tasks": ["seen"]}}
    load_study(values)
    del values["finetunings"]["face"]["tasks"]
    with pytest.raises(
        ConfigError, match=r"backbones\.face: face_embedding needs video, and corpus speech of task speech"
    ):
        load_study(values)


def test_two_demo_corpora_must_not_share_a_folder() -> None:
    demo = {"importer": "demo", "root": "same"}
    with pytest.raises(ConfigError, match="two generated corpora share the root same"):
        load_study({"study": "x", "corpora": {"a": demo, "b": demo}})


def test_a_feature_of_faces_needs_a_corpus_with_video() -> None:
    values = {"study": "x", "corpora": {"speech": {"importer": "folder", "root": "a"}}}
    with pytest.raises(ConfigError, match=r"features\.also: faces needs video, and no corpus has it"):
        load_study(values | {"features": {"also": ["faces"]}})
    values["corpora"]["clips"] = {"importer": "folder", "root": "b", "modalities": ["audio", "video"]}
    assert load_study(values | {"features": {"also": ["faces"]}}).features.also == ("faces",)


def test_files_are_merged_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("study: x\nfinetunings: {default: {epochs: 3, seeds: [1]}}\n")
    (tmp_path / "b.yaml").write_text("finetunings: {default: {epochs: 5}}\n")
    merged = read_configfiles([tmp_path / "a.yaml", tmp_path / "b.yaml"])
    assert merged == {"study": "x", "finetunings": {"default": {"epochs": 5, "seeds": [1]}}}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [", "not valid YAML"),
        ("- a", r"broken\.yaml contains a list; write a mapping of keys to values"),
        ("a", r"broken\.yaml contains a single value; write a mapping"),
        ("# only a comment", r"broken\.yaml is empty; write"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "broken.yaml").write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        read_configfiles([tmp_path / "broken.yaml"])
    with pytest.raises(ConfigError, match=r"gone\.yaml cannot be read"):
        read_configfiles([tmp_path / "gone.yaml"])


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("study: x\n# M\xfcller\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml is not in UTF-8; save it in that encoding"):
        read_configfiles([tmp_path / "latin.yaml"])


def test_a_value_that_holds_itself_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").write_text("study: x\ncorpora: &x {a: *x}\n")
    with pytest.raises(ConfigError, match="a value contains itself: a YAML anchor"):
        read_study([tmp_path / "loop.yaml"])


def test_yaml_tags_are_not_executed(tmp_path: Path) -> None:
    (tmp_path / "tag.yaml").write_text("study: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(ConfigError, match="not valid YAML"):
        read_configfiles([tmp_path / "tag.yaml"])


def test_shipped_configurations_are_good(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    paths = [ROOT / "config.yaml", *sorted((ROOT / "studies").glob("*.yaml")), ROOT / "tests/workflow/real.yaml"]
    assert len(paths) >= 4
    for path in paths:
        text = path.read_text()
        for name in re.findall(r"\$\{(\w+)\}", text):
            monkeypatch.setenv(name, str(tmp_path))
        assert load_study(read_configfiles([path])).left_out == {}, path


def test_an_original_that_never_saw_stage_1_gets_the_same_freedom() -> None:
    untrained = load_study({**GOOD, "backbones": {"b": {"architecture": "hubert", "untrained": {}}}}).backbones["b"]
    assert untrained.cnn_mode == "stage1"
    assert untrained.trains_cnn("stage1", "adapted") and not untrained.trains_cnn("stage2", "adapted")
    assert untrained.trains_cnn("stage2", "original")
    frozen = load_study(GOOD).backbones["hubert"]
    assert not frozen.trains_cnn("stage1", "adapted") and not frozen.trains_cnn("stage2", "original")


def test_objectives_are_found_without_importing_them() -> None:
    assert objective_features() == {
        "acoustic": "pase_frames", "acoustic_egemaps": "egemaps_frames", "semantic": "text_embedding",
        "semantic_whisper": "whisper_frames", "semantic_whisper_frames": "whisper_frames", "semantic_text_frames": "text_frames",
        "action_units": "action_units", "egemaps": "egemaps", "energy": "egemaps", "energy_level": "rms", "energy_rms": "rms",
        "face": "face_embedding", "landmark_motion": "landmark_motion", "landmark_motion_whole": "landmark_motion",
        "sentiment": "sentiment",
    }  # fmt: skip


def test_variables_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_ROOT", "/data")
    assert expand_variables("${SOME_ROOT}/x") == expand_variables("$SOME_ROOT/x") == "/data/x"
    monkeypatch.setenv("HOME", "/home/me")
    assert expand_variables("~/x") == "/home/me/x"


PATHS = {
    "corpora.c.root": {"corpora": {"c": {"importer": "emodb", "root": "PATH"}}},
    "corpora.c.file": {"corpora": {"c": {"importer": "csv", "root": "x", "file": "PATH"}}},
    "corpora.c.annotations": {"corpora": {"c": {"importer": "crema_d", "root": "x", "annotations": "PATH"}}},
    "tasks.t.split.file": {"tasks": {"t": {"corpus": "c", "classes": ["a", "b"], "split": {"by": "table", "file": "PATH"}}}},
    "models_dir": {"models_dir": "PATH"},
    "plugins": {"plugins": "PATH"},
}  # fmt: skip
"""Key -> a study that names a path there."""


@pytest.mark.parametrize("key", PATHS)
@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("${MY_CORPUS}", "", "environment variable MY_CORPUS is empty; set it, or write the path itself"),
        ("$MY_CORPUS/x", " ", "environment variable MY_CORPUS is empty; set it, or write the path itself"),
        ("${MY_CORPUS}/x", None, "environment variable MY_CORPUS is not set; set it, or write the path itself"),
        ("", None, "it is empty, and names no path; write one"),
    ],
)
def test_a_path_that_is_empty_is_refused_at_every_key(
    key: str, path: str, value: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Symptom: the files of the current folder were listed as the corpus."""
    monkeypatch.delenv("MY_CORPUS", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_CORPUS", value)
    values = json.loads(json.dumps(GOOD | PATHS[key]).replace('"PATH"', json.dumps(path)))
    with pytest.raises(ConfigError, match=rf"\b{re.escape(key)}: {re.escape(said)}"):
        load_study(values)


@pytest.mark.parametrize("keys", [{"search": "near"}, {"min_face": 40}])
def test_detector_settings_that_would_be_ignored_are_refused(keys: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(keys))):
        FacesConfig(detector="yunet", **keys)
    assert FacesConfig(detector="mtcnn", **keys)


def test_of_a_registered_network_the_registry_knows_the_rest() -> None:
    """Symptom: its name alone passed, and the run died of another size, colour and output than the file has."""

    def network(**keys: Any) -> Any:
        return load_study(GOOD | {"features": {"face_embedding": {"network": keys}}}).features.face_embedding.network

    found = network(file="mini_xception_fer2013")
    assert (found.input_size, found.colour, found.mean, found.std) == (64, "grey", (0.5,), (0.5,))
    assert found.output == "embedding"
    assert found.model_dump(exclude={"file"}) == network(file="mini_xception/mini_xception_fer2013.onnx").model_dump(
        exclude={"file"}
    )
    assert network(file="enet_b2_8").input_size == 260 and network(file="enet_b2_8", input_size=224).input_size == 224
    assert network(file="enet_b2_8", input_size=None, mean=None).input_size == 260
    assert not network(file="enet_b2_8").name_assumptions()


@pytest.mark.parametrize(
    ("keys", "assumed"),
    [
        ({}, "the colour order RGB and ImageNet's mean and standard deviation"),
        ({"colour": "bgr"}, "ImageNet's mean and standard deviation"),
        ({"mean": [0.5] * 3, "std": [0.5] * 3}, "the colour order RGB"),
        ({"colour": "rgb", "mean": [0.5] * 3}, "ImageNet's standard deviation"),
        ({"mean": [0.5], "std": [0.5]}, ""),
        ({"colour": "rgb", "mean": [0.5] * 3, "std": [0.5] * 3}, ""),
    ],
)
def test_what_nobody_declared_of_a_network_is_named(keys: dict, assumed: str) -> None:
    """Symptom: any .onnx file was taken for one of 224 x 224, RGB and ImageNet's statistics, and nothing said so."""
    study = load_study(GOOD | {"features": {"face_embedding": {"network": {"file": "my.onnx", **keys}}}})
    assert study.features.face_embedding.network.input_size is None
    assert study.features.face_embedding.network.name_assumptions() == assumed


@pytest.mark.parametrize("keys", [{"colour": "grey"}, {"colour": "grey", "mean": [0.5]}, {"mean": [0.5]}])
def test_a_grey_network_without_its_statistics_is_refused(keys: dict) -> None:
    with pytest.raises(ConfigError, match="colour grey has no usual mean and std; set both"):
        load_study(GOOD | {"features": {"face_embedding": {"network": {"file": "my.onnx", **keys}}}})


def optional_study(tmp_path, **over):
    """A study with an optional corpus, `away`, that is not there."""
    (tmp_path / "home").mkdir(exist_ok=True)
    corpus = {"importer": "folder", "label_from": "parent"}
    task = {"classes": ["anger", "sadness"], "split": {"by": "fractions"}}
    study = {
        "study": "s",
        "corpora": {
            "home": corpus | {"root": str(tmp_path / "home"), "optional": True},
            "away": corpus | {"root": "${NOT_SET_ANYWHERE}", "optional": True},
        },
        "backbones": {"b": {"architecture": "wav2vec2", "untrained": {}}},
        "adaptations": {
            "near": {"corpora": ["home"], "objectives": {"egemaps": 1.0}},
            "far": {"corpora": ["home", "away"], "objectives": {"egemaps": 1.0}},
            "only_abroad": {"corpora": ["home"], "objectives": {"egemaps": 1.0}, "tasks": ["abroad"]},
            "both": {"corpora": ["home"], "objectives": {"egemaps": 1.0}, "tasks": ["abroad", "inland"]},
        },
        "tasks": {
            "inland": task | {"corpus": "home", "test_also": ["away"]},
            "abroad": task | {"corpus": "away"},
        },
    }
    return study | over


def test_a_missing_optional_corpus_removes_everything_that_needs_it(tmp_path):
    values = optional_study(tmp_path)
    study = load_study(values)
    assert list(study.corpora) == ["home"] and list(study.tasks) == ["inland"]
    assert study.tasks["inland"].test_also == () and study.adaptations["both"].tasks == ("inland",)
    assert study.starts("b") == ["original", "near", "both"]
    assert study.left_out == {
        "corpora.away": "environment variable NOT_SET_ANYWHERE is not set; set it, or write the path itself",
        "tasks.inland.test_also.away": "needs corpus away",
        "tasks.abroad": "needs corpus away",
        "adaptations.far": "needs corpus away",
        "adaptations.only_abroad": "needs corpus away",
    }
    assert "abroad" in values["tasks"], "the caller's mapping is left alone"


def test_an_optional_corpus_that_is_there_is_as_any_other(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("NOT_SET_ANYWHERE", str(tmp_path / "elsewhere"))
    study = load_study(optional_study(tmp_path))
    assert list(study.tasks) == ["inland", "abroad"] and study.left_out == {}


def test_a_study_without_any_corpus_says_so(tmp_path):
    values = optional_study(tmp_path)
    values["corpora"] = {"away": values["corpora"]["away"]}
    with pytest.raises(ConfigError, match="all corpora of the study are missing: away: environment variable"):
        load_study(values)


def test_a_corpus_that_is_not_optional_is_still_asked_for(tmp_path):
    values = optional_study(tmp_path)
    values["corpora"]["away"]["optional"] = False
    with pytest.raises(ConfigError, match="NOT_SET_ANYWHERE is not set"):
        load_study(values)


def test_an_adaptation_is_fine_tuned_where_it_says(tmp_path, monkeypatch):
    monkeypatch.setenv("NOT_SET_ANYWHERE", str(tmp_path))
    values = optional_study(tmp_path)
    values["tasks"]["abroad"]["subsets"] = [16, "full"]
    values["adaptations"]["only_abroad"]["subsets"] = ["full"]
    study = load_study(values)
    assert study.starts("b", "inland") == ["original", "near", "far", "both"]
    assert study.starts("b", "abroad", 16) == ["original", "near", "far", "both"]
    assert study.starts("b", "abroad", "full") == ["original", "near", "far", "only_abroad", "both"]
    values["backbones"]["b"]["subsets"] = ["full"]
    study = load_study(values)
    assert study.starts("b", "abroad", 16) == [] and "only_abroad" in study.starts("b", "abroad", "full")
    assert {setting.subset for setting in study.list_settings() if setting.model.backbone == "b"} == {"full"}
    values["backbones"]["b"]["subsets"] = [18]
    values["adaptations"]["only_abroad"]["subsets"] = [17]
    values["adaptations"]["near"]["tasks"] = ["nowhere"]
    with pytest.raises(ConfigError) as error:
        load_study(values)
    assert "adaptations.only_abroad.subsets: 17 is not defined; there is 16, full" in str(error.value)
    assert "backbones.b.subsets: 18 is not defined; there is 16, full" in str(error.value)
    assert "adaptations.near.tasks: nowhere is not defined; there is abroad, inland" in str(error.value)


@pytest.mark.parametrize("keys", [("x ", "x"), ("jose\u0301", "jos\u00e9")], ids=["blanks", "Unicode forms"])
def test_labels_of_a_class_map_that_are_one_name_are_refused(keys: tuple[str, str]) -> None:
    """Symptom: the later one was used, without a word."""
    task = {"corpus": "c", "classes": ["low", "high"], "split": {"by": "fractions"}}
    values = {"study": "s", "corpora": {"c": {"importer": "emodb", "root": "a"}}}
    values["tasks"] = {"t": task | {"class_map": dict(zip(keys, ("low", "high"), strict=True))}}
    with pytest.raises(ConfigError, match=r"tasks\.t\.class_map: keys .* are the same name .*; keep one"):
        load_study(values)


def test_studies_in_the_readme_are_good(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    found = [yaml.safe_load(block) for block in blocks]
    studies = [load_study(values) for values in found if "study" in values]
    assert [study.study for study in studies] == ["mine", "baselines"]
    assert {str(model) for model in studies[1].list_models()} == {"tiny.original.probe", "egemaps.original.svm"}
    # A block without a name is read behind the first study.
    (tmp_path / "my_study.yaml").write_text(blocks[0])
    (lighter,) = (values for values in found if "study" not in values)
    merged = load_study(merge_study([tmp_path / "my_study.yaml"], lighter))
    assert merged.features.sentiment.engine == "vader"
    assert merged.corpora["talks"].language == "en"


PAIRED = {
    "study": "trials",
    "corpora": {name: {"importer": "folder", "root": name} for name in ("home", "away")},
    "backbones": {"v": {"architecture": "vector", "reads": "egemaps"}},
    "finetunings": {"default": {"seeds": [0, 1, 2]}},
    "tasks": {
        "near": {"corpus": "home", "classes": ["a", "b"], "split": {"by": "official"}, "trials": "paired",
                 "test_also": {"away": "test"}},
        "far": {"corpus": "away", "classes": ["a", "b"], "split": {"by": "fractions"}, "partitions": 3, "trials": "paired"},
    },
}  # fmt: skip


def test_a_task_has_a_partition_for_each_test_part_that_it_is_tested_on() -> None:
    study = load_study(PAIRED)
    assert study.find_tested_tasks("near") == {"away": "far"} and study.find_tested_tasks("far") == {}
    assert (study.count_partitions("near"), study.tasks["near"].partitions) == (3, 1)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("tasks.near.trials", "crossed", "one a trial; set tasks.near.trials: paired"),
        ("tasks.far.partitions", 4, "there are 4 partitions, 3 seeds (finetunings.default.seeds); make these numbers equal"),
        ("tasks.near.test_also", {"away": "near"}, "near means the test part of a task on away; there is far; name one"),
        ("tasks.near.test_also", {"away": "dev"}, "dev means the test part of a task on away"),
        ("tasks.far.split", {"by": "all"}, "leaves no clip"),
        (
            "tasks.near",
            {**PAIRED["tasks"]["near"], "split": {"by": "fractions"}, "partitions": 2},
            "near, far have 2, 3 partitions; a trial takes the same partition of each",
        ),
        (
            "tasks.near",
            {**PAIRED["tasks"]["near"], "subsets": [8, "full"], "resamplings": 2},
            "there are 3 partitions, 2 draws, 3 seeds",
        ),
    ],
)  # fmt: skip
def test_trials_that_lack_a_partition_a_draw_or_a_seed_are_refused(path: str, value: object, sentence: str) -> None:
    values = copy.deepcopy(PAIRED)
    *folders, key = path.split(".")
    section = values
    for folder in folders:
        section = section[folder]
    section[key] = value
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        load_study(values)


def test_what_is_deterministic_may_have_more_seeds_than_trials() -> None:
    """They decide nothing, and a study leaves them at their default."""
    values = copy.deepcopy(PAIRED)
    values["finetunings"]["svm"] = {"method": "svm", "seeds": [0, 1, 2, 3, 4]}
    assert len(load_study(values).finetunings["svm"].seeds) == 5
    values["finetunings"]["svm"]["seeds"] = [0, 1]
    with pytest.raises(ConfigError, match=re.escape("there are 3 partitions, 2 seeds (finetunings.svm.seeds)")):
        load_study(values)


def test_the_whole_corpus_is_tested_where_all_is_said() -> None:
    values = copy.deepcopy(PAIRED)
    values["tasks"]["near"]["test_also"] = {"away": "all"}
    study = load_study(values)
    assert study.find_tested_tasks("near") == {} and study.count_partitions("near") == 1


def test_a_test_part_is_left_out_with_its_corpus() -> None:
    values = copy.deepcopy(PAIRED)
    values["corpora"]["away"] |= {"optional": True, "root": "nowhere"}
    study = load_study(values)
    assert study.tasks["near"].test_also == {} and study.count_partitions("near") == 1
    assert study.left_out["tasks.near.test_also.away"] == "needs corpus away"


@pytest.mark.parametrize("scope", ["corpus", "speaker"])
def test_vectors_are_z_scored_only_where_there_are_some(scope: str) -> None:
    """Symptom: `normalise` of a fine-tuning of audio was taken, changed nothing, and stood below the table as if it had."""
    study: dict[str, Any] = {
        "study": "x",
        "corpora": {"c": {"importer": "folder", "root": "."}},
        "backbones": {
            "heard": {"architecture": "hubert", "weights": "a/b"},
            "v": {"architecture": "vector", "reads": "egemaps"},
        },
        "tasks": {"t": {"corpus": "c", "classes": ["a", "b"], "split": {"by": "official"}}},
        "finetunings": {"z": {"normalise": scope}},
    }
    with pytest.raises(ConfigError, match=r"finetunings\.z\.normalise: backbone heard reads no vectors"):
        load_study(study)
    study["finetunings"]["z"]["backbones"] = ["v"]
    assert load_study(study).finetunings["z"].normalise == scope
