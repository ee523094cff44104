"""The text of a proposed study, with a comment for each choice."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emoadapt.errors import name_count, write_value
from emoadapt.listing.names import describe_counts
from emoadapt.study.check.corpora import advise_shards
from emoadapt.study.check.study import name_command
from emoadapt.study.new.classes import list_spellings
from emoadapt.study.new.drafts import Draft
from emoadapt.study.new.encoders import FETCHED
from emoadapt.study.new.machine import Machine
from emoadapt.study.new.page import Page
from emoadapt.study.new.places import find_variables, name_place
from emoadapt.study.new.tasks import TaskDraft

STAND_IN = "encoder"
UNTRAINED = {"hidden_size": 64, "layers": 2, "heads": 4, "intermediate_size": 128}
DESCRIPTORS = "egemaps"
SEEDS = [0, 1, 2]


@dataclass(frozen=True)
class Proposal:
    """All that a study is written from.

    Args:
        name: name of the study.
        output: file to write.
        drafts: its corpora, each with the folder as the person gave it.
        tasks: tasks of the labelled corpora.
        machine: this machine.
    """

    name: str
    output: Path
    drafts: Sequence[tuple[Draft, Path]]
    tasks: Sequence[TaskDraft]
    machine: Machine

    @property
    def unlabelled(self) -> list[Draft]:
        """Corpora for Stage 1."""
        tasked = {task.draft.name for task in self.tasks}
        return [draft for draft, _ in self.drafts if draft.name not in tasked]

    @property
    def encoder(self) -> str:
        """Name of the speech encoder."""
        found = self.machine.encoder
        return STAND_IN if found is None else "".join(c if c.isalnum() else "_" for c in found.stem).lower()

    @property
    def doubts(self) -> list[str]:
        """Sentences that a person must read before the study is run."""
        guesses = [f"{draft.name}: {doubt}" for draft, _ in self.drafts for doubt in draft.doubts]
        warnings = [f"{task.name}: {task.division.warning}" for task in self.tasks if task.division.warning]
        guesses += [f"{task.name}: {doubt}" for task in self.tasks if task.classes for doubt in task.classes.doubts]
        unused = [f"{task.name}: {said}" for task in self.tasks if (said := task.explain_parts())]
        return [*guesses, *unused, *warnings]


def compose(proposal: Proposal) -> str:
    """Write the study."""
    page = Page()
    corpora = Page()
    _write_corpora(corpora, proposal)
    _write_head(page, proposal, corpora.text)
    page.lines += corpora.lines
    _write_features(page, proposal)
    _write_backbones(page, proposal)
    _write_adaptation(page, proposal)
    _write_tasks(page, proposal)
    _write_finetunings(page, proposal)
    return page.text


def _write_head(page: Page, proposal: Proposal, corpora: str) -> None:
    machine = proposal.machine
    page.note(
        "Proposed by `emoadapt new-study`. It runs as it is. Comments say why a value was chosen; all keys: docs/configuration.md."
    )
    if proposal.doubts:
        page.note("LOOK AT THIS, it was guessed or limits what scores mean:")
        for doubt in proposal.doubts:
            page.item(doubt)
        page.lines.append("#")
    page.note("Next:")
    for name in dict.fromkeys([*find_variables(corpora), *find_variables(machine.models_text or "")]):
        page.code(f"export {name}=...")
    page.code(f"emoadapt check --configfile {shlex.quote(str(proposal.output))}")
    page.code(name_command(machine.cores, int(machine.gpu), [proposal.output]))
    page.lines = [line.rstrip() for line in page.lines]
    page.entry(
        "study", proposal.name, why="owns the folder results/ that it runs in; another study needs another folder"
    )
    if machine.gpu:
        page.entry("device", "auto", why="this machine has a GPU, which is used; others compute on their CPU")
    else:
        page.entry("device", "cpu", why="this machine has no GPU; auto: use one where there is one")
        if proposal.unlabelled:
            page.entry("training_threads", machine.cores, why="cores of this machine, for Stage 1")
    if machine.models_text is not None:
        page.entry("models_dir", machine.models_text, why="folder of weights")
    if proposal.tasks:
        page.entry("keep_models", "best", why="classifiers for `emoadapt predict`")
        page.entry("runs_per_job", 10, why="starting a process takes longer than a run on a small corpus")
    page.blank()


def _tunes(machine: Machine) -> bool:
    """Whether a whole encoder is trained."""
    return machine.gpu and machine.encoder is not None


def _write_corpora(page: Page, proposal: Proposal) -> None:
    page.head("corpora")
    for draft, given in proposal.drafts:
        page.head(draft.name, 1)
        page.note(_describe(draft), 2)
        for key, value in draft.section.items():
            page.entry(key, name_place(Path(value), given) if key == "root" else value, 2, draft.why.get(key, ""))
        shards = advise_shards(len(draft.utterances))
        page.entry(
            "shards",
            shards,
            2,
            f"of about {round(len(draft.utterances) / shards)} clips each",
        )
        if not any(utterance.language for utterance in draft.utterances):
            page.code("language: en   # of all clips, if it is one: recognisers and sentiment need it", 2)
    page.blank()


def _describe(draft: Draft) -> str:
    """Clips, speakers and labels of a corpus."""
    speakers = len(draft.speakers)
    counts = Counter(label.label for label in draft.labels if label.label)
    unlabelled = len(draft.labels) - counts.total()
    parts = [
        name_count(len(draft.utterances), "clip"),
        name_count(speakers, "speaker") if speakers else "speakers unknown",
    ]
    parts += [f"labels: {describe_counts(counts)}"] if counts else []
    parts += [f"{name_count(unlabelled, 'clip')} without a label" if counts else "no labels"] if unlabelled else []
    parts += [f"rated for {', '.join(draft.attributes)}"] if draft.attributes else []
    return "; ".join(parts) + "."


def find_face_network(proposal: Proposal) -> str | None:
    """A trained network of faces for Stage 1, if there are pictures and it is here."""
    seen = any(draft.video for draft in proposal.unlabelled)
    return proposal.machine.holds("face embedding") if seen else None


def _write_features(page: Page, proposal: Proposal) -> None:
    network = find_face_network(proposal)
    if network is None:
        return
    detector = "mtcnn" if proposal.machine.has("mtcnn") else "haar"
    page.head("features", 0, "of faces, for Stage 1")
    page.entry(
        "faces",
        {"detector": detector, "fps": 5},
        1,
        "its weights are here" if detector == "mtcnn" else "needs no weights",
    )
    page.entry("face_embedding", {"network": {"file": network}}, 1, "its weights are here")
    page.blank()


def _write_backbones(page: Page, proposal: Proposal) -> None:
    machine = proposal.machine
    page.head("backbones")
    if proposal.tasks:
        descriptors = {"architecture": "vector", "reads": "egemaps_functionals"}
        page.entry(DESCRIPTORS, descriptors, 1, "the classical baseline: 88 functionals, without weights")
    if machine.encoder is not None:
        section = {"architecture": machine.encoder.architecture, "weights": machine.encoder.weights}
        page.entry(proposal.encoder, section, 1, f"pretrained, found here ({machine.encoder.size / 1e6:,.0f} MB)")
    else:
        page.note(
            "UNTRAINED: no weights of a speech encoder that fits this machine were found, so a small random one stands in. The chain runs, "
            f"and the report names it as untrained: its scores say nothing of pretrained models. For a real one run `emoadapt models fetch {FETCHED} "
            f"--configfile {shlex.quote(str(proposal.output))}`, and write this in place of the line below:",
            1,
        )
        page.code(f"{STAND_IN}: {write_value({'architecture': 'whisper', 'weights': FETCHED})}", 1)
        page.entry(STAND_IN, {"architecture": "whisper", "untrained": UNTRAINED}, 1)
    if machine.larger:
        page.note(f"Also here, and slow without a GPU: {', '.join(machine.larger)}.", 1)
    page.blank()


def _write_adaptation(page: Page, proposal: Proposal) -> None:
    names = [draft.name for draft in proposal.unlabelled]
    if not names:
        return
    network = find_face_network(proposal)
    objectives = {"egemaps": 1.0} | ({"face": 1.0} if network else {})
    page.head("adaptations", 0, "Stage 1, without labels")
    page.head("adapted", 1)
    page.entry("corpora", names, 2, "the corpora without labels")
    page.entry("objectives", objectives, 2, "what the encoder learns to predict from speech")
    if any(draft.video for draft in proposal.unlabelled) and not network:
        page.code("face: 1.0        # needs the networks of `emoadapt models fetch mtcnn enet_b2_8`", 2)
    page.code("sentiment: 0.5   # needs a recogniser and English, or XLM-RoBERTa: docs/models.md", 2)
    if not proposal.machine.gpu:
        page.entry("epochs", 3, 2, "few, since this machine has no GPU; leave it out for the paper's number")
        page.entry("batch_size", 8, 2)
    if proposal.machine.encoder is None:
        page.entry("learning_rate", 1e-3, 2, "of a random model; leave it out for a pretrained one")
    page.blank()


def _write_tasks(page: Page, proposal: Proposal) -> None:
    if not proposal.tasks:
        page.note(
            "No corpus has labels, so nothing is scored: Stage 1 alone runs, and its model is kept in results/models/. Add a labelled corpus with "
            "`emoadapt new-study UNLABELLED LABELLED`."
        )
        return
    page.head("tasks")
    for task in proposal.tasks:
        page.head(task.name, 1)
        section = task.section()
        why = _explain_task(task)
        for key, value in section.items():
            page.entry(key, value, 2, why.get(key, ""))
        if others := _list_related(task, proposal.tasks):
            page.code(f"test_also: [{', '.join(others)}]   # has all of these classes: how well a model transfers", 2)
    page.blank()


def _explain_task(task: TaskDraft) -> dict[str, str]:
    why = {"split": task.division.why, "leaks": "the parts share speakers, or these are unknown: reported, not refused"}
    if task.refused:
        why["split"] += f". Refused before it: {'; '.join(dict.fromkeys(task.refused))}"
    if task.classes is None:
        return why | {"attributes": "ratings of the table; regression, scored by the CCC"}
    dropped = "; ".join(f"{label}: {reason}" for label, reason in task.classes.dropped.items())
    why |= {
        "classes": f"clips of each: {task.classes.describe()}",
        "class_map": "the corpus's word: the name that all corpora share",
    }
    if spellings := list_spellings(task.classes):
        why["class_map"] += f"; {'; '.join(spellings)}"
    return why | {"other_labels": f"left out, and counted in the report: {dropped}"}


def _list_related(task: TaskDraft, tasks: Sequence[TaskDraft]) -> list[str]:
    """Corpora of other tasks that have all classes of a task."""
    classes = set(task.classes.names) if task.classes else set()
    return [o.draft.name for o in tasks if classes and o is not task and o.classes and classes <= set(o.classes.names)]


def _write_finetunings(page: Page, proposal: Proposal) -> None:
    if not proposal.tasks:
        return
    page.head("finetunings", 0, "what is trained on the tasks")
    if any(task.classes for task in proposal.tasks):
        _write_machines(page, proposal)
    if rated := [task.name for task in proposal.tasks if task.attributes]:
        _write_regressions(page, proposal, rated)
    tuned = {"backbones": [proposal.encoder], "seeds": SEEDS}
    if _tunes(proposal.machine):
        page.entry("finetune", tuned, 1, "the whole encoder, which needs the GPU; three seeds")
    else:
        why = "the whole encoder, if it is pretrained: on a machine with a GPU"
        page.code(f"finetune: {write_value(tuned)}   # {why}", 1)


def _write_machines(page: Page, proposal: Proposal) -> None:
    """Trainings with one solution, which predict classes."""
    choose = {"choose_by": "dev"} if any(task.division.by_dev for task in proposal.tasks) else {}
    if choose:
        page.note("choose_by: dev, since inner folds need to know the speakers.", 1)
    svm = {"method": "svm", "backbones": [DESCRIPTORS], "c": [0.1, 1.0, 10.0], **choose, "train_on_dev": True}
    page.entry("svm", svm, 1, "on descriptors, in seconds; each run chooses c without its test clips")
    layer = {"classifier": "logistic", "layer": "best", "c": [0.01, 0.05, 0.25], **choose, "train_on_dev": True}
    why = "on one layer of the frozen encoder, which each run chooses: a good start without a GPU"
    page.entry("probe", {"method": "probe", "backbones": [proposal.encoder], **layer}, 1, why)


def _write_regressions(page: Page, proposal: Proposal, rated: Sequence[str]) -> None:
    """Trainings that predict attributes."""
    head = {"backbones": [DESCRIPTORS], "tasks": rated, "seeds": SEEDS, "epochs": 100, "learning_rate": 1e-3}
    page.entry("regression", head, 1, "a head of two layers on descriptors, three seeds")
    probe = {"method": "probe", "backbones": [proposal.encoder], "tasks": rated, "seeds": SEEDS}
    page.entry("regression_probe", probe, 1, "a linear layer on the layers of the frozen encoder")
