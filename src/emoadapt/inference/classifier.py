"""The emotion classifier that a backbone and a head make, and its folder.

A folder is in Hugging Face format. With the `hf` head it is a whole classification model of `transformers`
(`Wav2Vec2ForSequenceClassification` and its sisters), which needs nothing of ours. `transformers` lacks the heads `mlp`,
`challenge` and `linear`: with them it is the backbone, and `head.safetensors` and `classes.json` (or `attributes.json`) stand beside it. So it
is with any head on a backbone, or a pooling, that `transformers` lacks. A head on the layers of a frozen backbone has `frozen.safetensors` beside
it, which says which layers are read and how (`emoadapt.layers.frozen`). Where the backbone reads more than audio, `features.json` says what
and how it is computed (`emoadapt.inference.inputs`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from emoadapt.backbones.base import list_model_types, load_folder
from emoadapt.data.streams import AUDIO
from emoadapt.errors import ModelError, show
from emoadapt.inference.inputs import TRANSCRIPT, Inputs, read_inputs
from emoadapt.layers.frozen import FILE as FROZEN
from emoadapt.layers.frozen import FrozenLayers
from emoadapt.layers.heads import (
    ChallengeHead,
    Head,
    LinearHead,
    MergedHead,
    ProjectedHead,
    ScaledHead,
    SupportVectorHead,
    TwoLayerHead,
    seeded,
)
from emoadapt.layers.settings import SpeechSettings
from emoadapt.layers.speech import SHAPE, SpeechBackbone
from emoadapt.storage.folders import seal_folder
from emoadapt.weights.untrusted import verify_weights

if TYPE_CHECKING:
    from emoadapt.data.batching import Batch

logger = logging.getLogger(__name__)

CLASSIFICATION = ("ForSequenceClassification", "ForAudioClassification")
"""How names of the classification models of `transformers` end."""
ATTEMPTS = 3
"""How often a folder is read that is replaced meanwhile."""
_NAMES = {
    ProjectedHead: "hf",
    TwoLayerHead: "mlp",
    ChallengeHead: "challenge",
    LinearHead: "linear",
    SupportVectorHead: "svm",
}


class EmotionClassifier(nn.Module):
    """A fine-tuned backbone with its head, which predicts classes or rates attributes.

    Args:
        backbone: a `TrainableBackbone`.
        head: on its pooled embedding.
        classes: in the order of the outputs, which then are logits.
        attributes: in the order of the outputs, which then are values in the scale of the corpus trained on.
        inputs: what the backbone reads, and how it is computed; None: audio alone, or not known.
    """

    def __init__(
        self,
        backbone: Any,
        head: Head,
        classes: Sequence[str] = (),
        attributes: Sequence[str] = (),
        inputs: Inputs | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.classes = tuple(classes)
        self.attributes = tuple(attributes)
        self.inputs = inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the outputs stand for."""
        return self.classes or self.attributes

    @property
    def reads(self) -> tuple[str, ...]:
        """Features that it reads, the one that no clip may lack first."""
        if self.inputs is None:
            return (getattr(self.backbone, "reads", AUDIO.feature),)
        return tuple(dict.fromkeys(stream.feature for stream in self.inputs.streams.values()))

    @property
    def reads_text(self) -> bool:
        """Whether it reads what is said."""
        return self.inputs is not None and TRANSCRIPT in self.inputs.features

    def forward(self, clips: Sequence[Tensor] | Batch) -> Tensor:
        """Outputs (batch, n_outputs).

        Args:
            clips: audio, (n_samples,) float tensors in [-1, 1], 16 kHz, or whatever the backbone's first stream is; or a batch
                with all of its streams.
        """
        embedding = self.backbone(clips) if isinstance(clips, Sequence) else self.backbone.embed(clips)
        return self.head(embedding).float()

    def save(self, folder: Path, card: Mapping[str, Any]) -> None:
        """Write the folder, with its model card, and seal it; see the module."""
        from safetensors.torch import save_file

        head = self.head.fold() if isinstance(self.head, ScaledHead) else self.head
        kind = "attributes" if self.attributes else "classes"
        facts = {**card, kind: self.outputs, "head": _NAMES.get(type(head), "mlp")}
        audio = isinstance(self.backbone, SpeechBackbone)
        if isinstance(head, ProjectedHead) and audio and self.backbone.library == "transformers":
            self.backbone.save(folder, facts, self._assemble(head))
        else:
            self.backbone.save(folder, facts)
            weights = {name: value.contiguous() for name, value in head.state_dict().items()}
            save_file(weights, folder / "head.safetensors")
            # Not as `id2label`: a pipeline would set these names against a head of its own, with random weights.
            names = json.dumps(list(self.outputs), ensure_ascii=False)
            (folder / f"{kind}.json").write_text(names + "\n", encoding="utf-8")
        if self.inputs is not None:
            self.inputs.write(folder)
        seal_folder(folder)

    def _assemble(self, head: ProjectedHead) -> Any:
        """The classification model of `transformers` that has these very weights."""
        from transformers import AutoModelForAudioClassification

        config = deepcopy(self.backbone.model.config)
        config.id2label = dict(enumerate(self.outputs))
        config.label2id = {name: index for index, name in enumerate(self.outputs)}
        config.classifier_proj_size = head.projector.out_features
        config.use_weighted_layer_sum = self.backbone.layer_weights is not None
        config.problem_type = "regression" if self.attributes else "single_label_classification"
        # Without memory for weights that are replaced at once, and without a draw from anybody's generator.
        with torch.device("meta"), seeded(0):
            model = AutoModelForAudioClassification.from_config(config)
        setattr(model, model.base_model_prefix, self.backbone.model)
        model.projector, model.classifier = head.projector, head.classifier
        if config.use_weighted_layer_sum:
            model.layer_weights = self.backbone.layer_weights
        return model


