"""Model cards."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from emoadapt.config import objective_features
from emoadapt.config.places import hide_places, name_place
from emoadapt.extraction.recipes import find_weights
from emoadapt.plugins import read_declaration
from emoadapt.weights.registry import find_entry, is_hub_id, list_weights

if TYPE_CHECKING:
    from emoadapt.config import Study


_EMBED = """\
from transformers import AutoFeatureExtractor, AutoModel

extract, model = AutoFeatureExtractor.from_pretrained("."), AutoModel.from_pretrained(".").eval()
embedding = model(**extract(audio, sampling_rate=16_000, return_tensors="pt")).last_hidden_state.mean(1)"""
_EMBED_WEIGHTED = """\
from safetensors.torch import load_file
from transformers import AutoFeatureExtractor, AutoModel

extract, model = AutoFeatureExtractor.from_pretrained("."), AutoModel.from_pretrained(".").eval()
weights = load_file("layer_weights.safetensors")["layer_weights"].softmax(0)
states = model(**extract(audio, sampling_rate=16_000, return_tensors="pt"), output_hidden_states=True).hidden_states
embedding = sum(weight * state for weight, state in zip(weights, states)).mean(1)"""
_EMBED_TEXT = """\
from transformers import AutoModel, AutoTokenizer

tokenize, model = AutoTokenizer.from_pretrained("."), AutoModel.from_pretrained(".").eval()
embedding = model(**tokenize(text, return_tensors="pt")).last_hidden_state.mean(1)"""
_EMBED_TEXT_WEIGHTED = """\
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

tokenize, model = AutoTokenizer.from_pretrained("."), AutoModel.from_pretrained(".").eval()
weights = load_file("layer_weights.safetensors")["layer_weights"].softmax(0)
states = model(**tokenize(text, return_tensors="pt"), output_hidden_states=True).hidden_states
embedding = sum(weight * state for weight, state in zip(weights, states)).mean(1)"""
_EMBED_TEXT_EMOADAPT = """\
from pathlib import Path

import torch
from emoadapt.backbones.base import load_folder
from transformers import AutoTokenizer

tokenize, backbone = AutoTokenizer.from_pretrained("."), load_folder(Path("."), origin="this folder", trained=True).eval()
embedding = backbone([torch.tensor(tokenize(text)["input_ids"])])"""
_EMBED_EMOADAPT = """\
from pathlib import Path

import torch
from emoadapt.backbones.base import load_folder

backbone = load_folder(Path("."), origin="this folder", trained=True).eval()
embedding = backbone([torch.as_tensor(audio)])"""
_CLASSIFY = """\
from transformers import pipeline

classify = pipeline("audio-classification", ".")
classify({"raw": audio, "sampling_rate": 16_000})"""
_PREDICT = """\
from pathlib import Path

from emoadapt.inference.predict import predict_files
from emoadapt.inference.classifier import load_classifier

