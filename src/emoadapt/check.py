"""What can be found out about a study before hours are spent on it."""

from __future__ import annotations

from emoadapt.config import CremaDCorpus, OnnxNetwork, Study
from emoadapt.corpora.base import read_labels, read_utterances
from emoadapt.dag import Graph
from emoadapt.errors import EmoadaptError
from emoadapt.models.registry import identity, resolve

CLIPS_PER_SHARD = 200
"""A shard of this size takes minutes on the slowest feature, and a change to it seconds."""


def print_check(study: Study) -> None:
    """Print corpora, tasks, weights and jobs of a study.

    Raises:
        EmoadaptError: something would stop the run; all problems are named.
    """
    problems: list[str] = []
    for name in study.corpora:
        _check_corpus(study, name, problems)
    for name, task in study.tasks.items():
        _check_task(study, name, task.corpus, problems)
    _check_weights(study, problems)
    graph = Graph(study)
    shards = len(graph.all_features())
    runs = sum(len(graph.run_files(task, "")) for task in study.tasks)
    print(f"jobs: {shards} extraction shards, {len(graph.adapted_models())} adaptations, {runs} fine-tuning jobs")
    if problems:
        raise EmoadaptError(
            f"{len(problems)} problem(s) would stop this study:\n" + "\n".join(f"  {p}" for p in problems)
        )
    print("all is there")


def _check_corpus(study: Study, name: str, problems: list[str]) -> None:
    corpus = study.corpora[name]
    try:
        utterances = read_utterances(name, corpus)
    except EmoadaptError as error:
        problems.append(f"corpus {name}: {error}")
        return
    speakers = {u.speaker for u in utterances if u.speaker}
    print(f"corpus {name}: {len(utterances)} clips, {len(speakers) or 'unknown'} speakers, {corpus.shards} shards")
    advised = max(1, round(len(utterances) / CLIPS_PER_SHARD))
    if corpus.shards > 4 * advised or advised > 4 * corpus.shards:
        print(f"  advice: corpora.{name}.shards: {advised} (about {CLIPS_PER_SHARD} clips each)")


def _check_task(study: Study, name: str, corpus: str, problems: list[str]) -> None:
    task = study.tasks[name]
    try:
        labels = [label.label for label in read_labels(corpus, study.corpora[corpus])]
    except EmoadaptError as error:
        problems.append(f"task {name}: {error}")
        return
    mapped = [task.class_map.get(label, label) for label in labels if label is not None]
    counts = {label: mapped.count(label) for label in task.classes}
    print(f"task {name}: " + ", ".join(f"{label} {count}" for label, count in counts.items()))
    config = study.corpora[corpus]
    if isinstance(config, CremaDCorpus):
        print(f"  labels: {config.labels}, ties: {config.ties}")
    problems += [
        f"task {name}: no clip of {corpus} is labelled {label}" for label, count in counts.items() if not count
    ]


def _check_weights(study: Study, problems: list[str]) -> None:
    folder = study.weights_folder
    wanted = {f"backbone {name}": b.weights for name, b in study.backbones.items() if b.weights}
    features = {feature for feature, _ in Graph(study).features_in_use()}
    if "faces" in features and study.features.faces.detector != "haar":
        wanted["face detector"] = study.features.faces.weights or study.features.faces.detector
    network = study.features.face_embedding.network
    if "face_embedding" in features and isinstance(network, OnnxNetwork):
        wanted["face embedding"] = network.file
    if "sentiment" in features and study.features.sentiment.engine == "transformers":
        wanted["sentiment"] = study.features.sentiment.model
    for role, name in wanted.items():
        found = identity(name, folder)
        if not found.startswith("hub:"):
            try:
                resolve(name, folder)
            except EmoadaptError as error:
                problems.append(f"{role}: {error}")
                continue
        print(f"{role}: {name} ({found})")
    for name in study.untrained:
        print(f"backbone {name}: UNTRAINED, randomly initialised")
