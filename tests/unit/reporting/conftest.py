"""A small synthetic study: predictions are invented, everything after them is computed by the package."""

import json
import shutil

import numpy as np
import polars as pl
import pytest

from emoadapt import schema
from emoadapt.config import load_study
from emoadapt.evaluation.comparisons import Scoring
from emoadapt.evaluation.evaluate import evaluate_task
from emoadapt.evaluation.questions import pose_question
from emoadapt.flow.shards import shard_names
from emoadapt.reporting.audits import AUDIT_TABLES
from emoadapt.reporting.figures import write_figures
from emoadapt.reporting.inputs import ReportInputs
from emoadapt.reporting.runs import list_batches
from emoadapt.reporting.tables import write_tables
from emoadapt.storage.tables import read_table, write_table
from emoadapt.study.nodes import Model
from emoadapt.tasks.leaks import find_leaks, read_clips

CLASSES = ("anger", "happiness", "neutral", "sadness")
SCRIPT = "<script>alert(1)</script>"
SKILL = {"original": 0.40, "multimodal": 0.58, "speech_only": 0.46}
BONUS = {"egemaps": -0.05, "wavlm": 0.0, "tiny": 0.0}
GAIN = {"64": 0.0, "256": 0.08, "full": 0.15}


def study_values(**changes):
    values = {
        "study": "trial",
        "models_dir": "models",
        "corpora": {
            "films": {"importer": "folder", "root": "films", "modalities": ["audio", "video"]},
            "crema_d": {"importer": "crema_d", "root": "crema", "labels": "audiovisual"},
            "msp_improv": {"importer": "csv", "root": "improv", "file": "labels.csv"},
        },
        "backbones": {
            "tiny": {"architecture": "wav2vec2", "untrained": {}},
            "wavlm": {"architecture": "wavlm", "weights": "microsoft/wavlm-base"},
            "egemaps": {"architecture": "vector", "reads": "egemaps"},
        },
        "finetunings": {
            "default": {"backbones": ["tiny", "wavlm"]},
            "probe": {"method": "probe", "backbones": ["wavlm"], "tasks": ["improv"]},
            "mlp": {"backbones": ["egemaps"], "epochs": 100},
        },
        "adaptations": {
            "multimodal": {"corpora": ["films"], "objectives": {"egemaps": 1, "sentiment": 0.5, "face": 1}},
            "speech_only": {"corpora": ["films"], "objectives": {"egemaps": 1}, "backbones": ["tiny"]},
        },
        "tasks": {
            "crema": {
                "corpus": "crema_d",
                "classes": list(CLASSES),
                "split": {"by": "fractions"},
                "subsets": [64, 256, "full"],
                "test_also": ["msp_improv"],
            },
            "improv": {"corpus": "msp_improv", "classes": [*CLASSES[:3], SCRIPT], "split": {"by": "official"}},
        },
        "report": {"bootstrap": 200, "paper": "goncalves2025", "baseline": "egemaps.original.mlp"},
    }
    values |= changes
    if "improv" not in values["tasks"] and "finetunings" not in changes:
        del values["finetunings"]["probe"]
    if not values["tasks"] and "report" not in changes:
        del values["report"]
    return load_study(values)


def invent_predictions(setting, run, classes, corpus, size):
    task, (backbone, start, finetuning), subset, seed = setting.task, setting.model, setting.subset, run.seed
    difficulty = np.random.default_rng(7)  # the same utterances are hard for every model
    labels = difficulty.integers(len(classes), size=size)
    ease = difficulty.random(size)
    own = np.random.default_rng([seed, run.partition, len(backbone), len(start), len(subset), len(finetuning)])
    skill = SKILL[start] + BONUS[backbone] + GAIN[subset] - (0.15 if corpus == "msp_improv" and task == "crema" else 0)
    right = 0.7 * ease + 0.3 * own.random(size) < skill + 0.02 * own.normal()
    guesses = np.where(right, labels, own.integers(len(classes), size=size))
    base = dict(task=task, **setting.model._asdict(), subset=subset, **vars(run), test_corpus=corpus)
    return [
        {**base, "utterance_id": f"{corpus}/{i}", "speaker": f"s{i % 9}", "sex": ("female", "male")[i % 2],
         "label": classes[t], "predicted": classes[g], "logits": [3.0 * (1 - ease[i]) * (k == g) for k in range(len(classes))]}
        for i, (t, g) in enumerate(zip(labels, guesses, strict=True))
    ]  # fmt: skip


