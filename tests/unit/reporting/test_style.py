"""Numbers, names and colours."""

import pytest

from emoadapt.reporting import style


def test_numbers_are_read_as_in_a_paper():
    assert style.number(-0.0123) == "−0.012"
    assert style.number(0.5, 2, sign=True) == "+0.50"
    assert style.number(None) == style.number(float("nan")) == "–"
    assert style.spread(0.5, None) == "0.500"
    assert style.interval(0.1, 0.25, 2) == "[0.10, 0.25]"


@pytest.mark.parametrize(("p", "shown", "stars"), [(0.0004, "< .001", "**"), (0.009, ".009", "**"), (0.01, ".010", "*"),
                                                   (0.049, ".049", "*"), (0.05, ".050", ""), (None, "–", "")])  # fmt: skip
def test_p_values_and_stars(p, shown, stars):
    assert style.probability(p) == shown
    assert style.star(p) == stars


def test_subsets_sort_by_size_with_full_last():
    assert sorted(["full", "10000", "256", "1000"], key=style.subset_key) == ["256", "1000", "10000", "full"]


def test_each_start_has_its_own_mark(study):
    marks = [style.mark_of(study, start) for start in ("original", "egemaps", "classical", "multimodal", "speech_only")]
    assert len({mark.colour for mark in marks}) == 5
    assert {mark.marker for mark in marks[:3]} == {"o", "s", "p"} and "p" not in style.ADAPTED_MARKERS


def test_labels_and_splits_are_named(study):
    assert style.describe_labels(study, "crema_d") == "audiovisual, ties drop"
    assert style.describe_split(study, "crema") == "70/15/15 by speaker (seed 0)"
    assert style.describe_split(study, "improv") == "official partition"
    assert [style.weights_of(study, name) for name in ("tiny", "wavlm", "handcrafted")] == [
        "untrained",
        "pretrained",
        "handcrafted",
    ]
