"""A study on synthetic audio whose targets and labels can be learned from the pitch of a tone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from emoadapt import schema
from emoadapt.backbones.base import load_folder
from emoadapt.backbones.speech_transformer import UntrainedBackbone, build_untrained
from emoadapt.config import Study, load_study
from emoadapt.data.streams import AUDIO
from emoadapt.extraction.outputs import EXTRACTORS
from emoadapt.features.base import Context
from emoadapt.plugins import load_plugin
from emoadapt.storage.tables import read_table, write_table
from emoadapt.study.nodes import Model, Run, Setting, name_kept
from emoadapt.training.jobs import AdaptationJob, TaskJob, run_job

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
            "backbones": {
                "tiny": {"architecture": "wav2vec2", "untrained": dict(SMALL)},
                "egemaps": {"architecture": "vector", "reads": "egemaps"},
            },
            "adaptations": {"all": {"corpora": ["talk", "radio"], "epochs": 6, "learning_rate": 3e-3, "batch_size": 8}},
            "tasks": {
                "emotion": {
                    "corpus": "acted", "classes": ["low", "high"], "split": {"by": "folds", "k": 3}, "test_also": ["other"],
                }
            },
            "finetunings": {
                "default": {"backbones": ["tiny"], "epochs": 5, "learning_rate": 3e-3, "batch_size": 8},
                "mlp": {"backbones": ["egemaps"], "epochs": 10, "learning_rate": 1e-2, "batch_size": 8},
            },
        }  # fmt: skip

    @property
    def study(self) -> Study:
        return load_study(self.values)

    def tune(self, finetuning: str = "default", **settings: Any) -> None:
        """Change keys of a fine-tuning, or add one."""
        self.values["finetunings"].setdefault(finetuning, {}).update(settings)

    def add_probe(self, **settings: Any) -> None:
        """A probe on the kept layers of `tiny`: the model `tiny.original.probe`."""
        named = settings.get("classifier", "linear")
        machines = {"logistic", "svm"}.issuperset([named] if isinstance(named, str) else named)
        by_epochs = {} if machines else {"epochs": 5, "batch_size": 8}
        self.tune("probe", **{"method": "probe", "backbones": ["tiny"], **by_epochs, **settings})

    def adaptation_job(self, name: str = "model", *, cached: bool = False) -> AdaptationJob:
        """Stage 1 of `tiny`, with the output of its front end cached or not."""
        kinds = {"training": "train", "frontend.tiny": "frontend"} if cached else {"training": "train"}
        shards = {
            kind: {corpus: [self.folder / f"{file}.{corpus}.parquet"] for corpus in ("talk", "radio")}
            for kind, file in kinds.items()
        }
        return AdaptationJob(
            self.study, "tiny", "all", shards, self.folder / name, 1, self.folder / "parts.parquet",
            self.folder / "normalisers.parquet", self.folder / f"{name}.curves.parquet",
        )  # fmt: skip

    def task_job(
        self, model: str = "tiny.original", runs: Sequence[Run] = (Run(),), name: str = "run", *, subset: str = "full",
        reads: Sequence[str] | None = None, start: Path | None = None,
    ) -> TaskJob:  # fmt: skip
        """Runs of a model on `emotion`.

        Args:
            model: of the study.
            runs: what to train.
            name: folder of the output.
            subset: training clips.
            reads: features, and kinds of kept output; None = what its backbone and fine-tuning read.
            start: folder of a Stage-1 model.
        """
        study, parsed = self.study, Model.parse(model)
        backbone, finetuning = study.backbones[parsed.backbone], study.finetunings[parsed.finetuning]
        usual = ("layers",) if backbone.adaptable and finetuning.frozen else backbone.features
        usual = usual if finetuning.reads_clips else ()
        named = {
            kind: name_kept(kind, parsed.backbone, parsed.start) if kind in schema.KEPT else kind
            for kind in (usual if reads is None else reads)
        }
        if not backbone.layered and finetuning.reads_layers:
            named = {name: name for name in study.list_frozen(parsed.backbone, parsed.start).values()}
        shards = {name: {"acted": [self.folder / f"{kind}.parquet"]} for kind, name in named.items()}
        upstream = {
            other: [self.folder / f"{other}.{finetuning.upstream_table}.parquet"] for other in finetuning.upstream
        }
        return TaskJob(
            study, parsed.backbone, parsed.start, shards, self.folder / name, 1, Setting("emotion", parsed, subset),
            runs, [self.folder / "splits.parquet"], start, upstream,
        )  # fmt: skip

    def train(self, *args: Any, **keywords: Any) -> dict[str, pl.DataFrame]:
        """Do a `task_job`, by the method of its fine-tuning; predictions, embeddings and curves."""
        job = self.task_job(*args, **keywords)
        run_job(job, 0)
        kinds: dict[str, pa.Schema] = {"embeddings": schema.EMBEDDINGS, "curves": schema.CURVES}
        kinds["predictions"] = schema.ATTRIBUTE_PREDICTIONS if job.task.attributes else schema.PREDICTIONS
        read = {key: read_table(job.output / f"{key}.parquet", columns) for key, columns in kinds.items()}
        return {key: pl.DataFrame(pl.from_arrow(table)) for key, table in read.items()}

    def edit(self, table: str, change: Callable[[dict[str, Any]], dict[str, Any]], columns: pa.Schema) -> None:
        """Rewrite the rows of a table."""
        path = self.folder / f"{table}.parquet"
        write_table(path, [change(row) for row in read_table(path).to_pylist()], columns)

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
                        | {"partition": 0, "fold": fold, "split": split}
                        | {
                            "arousal": 4.0 + 2 * (i % 2) + i / 100,
                            "valence": None if i % 5 == 4 else 60.0 - 20 * (i % 2),
                        }
                    )
        write_table(self.folder / "audio.parquet", audio, schema.feature_table("audio"))
        write_table(self.folder / "egemaps.parquet", egemaps, schema.feature_table("egemaps"))
        write_table(self.folder / "splits.parquet", splits, schema.SPLITS)

    def spoil_labels(self) -> None:
        """Make every fifth label wrong, so that the scores of runs differ."""
        other = {"low": "high", "high": "low"}
        wrong = {f"acted/{number:03}" for number in range(0, 100, 5)}

        def spoil(row: dict[str, Any]) -> dict[str, Any]:
            return row | {"label": other[row["label"]]} if row["utterance_id"] in wrong else row

        self.edit("splits", spoil, schema.SPLITS)

    def write_descriptors(self) -> None:
        """Compute the descriptors of the clips; `acted/001` has none."""
        rows = [row for row in read_table(self.folder / "audio.parquet").to_pylist() if row["status"] == "ok"]
        plugin = load_plugin("features", "egemaps")
        found = plugin.load(plugin.Config(), Context(Path("models"), "cpu", 1)).extract(rows)
        kept = [
            {"utterance_id": a["utterance_id"], "key": "k", "status": "ok", **b}
            for a, b in zip(rows, found, strict=True)
        ]
        kept.append({"utterance_id": "acted/001", "key": "k", "status": "failed", "reason": "upstream audio: x"})
        write_table(self.folder / "egemaps.parquet", kept, schema.feature_table("egemaps"))

    def add_words(self, *, lacking: tuple[str, ...] = ()) -> None:
        """Words that tell the class, of which some clips have none; the audio of all clips is the same noise."""
        noise = (3000 * np.random.default_rng(3).standard_normal(4000)).astype("<i2").tobytes()
        rows = read_table(self.folder / "audio.parquet").to_pylist()
        same = [row | ({"audio": noise, "n_samples": 4000} if row["audio"] else {}) for row in rows]
        write_table(self.folder / "audio.parquet", same, schema.feature_table("audio"))
        tokens = [
            {
                "utterance_id": row["utterance_id"],
                "key": "k",
                "status": "absent" if row["utterance_id"] in lacking else "ok",
            }
            | {"text_tokens": None if row["utterance_id"] in lacking else [1, 5 + int(row["utterance_id"][-3:]) % 2, 2]}
            for row in rows
        ]
        write_table(self.folder / "text_tokens.parquet", tokens, schema.feature_table("text_tokens"))
        text = {"hidden_size": 16, "layers": 1, "heads": 2, "intermediate_size": 16, "vocabulary": 9, "positions": 8}
        self.values["backbones"] |= {
            "words": {"architecture": "bert", "untrained": text},
            "joint": {
                "architecture": "fusion",
                "of": {"audio": "tiny", "text": "words"},
                "pooling": "gru",
                "embedding": 16,
            },
        }
        self.values["backbones"]["tiny"] |= {"cnn": "frozen", "train_layers": 0}
        self.values["adaptations"] = {}
        self.tune("joint", backbones=["joint"], epochs=5, learning_rate=3e-3, batch_size=8)

    def add_target(self, **settings: Any) -> None:
        """The corpus other becomes the target, without labels: two of its six clips are read; the model `tiny.original.adaptive`."""
        self.values["tasks"]["emotion"] |= {"test_also": [], "target": {"corpus": "other"}}
        usual = {"epochs": 2, "learning_rate": 3e-3, "batch_size": 8}
        self.tune("adaptive", **{"method": "domain", "backbones": ["tiny"], **usual, **settings})
        read = ("other/000", "other/001")

        def hide(row: dict[str, Any]) -> dict[str, Any]:
            if row["corpus"] != "other":
                return row
            return row | {"label": None, "split": "unlabelled" if row["utterance_id"] in read else "test"}

        self.edit("splits", hide, schema.SPLITS)

    def write_frontend(self, source: Path, model: Path | None, target: Path, kind: str = "frontend") -> None:
        """Front end's frames of the clips of an AUDIO or training table; or another kept output."""
        backbone = (
            build_untrained("wav2vec2", UntrainedBackbone(**SMALL))
            if model is None
            else load_folder(model, origin="adapted", trained=True)
        )
        every = read_table(source).to_pylist()
        rows = [row for row in every if row["audio"] is not None]
        results = EXTRACTORS[kind](backbone, {"audio": AUDIO}).extract(rows)
        names = [{"utterance_id": row["utterance_id"], "key": "k", "status": "ok"} for row in rows]
        kept = [name | result for name, result in zip(names, results, strict=True)]
        failed = {"key": "k", "status": "failed", "reason": "upstream audio: x"}
        kept += [{"utterance_id": row["utterance_id"], **failed} for row in every if row["audio"] is None]
        write_table(target, kept, schema.KEPT[kind])

    def write_predictions(self, model: str, logits: Mapping[int, Sequence[float]], *lost: str) -> None:
        """Predictions of a model for the test clips of fold 0: seed -> the same logits for every clip but those that it lacks."""
        clips = [*(f"acted/{i:03}" for i in range(36) if (i // 2) % 3 == 0), *(f"other/{i:03}" for i in range(6))]
        run = {
            "task": "emotion",
            **Model.parse(model)._asdict(),
            "subset": "full",
            "partition": 0,
            "resampling": 0,
            "fold": 0,
        }
        rows = [
            {**run, "seed": seed, "test_corpus": clip.split("/")[0], "utterance_id": clip}
            | {"label": "low", "predicted": "low", "logits": list(values)}
            for seed, values in logits.items()
            for clip in clips
            if clip not in lost
        ]
        write_table(self.folder / f"{model}.predictions.parquet", rows, schema.PREDICTIONS)

    def teach(self, model: str, runs: Sequence[Run]) -> None:
        """Train a teacher on descriptors, and put what it keeps of training clips where its students look for it."""
        backbone, _, finetuning = Model.parse(model)
        self.tune(finetuning, backbones=[backbone], keep="embeddings", epochs=3, learning_rate=1e-2, batch_size=8)
        job = self.task_job(model, runs, model)
        run_job(job, 0)
        (job.output / "training_clips.parquet").replace(self.folder / f"{model}.training_clips.parquet")

    def make_layers(self, telling: int = 1, n_layers: int = 3, width: int = 6, seed: int = 5) -> dict[str, np.ndarray]:
        """Layers (n_layers, width) of noise for the clips of `emotion`, of which one tells the classes apart."""
        random, layers = np.random.default_rng(seed), {}
        for row in read_table(self.folder / "splits.parquet", columns=["utterance_id", "label"]).to_pylist():
            if row["utterance_id"] not in layers:
                values = random.normal(size=(n_layers, width)).astype(np.float32)
                values[telling] += 3.0 if row["label"] == "high" else 0.0
                layers[row["utterance_id"]] = values
        return layers

    def add_joint_probe(self, of: Mapping[str, str], **settings: Any) -> None:
        """A probe on a fusion: the model `joint.original.fused`."""
        text = {"hidden_size": 16, "layers": 1, "heads": 2, "intermediate_size": 16, "vocabulary": 9, "positions": 8}
        words = {"architecture": "bert", "untrained": text}
        self.values["backbones"] |= {"words": words, "joint": {"architecture": "fusion", "of": dict(of)}}
        usual = {"epochs": 5, "batch_size": 8, "learning_rate": 3e-2, "normalise": "none"}
        self.tune("fused", **{"method": "probe", "backbones": ["joint"], **usual, **settings})

    def write_layers(self, layers: Mapping[str, np.ndarray], *failed: str, name: str = "layers") -> None:
        """Layers (n_layers, width) of clips, which `tiny` then has; `failed` and the clip of acted whose audio did have none."""
        if name == "layers":
            self.values["backbones"]["tiny"]["untrained"]["layers"] = len(next(iter(layers.values()))) - 1
        rows = [
            {"utterance_id": clip, "key": "k", "status": "ok", "layers": value.astype("<f4").tobytes()}
            | {"n_frames": len(value), "dimension": value.shape[1]}
            for clip, value in layers.items()
            if clip != "acted/001"
        ]
        lost = {"key": "k", "status": "failed", "reason": "layers_not_finite"}
        rows += [lost | {"utterance_id": clip} for clip in ("acted/001", *failed)]
        write_table(self.folder / f"{name}.parquet", rows, schema.LAYERS)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)
