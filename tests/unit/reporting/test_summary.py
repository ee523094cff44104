"""Sentences: honest about what the numbers show."""

import polars as pl
import pytest

from emoadapt.reporting.summary import describe_difference, keep_by_holm, summarise_results

ROW = dict(
    task="crema", corpus="crema_d", test_corpus="crema_d", subset="64", backbone="wavlm", start="multimodal", finetuning="default", metric="macro_f1",
    mean=0.6, low=0.55, high=0.65, n=240, n_pairs=5, difference=0.05, difference_low=0.02, difference_high=0.08, p_value=0.012,
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, "wavlm (pretrained) multimodal beats original by 0.050 macro-F1 on crema with 64 clips (95 % interval over test clips +0.020 to "
             "+0.080; p = .012 over 5 paired runs)."),
        (dict(difference_low=-0.01), "No difference is shown between wavlm (pretrained) multimodal and its original on crema with 64 clips"),
        (dict(difference=-0.05, difference_low=-0.08, difference_high=-0.02), "wavlm (pretrained) multimodal is worse than original by 0.050"),
        (dict(difference_low=-0.01), "The runs agree with each other, but other test clips might not: the interval includes 0."),
        # The interval over test clips and the test over seeds disagree: that is no effect.
        (dict(p_value=0.3), "No difference is shown between wavlm (pretrained) multimodal and its original on crema with 64 clips (+0.050; "
                            "95 % interval over test clips +0.020 to +0.080; p = .300 over 5 paired runs). The interval leaves out 0 "
                            "for these very runs, but the test over seeds does not confirm it."),
        (dict(p_value=None, n_pairs=1), "no p-value with one run each). The interval leaves out 0, but one run says nothing about"),
        (dict(p_value=0.0004), "p < .001 over 5 paired runs"),
        (dict(backbone="tiny"), "tiny (untrained) multimodal beats"),
        (dict(finetuning="probe"), "wavlm (pretrained) multimodal probe beats original by"),
        (dict(test_corpus="msp_improv"), "on msp_improv (trained on crema_d) with 64 clips"),
    ],
)  # fmt: skip
def test_a_difference_is_put_into_words(study, change, sentence):
    assert sentence in describe_difference(study, {"holds": True, **ROW, **change})


def test_headline_counts_verdicts(study):
    rows = [
        ROW,
        {**ROW, "subset": "256", "difference_low": -0.1},
        {**ROW, "subset": "full", "p_value": 0.4},
        {**ROW, "start": "original", "backbone": "egemaps", "finetuning": "mlp", "mean": 0.3, "difference": None},
    ]
    found = summarise_results(study, pl.DataFrame(rows), pl.DataFrame(rows[:0], schema=pl.DataFrame(rows).schema))
    assert found.headline.startswith(
        "Of 3 comparisons of an adapted model with its original (macro-F1), 1 is better, none worse, and 2 show no difference "
        "that holds both for other test clips (95 % interval without 0) and for other seeds (p < .05, uncorrected). By chance alone up to 0.15 of"
    )
    # Holm: p = .012, .012, .4; the smallest times 3 is .036, the next times 2 .024.
    assert found.headline.endswith("After Holm's correction of the p-values for their number, the difference remains.")
    assert len(found.details) == 3
    (best,) = found.best
    assert best.endswith("(wavlm (pretrained) multimodal, n = 240).")


def test_the_best_model_stands_beside_the_baseline_of_the_report(study):
    baseline = {**ROW, "start": "original", "backbone": "egemaps", "finetuning": "mlp", "mean": 0.3, "difference": None}
    frame = pl.DataFrame([ROW, baseline], schema_overrides={"difference": pl.Float64})
    (sentence,) = summarise_results(study, frame, frame.clear()).best
    assert sentence.endswith(
        "(wavlm (pretrained) multimodal, n = 240); the baseline egemaps mlp (25 low-level descriptors of eGeMAPSv02) reaches 0.300."
    )


