"""What can be found out about a study before hours are spent on it."""

from __future__ import annotations

import io
import math
from contextlib import redirect_stdout
from typing import cast

import numpy as np
import polars as pl
import pyarrow as pa

from emoadapt import schema
from emoadapt.config import CremaDCorpus, OnnxNetwork, Study
from emoadapt.corpora.accounts import describe_content, read_notes
from emoadapt.corpora.base import note_names, read_utterances
from emoadapt.corpora.classes import describe_labels
from emoadapt.corpora.leaks import (
    REMARKS,
    describe_clips,
    describe_leak,
    explain_refusals,
    find_leaks,
    find_stage1_copies,
)
from emoadapt.corpora.manifests import list_label_rows, list_manifest
from emoadapt.corpora.segments import refuse_segments_outside
from emoadapt.corpora.splits import build_task
from emoadapt.corpora.subsets import draw_subsets
from emoadapt.corpora.task_notes import list_task_notes
from emoadapt.dag import Graph
from emoadapt.data.held_out import draw_parts
from emoadapt.errors import EmoadaptError
from emoadapt.features.advice import advise_features
from emoadapt.flow.devices import list_devices
from emoadapt.models.registry import identity, resolve

MOST_SHARDS = 128
"""More would only make more jobs: with some six features a corpus is then below a thousand."""


def print_check(study: Study) -> None:
    """Print corpora, tasks, weights and jobs of a study.

    Raises:
        EmoadaptError: something would stop the run; all problems are named.
    """
    problems: list[str] = []
    good = {name for name in study.corpora if _check_corpus(study, name, problems)}
    for name, task in study.tasks.items():
        if good >= {task.corpus, *task.test_also}:
            _check_task(study, name, good, problems)
    for name, adaptation in study.adaptations.items():
        if good >= set(adaptation.corpora):
            _check_adaptation(study, name, problems)
    _check_weights(study, problems)
    if problems:
        raise EmoadaptError(
            f"{len(problems)} problem(s) would stop this study:\n" + "\n".join(f"  {p}" for p in problems)
        )
    for note in _list_notes(study):
        print(f"note: {note}")
    graph = Graph(study)
    shards = len(graph.all_features())
    runs = sum(len(graph.run_files(task, "")) for task in study.tasks)
    print(f"jobs: {shards} extraction shards, {len(graph.adapted_models())} adaptations, {runs} fine-tuning jobs")
    print("all is there")


def _list_notes(study: Study) -> list[str]:
    """What may surprise, and stops nothing."""
    notes = [f"{path} is left out: {why}" for path, why in study.left_out.items()]
    used = {corpus for task in study.tasks.values() for corpus in (task.corpus, *task.test_also)}
    used |= {corpus for adaptation in study.adaptations.values() for corpus in adaptation.corpora}
    if not study.features.also:
        notes += [f"corpus {name} is used by no task and no adaptation" for name in study.corpora if name not in used]
    trainings = {**{f"adaptations.{name}": a for name, a in study.adaptations.items()}, "finetuning": study.finetuning}
    needing = [key for key, settings in trainings.items() if settings.precision == "16-mixed"]
    needing += ["device: cuda"] if study.device == "cuda" else []
    if needing and not list_devices():
        notes.append(
            f"{', '.join(needing)} needs a GPU; there is none on this machine, the jobs' machines must have one"
        )
    return notes + advise_features(study, Graph(study).features_in_use())


def find_task_problems(study: Study, name: str) -> list[str]:
    """What would stop a task whose corpora can be listed: its labels, classes, split, subsets or leaks."""
    problems: list[str] = []
    with redirect_stdout(io.StringIO()):
        _check_task(study, name, set(study.corpora), problems)
    return problems


def _check_corpus(study: Study, name: str, problems: list[str]) -> bool:
    corpus = study.corpora[name]
    try:
        utterances = read_utterances(name, corpus)
        account = describe_content(name, corpus, utterances)
        notes = [*read_notes(name, corpus), *note_names(utterances)]
        refuse_segments_outside(name, corpus, utterances)
    except EmoadaptError as error:
        problems.append(str(error))
        return False
    speakers = {u.speaker for u in utterances if u.speaker}
    print(f"corpus {name}: {len(utterances)} clips, {len(speakers) or 'unknown'} speakers, {corpus.shards} shards")
    for line in account:
        print(f"  {line}")
    for note in notes:
        print(f"  note: {note}")
    advised = advise_shards(len(utterances))
    if corpus.shards > 4 * advised or advised > 4 * corpus.shards:
        each = round(len(utterances) / advised)
        print(f"  advice: corpora.{name}.shards: {advised} (about {each} clips each)")
    return True


def advise_shards(n_clips: int) -> int:
    """Number of shards for a corpus of so many clips: a hundred times the clips make ten times the jobs, each of ten times the clips.

    250 clips a shard in a corpus of 1,000, some 3,100 in one of 151,654. A change recomputes rows and not whole shards.
    """
    return min(max(1, round(math.sqrt(n_clips) / 8)), MOST_SHARDS)


