"""The chart: rendered by Helm's own library, then held against Kubernetes' schemas; no cluster runs it here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from shoal.v1 import status_service_pb2
from shoal_server.settings import Settings

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "shoal"

NEEDED: dict[str, Any] = {"qdrant": {"url": "http://qdrant.qdrant.svc:6333"}, "keysSecret": {"name": "shoal-keys"}}
CASES: dict[str, dict[str, Any]] = {
    "one server": NEEDED,
    "several servers": NEEDED
    | {
        "replicas": 3,
        "files": {"url": "s3://bucket/shoal"},
        "tls": {"secretName": "shoal-tls"},
        "cache": {"enabled": True, "accessMode": "ReadWriteMany"},
        "envFromSecrets": ["shoal-s3"],
        "settings": {"SHOAL_KEEP_ORIGINALS": "true", "SHOAL_LOG_FORMAT": "text"},
        "service": {"headless": True},
        "web": {"port": 443},
        "metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
        "image": {"repository": "registry.example/shoal", "digest": "sha256:" + "0" * 64},
    },
    "scaled by load": NEEDED
    | {
        "files": {"url": "gs://bucket"},
        "web": {"enabled": False},
        "autoscaling": {"enabled": True},
        "qdrant": {"url": "https://qdrant.example", "apiKeySecret": {"name": "qdrant", "key": "api-key"}},
        "networkPolicy": {"clients": [{"namespaceSelector": {"matchLabels": {"team": "photos"}}}]},
        "resources": {"limits": {"nvidia.com/gpu": 1}},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    },
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no Qdrant": ({}, "set qdrant.url"),
    "no keys": ({"qdrant": NEEDED["qdrant"]}, "shoal keys create"),
    "several servers without shared files": (NEEDED | {"replicas": 2}, "files.url"),
    "scaled without shared files": (NEEDED | {"autoscaling": {"enabled": True}}, "files.url"),
    "files nowhere": (NEEDED | {"files": {"url": "/srv/files"}}, "files/url"),
    "no setting": (NEEDED | {"settings": {"LOG_LEVEL": "DEBUG"}}, "LOG_LEVEL"),
    "a secret in the open": (NEEDED | {"settings": {"SHOAL_QDRANT_API_KEY": "x"}}, "SHOAL_QDRANT_API_KEY"),
    "any image": (NEEDED | {"image": {"repository": "shoal", "tag": "latest"}}, "tag"),
    "a slip of the pen": (NEEDED | {"replica": 3}, "replica"),
}

#: The oldest version that the chart is for, and the newest of which there is a schema.
VERSIONS = ["1.29", kubernetes_validate.latest_version()]


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    values = [*CASES.values(), *(values for values, _ in REFUSED.values())]
    done = subprocess.run(
        [sys.executable, "-m", "tests.architecture.renders_chart", CHART],
        cwd=ROOT,
        input=json.dumps(values),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answered = json.loads(done.stdout)
    return {"lint": answered["lint"]} | dict(zip([*CASES, *REFUSED], answered["rendered"], strict=True))


def one(manifests: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    [found] = [each for each in manifests if each["kind"] == kind]
    return found


def container(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    [only] = one(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def test_helm_has_nothing_to_say(answers: dict[str, Any]) -> None:
    assert answers["lint"]["errors"] == []
    # A chart without a picture is one, too.
    assert [each["error"] for each in answers["lint"]["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_kubernetes_takes_it(answers: dict[str, Any], case: str, version: str) -> None:
    kinds = set()
    for manifest in answers[case]:
        kinds.add(manifest["kind"])
        # Not Kubernetes' own, but the Prometheus operator's.
        if manifest["kind"] != "ServiceMonitor":
            kubernetes_validate.validate(manifest, version, strict=True)
    assert {"ConfigMap", "Deployment", "NetworkPolicy", "Service", "ServiceAccount"} <= kinds


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_not_work_is_refused_with_a_reason(answers: dict[str, Any], case: str) -> None:
    assert isinstance(answers[case], str), "it was rendered"
    assert REFUSED[case][1] in answers[case]


@pytest.mark.parametrize("case", CASES)
def test_pods_are_as_restricted_as_can_be(answers: dict[str, Any], case: str) -> None:
    pod = one(answers[case], "Deployment")["spec"]["template"]["spec"]
    security = container(answers[case])["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert security == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["terminationGracePeriodSeconds"] > Settings.model_fields["shutdown_grace_s"].default + 5


@pytest.mark.parametrize("case", CASES)
def test_the_server_would_start_with_these_settings(
    answers: dict[str, Any], case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = dict(one(answers[case], "ConfigMap")["data"])
    named = {each["name"] for each in container(answers[case]).get("env", [])}
    assert {name.removeprefix("SHOAL_").lower() for name in {*given, *named}} <= set(Settings.model_fields)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.require_key
    assert str(settings.keys_file) == "/etc/shoal/keys/keys.json"
    mounts = {each["mountPath"] for each in container(answers[case])["volumeMounts"]}
    assert "/etc/shoal/keys" in mounts
    assert (settings.tls_cert is not None) == ("/etc/shoal/tls" in mounts)
    assert settings.log_format == CASES[case].get("settings", {}).get("SHOAL_LOG_FORMAT", "json")


@pytest.mark.parametrize("case", CASES)
def test_no_secret_is_written_down(answers: dict[str, Any], case: str) -> None:
    assert not [each for each in answers[case] if each["kind"] == "Secret"]
    for variable in container(answers[case]).get("env", []):
        assert "secretKeyRef" in variable["valueFrom"]


def test_the_explorer_is_reached_where_calls_are_unless_it_is_off(answers: dict[str, Any]) -> None:
    def ways(case: str) -> tuple[list[str], list[tuple[str, int]], list[str]]:
        listening = [each["name"] for each in container(answers[case])["ports"]]
        services = [each for each in answers[case] if each["kind"] == "Service"]
        calls = next(each for each in services if not each["metadata"]["name"].endswith("-metrics"))
        let_in = one(answers[case], "NetworkPolicy")["spec"]["ingress"][0]["ports"]
        return listening, [(each["name"], each["port"]) for each in calls["spec"]["ports"]], [p["port"] for p in let_in]

    assert ways("one server") == (["grpc", "http", "web"], [("grpc", 50051), ("web", 8080)], ["grpc", "web"])
    assert ways("several servers")[1] == [("grpc", 50051), ("web", 443)]
    assert ways("scaled by load") == (["grpc", "http"], [("grpc", 50051)], ["grpc"])
    assert one(answers["one server"], "ConfigMap")["data"]["SHOAL_WEB_LISTEN"] == "0.0.0.0:8080"
    assert "SHOAL_WEB_LISTEN" not in one(answers["scaled by load"], "ConfigMap")["data"]


def test_images_are_of_one_version(answers: dict[str, Any]) -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert container(answers["one server"])["image"] == f"shoal:{version}"
    assert container(answers["several servers"])["image"] == "registry.example/shoal@sha256:" + "0" * 64


def test_one_server_keeps_its_volume_and_gives_way_to_the_next(answers: dict[str, Any]) -> None:
    manifests = answers["one server"]
    assert one(manifests, "Deployment")["spec"]["strategy"]["type"] == "Recreate"
    assert one(manifests, "PersistentVolumeClaim")["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert "PodDisruptionBudget" not in {each["kind"] for each in manifests}


def test_several_servers_need_no_volume_and_go_one_by_one(answers: dict[str, Any]) -> None:
    manifests = answers["several servers"]
    deployment = one(manifests, "Deployment")["spec"]
    assert deployment["replicas"] == 3
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    volumes = {each["name"]: each for each in deployment["template"]["spec"]["volumes"]}
    assert volumes["data"]["emptyDir"] == {}
    assert one(manifests, "PodDisruptionBudget")["spec"]["minAvailable"] == 1
    assert one(manifests, "ServiceMonitor")["spec"]["endpoints"][0]["path"] == "/metrics"
    assert "replicas" not in one(answers["scaled by load"], "Deployment")["spec"]


def test_probes_ask_grpc_where_they_can_and_http_where_there_is_tls(answers: dict[str, Any]) -> None:
    plain, secured = container(answers["one server"]), container(answers["several servers"])
    assert plain["readinessProbe"]["grpc"] == plain["startupProbe"]["grpc"] == {"port": 50051}
    alive = plain["livenessProbe"]["grpc"]["service"]
    # The one service that needs neither model nor store, so that nothing outside the server can have it killed.
    assert alive == status_service_pb2.DESCRIPTOR.services_by_name["StatusService"].full_name
    assert (
        secured["readinessProbe"]["httpGet"]
        == secured["startupProbe"]["httpGet"]
        == {"path": "/readyz", "port": "http"}
    )
    assert secured["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}


def test_the_network_is_closed_but_for_what_is_needed(answers: dict[str, Any]) -> None:
    def ports(case: str) -> set[int | str]:
        egress = one(answers[case], "NetworkPolicy")["spec"]["egress"]
        return {port["port"] for rule in egress for port in rule["ports"]}

    assert ports("one server") == {53, 6333, 6334, 443}
    ingress = one(answers["scaled by load"], "NetworkPolicy")["spec"]["ingress"]
    assert ingress[0]["from"] == [{"namespaceSelector": {"matchLabels": {"team": "photos"}}}]
    assert ingress[1]["from"] == [{"podSelector": {}}]
