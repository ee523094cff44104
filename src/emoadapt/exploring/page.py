"""The page: one HTML file without external resources, which plays the corpus's media from disk."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import polars as pl

from emoadapt import reporting
from emoadapt.exploring.advice import Advice
from emoadapt.exploring.charts import draw_histogram
from emoadapt.exploring.clips import CLIP, ID
from emoadapt.exploring.counts import LabelCount, Matrix, ReasonCount, StatusCount, list_facts
from emoadapt.exploring.decoding import Content
from emoadapt.exploring.lengths import Lengths
from emoadapt.exploring.levels import SILENCE_DB, Levels
from emoadapt.exploring.maps import NEIGHBOURS, Map
from emoadapt.exploring.outliers import FENCE, Outlier
from emoadapt.exploring.pictures import SHOWN_SECONDS
from emoadapt.listing.reading import describe_source
from emoadapt.reporting.display import STATUS_WORDS
from emoadapt.reporting.pages import encode_pages, round_value
from emoadapt.reporting.style import ADAPTED_COLOURS, BLUE, BROWN, VECTOR_COLOURS, number
from emoadapt.reporting.templates import hash_script, join_files, load_template
from emoadapt.schema import ATTRIBUTES
from emoadapt.storage.files import write_text

if TYPE_CHECKING:
    from emoadapt.config import Study

COLOURS = (BLUE, ADAPTED_COLOURS[0], *ADAPTED_COLOURS[1:5], BROWN, *VECTOR_COLOURS[2:])
"""Of labels and speakers on the map, the most frequent first; all others are grey."""
_FILTERED = ("label", "speaker", "sex", "status")
_FOLDER = Path(__file__).parent


@dataclass
class Findings:
    """What was found out about a corpus; see the functions that compute each.

    Args:
        clips: from `list_clips`, with `seconds`.
        lengths: from `measure_lengths`.
        levels: clip -> its levels.
        labels: from `count_labels`.
        matrix: from `cross_speakers`.
        statuses: from `count_statuses`.
        reasons: from `count_reasons`.
        remarks: from `list_remarks`.
        oddities: from `list_oddities`.
        maps: from `draw_map`.
        outliers: from `find_outliers`.
        samples: clip -> why it is shown, and its content.
        decoded: clips whose media were decoded for the page.
        strangers: feature -> rows of clips that the corpus no longer has.
        seed: of all draws.
        sampled: whether only some of the clips were drawn to measure levels.
        notes: from `list_clips`.
        gaps: why maps are missing.
        advice: from `list_advice`.
    """

    clips: pl.DataFrame
    lengths: Lengths
    levels: Mapping[int, Levels]
    labels: Sequence[LabelCount]
    matrix: Matrix | None
    statuses: Sequence[StatusCount]
    reasons: Sequence[ReasonCount]
    remarks: pl.DataFrame
    oddities: Sequence[str]
    maps: Sequence[Map]
    outliers: Sequence[Outlier]
    samples: Mapping[int, tuple[Sequence[str], Content]]
    decoded: int
    strangers: Mapping[str, int]
    seed: int
    sampled: bool = False
    notes: Sequence[str] = field(default_factory=list)
    gaps: Sequence[str] = field(default_factory=list)
    advice: Sequence[Advice] = field(default_factory=list)

    @property
    def problems(self) -> list[tuple[int, str]]:
        """Clips that were decoded for the page and cannot be used, and why."""
        return [(clip, content.problem) for clip, (_, content) in self.samples.items() if content.problem]


def write_page(study: Study, corpus: str, findings: Findings, output: Path) -> None:
    """Write the page.

    Args:
        study: the configuration.
        corpus: the corpus.
        findings: what is shown.
        output: HTML file; paths of media are relative to its folder.
    """
    config = study.corpora[corpus]
    rows = _Rows(findings, Path(config.root), output)
    shared = Path(reporting.__file__).parent
    script = join_files(shared / "report.js", _FOLDER / "page.js")
    text = load_template(_FOLDER / "page.html.j2").render(
        study=study.study,
        corpus=corpus,
        config=config,
        found=findings,
        rows=rows,
        root=str(Path(config.root).absolute()),
        words=STATUS_WORDS,
        facts=list_facts(findings.clips, _describe_hours(findings.lengths)),
        source=describe_source(config) if findings.labels else "",
        video="video" in config.modalities,
        lengths=_draw_lengths(findings.lengths),
        measured=_describe_measured(findings),
        extremes=findings.lengths.list_extremes(),
        levels=_draw_levels(findings.levels.values()),
        attributes=_draw_attributes(findings.clips),
        filters=rows.list_filters(),
        data=encode_pages([_encode_maps(findings.maps, rows)]),
        decibels=lambda value: number(round(value, 1) or 0.0, 1),
        constants={"fence": FENCE, "neighbours": NEIGHBOURS, "silence": SILENCE_DB, "seconds": SHOWN_SECONDS},
        style=join_files(shared / "report.css", _FOLDER / "page.css"),
        script=script,
        script_hash=hash_script(script),
    )  # fmt: skip
    write_text(output, text)


class _Rows:
    """The clips that the page names: samples, outliers, extremes, examples of reasons and points of maps."""

    def __init__(self, findings: Findings, root: Path, output: Path) -> None:
        self._base = quote(os.path.relpath(root.absolute(), output.parent.absolute())) + "/"
        named = {
            *findings.samples,
            *(one.clip for one in findings.outliers),
            *(clip for one in findings.reasons for clip in one.examples),
            *(clip for _, clips in findings.lengths.list_extremes() for clip, _ in clips),
            *(int(clip) for drawn in findings.maps for clip in drawn.clips),
        }
        said = findings.remarks.filter(pl.col(CLIP).is_in(list(named)))
        self._remarks: dict[int, list[tuple[str, ...]]] = {}
        for clip, *remark in said.iter_rows():
            self._remarks.setdefault(clip, []).append(tuple(remark))
        self._shown = set(findings.samples)
        self._rows = {
            row[CLIP]: self._describe(row)
            for row in findings.clips.filter(pl.col(CLIP).is_in(list(named))).iter_rows(named=True)
        }

    def __getitem__(self, clip: int) -> dict[str, Any]:
        return self._rows[clip]

    def list_filters(self) -> list[tuple[str, list[str]]]:
        """(column, values) of the clips that the page names; columns with one value are left out."""
        values = {
            name: sorted({word for row in self._rows.values() for word in _words(row[name])}) for name in _FILTERED
        }
        return [(name, found) for name, found in values.items() if len(found) > 1 or (found and name == "status")]

    def _describe(self, row: dict[str, Any]) -> dict[str, Any]:
        remarks = self._remarks.get(row[CLIP], [])
        return row | {
            "url": self._link(row),
            "remarks": [
                f"{feature} {STATUS_WORDS.get(status, status)}: {code}{f': {detail}' if detail else ''}"
                for feature, status, code, detail in remarks
            ],
            "reasons": {f"{feature}: {code}" for feature, _, code, _ in remarks},
            "status": sorted({f"{feature} {code}" for feature, _, code, _ in remarks}),
            "anchor": f"clip-{row[CLIP]}" if row[CLIP] in self._shown else None,
        }

    def _link(self, row: dict[str, Any]) -> str:
        """Relative path of the media, with the part that is played."""
        part = ""
        if row["start"] is not None or row["end"] is not None:
            part = f"#t={row['start'] or 0:g}" + ("" if row["end"] is None else f",{row['end']:g}")
        return self._base + quote(row["media"]) + part


def _words(value: Any) -> list[str]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _describe_hours(lengths: Lengths) -> str:
    if lengths.total is None:
        return "unknown"
    text = f"{lengths.total:,.2f}" if lengths.total < 10 else f"{lengths.total:,.0f}"
    return text if lengths.exact else f"about {text} (mean of {lengths.seconds.height:,} clips, times all)"


def _draw_lengths(lengths: Lengths) -> Any:
    return draw_histogram(lengths.seconds["seconds"].to_list(), "s") if lengths.seconds.height else None


def _describe_measured(findings: Findings) -> str:
    """Clips whose levels are shown."""
    measured, clips = len(findings.levels), findings.clips.height
    if findings.sampled:
        return f"{measured:,} of {clips:,} clips, drawn at random (seed {findings.seed})"
    return (
        f"All {clips:,} clips" if measured == clips else f"The {measured:,} of {clips:,} clips whose sound can be used"
    )


def _draw_levels(levels: Iterable[Levels]) -> list[tuple[str, Any]]:
    """(caption, histogram) of each level."""
    found = list(levels)
    if not found:
        return []
    clipped = [100 * one.clipped for one in found]
    clipping = (
        [("Clipping: samples at full scale", draw_histogram(clipped, "% of a clip", log=False))] if any(clipped) else []
    )
    return [
        ("RMS level of a clip", draw_histogram([one.rms for one in found], "dBFS", span=2)),
        ("Largest sample of a clip", draw_histogram([one.peak for one in found], "dBFS", span=2)),
        (f"Silence: frames {SILENCE_DB:g} dB below the clip's loudest", draw_histogram([100 * one.silent for one in found], "% of a clip")),
        *clipping,
    ]  # fmt: skip


def _draw_attributes(clips: pl.DataFrame) -> list[tuple[str, Any]]:
    rated = ((name, clips[name].drop_nulls().to_list()) for name in ATTRIBUTES)
    return [
        (f"{name}: {len(values):,} clips", draw_histogram(values, name, log=False)) for name, values in rated if values
    ]


def _encode_maps(maps: Sequence[Map], rows: _Rows) -> dict[str, Any]:
    """Maps for the script: points, and the clips that they stand for, each once."""
    numbers = list(dict.fromkeys(int(clip) for drawn in maps for clip in drawn.clips))
    places = {clip: place for place, clip in enumerate(numbers)}
    shown = (ID, "url", "label", "speaker", "sex", "split", "status", "anchor", "remarks")
    return {
        "colours": COLOURS,
        "clips": [
            {name: rows[clip][name] for name in shown} | {"seconds": round_value(rows[clip]["seconds"])}
            for clip in numbers
        ],
        "maps": [
            {
                "feature": drawn.feature,
                "note": drawn.note,
                "clips": [places[int(clip)] for clip in drawn.clips],
                "x": [round_value(x) for x in drawn.points[:, 0]],
                "y": [round_value(y) for y in drawn.points[:, 1]],
            }
            for drawn in maps
        ],
    }
