"""The networks that a study used: where their weights are from, what they hold, and whether they were trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from emoadapt.config import Backbone, OnnxNetwork, Study, UntrainedNetwork
from emoadapt.models.registry import identity, list_weights
from emoadapt.reporting.notices import used_features

CARRIED = dict.fromkeys(("haar", "pocketsphinx", "vader"), "that of its Python package, which carries it")
"""Engines whose weights come with their Python package -> their licence."""


@dataclass(frozen=True)
class Network:
    """One network of a study.

    Args:
        role: what it does in the study.
        kind: its architecture or engine.
        name: registered name, hub id or path of its weights; None = random weights.
        revision: of a hub model.
        seed: of random weights.
    """

    role: str
    kind: str
    name: str | None
    revision: str | None = None
    seed: int | None = None


def list_networks(study: Study) -> list[Network]:
    """The backbones, then the networks behind the features that the objectives rest on or that `features.also` names."""
    found = [network for name, backbone in study.backbones.items() for network in _list_backbone(name, backbone)]
    used, features = used_features(study), study.features
    if "faces" in used:
        detector = features.faces.detector
        found.append(Network("face detection", detector, features.faces.weights or detector))
    if "face_embedding" in used:
        network = features.face_embedding.network
        if isinstance(network, UntrainedNetwork):
            found.append(Network("face embedding", network.untrained, None, seed=network.seed))
        elif isinstance(network, OnnxNetwork):
            found.append(Network("face embedding", "ONNX network", network.file))
    if "transcript" in used and features.transcript.engine != "corpus":
        asr = features.transcript
        registered = f"whisper/{asr.model}"
        model = registered if registered in list_weights() else asr.model
        found.append(Network("speech recognition", asr.engine, model if asr.engine == "whisper" else asr.engine))
    if "sentiment" in used:
        sentiment = features.sentiment
        name = sentiment.model if sentiment.engine == "transformers" else sentiment.engine
        found.append(Network("sentiment", sentiment.engine, name))
    return found


def _list_backbone(name: str, backbone: Backbone) -> list[Network]:
    """The networks of a backbone; none of descriptors."""
    if backbone.provenance == "descriptors":
        return []
    frozen, untrained = getattr(backbone, "cnn_mode", None), getattr(backbone, "untrained", None)
    role, kind = f"backbone {name}", backbone.architecture + (f", CNN {frozen}" if frozen else "")
    loaded = [Network(role, kind, weights, revision) for weights, revision in backbone.list_weights()]
    return loaded or [Network(role, kind, None, seed=getattr(untrained, "seed", None))]


def find_checksums(study: Study) -> dict[str, str]:
    """Name of weights -> what names their content, as `registry.identity` does; weights inside Python packages are left out."""
    networks = [network for network in list_networks(study) if network.name and network.name not in CARRIED]
    return {str(n.name): identity(str(n.name), study.weights_folder, n.revision) for n in networks}


def describe_weights(study: Study, licences: Mapping[str, str], checksums: Mapping[str, str]) -> list[dict[str, str]]:
    """Rows of the report: which networks were used, where their weights are from, and whether they were trained.

    Args:
        study: the configuration.
        licences: name or file of weights -> licence.
        checksums: name of weights -> what names their content.
    """
    rows = []
    for network in list_networks(study):
        name = network.name
        source = "none (random)" if name is None else name + (f" @ {network.revision}" if network.revision else "")
        content = f"seed {network.seed}" if name is None and network.seed is not None else "–"
        carried = "version of its package" if name in CARRIED else content
        rows.append(
            {
                "role": network.role,
                "kind": network.kind,
                "source": source,
                "weights": "UNTRAINED"
                if name is None
                else "rules, nothing learned"
                if name == "vader"
                else "pretrained",
                "content": carried if name is None else checksums.get(name, carried),
                "licence": "–" if name is None else licences.get(name) or CARRIED.get(name) or "see the model's page",
            }
        )
    return rows
