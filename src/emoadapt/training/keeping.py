"""Classifiers on frozen layers, or on descriptors, kept as model folders by `keep_models`.

A job that keeps none does not import this module, and its digest does not cover it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from emoadapt.backbones.base import load_backbone
from emoadapt.inference.classifier import EmotionClassifier, build_from_weights
from emoadapt.inference.inputs import describe_inputs
from emoadapt.layers.frozen import FrozenLayers
from emoadapt.layers.heads import ScaledHead
from emoadapt.layers.settings import TRAINING
from emoadapt.storage.files import force_to_disk, replace_folder
from emoadapt.storage.folders import read_contents
from emoadapt.training.model_facts import describe_model, describe_test, list_licences
from emoadapt.training.probing import LayerProbe
from emoadapt.training.states import load_object, save_object

if TYPE_CHECKING:
    from emoadapt.study.nodes import Run
    from emoadapt.training.choices import Candidate
    from emoadapt.training.jobs import TaskJob
    from emoadapt.training.machines import Chosen, Fitted, Reading
    from emoadapt.training.runs import RunClips, TaskClips

HEADS = "heads.pt"
"""File of the heads that are kept, beside the runs of a job that was killed."""


class FrozenKeeper:
    """Keeps classifiers on a frozen backbone.

    The heads are held until all runs are done. The backbone is then loaded once, and folders of one job share its files.

    Args:
        job: of the runs.
        clips: of its task.
    """

    def __init__(self, job: TaskJob, clips: TaskClips) -> None:
        self.job, self.clips = job, clips
        self.kept: list[dict[str, Any]] = []
        self._changed = False

    def keep_run(
        self, run: Run, part: RunClips, fitted: Fitted, reading: Reading, chosen: Chosen, dev: float | None
    ) -> None:
        """Keep the classifier of a run; `dev` is its score on the dev part, None where that was trained on."""
        own = part.test["corpus"] == self.job.task.corpus
        tested = self.clips.score(part.test.filter(own), fitted.outputs[own.to_numpy()])
        facts = {} if chosen.score is None else {"chosen": self._describe_choice(chosen.candidate.name, chosen.score)}
        facts |= {} if dev is None else {f"dev {self.clips.metric}": f"{dev:.3f}"}
        facts |= describe_test(self.job, self.clips, tested)
        self.keep(self.job.setting.name(run), chosen.candidate, fitted, reading, facts)

    def keep(self, name: str, candidate: Candidate, fitted: Fitted, reading: Reading, facts: Mapping[str, str]) -> None:
        """Keep a classifier.

        Args:
            name: of its folder.
            candidate: that it was fitted with.
            fitted: it.
            reading: how it reads layers.
            facts: rows of its model card.
        """
        self.kept.append(
            {
                "name": name, "facts": dict(facts), "layers": list(reading.numbers), "branch": self.job.settings.branch,
                "classifier": str(getattr(candidate.settings, "classifier", "svm")),
                **_take_tensors(fitted.model, reading, len(self.clips.outputs)),
            }
        )  # fmt: skip
        self._changed = True

    def save(self, folder: Path) -> None:
        """See `unfinished.Kept`."""
        if self._changed:
            save_object({"kept": self.kept}, folder / HEADS)
            self._changed = False

    def load(self, folder: Path) -> bool:
        """See `unfinished.Kept`."""
        if (folder / HEADS).is_file():
            self.kept = (load_object(folder / HEADS) or {}).get("kept", [])
            return bool(self.kept)
        return True

    def finish(self, models: Path) -> None:
        """Write the folders of all that is kept below `models`."""
        if not self.kept:
            return
        backbone = self._load_backbone()
        first: Path | None = None
        for found in self.kept:
            place = models / found["name"]
            draft = models / f".{place.name}.part"
            shutil.rmtree(draft, ignore_errors=True)
            self._write(found, backbone, draft)
            if first is None:
                first = draft
            else:
                share_files(first, draft)
            force_to_disk(draft)
            replace_folder(draft, place)
            first = place if first == draft else first

    def _load_backbone(self) -> Any:
        """The backbone as its layers were computed: what would be trained of it is left out, as `describe_kept` leaves it out."""
        fields = type(self.job.config).model_fields
        neutral = {name: fields[name].default for name in TRAINING if name in fields}
        config = self.job.config.model_copy(update=neutral)
        return load_backbone(config, self.job.study.weights_folder, self.job.model)

    def _write(self, found: dict[str, Any], backbone: Any, folder: Path) -> None:
        job = self.job
        if not job.config.adaptable:
            backbone.width = found["width"]
        head = build_from_weights(found["head"], len(self.clips.outputs))
        frozen = FrozenLayers(backbone, found["layers"], found["branch"], found["reading"])
        card = describe_model(job, found["name"], {"classifier": found["classifier"], **found["facts"]})
        inputs = describe_inputs(job.study, job.config, job.task.corpus)
        classifier = EmotionClassifier(frozen, head, **{self.clips.kind: self.clips.outputs}, inputs=inputs)
        classifier.save(folder, card | {"licences": list_licences(job, inputs)})

    def _describe_choice(self, name: str, score: float) -> str:
        by = "the dev part" if self.job.settings.choose_by == "dev" else "inner folds over training speakers"
        return f"{name}, by {by} ({self.clips.metric} {score:.3f})"


def share_files(first: Path, folder: Path) -> None:
    """Replace the files of a sealed folder that another one has, too, by links to these."""
    known = read_contents(first)["files"]
    for name, file in read_contents(folder)["files"].items():
        if known.get(name) == file:
            link = (folder / name).with_name(f".{Path(name).name}.link")
            try:
                os.link(first / name, link)
            except OSError:
                return  # a file system without links
            link.replace(folder / name)


def _take_tensors(model: Any, reading: Reading, n_outputs: int) -> dict[str, Any]:
    """Tensors of a fitted model: `reading`, of `FrozenLayers`, and `head`."""
    found: dict[str, Tensor] = {}
    if reading.statistics is not None:
        found |= {
            "mean": torch.from_numpy(reading.statistics.mean),
            "scale": torch.from_numpy(reading.statistics.scale),
        }
    if isinstance(model, LayerProbe):
        head = model.head.fold() if isinstance(model.head, ScaledHead) else model.head
        weights = {name: value.detach().clone() for name, value in head.state_dict().items()}
        if (shares := model.share_layers()) is not None:
            found["mix"] = shares.detach()
        return {"reading": found, "head": weights, "width": reading.width}
    weights = take_support(model) if hasattr(model, "support_vectors_") else take_regression(model, n_outputs)
    return {"reading": found, "head": weights, "width": reading.width}


def take_regression(machine: Any, n_outputs: int) -> dict[str, Tensor]:
    """Weights of a linear head with the probabilities of scikit-learn's logistic regression.

    A class that had no training clip has a bias of minus infinity, and so the probability 0.
    """
    weight, bias = np.asarray(machine.coef_), np.asarray(machine.intercept_)
    if len(weight) == 1:
        # Of two classes it has the logit of the second.
        weight, bias = np.concatenate([0 * weight, weight]), np.concatenate([0 * bias, bias])
    whole = np.zeros((n_outputs, weight.shape[1])), np.full(n_outputs, -np.inf)
    for wanted, given in zip(whole, (weight, bias), strict=True):
        wanted[machine.classes_] = given
    return dict(
        zip(("output.weight", "output.bias"), (torch.from_numpy(value).float() for value in whole), strict=True)
    )


def take_support(machine: Any) -> dict[str, Tensor]:
    """Tensors of a `SupportVectorHead` with the decision values of scikit-learn's `SVC`."""
    dual, vectors, counts = machine.dual_coef_, machine.support_vectors_, machine.n_support_
    n_classes = len(counts)
    places = np.split(np.arange(len(vectors)), np.cumsum(counts)[:-1])
    rows = []
    for first in range(n_classes):
        for second in range(first + 1, n_classes):
            row = np.zeros(len(vectors))
            row[places[first]] = dual[second - 1, places[first]]
            row[places[second]] = dual[first, places[second]]
            rows.append(row)
    # Of two classes its attributes are positive for the second.
    sign = -1.0 if n_classes == 2 else 1.0
    coefficients, intercepts = sign * np.stack(rows), sign * np.asarray(machine.intercept_)
    gamma = 0.0 if machine.kernel == "linear" else float(machine._gamma)
    if machine.kernel == "linear":
        # One vector for each pair says the same as all of them.
        vectors, coefficients = coefficients @ vectors, np.eye(len(rows))
    # The vectors were given in single precision.
    kept = vectors if machine.kernel == "linear" else vectors.astype(np.float32)
    arrays = (kept, coefficients, intercepts, np.float64(gamma), machine.classes_.astype(np.int64))
    return dict(
        zip(("vectors", "coefficients", "intercepts", "gamma", "classes"), map(torch.as_tensor, arrays), strict=True)
    )
