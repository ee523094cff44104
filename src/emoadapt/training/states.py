"""Names and files of training states.

A state lies beside the output it belongs to, under a name made of all that decides the result: after a change of a setting, the
code, the starting weights, a library or an input, none is found.
"""

from __future__ import annotations

import errno
import shutil
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emoadapt.backbones.base import list_modules
from emoadapt.flow.code import code_digest, describe_libraries, digest
from emoadapt.machine.run import refuse_ended_run
from emoadapt.storage.files import replacing
from emoadapt.storage.folders import is_sealed
from emoadapt.storage.identities import read_identity
from emoadapt.weights.registry import identity

if TYPE_CHECKING:
    from emoadapt.config import Backbone


def name_state(
    settings: Sequence[object],
    modules: Sequence[str],
    libraries: Sequence[str],
    inputs: Iterable[Path],
    backbone: Backbone | None,
    weights: Path,
) -> str:
    """Name of the state of a training, which changes with all that decides its result.

    Args:
        settings: texts and numbers.
        modules: whose code it runs, besides that of the backbone.
        libraries: distributions that its settings bring into use.
        inputs: tables and models, by path and content.
        backbone: what it starts from; None = without one.
        weights: folder of weights.
    """
    states = [(str(path), _identify(path)) for path in inputs]
    start, code, also = "", list(modules), list(libraries)
    if backbone is not None:
        start, code = backbone.describe(), [*code, *list_modules(backbone, weights)]
        also += backbone.list_libraries()
        start += "".join(identity(name, weights, revision) for name, revision in backbone.list_weights())
    return digest(list(settings), start, code_digest(*code), states, describe_libraries(*code, also=also))


def _identify(path: Path) -> object:
    """What a table or a sealed folder says of its content; of another folder, size and time of writing of its files."""
    if not path.is_dir() or is_sealed(path):
        return read_identity(path)
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    return [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]


def remove_others(place: Path, pattern: str) -> None:
    """Remove obsolete checkpoints beside `place` that match a pattern."""
    refuse_ended_run(place)
    for other in place.parent.glob(pattern):
        # A state that is being written has the name of its place and something behind it.
        if not other.name.startswith(place.name):
            shutil.rmtree(other) if other.is_dir() else other.unlink()


def is_whole(path: Path) -> bool:
    """Whether a file is what `torch.save` wrote: by its checksums, and because it can be loaded; little is in memory.

    Raises:
        OSError: the disk cannot be read.
        MemoryError: there is too little memory to look at it, which says nothing of the file.
    """
    import torch

    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return False
        torch.load(path, weights_only=True, mmap=True, map_location="cpu")
    except OSError as error:
        # A place in the file that cannot be: its directory is damaged.
        if error.errno not in (None, errno.EINVAL):
            raise
        return False
    except MemoryError:
        raise
    except Exception:  # whatever the two readers stumble over
        return False
    return True


def save_object(value: Any, path: Path) -> None:
    """Write tensors and plain values in one step."""
    import torch

    with replacing(path) as part:
        torch.save(value, part)


def load_object(path: Path) -> Any:
    """What `save_object` wrote; None if it is damaged."""
    import torch

    return torch.load(path, weights_only=True) if is_whole(path) else None
