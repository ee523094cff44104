"""Weights of strangers: what is checked before a library reads them."""

from __future__ import annotations

import zipfile
from pathlib import Path

from emoadapt.errors import ModelError
from emoadapt.storage.folders import is_sealed, verify_folder

PICKLED = {".pt", ".pth", ".bin", ".ckpt"}
"""Suffixes of files of PyTorch, which are ZIP archives of uncompressed tensors; older ones are no archives."""

READ = {*PICKLED, ".safetensors", ".json", ".txt", ".model", ".py"}
"""Suffixes of files that a library may read unasked; other files may be added to a model."""


def verify_weights(path: Path) -> None:
    """Refuse weights that are not what was saved, or that would fill the memory.

    Args:
        path: file, or folder in Hugging Face format; a folder with a `contents.json` is read whole.

    Raises:
        DataError: a file of a sealed folder is missing, was added or was changed.
        ModelError: as `refuse_inflated`.
    """
    if path.is_dir() and is_sealed(path):
        verify_folder(path, whole=True, refused=READ)
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        refuse_inflated(file)


def refuse_inflated(file: Path) -> None:
    """Refuse a file of PyTorch that unpacks to more than it holds: `torch.save` never compresses.

    Raises:
        ModelError: it does.
    """
    if file.suffix not in PICKLED or not zipfile.is_zipfile(file):
        return
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError):
        return  # torch says what is wrong with it
    if unpacked > (size := file.stat().st_size):
        raise ModelError(
            f"{file} has {size:,} bytes and unpacks to {unpacked:,}, which no file of PyTorch does; it was not read, get it anew"
        )
