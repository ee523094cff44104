"""Names of tasks and classes of targets."""

import pytest

from emoadapt.data.class_names import name_class, name_task, read_names
from emoadapt.faces.action_units import EMOTIONS
from emoadapt.objectives.base import Classes, Level, load_objective
from emoadapt.plugins import list_plugins, read_declaration
from emoadapt.schema import SENTIMENTS


def test_names_are_those_of_the_features() -> None:
    assert read_names("action_units") == ((), EMOTIONS)
    assert read_names("sentiment") == ((), tuple(SENTIMENTS))


@pytest.mark.parametrize(
    "objective", [name for name in list_plugins("objectives") if read_declaration("objectives", name, "FEATURE")]
)
def test_every_objective_of_classes_names_them(objective: str) -> None:
    loaded = load_objective(objective)
    levels, classes = read_names(objective)
    assert (bool(levels), bool(classes)) == (isinstance(loaded, Level), isinstance(loaded, Classes))


def test_tasks_and_classes_without_a_name_have_a_number() -> None:
    assert [name_task("landmark_motion", number) for number in range(3)] == [
        "motion of the upper face",
        "motion of the lower face",
        "3",
    ]
    assert [name_class("landmark_motion", number) for number in range(2)] == ["not above", "above"]
    assert (name_task("egemaps", 0), name_task("egemaps", 1), name_class("egemaps", 4)) == ("", "2", "class 4")
    assert name_class("action_units", 9) == "class 9"
