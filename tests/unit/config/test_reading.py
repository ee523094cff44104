"""The rule by which files make up a study."""

from __future__ import annotations

from pathlib import Path

import pytest

from emoadapt.config import merge_study, read_study
from emoadapt.errors import ConfigError


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is not the checkout."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "over.yaml").write_text("study: demo\nfinetunings: {default: {seeds: [7]}}\n")
    (tmp_path / "unnamed.yaml").write_text("finetunings: {default: {seeds: [7]}}\n")
    (tmp_path / "mine.yaml").write_text("study: mine\ncorpora: {c: {importer: folder, root: a}}\n")
    return tmp_path


def test_a_study_named_demo_overrides_the_demo_in_any_folder() -> None:
    study = read_study(["over.yaml"])
    assert study.study == "demo" and study.finetunings["default"].seeds == (7,)
    assert study.finetunings["default"].epochs == read_study([]).finetunings["default"].epochs


def test_nothing_of_the_demo_is_in_a_study_with_another_name() -> None:
    assert merge_study(["mine.yaml", "unnamed.yaml"]) == {
        "study": "mine", "corpora": {"c": {"importer": "folder", "root": "a"}}, "finetunings": {"default": {"seeds": [7]}},
    }  # fmt: skip


def test_single_keys_go_over_the_files() -> None:
    assert merge_study(["mine.yaml"], {"device": "cpu"})["device"] == "cpu"
    assert merge_study([], {"study": "demo", "device": "cuda"})["device"] == "cuda"


def test_a_configuration_without_a_name_is_refused() -> None:
    """Symptom: the demo was changed and run, or its errors were told of a file that held no such key."""
    with pytest.raises(
        ConfigError, match=r"^unnamed\.yaml has no key `study`: it would change the built-in demo; add `study: NAME`"
    ):
        merge_study(["unnamed.yaml"])
    with pytest.raises(ConfigError, match="given with --config has no key `study`"):
        merge_study([], {"device": "cpu"})


def test_a_config_yaml_that_would_be_passed_over_for_the_demo_is_named(workplace: Path) -> None:
    (workplace / "mine.yaml").rename("config.yaml")
    with pytest.raises(ConfigError, match=r"add: --configfile config\.yaml"):
        merge_study([])
    assert merge_study(["config.yaml"])["study"] == "mine"


def test_an_override_of_a_demo_that_is_another_study_is_refused(workplace: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds study mine; name your study differently"):
        merge_study(["over.yaml"], built_in=workplace / "mine.yaml")
