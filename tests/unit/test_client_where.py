"""The language of ``--where``: what expressions mean, and what is said of those that mean nothing."""

from __future__ import annotations

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.v1 import image_pb2
from shoal_client import Between, ImageFilter, InvalidArgument, InvalidExpression, where
from shoal_client.conversion import filter_message


@pytest.mark.parametrize(
    ("expression", "meaning"),
    [
        ("tag = night", ImageFilter(tags=["night"])),
        ("TAG = near-duplicate", ImageFilter(tags=["near-duplicate"])),
        ('camera = "Canon EOS 40D"', ImageFilter(camera_models=["Canon EOS 40D"])),
        ("lens = 'EF \\'L\\' \"x\"'", ImageFilter(lenses=["EF 'L' \"x\""])),
        ('make = "Canon"', ImageFilter(camera_makes=["Canon"])),
        ("format in (jpg, PNG)", ImageFilter(formats=["JPEG", "PNG"])),
        ("cluster = 3", ImageFilter(clusters=[3])),
        ("theme in (2,3)", ImageFilter(themes=[2, 3])),
        ("place = 1", ImageFilter(places=[1])),
        ("moment_id = 4", ImageFilter(moments=[4])),
        ("unclustered", ImageFilter(unclustered=True)),
        ("iso >= 800", ImageFilter(iso=Between(min=800))),
        ("iso < 800", ImageFilter(iso=Between(max=math.nextafter(800, 0)))),
        (
            "iso in (100, 200)",
            ImageFilter(any_of=[ImageFilter(iso=Between(100, 100)), ImageFilter(iso=Between(200, 200))]),
        ),
        ("exposure >= 1/250s", ImageFilter(exposure_s=Between(min=1 / 250))),
        ("f_number = f/2.8", ImageFilter(f_number=Between(2.8, 2.8))),
        ("focal_length <= 85mm", ImageFilter(focal_length_mm=Between(max=85))),
        ("bytes >= 5MB", ImageFilter(byte_size=Between(min=5e6))),
        ("altitude >= -3.5", ImageFilter(altitude_m=Between(min=-3.5))),
        ("frames >= 2", ImageFilter(frame_count=Between(min=2))),
        ("captured in 2019", ImageFilter(captured=("2019-01-01T00:00:00", "2020-01-01T00:00:00"))),
        ("captured = 2019-12", ImageFilter(captured=("2019-12-01T00:00:00", "2020-01-01T00:00:00"))),
        ("captured > 2019-05", ImageFilter(captured=("2019-06-01T00:00:00", None))),
        ("captured <= 2020-02-29", ImageFilter(captured=(None, "2020-03-01T00:00:00"))),
        ("captured <= 2020-02-29T23:59", ImageFilter(captured=(None, "2020-03-01T00:00:00"))),
        ("captured < 2019-05-01T12:00:00+02:00", ImageFilter(captured=(None, "2019-05-01T12:00:00+02:00"))),
        ("ingested >= 2024-01-01T00:00:00Z", ImageFilter(ingested=("2024-01-01T00:00:00+00:00", None))),
        ("near(48.137, 11.575, 2km)", ImageFilter(near=(48.137, 11.575, 2000))),
        ("near(48.137, 11.575, 2 km)", ImageFilter(near=(48.137, 11.575, 2000))),
        ("near(48.137 11.575 2 KM)", ImageFilter(near=(48.137, 11.575, 2000))),
        ("bytes >= 5 MB", ImageFilter(byte_size=Between(min=5e6))),
        ("tag in (m, s)", ImageFilter(tags=["m", "s"])),
        ("tag = mb", ImageFilter(tags=["mb"])),
        ("NEAR(-48.5 -11, 300)", ImageFilter(near=(-48.5, -11, 300))),
        ("box(47,10,49,12)", ImageFilter(box=(47, 10, 49, 12))),
        ("polygon(47 10, 49 10, 48 12)", ImageFilter(polygon=[(47, 10), (49, 10), (48, 12)])),
        ("attr.album = Summer", ImageFilter(attributes={"album": ["Summer"]})),
        ("attr.rating = 4", ImageFilter(attributes={"rating": [4, "4"]})),
        ('attr.rating = "4"', ImageFilter(attributes={"rating": ["4"]})),
        ("attr.rating >= 4.5", ImageFilter(attributes={"rating": Between(min=4.5)})),
        ("attr.done in (true, maybe)", ImageFilter(attributes={"done": [True, "true", "maybe"]})),
        ("has attr.rating", ImageFilter(has_attributes=["rating"])),
        ("has location", ImageFilter(box=(-90, -180, 90, 180))),
        ("iso != 100", ImageFilter(none_of=[ImageFilter(iso=Between(100, 100))])),
        ("tag not in (a, b)", ImageFilter(none_of=[ImageFilter(tags=["a", "b"])])),
        ("captured not in 2019", ~ImageFilter(captured=("2019-01-01T00:00:00", "2020-01-01T00:00:00"))),
        ("not not tag = a", ImageFilter(tags=["a"])),
    ],
)
def test_conditions(expression: str, meaning: ImageFilter) -> None:
    assert where(expression) == meaning
    assert filter_message("photos", meaning).ByteSize() > 0


