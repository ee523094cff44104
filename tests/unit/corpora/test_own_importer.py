"""An importer of one's own: the page that says how to add one is what is run here."""

from __future__ import annotations

import pickle
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from emoadapt.config import load_study
from emoadapt.config.importers import join_importers
from emoadapt.corpora.folder import Config as FolderCorpus
from emoadapt.errors import ConfigError
from emoadapt.flow.code import code_digest
from emoadapt.listing import manifests
from emoadapt.listing.accounts import describe_content, read_account
from emoadapt.listing.manifests import find_state
from emoadapt.listing.reading import describe_source, read_labels, read_utterances
from emoadapt.plugins import use_folder
from emoadapt.weights.cards import list_terms

PAGE = (Path(__file__).parents[3] / "docs/add-a-corpus.md").read_text()
MODULE, STUDY = (re.search(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[1] for kind in ("python", "yaml"))
SHOWN = re.search(r"```\n(corpus .*?)```", PAGE, re.DOTALL)[1]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_tree) -> Iterator[Path]:
    """The module of the page, in a folder of plug-ins, and a corpus for it."""
    monkeypatch.chdir(tmp_path)
    path = Path("my_plugins/corpora/lab.py")
    path.parent.mkdir(parents=True)
    path.write_text(MODULE)
    make_tree(["anna_joy_01.wav", "anna_rage_01.wav", "berta_joy_01.wav", "b/berta_rage_07.wav"], folder="data/lab")
    yield path.absolute()
    use_folder(None)
    sys.modules.pop("emoadapt.corpora.lab", None)


def read_section():
    """The section of the page's study, with the importers that are found now."""
    study = yaml.safe_load(STUDY)
    use_folder(Path(study["plugins"]))
    return TypeAdapter(join_importers()).validate_python(study["corpora"]["lab"])


def test_the_pages_importer_lists_and_labels_its_corpus(own):
    config = read_section()
    utterances = read_utterances("lab", config)
    assert [(u.utterance_id, u.speaker, u.language) for u in utterances] == [
        ("lab/anna_joy_01", "anna", "en"),
        ("lab/anna_rage_01", "anna", "en"),
        ("lab/b/berta_rage_07", "berta", "en"),
        ("lab/berta_joy_01", "berta", "en"),
    ]
    assert [label.label for label in read_labels("lab", config)] == ["happiness", "anger", "anger", "happiness"]
    head, *lines = SHOWN.splitlines()
    assert head == f"corpus lab: {len(utterances)} clips, 2 speakers, {config.shards} shards"
    assert [line.strip() for line in lines] == describe_content("lab", config, utterances, read_account("lab", config))


def test_what_it_declares_is_what_report_and_model_cards_say(own):
    config = read_section()
    assert describe_source(config) == "acted (intended) emotion"
    study = type("Study", (), {"corpora": {"lab": config}})()
    assert list_terms(study, ["lab"]) == ["Corpus lab: not published; ask the lab."]


def test_it_is_unknown_without_its_folder(own):
    section = {"importer": "lab", "root": "data/lab"}
    with pytest.raises(ValidationError, match="does not match any of the expected tags"):
        TypeAdapter(join_importers()).validate_python(section)


@pytest.mark.parametrize("constant", ["TERMS", "LABELS", "SPEAKERS_OF"])
def test_one_that_does_not_declare_what_it_must_is_refused(own, constant):
    own.write_text(re.sub(rf"^{constant} = .*$", "", MODULE, flags=re.MULTILINE))
    with pytest.raises(
        ConfigError, match=rf"corpus importer lab: .*lab\.py does not declare {constant}; see docs/add-a-corpus\.md"
    ):
        read_section()


def test_adding_one_makes_nothing_of_another_stale(own, make_tree, monkeypatch):
    names = [f"emoadapt.corpora.{importer}" for importer in ("folder", "emodb", "crema_d", "demo")]
    config = FolderCorpus(importer="folder", root=str(make_tree(["a.wav", "b.wav"], folder="other")))
    before = [code_digest("emoadapt.listing.manifests", name) for name in names], find_state("c", config)
    read_section()
    code_digest.cache_clear()
    monkeypatch.setattr(manifests, "read_utterances", lambda *_: pytest.fail("was listed again"))
    assert ([code_digest("emoadapt.listing.manifests", name) for name in names], find_state("c", config)) == before


def test_an_edit_lists_its_own_corpora_again_and_changes_rows_only_where_they_differ(own):
    first = find_state("lab", read_section())
    own.write_text(MODULE.replace('"rage": "anger"', '"rage": "fear"'))
    sys.modules.pop("emoadapt.corpora.lab")
    code_digest.cache_clear()
    second = find_state("lab", read_section())
    assert second.shards == first.shards and second.labels != first.labels


def test_a_study_that_names_its_plugins_knows_the_importer(own):
    study = load_study({"study": "s", **yaml.safe_load(STUDY)})
    assert study.corpora["lab"].importer == "lab" and not study.left_out
    assert len(read_utterances("lab", study.corpora["lab"])) == 4
    assert pickle.loads(pickle.dumps(study)).corpora == study.corpora