def _check_task(study: Study, name: str, good: set[str], problems: list[str]) -> None:
    """Map labels, split, draw and look for leaks as the rules will, in memory; `good` are the corpora that can be listed."""
    task = study.tasks[name]
    corpora = (task.corpus, *task.test_also)
    try:
        clips = {c: _read_manifest(study, c) for c in corpora}
        labels = {c: _read_labels(study, c) for c in corpora}
        for corpus in corpora if task.classes else ():
            print("\n".join(describe_labels(name, task, labels[corpus], corpus)))
        splits = build_task(name, task, clips, labels)
        for subset in task.subsets:
            draw_subsets(splits, task, subset, name)
    except EmoadaptError as error:
        problems.append(str(error))
        return
    first = splits.filter(fold=0, corpus=task.corpus)
    folds = splits["fold"].n_unique()
    for part in ("train", "dev", "test"):
        chosen = first.filter(split=part)
        counts = ", ".join(
            [f"{label} {chosen.filter(label=label).height}" for label in task.classes]
            + [f"{chosen[name].count()} rated for {name}" for name in task.attributes]
        )
        where = f" (fold 0 of {folds})" if folds > 1 else ""
        speakers = chosen["speaker"].drop_nulls().n_unique()
        who = f"{speakers or 'unknown'} speaker{'s' if speakers != 1 else ''}"
        print(f"task {name}, {part}: {chosen.height} clips of {who}: {counts}{where}")
    for note in list_task_notes(name, task, clips, labels, splits):
        print(f"  note: {note}")
    config = study.corpora[task.corpus]
    if isinstance(config, CremaDCorpus):
        print(f"  labels: {config.labels}, ties: {config.ties}")
    _note_unknown_speakers(study, splits)
    stage1 = {a: study.adaptations[a].corpora for a in study.adaptations_of(name)}
    stage1 = {a: heard for a, heard in stage1.items() if good >= set(heard)}
    clips |= {c: _read_manifest(study, c) for heard in stage1.values() for c in heard if c not in clips}
    leaks = find_leaks(name, task, splits, describe_clips(study, clips), stage1)
    # Copies within Stage 1 are printed with the adaptation.
    for row in leaks.filter(pl.col("kind") != "stage1_copies", verdict="reported").iter_rows(named=True):
        print(f"  {'note' if row['kind'] in REMARKS else 'leak'}: {describe_leak(row)}")
    problems += explain_refusals(leaks)


def _note_unknown_speakers(study: Study, splits: pl.DataFrame) -> None:
    """Print how many clips of a task are not z-scored by speaker although that is configured."""
    classical = study.finetuning.classical
    scopes = {
        "finetuning.egemaps_normalise": study.finetuning.egemaps_normalise,
        "finetuning.classical.normalise": classical and classical.normalise,
    }
    keys = [key for key, scope in scopes.items() if scope == "speaker"]
    unknown = splits.unique("utterance_id")["speaker"].null_count()
    if keys and unknown:
        print(
            f"  note: {unknown} clips have no speaker, and are z-scored with their corpus instead ({', '.join(keys)}: speaker)"
        )


def _check_adaptation(study: Study, name: str, problems: list[str]) -> None:
    """Divide the clips of Stage 1 as the rules will, in memory, and count the copies among them."""
    adaptation = study.adaptations[name]
    clips = {corpus: _read_manifest(study, corpus) for corpus in adaptation.corpora}
    try:
        parts = draw_parts(clips, adaptation.held_out, adaptation.seed)
    except EmoadaptError as error:
        problems.append(f"adaptation {name}: {error}")
        return
    print(f"adaptation {name}: {parts.height} clips, {parts.filter(part='held_out').height} of them held out")
    graph = Graph(study)
    for objective in adaptation.objectives:
        if lacking := [corpus for corpus in adaptation.corpora if graph.target_feature(objective, corpus) is None]:
            print(
                f"  note: {objective} is learned without corpus {', '.join(lacking)}, which has no video "
                f"(corpora.{lacking[0]}.modalities)"
            )
    for row in find_stage1_copies(name, adaptation.corpora, describe_clips(study, clips)):
        if row["count"]:
            print(f"  note: {describe_leak(row)}; copies are on one side of the training and held-out parts")


def _read_manifest(study: Study, corpus: str) -> pl.DataFrame:
    """MANIFEST rows of a corpus, as the rules will write them."""
    rows = [row for shard in list_manifest(corpus, study.corpora[corpus]) for row in shard]
    return cast(pl.DataFrame, pl.from_arrow(pa.Table.from_pylist(rows, schema=schema.MANIFEST)))


def _read_labels(study: Study, corpus: str) -> pl.DataFrame:
    """LABELS rows of a corpus, as the rules will write them."""
    rows = list_label_rows(corpus, study.corpora[corpus])
    return cast(pl.DataFrame, pl.from_arrow(pa.Table.from_pylist(rows, schema=schema.LABELS)))


def _check_weights(study: Study, problems: list[str]) -> None:
    folder, graph = study.weights_folder, Graph(study)
    for user, (name, revision) in graph.weights_in_use().items():
        try:
            resolve(name, folder, revision)
        except EmoadaptError as error:
            problems.append(f"{user}: {error}")
        else:
            print(f"{user}: {name} ({identity(name, folder, revision)})")
    _check_network(graph, problems)
    for name in study.untrained:
        print(f"backbone {name}: UNTRAINED, randomly initialised")


def _check_network(graph: Graph, problems: list[str]) -> None:
    """Embed one image, since only that shows whether an ONNX file is as it is declared."""
    network, used = graph.study.features.face_embedding.network, dict(graph.features_in_use())
    if "face_embedding" not in used or not isinstance(network, OnnxNetwork):
        return
    from emoadapt.models.onnx_network import load_network

    try:
        resolve(network.file, graph.study.weights_folder)
    except EmoadaptError:
        return  # named already
    try:
        load_network(network, graph.study.weights_folder).embed([np.zeros((32, 32, 3), np.uint8)])
    except EmoadaptError as error:
        problems.append(f"features.face_embedding.network: {error}")
