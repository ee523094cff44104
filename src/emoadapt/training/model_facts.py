"""Facts of a trained classifier for its model card. Without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from emoadapt.weights.cards import list_terms

if TYPE_CHECKING:
    from emoadapt.inference.inputs import Inputs
    from emoadapt.study.nodes import Run
    from emoadapt.training.jobs import TaskJob
    from emoadapt.training.runs import TaskClips


def describe_model(job: TaskJob, title: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Describe what a classifier has learned from and how it scored, as rows of its model card.

    Args:
        job: that it is of.
        title: heading of the card.
        facts: what it was fitted to and how it was chosen and tested; `fine-tuned on` is the job's, if it is not given.
    """
    card: dict[str, Any] = {
        "title": title,
        "study": job.study.study,
        "starting point": f"{job.backbone}.{job.start}",
        "fine-tuned on": f"{job.task.corpus} ({job.setting.subset} training clips)",
        **facts,
    }
    if job.settings.upstream:
        card["learned from"] = list(job.settings.upstream)
    if adaptation := job.study.adaptations.get(job.start):
        card |= {"Stage-1 corpora": adaptation.corpora, "Stage-1 objectives (weight)": adaptation.objectives}
    return card


def describe_test(job: TaskJob, clips: TaskClips, tested: float | None) -> dict[str, str]:
    """The row of a card that gives a run's score on test clips of the task's own corpus; none without a score."""
    about = f"this run on its fold of {job.task.corpus}; means over runs are in the report"
    return {} if tested is None else {f"test {clips.metric}": f"{tested:.3f} ({about})"}


def describe_target(job: TaskJob, run: Run, clips: TaskClips) -> dict[str, str]:
    """The row of a card about clips that were read without labels; none without a target."""
    if (target := _find_target(job)) is None:
        return {}
    count = len(clips.select(run).unlabelled)
    return {"read without labels": f"{count} clips of {target}; scores there are of adaptation to this corpus"}


def list_licences(job: TaskJob, inputs: Inputs | None) -> list[str]:
    """Sentences on the terms of all that a classifier has learned from, and of what it reads."""
    corpora, objectives = [job.task.corpus, *filter(None, [_find_target(job)])], {}
    for behind in job.study.list_adaptations_behind(job.setting.model):
        objectives |= job.study.adaptations[behind].objectives
        corpora += job.study.adaptations[behind].corpora
    return list_terms(job.study, corpora, objectives, () if inputs is None else inputs.features)


def _find_target(job: TaskJob) -> str | None:
    """Corpus that is read without labels."""
    target = job.task.target if getattr(job.settings, "target", False) else None
    return None if target is None else target.corpus