def invent_embeddings(rows):
    generator = np.random.default_rng([rows[0]["seed"], len(rows[0]["start"])])
    shift = {"64": 0.9, "256": 0.7, "full": 0.8}[rows[0]["subset"]] * (0.6 if rows[0]["start"] != "original" else 1)
    out = []
    for row in rows[:20]:
        start_point = generator.normal(size=16)
        tuned = start_point + shift * generator.normal(size=16)
        keys = {name: row[name] for name in schema.EMBEDDINGS.names if name in row}
        out.append({**keys, "tuned": tuned.tolist(), "start_point": start_point.tolist()})
    return out


def invent_curves(run, objectives):
    rows = []
    scores = [(f"{'accuracy' if name == 'sentiment' else 'ccc'}_{name}", 0.5) for name in objectives]
    scores += [(f"majority_{name}", 0.4) for name in objectives if name == "sentiment"]
    for metric, scale in [("loss", 2.0), *((f"loss_{name}", 1.0) for name in objectives), *scores]:
        held = [scale * (0.6 + 0.4 * np.exp(-e / 5) + 0.0006 * max(0, e - 22) ** 2) for e in range(31)]
        for epoch, value in enumerate(held):
            for part, number in (("train", scale * (0.5 + 0.5 * np.exp(-epoch / 6))), ("held_out", value)):
                rows.append(
                    dict(stage="stage1", run=run, epoch=epoch, part=part, metric=metric, value=number, best=epoch == 21)
                )
    return rows


def invent_adaptation(objectives):
    """What a Stage-1 model says of its targets: only those of `sentiment` are classes."""
    return {
        "objectives": objectives,
        "utterances": {"train": 51, "held_out": 9},
        "targets": {name: {"train": 40, "held_out": 8} for name in objectives},
        "classes": {"sentiment": {"train": [[10, 25, 5]], "held_out": [[2, 6]]}} if "sentiment" in objectives else {},
        "normalisers": [],
    }


def invent_run_curves(setting, run):
    base, seed = dict(stage="stage2", run=setting.name(run), part="dev"), run.seed
    return [
        {**base, "epoch": epoch, "metric": metric, "value": 0.1 * seed + (1 - 0.8**epoch) / 2, "best": epoch == 6}
        for epoch in range(8)
        for metric in ("loss", "macro_f1")
    ]


def invent_manifest(corpus, size):
    """Clips of 10 speakers; film 0 is the recording of the test clip crema_d/9, and improv clip 3 that of crema_d/3."""
    copies = {("films", 0): "crema_d/9", ("msp_improv", 3): "crema_d/3"}
    empty = dict.fromkeys(("start", "end", "sex", "language", "split", "transcript"))
    return [
        {**empty, "utterance_id": f"{corpus}/{i}", "media": f"{i}.mp4", "fingerprint": copies.get((corpus, i), f"{corpus}/{i}"),
         "speaker": None if corpus == "films" else f"s{i % 10}"}
        for i in range(size)
    ]  # fmt: skip