def test_and_binds_before_or_and_not_before_both() -> None:
    a, b, c = (ImageFilter(tags=[each]) for each in "abc")
    assert where("tag=a or tag=b and not tag=c") == ImageFilter(
        any_of=[a, ImageFilter(all_of=[b, ImageFilter(none_of=[c])])]
    )
    assert where("(tag=a or tag=b) AND tag=c") == ImageFilter(all_of=[ImageFilter(any_of=[a, b]), c])


@pytest.mark.parametrize(
    ("expression", "column", "problem"),
    [
        ("", 0, "the expression ends; expected: a word, not, has or ("),
        ("iso >", 5, "the expression ends; expected: a word or a text in quotes"),
        ("iso > 3 tag = x", 8, "'tag' cannot stand here; expected: and, or or the end"),
        ("(iso > 3", 8, "the expression ends; expected: )"),
        ("tag = a or", 10, "the expression ends; expected: a word, not, has or ("),
        ('tag = "a', 6, 'a text that begins with " does not end'),
        ("tag = a, b", 7, "',' cannot stand here"),
        ("kamera = x", 0, "there is no 'kamera'; did you mean camera?"),
        ("zzz = x", 0, "there is no 'zzz'; there are tag, camera, make"),
        ("around(1, 2, 3)", 0, "there is no 'around'; there are near(...), box(...), polygon(...)"),
        ("tag > x", 0, "tag has no order: it takes =, != and in"),
        ("camera", 0, 'camera must be compared with something, as in: camera = "Canon EOS 40D"'),
        ("near", 0, "a form is missing: near(LATITUDE, LONGITUDE, DISTANCE)"),
        ("tag = a and iso >= much", 19, "'much' is no number"),
        ("bytes > 5m", 8, "'5m' is no number, or one with kb, mb"),
        ("iso > 1e999", 6, "'1e999' is no finite number"),
        ("exposure > 1/0", 11, "'1/0' is no finite number"),
        ("cluster = cats", 10, "'cats' is no cluster's id (a number as `shoal clusters` prints it)"),
        ("captured >= 2019-13", 12, "'2019-13' is not a time like 2019, 2019-05"),
        ("captured > 9999", 11, "nothing comes after the year 9999"),
        ("near(48, 11)", 0, "this is not of the form near(LATITUDE, LONGITUDE, DISTANCE), as in near(48.137"),
        ("polygon(47 10, 49 10)", 0, "this is not of the form polygon(LATITUDE LONGITUDE, ...) with 3 corners"),
        ("near(91, 11, 2km)", 5, "'91' is no latitude (-90 to 90)"),
        ("near(48, -181, 2km)", 9, "'-181' is no longitude (-180 to 180)"),
        ("near(48, 11, 0km)", 13, "'0km' is no distance above 0"),
        ("near(48, 11, nan)", 13, "'nan' is no number"),
        ("box(49, 10, 47, 12)", 0, "the southern edge is north of the northern one"),
        ("tag = 5 m", 6, "'5 m' has a blank in it; if it is a text, write \"5 m\""),
        ("cluster = 3 m", 10, "'3 m' is no cluster's id"),
        ("tag = a meter", 8, "'meter' cannot stand here"),
        (
            "unclustered = true",
            0,
            "unclustered stands alone, without a comparison, as in: unclustered, or: not unclustered",
        ),
        ("unclustered in (1)", 0, "unclustered stands alone"),
        ("unclustered(1)", 0, "unclustered stands alone"),
        ("location = 1", 0, "location stands alone, without a comparison, as in: has location"),
        ("near = 3km", 0, "near stands alone, without a comparison, as in: near(48.137, 11.575, 2km)"),
        ("iso(3)", 0, "iso must be compared with something, as in: iso = 3"),
        ("has iso", 4, "'has' goes with attr.KEY and location"),
        ("attr.Album = x", 0, "'Album' is no attribute's key"),
    ],
)
def test_mistakes_are_pointed_at(expression: str, column: int, problem: str) -> None:
    with pytest.raises(InvalidExpression) as caught:
        where(expression)
    assert caught.value.problem.startswith(f"character {column + 1}: {problem}")
    assert (caught.value.excerpt, caught.value.column) == (expression, column)
    assert str(caught.value).splitlines()[1:] == [f"  {expression}", f"  {' ' * column}^"]
    assert isinstance(caught.value, InvalidArgument)