for row in predict_files(load_classifier(Path(".")), [Path("clip.wav")]):
    print(row.label, row.probabilities)"""


def write_card(
    folder: Path,
    facts: Mapping[str, Any],
    *,
    origin: str,
    trained: bool,
    library: Literal["transformers", "emoadapt"],
    notice: str,
    weighted: bool = False,
    pooling: str = "mean",
    padding: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    reads: str = "audio",
) -> None:
    """Write `README.md`.

    Args:
        folder: model folder.
        facts: name -> value or list of values, shown as a table. `title` is the heading, `licences` a list of sentences for
            that section; `classes` or `attributes`, and `head` (`mlp`, `hf`, `challenge`, `linear` or `svm`), are there for a classifier;
            `embedding` says what a classifier on a frozen backbone reads of it.
        origin: where the starting weights come from.
        trained: False when they were random.
        library: what computes the embedding from the folder.
        notice: what the licence of the family asks the card of a trained model to say; empty: nothing.
        weighted: the embedding is a weighted mean of layers, whose weights are in `layer_weights.safetensors`.
        pooling: name of the plug-in that pools frames.
        padding: `SpeechBackbone.padding`.
        notes: `TransformerBackbone.notes`.
        reads: what the model is given: `audio`; `text`; `tokens`, of a text whose tokenizer is not in the folder; a feature's frames;
            `descriptors`, of the feature `origin`; or `parts`, each of which is given something else, and has a folder of its own.
    """
    head = facts.get("head")
    if "embedding" in facts:
        # Only this package reads the layers of the backbone as the classifier does.
        library = "emoadapt"
    # Only a hub id is a `base_model` that others can look up.
    base = [f"base_model: {origin}"] if trained and reads != "descriptors" and is_hub_id(origin) else []
    rows = [f"| {name} | {_show(value)} |" for name, value in facts.items() if name not in ("title", "licences")]
    shown = name_place(origin)
    start = f"`{shown}` (pretrained)" if trained else f"{shown}: **not pretrained**"
    start = f"none, it reads the feature `{origin}`" if reads == "descriptors" else start
    rows = [f"| note on them | {_show(note)} |" for note in notes] + rows
    known = None if reads == "descriptors" else list_weights().get(origin)
    notices = [notice] if trained and notice else []
    licences = [f"Licence of `{origin}`: {known.licence}."] if trained and known else []
    lines = [
        "---",
        f"library_name: {library}",
        f"pipeline_tag: {_name_pipeline(head, library, reads)}",
        "license: other",
        *base,
        "tags: [speech-emotion-recognition, emoadapt]",
        "---",
        f"# {facts.get('title', folder.name)}",
        "",
        "| | |",
        "|---|---|",
        f"| starting weights | {start} |",
        *rows,
        "",
        *(
            _describe_frozen(head, rated="attributes" in facts)
            if "embedding" in facts
            else _describe_parts(head, rated="attributes" in facts)
            if reads == "parts"
            else _describe_text(head, weighted, library, pooling, rated="attributes" in facts, whole=reads == "text")
            if reads in ("text", "tokens")
            else _describe_use(head, weighted, library, pooling, rated="attributes" in facts, reads=reads)
        ),
        *_describe_padding(padding, library),
        "",
        "## Licence",
        "",
        *[f"* {sentence}" for sentence in [*licences, *notices, *facts.get("licences", ())]],
        "* The licences of the starting weights and of the corpora apply to this model; many emotion corpora allow research only.",
        "",
    ]
    (folder / "README.md").write_text("\n".join(lines), encoding="utf-8")


def _name_pipeline(head: str | None, library: str, reads: str) -> str:
    """The task by which others find the model.

    Of `transformers`' own heads `hf` is the only one: with another, its pipeline for classification would invent a head, untrained.
    """
    if head is None or (library == "transformers" and head != "hf"):
        return "feature-extraction"
    return "text-classification" if reads in ("text", "tokens") else "audio-classification"


def list_terms(
    study: Study, corpora: Iterable[str], objectives: Iterable[str] = (), inputs: Iterable[str] = ()
) -> list[str]:
    """Sentences on the terms of a model's corpora, targets and inputs.

    Of targets and inputs they are those of the software and networks that computed them.

    Args:
        study: the study.
        corpora: names of the corpora.
        objectives: of Stage 1, by name.
        inputs: features besides audio that the model reads, or that these are computed from.
    """
    terms = []
    for name in dict.fromkeys(corpora):
        known = read_declaration("corpora", study.corpora[name].importer, "TERMS")
        terms.append(f"Corpus {name}: {known or 'its own terms, which the study does not state'}.")
    features = objective_features()
    used = [(f"Targets of {name}", features[name]) for name in objectives if name in features]
    for what, feature in [*used, *((f"Input {name}", name) for name in inputs)]:
        if stated := read_declaration("features", feature, "TERMS"):
            terms.append(f"{what}: {stated}.")
        if entry := find_entry(find_weights(study, feature) or ""):
            terms.append(f"{what}: computed with {entry.name}, whose licence is {entry.licence}.")
    return terms


def _describe_text(
    head: str | None, weighted: bool, library: str, pooling: str, *, rated: bool, whole: bool
) -> list[str]:
    """How to use a text encoder, alone or with a head; `whole`: with its tokenizer in the folder."""
    layer = "a weighted mean of the first layer's input and all layers" if weighted else "the last layer"
    way = (
        f"the mean of {layer} over all tokens"
        if pooling == "mean"
        else f"{layer}, pooled over all tokens by `{pooling}`"
    )
    code = _EMBED_TEXT_WEIGHTED if weighted else _EMBED_TEXT
    code = _EMBED_TEXT_EMOADAPT if library == "emoadapt" else code
    words = "Input: the tokens of a text, with those that its tokenizer adds."
    other = "AutoTokenizer.from_pretrained(TOKENIZER)"
    code = code if whole else code.replace('AutoTokenizer.from_pretrained(".")', other)
    lines = [f"{words} The embedding of a text is {way}."]
    if head is not None:
        outputs = "values of `attributes.json`" if rated else "logits of `classes.json`"
        lines += [*_describe_predict(rated), ""]
        lines += [f"`head.safetensors` leads from the embedding to the {outputs}. The embedding alone:"]
    lines += ["", *_fence(code)]
    if not whole:
        lines += ["", "`TOKENIZER` is the model of the study's `features.text_tokens`; this folder has no tokenizer."]
    return lines


def _describe_predict(rated: bool) -> list[str]:
    """How to predict files with this package."""
    code = _PREDICT.replace("row.label, row.probabilities", "row.values") if rated else _PREDICT
    return ["", "Files of any format: `emoadapt predict FOLDER FILES...`. In Python:", "", *_fence(code)]


def _describe_use(
    head: str | None, weighted: bool, library: str, pooling: str, *, rated: bool = False, reads: str = "audio"
) -> list[str]:
    """How to use a backbone, or a classifier with its head; `rated`: it rates attributes instead."""
    layer = "a weighted mean of the transformer's input and all layers" if weighted else "the last layer"
    way = f"the mean of {layer} over time" if pooling == "mean" else f"{layer}, pooled over time by `{pooling}`"
    given = "mono audio at 16 kHz" if reads == "audio" else f"frames of the feature `{reads}`"
    lines = [f"Input: {given}. The embedding of an utterance is {way}."]
    if head in ("mlp", "challenge", "linear") or (head and library == "emoadapt"):
        outputs = "values of `attributes.json`" if rated else "logits of `classes.json`"
        lines += [*_describe_predict(rated), ""]
        lines += [f"`head.safetensors` leads from the embedding to the {outputs}. The embedding alone:"]
    elif head is not None:
        lines += ["", "Files of any format: `emoadapt predict FOLDER FILES...`. In Python:"]
    if library == "emoadapt":
        loads = "The embedding is computed by emoadapt only: `transformers` lacks the model, clips of natural length, or the pooling."
        code = _EMBED_EMOADAPT.replace("audio", "frames") if reads != "audio" else _EMBED_EMOADAPT
        return [*lines, "", *_fence(code), "", loads]
    code = _CLASSIFY if head == "hf" else _EMBED_WEIGHTED if weighted else _EMBED
    lines += ["", *_fence(code), ""]
    return [*lines, "One clip at a time: padding changes what `transformers` returns for some of these architectures."]


def _describe_parts(head: str | None, *, rated: bool) -> list[str]:
    """How a model of several parts is made."""
    outputs = "values of `attributes.json`" if rated else "logits of `classes.json`"
    return [
        "Each part pools its own input; a linear layer (`fusion.safetensors`) joins the pooled vectors into the embedding. The cards of the "
        "parts are in their folders. emoadapt alone loads the model: `emoadapt.backbones.base.load_folder`.",
        *(
            [*_describe_predict(rated), "", f"`head.safetensors` leads from the embedding to the {outputs}."]
            if head
            else []
        ),
    ]


def _describe_frozen(head: str | None, *, rated: bool) -> list[str]:
    """How to use a classifier on the layers of a frozen backbone, or on descriptors."""
    outputs = "values of `attributes.json`" if rated else "logits of `classes.json`"
    outputs = "decision values of the classes in `classes.json`" if head == "svm" else outputs
    ranks = " They rank the classes of a clip; the probabilities that `emoadapt predict` prints are their softmax, and say no more than the rank."
    return [
        *_describe_predict(rated)[1:], "",
        f"The embedding is as the table says (`frozen.safetensors`), and `head.safetensors` leads from it to the {outputs}.{ranks if head == 'svm' else ''}",
    ]  # fmt: skip


def _describe_padding(padding: Mapping[str, Any] | None, library: str) -> list[str]:
    """Describe the model's padding of short clips."""
    if not padding:
        return []
    way = "repeated" if padding["mode"] == "repeat" else "followed by silence"
    alone = "" if library == "emoadapt" else "; `transformers` does not do that"
    return ["", f"Clips shorter than {padding['seconds']:g} s are {way} up to that length{alone}."]


def _fence(code: str) -> list[str]:
    return ["```python", code, "```"]


def _show(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_show(item)}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_show, value))
    # Names of classes come from a corpus.
    return html.escape(hide_places(str(value)), quote=False).replace("|", "\\|")
