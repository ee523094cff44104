"""Streams of decoded clips, computed by the features of a classifier's study.

A classifier that reads more than audio is given the rows that an extraction would compute of the same clips, by the same extractors: what
it then predicts is what a test run of its study predicts.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import torch
from pydantic import ValidationError
from torch import Tensor

from emoadapt import schema
from emoadapt.data.batching import Batch, collate_clips
from emoadapt.data.clips import Clip, read_stream, to_tensor
from emoadapt.errors import ConfigError, ModelError
from emoadapt.features.base import Context, Extraction, Extractor, FeatureSection
from emoadapt.flow.upstream import Row, join_rows, list_own_columns, make_heads
from emoadapt.inference.inputs import TRANSCRIPT, InputFeature, Inputs
from emoadapt.plugins import list_plugins, load_plugin, read_declaration
from emoadapt.storage.notes import join_notes, split_notes
from emoadapt.weights.registry import identity

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

LACKS = "stream_absent"
"""Code of the note on a clip that lacks a stream without which it can be predicted."""


class Decoded(Protocol):
    """A decoded clip."""

    @property
    def file(self) -> Path:
        """It is of."""

    @property
    def samples(self) -> NDArray[np.int16]:
        """(n_samples,), 16 kHz."""

    @property
    def notes(self) -> str | None:
        """What is odd about them."""


@dataclass(frozen=True)
class Probe:
    """A clip of no file."""

    samples: NDArray[np.int16]
    file: Path = Path("probe")
    notes: str | None = None


@dataclass(frozen=True)
class Found:
    """What a classifier is given of a clip.

    Args:
        clip: its streams; None: it cannot be predicted.
        status: `ok`, or that of the stream which is lacking.
        reason: why it is not ok; notes, where it is.
        text: that was read; None: none was.
    """

    clip: Clip | None
    status: str = "ok"
    reason: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class _Feature:
    extraction: Extraction
    extractor: Extractor


class FeatureReader:
    """Computes the streams of a classifier.

    Args:
        inputs: of the classifier.
        models_dir: folder of weights.
        device: `cpu` or `cuda`.
        transcripts: file -> what is said in it; None: it is recognised.
        language: ISO 639-1 code of what is spoken; None: that of the study, else it is recognised.
        languages: file -> code, of files whose language is another one.

    Raises:
        ConfigError: texts or a language are given to a model that reads no text.
        ModelError: a feature cannot be computed here: it reads video, is a plug-in of the study, or lacks weights.
    """

    def __init__(
        self,
        inputs: Inputs,
        models_dir: Path,
        device: str = "cpu",
        *,
        transcripts: Mapping[Path, str] | None = None,
        language: str | None = None,
        languages: Mapping[Path, str] | None = None,
    ) -> None:
        self.inputs, self.language, self.transcripts = inputs, inputs.language, transcripts or {}
        self.languages = languages or {}
        if TRANSCRIPT not in inputs.features and not (transcripts is None and language is None and not languages):
            option = "--language" if transcripts is None else "--transcripts"
            raise ConfigError(f"the model reads {' and '.join(self._list_read())} and no text; leave {option} out")
        for name in inputs.features:
            self._check_feature(name)
        own: dict[str, Any] = {} if language is None else {"language": language}
        if languages:
            # The section's would be that of all files.
            self.language = language or inputs.features[TRANSCRIPT].section.get("language") or inputs.language
            own["language"] = None
        if transcripts is not None:
            own |= {"engine": "corpus", "timestamps": False}
        self._features = {
            name: _load_feature(name, feature, models_dir, device, own if name == TRANSCRIPT else {})
            for name, feature in inputs.features.items()
        }
        self._dimensions = dict(inputs.dimensions)

    def _list_read(self) -> list[str]:
        return list(dict.fromkeys(stream.feature for stream in self.inputs.streams.values()))

    def _check_feature(self, name: str) -> None:
        """Refuse a feature that no file alone can give.

        Raises:
            ModelError: see `FeatureReader`.
        """
        read = " and ".join(self._list_read())
        if name not in list_plugins("features"):
            raise ModelError(
                f"the model reads {read}, and the feature {name} is a plug-in of its study; set EMOADAPT_PLUGINS to the folder of "
                "these plug-ins"
            )
        if read_declaration("features", name, "READS_MEDIA"):
            raise ModelError(
                f"the model reads {read}, and {name} is computed from the media themselves; predict decodes audio only, so predict its "
                "clips in a study instead"
            )

    def read(self, clips: Sequence[Decoded]) -> list[Found]:
        """Compute the streams of clips, in their order; what is wrong with one is in its status."""
        tables = {"manifest": list(map(self._list_manifest, range(len(clips)), clips)), "audio": _list_audio(clips)}
        for name, feature in self._features.items():
            tables[name] = _extract(feature, tables)
        return [
            self._join(number, {name: rows[number] for name, rows in tables.items()}) for number in range(len(clips))
        ]

    def collate(self, clips: Sequence[Clip]) -> Batch:
        """Put clips together, as in a test run."""
        return collate_clips(clips, self.inputs.streams)

    def _list_manifest(self, number: int, clip: Decoded) -> Row:
        return {
            **dict.fromkeys(schema.MANIFEST.names),
            "utterance_id": str(number),
            "language": self.languages.get(clip.file, self.language),
            "transcript": self.transcripts.get(clip.file),
        }

    def _join(self, number: int, rows: Mapping[str, Row]) -> Found:
        """What the classifier is given of a clip, from its row of each feature."""
        streams, absent, lacks = dict[str, Tensor](), set[str](), []
        text = rows[TRANSCRIPT]["text"] if TRANSCRIPT in rows else None
        for role, stream in self.inputs.streams.items():
            row = rows[stream.feature]
            if row["status"] == "ok":
                streams[role] = to_tensor(read_stream(row, stream), stream)
                continue
            reason = re.sub(r"^upstream \w+: ", "", row["reason"])
            if not streams:
                return Found(None, row["status"], reason, text)
            absent.add(role)
            streams[role] = self._stand_in(role)
            lacks.append(f"{LACKS}: {stream.feature}: {reason}")
        notes = [note for row in rows.values() if row.get("status") == "ok" for note in split_notes(row["reason"])]
        return Found(Clip(str(number), streams, absent=frozenset(absent)), "ok", join_notes([*notes, *lacks]), text)

    def _stand_in(self, role: str) -> Tensor:
        """What stands for a stream that a clip lacks, as `data.clips.Source.stand_in` gives it."""
        match self.inputs.streams[role].layout:
            case "tokens":
                return torch.zeros(1, dtype=torch.int64)
            case "samples":
                return torch.zeros(1)
            case "frames":
                return torch.zeros(1, self._find_dimension(role))
        return torch.zeros(self._find_dimension(role))

    def _find_dimension(self, role: str) -> int:
        """Values of a frame or of a vector: those of the study, else those of a probe.

        A study that read kept outputs in place of the stream knows no values of it.

        Raises:
            ModelError: the probe has none.
        """
        if role not in self._dimensions:
            stream = self.inputs.streams[role]
            row = self._probe()[stream.feature]
            if row["status"] != "ok":
                raise ModelError(
                    f"the model's features.json does not say how many values {stream.feature} has, and a second of noise has none "
                    f"({row['reason']}); train the model again without kept outputs"
                )
            self._dimensions[role] = read_stream(row, stream).shape[-1]
        return self._dimensions[role]

    def _probe(self) -> dict[str, Row]:
        """Row of each feature of a second of noise in which one word is said."""
        noise = np.random.default_rng(0).normal(scale=3000, size=schema.SAMPLE_RATE).astype(np.int16)
        clip = Probe(noise)
        tables = {"manifest": [self._list_manifest(0, clip)], "audio": _list_audio([clip])}
        for name, feature in self._features.items():
            tables[name] = _say(feature, "yes") if name == TRANSCRIPT else _extract(feature, tables)
        return {name: rows[0] for name, rows in tables.items()}


def _list_audio(clips: Sequence[Decoded]) -> list[Row]:
    return [
        {
            "utterance_id": str(number),
            "key": "",
            "status": "ok",
            "reason": clip.notes,
            "audio": clip.samples.astype("<i2").tobytes(),
            "n_samples": len(clip.samples),
        }
        for number, clip in enumerate(clips)
    ]


def _load_feature(name: str, feature: InputFeature, models_dir: Path, device: str, own: Mapping[str, Any]) -> _Feature:
    """A feature's extractor; `own` are keys that are not those of the study.

    Raises:
        ModelError: its section cannot be understood, or its weights cannot be had.
    """
    module = load_plugin("features", name)
    try:
        config = module.Config.model_validate({**feature.section, **own})
    except ValidationError as error:
        found = error.errors()[0]
        raise ModelError(
            f"the model's features.json has a section {name} that this version cannot read "
            f"({'.'.join(map(str, found['loc']))}: {found['msg']}); use the version that trained the model"
        ) from None
    if name == TRANSCRIPT and config.engine == "corpus" and "engine" not in own:
        raise ModelError(
            "the model has learned from the corpus's own transcripts, and no recogniser is configured; give the texts with --transcripts"
        )
    config = _use_copies(config, feature) if feature.files else config
    context = Context(models_dir, device if config.needs_gpu() else "cpu", torch.get_num_threads())
    advice = "; or give the texts with --transcripts" if name == TRANSCRIPT else ""
    try:
        extractor = module.load(config, context)
    except ModelError as error:
        raise ModelError(f"{name}, which the model reads, cannot be computed: {error}{advice}") from error
    if not feature.files:
        _compare_weights(name, config, feature, models_dir)
    return _Feature(Extraction(module.TABLE, tuple(module.INPUTS), config.list_manifest_columns()), extractor)


def _use_copies(config: FeatureSection, feature: InputFeature) -> FeatureSection:
    """The section with the place of the copied files instead of the name of the weights that they are of."""
    network = config.describe_network()
    place = str(next(iter(feature.files.values())).parent.absolute())
    keys = [key for key, value in config if network is not None and value == network.weights]
    return config.model_copy(update=dict.fromkeys(keys, place))


def _compare_weights(name: str, config: FeatureSection, feature: InputFeature, models_dir: Path) -> None:
    """Warn where a network is not the one that the study had."""
    network = config.describe_network()
    if network is None or network.weights is None or feature.weights is None:
        return
    found = identity(network.weights, models_dir, files=network.files)
    if found != feature.weights:
        logger.warning(
            "%s: the weights %s in %s are %s, and the study had %s; predictions may differ from those of the study",
            name, network.weights, models_dir, found, feature.weights,
        )  # fmt: skip


def _extract(feature: _Feature, tables: Mapping[str, list[Row]]) -> list[Row]:
    """Rows of a feature as its table has them, from those of its inputs."""
    inputs = feature.extraction.inputs
    heads = make_heads(feature.extraction, [tables[name] for name in inputs])
    usable = [place for place, head in enumerate(heads) if not head["blocked"]]
    given = [[_choose_columns(name, tables[name][place]) for place in usable] for name in inputs]
    results = iter(feature.extractor.extract(join_rows(feature.extraction, given, None)) if usable else ())
    rows = [
        {**dict(zip(("status", "reason"), head["blocked"], strict=True))} if head["blocked"] else next(results)
        for head in heads
    ]
    named = [
        {"status": "ok", **row, "utterance_id": head["utterance_id"], "key": ""}
        for head, row in zip(heads, rows, strict=True)
    ]
    # Types are those of the table, as where a feature is read from disk.
    return pa.Table.from_pylist(named, schema=feature.extraction.table).to_pylist()


def _say(feature: _Feature, text: str) -> list[Row]:
    """A row of a transcript."""
    empty = dict.fromkeys(feature.extraction.table.names)
    return [{**empty, "utterance_id": "0", "key": "", "status": "ok", "text": text}]


def _choose_columns(name: str, row: Row) -> Row:
    return {column: row.get(column) for column in list_own_columns(name)}
