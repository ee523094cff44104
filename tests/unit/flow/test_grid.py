"""The run grid."""

import pytest
from emoadapt.flow.grid import Run, Setting, batches, runs, settings

from emoadapt.config import Study, load_study

BACKBONE = {"architecture": "hubert", "weights": "facebook/hubert-base-ls960"}


@pytest.fixture
def study() -> Study:
    return load_study(
        {
            "study": "grid",
            "runs_per_job": 4,
            "corpora": {"c": {"importer": "folder", "root": "x"}, "d": {"importer": "folder", "root": "y"}},
            "backbones": {"h": BACKBONE, "g": BACKBONE},
            "adaptations": {"adapted": {"corpora": ["d"], "objectives": {"egemaps": 1}, "backbones": ["h"]}},
            "tasks": {
                "t": {
                    "corpus": "c",
                    "classes": ["a", "b"],
                    "split": {"by": "official"},
                    "subsets": [10, "full"],
                    "resamplings": 2,
                }
            },
            "finetuning": {"seeds": [0, 1, 2]},
        }
    )


def test_settings_are_models_times_subsets(study: Study) -> None:
    models = {setting.model for setting in settings(study)}
    assert models == {"h.original", "h.adapted", "g.original", "handcrafted.egemaps"}
    assert len(settings(study)) == 4 * 2


def test_only_subsets_are_drawn_again(study: Study) -> None:
    assert len(runs(study, Setting("t", "h", "original", "10"), folds=1)) == 2 * 3
    assert len(runs(study, Setting("t", "h", "original", "full"), folds=5)) == 5 * 3


def test_batches_hold_every_run_once(study: Study) -> None:
    setting = Setting("t", "h", "original", "10")
    parts = batches(study, setting, 1)
    assert list(parts) == ["b000", "b001"] and len(parts["b000"]) == 4
    assert sorted(run for part in parts.values() for run in part) == sorted(runs(study, setting, 1))


def test_run_names_are_read_back() -> None:
    run = Run(resampling=3, fold=12, seed=7)
    assert str(run) == "r3f12s7" and Run.parse(str(run)) == run
