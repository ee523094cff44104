"""Which trainings read the target of a task."""

from typing import Any

import pytest

from emoadapt.config import load_study
from emoadapt.tasks.targets import list_readers

TEXT = {"hidden_size": 16, "layers": 1, "heads": 2, "intermediate_size": 16, "vocabulary": 50, "positions": 16}


@pytest.mark.parametrize(
    ("of", "readers"),
    [
        (["speech.original", "words.original.text"], ["default", "both"]),
        (["words.original.text", "speech.original.alone"], ["default"]),
        (["speech.original.alone", "words.original.pair"], ["default", "pair", "both"]),
    ],
)
def test_models_made_of_models_that_read_the_target_have_read_it(of: list[str], readers: list[str]) -> None:
    domain = {"method": "domain", "backbones": ["speech"]}
    values: dict[str, Any] = {
        "study": "s",
        "corpora": {"a": {"importer": "folder", "root": "."}, "b": {"importer": "folder", "root": "."}},
        "backbones": {
            "speech": {"architecture": "whisper", "untrained": {}},
            "words": {"architecture": "bert", "untrained": TEXT},
        },
        "finetunings": {
            "default": domain,
            "alone": domain | {"target": False},
            "text": {"backbones": ["words"]},
            "pair": {"method": "fuse", "of": ["words.original.text", "speech.original"]},
            "both": {"method": "fuse", "of": of},
        },
        "tasks": {"t": {"corpus": "a", "classes": ["x", "y"], "split": {"by": "all"}, "target": {"corpus": "b"}}},
    }
    if "words.original.pair" not in of:
        values["finetunings"].pop("pair")
    assert set(list_readers(load_study(values), "t")) == {*readers}
    values["tasks"]["t"] |= {"target": None, "test_also": ["b"]}
    values["finetunings"]["default"] = domain | {"target": False}
    assert list_readers(load_study(values), "t") == []
