"""Sentences: honest about what the numbers show."""

import polars as pl
import pytest

from emoadapt.reporting.summary import describe_difference, list_notices, summarise_results

ROW = dict(
    task="crema", corpus="crema_d", test_corpus="crema_d", subset="64", backbone="wavlm", start="multimodal", metric="macro_f1",
    mean=0.6, low=0.55, high=0.65, n=240, n_pairs=5, difference=0.05, difference_low=0.02, difference_high=0.08, p_value=0.012,
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, "wavlm multimodal beats original by 0.050 macro-F1 on crema with 64 clips (95 % interval over test clips +0.020 to "
             "+0.080; p = .012 over 5 paired runs)."),
        (dict(difference_low=-0.01), "No difference is shown between wavlm multimodal and its original on crema with 64 clips"),
        (dict(difference=-0.05, difference_low=-0.08, difference_high=-0.02), "wavlm multimodal is worse than original by 0.050"),
        (dict(difference_low=-0.01), "The runs agree with each other, but other test clips might not: the interval includes 0."),
        # The interval over test clips and the test over seeds disagree: that is no effect.
        (dict(p_value=0.3), "No difference is shown between wavlm multimodal and its original on crema with 64 clips (+0.050; "
                            "95 % interval over test clips +0.020 to +0.080; p = .300 over 5 paired runs). The interval leaves out 0 "
                            "for these very runs, but the test over seeds does not confirm it."),
        (dict(p_value=None, n_pairs=1), "no p-value with one run each). The interval leaves out 0, but one run says nothing about"),
        (dict(p_value=0.0004), "p < .001 over 5 paired runs"),
        (dict(backbone="tiny"), "tiny (untrained) multimodal beats"),
        (dict(test_corpus="msp_improv"), "on msp_improv (trained on crema_d) with 64 clips"),
    ],
)  # fmt: skip
def test_a_difference_is_put_into_words(study, change, sentence):
    assert sentence in describe_difference(study, {**ROW, **change})


def test_headline_counts_verdicts(study):
    rows = [
        ROW,
        {**ROW, "subset": "256", "difference_low": -0.1},
        {**ROW, "subset": "full", "p_value": 0.4},
        {**ROW, "start": "egemaps", "backbone": "handcrafted", "difference": None},
    ]
    headline, sentences = summarise_results(
        study, pl.DataFrame(rows), pl.DataFrame(rows[:0], schema=pl.DataFrame(rows).schema)
    )
    assert headline.startswith(
        "Of 3 comparisons of an adapted model with its original (macro-F1), 1 is better, 0 worse, and 2 show no difference "
        "that holds both for other test clips (95 % interval without 0) and for other seeds (p < .05). By chance alone up to 0.15 of"
    )
    assert len(sentences) == 4


def test_no_comparison_is_said_so(study):
    frame = pl.DataFrame([{**ROW, "difference": None}], schema_overrides={"difference": pl.Float64})
    headline, _ = summarise_results(study, frame, frame.clear())
    assert "shows no effect of adaptation" in headline


def test_notice_names_untrained_backbones(study, make_study):
    assert list_notices(study) == [
        "The backbone tiny is UNTRAINED (randomly initialised): the scores say nothing about pretrained models."
    ]
    two = make_study(backbones={name: {"architecture": "wavlm", "untrained": {}} for name in ("x", "y")},
                       adaptations={})  # fmt: skip
    assert list_notices(two)[0].startswith("The backbones x and y are UNTRAINED")


def test_notice_names_demo_data_and_stand_ins_that_are_used(make_study):
    features = {"face_embedding": {"network": {"untrained": "tiny_cnn"}}, "faces": {"detector": "haar"},
                "transcript": {"engine": "pocketsphinx"}, "sentiment": {"engine": "vader"}}  # fmt: skip
    corpora = {"films": {"importer": "demo", "root": "d"}, "crema_d": {"importer": "crema_d", "root": "c", "labels": "voice"},
               "msp_improv": {"importer": "csv", "root": "i", "file": "l.csv"}}  # fmt: skip
    backbones = {"wavlm": {"architecture": "wavlm", "weights": "microsoft/wavlm-base"}}
    both = {"corpora": ["films"], "objectives": {"egemaps": 1, "sentiment": 0.5, "face": 1}}
    study = make_study(features=features, corpora=corpora, backbones=backbones, adaptations={"all": both})
    text = " ".join(list_notices(study))
    assert "face network is UNTRAINED" in text
    assert "corpus films is SYNTHETIC" in text
    assert all(word in text for word in ("pocketsphinx", "VADER", "Haar"))
    speech = {"corpora": ["films"], "objectives": {"egemaps": 1}}
    unused = make_study(features=features, corpora=corpora, backbones=backbones, adaptations={"speech": speech})
    assert len(list_notices(unused)) == 1
