"""What the tests of deploy/ share: rendering, strict validation, and `sidegate check` on a configuration found there."""

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "sidegate"
# The oldest Kubernetes with native sidecars on by default, and the newest whose schemas are here.
VERSIONS = ("1.29", kubernetes_validate.latest_version())
POD_MONITOR = json.loads((Path(__file__).parent / "podmonitor.schema.json").read_text())


def variable(name):
    if name not in os.environ:
        raise RuntimeError(f"{name} is not set: run tests/run.sh, which installs what these tests need")
    return os.environ[name]


def tool(name, *arguments):
    """What helm or kubectl prints; none of the caller's clusters is known to it."""
    program = Path(variable("SIDEGATE_TEST_KUBE_TOOLS")) / name
    with tempfile.TemporaryDirectory() as home:
        env = {"HOME": home, "PATH": "/usr/bin:/bin"}
        return subprocess.run([program, *map(str, arguments)], env=env, text=True, capture_output=True, timeout=60)


def rendered(name, *arguments):
    ended = tool(name, *arguments)
    if ended.returncode != 0:
        raise AssertionError(f"{name} {arguments}: {ended.stderr}")
    return [document for document in yaml.safe_load_all(ended.stdout) if document]


def kustomized(folder):
    return rendered("kubectl", "kustomize", DEPLOY / "kubernetes" / folder)


def charted(*arguments):
    return rendered("helm", "template", "psa", CHART, *arguments)


def complaint(thing):
    """What the Kubernetes API would say against it, unknown fields included; None where nothing."""
    try:
        if thing.get("kind") == "PodMonitor":
            jsonschema.validate(thing, POD_MONITOR)
        else:
            for version in VERSIONS:
                kubernetes_validate.validate(thing, version, strict=True)
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
        return error.message


def one(things, kind):
    (found,) = [thing for thing in things if thing["kind"] == kind]
    return found


def pod(things):
    return one(things, "Deployment")["spec"]["template"]["spec"]


def containers(spec):
    return {container["name"]: container for container in spec.get("initContainers", []) + spec["containers"]}


def environment(container):
    return {entry["name"]: entry.get("value") for entry in container.get("env", [])}


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text)[1])


def check(config, env):
    """Runs `sidegate check` on the text of a sidegate.toml, with its folders moved to where this test may write."""
    with tempfile.TemporaryDirectory() as folder:
        tls, secrets, store = (Path(folder) / name for name in ("tls", "secrets", "store"))
        for made in (tls, secrets, store):
            made.mkdir()
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
             "-subj", "/CN=localhost", "-keyout", tls / "tls.key", "-out", tls / "tls.crt"],
            check=True, capture_output=True)
        (secrets / "psa_database_url").write_text("postgres://sidegate@db.example.com/psa")
        for there, here in [("/run/secrets/sidegate-tls/", tls), ("/run/secrets/sidegate/", secrets), ("/var/lib/sidegate/", store)]:
            config = config.replace(there, f"{here}/")
        file = Path(folder) / "sidegate.toml"
        file.write_text(config)
        command = [variable("SIDEGATE_TEST_BINARY"), "check", "--config", file]
        return subprocess.run(command, env=env, cwd=folder, text=True, capture_output=True, timeout=60)
