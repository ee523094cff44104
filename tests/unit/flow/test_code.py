"""Code digests: what changes them and what does not."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from emoadapt import __version__, plugins
from emoadapt.config import Study
from emoadapt.extraction.recipes import study_code
from emoadapt.flow import code


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `toy`: feature -> shared, other; feature chooses nothing at run time."""
    root = tmp_path / "toy"
    root.mkdir()
    (root / "__init__.py").write_text("")
    (root / "shared.py").write_text("def double(x):\n    return 2 * x\n")
    (root / "other.py").write_text("VALUE = 1\n")
    (root / "feature.py").write_text(
        '"""Doc."""\nfrom toy.shared import double\n\ndef run(x):\n    """Doc."""\n    return double(x)\n'
    )
    (root / "lazy.py").write_text("def run(x):\n    from .shared import double\n    return double(x)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield root
    for name in [name for name in sys.modules if name.partition(".")[0] == "toy"]:
        del sys.modules[name]


def digest(*names: str) -> str:
    code.code_digest.cache_clear()
    plugins._find_source.cache_clear()
    importlib.invalidate_caches()
    return code.code_digest(*names)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_comments_docstrings_and_layout_do_not_count(package: Path) -> None:
    before = digest("toy.feature")
    edit(package / "feature.py", '    """Doc."""\n', '    """Another text."""\n    # a comment\n\n')
    assert digest("toy.feature") == before


def test_an_edit_counts(package: Path) -> None:
    before = digest("toy.feature")
    edit(package / "feature.py", "double(x)", "double(x) + 1")
    assert digest("toy.feature") != before


@pytest.mark.parametrize("module", ["toy.feature", "toy.lazy"])
def test_an_edit_of_an_imported_module_counts(package: Path, module: str) -> None:
    before = digest(module)
    edit(package / "shared.py", "2 * x", "3 * x")
    assert digest(module) != before


def test_an_edit_of_a_module_that_is_not_imported_does_not_count(package: Path) -> None:
    before = digest("toy.feature")
    edit(package / "other.py", "1", "2")
    assert digest("toy.feature") == before


def test_imports_for_type_checkers_do_not_count(package: Path) -> None:
    before = digest("toy.feature")
    edit(
        package / "feature.py",
        "from toy.shared",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from toy.other import VALUE\nfrom toy.shared",
    )
    first = digest("toy.feature")
    edit(package / "other.py", "1", "2")
    assert digest("toy.feature") == first != before


def test_a_module_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"emoadapt\.nothing"):
        digest("emoadapt.nothing")


SLICED = """
from typing import ClassVar
from toy.other import VALUE
RATE = 16
FACTOR = 2
TABLE = column("a", int, "number of things")
LIMIT = 3

def scale(x, LIMIT):
    return FACTOR * x + LIMIT + VALUE

class Section:
    key: int = 1
    flag: ClassVar[bool] = False

    @field_validator("key")
    def check(cls, value):
        return value

    def rule(self):
        return self.key + RATE
"""


@pytest.mark.parametrize(
    ("used", "old", "new", "counts"),
    [
        ("scale", "FACTOR = 2", "FACTOR = 3", True),
        ("scale", "FACTOR * x", "FACTOR - x", True),
        ("scale", "RATE = 16", "RATE = 8", False),
        ("scale", "LIMIT = 3", "LIMIT = 4", False),
        ("Section", "RATE = 16", "RATE = 8", True),
        ("Section", "bool] = False", "bool] = True", True),
        ("Section", "key: int = 1", "key: int = 2", False),
        ("Section", "return value", "return abs(value)", False),
        ("TABLE", "number of things", "number of clips", False),
        ("TABLE", "int,", "float,", True),
    ],
)
@pytest.mark.parametrize("how", ["from toy.sliced import {}\n", "from toy import sliced\nsliced.{}\n"])
def test_of_a_sliced_module_what_is_used_counts(
    package: Path, monkeypatch: pytest.MonkeyPatch, how: str, used: str, old: str, new: str, counts: bool
) -> None:
    """Symptoms: a new option, or a new table, made every feature stale; the sample rate and rules of sections made nothing stale."""
    monkeypatch.setattr(code, "SLICED", ("toy.sliced",))
    (package / "sliced.py").write_text(SLICED)
    (package / "user.py").write_text(how.format(used))
    before = digest("toy.user")
    edit(package / "sliced.py", old, new)
    assert (digest("toy.user") != before) is counts


def test_what_a_used_definition_imports_counts(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "SLICED", ("toy.sliced",))
    (package / "sliced.py").write_text(SLICED)
    before = [digest(f"toy.sliced.{name}") for name in ("scale", "Section")]
    edit(package / "other.py", "1", "2")
    after = [digest(f"toy.sliced.{name}") for name in ("scale", "Section")]
    assert [old != new for old, new in zip(before, after, strict=True)] == [True, False]


