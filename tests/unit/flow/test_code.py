"""Code digests: what changes them and what does not."""

import importlib
import sys
from pathlib import Path

import pytest

from emoadapt import plugins
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


def test_an_edit_of_a_declaration_does_not_count(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: a new option, or a new table, made every feature stale."""
    monkeypatch.setattr(code, "DECLARATIONS", frozenset({"toy.shared"}))
    before = digest("toy.feature")
    edit(package / "shared.py", "2 * x", "3 * x")
    assert digest("toy.feature") == before


def test_what_only_declares_is_left_out_of_real_digests() -> None:
    for module in (code.DECLARATIONS | code.WITHOUT_EFFECT) - {"emoadapt"}:
        assert digest(module) == digest("emoadapt.config"), f"{module} is covered by a digest"
