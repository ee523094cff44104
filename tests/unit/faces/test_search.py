"""Detection through a clip, with a detector that sees what the test says."""

import itertools
import math

import numpy as np
import pytest

from emoadapt.detectors.base import Face
from emoadapt.faces import search as detection
from emoadapt.faces.search import (
    FULL_SEARCH_EVERY,
    MAX_GROWTH,
    MAX_KNOWN,
    MAX_STEP,
    SURE_SCORE,
    FaceFinder,
    batch_groups,
    carry_face,
    confirm_faces,
    group_frames,
    merge_boxes,
    pair_faces,
)

WIDTH = 640


def _face(x: float, y: float = 100.0, side: float = 80.0, score: float = 0.99) -> Face:
    """A face about a middle."""
    return Face((x - side / 2, y - side / 2, x + side / 2, y + side / 2), score)


def _frames(n: int, height: int = 4):
    """Frames that hold their number; a picture of their number is all that the detectors here need."""
    return [(0.04 * number, np.full((height, WIDTH, 3), number, np.uint8)) for number in range(n)]


def _number(frame: np.ndarray) -> int:
    return int(frame[0, 0, 0])


class Scene:
    """A detector that finds `faces(number)`, and those of them within 60 pixels of a known one where it looks near."""

    def __init__(self, faces, seen_near=None) -> None:
        self.faces, self.seen_near = faces, seen_near
        self.full: list[int] = []
        self.near: list[int] = []
        self.given: list[list[Face]] = []
        self.at_once: list[int] = []

    def detect(self, frames):
        self.at_once.append(len(frames))
        self.full += [_number(frame) for frame in frames]
        return [list(self.faces(_number(frame))) for frame in frames]

    def detect_near(self, frame, known):
        self.near.append(_number(frame))
        self.given.append(list(known))
        faces = (self.seen_near or self.faces)(_number(frame))
        return [face for face in faces if any(math.dist(face.middle, other.middle) < 60 for other in known)]

    def close(self):
        pass


def _find(scene: Scene, n: int, every: int = 1, near: bool = False):
    return list(itertools.chain.from_iterable(FaceFinder(scene, every, near).find(_frames(n))))


# --- every so-many-th frame ------------------------------------------------------------------------


def test_every_frame_is_detected_once_and_in_order():
    scene = Scene(lambda number: [_face(100 + number)])
    found = _find(scene, 21)
    assert scene.full == list(range(21))
    assert [_number(sighting.frame) for sighting in found] == list(range(21))
    assert [sighting.seconds for sighting in found] == pytest.approx([0.04 * i for i in range(21)])
    assert [sighting.faces for sighting in found] == [[_face(100 + i)] for i in range(21)]
    assert all(sighting.detected for sighting in found)


@pytest.mark.parametrize("every", [2, 3, 5, 25])
def test_carried_boxes_of_an_even_motion_are_those_of_every_frame(every):
    """Faces that move and grow evenly between detections: what lies between is known without looking."""

    def move(number):
        return [_face(100 + 0.5 * number, 100 - 0.25 * number, 80 + 0.25 * number), _face(400 - 0.5 * number, side=60)]

    scene = Scene(move)
    found = _find(scene, 30, every)
    seen = sorted({*range(0, 30, every), 29})
    assert scene.full == seen
    assert [number for number, sighting in enumerate(found) if sighting.detected] == seen
    for sighting, expected in zip(found, _find(Scene(move), 30), strict=True):
        assert (sighting.seconds, _number(sighting.frame)) == (expected.seconds, _number(expected.frame))
        boxes = {face.box[0]: face.box for face in expected.faces}
        got = {face.box[0]: face.box for face in sighting.faces}
        np.testing.assert_allclose([got[x] for x in sorted(got)], [boxes[x] for x in sorted(boxes)], atol=1e-9)


def test_boxes_are_carried_by_time_and_not_by_number():
    """Frames at 0, 0.3 and 0.4 s: the middle one is three quarters of the way."""
    scene = Scene(lambda number: [_face(100 + 10 * number)])
    frames = [(seconds, frame) for seconds, (_, frame) in zip((0.0, 0.3, 0.4), _frames(3), strict=True)]
    (_, between, _) = itertools.chain.from_iterable(FaceFinder(scene, 2).find(frames))
    assert between.faces[0].middle == pytest.approx((115, 100)) and not between.detected


