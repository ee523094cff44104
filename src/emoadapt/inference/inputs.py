"""Description of what a classifier reads, kept in its folder where that is more than audio.

`features.json` names the streams of the backbone, and the features that computed them in the study, with their sections. Small files that
decide a row, such as those of a tokenizer, are copied beside it. `emoadapt.inference.reader` computes the same from a file.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emoadapt.data.streams import AUDIO, Stream
from emoadapt.errors import ModelError
from emoadapt.extraction.recipes import describe_extraction, find_section, weights_identity
from emoadapt.weights.registry import locate

if TYPE_CHECKING:
    from emoadapt.config import Backbone, Study
    from emoadapt.features.base import Network

FILE = "features.json"
FILES = "features"
"""Folder of the copied files, `<feature>/<file>`."""

TRANSCRIPT = "transcript"
"""Feature of what is said."""


@dataclass(frozen=True)
class InputFeature:
    """A feature as the study computed it.

    Args:
        section: its keys that decide rows.
        weights: content of what its network loads, as `weights.registry.identity` names it; None: nothing, or not known.
        files: name -> place of the files of its network that decide a row, where these are few of many.
    """

    section: Mapping[str, Any]
    weights: str | None = None
    files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Inputs:
    """What a classifier reads.

    Args:
        streams: role -> stream, the required one first.
        features: features besides audio that compute them, each after those that it is computed from.
        dimensions: role -> values of a frame or of a vector, of streams that a clip may lack.
        language: of what is said, as the study states it; None: it does not, or no text is read.
    """

    streams: Mapping[str, Stream]
    features: Mapping[str, InputFeature]
    dimensions: Mapping[str, int] = field(default_factory=dict)
    language: str | None = None

    def write(self, folder: Path) -> None:
        """Write `features.json`, and copies of the small files."""
        said = {
            "streams": {role: asdict(stream) for role, stream in self.streams.items()},
            "dimensions": self.dimensions,
            "language": self.language,
            "features": {
                name: {"section": feature.section, "weights": feature.weights}
                for name, feature in self.features.items()
            },
        }
        (folder / FILE).write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
        for name, feature in self.features.items():
            for file, place in feature.files.items():
                (folder / FILES / name).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(place, folder / FILES / name / file)


def describe_inputs(
    study: Study, backbone: Backbone, corpus: str, dimensions: Mapping[str, int] | None = None
) -> Inputs | None:
    """Describe what a backbone of a study reads; None where that is audio alone.

    Args:
        study: the study.
        backbone: section of the backbone.
        corpus: that it is fine-tuned on.
        dimensions: see `Inputs`; kept outputs, which have roles of their own, are passed over.
    """
    if all(stream == AUDIO for stream in backbone.streams.values()):
        return None
    names = dict.fromkeys(
        name for stream in backbone.streams.values() for name in _list_upstream(study, stream.feature)
    )
    features = {name: _describe_feature(study, name) for name in names}
    lacking = {role: size for role, size in (dimensions or {}).items() if role in backbone.streams}
    language = study.corpora[corpus].language if TRANSCRIPT in features else None
    return Inputs(backbone.streams, features, lacking, language)


def _list_upstream(study: Study, feature: str) -> Iterator[str]:
    """A feature after all that it is computed from, without audio and the manifest."""
    if feature in ("manifest", AUDIO.feature):
        return
    for name in describe_extraction(study, feature).inputs:
        yield from _list_upstream(study, name)
    yield feature


def _describe_feature(study: Study, name: str) -> InputFeature:
    section = find_section(study, name)
    keys = section.model_dump(mode="json", exclude=section.list_idle_keys())
    found = weights_identity(study, name)
    known = None if not found or found.startswith("missing:") else found
    return InputFeature(keys, known, _find_files(section.describe_network(), study.weights_folder))


def _find_files(network: Network | None, models_dir: Path) -> dict[str, Path]:
    """The files of a network that decide a row, where its section names them."""
    if network is None or network.files is None or network.weights is None:
        return {}
    with suppress(ModelError):
        folder = locate(network.weights, models_dir)
        return {name: folder / name for name in network.files if (folder / name).is_file()}
    return {}


def read_inputs(folder: Path) -> Inputs | None:
    """Read what `Inputs.write` wrote; None where there is no such file.

    Raises:
        ModelError: it cannot be understood.
    """
    try:
        said = json.loads((folder / FILE).read_text(encoding="utf-8"))
        streams = {role: Stream(**stream) for role, stream in said["streams"].items()}
        features = {
            name: InputFeature(
                dict(feature["section"]),
                feature["weights"],
                {file.name: file for file in (folder / FILES / name).glob("*")},
            )
            for name, feature in said["features"].items()
        }
        return Inputs(streams, features, dict(said["dimensions"]), said["language"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        found = " ".join(str(error).split())
        raise ModelError(f"{folder / FILE} cannot be read ({found}); copy the whole folder again") from error
