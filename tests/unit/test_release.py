"""What a release states about itself: version, licence, citation, dependencies, container."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import emoadapt
from emoadapt.cli import main
from emoadapt.config.papers import list_papers
from emoadapt.errors import EXTRAS, explain_missing_library
from emoadapt.flow.provenance import DISTRIBUTIONS

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WITH_OTHERS = {
    "snakemake_interface_logger_plugins": "snakemake",
    "soxr": "librosa",
    "tokenizers": "transformers",
    "markupsafe": "jinja2",
}
"""Module -> the library of ours that brings it."""
IN_NO_EXTRA = {"umap"}
"""Modules that an option of one command names itself, and nothing else needs."""


def normalise(name: str) -> str:
    return re.match(r"[\w.-]+", name)[0].lower().replace("_", "-")


def list_extra(name: str) -> set[str]:
    """Distributions of an extra, those of the extras that it includes too."""
    found = set()
    for wanted in PROJECT["optional-dependencies"][name]:
        inner = re.fullmatch(r"emoadapt\[(\w+)\]", wanted)
        found |= list_extra(inner[1]) if inner else {normalise(wanted)}
    return found


def list_imports() -> dict[str, set[str]]:
    """Top module -> the files of the package that import it."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            for name in names:
                found.setdefault(name.partition(".")[0], set()).add(path.name)
    return found


def test_citation_agrees_with_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == emoadapt.__version__ and PROJECT["dynamic"] == ["version"]
    assert citation["license"] == PROJECT["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()[:200]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]
    cited = {f"{paper['authors'][0]['family-names'].lower()}{paper['year']}" for paper in citation["references"]}
    assert cited == set(list_papers())


def test_every_library_is_in_the_base_or_in_the_extra_that_its_message_names() -> None:
    base = {normalise(name) for name in PROJECT["dependencies"]}
    imports = {name: files for name, files in list_imports().items() if name not in sys.stdlib_module_names}
    assert len(imports) > 25
    for module in sorted({*imports, *EXTRAS} - {"emoadapt", *IN_NO_EXTRA}):
        name = normalise(
            {"yaml": "pyyaml", "skimage": "scikit-image", **DISTRIBUTIONS, **WITH_OTHERS}.get(module, module)
        )
        assert (name in base) != (module in EXTRAS), f"{module}: {imports.get(module)}"
        assert module not in EXTRAS or name in list_extra(EXTRAS[module]), module


def test_everything_that_is_needed_is_locked() -> None:
    locked = {normalise(line) for line in (ROOT / "requirements.lock").read_text().splitlines()}
    wanted = {normalise(name) for name in PROJECT["dependencies"]}
    assert wanted.union(*map(list_extra, PROJECT["optional-dependencies"])) <= locked


def test_missing_library_is_one_sentence_on_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> None:
        try:
            raise ModuleNotFoundError("No module named 'pocketsphinx'", name="pocketsphinx")
        except ModuleNotFoundError as error:
            raise RuntimeError("a worker ended") from error

    monkeypatch.setattr("emoadapt.cli.app", fail)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said == "emoadapt: the library pocketsphinx is missing; install it with: pip install 'emoadapt[demo]'\n"
    assert explain_missing_library(ModuleNotFoundError("No module named 'mine'", name="mine")) is None


# --- container


def read_dockerfile() -> list[tuple[str, str]]:
    """Instructions with their arguments, continued lines joined."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def test_container_is_built_from_the_lock_as_make_does() -> None:
    steps = read_dockerfile()
    assert {name for name, _ in steps} <= {"FROM", "ENV", "COPY", "RUN", "WORKDIR", "CMD"}
    ((name, image),) = [step for step in steps if step[0] == "FROM"]
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", image) and steps[0] == (name, image)
    runs = " ".join(text for name, text in steps if name == "RUN")
    makefile = (ROOT / "Makefile").read_text()
    for part in ("grep '^torch==' ", "--no-deps", "--no-build-isolation"):
        assert part in runs and part in makefile
    assert runs.index("torch==") < runs.index("--requirement") < runs.index("--no-build-isolation")
    assert not re.search(r"\b(curl|wget|git clone|http)", runs)


def test_container_copies_what_the_wheel_is_built_of_and_no_more() -> None:
    copied = [word for name, text in read_dockerfile() if name == "COPY" for word in text.split()[:-1]]
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted(copied) == sorted(allowed) and all((ROOT / name).exists() for name in copied)
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
    packed = {pattern.partition("/")[0] for patterns in data.values() for pattern in patterns}
    assert packed | {"src", "pyproject.toml", "README.md", "LICENSE", "requirements.lock"} == set(copied)