def write_inputs(study, folder):
    metrics, confusion, comparisons, splits, curves, adapted = [], [], [], {}, [], []
    audits = {}
    for name, task in study.tasks.items():
        splits[name] = [
            folder / "splits" / name / f"{number}.parquet" for number in range(study.count_partitions(name))
        ]
        for number, path in enumerate(splits[name]):
            write_table(path, invent_splits(task, number), schema.SPLITS)
    run_curves, rows = [folder / "run_curves.parquet"], []
    for name, task in study.tasks.items():
        predictions, embeddings = [], []
        for setting in study.list_settings(name):
            for place, runs in list_batches(study, setting, splits[name], folder):
                answers = []
                for run in runs:
                    rows += invent_run_curves(setting, run) if setting.subset == "full" and run.seed < 3 else []
                    found = [
                        row
                        for corpus, size in [(task.corpus, 240), *((c, 90) for c in task.test_also)]
                        for number, row in enumerate(invent_predictions(setting, run, task.classes, corpus, size))
                        # Partitions test different clips: every second, every third, every fourth.
                        if task.partitions == 1 or corpus != task.corpus or number % (run.partition + 2) == 0
                    ]
                    answers += found
                    if study.keeps_embeddings(setting.model):
                        embeddings.append(place / f"{run}.embeddings.parquet")
                        write_table(embeddings[-1], invent_embeddings(found), schema.EMBEDDINGS)
                predictions.append(place / "predictions.parquet")
                write_table(predictions[-1], answers, schema.PREDICTIONS)
        scoring = Scoring(
            bootstrap=study.report.bootstrap,
            alternative=study.report.alternative,
            baseline=study.report.baseline and Model.parse(study.report.baseline),
        )
        evaluate_task(pose_question(name, task.kind, task.outputs), predictions, embeddings, folder, scoring)
        for paths, kind in ((metrics, ""), (confusion, ".confusion"), (comparisons, ".comparisons")):
            paths.append(folder / f"{name}{kind}.parquet")
        for kind in AUDIT_TABLES:
            audits.setdefault(kind, []).append(folder / f"{name}.{kind}.parquet")
    for backbone in study.backbones:
        for start in study.starts(backbone)[1:]:
            curves.append(folder / f"curves.{backbone}.{start}.parquet")
            write_table(
                curves[-1], invent_curves(f"{backbone}.{start}", study.adaptations[start].objectives), schema.CURVES
            )
            adapted.append(folder / "models" / f"{backbone}.{start}")
            adapted[-1].mkdir(parents=True)
            facts = invent_adaptation(study.adaptations[start].objectives)
            (adapted[-1] / "adaptation.json").write_text(json.dumps(facts))
    write_table(run_curves[0], rows, schema.CURVES)
    manifests = [folder / "manifests" / corpus / "000.parquet" for corpus in study.corpora]
    for path in manifests:
        write_table(path, invent_manifest(path.parent.name, 60), schema.MANIFEST)
    parts = {name: folder / "targets" / name / "parts.parquet" for name in study.adaptations}
    for path in parts.values():
        films = [dict(utterance_id=f"films/{i}", corpus="films", speaker=None, part="held_out" if i < 9 else "train")
                 for i in range(60)]  # fmt: skip
        write_table(path, films, schema.PARTS)
    audits["leaks"] = [folder / f"{name}.leaks.parquet" for name in study.tasks]
    for name, task, path, split in zip(
        study.tasks, study.tasks.values(), audits["leaks"], splits.values(), strict=True
    ):
        stage1 = {adaptation: study.adaptations[adaptation].corpora for adaptation in study.adaptations_of(name)}
        leaks = find_leaks(name, task, pl.from_arrow(read_table(split)), read_clips(study, manifests), stage1)
        write_table(path, leaks.to_arrow(), schema.LEAKS)
    reasons = [("face_embedding", "absent", "no_face: 0 of 40 frames"), ("audio", "failed", f"decode_error: {SCRIPT} in /home/jane/a.wav at 0.5 s"),
               ("transcript", "absent", "no_words: nothing heard"), ("face_embedding", "absent", "no_face: 0 of 12 frames"),
               ("audio", "noted", "narrow_band: recorded at 8000 Hz, nothing above 4000 Hz")]  # fmt: skip
    quarantine = folder / "quarantine.parquet"
    rows = [
        dict(corpus="films", feature=f, utterance_id=f"films/{i}", status=s, reason=r)
        for i, (f, s, r) in enumerate(reasons)
    ]
    write_table(quarantine, rows, schema.QUARANTINE)
    return ReportInputs(
        metrics=metrics,
        confusion=confusion,
        comparisons=comparisons,
        splits=splits,
        curves=curves,
        run_curves=run_curves,
        quarantine=quarantine,
        manifests=manifests,
        parts=parts,
        audits=audits,
        adapted=adapted,
    )


