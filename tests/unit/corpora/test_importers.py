"""What all importers keep to."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import yaml
from pydantic import TypeAdapter

from emoadapt.config import AnyCorpus, Corpus
from emoadapt.errors import CorpusError
from emoadapt.listing.emotions import EMOTIONS
from emoadapt.listing.reading import SOURCES, describe_source, read_labels
from emoadapt.plugins import list_plugins, load_plugin, read_declaration

DOCS = Path(__file__).parents[3] / "docs/corpora.md"
IMPORTERS = list_plugins("corpora")


def test_every_importer_gives_names_that_all_share():
    modules = [importlib.import_module(f"emoadapt.corpora.{importer}") for importer in IMPORTERS]
    tables = [module.EMOTIONS for module in modules if hasattr(module, "EMOTIONS")]
    assert len(tables) >= 13
    assert {name for table in tables for name in table.values()} - {None} <= set(EMOTIONS)


@pytest.mark.parametrize("importer", IMPORTERS)
def test_every_importer_declares_itself_and_nothing_that_is_not_so(importer):
    module = load_plugin("corpora", importer)
    assert get_args(module.Config.model_fields["importer"].annotation) == (importer,)
    assert issubclass(module.Config, Corpus) and module.Config.__doc__ and module.__doc__
    assert callable(module.list_utterances) and callable(module.list_labels)
    declared = {
        name: read_declaration("corpora", importer, name) for name in ("TERMS", "LABELS", "SPEAKERS_OF", "GENERATED")
    }
    assert all(getattr(module, name, None) == value for name, value in declared.items())
    # Terms and labels are what the head of the module says of the corpus.
    if declared["TERMS"] is None:
        assert declared["SPEAKERS_OF"] == "root"
    assert all(
        licence in module.__doc__ for licence in re.findall(r"CC [A-Z-]+ \d\.\d|GPL-\d\.\d", declared["TERMS"] or "")
    )
    assert declared["LABELS"] in SOURCES or hasattr(module, "describe_labels")
    words = {"acted": "acted|portrayed|emotion follow", "perceived": "raters|annotat|judgement|consensus"}
    assert re.search(words.get(declared["LABELS"], ""), module.__doc__ + (module.list_labels.__doc__ or ""))
    assert declared["SPEAKERS_OF"] in ("corpus", "root")
    assert bool(declared["GENERATED"]) == hasattr(module, "fingerprints")


def test_published_corpora_are_recognised_by_the_names_of_their_files():
    known = {name for name in IMPORTERS if isinstance(getattr(load_plugin("corpora", name), "NAMES", None), re.Pattern)}
    assert set(IMPORTERS) - known == {"csv", "demo", "folder"}


def test_the_folder_of_importers_holds_nothing_else():
    folder = Path(load_plugin("corpora", "csv").__file__).parent
    assert {path.stem for path in folder.glob("*.py")} == {*IMPORTERS, "base", "__init__"}
    assert {get_args(kind.model_fields["importer"].annotation)[0] for kind in get_args(get_args(AnyCorpus)[0])} == {
        *IMPORTERS
    }


@pytest.mark.parametrize("module", ["corpora.emodb", "corpora.demo", "listing.annotations", "listing.named_files"])
def test_an_importer_can_be_the_first_that_is_imported(module):
    """Symptom: its section, one of a union that the configuration builds, was asked for before it was there."""
    code = f"import emoadapt.{module}; import emoadapt.config as config; config.Study"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == ""


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
    block = re.search(r"## A line for each\n\n```yaml\n(corpora:.*?)```", DOCS.read_text(), re.DOTALL)[1]
    for variable in re.findall(r"\$\{(\w+)\}", block):
        monkeypatch.setenv(variable, "/nowhere")
    adapter = TypeAdapter(AnyCorpus)
    return {name: adapter.validate_python(section) for name, section in yaml.safe_load(block)["corpora"].items()}


def test_the_documentation_has_a_valid_line_for_each(monkeypatch):
    sections = read_lines_of_the_docs(monkeypatch)
    assert {section.importer for section in sections.values()} == {*IMPORTERS} - {"csv", "folder", "demo"}


def test_whose_judgement_labels_are_is_said_for_every_importer(monkeypatch):
    described = {name: describe_source(section) for name, section in read_lines_of_the_docs(monkeypatch).items()}
    assert all(described.values())
    assert described["emodb"] == described["ravdess_song"] == "acted (intended) emotion"
    assert described["iemocap"] == described["meld"] == "raters' plurality"
    assert described["crema_d"] == "audiovisual, ties random"
    assert described["cmu_mosi"] == "sign of the raters' mean sentiment"


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
