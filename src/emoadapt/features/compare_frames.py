"""The 65 low-level descriptors of ComParE and their deltas, frame by frame.

Schuller et al. 2013, "The INTERSPEECH 2013 Computational Paralinguistics Challenge", in openSMILE's configuration of
2016, which fixes numerical faults of the one of 2013.

`window: paper` sets both framers of openSMILE's configuration to G22's window of 32 ms and step of 16 ms, which is as short for
its pitch tracker here as it is in `emoadapt.features.egemaps`; `paper_pitch60`, the default, keeps 60 ms for pitch. openSMILE
computes two deltas more than contours, past the end of the clip; they are left out.
"""

from __future__ import annotations

from emoadapt import schema
from emoadapt.acoustics.sections import WindowedSection
from emoadapt.features.base import Context, Extractor

INPUTS = ("audio",)
TERMS = "computed with openSMILE, whose licence is for research only"
CHUNK_ROWS = 64
JOB = {"memory_mb": 1500, "memory_mb_per_thread": 500, "minutes": 120}

TABLE = schema.make_frames_table(
    "compare_frames",
    "the 65 ComParE_2016 LLD in the order and units of openSMILE (feature_names of its Python package), then their deltas",
)


class Config(WindowedSection):
    """ComParE_2016's 65 low-level descriptors and their deltas, frame by frame."""


def load(config: Config, context: Context) -> Extractor:
    """Start openSMILE. It gives 65 contours, then the deltas of each in the same order."""
    from emoadapt.acoustics.components import WINDOWS
    from emoadapt.acoustics.smile import COMPARE, Smile, SmileExtractor, pack_frames

    windows = WINDOWS[config.window]
    smile = Smile(COMPARE, "lld;lld_de", windows, 130, context.beat)
    return SmileExtractor(smile, lambda frames: pack_frames("compare_frames", frames, windows.step))
