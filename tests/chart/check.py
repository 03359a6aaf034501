#!/usr/bin/env python3
"""The chart in deploy/helm, by Helm's own library: lint, schema of the values, rendering.

What it renders is held against the published schemas of Kubernetes and against what a reviewer of
a restricted cluster asks for; the program itself checks the relay.yaml of both halves.

  check.py PROGRAM        PROGRAM: entra-relay, as built
"""

import copy
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import helm_python as helm
import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/entra-relay"
SECRETS = "/run/secrets/entra-relay"
KUBERNETES = "1.25", "1.33"
# Of what lint has to say.
INFO = 1
# Of the Prometheus Operator, whose schemas are not Kubernetes' own.
FOREIGN = {"ServiceMonitor", "PrometheusRule"}
WATCHER, CONSUMER = "r-entra-relay-watcher", "r-entra-relay-consumer"

PEER = {"ipBlock": {"cidr": "10.0.0.0/24"}}
EVERYTHING = {
    "image": {
        "repository": "registry.example:5000/entra-relay",
        "digest": "sha256:" + "0" * 64,
        "pullPolicy": "Always",
        "pullSecrets": [{"name": "registry"}],
    },
    "config": {"traces": {"endpoint": "https://collector.example"}},
    "watcher": {
        "persistence": {"storageClassName": "fast", "accessMode": "ReadWriteOncePod"},
        "secrets": [
            {"secret": "a", "key": "bind"},
            {"secret": "a", "key": "k", "file": "signing.key"},
            {"secret": "b", "key": "broker"},
        ],
        "nodeSelector": {"zone": "a"},
        "tolerations": [{"operator": "Exists"}],
        "podAnnotations": {"a": "b"},
    },
    "consumer": {
        "replicas": 4,
        "affinity": {"nodeAffinity": {}},
        "serviceAccountName": "relay",
        "podLabels": {"azure.workload.identity/use": "true"},
    },
    "podDisruptionBudget": {"maxUnavailable": "25%"},
    "networkPolicy": {
        "ldap": {"ports": [389, 636], "to": [PEER]},
        "extraEgress": [{"ports": [{"port": 3128, "protocol": "TCP"}], "to": [PEER]}],
        "metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
    },
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "logFormat": "text",
    "fullnameOverride": "r-entra-relay",
}
REFUSED = [
    ({"consumer": {"replicas": -1}}, "replicas"),
    ({"consumer": {"replicas": "two"}}, "replicas"),
    ({"watcher": {"replicas": 2}}, "replicas"),
    ({"image": {"tag": "no tag"}}, "tag"),
    ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
    ({"watcher": {"secrets": [{"secret": "s"}]}}, "key"),
    ({"watcher": {"secrets": [{"secret": "s", "key": "../k"}]}}, "key"),
    ({"watcher": {"persistence": {"size": "2"}}}, "size"),
    ({"config": {"broker": {"password": "hunter2"}}}, "broker"),
    ({"watcher": {"config": {"directory": {"bind": {"password": "x"}}}}}, "bind"),
    ({"consumer": {"config": {"graph": {"client_secret": "x"}}}}, "graph"),
    ({"config": {"admin": {"listen": "0.0.0.0:1"}}}, "admin"),
    ({"networkPolicy": {"ldap": {"ports": [0]}}}, "ports"),
    ({"podDisruptionBudget": {"maxUnavailable": 0}}, "maxUnavailable"),
    ({"serviceMonitors": {"enabled": True}}, "serviceMonitors"),
]


def merged(base, over):
    """`over` on `base`, as Helm merges values: mappings key by key, all else whole."""
    result = copy.deepcopy(base)
    for key, value in over.items():
        inner = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if inner else value
    return result


class Rendered:
    """What the chart makes of values: objects by kind and name."""

    chart = helm.Chart.load(str(CHART))

    def __init__(self, values):
        self.chart.validate_schema(values)
        texts = self.chart.render(values, name="r", namespace="relay")
        self.notes = next(text for name, text in texts.items() if name.endswith("NOTES.txt"))
        documents = (
            document
            for name, text in texts.items()
            if name.endswith(".yaml")
            for document in yaml.safe_load_all(text)
            if document
        )
        self.objects = {(it["kind"], it["metadata"]["name"]): it for it in documents}
        for (kind, _), document in self.objects.items():
            if kind not in FOREIGN:
                for version in KUBERNETES:
                    kubernetes_validate.validate(document, version, strict=True)

    def kinds(self):
        return sorted(kind for kind, _ in self.objects)

    def pods(self):
        for (kind, name), document in self.objects.items():
            if kind in ("StatefulSet", "Deployment"):
                yield name, document["spec"]["template"]

    def relay_yaml(self, name):
        return self.objects["ConfigMap", name]["data"]["relay.yaml"]


def is_restricted(pod):
    """What the Pod Security Standards' level `restricted` asks for, and some more."""
    spec = pod["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 65532
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"configMap", "emptyDir", "projected"}, kinds
    [container] = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    probes = [container[probe]["httpGet"] for probe in ("livenessProbe", "readinessProbe")]
    assert probes == [{"path": path, "port": "metrics"} for path in ("/livez", "/readyz")]
    secrets = next(it["projected"] for it in spec["volumes"] if it["name"] == "secrets")
    assert secrets["defaultMode"] == 0o440


