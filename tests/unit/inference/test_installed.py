"""The wheel, installed outside the checkout into an environment that has the libraries of no extra."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from emoadapt import __version__
from emoadapt.errors import EXTRAS
from emoadapt.inference.predict import predict_files

from .conftest import write_noise

ROOT = Path(__file__).parents[3]
PACKED = ("src", "rules", "studies", "profiles", "envs", "workflow", "Snakefile", "config.yaml", "CITATION.cff", "pyproject.toml",
          "README.md", "LICENSE")  # fmt: skip
HIDE = f"""
import importlib.machinery, sys

class Hiding(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {sorted(EXTRAS)} else super().find_spec(name, path, target)

sys.meta_path = [Hiding if finder is importlib.machinery.PathFinder else finder for finder in sys.meta_path]
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing is written into the checkout."""
    copy, folder = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for name in PACKED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(ROOT / name, copy / name)
    run_pip("wheel", "--no-build-isolation", "--wheel-dir", folder, copy)
    (built,) = folder.glob("*.whl")
    return built


def run_pip(command: str, *words: object, python: object = sys.executable) -> None:
    quiet = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-index")
    subprocess.run([sys.executable, "-m", "pip", "--python", python, command, *quiet, *map(str, words)], check=True)


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment; libraries are those of the present one, without those of the extras."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    run_pip("install", "--no-compile", wheel, python=folder / "bin/python")
    places = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (places / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (places / "hidden.py").write_text(HIDE)
    (places / "hidden.pth").write_text("import hidden\n")
    return folder


def run(environment: Path, folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "EMOADAPT"))}
    return subprocess.run(
        [environment / "bin" / str(words[0]), *map(str, words[1:])],
        cwd=folder, env=variables, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_wheel_is_pure_and_holds_what_a_study_needs(wheel: Path) -> None:
    assert wheel.name == f"emoadapt-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f"emoadapt-{__version__}.dist-info/METADATA").decode()
    sources = {path.relative_to(ROOT / "src") for path in (ROOT / "src").rglob("*.*") if path.is_file()}
    left_out = re.compile(r"__pycache__|\.egg-info")
    assert {path.as_posix() for path in sources if not left_out.search(path.as_posix())} <= names
    data = f"emoadapt-{__version__}.data/data/share/emoadapt/"
    packed = {name.removeprefix(data) for name in names if name.startswith(data)}
    folders = ("rules", "studies", "profiles", "envs", "workflow")
    needed = {
        path.relative_to(ROOT).as_posix() for name in folders for path in (ROOT / name).rglob("*.*") if path.is_file()
    }
    assert packed == needed | {"Snakefile", "config.yaml", "CITATION.cff"}
    assert not any(name.startswith(("tests/", "docs/", "benchmarks/")) for name in names)
    assert "License-Expression: Apache-2.0" in metadata and "Requires-Dist: torch==2.13.0" in metadata


def test_installed_package_predicts_with_the_libraries_of_no_extra(
    environment: Path, classifier, tmp_path: Path
) -> None:
    classifier.save(tmp_path / "model", {})
    file = write_noise(tmp_path / "a.wav", 1.5)
    help_ = run(environment, tmp_path, "emoadapt", "--help")
    assert help_.returncode == 0 and "predict" in help_.stdout
    done = run(environment, tmp_path, "emoadapt", "predict", "model", "a.wav", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    (row,) = map(json.loads, done.stdout.splitlines())
    (expected,) = predict_files(classifier, [file])
    assert (row["file"], row["status"]) == ("a.wav", "ok")
    assert row["probabilities"] == pytest.approx(expected.probabilities, abs=1e-5)


def test_missing_library_is_one_sentence_with_its_extra(environment: Path, classifier, tmp_path: Path) -> None:
    classifier.save(tmp_path / "model", {})
    done = run(environment, tmp_path, "emoadapt", "export", "model", "--onnx", "model.onnx")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        "emoadapt: the library onnxscript is missing; install it with: pip install 'emoadapt[export]'"
    )
    assert "Traceback" not in done.stderr


def test_installed_snakefile_plans_a_study(environment: Path, tmp_path: Path) -> None:
    where = run(environment, tmp_path, "emoadapt", "workflow")
    assert Path(where.stdout.strip()) == environment / "share/emoadapt/Snakefile"
    done = run(
        environment,
        tmp_path,
        "python",
        "-m",
        "snakemake",
        "-n",
        "--quiet",
        "rules",
        "--snakefile",
        where.stdout.strip(),
    )
    assert done.returncode == 0, done.stderr
    assert "adapt" in done.stdout and "report" in done.stdout
