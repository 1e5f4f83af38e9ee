"""The Dockerfile, what it gathers, and the Compose file."""

import fnmatch
import importlib.metadata
import json
import os
import re
import subprocess
import tempfile
import tomllib
import unittest
from pathlib import Path

import jsonschema
import yaml
from support import DEPLOY, ROOT, check, seconds, variable

DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def instructions(text):
    joined = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^\s*#.*\n", "", text))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line]


STAGES = instructions(DOCKERFILE)
LAST = STAGES[max(at for at, (word, _) in enumerate(STAGES) if word == "FROM"):]


def last(word):
    return [rest for known, rest in LAST if known == word]


class Image(unittest.TestCase):
    def test_hadolint_has_nothing_against_the_dockerfile(self):
        hadolint = Path(variable("SIDEGATE_TEST_DEPLOY_PYTHON")).with_name("hadolint")
        ended = subprocess.run([hadolint, DEPLOY / "Dockerfile"], text=True, capture_output=True)
        self.assertEqual((ended.returncode, ended.stdout), (0, ""), ended)

    def test_the_image_is_from_scratch_with_a_plain_user_and_no_shell(self):
        self.assertEqual(last("FROM"), ["scratch"])
        self.assertEqual(last("USER"), ["65532:65532"])
        self.assertEqual(last("RUN"), [])
        for word in ("ENTRYPOINT", "CMD"):
            self.assertTrue(json.loads(last(word)[0]), word)
        check = last("HEALTHCHECK")[0].split(" CMD ")[1]
        self.assertEqual(json.loads(check), ["/usr/bin/sidegate", "health"])
        labels = " ".join(last("LABEL"))
        for label in ("title", "description", "licenses", "version", "revision", "created"):
            self.assertIn(f"org.opencontainers.image.{label}=", labels)

    def test_the_builder_is_the_toolchain_that_the_manifest_asks_for(self):
        version = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["rust-version"]
        self.assertRegex(DOCKERFILE, rf"ARG RUST_IMAGE=docker\.io/library/rust:{re.escape(version)}\.\d+-slim-bookworm\n")
        self.assertIn("cargo build --locked --release", DOCKERFILE)

    def test_the_build_is_sent_what_it_reads_and_no_more(self):
        rules = [line for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line and line[0] != "#"]
        self.assertEqual(rules[0], "*")
        self.assertTrue(all(rule.startswith("!") for rule in rules[1:]))

        def sent(path):
            return any(path == rule[1:] or path.startswith(rule[1:] + "/") for rule in rules[1:])

        for rule in rules[1:]:
            self.assertTrue((ROOT / rule[1:]).exists(), rule)
        for needed in ("Cargo.toml", "Cargo.lock", "LICENSE", "deploy/image-root.sh", "src/main.rs"):
            self.assertTrue(sent(needed), needed)
        for other in ("target", ".git", "tests", ".ci", "deploy/Dockerfile"):
            self.assertFalse(sent(other), other)
        # Whatever the source takes in at compile time is in src/ as well.
        for file in (ROOT / "src").rglob("*.rs"):
            for taken in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', file.read_text()):
                self.assertTrue(sent(str((file.parent / taken).resolve().relative_to(ROOT))), f"{file}: {taken}")

    def test_what_is_gathered_runs_alone_and_holds_one_program(self):
        with tempfile.TemporaryDirectory() as folder:
            # It starts the program in the new root where it may.
            script = [DEPLOY / "image-root.sh", variable("SIDEGATE_TEST_BINARY"), Path(folder) / "root"]
            ended = subprocess.run(script, cwd=ROOT, text=True, capture_output=True)
            self.assertEqual(ended.returncode, 0, ended)
            root = Path(folder) / "root"
            if os.geteuid() == 0:
                self.assertRegex(ended.stdout, r"^sidegate \d")
            files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() or path.is_symlink()}
            programs = {name for name in files if "/bin/" in f"/{name}" or "/sbin/" in f"/{name}"}
            self.assertEqual(programs, {"usr/bin/sidegate"})
            libraries = {Path(name).name for name in files if ".so" in name}
            for name in libraries:
                self.assertTrue(fnmatch.fnmatch(name, "lib[cm].so.6") or name == "libgcc_s.so.1" or name.startswith("ld-linux"), name)
            for file in ("etc/ssl/certs/ca-certificates.crt", "etc/passwd", "var/lib/dpkg/status.d/libc6"):
                self.assertIn(file, files)
            self.assertEqual((root / "tmp").stat().st_mode & 0o7777, 0o1777)


class Compose(unittest.TestCase):
    def test_the_file_is_one_that_compose_knows(self):
        (file,) = [file for file in importlib.metadata.files("docker-compose") if file.name == "compose_spec.json"]
        schema = json.loads(file.read_text())
        # The schema is older than this key.
        known = {key: value for key, value in COMPOSE.items() if key != "name"}
        jsonschema.Draft7Validator(schema).validate(known)
        known["services"]["demo"]["misspelt"] = 1
        with self.assertRaises(jsonschema.ValidationError):
            jsonschema.Draft7Validator(schema).validate(known)
        del known["services"]["demo"]["misspelt"]

    def test_each_service_is_confined_and_has_the_images_check(self):
        for name, service in COMPOSE["services"].items():
            with self.subTest(name):
                self.assertIs(service["read_only"], True)
                self.assertEqual(service["cap_drop"], ["ALL"])
                self.assertEqual(service["security_opt"], ["no-new-privileges:true"])
                self.assertNotIn("privileged", service)
                self.assertEqual(service["healthcheck"]["test"], ["CMD", "/usr/bin/sidegate", "health"])

    def test_the_first_look_is_what_starts_and_is_seen_by_this_machine_only(self):
        services = COMPOSE["services"]
        self.assertEqual([name for name, service in services.items() if "profiles" not in service], ["demo"])
        demo = services["demo"]
        port = demo["command"][demo["command"].index("--port") + 1]
        self.assertEqual(demo["ports"], [f"127.0.0.1:{port}:{port}"])
        # What it writes goes to the one folder that belongs to the image's user.
        self.assertEqual(demo["volumes"], [f"demo:{last('VOLUME')[0]}"])
        self.assertEqual(demo["environment"]["TMPDIR"], last("VOLUME")[0])

    def test_the_one_before_a_real_psa_has_time_to_stop_and_a_configuration_that_is_accepted(self):
        service = COMPOSE["services"]["sidegate"]
        env = service["environment"]
        self.assertGreaterEqual(seconds(service["stop_grace_period"]), seconds(env["SIDEGATE__SERVER__GRACE"]) + 5)
        config = (DEPLOY / "kubernetes/base/sidegate.toml").read_text()
        ended = check(config.replace("http://127.0.0.1:3000", "http://server:3000"), env)
        self.assertEqual((ended.returncode, ended.stderr), (0, ""), ended)
        for mount in service["volumes"]:
            self.assertTrue(mount.endswith(":ro") or mount == "store:/var/lib/sidegate", mount)
        self.assertEqual(service["secrets"], list(COMPOSE["secrets"]))