def invent_splits(task, partition):
    rows = []
    for corpus in (task.corpus, *task.test_also):
        for i in range(60):
            speaker = i % 10
            split = "test" if corpus != task.corpus or speaker > 7 else "dev" if speaker > 5 else "train"
            # One utterance of test speaker 8 is in train: an overlap that must be counted.
            split = "train" if corpus == task.corpus and i == 8 else split
            rows.append(
                dict(utterance_id=f"{corpus}/{i}", corpus=corpus, speaker=f"s{speaker}", sex=None,
                     label=task.classes[i % len(task.classes)], partition=partition, fold=0, split=split)
            )  # fmt: skip
    return rows


def lay_out(study, inputs, results):
    """The inputs under the names that the rules give them, with a curve of every run."""
    places = {f"metrics/{task}{kind}.parquet": path for kind, paths in (("", inputs.metrics), (".confusion", inputs.confusion),
              (".comparisons", inputs.comparisons)) for task, path in zip(study.tasks, paths, strict=True)}  # fmt: skip
    places |= {f"splits/{task}/{path.name}": path for task, paths in inputs.splits.items() for path in paths}
    places |= {f"curves/{path.name.removeprefix('curves.')}": path for path in inputs.curves}
    places |= {f"targets/{name}/parts.parquet": path for name, path in inputs.parts.items()}
    places |= {"quarantine.parquet": inputs.quarantine}
    places |= {f"metrics/{path.name}": path for kind in AUDIT_TABLES for path in inputs.audits[kind]}
    places |= {f"leaks/{path.name.replace('.leaks', '')}": path for path in inputs.audits["leaks"]}
    places |= {f"models/{path.name}/adaptation.json": path / "adaptation.json" for path in inputs.adapted}
    for name, source in places.items():
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, results / name)
    for source in inputs.manifests:
        corpus = source.parent.name
        for shard in shard_names(study.corpora[corpus].shards):
            rows = read_table(source) if shard == "000" else []
            write_table(results / "manifests" / corpus / f"{shard}.parquet", rows, schema.MANIFEST)
    for setting in study.list_settings():
        for folder, runs in list_batches(study, setting, inputs.splits[setting.task], results):
            rows = [row for run in runs for row in invent_run_curves(setting, run)]
            counts = {"left_out": "2", "left_out_train": "1", "left_out_dev": "0"}
            write_table(folder / "curves.parquet", rows, schema.CURVES, counts)
    return results


@pytest.fixture(scope="session")
def results(study, inputs, tmp_path_factory):
    """A folder of results, laid out as by the rules."""
    return lay_out(study, inputs, tmp_path_factory.mktemp("results") / "results")


@pytest.fixture(scope="session")
def make_study():
    return study_values


@pytest.fixture(scope="session")
def make_results():
    """Inputs of a study's report, and a folder of results laid out as by the rules."""

    def make(study, folder):
        inputs = write_inputs(study, folder / "inputs")
        return inputs, lay_out(study, inputs, folder / "results")

    return make


@pytest.fixture(scope="session")
def study():
    return study_values()


@pytest.fixture(scope="session")
def inputs(study, tmp_path_factory):
    return write_inputs(study, tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="session")
def written(study, inputs, tmp_path_factory):
    """A folder with the study's `tables` and `figures`."""
    folder = tmp_path_factory.mktemp("written")
    write_tables(study, inputs, folder / "tables")
    write_figures(study, inputs, folder / "figures")
    return folder
