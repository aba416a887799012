"""Commands about runs, corrections, groupings and schedules, against a server that really listens."""

from __future__ import annotations

import getpass
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import grpc
import pytest

from shoal.v1 import cluster_pb2, cluster_service_pb2, curation_service_pb2, grouping_pb2, image_pb2
from tests.rpc.test_client_cli import Shoal, shoal_at
from tests.rpc.test_client_fake import FakeServer, cluster, run_updates, serving, status
from tests.rpc.test_client_fake_curation import lineage

AN_ID = "0d5f4a7e-6b1c-5c1e-9d38-2a7f0f0e6b11"
DEFAULT = "collections/default"
KIND = cluster_pb2.Lineage


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving() as fake:
        yield fake


@pytest.fixture
def shoal(server: FakeServer) -> Shoal:
    return shoal_at(server)


def last(server: FakeServer, method: str) -> Any:
    return [request for name, request in server.calls if name == method][-1]


def serve_run(server: FakeServer, run: str = "r1") -> cluster_pb2.ClusteringRun:
    """A run that tells of kept, new and gone clusters; answers its end, to be changed."""
    updates = run_updates(run)
    ended = updates[-1]
    ended.retained = True
    ended.lineage.extend(
        [
            lineage(1, KIND.KIND_CONTINUED, (1, 9, 1.0, 1.0)),
            lineage(2, KIND.KIND_CONTINUED),
            lineage(4, KIND.KIND_MERGED, (4, 20, 1.0, 0.6), (7, 12, 0.9, 0.4)),
            lineage(5, KIND.KIND_RETURNED),
            lineage(31, KIND.KIND_SPLIT, (None, 20, 0.5, 0.4), (4, 12, 0.3, 0.3)),
            lineage(32, KIND.KIND_BORN),
            lineage(7, KIND.KIND_DISSOLVED, (4, 12, 0.9, 0.4)),
            lineage(8, KIND.KIND_DISSOLVED),
            lineage(9, KIND.KIND_DISSOLVED, (None, 3, 0.75, 0.0)),
        ]
    )
    server.runs[f"{DEFAULT}/clusteringRuns/{run}"] = updates
    return ended


def hold_back(ended: cluster_pb2.ClusteringRun) -> None:
    ended.state, ended.active = cluster_pb2.RUN_STATE_HELD_BACK, False
    ended.parent = f"{DEFAULT}/clusteringRuns/r0"
    ended.held_because.append("2 clusters were found where there were 30")


def test_cluster_tells_the_story(server: FakeServer, shoal: Shoal) -> None:
    serve_run(server)
    server.clusters = [cluster(4, "cats", 30), cluster(31, "kittens", 12)]
    done = shoal("cluster")
    assert done.code == 0
    assert done.stdout.splitlines()[:-1] == [
        "2 clusters: 0 kept their id, 2 are new; 0 are gone",
        "  kept 1-2, 4-5",
        "  new  31-32",
        "  gone 7-9",
        "  4 cats took in 7 (90 % of it)",
        "  5 had dissolved and is back",
        "  31 kittens split off from 4 cats (30 % of it)",
        "  8 dissolved: its images are gone",
        "  9 dissolved: 75 % of it went to no cluster",
        "9 of 10 images are in a cluster, 1 in none; 9 cluster ids were written",
    ]
    [record] = shoal("cluster", "--json").records
    assert (record["run"], record["state"], record["active"], record["kept"]) == ("r1", "succeeded", True, 0)
    assert record["lineage"][4] == {
        "cluster_id": 31,
        "kind": "split",
        "shares": [
            {"cluster_id": None, "images": 20, "of_before": 0.5, "of_now": 0.4},
            {"cluster_id": 4, "images": 12, "of_before": 0.3, "of_now": 0.3},
        ],
    }


