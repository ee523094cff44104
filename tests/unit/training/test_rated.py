"""The rated clips of a task."""

from pathlib import Path

import pytest

from emoadapt import schema
from emoadapt.errors import TrainingError
from emoadapt.methods.finetune import Config
from emoadapt.storage.tables import write_table
from emoadapt.training.rated import RatedClips


def test_scale_is_that_of_the_training_clips(tmp_path: Path) -> None:
    rows = [
        {"utterance_id": f"c/{i}", "corpus": "c", "partition": 0, "fold": 0, "split": "train", "arousal": value}
        for i, value in enumerate([1.0, 3.0, None, 100.0])
    ]
    write_table(tmp_path / "splits.parquet", rows, schema.SPLITS)
    write_table(tmp_path / "subsets.parquet", [], schema.SUBSETS)
    clips = RatedClips(tmp_path / "splits.parquet", tmp_path / "subsets.parquet", ["arousal"], {})
    head = clips.build_head(Config(), 4, None, 0, ["c/0", "c/1", "c/2"])
    assert (float(head.mean), float(head.std)) == (2.0, 1.0)
    with pytest.raises(TrainingError, match="none of the 1 training clips is rated for arousal"):
        clips.build_head(Config(), 4, None, 0, ["c/2"])
