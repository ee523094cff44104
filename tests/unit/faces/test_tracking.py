"""Whose face is whose, through the frames of a clip."""

import math

import pytest

from emoadapt.detectors.base import Face
from emoadapt.faces.tracking import People, Person, compare_faces


def _face(x: float, y: float, side: float, height: float | None = None) -> Face:
    """A face about a middle."""
    half, high = side / 2, (height or side) / 2
    return Face((x - half, y - high, x + half, y + high), 0.9)


def _follow(frames: list[list[Face]], follow: bool = True) -> People:
    people = People(follow)
    for number, faces in enumerate(frames):
        if faces:
            people.add(number, faces)
    return people


def test_difference_is_the_move_in_sides_plus_growth_in_octaves():
    """30 and 40 pixels to the sides are 50 apart; between sides of 100 and 200 their geometric mean is 141.42."""
    assert compare_faces(_face(0, 0, 100), _face(30, 40, 100)) == pytest.approx(0.5)
    assert compare_faces(_face(0, 0, 100), _face(0, 0, 50)) == pytest.approx(1.0)
    assert compare_faces(_face(0, 0, 100), _face(30, 40, 200)) == pytest.approx(50 / 141.42135624 + 1)
    assert compare_faces(_face(0, 0, 50, 200), _face(0, 0, 100)) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("after", "same"),
    [
        (_face(75, 0, 100), True),
        (_face(76, 0, 100), False),
        (_face(0, -76, 100), False),
        (_face(0, 0, 200), True),
        (_face(0, 0, 202), False),
        (_face(0, 0, 49), False),
    ],
)
def test_limits_of_move_and_growth(after, same):
    before = _face(0, 0, 100)
    assert math.isfinite(compare_faces(before, after)) == same
    assert math.isfinite(compare_faces(after, before)) == same


def test_a_box_without_area_is_nobody_known():
    assert compare_faces(_face(0, 0, 100), Face((5.0, 5.0, 5.0, 5.0), 0.9)) == math.inf


def test_nobody_leads_before_a_face_is_seen():
    assert People().leading is None
    assert People(follow=False).leading is None


def test_a_person_is_the_sum_of_their_faces():
    person = Person()
    person.add(3, _face(0, 0, 10))
    person.add(5, _face(1, 0, 20))
    assert person.area == 100 + 400
    assert person.last == _face(1, 0, 20)


def _crossing() -> list[list[Face]]:
    """Left comes nearer (60 to 100 pixels), right walks away (90 to 50): largest is first right, then left."""
    return [[_face(100, 100, 60 + 4 * i), _face(300, 100, 90 - 4 * i)] for i in range(11)]


def test_a_person_is_kept_when_two_faces_cross_in_size():
    """In all, left is 80 pixels wide on the mean, right 70: left is kept in all frames, though right is larger in four."""
    frames = _crossing()
    leading = _follow(frames).leading
    assert leading.faces == {i: faces[0] for i, faces in enumerate(frames)}
    assert leading.area == pytest.approx(sum(faces[0].area for faces in frames))


def test_the_order_in_which_a_detector_gives_faces_means_nothing():
    frames = _crossing()
    mixed = [faces[::-1] if i % 3 == 1 else faces for i, faces in enumerate(frames)]
    assert _follow(mixed).leading.faces == _follow(frames).leading.faces


def test_the_largest_of_each_frame_whosever_it_is():
    """60 + 4 i > 90 - 4 i from i = 4 on."""
    frames = _crossing()
    assert _follow(frames, follow=False).leading.faces == {
        i: faces[0 if i >= 4 else 1] for i, faces in enumerate(frames)
    }


def test_who_leads_changes_as_areas_add_up():
    """Large for two frames and gone, against small and there for long: 2 * 100^2 are 12.5 * 40^2."""
    large, small = _face(300, 100, 100), _face(100, 100, 40)
    people, leads = People(), []
    for number in range(20):
        people.add(number, [large, small] if number < 2 else [small])
        leads.append(people.leading.last)
    assert leads == [large] * 12 + [small] * 8
    assert sorted(people.leading.faces) == list(range(20))


def test_the_first_seen_leads_among_equals():
    """Faces of the same frame count in the order of the detector's list."""
    left, right = _face(100, 100, 50), _face(300, 100, 50)
    assert _follow([[left, right]]).leading.last == left
    assert _follow([[left], [left], [right], [right]]).leading.last == left


def test_one_who_comes_back_at_the_place_is_the_same_and_elsewhere_another():
    here, near, far = _face(100, 100, 50), _face(120, 100, 50), _face(200, 100, 50)
    assert sorted(_follow([[here], [], [], [], [near]]).leading.faces) == [0, 4]
    assert sorted(_follow([[here], [], [], [], [far]]).leading.faces) == [0]


def test_a_face_that_walks_through_the_picture_and_comes_near_is_one_person():
    """Each step is within the limits; the first and the last face are not."""
    path = [_face(50 + 20 * i, 80 + 5 * i, 40 * 1.1**i) for i in range(20)]
    assert math.isinf(compare_faces(path[0], path[-1]))
    assert sorted(_follow([[face] for face in path]).leading.faces) == list(range(20))


def test_the_closest_pair_is_told_first():
    """A face at 130 is nearer to the person at 140 than to the one at 100, who gets the one left over, at 60."""
    people = _follow([[_face(100, 100, 60), _face(140, 100, 61)], [_face(130, 100, 60), _face(60, 100, 60)]])
    faces = people.leading.faces
    assert [face.middle[0] for face in faces.values()] == [140, 130]


def test_no_face_is_given_to_two_people():
    """Two side by side, one of whom is not seen for a frame: the one face is the nearer's alone, though both could be it."""
    left, right, only = _face(100, 100, 60), _face(140, 100, 80), _face(101, 100, 60)
    assert compare_faces(left, only) < compare_faces(right, only) < math.inf
    leading = _follow([[left, right], [only], [left, right]]).leading
    assert leading.faces == {0: right, 2: right} and leading.area == 2 * 80**2
