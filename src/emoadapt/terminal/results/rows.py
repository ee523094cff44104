"""Choice and order of the rows of a table."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from emoadapt.errors import ConfigError, name_known
from emoadapt.reporting.measures import order_metric
from emoadapt.study.nodes import DEFAULT, Model

MODEL = "model"
"""Column that `--where` and `--sort` know besides those of a table: `<backbone>.<start>[.<finetuning>]`."""
_COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


def choose_rows(frame: pl.LazyFrame, conditions: Sequence[str]) -> pl.LazyFrame:
    """Keep the rows that satisfy all conditions.

    Args:
        frame: a tidy table.
        conditions: `COLUMN=VALUE[,VALUE]`, `COLUMN!=VALUE`, `COLUMN~PART`, or a number compared by `<`, `<=`, `>`, `>=`.

    Raises:
        ConfigError: a condition cannot be read, names no column, or compares text with a number.
    """
    schema = frame.collect_schema()
    for text in conditions:
        found = re.fullmatch(r"\s*(\w+)\s*(<=|>=|!=|=|<|>|~)\s*(.*?)\s*", text)
        if found is None:
            raise ConfigError(f"--where {text}: cannot be read; write COLUMN=VALUE, such as model=tiny.original")
        name, sign, value = found.groups()
        column = _find_column(schema, name, "--where")
        frame = frame.filter(_compare(column, _is_number(schema, name), sign, value, text))
    return frame


def sort_rows(frame: pl.DataFrame, name: str, *, descending: bool) -> pl.DataFrame:
    """Sort a tidy table, or a comparison, by a column, or by the mean of a metric; where there are several metrics, the main one counts first.

    Raises:
        ConfigError: there is no such column or metric.
    """
    schema = frame.collect_schema()
    metrics = set(frame["metric"]) if "metric" in schema else set()
    leading = name if name in metrics else min(metrics, key=order_metric, default=None)
    score = "mean" if "mean" in schema else "here"
    column = _find_column(schema, score if name in metrics else name, "--sort", metrics)
    first = pl.col("metric") != leading if leading else pl.lit(False)
    return frame.sort(first, column, descending=[False, descending], nulls_last=True, maintain_order=True)


def _find_column(schema: pl.Schema, name: str, option: str, also: Sequence[str] | set[str] = ()) -> pl.Expr:
    if name in schema:
        return pl.col(name)
    has_model = set(Model._fields) <= schema.keys()
    if name == MODEL and has_model:
        tuned = pl.when(pl.col("finetuning") == DEFAULT).then(pl.lit("")).otherwise("." + pl.col("finetuning"))
        return pl.col("backbone") + "." + pl.col("start") + tuned
    known = [*([MODEL] if has_model else []), *schema, *sorted(also)]
    raise ConfigError(f"{option}: this table has no column {name}; {name_known(name, known)}")


def _is_number(schema: pl.Schema, name: str) -> bool:
    return name in schema and schema[name].is_numeric()


def _compare(column: pl.Expr, numeric: bool, sign: str, value: str, text: str) -> pl.Expr:
    if sign == "~":
        return column.cast(pl.String).str.contains(value, literal=True)
    if sign in _COMPARED and not numeric:
        raise ConfigError(f"--where {text}: only numbers are compared by {sign}; write =, != or ~ (contains)")
    values = [_read(part, text) if numeric else part for part in ([value] if sign in _COMPARED else value.split(","))]
    if sign in _COMPARED:
        return _COMPARED[sign](column, values[0])  # type: ignore[no-any-return]
    return column.is_in(values) if sign == "=" else ~column.is_in(values)


def _read(value: str, text: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ConfigError(f"--where {text}: this column holds numbers, and {value} is none") from None
