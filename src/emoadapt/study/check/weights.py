"""Check of a study's weights, and of a declared ONNX network."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emoadapt.backbones.base import list_notes
from emoadapt.errors import Change, EmoadaptError, ModelError, Problem
from emoadapt.extraction.advice import advise_crops
from emoadapt.extraction.recipes import find_section
from emoadapt.faces.network_settings import OnnxNetwork
from emoadapt.weights.registry import find_entry, find_similar, identity, resolve

if TYPE_CHECKING:
    from emoadapt.study.graph import Graph


def check_weights(graph: Graph, problems: list[Problem]) -> None:
    """Print the weights that a study uses.

    Args:
        graph: the jobs of the study.
        problems: takes what would stop a run.
    """
    folder = graph.study.weights_folder
    for user, (name, revision) in graph.weights_in_use().items():
        try:
            path = resolve(name, folder, revision)
            _refuse_cut(path)
        except EmoadaptError as error:
            near = _propose_similar(user, name)
            problems += [Problem("", str(found), *near, *found.fixes) for found in error.add_place(f"{user}: ")]
        else:
            print(f"{user}: {name} ({identity(name, folder, revision)})")
            for note in list_notes(path) if user.startswith("backbone ") else ():
                print(f"  note: {note}")
    _check_network(graph, problems)
    _check_files(graph, problems)
    _check_tokens(graph, problems)
    for name in graph.study.untrained:
        print(f"backbone {name}: UNTRAINED, randomly initialised")


def _propose_similar(user: str, name: str) -> list[Change]:
    """The registered weights that a backbone's are probably meant to be."""
    kind, _, backbone = user.partition(" ")
    near = find_similar(name) if kind == "backbone" else None
    return [Change(f"backbones.{backbone}.weights", near)] if near and near != name else []


def _check_tokens(graph: Graph, problems: list[Problem]) -> None:
    """See that each text encoder knows the tokens that it reads."""
    study, made_by = graph.study, graph.study.features.text_tokens.model
    for name, backbone in study.backbones.items():
        if backbone.joined:
            continue  # its parts are looked at by themselves
        for weights, revision in backbone.list_weights() if "text_tokens" in backbone.features else ():
            try:
                folders = [resolve(made_by, study.weights_folder), resolve(weights, study.weights_folder, revision)]
            except EmoadaptError:
                continue  # named already
            try:
                same = _share_vocabulary(*folders, f"backbone {name}")
            except EmoadaptError as error:
                problems += error.problems
                continue
            if not same:
                advice = Change("features.text_tokens.model", weights)
                said = f"backbone {name}: {weights} does not know the tokens of {made_by}; set {advice}"
                problems.append(Problem("", said, advice))


def _share_vocabulary(tokens: Path, encoder: Path, user: str) -> bool:
    from emoadapt.transcription.tokens import load_tokenizer

    first, _ = load_tokenizer(tokens, "features.text_tokens.model")
    return tokens == encoder or bool(first.get_vocab() == load_tokenizer(encoder, user)[0].get_vocab())


def _refuse_cut(path: Path) -> None:
    """Refuse a file of torch's whose end is missing, before a job fails of it; it is a zip archive, whose directory stands last.

    Raises:
        ModelError: it is cut off.
    """
    if path.suffix not in (".pt", ".pth", ".bin") or not path.is_file():
        return
    with path.open("rb") as file:
        archive = file.read(2) == b"PK"
    if archive and not zipfile.is_zipfile(path):
        raise ModelError(f"{path} is cut off; copy or fetch it again")


def _check_files(graph: Graph, problems: list[Problem]) -> None:
    """Count the files, beside media and weights, that features read."""
    for feature in dict(graph.features_in_use()):
        found = find_section(graph.study, feature).find_files()
        if found is None:
            continue
        folder, pattern = found
        if number := sum(1 for _ in folder.rglob(pattern)):
            print(f"feature {feature}: {number:,} files {pattern} below {folder}")
        else:
            said = f"no file {pattern} below {folder}; name the folder that holds them"
            problems.append(Problem(f"features.{feature}.folder", said))


def _check_network(graph: Graph, problems: list[Problem]) -> None:
    """Embed one image, which shows whether an ONNX file is as declared; print what is assumed of its input."""
    features, used = graph.study.features, dict(graph.features_in_use())
    network = features.face_embedding.network
    if "face_embedding" not in used or not isinstance(network, OnnxNetwork):
        return
    from emoadapt.faces.onnx_network import load_network

    try:
        resolve(network.file, graph.study.weights_folder)
    except EmoadaptError:
        return  # named already
    try:
        loaded = load_network(network, graph.study.weights_folder)
        loaded.embed([np.zeros((32, 32, 3), np.uint8)])
    except EmoadaptError as error:
        problems.append(Problem("features.face_embedding.network", str(error)))
        return
    notes = [loaded.change, *_list_input_notes(network)]
    if network.input_size is None:
        notes.append(advise_crops(features.faces.crop_size, loaded.side))
    for note in filter(None, notes):
        print(f"  note: {note}")


def _list_input_notes(network: OnnxNetwork) -> Iterator[str]:
    """What is assumed of a network's input, and what is declared otherwise than the registry knows it."""
    if assumed := network.name_assumptions():
        yield (
            f"features.face_embedding.network: {assumed} are assumed, since neither the study nor {network.file} states them; if it was "
            "trained with another input, its vectors mean little: set colour, mean and std"
        )
    if (entry := find_entry(network.file)) is None:
        return
    for key in ("colour", "mean", "std"):
        declared, known = (json.dumps(value) for value in (getattr(network, key), entry.network.get(key)))
        if declared != known:
            yield f"features.face_embedding.network.{key}: {declared} is declared; {entry.name} was trained with {known}"
