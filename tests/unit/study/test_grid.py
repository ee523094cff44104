"""The run grid."""

import pytest

from emoadapt.config import Study, load_study
from emoadapt.study.grid import batches, count_gpus, list_runs
from emoadapt.study.nodes import Model, Run, Setting

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
            "finetunings": {
                "default": {"seeds": [0, 1, 2]},
                "machine": {"method": "svm", "starts": ["original"], "seeds": [4, 5], "subsets": ["full"]},
            },
        }
    )


TEN = Setting("t", Model("h"), "10")


def test_settings_are_models_times_subsets(study: Study) -> None:
    models = {str(setting.model) for setting in study.list_settings()}
    tuned = {"h.original", "h.adapted", "g.original"}
    assert models == tuned | {"h.original.machine", "g.original.machine"}
    assert len(study.list_settings()) == 3 * 2 + 2, "what names its subsets is trained with those alone"


def test_only_subsets_are_drawn_again(study: Study) -> None:
    assert len(list_runs(study, TEN, folds=1)) == 2 * 3
    assert len(list_runs(study, Setting("t", Model("h"), "full"), folds=5)) == 5 * 3


def test_what_is_deterministic_has_the_first_seed_only(study: Study) -> None:
    runs = list_runs(study, Setting("t", Model("h", finetuning="machine"), "full"), folds=3)
    assert runs == [Run(0, fold, 0, 4) for fold in range(3)]


def test_every_partition_has_all_folds_draws_and_seeds(study: Study) -> None:
    task = study.tasks["t"].model_copy(update={"partitions": 2})
    study = study.model_copy(update={"tasks": {"t": task}})
    runs = list_runs(study, TEN, folds=3)
    assert len(set(runs)) == len(runs) == 2 * 3 * 2 * 3
    assert {run.partition for run in runs} == {0, 1}
    assert [run.partition for run in runs] == sorted(run.partition for run in runs), "partitions vary slowest"


def pair(study: Study, **task: object) -> Study:
    """The study with paired trials, three seeds, and two for the machine."""
    changed = study.tasks["t"].model_copy(update={"trials": "paired", "resamplings": 1} | task)
    return study.model_copy(update={"tasks": {"t": changed}})


@pytest.mark.parametrize(
    ("task", "trials"),
    [
        ({}, [(0, 0, 0), (0, 0, 1), (0, 0, 2)]),
        ({"partitions": 3}, [(0, 0, 0), (1, 0, 1), (2, 0, 2)]),
        ({"resamplings": 3}, [(0, 0, 0), (0, 1, 1), (0, 2, 2)]),
        ({"partitions": 3, "resamplings": 3}, [(0, 0, 0), (1, 1, 1), (2, 2, 2)]),
    ],
)
def test_a_paired_trial_takes_one_of_each(
    study: Study, task: dict[str, int], trials: list[tuple[int, int, int]]
) -> None:
    runs = list_runs(pair(study, **task), TEN, folds=2)
    assert runs == [Run(p, fold, r, s) for p, r, s in trials for fold in range(2)]


def test_a_paired_trial_of_the_whole_training_part_has_no_draw(study: Study) -> None:
    whole = Setting("t", Model("h"), "full")
    assert list_runs(pair(study, resamplings=3), whole, 1) == [Run(0, 0, 0, seed) for seed in range(3)]


def test_what_is_deterministic_shares_partition_and_seed_with_the_others(study: Study) -> None:
    """Else no pair of runs would be left to test it against a trained model."""
    machine = Setting("t", Model("h", finetuning="machine"), "full")
    assert list_runs(pair(study, partitions=2), machine, 1) == [Run(0, 0, 0, 4), Run(1, 0, 0, 5)]
    assert list_runs(pair(study), machine, 1) == [Run(0, 0, 0, 4)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"trials": "paired", "partitions": 4}, {"trials": "paired", "partitions": 5}),
        ({"partitions": 1}, {"partitions": 2}),
        ({"partitions": 4}, {"partitions": 5}),
    ],
)
def test_one_more_partition_changes_no_full_batch(study: Study, before: dict, after: dict) -> None:
    """Symptom: seeds varied slowest, so every batch was another and all was trained again."""

    def divide(task: dict) -> dict[str, list[Run]]:
        seeds = range(task["partitions"] if "trials" in task else 5)
        finetunings = {"default": study.finetunings["default"].model_copy(update={"seeds": tuple(seeds)})}
        tasks = {"t": study.tasks["t"].model_copy(update={"resamplings": 1} | task)}
        return batches(study.model_copy(update={"tasks": tasks, "finetunings": finetunings}), TEN, 1)

    old, new = divide(before), divide(after)
    assert all(new[name] == runs for name, runs in old.items()) and len(new) > len(old)
    assert len({run for runs in new.values() for run in runs}) == sum(map(len, new.values()))


def divide(study: Study, partitions: int, seeds: list[int]) -> dict[str, list[Run]]:
    """Batches of at most four crossed trials."""
    finetunings = {"default": study.finetunings["default"].model_copy(update={"seeds": tuple(seeds)})}
    tasks = {"t": study.tasks["t"].model_copy(update={"resamplings": 1, "partitions": partitions})}
    return batches(study.model_copy(update={"tasks": tasks, "finetunings": finetunings}), TEN, 1)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((8, 1), (8, 2)),
        ((9, 1), (9, 3)),
        ((8, 2), (9, 2)),
        ((1, 4), (1, 5)),
        ((3, 4), (3, 6)),
        ((9, 5), (9, 6)),
        ((3, 1), (4, 5)),
    ],
)
def test_one_more_seed_or_partition_changes_no_full_batch(
    study: Study, before: tuple[int, int], after: tuple[int, int]
) -> None:
    """Symptom: a second seed for each of many partitions trained all first seeds again."""
    old, new = (divide(study, partitions, [*range(seeds)]) for partitions, seeds in (before, after))
    full = {name: runs for name, runs in old.items() if len(runs) == study.runs_per_job}
    assert all(new[name] == runs for name, runs in full.items())
    assert {run for runs in old.values() for run in runs} <= {run for runs in new.values() for run in runs}


def test_the_order_of_seeds_decides_nothing_unless_they_are_paired(study: Study) -> None:
    for partitions in (1, 3, 8):
        assert divide(study, partitions, [2, 0, 1]) == divide(study, partitions, [0, 1, 2])
    turned = study.finetunings["default"].model_copy(update={"seeds": (2, 0, 1)})
    study = study.model_copy(update={"finetunings": {"default": turned}})
    assert [run.seed for run in list_runs(pair(study), TEN, 1)] == [0, 1, 2]
    assert [run.seed for run in list_runs(pair(study, partitions=3), TEN, 1)] == [2, 0, 1]


def test_batches_hold_every_run_once(study: Study) -> None:
    parts = batches(study, TEN, 1)
    assert list(parts) == ["b000", "b001"] and len(parts["b000"]) == 4
    assert sorted(run for part in parts.values() for run in part) == sorted(list_runs(study, TEN, 1))


def test_only_what_trains_a_backbone_asks_for_a_gpu(study: Study) -> None:
    study = study.model_copy(update={"gpus_per_job": 2})
    assert (count_gpus(study), count_gpus(study, TEN)) == (2, 2)
    assert count_gpus(study, Setting("t", Model("h", finetuning="machine"), "full")) == 0
    assert count_gpus(study.model_copy(update={"device": "cpu"}), TEN) == 0
