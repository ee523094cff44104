"""A decoder for `test_decoding.py` that crashes; in a file of its own, so that worker processes can import it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Mapping
from typing import Any

from emoadapt.inference.decoding import Decoder, Item


class Fragile(Decoder):
    """Crashes behind the first window of files whose name begins with `bad`."""

    def iterate(self, row: Mapping[str, Any]) -> Iterator[Item]:
        for item in super().iterate(row):
            yield item
            if row["file"].name.startswith("bad"):
                assert os.getpid() != os.getppid()
                ctypes.string_at(0)
