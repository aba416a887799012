"""The SDK's corrections, runs, themes, places, moments and schedules, against a server that really listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any

import grpc
import pytest

from shoal.v1 import cluster_pb2, cluster_service_pb2, curation_service_pb2, grouping_pb2, image_pb2
from shoal_client import (
    Aborted,
    Client,
    ClusteringMethod,
    ClusteringParameters,
    Collection,
    CorrectionKind,
    DeadlineExceeded,
    FailedPrecondition,
    Flow,
    Granularity,
    InvalidArgument,
    LineageKind,
    Location,
    Reducer,
    RunKind,
    RunState,
    Schedule,
    Share,
)
from tests.rpc.test_client_fake import FakeServer, cluster, run_updates, serving, status
from tests.rpc.test_client_fake_curation import lineage

AN_ID = "0d5f4a7e-6b1c-5c1e-9d38-2a7f0f0e6b11"
ANOTHER_ID = "1d5f4a7e-6b1c-5c1e-9d38-2a7f0f0e6b11"
DEFAULT = "collections/default"


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving() as fake:
        yield fake


@pytest.fixture
def default(server: FakeServer) -> Iterator[Collection]:
    with Client(server.address) as client:
        yield client.collection("default")


def last(server: FakeServer, method: str) -> Any:
    return [request for name, request in server.calls if name == method][-1]


def test_merge(server: FakeServer, default: Collection) -> None:
    result = default.merge([4, 7, 9], author="ada")
    request = last(server, "MergeClusters")
    assert (list(request.clusters), request.author) == ([f"{DEFAULT}/clusters/{n}" for n in (4, 7, 9)], "ada")
    correction = result.correction
    assert (correction.id, correction.kind, correction.author) == ("k1", CorrectionKind.MERGE, "ada")
    assert (correction.clusters, correction.image_count, correction.run) == ((4, 7, 9), 7, "c1")
    assert correction.created_at == datetime.fromtimestamp(1_700_000_000, UTC)
    assert correction.undone_at is None
    assert result.clusters == (4,)


def test_split(server: FakeServer, default: Collection) -> None:
    assert default.split(4).clusters == (4, 99)
    assert last(server, "SplitCluster").WhichOneof("how") == "automatic"
    default.split(4, parts=3)
    assert last(server, "SplitCluster").automatic.part_count == 3
    default.split(4, images=[AN_ID, ANOTHER_ID])
    listed = [f"{DEFAULT}/images/{each}" for each in (AN_ID, ANOTHER_ID)]
    assert list(last(server, "SplitCluster").listed.images) == listed
    count = len(server.calls)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"images": [AN_ID], "parts": 2}, "not both"),
        ({"parts": 1}, "parts is 1"),
        ({"parts": 101}, "2 to 100"),
        ({"images": ["x"]}, "'x' is not an image id"),
    ]
    for arguments, words in wrong:
        with pytest.raises(InvalidArgument, match=words):
            default.split(4, **arguments)
    assert len(server.calls) == count


def test_pin_and_unpin(server: FakeServer, default: Collection) -> None:
    assert default.pin(4).correction.kind is CorrectionKind.PIN
    assert last(server, "PinCluster").unpin is False
    assert default.unpin(4).correction.kind is CorrectionKind.UNPIN
    assert last(server, "PinCluster").unpin is True


def test_move(server: FakeServer, default: Collection) -> None:
    assert default.move([AN_ID], 4).correction.image_count == 1
    assert last(server, "MoveImages").cluster == f"{DEFAULT}/clusters/4"
    assert default.move(iter([AN_ID, ANOTHER_ID]), None).clusters == ()
    request = last(server, "MoveImages")
    assert (request.cluster, len(request.images)) == ("", 2)


def test_dissolve_and_rename_name_the_author(server: FakeServer, default: Collection) -> None:
    assert default.dissolve(4, author="ada").correction.kind is CorrectionKind.DISSOLVE
    assert last(server, "DissolveCluster").author == "ada"
    server.clusters = [cluster(4, "cats", 3)]
    assert default.rename(4, "dogs", author="ada").name == "dogs"
    assert last(server, "UpdateCluster").author == "ada"
    default.rename(4, "dogs")
    assert last(server, "UpdateCluster").author == ""


def test_reassigning_noise_is_a_preview_unless_it_is_applied(server: FakeServer, default: Collection) -> None:
    proposal = curation_service_pb2.ReassignNoiseResponse.Proposal
    server.proposals = [proposal(image=f"{DEFAULT}/images/{AN_ID}", cluster=f"{DEFAULT}/clusters/4", similarity=0.75)]
    preview = default.reassign_noise(min_similarity=0.0)
    request = last(server, "ReassignNoise")
    assert (request.validate_only, request.HasField("min_similarity"), request.min_similarity) == (True, True, 0.0)
    assert preview.correction is None
    [found] = preview.proposals
    assert (found.image_id, found.cluster_id, found.similarity) == (AN_ID, 4, 0.75)
    done = default.reassign_noise(apply=True, author="ada")
    assert not last(server, "ReassignNoise").HasField("min_similarity")
    assert done.correction is not None
    assert done.correction.kind is CorrectionKind.REASSIGN_NOISE


def test_corrections_are_listed_and_undone(server: FakeServer, default: Collection) -> None:
    for number in range(7):
        default.pin(number)
    listed = list(default.corrections())
    assert [each.id for each in listed] == ["k7", "k6", "k5", "k4", "k3", "k2", "k1"]
    undone = default.undo(listed[-1], author="bob").correction
    assert (undone.id, undone.undone_by) == ("k1", "bob")
    assert undone.undone_at == datetime.fromtimestamp(1_700_000_100, UTC)
    assert default.undo("k2").correction.id == "k2"
    for wrong in ("", "a/b"):
        with pytest.raises(InvalidArgument, match="as `shoal corrections` prints it"):
            default.undo(wrong)


def test_corrections_are_not_asked_for_twice(server: FakeServer, default: Collection) -> None:
    away = status(grpc.StatusCode.UNAVAILABLE, "away", "STORE_UNAVAILABLE")
    calls: dict[str, Callable[[], object]] = {
        "MergeClusters": lambda: default.merge([1, 2]),
        "SplitCluster": lambda: default.split(1),
        "PinCluster": lambda: default.pin(1),
        "MoveImages": lambda: default.move([AN_ID], 1),
        "DissolveCluster": lambda: default.dissolve(1),
        "ReassignNoise": lambda: default.reassign_noise(apply=True),
        "UndoCorrection": lambda: default.undo("k1"),
    }
    for method, call in calls.items():
        server.failures[method] = [away]
        with pytest.raises(Exception, match="away"):
            call()
    assert server.corrections == []


def test_what_a_cluster_tells(server: FakeServer, default: Collection) -> None:
    message = cluster(4, "cats", 9)
    message.borderline_images.append(f"{DEFAULT}/images/{AN_ID}")
    message.separation, message.pinned, message.merged, message.split = 0.25, True, True, True
    message.theme = f"{DEFAULT}/themes/2"
    server.clusters = [message, cluster(5, "dogs", 3)]
    cats, dogs = default.clusters()
    assert (cats.borderline, cats.separation, cats.theme_id) == ((AN_ID,), 0.25, 2)
    assert (cats.pinned, cats.merged, cats.split) == (True, True, True)
    assert (dogs.borderline, dogs.theme_id, dogs.pinned) == ((), None, False)
    assert [each.id for each in default.clusters(themes=[2])] == [4]


def test_groupings(server: FakeServer, default: Collection) -> None:
    server.clusters = [cluster(4, "cats", 9)]
    server.themes = [
        grouping_pb2.Theme(name=f"{DEFAULT}/themes/1", display_name="animals", clusters=[f"{DEFAULT}/clusters/4"]),
        grouping_pb2.Theme(name=f"{DEFAULT}/themes/2", display_name="pets", parent=f"{DEFAULT}/themes/1"),
    ]
    animals, pets = default.themes()
    assert (animals.id, animals.name, animals.parent_id, animals.clusters) == (1, "animals", None, (4,))
    assert pets.parent_id == 1
    for number in range(1, 6):
        place = grouping_pb2.Place(name=f"{DEFAULT}/places/{number}", display_name="N", size=number, radius_km=1.5)
        place.center.latitude = 48.0
        server.places.append(place)
        moment = grouping_pb2.Moment(name=f"{DEFAULT}/moments/{number}", size=number)
        moment.start_time.FromDatetime(datetime(2024, 1, number, 12))
        server.moments.append(moment)
    places = list(default.places())
    assert [(each.id, each.size) for each in places] == [(n, n) for n in range(1, 6)]
    assert (places[0].center, places[0].radius_km) == (Location(48.0, 0.0), 1.5)
    assert [each.started_at for each in default.moments()] == [datetime(2024, 1, n, 12) for n in range(1, 6)]


def test_images_are_filtered_by_everything(server: FakeServer, default: Collection) -> None:
    image = default.add(b"one")
    stored = server.images[DEFAULT][f"{DEFAULT}/images/{image.id}"]
    stored.place, stored.moment = f"{DEFAULT}/places/3", f"{DEFAULT}/moments/8"
    [found] = default.images(clusters=[1], themes=[2], places=[3, 4], moments=[5])
    assert (found.place_id, found.moment_id) == (3, 8)
    assert (image.place_id, image.moment_id) == (None, None)
    default.search(text="x", themes=[2], places=[3, 4], moments=[5], clusters=[1])
    wanted = image_pb2.ImageFilter(
        clusters=[f"{DEFAULT}/clusters/1"],
        themes=[f"{DEFAULT}/themes/2"],
        places=[f"{DEFAULT}/places/3", f"{DEFAULT}/places/4"],
        moments=[f"{DEFAULT}/moments/5"],
    )
    assert last(server, "ListImages").filter == last(server, "SearchImages").filter == wanted
    for call in (lambda: default.search(text="x", themes=[-1]), lambda: list(default.images(places=[-1]))):
        with pytest.raises(InvalidArgument, match=r"^-1 is not a (theme|place) id"):
            call()


def test_parameters_in_plain_words(server: FakeServer, default: Collection) -> None:
    server.runs = {f"{DEFAULT}/clusteringRuns/a": run_updates("a")}
    default.run_clustering(
        ClusteringParameters(granularity=Granularity.FINE, reducer=Reducer.PCA, method=ClusteringMethod.EVOC)
    )
    sent = last(server, "RunClustering").parameters
    assert (sent.granularity, sent.reducer, sent.method) == (
        cluster_pb2.GRANULARITY_FINE,
        cluster_pb2.REDUCER_PCA,
        cluster_pb2.CLUSTERING_METHOD_EVOC,
    )
    default.run_clustering(ClusteringParameters(n_clusters=30))
    sent = last(server, "RunClustering").parameters
    assert (sent.cluster_count, sent.granularity) == (30, cluster_pb2.GRANULARITY_UNSPECIFIED)
    with pytest.raises(InvalidArgument, match="give one of them"):
        default.run_clustering(ClusteringParameters(n_clusters=30, granularity=Granularity.FINE))


@pytest.mark.parametrize("enumeration", [Granularity, Reducer, ClusteringMethod])
def test_every_choice_can_be_sent_and_comes_back(
    server: FakeServer, default: Collection, enumeration: type[Granularity | Reducer | ClusteringMethod]
) -> None:
    field = {Granularity: "granularity", Reducer: "reducer", ClusteringMethod: "method"}[enumeration]
    for choice in enumeration:
        parameters = ClusteringParameters(**{field: choice})  # type: ignore[arg-type]
        begun, *others = run_updates("a")
        server.runs = {f"{DEFAULT}/clusteringRuns/a": [begun, *others]}
        default.run_clustering(parameters)
        others[-1].parameters.CopyFrom(last(server, "RunClustering").parameters)
        assert default.get_run("a").parameters == parameters


def held_back(run: str) -> list[cluster_pb2.ClusteringRun]:
    """A run whose result was held back."""
    *before, ended = run_updates(run)
    ended.state, ended.active = cluster_pb2.RUN_STATE_HELD_BACK, False
    ended.parent = f"{DEFAULT}/clusteringRuns/p"
    ended.held_because.append("there are 2 clusters where there were 30")
    return [*before, ended]


def test_all_that_a_run_tells(server: FakeServer, default: Collection) -> None:
    begun, under_way, ended = held_back("a")
    under_way.remaining.FromSeconds(90)
    ended.kind, ended.trigger, ended.retained = cluster_pb2.RUN_KIND_CLUSTERING, "schedule: growth", True
    ended.activate_time.FromDatetime(datetime(2024, 1, 1))
    ended.quality["silhouette"], ended.timings["reading"] = 0.5, 1.25
    ended.trials.add(min_cluster_size=5, min_samples=2, cluster_count=3, noise_share=0.1, verdict="ruled out")
    ended.trials.add(min_cluster_size=9, score=0.0, verdict="chosen")
    ended.lineage.append(lineage(31, cluster_pb2.Lineage.KIND_SPLIT, (4, 12, 0.3, 0.9), (None, 2, 0.1, 0.1)))
    server.runs = {f"{DEFAULT}/clusteringRuns/a": [begun, under_way, ended]}
    remaining = []
    run = default.recluster(on_progress=lambda update: remaining.append(update.remaining))
    assert remaining == [None, timedelta(seconds=90), None]
    assert (run.state, run.active, run.parent) == (RunState.HELD_BACK, False, "p")
    assert run.held_because == ("there are 2 clusters where there were 30",)
    assert (run.kind, run.trigger, run.retained) == (RunKind.CLUSTERING, "schedule: growth", True)
    assert run.activated_at == datetime(2024, 1, 1, tzinfo=UTC)
    assert (dict(run.quality), dict(run.timings)) == ({"silhouette": 0.5}, {"reading": 1.25})
    assert [(trial.score, trial.verdict) for trial in run.trials] == [(None, "ruled out"), (0.0, "chosen")]
    [split] = run.lineage
    assert (split.cluster_id, split.kind) == (31, LineageKind.SPLIT)
    assert split.shares == (Share(4, 12, 0.3, 0.9), Share(None, 2, 0.1, 0.1))


def test_joining_a_run_under_way(server: FakeServer, default: Collection) -> None:
    server.runs = {f"{DEFAULT}/clusteringRuns/a": run_updates("a")}
    busy = status(grpc.StatusCode.ABORTED, "run 'a' is under way", "RUN_IN_PROGRESS", collection="default", run="a")
    server.failures["RunClustering"] = [busy, busy, status(grpc.StatusCode.ABORTED, "other", "CLUSTERS_CHANGED")]
    with pytest.raises(Aborted):
        default.recluster()
    assert default.recluster(join=True).id == "a"
    with pytest.raises(Aborted, match="other"):
        default.recluster(join=True)


def test_activating_and_comparing_runs(server: FakeServer, default: Collection) -> None:
    server.runs = {f"{DEFAULT}/clusteringRuns/{run}": run_updates(run) for run in "ab"}
    assert default.activate_run(default.get_run("a")).active
    assert last(server, "ActivateClusteringRun").name == f"{DEFAULT}/clusteringRuns/a"
    flow = cluster_service_pb2.CompareClusteringRunsResponse.Flow(
        **{"from": f"{DEFAULT}/clusters/4"}, from_display_name="cats", image_count=3
    )
    server.comparison = cluster_service_pb2.CompareClusteringRunsResponse(
        same_count=5, moved_count=3, added_count=2, removed_count=1, flows=[flow],
        new_clusters=[f"{DEFAULT}/clusters/9"], gone_clusters=[f"{DEFAULT}/clusters/4"],
    )  # fmt: skip
    compared = default.compare_runs("a", "b")
    assert (compared.same, compared.moved, compared.added, compared.removed) == (5, 3, 2, 1)
    assert compared.flows == (Flow(4, "cats", None, None, 3),)
    assert (compared.new_clusters, compared.gone_clusters) == ((9,), (4,))
    with pytest.raises(InvalidArgument, match="as `shoal runs` prints it"):
        default.compare_runs("a", "")


def test_export(server: FakeServer, default: Collection) -> None:
    assignment = cluster_service_pb2.ExportAssignmentsResponse.Assignment
    images = [default.add(b"%d" % number) for number in range(5)]
    names = [f"{DEFAULT}/images/{image.id}" for image in images]
    stored = [server.images[DEFAULT][name] for name in names]
    server.assignments = [
        assignment(image=stored[0], cluster=f"{DEFAULT}/clusters/4", display_name="cats", strength=0.5, x=0.0, y=-1.5),
        *(assignment(image=each) for each in stored[1:]),
    ]
    first, *rest = default.export("a")
    assert last(server, "ExportAssignments").name == f"{DEFAULT}/clusteringRuns/a"
    assert (first.image, first.cluster_id, first.cluster_name) == (images[0], 4, "cats")
    assert (first.strength, first.x, first.y) == (0.5, 0.0, -1.5)
    assert [each.image.id for each in rest] == [image.id for image in images[1:]]
    assert (rest[0].cluster_id, rest[0].cluster_name, rest[0].x) == (None, None, None)
    next(default.export())
    assert last(server, "ExportAssignments").name == DEFAULT
    server.failures["ExportAssignments"] = [status(grpc.StatusCode.FAILED_PRECONDITION, "gone", "RUN_NOT_RETAINED")]
    with pytest.raises(FailedPrecondition, match="gone"):
        next(default.export("a"))


def test_schedule(server: FakeServer, default: Collection) -> None:
    now = default.get_schedule()
    assert now.schedule == Schedule(interval=timedelta(days=1), growth=0.2)
    assert (now.server_default, now.next_run_at, now.next_run_reason) == (True, None, "")
    own = Schedule(
        interval=timedelta(hours=12, minutes=30),
        quiet_from=time(22, 0),
        quiet_to=time(7, 5),
        time_zone="Europe/Berlin",
    )
    server.schedule_state.next_run_time.FromDatetime(datetime(2024, 1, 1))
    server.schedule_state.next_run_reason = "interval"
    server.schedule_state.last_run_image_count = 7
    set_ = default.set_schedule(own)
    assert (set_.schedule, set_.server_default) == (own, False)
    assert (set_.next_run_at, set_.next_run_reason) == (datetime(2024, 1, 1, tzinfo=UTC), "interval")
    assert (default.get_schedule(), set_.last_run_images) == (set_, 7)
    request = last(server, "UpdateCollection")
    assert (request.collection.schedule.quiet_to, list(request.update_mask.paths)) == ("07:05", ["schedule"])
    assert default.set_schedule(None).server_default
    assert not last(server, "UpdateCollection").collection.HasField("schedule")
    off = Schedule(enabled=False)
    assert default.set_schedule(off).schedule == off


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (Schedule(quiet_from=time(1)), "give both"),
        (Schedule(interval=timedelta(0)), "at least a minute"),
        (Schedule(growth=-0.5), "above 0"),
        (Schedule(growth=float("nan")), "above 0"),
    ],
)
def test_a_schedule_without_sense_is_refused(default: Collection, schedule: Schedule, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        default.set_schedule(schedule)


def test_a_correction_has_no_time_limit(server: FakeServer) -> None:
    """It writes many images: giving up would leave nobody to see its end."""
    server.answering.clear()
    with Client(server.address, timeout=0.2) as client:
        with pytest.raises(DeadlineExceeded):
            client.collection("default").get(AN_ID)
        server.delay_s = 0.5
        assert client.collection("default").merge([1, 2]).clusters == (1,)
