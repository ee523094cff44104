"""Check of a whole study: corpora, tasks, adaptations, weights and jobs."""

from __future__ import annotations

import io
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from emoadapt.config.reading import DEMO, DEMO_MEANT
from emoadapt.errors import EmoadaptError, Problem, name_count
from emoadapt.extraction.advice import advise_features
from emoadapt.machine.devices import fit_threads, list_devices
from emoadapt.machine.programs import name_program
from emoadapt.plugins import list_plugins
from emoadapt.study.check.adaptations import check_adaptation
from emoadapt.study.check.augmentations import check_augmentations, list_frozen_notes
from emoadapt.study.check.corpora import check_corpus
from emoadapt.study.check.estimates import estimate_study
from emoadapt.study.check.layers import find_missing_layers
from emoadapt.study.check.listings import Listings
from emoadapt.study.check.tasks import check_task
from emoadapt.study.check.weights import check_weights
from emoadapt.study.graph import Graph

if TYPE_CHECKING:
    from emoadapt.config import Study


class NotReadyError(EmoadaptError):
    """A study that would stop.

    Args:
        problems: all of them.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems, head=f"not ready: {name_count(len(problems), 'problem')} would stop this study:")


def print_check(study: Study, configfiles: Sequence[Path] = ()) -> None:
    """Print corpora, tasks, weights and jobs of a study, estimates, and a verdict.

    Args:
        study: the study.
        configfiles: its files, for the command that the verdict names.

    Raises:
        NotReadyError: something would stop the run; all problems are named.
    """
    problems: list[Problem] = []
    listings, graph, remarks = Listings(study), Graph(study), _Remarks(sys.stdout)
    with redirect_stdout(remarks):
        usable = {name for name in study.corpora if check_corpus(listings, name, problems)}
        for name, task in study.tasks.items():
            if usable >= {*task.corpora}:
                check_task(listings, name, usable, problems)
        for name, adaptation in study.adaptations.items():
            if usable >= set(adaptation.corpora):
                check_adaptation(listings, graph, name, problems)
        check_augmentations(study, problems)
        check_weights(graph, problems)
        problems += find_missing_layers(study)
        if problems:
            raise NotReadyError(problems)
        if study.study == DEMO and not configfiles:
            print(f"note: {DEMO_MEANT}")
        for note in _list_notes(listings, graph):
            print(f"note: {note}")
    jobs, *estimates = estimate_study(graph, listings)
    print(jobs)
    for estimate in estimates:
        print(f"estimate: {estimate}")
    print(f"ready{remarks.describe()}: no problems found. Start it with: {_name_start(study, configfiles)}")


class _Remarks(io.StringIO):
    """Passes text on and counts the lines in it that are notes or leaks.

    Args:
        out: where it is passed on to.
    """

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self.out, self.counts = out, dict.fromkeys(("note", "leak"), 0)

    def write(self, text: str) -> int:
        """Pass a text on."""
        for line in text.splitlines():
            if (kind := line.lstrip().partition(": ")[0]) in self.counts:
                self.counts[kind] += 1
        return self.out.write(text)

    def describe(self) -> str:
        """`, with 2 notes and 1 leak above`; empty where there are none."""
        found = [name_count(number, kind) for kind, number in self.counts.items() if number]
        return f", with {' and '.join(found)} above" if found else ""


def name_command(cores: int, gpus: int, configfiles: Sequence[Path], name: Callable[[str], str] = str) -> str:
    """The command that runs a study from this folder.

    Args:
        cores: of this machine.
        gpus: that the study uses.
        configfiles: its files; none for the demo.
        name: how a program is called; default: by its name.
    """
    snakefile = "" if Path("Snakefile").exists() else f' --snakefile "$({name("emoadapt")} workflow)"'
    words = ["--cores", str(cores), *(["--resources", f"gpu={gpus}"] if gpus else [])]
    return f"{name('snakemake')}{snakefile} {shlex.join([*words, *(['--configfile', *map(str, configfiles)] if configfiles else [])])}"


def _name_start(study: Study, configfiles: Sequence[Path]) -> str:
    gpus = 0 if study.device == "cpu" else len(list_devices())
    return name_command(fit_threads(sys.maxsize), gpus, configfiles, name_program)


def _list_unused(study: Study, graph: Graph) -> Iterator[str]:
    """Name sections that nothing uses, so that their keys change nothing."""
    corpora = {corpus for task in study.tasks.values() for corpus in task.corpora}
    corpora |= {corpus for adaptation in study.adaptations.values() for corpus in adaptation.corpora}
    if not study.features.also:
        yield from (
            f"corpus {name} is used by no task and no adaptation" for name in study.corpora if name not in corpora
        )
    computed = dict(graph.features_in_use())
    for name in list_plugins("features"):
        if name in study.features.model_fields_set and name not in computed:
            yield f"features.{name}: no backbone and no objective reads {name}, so that these keys change nothing"
    adapted = {model.partition(".")[0] for model in graph.adapted_models()}
    trained = {model.backbone for model in study.list_models()} | adapted | study.joined
    yield from (
        f"backbones.{name}: no task and no adaptation trains it" for name in study.backbones if name not in trained
    )
    applied = graph.applied_adaptations()
    yield from (
        f"adaptations.{name}: it is applied to no backbone" for name in study.adaptations if name not in applied
    )


def _list_notes(listings: Listings, graph: Graph) -> list[str]:
    """List notes on the configuration that stop nothing."""
    study = graph.study
    notes = [*list_frozen_notes(graph), *(f"{path} is left out: {why}" for path, why in study.left_out.items())]
    notes += _list_unused(study, graph)
    trainings = {f"adaptations.{name}": a for name, a in study.adaptations.items()}
    trainings |= {f"finetunings.{name}": f for name, f in study.finetunings.items()}
    needing = [key for key, settings in trainings.items() if getattr(settings, "precision", None) == "16-mixed"]
    needing += ["device: cuda"] if study.device == "cuda" else []
    if needing and not list_devices():
        notes.append(f"{', '.join(needing)} needs a GPU, and this machine has none; the machines of the jobs need one")
    if study.keep_models != "adapted":
        notes += [
            f"no model is kept of {sentence.removesuffix('.')}" for sentence in study.list_unkept(study.list_models())
        ]
    return notes + advise_features(study, graph.features_in_use(), listings.read_utterances)
