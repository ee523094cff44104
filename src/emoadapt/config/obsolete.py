"""Obsolete keys of a study, and their replacements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from emoadapt.errors import Change, Problem, Removal

_FINETUNING = {
    "egemaps_baseline": "the baseline is a backbone now: add `backbones: {egemaps: {architecture: vector, reads: egemaps}}`, or "
    "leave it out",
    "egemaps_epochs": "give the backbone egemaps a fine-tuning of its own: `finetunings: {mlp: {backbones: [egemaps], epochs: ...}}` "
    "beside `backbones: {egemaps: {architecture: vector, reads: egemaps}}`; it takes no key from `default`",
    "egemaps_learning_rate": "give the backbone egemaps a fine-tuning of its own: `finetunings: {mlp: {backbones: [egemaps], "
    "learning_rate: ...}}` beside `backbones: {egemaps: {architecture: vector, reads: egemaps}}`; it takes no key from `default`",
    "egemaps_normalise": "it is the key `normalise` of a fine-tuning now, here of the one that trains the backbone egemaps",
    "classical": "a support vector machine is a method now: `backbones: {compare: {architecture: vector, reads: compare_functionals}}`, "
    "with `reads` as `features` was here, and `finetunings: {svm: {method: svm, backbones: [compare]}}`",
}
"""Key of the old section `finetuning` -> what to write."""
_PROBE = {"layers": "layer", "head": "classifier"}
"""Old key of a probe -> its name now."""
_MODELS = {"egemaps": "egemaps.original or egemaps.original.mlp", "classical": "compare.original.svm"}
"""Old name of a model -> a usual new one."""


def explain_obsolete(values: Mapping[str, Any]) -> list[Problem]:
    """A sentence for each key, and each name of a model, that a study can no longer use."""
    return [
        *_explain_features(values.get("features")),
        *_explain_finetuning(values.get("finetuning")),
        *_explain_renamed(values.get("finetunings")),
        *_explain_tasks(values.get("tasks")),
        *_explain_models("tables", values.get("tables")),
        *_explain_models("report", values.get("report")),
    ]


def _explain_features(section: Any) -> Iterator[Problem]:
    frames = section.get("pase_frames") if isinstance(section, Mapping) else None
    if isinstance(frames, Mapping) and "normalise" in frames:
        yield Problem(
            "features.pase_frames.normalise",
            "frames stay as PASE+ gives them, and the objective `acoustic` scales those of each clip; remove the key",
            Removal("features.pase_frames.normalise"),
        )


def _explain_finetuning(section: Any) -> Iterator[Problem]:
    if section is None:
        return
    kept = (
        {key: value for key, value in section.items() if key not in _FINETUNING} if isinstance(section, Mapping) else {}
    )
    yield Problem(
        "finetuning",
        "fine-tunings have names now; write `finetunings: {default: {...}}` with its keys, and with `backbones` "
        "where another fine-tuning is to train the others",
        Change("finetunings", {"default": kept}, "instead of finetuning"),
    )
    for key, advice in _FINETUNING.items():
        if isinstance(section, Mapping) and key in section:
            yield Problem(f"finetuning.{key}", advice, Removal(f"finetuning.{key}"))


def _explain_renamed(sections: Any) -> Iterator[Problem]:
    """Keys of the old section that were taken along into one of the new."""
    for name, section in sections.items() if isinstance(sections, Mapping) else ():
        for key, advice in _FINETUNING.items():
            if isinstance(section, Mapping) and key in section:
                yield Problem(f"finetunings.{name}.{key}", advice, Removal(f"finetunings.{name}.{key}"))
        for key, now in _PROBE.items():
            if isinstance(section, Mapping) and section.get("method") == "probe" and key in section:
                yield Problem(
                    f"finetunings.{name}.{key}",
                    f"of a probe this key is called `{now}` now",
                    Change(f"finetunings.{name}.{now}", section[key], f"instead of {key}"),
                )


def _explain_tasks(section: Any) -> Iterator[Problem]:
    for name, task in section.items() if isinstance(section, Mapping) else ():
        if isinstance(task, Mapping) and "allow_speaker_overlap" in task:
            yield (
                Problem(
                    f"tasks.{name}.allow_speaker_overlap",
                    "write what is accepted, `leaks: {speakers: report, clips: report, development: report}`",
                    Change(
                        f"tasks.{name}.leaks",
                        dict.fromkeys(("speakers", "clips", "development"), "report"),
                        "instead of allow_speaker_overlap",
                    ),
                )
            )


def _explain_models(path: str, value: Any) -> Iterator[Problem]:
    """Names of baselines without a backbone, wherever models are named."""
    last = path.rpartition(".")[2]
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if last == "names" and str(key).startswith("handcrafted."):
                yield from _explain_model(path, str(key))
            yield from _explain_models(f"{path}.{key}", inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _explain_models(path, inner)
    elif isinstance(value, str) and last in ("models", "baseline", "best_of", "each_of"):
        yield from _explain_model(path, value)


def _explain_model(path: str, name: str) -> Iterator[Problem]:
    old = name.removeprefix("handcrafted.")
    if old in _MODELS:
        yield (
            Problem(
                path,
                f"{name} is a backbone of the study now; write <backbone>.<start> (fine-tuning default) or <backbone>.<start>.<finetuning>, such as "
                f"{_MODELS[old]}",
            )
        )
