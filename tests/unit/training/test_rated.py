"""The rated clips of a task."""

import pytest

from emoadapt import schema
from emoadapt.errors import TrainingError
from emoadapt.methods.finetune import Config
from emoadapt.storage.frames import make_frame
from emoadapt.training.rated import RatedClips


def test_scale_is_that_of_the_training_clips() -> None:
    rows = [
        {"utterance_id": f"c/{i}", "corpus": "c", "partition": 0, "fold": 0, "split": "train", "arousal": value}
        for i, value in enumerate([1.0, 3.0, None, 100.0])
    ]
    frames = make_frame(rows, schema.SPLITS), make_frame([], schema.SUBSETS)
    clips = RatedClips(*frames, ["arousal"], {})
    head = clips.build_head(Config(), 4, None, 0, ["c/0", "c/1", "c/2"])
    assert (float(head.mean), float(head.std)) == (2.0, 1.0)
    with pytest.raises(TrainingError, match="none of the 1 training clips is rated for arousal"):
        clips.build_head(Config(), 4, None, 0, ["c/2"])
