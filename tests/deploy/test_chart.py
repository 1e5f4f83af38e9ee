"""The chart beside the kustomize base, and its values beside their schema."""

import json
import re
import shutil
import tempfile
import textwrap
import tomllib
import unittest
from pathlib import Path

import yaml
from support import CHART, DEPLOY, ROOT, charted, containers, kustomized, one, pod, rendered, tool

VALUES = (CHART / "values.yaml").read_text()


def cargo():
    return tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]


class Values(unittest.TestCase):
    def test_helm_has_nothing_against_the_chart(self):
        ended = tool("helm", "lint", "--strict", CHART)
        self.assertEqual(ended.returncode, 0, ended)

    def test_what_the_chart_and_the_base_make_of_the_pod_is_the_same(self):
        chart, base = pod(charted()), pod(kustomized("base"))
        for container in containers(chart).values():
            container.pop("imagePullPolicy")
        # Names and labels differ, as they must.
        for spec in (chart, base):
            del spec["topologySpreadConstraints"][0]["labelSelector"]
            for volume in spec["volumes"]:
                for kind, name in (("configMap", "name"), ("persistentVolumeClaim", "claimName")):
                    volume.get(kind, {}).pop(name, None)
        self.assertEqual(chart, base)

    def test_the_rest_is_the_same_too(self):
        chart, base = charted("--set", "podMonitor.enabled=true"), kustomized("example")
        self.assertEqual(sorted(thing["kind"] for thing in chart), sorted(thing["kind"] for thing in base))
        for kind in {thing["kind"] for thing in base} - {"ConfigMap", "Deployment"}:
            specs = [one(things, kind)["spec"] for things in (chart, base)]
            for spec in specs:
                for selector in ("selector", "podSelector"):
                    spec.pop(selector, None)
            self.assertEqual(specs[0], specs[1], kind)

    def test_its_configuration_is_the_bases(self):
        base = (DEPLOY / "kubernetes" / "base" / "sidegate.toml").read_text()
        self.assertEqual(tomllib.loads(yaml.safe_load(VALUES)["config"]), tomllib.loads(base))

    def test_every_value_is_documented_above_it(self):
        lines = VALUES.splitlines()
        for number, line in enumerate(lines):
            if re.match(r"[a-zA-Z]+:", line):
                above = lines[number - 1]
                # Two of a kind may share a sentence.
                self.assertRegex(above, r"^(#|[a-zA-Z]+:)", line)

    def test_the_schema_knows_the_values_and_no_others(self):
        schema = json.loads((CHART / "values.schema.json").read_text())

        def compare(values, part, at):
            if not isinstance(values, dict) or "properties" not in part:
                return
            self.assertIs(part["additionalProperties"], False, at)
            missing = values.keys() - part["properties"].keys()
            self.assertFalse(missing, at)
            for key, value in values.items():
                compare(value, part["properties"][key], f"{at}.{key}")

        compare(yaml.safe_load(VALUES), schema, "")
        extra = schema["properties"].keys() - yaml.safe_load(VALUES).keys() - {"global"}
        self.assertFalse(extra)

    def test_a_misspelt_value_is_refused(self):
        for wrong in ("imag.tag=1", "psa.enable=false", "persistence.accessMode=ReadWriteMany", "service.port=0",
                      "shutdown.drainDelaySeconds=5s", "networkPolicy.agents[0].cidr=10.0.0.0/8", "image.digest=latest"):
            with self.subTest(wrong):
                ended = tool("helm", "template", "psa", CHART, "--set", wrong)
                self.assertNotEqual(ended.returncode, 0)
                self.assertIn("schema", ended.stderr)

    def test_the_versions_are_the_programs(self):
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        self.assertEqual(chart["appVersion"], cargo()["version"])
        for text in ((DEPLOY / "compose.yaml"), (DEPLOY / "kubernetes/base/deployment.yaml")):
            self.assertIn(f"sidegate:{cargo()['version']}\n", text.read_text())
        self.assertIn(f"ARG VERSION={cargo()['version']}\n", (DEPLOY / "Dockerfile").read_text())

    def test_the_notes_say_what_is_still_to_do(self):
        # Helm shows notes only to a cluster, so they are rendered as a document of a copy.
        def notes(*arguments):
            with tempfile.TemporaryDirectory() as folder:
                copy = shutil.copytree(CHART, Path(folder) / "sidegate")
                text = (copy / "templates" / "NOTES.txt").read_text()
                (copy / "templates" / "notes.yaml").write_text("kind: Notes\ntext: |\n" + textwrap.indent(text, "  "))
                return one(rendered("helm", "template", "psa", copy, *arguments), "Notes")["text"]

        self.assertIn("create secret generic sidegate --from-file=psa_database_url", notes())
        self.assertIn("STILL TO DO", notes())
        own = DEPLOY / "kubernetes" / "example" / "sidegate.toml"
        self.assertNotIn("STILL TO DO", notes("--set-file", f"config={own}"))
