"""Runs that changed: since another folder of results, or since the scores of this one were computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from emoadapt.errors import DataError
from emoadapt.flow.claims import digest_inputs, explain_change, name_parts
from emoadapt.storage.caches import read_cache
from emoadapt.storage.folders import CONTENTS, verify_folder
from emoadapt.storage.footers import Statement, read_statement
from emoadapt.storage.identities import read_claim, read_identity
from emoadapt.study.nodes import Model
from emoadapt.terminal.results.folder import Results


@dataclass(frozen=True)
class Changes:
    """Batches of runs of two folders, `<task>/<model>/<subset>/<batch>`.

    Args:
        same: those with the same predictions.
        changed: those with others -> why, in words.
        only_here: those that the other folder lacks.
        only_there: those that this folder lacks.
    """

    same: list[str]
    changed: dict[str, str]
    only_here: list[str]
    only_there: list[str]

    def describe(self) -> list[str]:
        """A line for each change, and their sum."""
        counts = {
            "with the same predictions": self.same,
            "changed": self.changed,
            "only here": self.only_here,
            "only there": self.only_there,
        }
        words = ", ".join(f"{len(found)} {name}" for name, found in counts.items() if found) or "none in either folder"
        return [
            f"runs, in batches: {words}",
            *(f"  {batch}: {why}" for batch, why in self.changed.items()),
            *(f"  {batch}: only here" for batch in self.only_here),
            *(f"  {batch}: only there" for batch in self.only_there),
        ]


def find_changes(here: Results, there: Results) -> Changes:
    """Compare the predictions of all runs by the digests that they state; none is read."""
    mine, theirs = _read_statements(here), _read_statements(there)
    both = [name for name in mine if name in theirs]
    changed = {
        name: _explain(here, there, mine[name], theirs[name])
        for name in both
        if mine[name].identity != theirs[name].identity
    }
    same = [name for name in both if name not in changed]
    return Changes(same, changed, [n for n in mine if n not in theirs], [n for n in theirs if n not in mine])


def _read_statements(results: Results) -> dict[str, Statement]:
    runs = results.path / "runs"
    return {b.relative_to(runs).as_posix(): read_statement(b / "predictions.parquet") for b in results.list_batches()}


def _explain(here: Results, there: Results, mine: Statement, theirs: Statement) -> str:
    """Why predictions differ, as far as their claims tell: from there to here."""
    if mine.claim is None or theirs.claim is None:
        return "other predictions, which do not state what they were made from"
    if mine.claim.made == theirs.claim.made:
        made_from = "made from other inputs, such as clips, labels, splits or weights"
        return made_from if mine.claim.inputs != theirs.claim.inputs else "made from the same, and with other numbers"
    for results, claim in ((here, mine.claim), (there, theirs.claim)):
        _learn_parts(results.path / ".cache/made" / f"{claim.made}.json")
    return explain_change(theirs.claim.made, mine.claim.made)


def _learn_parts(path: Path) -> None:
    """Let `explain_change` know the parts of a digest, which a run keeps in its own folder."""
    found = read_cache(path)
    if isinstance(found, dict) and all(isinstance(value, str) for value in found.values()):
        name_parts(tuple(found.items()))


def list_outdated(results: Results) -> list[str]:
    """Say which tables and scores are not those of the runs that lie in the folder, by the digests that they state."""
    problems = []
    try:
        if (results.path / "tables" / CONTENTS).is_file():
            verify_folder(results.path / "tables", whole=True)
    except DataError as error:
        problems.append(f"tables: {error}")
    for task in sorted(path.name for path in (results.path / "runs").glob("*")):
        try:
            problem = _find_difference(results, task)
        except DataError as error:
            problem = str(error)
        problems += [f"{task}: {problem}"] if problem else []
    return problems


def _find_difference(results: Results, task: str) -> str | None:
    """Why the scores of a task are not those of its runs; None if they are."""
    scores = results.read_scores(task)
    if scores is None:
        return "its runs have not been scored yet; run snakemake"
    claim = read_claim(results.path / "metrics" / f"{task}.parquet")
    settings = scores.select("subset", *Model._fields).unique().rows()
    wanted = [(str(Model(*model)), subset) for subset, *model in settings]
    batches = [batch for model, subset in wanted for batch in results.list_batches(task, model, subset)]
    found = Counter((batch.parent.parent.name, batch.parent.name) for batch in batches)
    if lost := [f"{model}/{subset}" for model, subset in sorted(wanted) if (model, subset) not in found]:
        return f"the runs of {', '.join(lost)} are not in this folder, and its scores are"
    if claim is None:
        return None  # not made by a rule, so that nothing is stated
    paths = [batch / name for batch in batches for name in ("predictions.parquet", "embeddings.parquet")]
    paths += [results.path / "splits" / task / f"{number}.parquet" for number in sorted(set(scores["partition"]))]
    if not all(path.is_file() for path in paths):
        return "embeddings or splits that its scores were computed from are missing; run snakemake"
    places: Mapping[str, Path] = {f"results/{path.relative_to(results.path).as_posix()}": path for path in paths}
    if digest_inputs(places, "", lambda name: read_identity(places[name])) == claim.inputs:
        return None
    return "its runs have changed since its scores were computed, or more were added; run snakemake"