def test_each_size_has_its_sentence_and_row(study):
    rows = [
        ROW,
        {
            **ROW,
            "start": "speech_only",
            "backbone": "tiny",
            "difference": -0.04,
            "difference_low": -0.06,
            "difference_high": -0.01,
        },
        {**ROW, "subset": "full", "p_value": 0.4, "difference": 0.01},
        {**ROW, "test_corpus": "msp_improv", "p_value": None, "n_pairs": 1},
    ]
    found = summarise_results(study, pl.DataFrame(rows[:3]), pl.DataFrame(rows[3:], schema=pl.DataFrame(rows).schema))
    assert found.by_size == [
        "crema, 64 clips: better than the original: wavlm (pretrained) multimodal +0.050 [+0.020, +0.080], p = .012; "
        "worse: tiny (untrained) speech_only −0.040 [−0.060, −0.010], p = .012.",
        "crema, all clips: no difference is shown (n.s.): wavlm (pretrained) multimodal +0.010 [+0.020, +0.080], p = .400.",
        "crema → msp_improv, 64 clips: no difference is shown (n.s.): wavlm (pretrained) multimodal +0.050 [+0.020, +0.080], one run, no p.",
    ]
    assert found.ledger.models == ["tiny (untrained) speech_only", "wavlm (pretrained) multimodal"]
    assert [(place, [cell and cell["verdict"] for cell in cells]) for place, cells in found.ledger.rows] == [
        ("crema, 64 clips", ["worse", "better"]),
        ("crema, all clips", [None, "n.s."]),
        ("crema → msp_improv, 64 clips", [None, "n.s."]),
    ]


def test_many_models_without_a_difference_are_counted(study):
    rows = [{**ROW, "start": f"a{i}", "p_value": 0.5, "difference": i / 100} for i in range(5)]
    frame = pl.DataFrame(rows)
    (sentence,) = summarise_results(study, frame, frame.clear()).by_size
    assert sentence == "crema, 64 clips: no difference is shown (n.s.): 5 models, differences +0.000 to +0.040."


@pytest.mark.parametrize(
    ("p_values", "remain"),
    [
        ([0.043, 0.4], "no difference remains"),
        ([0.001, 0.4], "the difference remains"),
        ([0.001, 0.002], "all of them remain"),
        ([0.001, 0.04, 0.045], "1 of the 3 differences remains"),
        ([0.001, 0.02, 0.04, 0.045], "1 of the 4 differences remains"),
        ([0.001, 0.002, 0.04, 0.045], "2 of the 4 differences remain"),
    ],
)
def test_every_sentence_says_what_the_correction_leaves(study, p_values, remain):
    """Symptom: `better than the original` stood beside `0 of the 1 found different remain`."""
    rows = [{**ROW, "start": f"a{i}", "p_value": p} for i, p in enumerate(p_values)]
    frame = pl.DataFrame(rows)
    found = summarise_results(study, frame, frame.clear())
    assert found.headline.endswith(f" After Holm's correction of the p-values for their number, {remain}.")
    (sentence,) = found.by_size
    (_, cells), *_ = found.ledger.rows
    for name, p, keep, cell, words in zip("abcd", p_values, keep_by_holm(p_values), cells, found.details, strict=False):
        lost = p < 0.05 and not keep
        assert cell["p"].endswith("not after Holm's correction") == lost, name
        assert words.endswith("this difference does not remain.") == lost
    lost = sum(p < 0.05 for p in p_values) > sum(keep_by_holm(p_values))
    assert ("better than the original, but only before Holm's correction: " in sentence) == lost
    assert ("better than the original: " in sentence) == any(keep_by_holm(p_values))


def test_holm_steps_down():
    """By hand: .01 x 4 < .05, .015 x 3 < .05, .03 x 2 is not, and what comes after falls with it."""
    assert keep_by_holm([0.03, 0.01, None, 0.04, 0.015]) == [False, True, False, False, True]


def test_summary_without_comparisons_says_so(study):
    frame = pl.DataFrame([{**ROW, "difference": None}], schema_overrides={"difference": pl.Float64})
    found = summarise_results(study, frame, frame.clear())
    assert "shows no effect of adaptation" in found.headline
    assert not found.ledger.rows and not found.by_size


def test_a_comparison_with_another_model_is_no_effect_of_adaptation(study):
    """Symptom: a study of CARE, whose tables compare it with the speech model that it is made of, "shows no effect"."""
    row = {**ROW, "difference": None, "reference_difference": -0.06}
    frame = pl.DataFrame([row], schema_overrides={"difference": pl.Float64})
    headline = summarise_results(study, frame, frame.clear()).headline
    assert headline.startswith(
        "No adapted model was compared with its own original. The tables compare all models with egemaps mlp (25"
    )
    assert headline.endswith("a difference from another model is not the effect of adaptation alone.")
    alone = frame.with_columns(start=pl.lit("original"))
    assert "shows no effect of adaptation" in summarise_results(study, alone, alone.clear()).headline


def test_a_study_that_adapts_nothing_begins_with_its_best_score(make_study):
    """Symptom: the largest sentence of the page was that no adapted model was compared."""
    frame = pl.DataFrame(
        [{**ROW, "start": "original", "difference": None}], schema_overrides={"difference": pl.Float64}
    )
    found = summarise_results(make_study(adaptations={}), frame, frame.clear())
    assert found.headline.startswith("The highest macro-F1 on crema") and found.best == []
