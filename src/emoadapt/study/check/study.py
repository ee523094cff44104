"""Check of a whole study: corpora, tasks, adaptations, weights and jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emoadapt.errors import EmoadaptError
from emoadapt.extraction.advice import advise_features
from emoadapt.machine.devices import list_devices
from emoadapt.study.check.adaptations import check_adaptation
from emoadapt.study.check.augmentations import check_augmentations, list_frozen_notes
from emoadapt.study.check.corpora import check_corpus
from emoadapt.study.check.layers import find_missing_layers
from emoadapt.study.check.listings import Listings
from emoadapt.study.check.tasks import check_task
from emoadapt.study.check.weights import check_weights
from emoadapt.study.graph import Graph

if TYPE_CHECKING:
    from emoadapt.config import Study


def print_check(study: Study) -> None:
    """Print corpora, tasks, weights and jobs of a study.

    Raises:
        EmoadaptError: something would stop the run; all problems are named.
    """
    problems: list[str] = []
    listings, graph = Listings(study), Graph(study)
    usable = {name for name in study.corpora if check_corpus(listings, name, problems)}
    for name, task in study.tasks.items():
        if usable >= {task.corpus, *task.test_also}:
            check_task(listings, name, usable, problems)
    for name, adaptation in study.adaptations.items():
        if usable >= set(adaptation.corpora):
            check_adaptation(listings, graph, name, problems)
    check_augmentations(study, problems)
    check_weights(graph, problems)
    problems += find_missing_layers(study)
    if problems:
        raise EmoadaptError(
            f"{len(problems)} problem(s) would stop this study:\n" + "\n".join(f"  {p}" for p in problems)
        )
    for note in _list_notes(listings, graph):
        print(f"note: {note}")
    shards = len(graph.all_features())
    runs = sum(len(graph.run_files(task, "")) for task in study.tasks)
    print(f"jobs: {shards} extraction shards, {len(graph.adapted_models())} adaptations, {runs} fine-tuning jobs")
    print("no problems found")


def _list_notes(listings: Listings, graph: Graph) -> list[str]:
    """List notes on the configuration that stop nothing."""
    study = graph.study
    notes = [*list_frozen_notes(graph), *(f"{path} is left out: {why}" for path, why in study.left_out.items())]
    used = {corpus for task in study.tasks.values() for corpus in (task.corpus, *task.test_also)}
    used |= {corpus for adaptation in study.adaptations.values() for corpus in adaptation.corpora}
    if not study.features.also:
        notes += [f"corpus {name} is used by no task and no adaptation" for name in study.corpora if name not in used]
    trainings = {f"adaptations.{name}": a for name, a in study.adaptations.items()}
    trainings |= {f"finetunings.{name}": f for name, f in study.finetunings.items()}
    needing = [key for key, settings in trainings.items() if getattr(settings, "precision", None) == "16-mixed"]
    needing += ["device: cuda"] if study.device == "cuda" else []
    if needing and not list_devices():
        notes.append(f"{', '.join(needing)} needs a GPU, and this machine has none; the machines of the jobs need one")
    return notes + advise_features(study, graph.features_in_use(), listings.read_utterances)
