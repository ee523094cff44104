"""Similarity of clips with the same words, and of clips with different words (Dutta & Ganapathy 2025, Fig. 6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from emoadapt import schema
from emoadapt.data.vectors import read_layers
from emoadapt.errors import ConfigError, DataError
from emoadapt.storage.frames import read_frame
from emoadapt.study.nodes import Model, name_kept

if TYPE_CHECKING:
    from emoadapt.study.graph import Graph

Content = Literal["same", "other"]
ATTEMPTS = 50
"""Draws for each wanted pair; if they do not suffice, fewer pairs are returned."""


def list_tables(graph: Graph, task: str, model: str) -> list[Path]:
    """Tables that `compare_content` reads: the first split of the task, and the kept layers of the model.

    Raises:
        ConfigError: there is no such task or model.
        DataError: a table is missing.
    """
    study, parsed = graph.study, Model.parse(model)
    if task not in study.tasks or not study.tasks[task].classes:
        raise ConfigError(f"{task} is no task of the study with classes; there is {', '.join(study.tasks) or 'none'}")
    if parsed.start not in (study.starts(parsed.backbone) if parsed.backbone in study.backbones else ()):
        raise ConfigError(f"{model} is no model of the study; write <backbone>.<start>, such as care.care")
    kept = graph.kept_shards(name_kept("layers", parsed.backbone, parsed.start), (study.tasks[task].corpus,))
    paths = [*graph.split_tables(task)[:1], *kept]
    for path in paths:
        if not Path(path).is_file():
            raise DataError(f"missing: {path}. Run the study with a probe of {model} on task {task} first")
    return [Path(path) for path in paths]


def compare_content(graph: Graph, task: str, model: str, number: int, layer: int | None, seed: int) -> pl.DataFrame:
    """Cosine similarities of pairs of clips of one emotion and two speakers, in a layer of a frozen model.

    The layers are those that a probe of the model on the task has read, averaged over time.

    Args:
        graph: of the study.
        task: of classes, whose corpus the clips are of.
        model: `<backbone>.<start>`, with or without a fine-tuning.
        number: of pairs of each kind.
        layer: to compare; None: the first in which the model's branches differ, or the last of a model without branches.
        seed: of the pairs.

    Returns:
        `content` (same or other), `branch` (`all` of a model without), `first`, `second` (utterances), `similarity`.

    Raises:
        ConfigError: there is no such task, model or layer.
        DataError: a table is missing, or no such pair is there.
    """
    splits, *shards = list_tables(graph, task, model)
    corpus, branches = (
        graph.study.tasks[task].corpus,
        graph.study.backbones[Model.parse(model).backbone].branches or ("all",),
    )
    manifests = [Path(path) for path in graph.manifests(corpus)]
    clips = _read_clips(corpus, splits, manifests)
    layers = read_layers({corpus: shards}, clips["utterance_id"].to_list())
    clips = clips.filter(pl.col("utterance_id").is_in(list(layers)))
    if not layers:
        raise DataError(
            f"no clip of corpus {corpus} has a speaker, a label, a transcript of its own and layers of {model}"
        )
    example = next(iter(layers.values()))
    chosen = _choose_layer(example, len(branches)) if layer is None else layer
    if chosen >= len(example):
        raise ConfigError(f"{model} has layers 0 to {len(example) - 1}, and {chosen} is asked for; choose another")
    rows = []
    contents: tuple[Content, ...] = ("same", "other")
    for content in contents:
        pairs = draw_pairs(clips, content, number, seed)
        if not pairs:
            raise DataError(f"corpus {corpus} has no two clips of one emotion and two speakers with {content} words")
        for place, branch in enumerate(branches):
            found = measure_similarities(layers, pairs, chosen, place, len(branches))
            rows += [(content, branch, *pair, value) for pair, value in zip(pairs, found.tolist(), strict=True)]
    return pl.DataFrame(rows, ["content", "branch", "first", "second", "similarity"], orient="row")


def draw_pairs(clips: pl.DataFrame, content: Content, number: int, seed: int) -> list[tuple[str, str]]:
    """Draw different pairs of clips with one label and two speakers.

    Args:
        clips: `utterance_id`, `speaker`, `label`, `words`.
        content: whether both say the same words.
        number: of pairs; fewer where there are no more.
        seed: of the draw.
    """
    random, found = np.random.default_rng(seed), dict[tuple[str, str], None]()
    rows = clips.sort("utterance_id").select("utterance_id", "speaker", "label", "words").rows()
    groups: dict[object, list[tuple[str, str, str, str]]] = {}
    for row in rows:
        groups.setdefault(row[2:] if content == "same" else row[2], []).append(row)
    for _ in range(ATTEMPTS * number if rows else 0):
        first = rows[int(random.integers(len(rows)))]
        near = groups[first[2:] if content == "same" else first[2]]
        second = near[int(random.integers(len(near)))]
        if first[1] != second[1] and (first[3] == second[3]) is (content == "same"):
            found[min(first[0], second[0]), max(first[0], second[0])] = None
        if len(found) == number:
            break
    return list(found)


def measure_similarities(
    layers: Mapping[str, np.ndarray], pairs: Sequence[tuple[str, str]], layer: int, branch: int, n_branches: int
) -> NDArray[np.float64]:
    """Cosine similarity (n_pairs,) of a branch of a layer.

    Args:
        layers: utterance -> (n_layers, width).
        pairs: of utterances.
        layer: number of the layer.
        branch: number of the branch.
        n_branches: equal parts of the width.
    """
    parts = {
        name: np.array_split(layers[name][layer].astype(np.float64), n_branches)[branch]
        for pair in pairs
        for name in pair
    }
    units = {name: vector / max(float(np.linalg.norm(vector)), 1e-12) for name, vector in parts.items()}
    return np.array([units[first] @ units[second] for first, second in pairs])


def summarise(similarities: pl.DataFrame) -> Iterator[str]:
    """Lines of a table: pairs, mean, deviation and quartiles of each branch and content."""
    yield "branch    words  pairs   mean    std    25 %    50 %    75 %"
    for (branch, content), rows in similarities.group_by("branch", "content", maintain_order=True):
        values = rows["similarity"].to_numpy()
        quartiles = "  ".join(f"{value:6.3f}" for value in np.quantile(values, (0.25, 0.5, 0.75)))
        yield f"{branch:9} {content:5}  {len(values):5}  {values.mean():5.3f}  {values.std():5.3f}  {quartiles}"


def _read_clips(corpus: str, splits: Path, manifests: Sequence[Path]) -> pl.DataFrame:
    """`utterance_id`, `speaker`, `label`, `words` of the clips of a corpus that have all of these."""
    columns = ("utterance_id", "corpus", "speaker", "label")
    labelled = read_frame(splits, schema.SPLITS, columns).filter(corpus=corpus).unique("utterance_id")
    said = read_frame(manifests, schema.MANIFEST, ("utterance_id", "transcript"))
    words = pl.col("transcript").str.to_lowercase().str.strip_chars().alias("words")
    return labelled.join(said.with_columns(words), on="utterance_id").drop_nulls(["speaker", "label", "words"])


def _choose_layer(layers: np.ndarray, n_branches: int) -> int:
    """The first layer whose branches differ; the last if there is one branch."""
    parts = [np.array_split(layer, n_branches) for layer in layers]
    apart = (
        number for number, halves in enumerate(parts) if any(not np.array_equal(halves[0], half) for half in halves[1:])
    )
    return next(apart, len(layers) - 1)