def test_an_exempt_module_and_what_only_it_imports_do_not_count(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package / "carrier.py").write_text("from toy import other, shared\n")
    (package / "feature.py").write_text("from toy import carrier, shared\n")
    monkeypatch.setattr(code, "EXEMPT", {"toy.carrier": "carries"})
    before = digest("toy.feature")
    edit(package / "other.py", "1", "2")
    (package / "carrier.py").write_text("from toy import shared\n")
    assert digest("toy.feature") == before != digest("toy.carrier")
    edit(package / "shared.py", "2 * x", "3 * x")
    assert digest("toy.feature") != before


def test_libraries_are_those_that_are_imported_and_decide(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package / "shared.py").write_text("import json, numpy.linalg, torch, pydantic\nLIBRARIES = ('scipy',)\n")
    (package / "other.py").write_text("from sklearn import svm\n")
    (package / "lazy.py").write_text("CONDITIONAL_LIBRARIES = ('torch',)\ndef run():\n    import torch, polars\n")
    plugins._find_source.cache_clear()
    code.list_libraries.cache_clear()
    assert code.list_libraries("toy.feature") == ("numpy", "scipy", "torch")
    assert code.list_libraries("toy.other") == ("scikit-learn",)
    assert code.list_libraries("toy.lazy") == ("polars",)
    assert code.describe_libraries("toy.lazy", also=["torch"]).startswith("polars==")
    assert "torch==" in code.describe_libraries("toy.lazy", also=["torch"])
    assert "+" not in code.describe_libraries("toy.feature"), "the build of torch decides the last digits only"
    code.list_libraries.cache_clear()


def test_what_is_remembered_is_found_anew_by_another_release(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Symptom: imports that a new release follows were not followed in modules that the old one had read."""
    monkeypatch.setattr(code, "_memory", [tmp_path])
    parse, parsed = code._parse_module, []
    monkeypatch.setattr(code, "_parse_module", lambda name, *rest: parsed.append(name) or parse(name, *rest))
    for release in ("1", "1", "2"):
        code._recall.cache_clear()
        monkeypatch.setattr(code, "_hash_this", lambda release=release: release)
        digest("toy.other")
        parsed.append(release)
    assert [name for name in parsed if name in ("toy.other", "1", "2")] == ["toy.other", "1", "1", "toy.other", "2"]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to work in, whose `mine` holds plug-ins of a study's own."""
    monkeypatch.chdir(tmp_path)
    texts = {
        "mine/features/mine.py": "from emoadapt.features import _shared\nfrom . import loud\nimport beside\n",
        "mine/features/_shared.py": "TABLE = {1: 2}\n",
        "mine/features/loud/__init__.py": "from .deep import run\nTABLE = 1\n",
        "mine/features/loud/deep.py": "from mine.elsewhere import VALUE\nrun = 1\n",
        "mine/elsewhere.py": "import numpy, json\nVALUE = 1\n",
        "mine/features/other.py": "VALUE = 1\n",
        "beside/__init__.py": "VALUE = 1\n",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    plugins.use_folder(tmp_path / "mine")
    yield tmp_path
    plugins.use_folder(None)


OWN = {
    "mine/features/mine.py": True,
    "mine/features/_shared.py": True,
    "mine/features/loud/deep.py": True,
    "mine/elsewhere.py": True,
    "beside/__init__.py": True,
    "mine/features/other.py": False,
}
"""Module -> whether the plug-in `mine` is computed with it."""


@pytest.mark.parametrize("version", [False, True])
@pytest.mark.parametrize(("edited", "counts"), OWN.items())
def test_all_that_an_own_plugin_imports_counts(own: Path, edited: str, counts: bool, version: bool) -> None:
    """Symptoms: these edits left results as they were.

    Of a module beside the study; of a constant `TABLE` of a shared module; and, with `code: version`, of any own plug-in.
    """
    module, pinned = "emoadapt.features.mine", Study.model_construct(code="version")

    def find() -> str:
        code.own_digest.cache_clear()
        return study_code(pinned, module) if version else digest(module)

    before = find()
    shared = own / edited
    shared.write_text(shared.read_text().replace("1", "3") + "import ast\n" * ("1" not in shared.read_text()))
    assert (find() != before) is counts


def test_libraries_that_an_own_plugin_imports_are_not_read(own: Path) -> None:
    assert {name for name in code.read_covered("emoadapt.features.mine") if not name.startswith("emoadapt")} == {
        "beside",
        "mine.elsewhere",
    }


def test_a_version_stands_for_built_in_modules(own: Path) -> None:
    version = Study.model_construct(code="version")
    assert study_code(version, "emoadapt.features.audio") == study_code(version, "emoadapt.methods.svm") == __version__


def test_the_folder_of_own_plugins_may_be_moved(own: Path) -> None:
    edit(own / "mine/features/loud/deep.py", "from mine.elsewhere import VALUE\n", "")
    before = digest("emoadapt.features.mine")
    (own / "mine").rename(own / "yours")
    plugins.use_folder(own / "yours")
    assert digest("emoadapt.features.mine") == before