def test_cluster_takes_plain_words(server: FakeServer, shoal: Shoal) -> None:
    serve_run(server)
    shoal("cluster", "--granularity", "Fine", "--method", "spherical_kmeans", "--reducer", "pca")
    sent = last(server, "RunClustering").parameters
    assert (sent.granularity, sent.method, sent.reducer) == (
        cluster_pb2.GRANULARITY_FINE,
        cluster_pb2.CLUSTERING_METHOD_SPHERICAL_KMEANS,
        cluster_pb2.REDUCER_PCA,
    )
    shoal("cluster", "--clusters", "30")
    assert last(server, "RunClustering").parameters.cluster_count == 30
    for wrong in (["--clusters", "1"], ["--clusters", "3", "--granularity", "fine"], ["--method", "dbscan"]):
        assert shoal("cluster", *wrong).code == 2


def test_a_result_that_was_held_back_says_what_to_do(server: FakeServer, shoal: Shoal) -> None:
    hold_back(serve_run(server))
    done = shoal("cluster", "--collection", "default")
    assert done.code == 4
    assert done.stdout.splitlines()[:-1] == [
        "nothing was changed: the result of run r1 is implausible, and was held back",
        "  because 2 clusters were found where there were 30",
        "it found 2 clusters; 9 of 10 images are in a cluster, 1 in none",
        "see what it would move: shoal runs compare r0 r1",
        "put it in force all the same: shoal runs activate r1",
    ]
    done = shoal("cluster", "--json")
    assert (done.code, done.records[0]["state"]) == (4, "held_back")
    assert done.records[0]["held_because"] == ["2 clusters were found where there were 30"]
    server.images["collections/b"] = {}
    server.runs = {"collections/b/clusteringRuns/r1": run_updates("r1")}
    for update in server.runs["collections/b/clusteringRuns/r1"]:
        update.name = "collections/b/clusteringRuns/r1"
    hold_back(server.runs["collections/b/clusteringRuns/r1"][-1])
    done = shoal("cluster", "--collection", "b", "--server", server.address)
    assert "shoal runs activate r1 --collection b" in done.stdout


def busy(server: FakeServer) -> None:
    refusal = status(grpc.StatusCode.ABORTED, "run 'r1' is under way", "RUN_IN_PROGRESS", run="r1")
    server.failures["RunClustering"] = [refusal]


def test_cluster_follows_a_run_that_is_under_way(server: FakeServer, shoal: Shoal) -> None:
    serve_run(server).trigger = "schedule: growth"
    busy(server)
    done = shoal("cluster", "--json")
    assert (done.code, done.records[0]["run"]) == (0, "r1")
    assert done.stderr == "run r1 is under way already (asked for by schedule: growth): following it\n"
    busy(server)
    assert "; the settings given are not used" in shoal("cluster", "--seed", "1").stderr
    server.failures["RunClustering"] = [status(grpc.StatusCode.ABORTED, "try again", "CLUSTERS_CHANGED")]
    done = shoal("cluster")
    assert (done.code, done.stderr) == (1, "error: try again\n")