def test_frames_between_detections_that_disagree_are_searched():
    """The face jumps at frame 10: only from 8 to 12 do the boxes not overlap by half."""
    scene = Scene(lambda number: [_face(100 if number < 10 else 200)])
    found = _find(scene, 25, every=4)
    assert sorted(scene.full) == sorted([0, 4, 8, 9, 10, 11, 12, 16, 20, 24])
    assert [i for i, sighting in enumerate(found) if sighting.detected] == sorted(scene.full)
    assert [sighting.faces[0].middle[0] for sighting in found] == pytest.approx([100] * 10 + [200] * 15)


@pytest.mark.parametrize("gone", [{5}, {4, 5}, {4, 5, 6, 7}, {0}, {24}])
def test_one_who_comes_or_goes_is_no_agreement(gone):
    """Carried boxes never hide what a detection has shown: a frame whose detection lacks the face has none beside it."""

    def faces(number):
        return [] if number in gone else [_face(100)]

    found = _find(Scene(faces), 25, every=4)
    for number, sighting in enumerate(found):
        if sighting.detected:
            assert sighting.faces == faces(number)
    expected = [bool(faces(number)) for number in range(25)]
    # Only an absence that lies wholly between two detections can be missed.
    if not gone <= {5, 6, 7}:
        assert [bool(sighting.faces) for sighting in found] == expected


def test_nobody_between_two_frames_without_anybody():
    scene = Scene(lambda number: [])
    found = _find(scene, 9, every=4)
    assert scene.full == [0, 4, 8]
    assert [sighting.detected for sighting in found] == [i % 4 == 0 for i in range(9)]
    assert not any(sighting.faces for sighting in found)


@pytest.mark.parametrize("n", [0, 1, 2, 5, 6])
def test_the_last_frame_is_always_detected(n):
    scene = Scene(lambda number: [_face(100)])
    found = _find(scene, n, every=5)
    assert len(found) == n
    assert set(scene.full) == ({0, n - 1, *range(0, n, 5)} if n else set())


@pytest.mark.parametrize(("every", "near"), [(1, False), (3, False), (1, True), (3, True), (25, False)])
def test_sightings_do_not_depend_on_the_size_of_batches(monkeypatch, every, near):
    """A face that moves, jumps, goes and comes again, beside one that is there for some time."""

    def faces(number):
        first = [_face(100 + 2 * number if number < 33 else 400, score=0.95 if number % 11 else 0.8)]
        return (first if not 20 <= number < 24 else []) + ([_face(500)] if 10 <= number < 50 else [])

    found = {}
    for frames_at_once in (1, 2, 5, 8, 1000):
        monkeypatch.setattr(detection, "BATCH_PIXELS", frames_at_once * 4 * WIDTH)
        found[frames_at_once] = [
            (sighting.seconds, _number(sighting.frame), sighting.faces, sighting.detected)
            for sighting in _find(Scene(faces), 71, every, near)
        ]
    assert len(found[1]) == 71
    for other in found.values():
        assert other == found[1]


def test_no_more_pixels_at_once_than_a_batch_has(monkeypatch):
    """Also where detections disagree and the frames between are searched."""
    monkeypatch.setattr(detection, "BATCH_PIXELS", 4 * 4 * WIDTH)
    scene = Scene(lambda number: [_face(100 + 200 * (number % 2))])
    found = _find(scene, 40, every=13)
    assert sorted(scene.full) == list(range(40)) and all(sighting.detected for sighting in found)
    assert max(scene.at_once) == 4


def test_groups_end_where_faces_are_detected():
    assert [list(map(int, group)) for group in group_frames(iter(range(8)), 3)] == [[0], [1, 2, 3], [4, 5, 6], [7]]
    assert list(group_frames(iter(()), 3)) == []


def test_batches_are_of_eight_ordinary_frames_or_one_large():
    def sizes(n, height, width):
        frames = ((i, np.broadcast_to(np.uint8(0), (height, width, 3))) for i in range(n))
        return [len(batch) for batch in batch_groups(group_frames(frames, 1))]

    assert sizes(20, 480, 640) == [8, 8, 4]
    assert sizes(20, 720, 1280) == [2] * 10
    assert sizes(3, 2160, 3840) == [1] * 3


def test_memory_does_not_follow_the_clip():
    """Alive are this batch and the one before it, however long the clip."""
    alive, most = 0, 0

    class Frame:
        shape = (480, 640, 3)

        def __init__(self):
            nonlocal alive, most
            alive += 1
            most = max(most, alive)

        def __del__(self):
            nonlocal alive
            alive -= 1

    class Blind:
        def detect(self, frames):
            return [[] for _ in frames]

    sizes = []
    for batch in FaceFinder(Blind()).find((i, Frame()) for i in range(200)):
        sizes.append(len(batch))
        del batch
    assert sizes == [8] * 25
    assert most <= 2 * 8 + 1


