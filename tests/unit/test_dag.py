"""What the Snakefile asks: light, and right where counting is easy to get wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from emoadapt import schema
from emoadapt.config import load_study
from emoadapt.dag import Graph
from emoadapt.features import catalogue
from emoadapt.flow import code

ROOT = Path(__file__).parents[2]


def test_neither_the_snakefile_nor_the_help_loads_a_heavy_library() -> None:
    text = (
        "import sys, emoadapt.cli, emoadapt.dag, yaml\n"
        "from emoadapt.config import load_study\n"
        "graph = emoadapt.dag.Graph(load_study(yaml.safe_load(open('config.yaml'))))\n"
        "graph.list_corpora(); [graph.recipe(f) for f, _ in graph.features_in_use()]; graph.stage1_code('adapted')\n"
        "print([m for m in ('torch', 'transformers', 'lightning', 'cv2', 'polars', 'opensmile') if m in sys.modules])"
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
                "backbones": {"h": {"architecture": "hubert", "weights": "some/hubert"}},
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


def test_an_objective_without_its_modality_is_no_input(graph: Graph) -> None:
    inputs = graph.training_inputs("egemaps+face", "d", "000")
    assert [path.split("/")[2] for path in inputs] == ["audio", "egemaps"]
    assert ("faces", "d") not in graph.features_in_use() and ("faces", "c") in graph.features_in_use()


def test_adaptations_share_shards_only_with_the_same_objectives(graph: Graph) -> None:
    """Symptom: one more adaptation with another objective made the training shards of all others stale."""
    assert graph.objective_sets() == ["egemaps", "egemaps+face"]
    assert graph.training_shards("one")[0] == "results/training/egemaps/c/000.parquet"


def test_only_what_a_stage_reads_is_in_its_state(graph: Graph) -> None:
    def changed(path: str, value: object) -> Graph:
        section, key = path.split(".")
        values = graph.study.model_dump(mode="json", exclude_unset=True)
        values.setdefault(section, {})[key] = value
        return Graph(load_study(values))

    handcrafted = changed("finetuning.egemaps_epochs", 3)
    assert handcrafted.stage2_state("t", "h") == graph.stage2_state("t", "h")
    assert handcrafted.stage2_state("t", "handcrafted") != graph.stage2_state("t", "handcrafted")
    tuned = changed("finetuning.epochs", 3)
    assert tuned.stage2_state("t", "h") != graph.stage2_state("t", "h")
    assert tuned.stage2_state("t", "handcrafted") == graph.stage2_state("t", "handcrafted")
    seeds = changed("finetuning.seeds", [0, 1])
    assert seeds.stage2_state("t", "h") == graph.stage2_state("t", "h")
    assert graph.resamplings("t", "full") == 1 and graph.resamplings("t", "10") == 3


def test_one_more_seed_leaves_full_batches_as_they_are(graph: Graph) -> None:
    """Symptom: seeds varied fastest, so every batch was another."""
    before = graph.batches("t", "h", "original", "full")
    values = graph.study.model_dump(mode="json", exclude_unset=True) | {"finetuning": {"seeds": [0, 1, 2, 3, 4, 5]}}
    after = Graph(load_study(values)).batches("t", "h", "original", "full")
    assert all(after[name] == runs for name, runs in before.items() if len(runs) == graph.study.runs_per_job)


def closure(*modules: str) -> set[str]:
    """Modules of this package that a digest covers."""
    seen: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        source = code._source(name)
        if source is None or name in seen or name in code.DECLARATIONS:
            continue
        seen.add(name)
        waiting += code._read_module(name, source)[1]
    return seen


def test_the_cached_cnn_depends_on_the_code_that_computes_it() -> None:
    """Symptom: an extractor that is given its backbone does not import it, so a mended backbone left old frames."""
    assert {"emoadapt.features.cnn", "emoadapt.models.backbones"} <= closure(*catalogue.CNN_MODULES)


def test_training_does_not_depend_on_the_report_or_the_dag() -> None:
    found = closure("emoadapt.training.stage1", "emoadapt.training.stage2")
    assert {"emoadapt.models.backbones", "emoadapt.data.clips"} <= found
    assert not {
        name
        for name in found
        if name.startswith(("emoadapt.reporting", "emoadapt.evaluation", "emoadapt.dag", "emoadapt.cli"))
    }


def test_the_catalogue_agrees_with_the_extractors() -> None:
    """The Snakefile reads the catalogue, a job the class: both name the upstream tables."""
    for name, entry in catalogue.FEATURES.items():
        extractor = catalogue.load_extractor_class(name)
        assert tuple(extractor.inputs) == entry.inputs, name
        assert extractor.table is schema.FEATURES[name], name


def test_no_feature_depends_on_another() -> None:
    for name, entry in catalogue.FEATURES.items():
        others = {other.module for key, other in catalogue.FEATURES.items() if key != name}
        assert not closure(entry.module) & others, name
