"""Networks that a study used, with source and content of their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from emoadapt.config import Backbone, Study
from emoadapt.extraction.recipes import find_network
from emoadapt.features.base import Network
from emoadapt.reporting.notices import used_features
from emoadapt.reporting.style import describe_vector, is_vector, listing, weights_of
from emoadapt.weights.registry import identity

STATES = {"pretrained": "pretrained", "untrained": "UNTRAINED", "rules": "rules, nothing learned"}


@dataclass(frozen=True)
class UsedNetwork(Network):
    """A network of a study; `revision` is that of a hub model."""

    revision: str | None = None


def list_networks(study: Study) -> list[Network]:
    """The backbones, then the networks behind the features that the objectives rest on or that `features.also` names."""
    backbones = [network for name, backbone in study.backbones.items() for network in _list_backbone(name, backbone)]
    features = (find_network(study, feature) for feature in used_features(study))
    return backbones + [network for network in features if network]


def _list_backbone(name: str, backbone: Backbone) -> list[Network]:
    """The networks of a backbone; none of descriptors, nor of one that joins others, which are listed themselves."""
    if backbone.provenance == "descriptors" or backbone.joined:
        return []
    frozen, untrained = getattr(backbone, "cnn_mode", None), getattr(backbone, "untrained", None)
    kind, seed = (
        backbone.architecture + (f", CNN {frozen}" if frozen else ""),
        getattr(untrained or backbone, "seed", None),
    )
    return [
        UsedNetwork(f"backbone {name}", kind, backbone.provenance, weights, seed=seed, revision=revision)
        for weights, revision in backbone.list_weights() or [(None, None)]
    ]


def describe_models(study: Study) -> list[dict[str, str]]:
    """Rows for the head of the report: the backbones, whether their weights were pretrained, and what they are."""
    return [
        {
            "backbone": name,
            "weights": _WEIGHTS.get(state := weights_of(study, name), state),
            "what": _name_kind(study, name, backbone),
        }
        for name, backbone in study.backbones.items()
    ]


_WEIGHTS = {"pretrained": "pretrained", "untrained": "UNTRAINED: random weights", "descriptors": "none: descriptors"}


def _name_kind(study: Study, name: str, backbone: Backbone) -> str:
    if is_vector(study, name):
        return describe_vector(study, name)
    if backbone.joined:
        return f"{backbone.architecture} of {listing(backbone.parts)}"
    weights = listing(name for name, _ in backbone.list_weights()) if backbone.list_weights() else ""
    return backbone.architecture + (f", {weights}" if weights else "")


def find_checksums(study: Study) -> dict[str, str]:
    """Name of weights -> what names their content, as `registry.identity` does; weights inside Python packages are left out."""
    networks = [network for network in list_networks(study) if network.weights]
    return {str(n.weights): identity(str(n.weights), study.weights_folder, find_revision(n)) for n in networks}


def find_revision(network: Network) -> str | None:
    """Commit, branch or tag of a hub model that the study names."""
    return network.revision if isinstance(network, UsedNetwork) else None


def describe_weights(study: Study, licences: Mapping[str, str], checksums: Mapping[str, str]) -> list[dict[str, str]]:
    """Rows of the report: which networks were used, where their weights are from, and whether they were trained.

    Args:
        study: the configuration.
        licences: name or file of weights -> licence.
        checksums: name of weights -> what names their content.
    """
    return [
        {
            "role": network.role,
            "kind": network.kind,
            "source": _name_source(network),
            "weights": STATES[network.state],
            "content": _name_content(network, checksums),
            "licence": _name_licence(network, licences),
        }
        for network in list_networks(study)
    ]


def _name_source(network: Network) -> str:
    """Where the weights are from."""
    if network.weights is None:
        return "none (random)" if network.state == "untrained" else network.kind
    revision = find_revision(network)
    return network.weights + (f" @ {revision}" if revision else "")


def _name_content(network: Network, checksums: Mapping[str, str]) -> str:
    """What names the content of the weights."""
    if network.carried:
        return "version of its package"
    if network.weights is None:
        return "–" if network.seed is None else f"seed {network.seed}"
    return checksums.get(network.weights, "–")


def _name_licence(network: Network, licences: Mapping[str, str]) -> str:
    """Licence of the weights, as far as it is known here."""
    if network.carried:
        return "that of its Python package, which carries it"
    if network.weights is None:
        return "–"
    return licences.get(network.weights) or "see the model's page"
