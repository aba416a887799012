"""The dashboard, the alerts and the documentation name only metrics that a server has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from shoal_server.adapters.prometheus_metrics import PrometheusMetrics
from shoal_server.application.census import CountedOnce
from shoal_server.application.readings import Readings
from shoal_server.domain.run import ClusteringRun, RunStage, RunState

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "shoal.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
SCRAPE = ROOT / "deploy" / "prometheus" / "prometheus.yml"
DOCUMENT = ROOT / "docs" / "operations.md"

#: What Prometheus itself says of a target.
OF_PROMETHEUS = {"up": {"job", "instance"}}
OF_TARGETS = {"job", "instance"}

NOW = datetime(2026, 5, 4, tzinfo=UTC)
RUN = ClusteringRun("1", RunState.RUNNING, RunStage.READING, 0.5, NOW)
READINGS = Readings(
    queue_length=1,
    queue_limit=2,
    ingest_bytes=3,
    ingest_limit_bytes=4,
    model_breakdowns=0,
    worker_restarts=0,
    store_latency_s=0.001,
    other_servers=0,
    problems={},
    runs={"photos": RUN},
    collections=[CountedOnce("photos", 1, 0, 1, NOW)],
)


def used() -> PrometheusMetrics:
    """Metrics of which each has a sample."""
    metrics = PrometheusMetrics()
    metrics.show(lambda: READINGS, version="1", model="debug", store="embedded")
    metrics.look()
    metrics.call_began("shoal.v1.ImageService", "GetImage")
    metrics.call_ended("shoal.v1.ImageService", "GetImage", "OK", 0.1)
    metrics.store_called("get_images", "ok", 0.1)
    metrics.decoded("ok", 0.1)
    metrics.embedded("image", "ok", 0.1)
    metrics.passed("image", 1, "ok", 0.1)
    metrics.ingested("photos", "stored")
    metrics.stage_ended("reading", 0.1)
    metrics.run_ended("photos", "succeeded", 0.1)
    return metrics


@pytest.fixture(scope="module")
def samples() -> dict[str, set[str]]:
    """Names of samples, with the labels that they have."""
    found: dict[str, set[str]] = {name: set(labels) for name, labels in OF_PROMETHEUS.items()}
    for family in used().families():
        for sample in family.samples:
            found.setdefault(sample.name, set(OF_TARGETS)).update(sample.labels)
    return found


def panel_queries() -> Iterator[tuple[str, str]]:
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def alert_queries() -> Iterator[tuple[str, str]]:
    for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


QUERIES = [*panel_queries(), *alert_queries()]


def parsed(query: str) -> Any:
    """A query as Prometheus reads it, with Grafana's variables filled in."""
    return promql_parser.parse(query.replace("$__rate_interval", "5m").replace("$instance", ".*"))


def selectors(node: Any) -> Iterator[Any]:
    """The vector selectors in a query."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    elif isinstance(node, promql_parser.MatrixSelector):
        yield node.vector_selector
    elif isinstance(node, promql_parser.BinaryExpr):
        yield from selectors(node.lhs)
        yield from selectors(node.rhs)
    elif isinstance(node, promql_parser.AggregateExpr):
        yield from selectors(node.expr)
    elif isinstance(node, promql_parser.Call):
        for each in node.args:
            yield from selectors(each)
    elif isinstance(node, (promql_parser.ParenExpr, promql_parser.UnaryExpr, promql_parser.SubqueryExpr)):
        yield from selectors(node.expr)
    else:
        assert isinstance(node, (promql_parser.NumberLiteral, promql_parser.StringLiteral)), type(node)


@pytest.mark.parametrize(("title", "query"), QUERIES, ids=[f"{title}-{n}" for n, (title, _) in enumerate(QUERIES)])
def test_every_query_can_be_read_and_names_what_there_is(title: str, query: str, samples: dict[str, set[str]]) -> None:
    found = list(selectors(parsed(query)))
    assert found or query == "vector(0)", title
    for selector in found:
        assert selector.name in samples, f"{title}: there is no {selector.name}"
        asked = {matcher.name for matcher in selector.matchers.matchers}
        assert asked <= samples[selector.name], f"{title}: {selector.name} has no {asked - samples[selector.name]}"
    for labels in re.findall(r"by \(([^)]*)\)", query):
        having = set().union({"le"}, *(samples[selector.name] for selector in found))
        assert {label.strip() for label in labels.split(",")} <= having, f"{title}: {labels}"


def test_a_wrong_query_would_be_noticed(samples: dict[str, set[str]]) -> None:
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        parsed("sum by (method (x)")
    [selector] = selectors(parsed("rate(shoal_no_such_metric[5m])"))
    assert selector.name not in samples


def test_each_metric_is_on_the_dashboard_or_in_an_alert(samples: dict[str, set[str]]) -> None:
    asked = {selector.name for _, query in QUERIES for selector in selectors(parsed(query))}
    families = {family.name for family in used().families() if family.name.startswith("shoal_")}
    unseen = {family for family in families if not any(name.startswith(family) for name in asked)}
    assert unseen <= {"shoal_other_servers"}


def test_names_are_as_prometheus_wants_them() -> None:
    for family in used().families():
        if not family.name.startswith("shoal_"):
            continue
        assert re.fullmatch(r"shoal(_[a-z]+)+", family.name), family.name
        assert family.documentation.endswith("."), family.name
        if family.type == "histogram" and "size" not in family.name:
            assert family.name.endswith("_seconds"), family.name


def test_no_label_can_name_an_image() -> None:
    for family in used().families():
        for sample in family.samples:
            assert not {"image", "uri", "sha256", "run", "request_id", "caller"} & set(sample.labels), sample.name


def metrics_table() -> str:
    """The table of the documentation."""
    rows = ["| metric | kind | labels | what it is |", "|---|---|---|---|"]
    for family in used().families():
        if family.name.startswith("shoal_"):
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            name = family.name + ("_total" if family.type == "counter" else "")
            shown = ", ".join(f"`{label}`" for label in sorted(labels))
            rows.append(f"| `{name}` | {family.type} | {shown} | {family.documentation} |")
    return "\n".join(rows)


def test_the_documentation_has_the_table_of_metrics() -> None:
    assert metrics_table() in DOCUMENT.read_text(encoding="utf-8")


def test_alerts_say_what_to_do() -> None:
    for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]:
        names = [rule["alert"] for rule in group["rules"]]
        assert len(names) == len(set(names))
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in {"critical", "warning", "info"}
            assert rule["annotations"]["summary"]
            assert rule["annotations"]["description"]
            named = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
            by = re.search(r"by \(([^)]*)\)", rule["expr"])
            if by is not None:
                assert named <= {label.strip() for label in by[1].split(",")}, rule["alert"]


def test_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells


def test_prometheus_finds_rules_and_server() -> None:
    config = yaml.safe_load(SCRAPE.read_text(encoding="utf-8"))
    assert [(SCRAPE.parent / name).is_file() for name in config["rule_files"]] == [True]
    [job] = config["scrape_configs"]
    assert job["job_name"] == "shoal"


def test_a_collection_that_cannot_be_used_shows() -> None:
    metrics = PrometheusMetrics()
    broken = replace(READINGS, collections=[CountedOnce("photos", problem="damaged")])
    metrics.show(lambda: broken, version="1", model="debug", store="embedded")
    metrics.look()
    page, content_type = metrics.page()
    assert b'shoal_collection_usable{collection="photos"} 0.0' in page
    assert b"shoal_collection_last_run_timestamp_seconds{" not in page
    assert content_type.startswith("text/plain")
