"""The command `emoadapt new-study`."""

from __future__ import annotations

import io
import shlex
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path

from emoadapt.config import Study, read_study
from emoadapt.config.reading import DEMO
from emoadapt.errors import ConfigError, DataError, EmoadaptError, name_count
from emoadapt.machine.owner import refuse_other_study
from emoadapt.machine.programs import name_program
from emoadapt.study.check.study import print_check
from emoadapt.study.new.classes import list_confounded
from emoadapt.study.new.composing import Proposal, compose
from emoadapt.study.new.drafts import Draft, Wishes, name_plainly
from emoadapt.study.new.folders import find_corpora
from emoadapt.study.new.machine import look_at_machine
from emoadapt.study.new.questions import ask_folder
from emoadapt.study.new.tasks import TaskDraft, propose_tasks
from emoadapt.study.plan.sizes import measure_corpora
from emoadapt.study.plan.work import count_work, plan_study

TAKEN = ("all", "test", "word_errors")
"""Names that a task must not have."""


def run_new_study(
    folders: Sequence[Path],
    wishes: Wishes,
    *,
    output: Path | None = None,
    name: str | None = None,
    models_dir: Path | None = None,
    force: bool = False,
) -> None:
    """Look at folders, write a study for them, check it, and print what was found.

    Args:
        folders: of media, one or several.
        wishes: what the person wants.
        output: file to write; None: named by the study.
        name: of the study; None: named by its corpora.
        models_dir: folder of weights.
        force: replace files.

    Raises:
        EmoadaptError: a folder cannot be used, a file is there already, or the study does not pass.
    """
    folders = folders or list(filter(None, [ask_folder(wishes)]))
    if not folders:
        raise ConfigError("new-study needs the folder of your clips: emoadapt new-study FOLDER")
    _refuse_nested(folders)
    drafts = [(draft, folder) for folder in folders for draft in find_corpora(folder, wishes)]
    _name_drafts([draft for draft, _ in drafts])
    study = _name_study(name, [draft for draft, _ in drafts])
    output = output or Path(f"{study}.yaml")
    _refuse_existing(output, force)
    tasks = _propose_tasks([draft for draft, _ in drafts], output, force)
    proposal = Proposal(study, output, drafts, tasks, look_at_machine(models_dir))
    output.write_text(compose(proposal), encoding="utf-8")
    print("\n".join(_describe(proposal)))
    checked = read_study([output])
    _check(checked, output)
    print("\n".join(_describe_cost(checked)))
    print("\n".join(_describe_next(proposal)))


def _refuse_nested(folders: Sequence[Path]) -> None:
    """Refuse a folder that is another one, or lies in it: its clips would be in two corpora."""
    real = [folder.resolve() for folder in folders]
    for place, inner in enumerate(real):
        for other, outer in enumerate(real):
            if place != other and inner.is_relative_to(outer):
                how = "is the same folder as" if inner == outer else "lies in"
                raise ConfigError(
                    f"{folders[place]} {how} {folders[other]}, so that its clips would be in two corpora; name each folder once"
                )


def _name_drafts(drafts: Sequence[Draft]) -> None:
    """Give each corpus a name of its own, and list it under that name."""
    taken: set[str] = set()
    for draft in drafts:
        plain = f"{draft.name}_corpus" if draft.name in TAKEN else draft.name
        number = 1
        name = plain
        while name in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name)
        if name != draft.name:
            draft.name = name
            draft.read()


def _name_study(name: str | None, drafts: Sequence[Draft]) -> str:
    plain = name or "_".join(draft.name for draft in drafts[:3])
    if name is not None and name_plainly(name) != name.lower():
        raise ConfigError(f"--name {name}: a name has letters, digits and underscores, and begins with a letter")
    return f"{plain}_study" if plain == DEMO else plain


def _refuse_existing(output: Path, force: bool) -> None:
    if output.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--output {output}: a study is a YAML file; write {output.with_suffix('.yaml')}")
    if output.exists() and not force:
        raise ConfigError(f"{output} is there already; add --force to replace it, or choose another --output")
    if not output.parent.is_dir():
        raise ConfigError(f"--output {output}: there is no folder {output.parent}; make it first")


def _propose_tasks(drafts: Sequence[Draft], output: Path, force: bool) -> list[TaskDraft]:
    tasks = []
    for draft in drafts:
        if draft.labelled:
            found = propose_tasks(draft, output.with_name(f"{output.stem}_{draft.name}_parts.csv"), force=force)
            tasks += found
            draft.doubts += [line for task in found if task.classes for line in list_confounded(draft, task.classes)]
            if not found:
                draft.doubts.append(
                    "all labels are the same, so that there is nothing to tell apart: it is used without labels"
                )
    return tasks


def _describe(proposal: Proposal) -> Iterator[str]:
    """Lines about what was found and chosen."""
    for draft, _ in proposal.drafts:
        use = "labelled, for Stage 2" if draft not in proposal.unlabelled else "without labels, for Stage 1"
        speakers = name_count(len(draft.speakers), "speaker") if draft.speakers else "speakers unknown"
        clips = name_count(len(draft.utterances), "clip")
        yield f"corpus {draft.name}: importer {draft.section['importer']}, {clips}, {speakers}; {use}"
        yield f"  {'; '.join(draft.found)}"
        if not draft.labelled:
            yield "  no labels were found; --label says where they are"
    for task in proposal.tasks:
        asked = task.classes.describe() if task.classes else ", ".join(task.attributes)
        yield f"task {task.name}: {asked}"
        for label, why in (task.classes.dropped if task.classes else {}).items():
            yield f"  left out: {label} ({why})"
        yield f"  split {task.division.split['by']}: {task.division.why}"
    encoder = proposal.machine.encoder
    if encoder is None:
        yield "encoder: none found that fits this machine; an UNTRAINED one stands in (the file says how to fetch a real one)"
    else:
        yield f"encoder: {encoder.weights}, pretrained, in {proposal.machine.models_dir}"
    for doubt in proposal.doubts:
        yield f"LOOK AT THIS: {doubt}"


def _check(study: Study, output: Path) -> None:
    """Check the study as `emoadapt check` does.

    Raises:
        EmoadaptError: it does not pass.
    """
    try:
        with redirect_stdout(io.StringIO()):
            print_check(study)
    except EmoadaptError as error:
        raise EmoadaptError(f"{output} was written, and has to be corrected before it runs: {error}") from None


def _describe_cost(study: Study) -> Iterator[str]:
    """Hours of media, jobs and trainings, as `emoadapt plan` counts them."""
    sizes = measure_corpora(study, {}, {})
    hours = [size.seconds / 3600 for size in sizes.values() if size.seconds is not None]
    media = f"{sum(hours):.2f} hours of media" if hours else "unknown length"
    yield f"cost: {media}; {count_work(plan_study(study, sizes))} (emoadapt plan --calibrate: hours)"


def _describe_next(proposal: Proposal) -> Iterator[str]:
    """What was written, and the next command as the last line."""
    yield f"wrote {proposal.output}, which passes emoadapt check; its comments say why each value was chosen"
    try:
        refuse_other_study(Path("results"), proposal.name)
    except DataError as error:
        yield f"LOOK AT THIS: {error}"
    for task in proposal.tasks:
        if task.division.table:
            yield f"wrote {task.division.split['file']}, the parts of task {task.name}"
    yield "Next:"
    yield f"{name_program('emoadapt')} check --configfile {shlex.quote(str(proposal.output))}"
