"""The 6,373 functionals of ComParE 2016.

Schuller et al. 2016, "The INTERSPEECH 2016 Computational Paralinguistics Challenge"; the usual input of a classical
baseline. One vector per clip, in openSMILE's order, names and units; clips shorter than 60 ms fail (`too_short`).

openSMILE's linear prediction of a contour that is constant but for one frame gives no number. Such a clip, digital silence
with a click in it, fails (`not_finite`).
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

SIZE = 6373
TABLE = schema.make_feature_table(
    schema.column(
        "compare_functionals",
        pa.list_(pa.float32(), SIZE),
        "(6373,) ComParE_2016 functionals in the order and units of openSMILE (feature_names of its Python package)",
    ),
)


class Config(SmileSection):
    """ComParE_2016's 6,373 functionals, with the windows that belong to the set. It has no keys."""


def load(config: Config, context: Context) -> Extractor:
    """Start openSMILE."""
    from emoadapt.acoustics.components import WINDOWS
    from emoadapt.acoustics.smile import COMPARE, Smile, SmileExtractor

    smile = Smile(COMPARE, "func", WINDOWS["stock"], SIZE)
    return SmileExtractor(smile, lambda frames: {"compare_functionals": frames[0]})
