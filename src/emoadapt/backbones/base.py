"""Interface of a family of backbones, and the lookup of a family.

A family is a module here, or in the folder `backbones` of a study's own plug-ins, with

* `ARCHITECTURES`: names that a study may write for it, a literal; without it the module's own name is the only one;
* `Config`: a section of the study, a subclass of `config.backbones.Backbone` (`layers.settings.SpeechSettings` for speech
  models), whose `architecture` is a `Literal` of these names, and whose `streams` say what the family reads;
* `MODEL_TYPES`: what `model_type` in `config.json` says of its folders, a literal; empty: it has none;
* `CHECKPOINTS`: suffixes of files that it loads, a literal; may be left out. Where several families have one, a study names the
  architecture of such a file;
* `LOADED_BY`: the library that computes its embeddings from such a folder, `transformers` or `emoadapt`;
* `NOTICE`: what its licence asks the card of every trained model to say, a sentence; empty: nothing;
* `load(config, models_dir, source)`: a loaded backbone, a `layers.trainable.TrainableBackbone` or, without parameters, a
  `layers.vector.VectorBackbone`; see `load_backbone`;
* `load_folder(folder, architecture, *, origin, trained)`: the same from a folder, see below; not where `MODEL_TYPES` is empty;
* `list_notes(folder)`: sentences on what `load_folder` assumes of a folder that lacks something; may be left out.

Nothing here imports a family, so that a new one changes no digest of another's job: a job names the modules of
`list_modules`.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from emoadapt.config.architectures import list_architectures
from emoadapt.errors import ConfigError, ModelError
from emoadapt.plugins import check_plugin, collect_declarations, load_plugin
from emoadapt.weights.registry import locate
from emoadapt.weights.untrusted import verify_weights

if TYPE_CHECKING:
    from emoadapt.config.backbones import Backbone

AUTO = "auto"
"""Architecture that is read from the weights."""

REQUIRED = ("MODEL_TYPES", "LOADED_BY", "NOTICE")
"""Literals that a family must declare: no default could be true of all."""


def load_backbone(config: Backbone, models_dir: Path, source: Path | None = None) -> Any:
    """Load a backbone, set up as a study wants it.

    Args:
        config: architecture, weights or the dimensions of an untrained model, and what is trained of it.
        models_dir: folder of weights; a hub id that is no folder in it is looked for in the Hugging Face cache.
        source: folder of an adapted model of that backbone, loaded instead.

    Raises:
        ModelError: weights are missing, incomplete, or of another architecture.
        ConfigError: the architecture is not known, or its module cannot be used.
    """
    return load_family(find_family(config.architecture)).load(config, models_dir, source)


def load_folder(folder: Path, architecture: str | None = None, *, origin: str, trained: bool) -> Any:
    """Load a model folder, or a checkpoint file, by the family that it says it is of.

    Args:
        folder: in Hugging Face format, anybody's or written by `save`; or a file of a family with `CHECKPOINTS`.
        architecture: that it must be; None or `auto`: any.
        origin: where the weights come from, for messages and the model card.
        trained: False for random weights.

    Raises:
        ModelError: it is missing, incomplete, or of another architecture.
        DataError: it was saved with a `contents.json`, and is not what was saved.
    """
    verify_weights(folder)
    found, said = _recognise(folder, architecture)
    wanted = None if architecture in (None, AUTO) else find_family(architecture)
    if wanted not in (None, found):
        article = "an" if said and said[0] in "aeiou" else "a"
        raise ModelError(
            f"{origin} is {article} {said} model, the configuration says {architecture}; change `architecture` or `weights`"
        )
    return load_family(found).load_folder(folder, architecture, origin=origin, trained=trained)


def list_notes(path: Path) -> list[str]:
    """Sentences on what loading a folder assumes, since the folder does not say it.

    Raises:
        ConfigError: the family lacks something that it must declare.
    """
    if not path.is_dir():
        return []
    family = load_family(_recognise(path, None)[0])
    return family.list_notes(path) if hasattr(family, "list_notes") else []


def load_family(name: str) -> ModuleType:
    """Import a family.

    Raises:
        ConfigError: it lacks something that it must declare.
    """
    module = load_plugin("backbones", name)
    required = (*REQUIRED, "Config", "load", *(["load_folder"] if getattr(module, "MODEL_TYPES", None) else []))
    if lacking := [item for item in required if not hasattr(module, item)]:
        raise ConfigError(
            f"backbone architecture {name} cannot be used: {module.__file__} lacks {', '.join(lacking)}; "
            "see docs/add-a-backbone.md"
        )
    return module


def find_family(architecture: str) -> str:
    """Name of the plug-in of an architecture, found without importing it.

    Raises:
        ConfigError: there is none.
    """
    known = list_architectures()
    return known[architecture] if architecture in known else check_plugin("backbones", architecture)


def module_of(architecture: str) -> str:
    """Module of an architecture's family, for digests."""
    return f"emoadapt.backbones.{find_family(architecture)}"


def list_modules(config: Backbone, models_dir: Path, *, pooled: bool = True) -> list[str]:
    """Modules of plug-ins that run for a backbone, which the digest of its jobs must name.

    They are those of its family, of its pooling, of its parts, and with `auto` of the family that its weights say, once they are here.

    Args:
        config: its section.
        models_dir: folder of weights.
        pooled: whether the job pools its frames; kept outputs come before that.
    """
    modules = [module_of(config.architecture)]
    if config.architecture == AUTO:
        for weights, revision in config.list_weights():
            try:
                modules.append(f"emoadapt.backbones.{_recognise(locate(weights, models_dir, revision), None)[0]}")
            except ModelError:
                continue
    for part in config.parts.values():
        modules += list_modules(part, models_dir, pooled=pooled)
    if pooled and config.layered and (pooling := getattr(config, "pooling", None)):
        modules.append(f"emoadapt.poolings.{pooling if isinstance(pooling, str) else pooling['name']}")
    return list(dict.fromkeys(modules))


def list_model_types(section: type[Backbone]) -> list[str]:
    """Values of `model_type` in the folders of families whose sections are of a kind."""
    declared = collect_declarations("backbones", "MODEL_TYPES")
    return [kind for name, kinds in declared.items() if issubclass(load_family(name).Config, section) for kind in kinds]


def _recognise(path: Path, architecture: str | None) -> tuple[str, str | None]:
    """Family of a folder or file, the wanted one where several know it, and the model type that it states.

    Raises:
        ModelError: it is a file that several families may load, and none is wanted.
    """
    wanted = None if architecture in (None, AUTO) else find_family(architecture)
    if path.is_file():
        said, known = path.suffix, collect_declarations("backbones", "CHECKPOINTS")
    else:
        said, known = _read_model_type(path), collect_declarations("backbones", "MODEL_TYPES")
    families = [name for name, values in known.items() if said in values]
    if wanted is not None and (wanted in families or said is None):
        return wanted, said
    found = families[0] if families else find_family(AUTO)
    if not path.is_file():
        return found, said
    if wanted is None and len(families) > 1:
        raise ModelError(
            f"{path} does not say whether it is a model of {' or '.join(families)}; name its `architecture`"
        )
    return found, " or ".join(families) or found


def _read_model_type(folder: Path) -> str | None:
    """`model_type` of a folder's configuration; None where there is none."""
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        return None
