"""What all importers keep to."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from emoadapt.config import AnyCorpus
from emoadapt.errors import CorpusError
from emoadapt.listing.emotions import EMOTIONS
from emoadapt.listing.reading import read_labels
from emoadapt.plugins import list_plugins, load_plugin, read_declaration

DOCS = Path(__file__).parents[3] / "docs/corpora.md"
IMPORTERS = list_plugins("corpora")


def test_every_importer_gives_names_that_all_share():
    modules = [importlib.import_module(f"emoadapt.corpora.{importer}") for importer in IMPORTERS]
    tables = [module.EMOTIONS for module in modules if hasattr(module, "EMOTIONS")]
    assert len(tables) >= 13
    assert {name for table in tables for name in table.values()} - {None} <= set(EMOTIONS)


def test_importers_load_nothing_but_the_standard_library():
    """The Snakefile is parsed by every job: polars or torch would cost each of them seconds."""
    heavy = ("polars", "pyarrow", "torch", "numpy", "av", "pandas")
    program = (
        f"import importlib, sys\nfor name in {IMPORTERS}: importlib.import_module('emoadapt.corpora.' + name)\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("importer", IMPORTERS)
def test_every_importer_names_its_source_and_its_terms(importer):
    if importer in ("csv", "folder", "demo"):
        return
    text = importlib.import_module(f"emoadapt.corpora.{importer}").__doc__ or ""
    assert "http" in text or "DOI" in text
    assert re.search(r"research|licence|License|CC BY|GPL", text)
    assert read_declaration("corpora", importer, "TERMS")


def read_lines_of_the_docs(monkeypatch):
    """Corpus -> its section, of the documentation's YAML."""
    block = re.search(r"```yaml\n(corpora:.*?)```", DOCS.read_text(), re.DOTALL)[1]
    for variable in re.findall(r"\$\{(\w+)\}", block):
        monkeypatch.setenv(variable, "/nowhere")
    adapter = TypeAdapter(AnyCorpus)
    return {name: adapter.validate_python(section) for name, section in yaml.safe_load(block)["corpora"].items()}


def test_the_documentation_has_a_valid_line_for_each(monkeypatch):
    sections = read_lines_of_the_docs(monkeypatch)
    assert {section.importer for section in sections.values()} == {*IMPORTERS} - {"csv", "folder", "demo"}


def test_a_missing_root_and_an_empty_folder_are_refused_by_all_importers(monkeypatch, tmp_path):
    for name, section in read_lines_of_the_docs(monkeypatch).items():
        with pytest.raises(CorpusError, match=rf"corpus {name}: its root /nowhere is not a folder"):
            read_labels(name, section)
        here = section.model_copy(update={"root": str(tmp_path / "a"), "annotations": None})
        (tmp_path / "a").mkdir(exist_ok=True)
        with pytest.raises(CorpusError, match=rf"corpus {name}: .*(found no clips under|is missing)"):
            read_labels(name, here)


@pytest.mark.parametrize(
    ("importer", "clip"),
    [
        ("emodb", "03a01Fa"),
        ("cafe", "01-C-1-1"),
        ("tess", "OAF_back_angry"),
        ("urdu", "SM1_F01_A12"),
        ("savee", "DC_a01"),
        ("ravdess", "03-01-01-01-01-01-01"),
        ("nemo", "SB0_anger_01"),
    ],
)
def test_a_clip_in_two_formats_is_refused(make_tree, importer, clip):
    root = make_tree([f"wav/{clip}.wav", f"flac/{clip}.flac"])
    columns = "file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage"
    (root / "data.tsv").write_text(f"{columns}\n{clip}.wav\tanger\tTak.\ttak\tSB0\tfemale\t21\n")
    config = TypeAdapter(AnyCorpus).validate_python({"importer": importer, "root": str(root)})
    with pytest.raises(
        CorpusError, match=rf"the same recording twice: flac/{clip}\.flac = wav/{clip}\.wav; remove one"
    ):
        read_labels("c", config)