def test_of_a_long_expression_the_place_is_shown() -> None:
    expression = " or ".join(["tag = x"] * 20 + ["\n\tiso = x"] + ["tag = x"] * 20)
    with pytest.raises(InvalidExpression) as caught:
        where(expression)
    excerpt = caught.value.excerpt
    assert (excerpt[:3], excerpt[-3:], len(excerpt) < 90) == ("...", "...", True)
    assert excerpt[: caught.value.column].endswith("  iso = ")


def depth(message: image_pb2.ImageFilter) -> int:
    return 1 + max(map(depth, (*message.all_of, *message.any_of, *message.none_of)), default=0)


def test_what_is_read_is_not_too_deep_for_the_api() -> None:
    """The server takes 16 filters within one another; the plain options of a command add one."""
    deepest = 0
    for number in range(1, 30):
        expression = "(not (tag = a or " * number + "not iso not in (1, 2)" + "))" * number
        with suppress(InvalidExpression):
            deepest = max(deepest, depth(filter_message("photos", ImageFilter(tags=["x"]) & where(expression))))
    assert 12 <= deepest <= 16


def test_what_no_person_writes_is_refused() -> None:
    with pytest.raises(InvalidExpression, match="nested more than 12 deep"):
        where("(not (iso=1 or " * 15 + "iso=2" + "))" * 15)
    with pytest.raises(InvalidExpression, match="has 1001 conditions; at most 900 are taken"):
        where(f"iso in ({','.join(['1'] * 1000)})")
    with pytest.raises(InvalidExpression, match="at most 10000 are read"):
        where("tag = a or " * 2000 + "tag = b")
    assert where("(" * 500 + "tag = a" + ")" * 500) == where("not " * 4 + "tag = a") == ImageFilter(tags=["a"])


@given(st.text(max_size=60) | st.text("()=<>!,\"' andortiseclu0123456789./-", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    place = (0, 0)
    try:
        where(text)
    except InvalidExpression as error:
        place = (error.column, len(error.excerpt))
    assert 0 <= place[0] <= place[1]


@given(st.text(min_size=1, max_size=40))
def test_quotes_keep_every_text(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    assert where(f'tag = "{quoted}"') == ImageFilter(tags=[text])
