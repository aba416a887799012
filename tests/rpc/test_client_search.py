"""Searching, recommending and counting, by the SDK and by commands, against a server that really listens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from shoal.v1 import image_service_pb2 as pb
from shoal_client import Client, Collection, FacetField, FileTooLarge, ImageFilter, InvalidArgument, Term
from tests.rpc.test_client_cli import Shoal, shoal_at
from tests.rpc.test_client_fake import FakeServer, cluster, serving
from tests.rpc.test_client_fake_ingest import status

AN_ID = "0d5f4a7e-6b1c-5c1e-9d38-2a7f0f0e6b11"
ANOTHER = "1d5f4a7e-6b1c-5c1e-9d38-2a7f0f0e6b11"
IMAGES = "collections/default/images"


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving() as fake:
        yield fake


@pytest.fixture
def default(server: FakeServer) -> Iterator[Collection]:
    with Client(server.address) as client:
        yield client.collection("default")


@pytest.fixture
def shoal(server: FakeServer) -> Shoal:
    return shoal_at(server)


def last(server: FakeServer, method: str) -> Any:
    return [request for name, request in server.calls if name == method][-1]


def terms(request: Any) -> list[tuple[str, Any, float | None]]:
    return [
        (
            each.WhichOneof("query"),
            getattr(each, each.WhichOneof("query")),
            each.weight if each.HasField("weight") else None,
        )
        for each in request.terms
    ]


def test_one_thing_is_a_query_and_several_are_terms(server: FakeServer, default: Collection) -> None:
    for search, method in ((default.search, "SearchImages"), (default.search_clusters, "SearchClusters")):
        search(terms=[Term(text="cat")])
        assert (last(server, method).text, len(last(server, method).terms)) == ("cat", 0)
        search(text="at night", like=AN_ID, image=b"bytes", minus=["people", Term(like=ANOTHER, weight=2)])
        assert last(server, method).WhichOneof("query") is None
        assert terms(last(server, method)) == [
            ("text", "at night", None),
            ("image_content", b"bytes", None),
            ("image_name", f"{IMAGES}/{AN_ID}", None),
            ("text", "people", -0.5),
            ("image_name", f"{IMAGES}/{ANOTHER}", -2),
        ]
        search(vector=[1, 0, 0], minus="people")
        assert [list(each.vector.values) for each in last(server, method).terms] == [[1, 0, 0], []]
        search(terms=[Term(text="cat", weight=2)])
        assert terms(last(server, method)) == [("text", "cat", 2)]


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ({"minus": "people"}, "only what is to be avoided was given"),
        ({"terms": [Term(text="cat", weight=-1)]}, "only what is to be avoided was given"),
        ({"terms": [Term()]}, "exactly one of text, image, like and vector, not none"),
        ({"terms": [Term(text="cat", like=AN_ID)]}, "not text and like"),
        ({"text": "cat", "minus": Term(text="dog", weight=-1)}, "must be above 0"),
    ],
)
def test_senseless_queries_are_refused(server: FakeServer, default: Collection, query: Any, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        default.search(**query)
    assert server.calls == []


def test_filters_go_with_their_short_forms(server: FakeServer, default: Collection) -> None:
    night = ImageFilter(tags=["night"])
    default.search(text="x", filter=night, diversity=0.25)
    assert (list(last(server, "SearchImages").filter.tags), last(server, "SearchImages").diversity) == (["night"], 0.25)
    list(default.images(clusters=[3], filter=night))
    both = last(server, "ListImages").filter
    assert [(list(each.clusters), list(each.tags)) for each in both.all_of] == [
        (["collections/default/clusters/3"], []),
        ([], ["night"]),
    ]


def test_clusters_with_such_images(server: FakeServer, default: Collection, shoal: Shoal) -> None:
    server.clusters = [cluster(1, "cats", 9)]
    [match] = default.search_clusters(text="x", filter=ImageFilter(tags=["night"]))
    assert (match.cluster.id, match.matching) == (1, 2)
    assert list(last(server, "SearchClusters").filter.tags) == ["night"]
    assert default.search_clusters(text="x")[0].matching is None
    record = shoal("clusters", "search", "x", "--tag", "night", "--json").records[0]
    assert record == {"id": 1, "name": "cats", "score": 0.25, "size": 9, "matching": 2}
    assert "matching" in shoal("clusters", "search", "x", "--tag", "night").stdout


def test_recommending(server: FakeServer, default: Collection, shoal: Shoal) -> None:
    first, *_ = [default.add(b"%d" % number) for number in range(5)]
    found = default.recommend([first.id], [ANOTHER], unclustered=True, diversity=0.5, score_threshold=0.1, limit=4)
    assert (len(found), first.id in {each.image.id for each in found}, found[0].score) == (4, False, 0.75)
    request = last(server, "RecommendImages")
    assert (list(request.liked), list(request.disliked)) == ([f"{IMAGES}/{first.id}"], [f"{IMAGES}/{ANOTHER}"])
    assert (request.filter.unclustered, request.diversity, request.score_threshold) == (True, 0.5, pytest.approx(0.1))
    done = shoal("recommend", "--like", first.id, "--like", AN_ID, "--unlike", ANOTHER, "--to", "2019", "--json")
    assert [record["score"] for record in done.records] == [0.75] * 4
    request = last(server, "RecommendImages")
    assert (len(request.liked), request.filter.captured.before) == (2, "2020-01-01T00:00:00")
    assert shoal("recommend").code == 2
    both = shoal("recommend", "--like", AN_ID, "--unlike", AN_ID)
    assert (both.code, f"--unlike: {AN_ID} is given with --like as well" in both.stderr) == (2, True)


def counts(field: pb.FacetField.ValueType, *values: tuple[str, str, int], without: int = 0) -> Any:
    return pb.FacetImagesResponse.Facet(
        field=field,
        counts=[pb.FacetImagesResponse.Count(value=value, display_name=name, count=n) for value, name, n in values],
        without=without,
    )


def test_facets(server: FakeServer, default: Collection, shoal: Shoal) -> None:
    assert (shoal("facets").stdout, shoal("facets", "--json").records) == ("0 images\n", [])
    server.facets = pb.FacetImagesResponse(
        total=8,
        facets=[
            counts(pb.FACET_FIELD_YEAR, ("2020", "2020", 5), ("2019", "2019", 1), without=1),
            counts(pb.FACET_FIELD_CLUSTER, ("collections/default/clusters/7", "sea [x]", 8)),
        ],
    )
    found = default.facets([FacetField.YEAR, FacetField.CLUSTER], filter=ImageFilter(tags=["a"]), limit=3)
    request = last(server, "FacetImages")
    assert (list(request.fields), request.limit) == ([pb.FACET_FIELD_YEAR, pb.FACET_FIELD_CLUSTER], 3)
    assert list(request.filter.tags) == ["a"]
    assert found.total == 8
    year, clusters = found.facets
    assert [(each.value, each.count) for each in year.counts] == [(2020, 5), (2019, 1)]
    assert (year.field, year.without) == (FacetField.YEAR, 1)
    assert [(each.value, each.name) for each in clusters.counts] == [(7, "sea [x]")]

    assert shoal("facets", "--json").records == [
        {"field": "year", "value": 2020, "name": "2020", "count": 5},
        {"field": "year", "value": 2019, "name": "2019", "count": 1},
        {"field": "year", "value": None, "name": None, "count": 1},
        {"field": "cluster", "value": 7, "name": "sea [x]", "count": 8},
    ]
    default_fields = [pb.FACET_FIELD_CAMERA, pb.FACET_FIELD_YEAR, pb.FACET_FIELD_CLUSTER, pb.FACET_FIELD_TAG]
    assert list(last(server, "FacetImages").fields) == default_fields
    shown = shoal("facets", "--by", "year", "--by", "year", "--by", "cluster")
    assert list(last(server, "FacetImages").fields) == [pb.FACET_FIELD_YEAR, pb.FACET_FIELD_CLUSTER]
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert lines[0] == ["8", "images"]
    assert lines[3:7] == [
        ["2019", "1", "12", "%", "████▊"],
        ["2020", "5", "62", "%", "█" * 24],
        ["others", "1", "12", "%"],
        ["none", "1", "12", "%"],
    ]
    assert ["7", "sea", "[x]", "8", "100", "%", "█" * 24] in lines
    assert shoal("facets", "--by", "colour").code == 2


def test_options_make_one_filter(server: FakeServer, shoal: Shoal) -> None:
    done = shoal(
        "search", "cat", "--tag", "a", "--tag", "b", "--from", "2019-05", "--to", "2019-07", "--near", "48,11,2km",
        "--camera", "EOS", "--lens", "EF", "--attribute", "album=x=y", "--attribute", "rating=5", "--cluster", "1",
        "--not-cluster", "2", "--theme", "3", "--place", "4", "--moment", "5", "--where", "iso >= 800",
    )  # fmt: skip
    assert done.code == 0
    plain, excluded, expressed = last(server, "SearchImages").filter.all_of
    assert (list(plain.tags), list(plain.camera_models), list(plain.lenses)) == (["a", "b"], ["EOS"], ["EF"])
    assert (plain.captured.earliest, plain.captured.before) == ("2019-05-01T00:00:00", "2019-08-01T00:00:00")
    assert (plain.area.circle.center.latitude, plain.area.circle.radius_m) == (48, 2000)
    album, rating = plain.attributes
    assert [each.text for each in album.any_of] == ["x=y"]
    assert [getattr(each, each.WhichOneof("value")) for each in rating.any_of] == [5, "5"]
    named = [*plain.clusters, *plain.themes, *plain.places, *plain.moments]
    assert [each.removeprefix("collections/default/") for each in named] == [
        "clusters/1", "themes/3", "places/4", "moments/5",
    ]  # fmt: skip
    assert list(excluded.none_of[0].clusters) == ["collections/default/clusters/2"]
    assert (expressed.ranges[0].field, expressed.ranges[0].min) == ("iso", 800)
    assert shoal("images", "list", "--where", "unclustered").code == 0
    assert last(server, "ListImages").filter.unclustered


def test_weights(server: FakeServer, shoal: Shoal) -> None:
    done = shoal("search", "at night", "--like", AN_ID, "--minus", "people", "--minus-like", ANOTHER,
                 "--weight", "like=2", "--weight", "minus=0.25")  # fmt: skip
    assert done.code == 0
    assert terms(last(server, "SearchImages")) == [
        ("text", "at night", 1),
        ("image_name", f"{IMAGES}/{AN_ID}", 2),
        ("text", "people", -0.25),
        ("image_name", f"{IMAGES}/{ANOTHER}", -0.5),
    ]
    shoal("search", "cat")
    assert last(server, "SearchImages").text == "cat"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--where", "kamera = x"], "error: --where: character 1: there is no 'kamera'; did you mean camera?\n"),
        (["--where", "ä = 東京 iso"], "\n  ä = 東京 iso\n           ^\n"),
        (["--near", "48,11"], "is not LATITUDE,LONGITUDE,RADIUS"),
        (["--from", "yesterday"], "is not a time like 2019"),
        (["--attribute", "album"], "'album' is not KEY=VALUE"),
        (["--weight", "text"], "'text' is not PART=NUMBER, as in like=2"),
        (["--weight", "like=2"], "there is no like that 2 could weigh; give --like ID as well"),
        (["--weight", "minus-like=2"], "give --minus-like ID as well"),
        (["--near", "91,11,2km"], "latitude 91 is not within -90 and 90"),
        (["--near", "48,nan,2km"], "longitude nan is not within -180 and 180"),
        (["--near", "48,11,nan"], "radius nan is no distance above 0"),
        (["--near", "48,11,0"], "--near: radius 0 is no distance above 0"),
        (["--near", "48,11,infkm"], "radius infkm is no distance above 0"),
        (["--tag", ""], "--tag: it is empty; leave the option out"),
        (["--unclustered", "--theme", "3"], "--unclustered: no image is in no cluster and in one of --theme"),
        ([f"--minus={number}" for number in range(32)], "these are 33 things to look for; at most 32"),
        (["--lens", ""], "--lens: it is empty"),
        (["--attribute", "Album=x"], "'Album' is no attribute's key"),
        (["--threshold", "nan"], "Invalid value for '--threshold'"),
        (["--diversity", "nan"], "Invalid value for '--diversity'"),
        (["--weight", "words=2"], "'words' is none of text, image, like, minus, minus-like"),
        (["--weight", "text=0"], "0 is not above 0 and at most 10"),
        (["--diversity", "2"], "--diversity"),
    ],
)
def test_options_that_mean_nothing(server: FakeServer, shoal: Shoal, options: list[str], said: str) -> None:
    done = shoal("search", "cat", *options)
    assert (done.code, server.calls) == (2, [])
    assert said in done.stderr or said in " ".join(done.stderr.replace("│", "").split())


def test_files_are_looked_for(server: FakeServer, shoal: Shoal, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"one")
    (tmp_path / "b.jpg").write_bytes(b"two")
    assert shoal("search", "--image", tmp_path / "a.jpg", "--image", tmp_path / "b.jpg").code == 0
    assert terms(last(server, "SearchImages")) == [("image_content", b"one", 1), ("image_content", b"two", 1)]
    assert shoal("search", "--image", tmp_path / "missing.jpg").code == 1


def test_a_file_that_is_no_picture_is_named(
    server: FakeServer, default: Collection, shoal: Shoal, tmp_path: Path
) -> None:
    table, cat = tmp_path / "table.csv", tmp_path / "cat.jpg"
    table.write_bytes(b"a,b")
    cat.write_bytes(b"cat")
    refusal = status(grpc.StatusCode.INVALID_ARGUMENT, "the bytes are no image", "UNSUPPORTED_FORMAT")
    for method, command in (
        ("SearchImages", ["search", "--image"]),
        ("SearchClusters", ["clusters", "search", "--image"]),
        ("AssignImage", ["assign"]),
    ):
        server.failures[method] = [refusal]
        done = shoal(*command, table)
        assert (done.code, done.stderr) == (1, f"error: {table}: the bytes are no image\n")
    server.failures["SearchImages"] = [refusal, refusal, refusal]
    done = shoal("search", "--image", table, "--image", cat)
    assert done.stderr == f"error: one of {table}, {cat}: the bytes are no image\n"
    for terms in ([Term(image=b"a,b")], [Term(image=b"a,b"), Term(image=cat)]):
        with pytest.raises(InvalidArgument) as caught:
            default.search(terms=terms)
        assert (str(caught.value), caught.value.reason) == ("the bytes are no image", "UNSUPPORTED_FORMAT")


def test_a_file_that_is_too_large_is_named(server: FakeServer, tmp_path: Path) -> None:
    large, small = tmp_path / "large.jpg", tmp_path / "small.jpg"
    large.write_bytes(bytes(2**21))
    small.write_bytes(b"x")
    with Client(server.address, max_message_bytes=2**20) as client, pytest.raises(FileTooLarge) as caught:
        client.collection("default").search(terms=[Term(image=small), Term(image=large)])
    assert str(caught.value).startswith(f"{large}: file is 2 MiB")


def test_a_collection_that_nobody_made(server: FakeServer, shoal: Shoal) -> None:
    server.failures["SearchImages"] = [
        status(grpc.StatusCode.NOT_FOUND, "there is no collection 'new'; create it first", "COLLECTION_NOT_FOUND")
    ]
    done = shoal("search", "cat", "--collection", "new")
    assert (done.code, done.stderr) == (
        1,
        "error: there is no collection 'new' yet: `shoal ingest` makes it, and `shoal collections` lists those that "
        "there are\n",
    )
    server.failures["SearchImages"] = [status(grpc.StatusCode.NOT_FOUND, "there is no image", "IMAGE_NOT_FOUND")]
    assert shoal("search", "--like", AN_ID).stderr == "error: there is no image\n"
