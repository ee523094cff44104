"""Corpora of media that no table names: labels and speakers by patterns in their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from emoadapt.errors import ConfigError
from emoadapt.study.new.drafts import FOLDERS, NONE, YES_OR_NO, Draft, Wishes, name_plainly
from emoadapt.study.new.patterns import Place, find_folder_label, find_label, find_speaker, list_places
from emoadapt.study.new.pictures import choose_modalities


def draft_folder(folder: Path, media: Sequence[str], wishes: Wishes) -> Draft:
    """Propose a corpus of media alone; labels and speakers are read from the names of files and folders, if these state them.

    Raises:
        ConfigError: a wish cannot be fulfilled.
        CorpusError: the media cannot be listed.
    """
    modalities, why = choose_modalities(folder, media)
    found = f"{len(media):,} media files, without a table that names them"
    draft = Draft(
        folder, {"importer": "folder", "root": str(folder)}, {"importer": found}, [found], [], name_plainly(folder.name)
    )
    places = list_places(media)
    label = _choose_label(draft, places, wishes)
    _choose_speaker(draft, places, label, wishes)
    draft.section["modalities"] = modalities
    draft.why |= {"modalities": why} if why else {}
    return draft.read()


def _choose_label(draft: Draft, places: Sequence[Place], wishes: Wishes) -> Place | None:
    """The place of the label, which is put into the section."""
    if wishes.label == NONE:
        return None
    nearest = next((place for place in places if place.folder), None)
    if wishes.label == FOLDERS:
        if nearest is None:
            raise ConfigError(
                f"--label {FOLDERS}: some files lie directly in {draft.folder}; move them into folders named by label"
            )
        return _put_label(draft, nearest, "as you asked")
    if wishes.label is not None:
        draft.section["label_pattern"] = _read_pattern(draft, "label", wishes.label)
        draft.why["label_pattern"] = "as you asked"
        return None
    if (place := find_label(places)) is not None:
        return _put_label(draft, place, "words for emotions")
    if (place := find_folder_label(places)) is None:
        return None
    if wishes.ask(f"Are the folders {place.show()} classes?", YES_OR_NO, "no") == "yes":
        return _put_label(draft, place, "as you said")
    draft.doubts.append(f"the folders {place.show()} may be classes, and are not read as such: --label {FOLDERS}")
    return None


def _put_label(draft: Draft, place: Place, why: str) -> Place:
    if place.folder and place.name_group("label").endswith("{1}$"):
        draft.section["label_from"], key = "parent", "label_from"
    else:
        draft.section["label_pattern"], key = place.name_group("label"), "label_pattern"
    draft.why[key] = f"{why}: {place.show()}"
    return place


def _choose_speaker(draft: Draft, places: Sequence[Place], label: Place | None, wishes: Wishes) -> None:
    """Put the pattern of the speaker into the section."""
    if wishes.speaker == NONE:
        return
    if wishes.speaker not in (None, FOLDERS):
        draft.section["speaker_pattern"] = _read_pattern(draft, "speaker", str(wishes.speaker))
        draft.why["speaker_pattern"] = "as you asked"
        return
    place, guess = (
        find_speaker(places, label) if wishes.speaker is None else (_find_speaker_folder(draft, places, label), False)
    )
    if place is None:
        # Stage 1 does without speakers.
        if label is not None:
            draft.doubts.append(
                "the names of the files do not tell the speakers: --speaker REGEX, with a group (?P<speaker>...)"
            )
        return
    if guess and wishes.asks:
        if wishes.ask(f"Are {place.show()} the speakers?", YES_OR_NO, "yes") == "no":
            return
        guess = False
    draft.section["speaker_pattern"] = place.name_group("speaker")
    draft.why["speaker_pattern"] = f"{'a guess: ' if guess else ''}{len(place.counts)} names, {place.show()}"
    if guess:
        draft.doubts.append(f"{place.show()} are taken for speakers; see that these are people")


def _find_speaker_folder(draft: Draft, places: Sequence[Place], label: Place | None) -> Place:
    """The nearest folders that are not the labels.

    Raises:
        ConfigError: there are none.
    """
    place = next((place for place in places if place.folder and place is not label), None)
    if place is None:
        raise ConfigError(
            f"--speaker {FOLDERS}: the files of {draft.folder} do not all lie in folders; write a regular expression"
        )
    return place


def _read_pattern(draft: Draft, group: str, wish: str) -> str:
    """A regular expression with a group.

    Raises:
        ConfigError: the wish is a column, and there is no table.
    """
    if f"(?P<{group}>" not in wish:
        raise ConfigError(
            f"--{group} {wish}: no table is read in {draft.folder}; write {FOLDERS}, {NONE}, or a regular expression with a group "
            f"(?P<{group}>...)"
        )
    return wish
