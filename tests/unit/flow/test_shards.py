"""Hash shards."""

from pathlib import Path

from emoadapt.flow.shards import assign_shard, group_by_corpus, shard_names


def test_a_shard_depends_on_the_id_alone() -> None:
    # first 16 hex digits of `printf corpus/a | sha256sum`
    assert assign_shard("corpus/a", 7) == 0x6988713121354DC1 % 7


def test_shards_are_even() -> None:
    counts = [0] * 8
    for number in range(8000):
        counts[assign_shard(f"corpus/{number:05d}", 8)] += 1
    assert min(counts) > 880 and max(counts) < 1120


def test_names_sort_as_numbers() -> None:
    assert shard_names(3) == ["000", "001", "002"]


def test_shards_are_grouped_by_their_folder() -> None:
    paths = [Path("x/a/000.parquet"), Path("x/b/000.parquet"), Path("x/a/001.parquet")]
    assert group_by_corpus(paths) == {"a": [paths[0], paths[2]], "b": [paths[1]]}