def egress(rendered, name):
    """The ports that a half reaches."""
    rules = rendered.objects["NetworkPolicy", name]["spec"]["egress"]
    return [port["port"] for rule in rules for port in rule["ports"]]


def is_accepted(program, rendered, name, files):
    """The program takes what the pod would be given, and finds nothing wrong."""
    pod = next(pod for pod_name, pod in rendered.pods() if pod_name == name)
    [container] = pod["spec"]["containers"]
    sources = next(it["projected"] for it in pod["spec"]["volumes"] if it["name"] == "secrets")
    mounted = {item["path"] for it in sources["sources"] for item in it["secret"]["items"]}
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder, "keys")
        subprocess.run([program, "keygen", "--dir", keys], check=True, capture_output=True)
        for file in files:
            (keys / file).write_text("hunter2\n")
            (keys / file).chmod(0o440)
        for file in keys.iterdir():
            if file.name not in mounted:
                file.unlink()
        config = Path(folder, "relay.yaml")
        config.write_text(rendered.relay_yaml(name).replace(SECRETS, str(keys)))
        environment = {it["name"]: it["value"] for it in container["env"] if "value" in it}
        environment["RELAY_CONTROL__LISTEN"] = f"unix:{folder}/control.sock"
        environment["RELAY_STATE__PATH"] = f"{folder}/watcher.redb"
        command = [program, "--config", config, "check", "--offline"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
    assert container["args"][:2] == ["--config", "/etc/entra-relay/relay.yaml"]
    roles = {WATCHER: "watch", CONSUMER: "apply"}
    assert container["args"][-1] == roles[name]


def main(program):
    report = helm.lint(str(CHART), values=EVERYTHING, strict=True, kube_version="v1.33.0")
    findings = [it for it in report["messages"] if it["severity"] > INFO]
    assert not findings and not report["errors"], report

    version = subprocess.run([program, "--version"], check=True, capture_output=True, text=True)
    assert version.stdout.split() == ["entra-relay", Rendered.chart.metadata["appVersion"]]
    assert "\nUSER 65532:65532\n" in (ROOT / "deploy/Dockerfile").read_text()

    default = Rendered({})
    halves = ["ConfigMap", "NetworkPolicy", "Service"]
    both = sorted([*halves * 2, "StatefulSet", "Deployment", "PodDisruptionBudget"])
    assert default.kinds() == both, default.kinds()
    assert egress(default, WATCHER) == [53, 53, 636, 5671]
    assert egress(default, CONSUMER) == [53, 53, 443, 5671]
    watcher = default.objects["StatefulSet", WATCHER]["spec"]
    assert watcher["replicas"] == 1
    assert watcher["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] == "2Gi"

    full = Rendered(EVERYTHING)
    assert full.kinds() == sorted([*both, *FOREIGN]), full.kinds()
    rules = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())
    assert full.objects["PrometheusRule", "r-entra-relay"]["spec"] == rules
    monitor = full.objects["ServiceMonitor", "r-entra-relay"]["spec"]
    assert monitor["jobLabel"] == "app.kubernetes.io/name"
    for name in (WATCHER, CONSUMER):
        labels = full.objects["Service", name]["metadata"]["labels"]
        assert monitor["selector"]["matchLabels"].items() <= labels.items()
        assert labels["app.kubernetes.io/name"] == "entra-relay"

    nobody = Rendered({"consumer": {"replicas": 0}})
    assert nobody.kinds() == sorted([*halves, "StatefulSet"]), nobody.kinds()
    assert "no consumers" in nobody.notes
    alone = Rendered({"watcher": {"enabled": False}, "consumer": {"replicas": 1}})
    assert alone.kinds() == sorted([*halves, "Deployment"]), alone.kinds()

    for rendered in (default, full, nobody, alone):
        for _, pod in rendered.pods():
            is_restricted(pod)

    checksum = "checksum/config"
    other = Rendered(merged(EVERYTHING, {"watcher": {"config": {"guard": {"max_disables": 7}}}}))
    before, after = (
        {name: pod["metadata"]["annotations"][checksum] for name, pod in rendered.pods()}
        for rendered in (full, other)
    )
    assert before[WATCHER] != after[WATCHER] and before[CONSUMER] == after[CONSUMER]

    for values, named in REFUSED:
        try:
            Rendered(values)
        except helm.HelmError as error:
            assert named in str(error), f"{values}: {error}"
        else:
            raise AssertionError(f"accepted: {values}")

    for rendered in (default, full):
        is_accepted(program, rendered, WATCHER, ["bind", "broker"])
        is_accepted(program, rendered, CONSUMER, ["graph", "broker"])
    print(f"{len(REFUSED)} bad values refused; both halves accepted by {os.path.basename(program)}")


if __name__ == "__main__":
    main(sys.argv[1])
