"""The paper's figures: transcribed, and found by what a setting is."""

import pytest

from emoadapt.reporting.reference import find_paper_value, read_paper

WAV2VEC2 = {"architecture": "wav2vec2", "weights": "facebook/wav2vec2-base"}


def study_with(make_study, objectives, **backbone):
    adaptation = {"corpora": ["films"], "objectives": objectives}
    return make_study(backbones={"b": backbone or WAV2VEC2}, adaptations={"a": adaptation})


def test_tables_have_all_cells_of_the_paper():
    paper = read_paper("goncalves2025")
    assert paper.columns == ["paper", "table", "row", "column", "mean", "std", "stars"]
    assert dict(paper["table"].value_counts().iter_rows()) == {"I": 27, "II": 24, "III": 6, "IV": 6, "V": 2, "VI": 18}
    assert not paper.select("table", "row", "column").is_duplicated().any()


@pytest.mark.parametrize(
    ("objectives", "start", "expected"),
    [
        ({"egemaps": 1, "sentiment": 0.5, "face": 1}, "original", (0.650, 0.04)),
        ({"egemaps": 1, "sentiment": 0.5, "face": 1}, "a", (0.681, 0.03)),
        ({"egemaps": 1}, "a", (0.662, None)),
        ({"egemaps": 0.5, "sentiment": 1}, "a", (0.668, None)),
        ({"egemaps": 1, "sentiment": 1.5, "face": 1}, "a", (0.674, None)),
        ({"egemaps": 3}, "a", None),
        ({"face": 1}, "a", None),
        ({"egemaps": 1}, "egemaps", (0.387, 0.02)),
    ],
)
def test_a_setting_is_matched_by_objectives(make_study, objectives, start, expected):
    backbone = "handcrafted" if start == "egemaps" else "b"
    assert (
        find_paper_value(study_with(make_study, objectives), "crema", "crema_d", backbone, start, "full", "macro_f1")
        == expected
    )


def test_untrained_backbones_and_other_metrics_match_nothing(make_study):
    adapted = {"egemaps": 1, "sentiment": 0.5, "face": 1}
    untrained = study_with(make_study, adapted, architecture="wav2vec2", untrained={})
    assert find_paper_value(untrained, "crema", "crema_d", "b", "original", "full", "macro_f1") is None
    trained = study_with(make_study, adapted)
    assert find_paper_value(trained, "crema", "crema_d", "b", "original", "full", "uar") is None
    assert find_paper_value(trained, "crema", "crema_d", "b", "original", "64", "macro_f1") is None
    assert find_paper_value(trained, "crema", "msp_improv", "b", "original", "full", "macro_f1") is None


def test_low_resource_bias_and_cross_corpus_tables(make_study):
    podcast = {"importer": "csv", "root": "p", "file": "l.csv"}
    corpora = {name: podcast for name in ("msp_podcast", "msp_improv", "films")}
    task = {"corpus": "msp_podcast", "classes": ["a", "b"], "split": {"by": "official"}, "subsets": [1000, "full"]}
    study = make_study(
        corpora=corpora,
        tasks={"podcast": task, "improv": {**task, "corpus": "msp_improv"}},
        backbones={"hubert": {"architecture": "hubert", "weights": "models/hubert-base-ls960"}},
        adaptations={"all_three": {"corpora": ["films"], "objectives": {"egemaps": 1, "sentiment": 0.5}}},
    )
    assert find_paper_value(study, "podcast", "msp_podcast", "hubert", "original", "1000", "macro_f1") == (0.544, 0.03)
    assert find_paper_value(study, "podcast", "msp_improv", "hubert", "original", "full", "macro_f1") == (0.538, 0.048)
    assert find_paper_value(study, "improv", "msp_improv", "hubert", "original", "full", "f1_bias") == (0.1426, None)


def test_no_paper_no_values(study, make_study):
    silent = make_study(report={"bootstrap": 200})
    assert find_paper_value(silent, "crema", "crema_d", "wavlm", "original", "full", "macro_f1") is None
    assert find_paper_value(study, "crema", "crema_d", "wavlm", "original", "full", "macro_f1") == (0.675, 0.03)