# --- near the known faces --------------------------------------------------------------------------


def test_near_looks_everywhere_at_first_and_every_sixteenth_time():
    scene = Scene(lambda number: [_face(100 + number), _face(400, side=60)])
    found = _find(scene, 40, near=True)
    assert FULL_SEARCH_EVERY == 16 and scene.full == [0, 16, 32]
    assert scene.near == [i for i in range(40) if i % 16]
    assert [sighting.faces for sighting in found] == [sighting.faces for sighting in _find(Scene(scene.faces), 40)]
    assert all(sighting.detected for sighting in found)


def test_near_is_given_the_faces_of_the_frame_before():
    scene = Scene(lambda number: [_face(100 + number), _face(400, side=60)])
    _find(scene, 5, near=True)
    assert scene.given == [[_face(100 + number), _face(400, side=60)] for number in range(4)]


@pytest.mark.parametrize(("score", "saves"), [(SURE_SCORE, True), (SURE_SCORE - 0.01, False)])
def test_near_looks_everywhere_beside_a_doubtful_face(score, saves):
    """It may be lost and found again anywhere: a full search would show it, so nothing else will do."""
    scene = Scene(lambda number: [_face(100 + number), _face(400, score=score)])
    found = _find(scene, 5, near=True)
    assert (scene.full, scene.near) == (([0], [1, 2, 3, 4]) if saves else ([0, 1, 2, 3, 4], []))
    assert [len(sighting.faces) for sighting in found] == [2] * 5


def test_a_doubtful_face_that_is_seen_by_chance_beside_a_known_one_asks_for_a_full_search():
    """It stands 50 pixels below the known face at frames 3 and 4."""
    scene = Scene(lambda number: [_face(100), *([_face(100, 150, 30, score=0.8)] if number in (3, 4) else [])])
    _find(scene, 8, near=True)
    assert scene.near == [1, 2, 3, 6, 7] and scene.full == [0, 4, 5]


def test_near_looks_everywhere_when_a_face_is_not_confirmed():
    """The face jumps at frame 5, is doubtful at 9: both are searched in full, and the sixteen are counted from there."""

    def faces(number):
        return [_face(100 if number < 5 else 300, score=0.8 if number == 9 else 0.99)]

    scene = Scene(faces)
    found = _find(scene, 30, near=True)
    assert [sighting.faces for sighting in found] == [faces(number) for number in range(30)]
    # At 9 it is seen near but is not sure; at 10 nobody is known; from there on the count starts anew.
    assert scene.full == [0, 5, 9, 10, 26]
    assert scene.near == [1, 2, 3, 4, 5, 6, 7, 8, 9, *range(11, 26), 27, 28, 29]


def test_near_looks_everywhere_while_nobody_is_known():
    scene = Scene(lambda number: [_face(100)] if number >= 6 else [])
    found = _find(scene, 10, near=True)
    assert scene.full == list(range(7)) and scene.near == [7, 8, 9]
    assert [len(sighting.faces) for sighting in found] == [0] * 6 + [1] * 4


def test_near_looks_everywhere_with_many_faces():
    for n, saves in ((MAX_KNOWN, True), (MAX_KNOWN + 1, False)):
        scene = Scene(lambda number, n=n: [_face(100 + 120 * i) for i in range(n)])
        _find(scene, 5, near=True)
        assert (scene.full, scene.near) == (([0], [1, 2, 3, 4]) if saves else ([0, 1, 2, 3, 4], []))


def test_a_newcomer_is_seen_at_the_next_full_search():
    scene = Scene(lambda number: [_face(100), *([_face(400)] if number >= 3 else [])])
    found = _find(scene, 20, near=True)
    assert [len(sighting.faces) for sighting in found] == [1] * 16 + [2] * 4


def test_a_face_lost_near_but_found_in_full_is_no_loss():
    """One of two faces is never found by looking near: each frame is searched in full, and none lacks it."""
    scene = Scene(lambda number: [_face(100), _face(400)], seen_near=lambda number: [_face(100)])
    found = _find(scene, 6, near=True)
    assert scene.full == list(range(6))
    assert [len(sighting.faces) for sighting in found] == [2] * 6


