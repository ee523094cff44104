"""Generated files are current, and the pins of lock file and environment are the same."""

import re
from pathlib import Path

import pytest
import yaml

from emoadapt.chain import list_boxes
from emoadapt.config import read_study
from emoadapt.plugins import list_plugins
from emoadapt.reference import CHOOSERS, NOT_IN_ENVIRONMENT, describe_schema, generate_files

ROOT = Path(__file__).parents[2]


GENERATED = generate_files(ROOT)
PAGE = GENERATED["docs/configuration.md"]


@pytest.mark.parametrize("name", list(GENERATED))
def test_generated_file_is_current(name: str) -> None:
    assert (ROOT / name).read_text() == GENERATED[name], f"{name} is out of date: run `make docs`"


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_every_pin_is_exact_and_no_index_is_named() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert all(re.fullmatch(r"[A-Za-z0-9_.\-]+==[^\s;@]+", line) for line in text.splitlines() if line)
    assert "://" not in text and locked()["torch"] == "2.13.0"


def test_environment_and_its_script_have_the_locked_pins() -> None:
    environment = yaml.safe_load((ROOT / "envs/core.yaml").read_text())
    pins = dict(pin.split("==") for pin in environment["dependencies"][-1]["pip"])
    script = dict(
        re.findall(r"^pip install --no-deps (\S+)==(\S+)$", (ROOT / "envs/core.post-deploy.sh").read_text(), re.M)
    )
    assert set(script) == set(NOT_IN_ENVIRONMENT)
    assert pins | script == locked()


def test_every_section_of_a_plugin_has_a_title_and_a_heading_of_its_own() -> None:
    """Symptom: sections of plug-ins are all called `Config`, so that one hid the others."""
    titles = [definition["title"] for definition in describe_schema()["$defs"].values()]
    assert len(titles) == len(set(titles))
    headings = [line for line in PAGE.splitlines() if line.startswith("### ")]
    assert len(headings) == len(set(headings))
    for name in list_plugins("corpora"):
        assert f"importer: {name}" in titles and f"### `corpora.<name>` (importer: {name})" in headings


def read_sections(page: str) -> dict[str, set[str]]:
    """Heading of a section in the reference -> its keys: those shared with the others of its place, and its own."""
    found, shared = {}, set()
    for block in re.split(r"^##+ (?=`)", page, flags=re.M)[1:]:
        heading, _, text = block.partition("\n")
        text, *common = re.split(r"<summary>Keys that most", text)
        keys = set(re.findall(r"^\| `(\w+)` \|", text, re.M))
        if match := re.search(r"^Shared keys: (all)?(?: but )?(.*)\.$", text, re.M):
            named = set(re.findall(r"`(\w+)`", match[2]))
            keys |= shared - named if match[1] else named
        if common:
            shared = set(re.findall(r"^\| `(\w+)` \|", common[0], re.M))
        found[heading] = keys
    return found


def names(heading: str, title: str) -> bool:
    return heading.endswith(f"({title})") or heading == f"`{title.lower()}`"


def test_reference_names_every_key_of_every_section() -> None:
    found = read_sections(PAGE)
    sections = 0
    for definition in describe_schema()["$defs"].values():
        keys = set(definition.get("properties", {})) - set(CHOOSERS)
        headings = [keys_ for heading, keys_ in found.items() if names(heading, definition["title"])]
        sections += len(headings)
        assert headings and all(keys == keys_ - set(CHOOSERS) for keys_ in headings), definition["title"]
    assert sections > 70


def test_common_keys_come_first_and_list_all_choices() -> None:
    common = PAGE.split("\n## ")[1]
    assert common.startswith("Common keys\n") and len(re.findall(r"^\| `", common, re.M)) > 40
    (importers,) = re.findall(r"^\| `importer` \| (.*?) \| \*\*required", common, re.M)
    assert set(re.findall(r"`(\w+)`", importers)) == set(list_plugins("corpora"))


def test_the_picture_shows_what_the_features_declare() -> None:
    boxes = list_boxes(read_study([ROOT / "config.yaml"]))
    assert boxes["transcript"].needs == ["audio"], "the clips are behind the audio"
    assert boxes["faces"].needs == ["manifest"] and boxes["sentiment"].needs == ["transcript"]
    assert sorted(boxes["training"].needs) == ["egemaps", "face_embedding", "sentiment"]
    assert len({(box.column, box.row) for box in boxes.values()}) == len(boxes), "no box lies on another"
