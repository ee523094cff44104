"""Which features there are, what each is computed from, and what decides its rows. Imports no heavy library."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from emoadapt.config import OnnxNetwork, Study
from emoadapt.errors import ConfigError
from emoadapt.features.base import Extractor
from emoadapt.flow.code import code_digest
from emoadapt.flow.provenance import installed_version
from emoadapt.flow.rows import Recipe
from emoadapt.models.onnx_network import network_identity
from emoadapt.models.registry import identity, list_weights


@dataclass(frozen=True)
class Feature:
    """Where a feature's extractor is, and the tables it reads."""

    module: str
    extractor: str
    inputs: tuple[str, ...]
    libraries: tuple[str, ...]
    """Distributions whose version decides the result."""
    isolated: bool = False
    """Decodes files of any origin: always runs in worker processes, so that a crash or a hang costs one row."""
    parallel: bool = False
    """One clip keeps one core busy: runs in as many worker processes as the job has threads."""
    by_engine: Mapping[str, str] = field(default_factory=dict)
    """Engine -> its extractor, for engines that read other columns of the manifest."""


FEATURES = {
    "audio": Feature("emoadapt.features.audio", "AudioExtractor", ("manifest",), ("av",), isolated=True),
    "egemaps": Feature("emoadapt.features.egemaps", "EgemapsExtractor", ("audio",), ("opensmile",), parallel=True),
    "egemaps_functionals": Feature(
        "emoadapt.features.egemaps_functionals",
        "EgemapsFunctionalsExtractor",
        ("audio",),
        ("opensmile",),
        parallel=True,
    ),
    "egemaps_frames": Feature(
        "emoadapt.features.egemaps_frames", "EgemapsFramesExtractor", ("audio",), ("opensmile",), parallel=True
    ),
    "compare_functionals": Feature(
        "emoadapt.features.compare_functionals",
        "CompareFunctionalsExtractor",
        ("audio",),
        ("opensmile",),
        parallel=True,
    ),
    "compare_frames": Feature(
        "emoadapt.features.compare_frames", "CompareFramesExtractor", ("audio",), ("opensmile",), parallel=True
    ),
    "faces": Feature(
        "emoadapt.features.faces",
        "FacesExtractor",
        ("manifest",),
        ("av", "opencv-python-headless"),
        isolated=True,
    ),
    "face_embedding": Feature(
        "emoadapt.features.face_embedding",
        "FaceEmbeddingExtractor",
        ("faces",),
        ("onnxruntime-gpu", "opencv-python-headless"),
    ),
    "transcript": Feature(
        "emoadapt.features.transcript",
        "TranscriptExtractor",
        ("manifest", "audio"),
        (),
        by_engine={"corpus": "OwnTranscriptExtractor"},
    ),
    "sentiment": Feature("emoadapt.features.sentiment", "SentimentExtractor", ("transcript",), ()),
}


def upstream_features(feature: str) -> list[str]:
    """The features that a feature needs, itself last, in an order in which they can be computed."""
    order = [name for parent in FEATURES[feature].inputs if parent != "manifest" for name in upstream_features(parent)]
    return [*dict.fromkeys(order), feature]


def describe_recipe(study: Study, feature: str) -> Recipe:
    """What decides a feature's rows besides their input."""
    return Recipe(
        feature,
        getattr(study.features, feature).model_dump_json(exclude=_idle_keys(study, feature)),
        study_code(study, *_modules(study, feature)),
        _model_identity(study, feature),
        _library_versions(study, feature),
    )


def needs_gpu(study: Study, feature: str) -> bool:
    """Whether the engine in force runs on a GPU."""
    config = study.features
    return study.device != "cpu" and {
        "faces": config.faces.detector == "mtcnn",
        "face_embedding": True,
        "transcript": config.transcript.engine == "whisper",
        "sentiment": config.sentiment.engine == "transformers",
    }.get(feature, False)


