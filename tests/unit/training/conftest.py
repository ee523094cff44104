"""A study on synthetic audio whose targets and labels can be learned from the pitch of a tone."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emoadapt import schema
from emoadapt.config import Study, UntrainedBackbone, load_study
from emoadapt.features.cnn import CnnExtractor
from emoadapt.flow.store import read_table, write_table
from emoadapt.models.loading import build_untrained, load_folder

SMALL: dict[str, Any] = {
    "conv_dim": [16, 32], "conv_kernel": [20, 16], "conv_stride": [20, 8], "hidden_size": 32, "layers": 1, "heads": 2,
    "intermediate_size": 32, "conv_pos_kernel": 4, "conv_pos_groups": 4,
}  # fmt: skip
PITCHES = {"low": 200.0, "high": 1200.0}


def make_tone(pitch: float, seconds: float, random: np.random.Generator) -> np.ndarray:
    time = np.arange(int(seconds * schema.SAMPLE_RATE)) / schema.SAMPLE_RATE
    tone = np.sin(2 * np.pi * pitch * random.uniform(0.9, 1.1) * time + random.uniform(0, 6))
    return ((0.3 * tone + 0.03 * random.standard_normal(len(time))) * 32767).astype("<i2")


@dataclass
class Work:
    """Tables of a small study, as the stages before training leave them."""

    folder: Path
    values: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        corpora = {name: {"importer": "folder", "root": "."} for name in ("talk", "radio", "acted", "other")}
        self.values = {
            "study": "test",
            "device": "cpu",
            "corpora": corpora | {"talk": corpora["talk"] | {"modalities": ["audio", "video"]}},
            "backbones": {"tiny": {"architecture": "wav2vec2", "untrained": dict(SMALL)}},
            "adaptations": {"all": {"corpora": ["talk", "radio"], "epochs": 6, "learning_rate": 3e-3, "batch_size": 8}},
            "tasks": {
                "emotion": {
                    "corpus": "acted", "classes": ["low", "high"], "split": {"by": "folds", "k": 3}, "test_also": ["other"],
                }
            },
            "finetuning": {
                "epochs": 5, "learning_rate": 3e-3, "batch_size": 8, "egemaps_epochs": 10, "egemaps_learning_rate": 1e-2,
            },
        }  # fmt: skip

    @property
    def study(self) -> Study:
        return load_study(self.values)

    def write_unlabelled(self) -> None:
        """Corpus talk has all targets, radio no face column; two clips of talk have no face."""
        random, parts = np.random.default_rng(0), []
        for corpus, objectives in (("talk", ("egemaps", "face", "sentiment")), ("radio", ("egemaps", "sentiment"))):
            rows = []
            for i in range(32):
                high, name = i % 2, f"{corpus}/{i:03}"
                audio = make_tone(list(PITCHES.values())[high], random.uniform(0.15, 0.3), random)
                seen = corpus == "talk" and i not in (3, 4)
                rows.append(
                    {
                        "utterance_id": name, "audio": audio.tobytes(), "n_samples": len(audio),
                        "target_egemaps": [100.0 + 50 * high, 5.0], "mask_egemaps": True,
                        "target_face": [2.0 - 4 * high] * 3 if seen else None, "mask_face": seen,
                        "target_sentiment": [0.1, 0.2, 0.7] if high else [0.8, 0.1, 0.1], "mask_sentiment": True,
                    }
                )  # fmt: skip
                parts.append({"utterance_id": name, "corpus": corpus, "part": "held_out" if i >= 24 else "train"})
            write_table(self.folder / f"train.{corpus}.parquet", rows, schema.training(objectives))
        write_table(self.folder / "parts.parquet", parts, schema.PARTS)
        normalisers = [
            {"objective": "egemaps", "corpus": "*", "mean": [125.0, 5.0], "std": [25.0, 1.0], "n": 48},
            {"objective": "face", "corpus": "talk", "mean": [0.0] * 3, "std": [2.0] * 3, "n": 22},
        ]
        write_table(self.folder / "normalisers.parquet", normalisers, schema.NORMALISERS)

    def write_labelled(self) -> None:
        """36 clips of acted in 3 folds by speaker, 6 of other for testing only; one test clip without audio."""
        random, audio, splits, egemaps = np.random.default_rng(1), [], [], []
        for corpus, count in (("acted", 36), ("other", 6)):
            for i in range(count):
                name, label = f"{corpus}/{i:03}", list(PITCHES)[i % 2]
                samples = make_tone(PITCHES[label], random.uniform(0.15, 0.3), random)
                good = name != "acted/001"
                audio.append(
                    {
                        "utterance_id": name, "key": "k", "status": "ok" if good else "failed",
                        "audio": samples.tobytes() if good else None, "n_samples": len(samples) if good else None,
                    }
                )  # fmt: skip
                vector = random.normal(3.0 if label == "high" else 0.0, 1.0, 25) * 10 + 50
                egemaps.append({"utterance_id": name, "key": "k", "status": "ok", "egemaps": vector.tolist()})
                for fold in range(3):
                    split = "test" if corpus == "other" else ("test", "dev", "train")[(i // 2 - fold) % 3]
                    splits.append(
                        {"utterance_id": name, "corpus": corpus, "speaker": f"{corpus}{i // 2}", "label": label}
                        | {"fold": fold, "split": split}
                        | {
                            "arousal": 4.0 + 2 * (i % 2) + i / 100,
                            "valence": None if i % 5 == 4 else 60.0 - 20 * (i % 2),
                        }
                    )
        subsets = [
            {key: row[key] for key in ("utterance_id", "label", "fold")} | {"resampling": 0}
            for row in splits
            if row["split"] == "train"
        ]
        write_table(self.folder / "audio.parquet", audio, schema.AUDIO)
        write_table(self.folder / "egemaps.parquet", egemaps, schema.EGEMAPS)
        write_table(self.folder / "splits.parquet", splits, schema.SPLITS)
        write_table(self.folder / "subsets.parquet", subsets, schema.SUBSETS)

    def write_cnn(self, source: Path, model: Path | None, target: Path) -> None:
        """CNN frames of the clips of an AUDIO or training table."""
        backbone = (
            build_untrained("wav2vec2", UntrainedBackbone(**SMALL))
            if model is None
            else load_folder(model, origin="adapted", trained=True)
        )
        rows = [row for row in read_table(source).to_pylist() if row["audio"] is not None]
        results = CnnExtractor(backbone).extract(rows)
        names = [{"utterance_id": row["utterance_id"], "key": "k", "status": "ok"} for row in rows]
        write_table(target, [name | result for name, result in zip(names, results, strict=True)], schema.CNN)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)