def refuse_other_folder(folder: Path) -> None:
    """Refuse a folder that holds no model, before anything is loaded.

    Raises:
        ModelError: it has no `config.json`; the sentence says what it is, and which folder to name.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} {_describe_other_folder(folder)}")


def _describe_other_folder(folder: Path) -> str:
    """What a folder without `config.json` is, and which one to name instead."""
    if not folder.exists():
        return f"does not exist; {_name_best_classifiers()}"
    if not folder.is_dir():
        return f"is a file; name the folder of a model: {_name_best_classifiers()}"
    inner = sorted(path.parent.name for path in folder.glob("*/config.json"))
    if inner:
        return f"holds models; name one of its folders: {show(inner)}"
    if folder.name == "models" and folder.is_dir() and not any(folder.glob("*/")):
        return "is empty: no model was kept; set keep_models: best, and run again"
    return f"has no config.json, so it is no model folder; {_name_best_classifiers()}"


def _name_best_classifiers() -> str:
    """The folders to name: the best classifiers of the study in this folder, if it keeps any."""
    kept = sorted(path for path in Path("results/classifiers").glob("*") if (path / "config.json").is_file())
    if kept:
        return f"the best classifier of each task is {show(map(str, kept))}"
    return "a study with `keep_models: best` keeps the best classifier of each task in results/classifiers/<task>"


def load_classifier(folder: Path) -> EmotionClassifier:
    """Load what `EmotionClassifier.save` wrote, in evaluation mode; whole, even if a run replaces the folder meanwhile.

    A folder of anybody's `Wav2Vec2ForSequenceClassification`, one of its sisters, or `WhisperForAudioClassification` can be loaded
    too. Where several of its outputs have the same name, case and spaces aside, they are one class, and their probabilities are
    added.

    Raises:
        ModelError: the folder has no head (a Stage-1 model), one of another kind, one whose outputs cannot be distinguished by
            name, or cannot be read; or a run has deleted it meanwhile.
        DataError: it was saved with a `contents.json`, and is not what was saved.
    """
    for _ in range(ATTEMPTS):
        before = look_at(folder)
        try:
            found = _load(folder)
        except Exception:
            if look_at(folder) == before:
                raise
            continue
        if look_at(folder) == before:
            return found
    raise ModelError(f"{folder} was replaced while it was read; try again when the run that writes it has ended")


def look_at(folder: Path) -> tuple[int, ...]:
    """State of a folder, which changes when it is replaced, or a file in it is added or removed."""
    try:
        status = folder.stat()
    except FileNotFoundError:
        return ()
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _load(folder: Path) -> EmotionClassifier:
    from safetensors import SafetensorError

    refuse_other_folder(folder)
    verify_weights(folder)
    layers: nn.Parameter | None = None
    try:
        if (folder / "head.safetensors").is_file():
            head, names = _read_own_head(folder)
        else:
            head, names, layers = _read_projected(folder)
    except (OSError, EOFError, ValueError, KeyError, RuntimeError, SafetensorError, UnpicklingError) as error:
        found = " ".join(str(error).split())
        raise ModelError(f"the head of {folder} cannot be read ({found}); copy the whole folder again") from error
    head, names = _merge_namesakes(folder, head, names)
    backbone = load_folder(folder, origin=str(folder), trained=True)
    if (folder / FROZEN).is_file():
        backbone = _read_frozen(folder, backbone)
    if layers is not None:
        backbone.layer_weights = layers
    return EmotionClassifier(backbone, head, **names, inputs=read_inputs(folder)).eval()


def _merge_namesakes(folder: Path, head: Head, names: dict[str, list[str]]) -> tuple[Head, dict[str, list[str]]]:
    """Merge outputs of one name, since results are stored by name.

    Raises:
        ModelError: the outputs are values, which cannot be added, or all have one name.
    """
    ((kind, outputs),) = names.items()
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(outputs):
        groups.setdefault(" ".join(str(name).split()).casefold(), []).append(index)
    repeated = [group for group in groups.values() if len(group) > 1]
    if not repeated:
        return head, names
    found = "; ".join(f"{outputs[group[0]]}: {', '.join(map(str, group))}" for group in repeated)
    if kind == "attributes" or len(groups) == 1:
        raise ModelError(
            f"{folder} has several outputs of one name ({found}), whose results cannot be distinguished; give each a name of its own "
            f"in {kind}.json or, without such a file, in `id2label` of config.json"
        )
    logger.warning("%s has several outputs of one name, whose probabilities are added (%s)", folder, found)
    return MergedHead(head, list(groups.values())), {kind: [outputs[group[0]] for group in groups.values()]}


def _read_frozen(folder: Path, backbone: Any) -> FrozenLayers:
    """What a classifier on a frozen backbone reads of it.

    Raises:
        ModelError: the file cannot be read.
    """
    from safetensors import SafetensorError

    try:
        return FrozenLayers.load(folder, backbone)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        found = " ".join(str(error).split())
        raise ModelError(f"{folder / FROZEN} cannot be read ({found}); copy the whole folder again") from error


def _read_own_head(folder: Path) -> tuple[Head, dict[str, list[str]]]:
    """Head, and what its outputs stand for, by kind."""
    from safetensors.torch import load_file

    kind = "attributes" if (folder / "attributes.json").is_file() else "classes"
    outputs = json.loads((folder / f"{kind}.json").read_text(encoding="utf-8"))
    return build_from_weights(load_file(folder / "head.safetensors"), len(outputs)), {kind: outputs}


def build_from_weights(weights: Mapping[str, Tensor], n_outputs: int) -> Head:
    """Build the head whose weights these are; its kind is read from their names.

    Raises:
        KeyError: they are of no kind of head.
        RuntimeError: their shapes do not fit together.
    """
    if "coefficients" in weights:
        return SupportVectorHead(weights, n_outputs)
    if weights.keys() == {"output.weight", "output.bias"}:
        linear = LinearHead(weights["output.weight"].shape[1], n_outputs, seed=0)
        linear.load_state_dict(weights)
        return linear
    first = "projector" if "projector.weight" in weights else "hidden"
    head_class = ProjectedHead if first == "projector" else ChallengeHead if "norm.weight" in weights else TwoLayerHead
    hidden, width = weights[f"{first}.weight"].shape
    head = head_class(width, hidden, n_outputs, seed=0)
    head.load_state_dict(weights)
    return head


def _read_projected(folder: Path) -> tuple[Head, dict[str, list[str]], nn.Parameter | None]:
    """Head, what its outputs stand for, by kind, and the weights of the layers, where they are weighted."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if not any(name.endswith(CLASSIFICATION) for name in config.architectures or ()):
        raise ModelError(
            f"{folder} has neither head.safetensors nor a classification model of transformers, so it is no emotion "
            "classifier; name the folder of a fine-tuned run (kept with `keep_models: best` or `all`)"
        )
    # What else a backbone must have, `load_folder` sees.
    if config.model_type not in list_model_types(SpeechSettings) and not all(hasattr(config, name) for name in SHAPE):
        raise ModelError(
            f"{folder} is a {config.model_type} model; only those with the parts of wav2vec 2.0, and Whisper, can be used"
        )
    if not hasattr(config, "classifier_proj_size"):
        raise ModelError(
            f"{folder} is a {config.model_type} classifier, whose head is of another kind; name the folder as `weights` of a backbone, "
            "and train a head on it"
        )
    if config.problem_type not in (None, "single_label_classification", "regression"):
        raise ModelError(
            f"{folder} is a model for {config.problem_type}; only models that choose one label for a clip or that rate it can "
            "be used"
        )
    names = [f"{layer}.{kind}" for layer in ("projector", "classifier") for kind in ("weight", "bias")]
    weights = _read_tensors(folder, [*names, *(["layer_weights"] if config.use_weighted_layer_sum else [])])
    layers = weights.pop("layer_weights", None)
    outputs = [config.id2label[index] for index in range(len(config.id2label))]
    projection, width = weights["projector.weight"].shape
    head = ProjectedHead(width, projection, len(outputs), seed=0)
    head.load_state_dict(weights)
    # With one output and no stated problem `transformers` takes a model for a regression; its softmax would always be 1.
    rated = config.problem_type == "regression" or (config.problem_type is None and len(outputs) == 1)
    kind = "attributes" if rated else "classes"
    return head, {kind: outputs}, None if layers is None else nn.Parameter(layers)


def _read_tensors(folder: Path, names: Sequence[str]) -> dict[str, Tensor]:
    """Some of a model's weights, float32, from the file that `transformers` would take."""
    from safetensors import safe_open

    if (folder / "model.safetensors").is_file():
        with safe_open(folder / "model.safetensors", "pt") as file:
            return {name: file.get_tensor(name).float() for name in names}
    # Reads tensors only, so that the file cannot run code.
    weights = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
    return {name: weights[name].float() for name in names}
