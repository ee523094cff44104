"""The 88 functionals of eGeMAPSv02, with its authors' windows.

One vector per clip, in openSMILE's order, names and units; clips shorter than 60 ms fail (`too_short`).
"""

from __future__ import annotations

import pyarrow as pa

from emoadapt import schema
from emoadapt.acoustics.sections import SmileSection
from emoadapt.features.base import Context, Extractor

INPUTS = ("audio",)
TERMS = "computed with openSMILE, whose licence is for research only"
CHUNK_ROWS = 64
JOB = {"memory_mb": 1500, "memory_mb_per_thread": 500, "minutes": 120}

SIZE = 88
TABLE = schema.make_feature_table(
    schema.column(
        "egemaps_functionals",
        pa.list_(pa.float32(), SIZE),
        "(88,) eGeMAPSv02 functionals in the order and units of openSMILE (feature_names of its Python package)",
    ),
)


class Config(SmileSection):
    """eGeMAPSv02's 88 functionals, with the windows that belong to the set. It has no keys."""


def load(config: Config, context: Context) -> Extractor:
    """Start openSMILE."""
    from emoadapt.acoustics.components import WINDOWS
    from emoadapt.acoustics.smile import EGEMAPS, Smile, SmileExtractor

    smile = Smile(EGEMAPS, "func", WINDOWS["stock"], SIZE)
    return SmileExtractor(smile, lambda frames: {"egemaps_functionals": frames[0]})
