"""The job that makes the media of one shard of a demo corpus."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from emoadapt.corpora.demo import Config
from emoadapt.demo.clips import make_corpus
from emoadapt.listing.manifests import list_manifest
from emoadapt.storage.texts import describe_claim, write_claimed

logger = logging.getLogger(__name__)


def make_shard(name: str, config: Config, shard: int, stamp: Path) -> None:
    """Make the clips of a shard, and then the stamp that says so.

    Args:
        name: name of the corpus.
        config: its section.
        shard: number of the shard.
        stamp: JSON file to write: claim, and media -> fingerprint.
    """
    rows = list_manifest(name, config)[shard]
    stems = {Path(row["media"]).stem for row in rows}
    make_corpus(
        config, Path(config.root), stems, progress=lambda done, total: logger.info("%d of %d clips", done, total)
    )
    media = {row["media"]: row["fingerprint"] for row in rows}
    write_claimed(stamp, json.dumps({"claim": describe_claim(), "media": media}, indent=1) + "\n")
