"""O1, speech: the utterance's mean eGeMAPS low-level descriptors (G25, Sec. III-A)."""

from emoadapt.objectives.base import Regression

FEATURE = "egemaps"
COLUMN = "egemaps"


class Objective(Regression):
    """Regression of 25 z-scored descriptors."""
