"""Panels of figures: which rows of a table are drawn together."""

from __future__ import annotations

import polars as pl

from emoadapt.config import Study
from emoadapt.reporting.style import is_vector, mark_provenance, model_key
from emoadapt.study.nodes import Model

MODEL = list(Model._fields)
"""Columns of a model."""


def split_backbones(study: Study, frame: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """(name of a backbone, rows of its models), in the order of the configuration.

    Models of descriptors have no backbone to share a panel with: they are in every panel, as the reference.
    """
    found = set(frame["backbone"])
    vectors = [name for name in study.backbones if name in found and is_vector(study, name)]
    encoders = [name for name in study.backbones if name in found and name not in vectors]
    if not encoders:
        return [("descriptors", frame)] if vectors else []
    return [
        (mark_provenance(study, name), frame.filter(pl.col("backbone").is_in([name, *vectors]))) for name in encoders
    ]


def split_models(study: Study, frame: pl.DataFrame) -> list[tuple[Model, pl.DataFrame]]:
    """(model, its rows), in the order of the configuration."""
    parts = [(Model(*key), part) for key, part in frame.partition_by(MODEL, as_dict=True, maintain_order=True).items()]
    return sorted(parts, key=lambda part: model_key(study, part[0]))