@pytest.mark.parametrize("command", ["cluster", "follow"])
def test_an_interrupt_leaves_the_run_of_somebody_else_alone(server: FakeServer, command: str) -> None:
    serve_run(server)
    busy(server)
    server.answering.clear()
    arguments = ["cluster"] if command == "cluster" else ["runs", "follow", "r1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "shoal_client", *arguments, "--server", server.address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.watching.wait(60)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "")
    assert "run r1 goes on; cancel it with: shoal runs cancel r1" in stderr
    assert "CancelClusteringRun" not in [name for name, _ in server.calls]


def test_runs(server: FakeServer, shoal: Shoal) -> None:
    serve_run(server, "r2")
    ended = serve_run(server, "r1")
    ended.active, ended.trigger, ended.kind = False, "schedule: interval", cluster_pb2.RUN_KIND_CLUSTERING
    first, second = shoal("runs", "--json").records
    assert (first["id"], first["active"], first["clusters"], first["state"]) == ("r2", True, 2, "succeeded")
    assert (second["trigger"], second["kind"], second["held_because"]) == ("schedule: interval", "clustering", [])
    rows = shoal("runs").stdout.splitlines()
    assert rows[0].split() == ["id", "state", "began", "by", "clusters", "images", "in", "none", "written"]
    assert rows[1].split()[:3] == ["*", "r2", "succeeded"]
    assert "schedule: interval" in rows[2]
    assert len(shoal("runs", "--limit", "1", "--json").records) == 1
    assert shoal("runs", "--json", "show", "r1").code == 2


def test_a_run_in_full(server: FakeServer, shoal: Shoal) -> None:
    ended = serve_run(server)
    hold_back(ended)
    ended.parameters.min_cluster_size = 9
    ended.parameters.granularity = cluster_pb2.GRANULARITY_COARSE
    ended.quality["silhouette"], ended.timings["reducing"] = 0.5, 1.25
    ended.timings["mapping"] = ended.timings["reading"] = 2.0
    ended.trials.add(min_cluster_size=5, min_samples=2, cluster_count=3, noise_share=0.1, verdict="one huge cluster")
    ended.trials.add(min_cluster_size=9, cluster_count=8, score=0.625, verdict="chosen")
    shown = shoal("runs", "show", "r1").stdout
    for text in (
        "run r1: held back\n",
        "held back because 2 clusters were found where there were 30",
        "settings: min_cluster_size 9, granularity coarse",
        "quality: silhouette 0.500",
        "seconds: reading 2.0, reducing 1.2, mapping 2.0",
        "one huge cluster",
        "0.625",
        "10 %",
        "31 split off from 4 (30 % of it)",
    ):
        assert text in shown
    [record] = shoal("runs", "show", "r1", "--json").records
    assert record["parameters"] == {"min_cluster_size": 9, "granularity": "coarse"}
    assert record["trials"][1]["verdict"] == "chosen"
    assert (record["quality"], record["timings"]) == (
        {"silhouette": 0.5},
        {"reading": 2.0, "reducing": 1.25, "mapping": 2.0},
    )
    assert len(record["lineage"]) == 9


def test_comparing_runs(server: FakeServer, shoal: Shoal) -> None:
    flow = cluster_service_pb2.CompareClusteringRunsResponse.Flow(
        **{"from": f"{DEFAULT}/clusters/4"}, from_display_name="cats", image_count=3
    )
    server.comparison = cluster_service_pb2.CompareClusteringRunsResponse(
        same_count=1, moved_count=3, flows=[flow], new_clusters=[f"{DEFAULT}/clusters/{n}" for n in (8, 9)]
    )
    shown = shoal("runs", "compare", "a", "b").stdout.splitlines()
    assert shown[0] == ("1 image is in the same cluster, 3 elsewhere; 0 only in the second run, 0 only in the first")
    assert shown[1] == "clusters only in the second run: 8-9"
    assert shown[3].split() == ["3", "4", "cats", "no", "cluster"]
    [record] = shoal("runs", "compare", "a", "b", "--json").records
    assert (record["moved"], record["new_clusters"]) == (3, [8, 9])
    assert record["flows"] == [
        {"from_cluster": 4, "from_name": "cats", "to_cluster": None, "to_name": None, "images": 3}
    ]


def test_activating_cancelling_and_following(server: FakeServer, shoal: Shoal) -> None:
    ended = serve_run(server)
    ended.active = False
    [activated] = shoal("runs", "activate", "r1", "--json").records
    assert activated == {"id": "r1", "active": True, "was_active": False, "payload_writes": activated["payload_writes"]}
    for command in ("cancel", "follow"):
        none = shoal("runs", command)
        assert (none.code, "no run of collection 'default' is under way" in none.stderr) == (1, True)
    assert shoal("runs", "cancel", "r1", "--json").records == [{"id": "r1", "state": "cancelled"}]
    followed = shoal("runs", "follow", "r1", "--json")
    assert (followed.code, followed.records[0]["run"]) == (0, "r1")
    running = run_updates("r2")[:2]
    server.runs[f"{DEFAULT}/clusteringRuns/r2"] = running
    assert shoal("runs", "cancel", "--json").records[0]["id"] == "r2"
    assert "cancelled" in shoal("runs", "cancel").stdout


@pytest.mark.parametrize(
    ("arguments", "method", "sentence"),
    [
        (["merge", "4", "7", "9"], "MergeClusters", "cluster 4 took in 7, 9 (7 images put elsewhere)"),
        (["split", "4", "--parts", "2"], "SplitCluster", "cluster 4 was taken apart; new: 99 (3 images put elsewhere)"),
        (["split", "4"], "SplitCluster", "cluster 4 was taken apart; new: 99 (3 images put elsewhere)"),
        (["pin", "4"], "PinCluster", "cluster 4 is pinned"),
        (["unpin", "4"], "PinCluster", "cluster 4 is no longer pinned"),
        (["move", AN_ID, "--to", "4"], "MoveImages", "1 image is now in cluster 4"),
        (["move", AN_ID, "--out"], "MoveImages", "1 image is now in no cluster"),
        (["dissolve", "4"], "DissolveCluster", "cluster 4 is dissolved (5 images put elsewhere)"),
    ],
)  # fmt: skip
def test_corrections(
    server: FakeServer,
    shoal: Shoal,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    method: str,
    sentence: str,
) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    done = shoal(*arguments)
    assert (done.code, done.stdout) == (0, f"{sentence}\ntake it back with: shoal undo k1\n")
    assert last(server, method).author == "ada"
    [record] = shoal(*arguments, "--author", "bob", "--json").records
    assert (record["id"], record["author"], record["undone_at"]) == ("k2", "bob", None)
    assert last(server, method).author == "bob"


def test_splitting_by_listing_images(server: FakeServer, shoal: Shoal) -> None:
    assert shoal("split", "4", "--image", AN_ID).code == 0
    assert list(last(server, "SplitCluster").listed.images) == [f"{DEFAULT}/images/{AN_ID}"]


def test_a_system_without_user_names(server: FakeServer, shoal: Shoal, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", nobody)
    server.clusters = [cluster(4, "cats", 3)]
    assert shoal("rename", "4", "dogs").code == 0
    assert last(server, "UpdateCluster").author == ""


@pytest.mark.parametrize(
    "wrong",
    [
        ["merge", "4"],
        ["merge", "4", "4"],
        ["split", "4", "--parts", "1"],
        ["split", "4", "--parts", "2", "--image", AN_ID],
        ["move", AN_ID],
        ["move", AN_ID, "--to", "4", "--out"],
        ["move", "--out"],
        ["noise", "reassign", "--min-similarity", "2"],
        ["schedule", "set", "--every", "soon"],
        ["schedule", "set", "--every", "10s"],
        ["schedule", "set", "--growth", "-1"],
        ["schedule", "set", "--quiet", "8-18"],
        ["schedule", "set", "--every", "never", "--growth", "never"],
        ["schedule", "--json", "off"],
        ["noise", "--json", "reassign"],
    ],
)
def test_what_makes_no_sense_changes_nothing(server: FakeServer, shoal: Shoal, wrong: list[str]) -> None:
    assert shoal(*wrong).code == 2
    assert not {name for name, _ in server.calls} - {"GetCollection"}


def test_a_correction_that_is_refused(server: FakeServer, shoal: Shoal) -> None:
    refusal = status(grpc.StatusCode.FAILED_PRECONDITION, "cluster 4 does not come apart", "CANNOT_CORRECT")
    server.failures["SplitCluster"] = [refusal]
    done = shoal("split", "4", "--json")
    assert (done.code, done.stdout, done.stderr) == (1, "", "error: cluster 4 does not come apart\n")


def test_the_record_of_corrections(server: FakeServer, shoal: Shoal) -> None:
    shoal("merge", "4", "7", "--author", "ada")
    shoal("pin", "4", "--author", "bob")
    undone = shoal("undo", "k1", "--author", "carl")
    assert undone.stdout == "the correction k1 (merge, 7 images) is taken back\n"
    pin, merge = shoal("corrections", "--json").records
    assert (pin["kind"], pin["author"], pin["undone_at"], pin["run"]) == ("pin", "bob", None, None)
    assert (merge["clusters"], merge["images"], merge["undone_by"], merge["run"]) == ([4, 7], 7, "carl", "c1")
    rows = shoal("corrections").stdout.splitlines()
    assert rows[0].split() == ["id", "when", "what", "clusters", "images", "detail", "by", "undone"]
    assert rows[2].endswith("carl")
    assert len(shoal("corrections", "--limit", "1", "--json").records) == 1
    assert shoal("undo", "k2", "--json").records[0]["exist_now"] == [4]


def test_noise(server: FakeServer, shoal: Shoal) -> None:
    server.images[DEFAULT][f"{DEFAULT}/images/{AN_ID}"] = image_pb2.Image(
        name=f"{DEFAULT}/images/{AN_ID}", uri="file:///a.jpg"
    )
    assert AN_ID in shoal("noise").stdout
    assert last(server, "ListImages").filter.unclustered
    assert shoal("noise", "--limit", "1", "--json").records[0]["id"] == AN_ID
    assert "a lower --min-similarity takes more" in shoal("noise", "reassign").stdout
    server.proposals = [
        curation_service_pb2.ReassignNoiseResponse.Proposal(
            image=f"{DEFAULT}/images/{AN_ID}", cluster=f"{DEFAULT}/clusters/4", similarity=0.75
        )
    ]
    preview = shoal("noise", "reassign", "--min-similarity", "0.5").stdout
    assert AN_ID in preview
    assert preview.endswith(
        "1 image would be put into the nearest cluster; nothing was changed yet. "
        "Do it with: shoal noise reassign --apply --min-similarity 0.5\n"
    )
    proposal, sums = shoal("noise", "reassign", "--json").records
    assert proposal == {"id": AN_ID, "cluster_id": 4, "similarity": 0.75}
    assert sums == {"images": 1, "applied": False, "correction": None}
    assert server.corrections == []
    done = shoal("noise", "reassign", "--apply")
    assert done.stdout.endswith("1 image was put into the nearest cluster\ntake it back with: shoal undo k1\n")
    assert shoal("noise", "reassign", "--apply", "--json").records[1]["correction"]["kind"] == "reassign_noise"


def themed(server: FakeServer) -> None:
    server.clusters = [cluster(number, f"c{number}", 20 - number) for number in range(1, 6)]
    top, below = f"{DEFAULT}/themes/1", f"{DEFAULT}/themes/2"
    clusters = [each.name for each in server.clusters]
    server.themes = [
        grouping_pb2.Theme(name=top, display_name="animals [wild]", clusters=clusters[:3]),
        grouping_pb2.Theme(name=below, display_name="pets", parent=top, clusters=clusters[:2]),
    ]
    for each in server.clusters[:3]:
        each.theme = below if each.name in clusters[:2] else top


def test_clusters_below_their_themes(server: FakeServer, shoal: Shoal) -> None:
    themed(server)
    lines = [line.strip("│├└─ ") for line in shoal("clusters", "--themes").stdout.splitlines()]
    assert lines == [
        "animals [wild] (theme 1)", "pets (theme 2)", "1 c1 (19)", "2 c2 (18)", "3 c3 (17)", "below no theme",
        "4 c4 (16)", "5 c5 (15)",
    ]  # fmt: skip
    animals, pets, none = shoal("clusters", "--themes", "--json").records
    assert (animals["theme_id"], animals["name"], animals["clusters"][0]["id"]) == (1, "animals [wild]", 3)
    assert (pets["parent_id"], [each["id"] for each in pets["clusters"]]) == (1, [1, 2])
    assert (none["theme_id"], len(none["clusters"])) == (None, 2)
    assert [each["id"] for each in shoal("clusters", "--theme", "2", "--json").records] == [1, 2]
    themes = shoal("themes", "--json").records
    assert themes[1] == {"id": 2, "name": "pets", "parent_id": 1, "clusters": [1, 2]}
    assert "animals [wild]" in shoal("themes").stdout
    server.clusters, server.themes = [], []
    assert shoal("clusters", "--themes").stdout == "none\n"


def test_one_cluster(server: FakeServer, shoal: Shoal) -> None:
    themed(server)
    message = server.clusters[0]
    typical = message.exemplars[0].rpartition("/")[2]
    message.borderline_images.append(f"{DEFAULT}/images/{AN_ID}")
    message.pinned, message.cohesion, message.separation = True, 0.75, 0.25
    message.name_candidates.add(display_name="feline", score=0.5)
    for image in (typical, AN_ID):
        name = f"{DEFAULT}/images/{image}"
        server.images[DEFAULT][name] = image_pb2.Image(name=name, uri=f"file:///{image}.jpg")
    shown = shoal("clusters", "show", "1").stdout
    for text in (
        "cluster 1, c1, named by Shoal",
        "cohesion 0.750, separation 0.250",
        "pinned",
        "below theme 2",
        "names that fit: feline (0.500)",
        f"file:///{typical}.jpg",
    ):
        assert text in shown
    assert [line.split()[0] for line in shown.splitlines()[-2:]] == ["typical", "borderline"]
    [record] = shoal("clusters", "show", "1", "--json").records
    assert (record["medoid"], record["borderline"], record["pinned"]) == (typical, [AN_ID], True)
    assert record["name_candidates"] == [{"name": "feline", "score": 0.5}]


def test_places_and_moments(server: FakeServer, shoal: Shoal) -> None:
    place = grouping_pb2.Place(name=f"{DEFAULT}/places/3", display_name="48.14 N, 11.58 E", size=7, radius_km=0.5)
    place.center.latitude, place.center.longitude = 48.14, 11.58
    server.places = [place]
    moment = grouping_pb2.Moment(name=f"{DEFAULT}/moments/8", display_name="July", size=5)
    moment.start_time.FromDatetime(datetime(2019, 7, 1, 12))
    moment.end_time.FromDatetime(datetime(2019, 7, 1, 13))
    server.moments = [moment]
    assert shoal("places", "--json").records == [
        {"id": 3, "name": "48.14 N, 11.58 E", "size": 7, "lat": 48.14, "lon": 11.58, "radius_km": 0.5}
    ]
    assert "48.14 N, 11.58 E" in shoal("places").stdout
    assert shoal("moments", "--json").records == [
        {"id": 8, "name": "July", "size": 5, "started_at": "2019-07-01T12:00:00", "ended_at": "2019-07-01T13:00:00"}
    ]
    assert "2019-07-01T13:00:00" in shoal("moments").stdout


def test_filters(server: FakeServer, shoal: Shoal) -> None:
    options = ["--theme", "1", "--place", "2", "--place", "3", "--moment", "4"]
    for method, command in (("ListImages", ["images", "list"]), ("SearchImages", ["search", "x"])):
        assert shoal(*command, *options, "--json").code == 0
        sent = last(server, method).filter
        assert list(sent.themes) == [f"{DEFAULT}/themes/1"]
        assert list(sent.places) == [f"{DEFAULT}/places/{number}" for number in (2, 3)]
        assert list(sent.moments) == [f"{DEFAULT}/moments/4"]


def test_schedule(server: FakeServer, shoal: Shoal) -> None:
    assert shoal("schedule").stdout.splitlines() == [
        "on (the server's default)",
        "every 1 d, if images came or went",
        "when the number of images has changed by 20 %",
        "next run: not before images come or go",
        "last run: none yet",
    ]
    server.schedule_state.next_run_time.FromDatetime(datetime(2024, 1, 1))
    server.schedule_state.next_run_reason = "growth"
    server.schedule_state.quiet = True
    shown = shoal(
        "schedule", "set", "--every", "1d12h", "--quiet", "22:00-07:30", "--time-zone", "Europe/Berlin"
    ).stdout.splitlines()
    assert shown[:4] == [
        "on (the collection's own)",
        "every 1 d 12 h, if images came or went",
        "when the number of images has changed by 20 %",
        "no run begins between 22:00 and 07:30 Europe/Berlin; that is now",
    ]
    assert shown[4].startswith("next run: ")
    assert shown[4].endswith(" because of the new images")
    [record] = shoal("schedule", "set", "--growth", "5%", "--every", "never", "--json").records
    assert (record["interval_s"], record["growth"], record["quiet_from"], record["quiet_to"]) == (
        None,
        0.05,
        "22:00",
        "07:30",
    )
    assert (record["enabled"], record["server_default"], record["time_zone"]) == (True, False, "Europe/Berlin")
    assert shoal("schedule", "off").stdout.startswith("off: nothing is clustered by itself (the collection's own)")
    assert server.schedules[DEFAULT].disabled
    assert shoal("schedule", "set", "--quiet", "never", "--json").records[0]["growth"] == 0.05
    assert not server.schedules[DEFAULT].disabled
    assert shoal("schedule", "default", "--json").records[0]["server_default"]
    assert server.schedules == {}
