"""Digests of what outputs are made from, and what changed, in words."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from emoadapt import schema
from emoadapt.errors import DataError
from emoadapt.flow import claims
from emoadapt.flow.claims import Origin, decide, digest_inputs, explain_change, keep_outside, keep_parts, name_parts
from emoadapt.flow.records import Claims
from emoadapt.storage.caches import read_cache, write_cache
from emoadapt.storage.claims import current_claim, state_claim
from emoadapt.storage.tables import write_table


def name(**parts: str) -> str:
    return name_parts(tuple(parts.items()))


BEFORE = {"training": '{"epochs": 2, "optimiser": {"rate": 0.1}}', "code": "abc", "libraries": "torch==2.12 numpy==2.0"}


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A new process in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMOADAPT_CLAIM", "")
    monkeypatch.setenv("EMOADAPT_LIBRARIES", "")
    monkeypatch.setattr(claims, "_known", {})
    name_parts.cache_clear()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"training": '{"epochs": 3, "optimiser": {"rate": 0.1}}'}, "training.epochs: 2 -> 3"),
        ({"training": '{"epochs": 2, "optimiser": {"rate": 0.2}}'}, "training.optimiser.rate: 0.1 -> 0.2"),
        ({"code": "abd"}, "code changed"),
        ({"libraries": "torch==2.13 numpy==2.0"}, "torch: 2.12 -> 2.13"),
        ({"weights": "sha256:00"}, "weights: none -> sha256:00"),
        ({"training": '{"epochs": 2}', "code": "x"}, "training.optimiser.rate: 0.1 -> none, code changed"),
    ],
)
def test_change_is_explained_in_words(changed: dict[str, str], words: str) -> None:
    before, now = name(**BEFORE), name(**(BEFORE | changed))
    assert before != now and explain_change(before, now) == words


def test_change_is_explained_by_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    before = name(**BEFORE)
    keep_parts(before)
    monkeypatch.setattr(claims, "_known", {})
    name_parts.cache_clear()
    assert explain_change(before, name(**(BEFORE | {"code": "x"}))) == "code changed"


@pytest.mark.parametrize("forged", ["", [], {}, {"code": "forged"}, {"code": 3}])
def test_texts_of_the_cache_are_not_believed(forged: object) -> None:
    before = name(**BEFORE)
    keep_parts(before)
    claims._known.clear()
    name_parts.cache_clear()
    write_cache(claims.PARTS / f"{before}.json", forged)
    assert explain_change(before, name(**(BEFORE | {"code": "x"}))) == "made with other settings or code"
    upgraded = name(**(BEFORE | {"libraries": "torch==2.13"}))
    assert explain_change(before, upgraded) == "made with other libraries"


def test_half_of_the_digest_leaves_libraries_out() -> None:
    before, upgraded = name(**BEFORE), name(**(BEFORE | {"libraries": "torch==2.13"}))
    assert decide(before) == decide(upgraded) and before != upgraded
    assert decide(before) != decide(name(**(BEFORE | {"code": "x"})))


def test_order_of_parts_does_not_matter_and_their_names_do() -> None:
    assert name(a="1", b="2") == name(b="2", a="1") != name(a="2", b="1")


def test_inputs_are_digested_by_place_and_identity() -> None:
    states = {"a": "1", "b": "2"}
    found = digest_inputs(["a", "b"], "", states.__getitem__)
    assert found == digest_inputs(["b", "a", "a"], "", states.__getitem__)
    swapped = {"a": "2", "b": "1"}
    others = [
        digest_inputs(["a", "b"], "", swapped.__getitem__),
        digest_inputs(["a"], "", states.__getitem__),
        digest_inputs(["a", "b"], "labels", states.__getitem__),
    ]
    assert found not in others and len(set(others)) == 3


def test_missing_input_is_named() -> None:
    with pytest.raises(DataError, match=r"gone\.parquet is missing; compute it"):
        (origin := Origin({"x": ["gone.parquet"]}, dict)).state(origin.made)


def test_what_changed_since_the_run_began_is_not_claimed() -> None:
    """Symptom: code that was edited during a run and put back left outputs of the edited code, which nothing made again."""
    began = Origin({}, lambda: BEFORE)
    for name in BEFORE:
        if name != "libraries":
            with pytest.raises(DataError, match=f"not those that the run began with: .*{name}"):
                Origin({}, lambda name=name: {**BEFORE, name: "other"}).state(began.made)  # type: ignore[misc]
    assert current_claim() is None


def test_without_a_rule_nothing_is_claimed() -> None:
    Origin({"x": ["gone.parquet"]}, dict).state(None)
    assert current_claim() is None


def make_job(origin: Origin, *output: str) -> SimpleNamespace:
    """As Snakemake hands a job over."""
    params = {"made": origin.made, "outside": origin.outside}
    values = SimpleNamespace(get=params.get)
    return SimpleNamespace(output=output, input=origin.list_inputs(), params=values, rule=None)


def ask(job: SimpleNamespace) -> str:
    """What a fresh process would say of a job."""
    records = Claims.__new__(Claims)
    records._identities = {}
    return str(records.params_changed(job)) if records.params_changed(job) else ""


def write_quarantine(path: str, *names: str) -> None:
    row = {"feature": "audio", "status": "failed", "reason": "r", "key": "k"}
    rows = [{**row, "utterance_id": name} for name in names]
    write_table(path, [{n: r.get(n, "x") for n in schema.QUARANTINE.names} for r in rows], schema.QUARANTINE)


def test_output_is_compared_with_what_the_study_would_make() -> None:
    write_quarantine("in.parquet", "a")
    origin = Origin({"x": ["in.parquet"]}, lambda: BEFORE, lambda: "labels")
    job = make_job(origin, "out.parquet")
    assert ask(job) == "", "a missing output is for Snakemake to notice"
    origin.state(origin.made, origin.outside)
    write_quarantine("out.parquet", "b")
    state_claim(None)
    assert ask(job) == ""
    relabelled = Origin(origin.inputs, origin.describe, lambda: "other labels")
    assert ask(make_job(relabelled, "out.parquet")) == "made from other inputs or labels"
    edited = Origin(origin.inputs, lambda: BEFORE | {"code": "x"}, origin.observe)
    assert ask(make_job(edited, "out.parquet")) == "code changed"
    write_quarantine("in.parquet", "other")
    assert ask(job) == "made from other inputs or labels"
    write_quarantine("in.parquet", "a")
    assert ask(job) == "", "the same content, written again"
    write_quarantine("out.parquet", "b")
    assert ask(job) == "output that does not say what it was made from"
    Path("out.parquet").write_bytes(b"PAR1")
    assert "out.parquet" in ask(job)


def test_a_reason_says_whether_labels_or_other_inputs_changed() -> None:
    """Symptom: after one label was renamed, a dry run said `made from other inputs or labels`."""
    write_quarantine("in.parquet", "a")
    origin = Origin({"x": ["in.parquet"]}, lambda: BEFORE, lambda: "mine=1 other=2")
    keep_outside("out.parquet", origin.made, origin.outside)
    origin.state(origin.made, origin.outside)
    write_quarantine("out.parquet", "b")
    state_claim(None)
    for outside, said in (("mine=9 other=2", "mine"), ("mine=9 other=8", "mine, other"), ("mine=1", "other")):
        relabelled = Origin(origin.inputs, origin.describe, lambda outside=outside: outside)  # type: ignore[misc]
        assert ask(make_job(relabelled, "out.parquet")) == f"made from other labels of {said}"
    write_quarantine("in.parquet", "c")
    assert ask(make_job(origin, "out.parquet")) == "made from other inputs, and the same labels"


def test_parts_on_disk_are_what_the_digest_is_of() -> None:
    made = name(**BEFORE)
    keep_parts(made)
    assert read_cache(claims.PARTS / f"{made}.json") == BEFORE
