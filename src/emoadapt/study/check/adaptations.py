"""Check of an adaptation: held-out clips, objectives without video, and copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emoadapt.config import objective_features
from emoadapt.data.held_out import describe_common, draw_parts
from emoadapt.errors import EmoadaptError, Problem, name_count
from emoadapt.tasks.leaks import describe_clips, describe_leak, find_stage1_copies

if TYPE_CHECKING:
    from emoadapt.study.check.listings import Listings
    from emoadapt.study.graph import Graph


def check_adaptation(listings: Listings, graph: Graph, name: str, problems: list[Problem]) -> None:
    """Divide the Stage-1 clips like the rules, and count copies.

    Args:
        listings: the corpora of the study.
        graph: its jobs.
        name: the adaptation; its corpora can be listed.
        problems: takes what would stop a run.
    """
    adaptation = listings.study.adaptations[name]
    clips = {corpus: listings.read_manifest(corpus) for corpus in adaptation.corpora}
    try:
        parts = draw_parts(clips, adaptation.held_out, adaptation.seed)
    except EmoadaptError as error:
        problems += error.add_place(f"adaptation {name}: ")
        return
    held = parts.filter(part="held_out").height
    print(f"adaptation {name}: {name_count(parts.height, 'clip')}, {held} of them held out ({held / parts.height:.1%})")
    for note in describe_common(clips):
        print(f"  note: {note}")
    for objective in filter(objective_features().__contains__, adaptation.objectives):
        if without := [corpus for corpus in adaptation.corpora if graph.target_feature(objective, corpus) is None]:
            print(
                f"  note: {objective} is learned without corpus {', '.join(without)}, which has no video "
                f"(corpora.{without[0]}.modalities)"
            )
    for row in find_stage1_copies(name, adaptation.corpora, describe_clips(listings.study, clips)):
        if row["count"]:
            print(f"  note: {describe_leak(row)}; copies are on one side of the training and held-out parts")


def find_adaptation_problems(listings: Listings, name: str) -> list[Problem]:
    """List what would stop an adaptation whose corpora can be listed."""
    adaptation = listings.study.adaptations[name]
    clips = {corpus: listings.read_manifest(corpus) for corpus in adaptation.corpora}
    try:
        draw_parts(clips, adaptation.held_out, adaptation.seed)
    except EmoadaptError as error:
        return error.add_place(f"adaptation {name}: ")
    return []