def test_near_and_every_third_frame_go_together():
    scene = Scene(lambda number: [_face(100 + number)])
    found = _find(scene, 60, every=3, near=True)
    detected = [i for i, sighting in enumerate(found) if sighting.detected]
    assert detected == [*range(0, 60, 3), 59]
    assert scene.full == [0, 48] and sorted(scene.full + scene.near) == detected
    assert [sighting.faces[0].middle[0] for sighting in found] == pytest.approx([100 + i for i in range(60)])


# --- boxes -----------------------------------------------------------------------------------------


def test_boxes_of_one_face_are_merged_into_the_largest():
    """A box of 80 x 80, one of 40 x 40 half inside it, one of 40 x 40 a quarter inside it, and the first once more."""
    large = Face((0.0, 0.0, 80.0, 80.0), 0.7)
    half_inside, quarter_inside = Face((60.0, 0.0, 100.0, 40.0), 0.9), Face((70.0, 0.0, 110.0, 40.0), 0.9)
    assert merge_boxes([half_inside, quarter_inside, large, large]) == [large, quarter_inside]
    assert merge_boxes([]) == []


def test_faces_are_paired_with_those_that_overlap_by_half():
    """Squares of 90, moved by 30: intersection 60 * 90 over 120 * 90 is one half; by 31 it is less."""
    before = [_face(100, side=90), _face(300, side=90)]
    moved = [_face(330, side=90), _face(100, side=90)]
    assert pair_faces(before, moved) == [(before[0], moved[1]), (before[1], moved[0])]
    assert pair_faces(before, [_face(331, side=90), _face(100, side=90)]) is None
    assert pair_faces(before, moved[:1]) is None and pair_faces(before, [*moved, _face(500)]) is None
    assert pair_faces([], []) == []


def test_two_faces_never_become_one():
    """Both overlap with the first of those after by half, and only one of them with the other."""
    before = [_face(100, side=90), _face(110, side=90)]
    assert pair_faces(before, [_face(105, side=90), _face(400, side=90)]) is None


def test_a_carried_face_lies_between_and_is_as_sure_as_the_less_sure():
    before, after = Face((0.0, 10.0, 20.0, 30.0), 0.9), Face((10.0, 10.0, 40.0, 50.0), 0.8)
    assert carry_face(before, after, 0.25) == Face((2.5, 10.0, 25.0, 35.0), 0.8)
    assert carry_face(before, after, 0.0).box == before.box and carry_face(before, after, 1.0).box == after.box


@pytest.mark.parametrize(
    ("found", "confirmed"),
    [
        ([_face(100)], True),
        ([_face(100, score=SURE_SCORE)], True),
        ([_face(100, score=SURE_SCORE - 0.01)], False),
        ([_face(100 + 80 * MAX_STEP - 0.1)], True),
        ([_face(100 + 80 * MAX_STEP + 0.1)], False),
        ([_face(100, 100 - 80 * MAX_STEP - 0.1)], False),
        ([_face(100, side=80 * MAX_GROWTH - 0.1)], True),
        ([_face(100, side=80 * MAX_GROWTH + 0.1)], False),
        ([_face(100, side=80 / MAX_GROWTH - 0.1)], False),
        ([_face(300), _face(100)], True),
        ([_face(300)], False),
        ([], False),
    ],
)
def test_a_face_is_confirmed_sure_near_and_of_its_size(found, confirmed):
    assert confirm_faces([_face(100)], found) == confirmed


def test_each_face_is_confirmed_by_one_of_its_own():
    assert confirm_faces([_face(100), _face(110)], [_face(101), _face(109)])
    assert not confirm_faces([_face(100), _face(110)], [_face(105)])
    assert confirm_faces([], [])


def test_time_stamps_that_stand_still_do_not_stop_a_clip():
    frames = [(1.0, frame) for _, frame in _frames(5)]
    batches = FaceFinder(Scene(lambda number: [_face(100)]), every=2).find(frames)
    assert [sighting.faces for batch in batches for sighting in batch] == [[_face(100)]] * 5


def test_frames_between_detections_do_not_fill_the_memory(monkeypatch):
    """Symptom: with `detect_every: 25` a batch held two hundred frames."""
    monkeypatch.setattr(detection, "BATCH_PIXELS", 8 * 4 * WIDTH)
    monkeypatch.setattr(detection, "HELD_PIXELS", 32 * 4 * WIDTH)
    batches = list(batch_groups(group_frames(_frames(200), 25)))
    assert [sum(map(len, batch)) for batch in batches[:2]] == [51, 50]
    assert sum(len(group) for batch in batches for group in batch) == 200
