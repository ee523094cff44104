"""O3, face: the clip's mean facial-expression embedding (G25, Sec. III-C)."""

from emoadapt.objectives.base import Regression

FEATURE = "face_embedding"
COLUMN = "face_embedding"


class Objective(Regression):
    """Regression of the z-scored embedding; masked where no face was seen."""
