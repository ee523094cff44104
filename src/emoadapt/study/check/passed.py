"""Checks that run whenever Snakemake starts: those of `emoadapt check`, except weights.

Snakemake starts often, and splitting a large corpus takes seconds. A check that passed is therefore repeated only when something that it
depends on has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from emoadapt.errors import EmoadaptError, Problem
from emoadapt.storage.caches import read_cache, write_cache
from emoadapt.study.check.layers import find_missing_layers
from emoadapt.study.graph import RESULTS, Graph

if TYPE_CHECKING:
    from emoadapt.config import Study
    from emoadapt.study.check.listings import Listings

PASSED = Path(RESULTS, ".cache", "passed")
"""Folder with the state in which each check passed."""


def check_before_run(graph: Graph) -> None:
    """Check corpora, labels, classes, splits, subsets, leaks, held-out clips, augmentations and layers.

    Raises:
        EmoadaptError: all that would stop the study.
    """
    problems = [*_find_unlisted(graph)] or [*_find_changed_problems(graph), *find_missing_layers(graph.study)]
    if problems:
        raise EmoadaptError(problems)


def _find_unlisted(graph: Graph) -> Iterator[Problem]:
    """Why corpora in use cannot be listed."""
    for corpus in dict.fromkeys(corpus for _, corpus in graph.features_in_use()):
        try:
            graph.manifest_state(corpus, "0")
        except EmoadaptError as error:
            yield from error.problems


def _find_changed_problems(graph: Graph) -> Iterator[Problem]:
    """Problems of tasks, adaptations and augmentations that have not passed in their present state."""
    study = graph.study
    listings = cache(lambda: _list_corpora(study))
    for name in study.tasks:
        yield from _repeat(f"tasks/{name}", graph.task_state(name), partial(_check_task, listings, name))
    for name in study.adaptations:
        state = graph.held_out_state(name)
        yield from _repeat(f"adaptations/{name}", state, partial(_check_adaptation, listings, name))
    if augmented := graph.augmentations_state():
        yield from _repeat("augmentations", augmented, partial(_check_augmentations, study))


def _repeat(name: str, state: str, find: Callable[[], list[Problem]]) -> list[Problem]:
    """Run a check unless it passed in this state before; remember that it passed."""
    path = PASSED / f"{name}.json"
    if read_cache(path) == state:
        return []
    if not (problems := find()):
        write_cache(path, state)
    return problems


# Imported where they are needed, since they load polars, which most starts do without.


def _list_corpora(study: Study) -> Listings:
    from emoadapt.study.check.listings import Listings

    return Listings(study)


def _check_task(listings: Callable[[], Listings], name: str) -> list[Problem]:
    from emoadapt.study.check.tasks import find_task_problems

    return find_task_problems(listings(), name)


def _check_adaptation(listings: Callable[[], Listings], name: str) -> list[Problem]:
    from emoadapt.study.check.adaptations import find_adaptation_problems

    return find_adaptation_problems(listings(), name)


def _check_augmentations(study: Study) -> list[Problem]:
    from emoadapt.study.check.augmentations import check_augmentations

    problems: list[Problem] = []
    check_augmentations(study, problems)
    return problems