def is_parallel(study: Study, feature: str) -> bool:
    """Whether several clips at a time, each in a process of its own, make use of several cores."""
    if feature == "transcript":
        return study.features.transcript.engine == "pocketsphinx"
    return FEATURES[feature].parallel


def study_code(study: Study, *modules: str) -> str:
    """Digest of modules, or the release's version where the study pins code to it."""
    if study.code == "version":
        from emoadapt import __version__

        return __version__
    return code_digest(*modules)


def load_extractor_class(feature: str, engine: str | None = None) -> type[Extractor]:
    """The extractor's class, with this engine; importing it may load heavy libraries."""
    entry = FEATURES[feature]
    return getattr(importlib.import_module(entry.module), entry.by_engine.get(engine or "", entry.extractor))


def _modules(study: Study, feature: str) -> list[str]:
    """Modules whose code decides a feature; those chosen by name at run time included."""
    modules = [FEATURES[feature].module]
    if feature == "faces":
        modules.append(f"emoadapt.models.detectors.{study.features.faces.detector}")
    return modules


ENGINE_LIBRARIES = {
    "haar": "opencv-python-headless", "yunet": "opencv-python-headless", "mtcnn": "torch", "mediapipe": "mediapipe",
    "whisper": "openai-whisper", "pocketsphinx": "pocketsphinx", "transformers": "transformers", "vader": "vaderSentiment",
}  # fmt: skip
"""Engine that a configuration may choose -> its distribution."""


IDLE_KEYS = {
    "pocketsphinx": ("model", "no_speech_threshold", "compression_ratio", "log_probability", "doubtful"),
    "corpus": ("model", "no_speech_threshold", "compression_ratio", "log_probability", "doubtful", "unknown_language"),
    "vader": ("model",),
}
"""Engine -> keys of its section that it does not read."""


def find_engine(study: Study, feature: str) -> str | None:
    """Engine or detector that a feature is computed with; None where there is no choice."""
    section = getattr(study.features, feature)
    return getattr(section, "engine", getattr(section, "detector", None))


def _library_versions(study: Study, feature: str) -> str:
    """Versions of the libraries at work: after an upgrade no shard holds rows of two versions."""
    if study.code == "version":
        return ""
    names = [*FEATURES[feature].libraries, *filter(None, [ENGINE_LIBRARIES.get(find_engine(study, feature) or "")])]
    return " ".join(f"{name}=={installed_version(name)}" for name in dict.fromkeys(names))


def _idle_keys(study: Study, feature: str) -> set[str]:
    """Keys of a section that do not change its rows as things stand."""
    return {"batch_size", *IDLE_KEYS.get(find_engine(study, feature) or "", ())}


def find_weights(study: Study, feature: str) -> str | None:
    """Registered name, hub id or path of the weights that a feature's engine in force loads; None without weights."""
    config = study.features
    if feature == "faces" and config.faces.detector != "haar":
        return config.faces.weights or config.faces.detector
    if feature == "faces":
        return config.faces.weights
    if feature == "face_embedding" and isinstance(config.face_embedding.network, OnnxNetwork):
        return config.face_embedding.network.file
    if feature == "transcript" and config.transcript.engine == "whisper":
        size = f"whisper/{config.transcript.model}"
        return size if size in list_weights() else config.transcript.model
    if feature == "sentiment" and config.sentiment.engine == "transformers":
        return config.sentiment.model
    return None


def _model_identity(study: Study, feature: str) -> str:
    """Which weights a feature uses, by content; empty for features without."""
    if feature == "face_embedding":
        return network_identity(study.features.face_embedding.network, study.weights_folder)
    weights = find_weights(study, feature)
    return identity(weights, study.weights_folder) if weights else ""


def check_feature(name: str) -> str:
    """The name, if it is one of a feature.

    Raises:
        ConfigError: it is not.
    """
    if name not in FEATURES:
        raise ConfigError(f"feature {name!r} is not known; there is {', '.join(FEATURES)}")
    return name
