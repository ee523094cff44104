"""Obsolete keys of a study, and their replacements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_FINETUNING = {
    "egemaps_baseline": "the baseline is a backbone now: add `backbones: {egemaps: {architecture: vector, reads: egemaps}}`, or "
    "leave it out",
    "egemaps_epochs": "give the backbone egemaps a fine-tuning of its own: `finetunings: {mlp: {backbones: [egemaps], epochs: ...}}`",
    "egemaps_learning_rate": "give the backbone egemaps a fine-tuning of its own: `finetunings: {mlp: {backbones: [egemaps], "
    "learning_rate: ...}}`",
    "egemaps_normalise": "it is the key `normalise` of a fine-tuning now",
    "classical": "a support vector machine is a method now: `backbones: {compare: {architecture: vector, reads: compare_functionals}}` "
    "and `finetunings: {svm: {method: svm, backbones: [compare]}}`",
}
"""Key of the old section `finetuning` -> what to write."""
_MODELS = {"egemaps": "egemaps.original", "classical": "compare.original.svm"}
"""Old name of a model -> a usual new one."""


def explain_obsolete(values: Mapping[str, Any]) -> list[str]:
    """A sentence for each key, and each name of a model, that a study can no longer use."""
    return [
        *_explain_finetuning(values.get("finetuning")),
        *_explain_tasks(values.get("tasks")),
        *_explain_models("tables", values.get("tables")),
    ]


def _explain_finetuning(section: Any) -> Iterator[str]:
    if section is None:
        return
    yield "finetuning: fine-tunings have names now; write `finetunings: {default: {...}}` with its keys"
    for key, advice in _FINETUNING.items():
        if isinstance(section, Mapping) and key in section:
            yield f"finetuning.{key}: {advice}"


def _explain_tasks(section: Any) -> Iterator[str]:
    for name, task in section.items() if isinstance(section, Mapping) else ():
        if isinstance(task, Mapping) and "allow_speaker_overlap" in task:
            yield (
                f"tasks.{name}.allow_speaker_overlap: write what is accepted, "
                "`leaks: {speakers: report, clips: report, development: report}`"
            )


def _explain_models(path: str, value: Any) -> Iterator[str]:
    """Names of baselines without a backbone, wherever a table names models."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _explain_models(f"{path}.{key}", inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _explain_models(path, inner)
    elif isinstance(value, str) and path.rpartition(".")[2] in ("models", "baseline", "best_of", "each_of"):
        old = value.removeprefix("handcrafted.")
        if old in _MODELS:
            yield (
                f"{path}: {value} is a backbone of the study now; write <backbone>.<start> or "
                f"<backbone>.<start>.<finetuning>, such as {_MODELS[old]}"
            )
