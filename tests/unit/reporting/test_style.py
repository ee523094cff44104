"""Numbers, names and colours."""

import pytest

from emoadapt.reporting import style
from emoadapt.study.nodes import Model


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
    models = [
        Model("tiny"),
        Model("tiny", "multimodal"),
        Model("tiny", "speech_only"),
        Model("egemaps", finetuning="mlp"),
    ]
    marks = [style.mark_of(study, model) for model in models]
    assert len({mark.colour for mark in marks}) == 4
    assert {marks[0].marker, marks[-1].marker}.isdisjoint(style.ADAPTED_MARKERS)
    assert marks[0] == style.mark_of(study, Model("wavlm")), "the same for all backbones"


def test_a_finetuning_changes_marker_and_line_but_not_the_colour_of_a_start(study):
    usual, probed = (style.mark_of(study, Model("wavlm", "multimodal", name)) for name in ("default", "probe"))
    assert usual.colour == probed.colour
    assert usual.marker != probed.marker and usual.line != probed.line


def test_footnotes_say_what_a_finetuning_chose(study):
    plain = study.finetunings["default"]
    changed = {
        "one": {"select": "loss"},
        "two": {"train_on_dev": True, "epochs": 7, "head": "challenge"},
        "three": {"head": "hf"},
    }
    settings = {
        name: plain.model_validate(plain.model_dump(exclude_unset=True) | keys) for name, keys in changed.items()
    }
    study = study.model_copy(update={"finetunings": settings})
    assert style.list_method_notes(study, settings) == [
        "Fine-tuning one: the epoch with the smallest dev loss is kept.",
        "Fine-tuning two: trained for 7 epochs without choosing an epoch; with all training clips on the dev part too.",
        "Fine-tuning two: the head is dropout, linear, LayerNorm, ReLU, dropout, linear.",
    ]


def test_models_are_named_by_the_parts_that_differ(study):
    names = [style.name_model(study, Model.parse(name)) for name in
             ("wavlm.original", "tiny.multimodal", "wavlm.multimodal.probe", "egemaps.original.mlp")]  # fmt: skip
    assert names == [
        "wavlm (pretrained) original",
        "tiny (untrained) multimodal",
        "wavlm (pretrained) multimodal probe",
        "egemaps mlp (25 low-level descriptors of eGeMAPSv02)",
    ]


def test_given_names_stand_in_pictures_and_sentences(study):
    """Symptom: the report's pictures had the keys of the study where its tables had names."""
    names = {"tiny": "Tiny", "multimodal": "adapted", "wavlm.multimodal.probe": "A probe", "egemaps": "eGeMAPS"}
    study = study.model_copy(update={"report": study.report.model_copy(update={"names": names})})
    models = [Model.parse(name) for name in ("tiny.multimodal", "wavlm.multimodal.probe", "egemaps.original.mlp")]
    assert [style.name_model(study, model) for model in models] == [
        "Tiny (untrained) adapted",
        "A probe (pretrained)",
        "eGeMAPS mlp (25 low-level descriptors of eGeMAPSv02)",
    ]
    assert [style.label_line(study, model) for model in models] == ["adapted", "A probe", "eGeMAPS mlp"]
    assert style.mark_provenance(study, "tiny") == "Tiny (untrained)"


def test_long_names_have_two_lines():
    assert style.fold("Probe, statistics of each corpus") == "Probe, statistics\nof each corpus"
    assert style.fold("one two three four five six seven eight nine").endswith("…")


def test_models_stand_as_configured_with_descriptors_last(study):
    models = study.list_models("improv")
    assert [str(model) for model in sorted(models, key=lambda model: style.model_key(study, model))] == [
        "tiny.original", "tiny.multimodal", "tiny.speech_only", "wavlm.original", "wavlm.original.probe", "wavlm.multimodal",
        "wavlm.multimodal.probe", "egemaps.original.mlp",
    ]  # fmt: skip


def test_labels_and_splits_are_named(study):
    assert style.describe_labels(study, "crema_d") == "audiovisual, ties drop"
    assert style.describe_split(study, "crema") == "70/15/15 by speaker (seed 0)"
    assert style.describe_split(study, "improv") == "official partition"
    assert [style.weights_of(study, name) for name in ("tiny", "wavlm", "egemaps")] == [
        "untrained",
        "pretrained",
        "descriptors",
    ]
