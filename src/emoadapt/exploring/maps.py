"""A map of clips: vectors of a feature in two dimensions, and how far each clip is from its neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from emoadapt.errors import ConfigError, DataError
from emoadapt.exploring.clips import CLIP
from emoadapt.exploring.features import Feature, read_rows
from emoadapt.plugins import load_plugin

if TYPE_CHECKING:
    from numpy.typing import NDArray

Method = Literal["pca", "umap"]

USUAL = (("egemaps_functionals", "egemaps", "compare_functionals"), ("face_embedding",), ("text_embedding",))
"""Features that are drawn by default: of each group the first that is computed."""
NEIGHBOURS = 5
_COMPONENTS = 50
"""Principal components in which neighbours are looked for."""


@dataclass(frozen=True)
class Map:
    """Clips in two dimensions.

    Args:
        feature: the feature.
        clips: (n,) their numbers.
        points: (n, 2), in no unit.
        distances: (n,) mean distance to the nearest clips of the map, in standard deviations of the feature's values; empty where
            there are too few.
        note: how it was computed, from how many clips.
    """

    feature: str
    clips: NDArray[np.int64]
    points: NDArray[np.float64]
    distances: NDArray[np.float64]
    note: str


def find_vectors(name: str) -> str | None:
    """Column of a feature that holds one vector a clip; None if it has none."""
    table = load_plugin("features", name).TABLE
    kinds = (pa.types.is_list, pa.types.is_fixed_size_list)
    if name not in table.names or not any(kind(table.field(name).type) for kind in kinds):
        return None
    return name if pa.types.is_floating(table.field(name).type.value_type) else None


def choose_features(computed: dict[str, Feature], wanted: list[str]) -> list[str]:
    """Features to draw: those that are wanted, or the usual ones that are computed.

    Raises:
        ConfigError: a wanted one is not computed, or has no vectors.
    """
    vectors = [name for name in computed if find_vectors(name)]
    for name in wanted:
        if name not in vectors:
            there = f"computed are {', '.join(vectors)}" if vectors else "none is computed"
            raise ConfigError(f"--feature {name}: no vectors of this corpus; {there}")
    usual = (next((name for name in group if name in vectors), None) for group in USUAL)
    return list(dict.fromkeys(wanted or filter(None, usual)))


def draw_map(feature: Feature, n_points: int, method: Method, seed: int) -> Map | str:
    """Draw clips at random and project their vectors.

    Args:
        feature: rows of a feature with vectors.
        n_points: clips at most.
        method: `pca` by scikit-learn; `umap` by umap-learn, which must be installed.
        seed: of the draw and of the projection.

    Returns:
        The map, or why there is none.

    Raises:
        ConfigError: umap-learn is wanted and not installed.
    """
    usable = feature.usable()[CLIP].to_numpy()
    rng = np.random.default_rng([seed, len(usable)])
    drawn = np.sort(rng.choice(usable, min(n_points, len(usable)), replace=False))
    try:
        clips, vectors = _read_vectors(feature, drawn)
    except DataError as error:
        return str(error)
    if len(clips) < 3 or not vectors.std(axis=0).any():
        return f"{feature.name}: a map needs three clips with different vectors, there are {len(clips)}"
    points, said = _project(vectors, method, seed)
    which = (
        f"All {len(clips):,}" if len(clips) == len(usable) else f"{len(clips):,} of {len(usable):,}, drawn at random,"
    )
    return Map(
        feature.name, clips, points, _measure_distances(vectors), f"{which} clips with this feature (seed {seed}). {said}"
    )  # fmt: skip


def _read_vectors(feature: Feature, drawn: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Numbers and z-scored vectors, (n, dimension), of the clips whose values are all finite."""
    numbers: list[int] = []
    parts = []
    for listed, table in read_rows(feature, drawn.tolist(), [feature.name]):
        column = table.column(feature.name).combine_chunks()
        parts.append(column.flatten().to_numpy(zero_copy_only=False).reshape(len(listed), -1).astype(np.float64))
        numbers += listed
    if len({part.shape[1] for part in parts}) > 1:
        raise DataError(f"{feature.name}: vectors have different lengths; compute the feature again")
    if not parts:
        return np.array([], np.int64), np.zeros((0, 0))
    vectors, order = np.concatenate(parts), np.argsort(numbers)
    vectors, clips = vectors[order], np.array(numbers, np.int64)[order]
    finite = np.isfinite(vectors).all(axis=1)
    vectors, clips = vectors[finite], clips[finite]
    spread = vectors.std(axis=0)
    return clips, (vectors - vectors.mean(axis=0)) / np.where(spread > 0, spread, 1)


def _project(vectors: NDArray[np.float64], method: Method, seed: int) -> tuple[NDArray[np.float64], str]:
    """(n, 2) points, and a sentence on the projection."""
    if method == "umap":
        points = _load_umap()(n_components=2, random_state=seed, n_jobs=1).fit_transform(vectors)
        return np.asarray(
            points, np.float64
        ), "Projected by UMAP: only neighbourhoods mean something, not directions or distances."
    from sklearn.decomposition import PCA

    pca = PCA(2, svd_solver="full" if min(vectors.shape) <= 500 else "randomized", random_state=seed)
    points = pca.fit_transform(vectors)
    first, second = (100 * pca.explained_variance_ratio_).round().astype(int)
    return points, f"Projected by PCA of z-scored values: the axes hold {first} % and {second} % of the variance."


def _load_umap() -> Any:
    try:
        from umap import UMAP
    except ImportError:
        raise ConfigError(
            "--map umap needs the package umap-learn, which is not installed; run `pip install umap-learn`, or leave out --map"
        ) from None
    return UMAP


def _measure_distances(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) mean distance to the nearest clips; empty where there are too few clips."""
    if len(vectors) <= 4 * NEIGHBOURS:
        return np.array([])
    from sklearn.decomposition import PCA
    from sklearn.neighbors import NearestNeighbors

    if min(vectors.shape) > _COMPONENTS:
        vectors = PCA(_COMPONENTS, random_state=0).fit_transform(vectors)
    found, _ = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(vectors).kneighbors()
    return found.mean(axis=1)
