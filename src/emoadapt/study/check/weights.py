"""Check of a study's weights, and of a declared ONNX network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emoadapt.errors import EmoadaptError
from emoadapt.faces.network_settings import OnnxNetwork
from emoadapt.weights.registry import identity, resolve

if TYPE_CHECKING:
    from emoadapt.study.graph import Graph


def check_weights(graph: Graph, problems: list[str]) -> None:
    """Print the weights that a study uses.

    Args:
        graph: the jobs of the study.
        problems: takes what would stop a run.
    """
    folder = graph.study.weights_folder
    for user, (name, revision) in graph.weights_in_use().items():
        try:
            resolve(name, folder, revision)
        except EmoadaptError as error:
            problems.append(f"{user}: {error}")
        else:
            print(f"{user}: {name} ({identity(name, folder, revision)})")
    _check_network(graph, problems)
    for name in graph.study.untrained:
        print(f"backbone {name}: UNTRAINED, randomly initialised")


def _check_network(graph: Graph, problems: list[str]) -> None:
    """Embed one image, since only that shows whether an ONNX file is as it is declared."""
    network, used = graph.study.features.face_embedding.network, dict(graph.features_in_use())
    if "face_embedding" not in used or not isinstance(network, OnnxNetwork):
        return
    from emoadapt.faces.onnx_network import load_network

    try:
        resolve(network.file, graph.study.weights_folder)
    except EmoadaptError:
        return  # named already
    try:
        load_network(network, graph.study.weights_folder).embed([np.zeros((32, 32, 3), np.uint8)])
    except EmoadaptError as error:
        problems.append(f"features.face_embedding.network: {error}")
