"""Check of a corpus: clips, rows, files, names, segments and shards."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from emoadapt.errors import EmoadaptError, Problem, name_count
from emoadapt.listing.accounts import describe_content, list_account_notes, read_account
from emoadapt.listing.bounds import refuse_segments_outside
from emoadapt.listing.reading import note_names, read_clips
from emoadapt.listing.segments import cut_clips

if TYPE_CHECKING:
    from emoadapt.study.check.listings import Listings

MOST_SHARDS = 128
"""More would only make more jobs: with some six features a corpus is then below a thousand."""


def check_corpus(listings: Listings, name: str, problems: list[Problem]) -> bool:
    """Print what a corpus holds.

    Args:
        listings: the corpora of the study.
        name: the corpus.
        problems: takes what would stop a run.

    Returns:
        Whether the corpus can be used.
    """
    config = listings.study.corpora[name]
    try:
        utterances = listings.read_utterances(name)
        account = read_account(name, config)
        clips = utterances if config.segments is None else read_clips(name, config)
        content = describe_content(name, config, clips, account)
        notes = [*list_account_notes(name, config, account), *note_names(clips)]
        refuse_segments_outside(name, config, clips)
        if config.segments is not None:
            content += cut_clips(name, config, clips).describe(config.segments)
    except EmoadaptError as error:
        problems += error.problems
        return False
    speakers = {u.speaker for u in utterances if u.speaker}
    unknown = sum(not u.speaker for u in utterances) if speakers else 0
    without = f" ({name_count(unknown, 'clip')} without a speaker)" if unknown else ""
    listed = name_count(len(utterances), "clip" if config.segments is None else "segment")
    who = name_count(len(speakers), "speaker") if speakers else "unknown speakers"
    print(f"corpus {name}: {listed}, {who}{without}, {name_count(config.shards, 'shard')}")
    for line in content:
        print(f"  {line}")
    for note in notes:
        print(f"  note: {note}")
    advised = advise_shards(len(utterances))
    if config.shards > 4 * advised or advised > 4 * config.shards:
        each = round(len(utterances) / advised)
        print(f"  advice: corpora.{name}.shards: {advised} (about {each} clips each)")
    return True


def advise_shards(n_clips: int) -> int:
    """Advise a number of shards, which grows with the square root of the clips.

    250 clips a shard in a corpus of 1,000, some 3,100 in one of 151,654. A change recomputes rows and not whole shards.
    """
    return min(max(1, round(math.sqrt(n_clips) / 8)), MOST_SHARDS)
