"""Hash shards."""

import subprocess
from pathlib import Path

from emoadapt.flow.shards import assign_shard, fold_paths, group_by_corpus, shard_names, unfold_paths


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


def test_paths_of_shards_are_folded_as_a_shell_unfolds_them() -> None:
    manifests = [f"results/manifests/c/{name}.parquet" for name in shard_names(1200)]
    paths = [*manifests, "results/a.parquet", *manifests[3:5], "x/007.parquet"]
    words = fold_paths(paths)
    assert words == (
        "results/manifests/c/{000..999}.parquet results/manifests/c/{1000..1199}.parquet "
        "results/a.parquet results/manifests/c/{003..004}.parquet x/007.parquet"
    )
    shell = subprocess.run(["bash", "-c", f"printf '%s\\n' {words}"], capture_output=True, text=True, check=True)
    assert shell.stdout.split() == unfold_paths(words) == paths


def test_a_study_of_4096_shards_fits_into_a_command() -> None:
    """Symptom: `Argument list too long`; Linux takes 128 KiB in one argument."""
    features = ("audio", "egemaps", "cnn.wav2vec2_large")
    paths = [f"results/features/{feature}/c/{name}.parquet" for feature in features for name in shard_names(4096)]
    assert len(" ".join(paths)) > 128 * 1024 > 100 * len(fold_paths(paths))
    assert unfold_paths(fold_paths(paths)) == paths


def test_shards_are_grouped_by_their_folder() -> None:
    paths = [Path("x/a/000.parquet"), Path("x/b/000.parquet"), Path("x/a/001.parquet")]
    assert group_by_corpus(paths) == {"a": [paths[0], paths[2]], "b": [paths[1]]}
