"""Checkpoints of fairseq, read without fairseq and without running code from them.

Such a file is a pickle in which dictionaries, tokenisers and configuration objects of fairseq and omegaconf lie beside the
weights. torch's restricted unpickler makes tensors and plain containers; every other class that a file names is replaced by an
inert one, which keeps what it is given and does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from emoadapt.errors import ModelError


class _Inert:
    """Stands for an object of a class that is not loaded."""

    origin = ""
    state: Any = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Take whatever the real one would."""

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _make_dictionary(*_: Any) -> dict[Any, Any]:
    return {}


_REPLACED = {"collections.defaultdict": _make_dictionary}
"""Class whose instances are filled by the unpickler itself, which fills plain containers only -> what makes one."""


def read_fairseq(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read configuration and weights of a fairseq checkpoint; optimiser states stay on disk.

    Args:
        file: what `fairseq-train` or `fairseq-hydra-train` saved.

    Returns:
        The configuration as plain containers: sections `model`, `task` and others; older files have one list of options, which
        stands as `model` and as `task`. The state dictionary, on the CPU, with the names and types that it was saved with.

    Raises:
        ModelError: it is no such checkpoint, or cannot be read without running code from it.
    """
    try:
        unknown = torch.serialization.get_unsafe_globals_in_checkpoint(str(file))
        inert = [(_REPLACED.get(name) or type("_Inert", (_Inert,), {"origin": name}), name) for name in unknown]
        with torch.serialization.safe_globals(inert):
            state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, EOFError, ValueError, RuntimeError, UnpicklingError) as error:
        # torch puts its advice, which is to trust the file, before the reason
        reason = str(error).rpartition("WeightsUnpickler error:")[2].strip() or type(error).__name__
        raise ModelError(
            f"{file} cannot be read as a checkpoint of fairseq ({reason.splitlines()[0]}); nothing in it was run, fetch it again"
        ) from error
    weights = state.get("model") if isinstance(state, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise ModelError(f"{file} holds no state dictionary named `model`, so it is no checkpoint of fairseq")
    config = _plain(state.get("cfg"))
    if not isinstance(config, dict):
        options = _plain(state.get("args"))
        config = {"model": options, "task": options} if isinstance(options, dict) else {}
    return config, dict(weights)


def _plain(value: Any) -> Any:
    """Containers of omegaconf, and namespaces, as dictionaries and lists; None for any other object."""
    if isinstance(value, _Inert):
        content = value.state if isinstance(value.state, Mapping) else {}
        if value.origin == "argparse.Namespace":
            return _plain(content)
        # omegaconf keeps a container's items in _content and a leaf's value in _val
        return _plain(content.get("_content", content.get("_val"))) if value.origin.startswith("omegaconf.") else None
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
