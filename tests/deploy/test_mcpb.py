"""The desktop bundle (MCPB), judged by the reference implementation of the clients that install it."""

import json
import subprocess
import tempfile
import unittest
import zipfile
from pathlib import Path

from connector import HERE, VERSION, clean_environment, stand_in
from support import DEPLOY, variable

BUILD = DEPLOY / "mcpb" / "build.sh"
HOST = Path(__file__).parent / "mcpb" / "host.mjs"
SETTINGS = {"instance_url": "https://psa.example.com", "api_token": "a key with 'quotes' and $HOME"}


def node(program, *arguments):
    """Runs a program with the reference implementation at hand."""
    packages = Path(variable("SIDEGATE_TEST_MCPB"))
    command = [variable("SIDEGATE_TEST_NODE"), program or packages / "node_modules/@anthropic-ai/mcpb/dist/cli/cli.js"]
    return subprocess.run([*command, *map(str, arguments)], cwd=packages, text=True, capture_output=True, timeout=60)


class Bundle(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.binary = stand_in(cls.folder)
        cls.bundle = cls.built()
        cls.unpacked = cls.folder / "unpacked"
        ended = node(None, "unpack", cls.bundle, cls.unpacked)
        assert ended.returncode == 0, ended
        cls.manifest = json.loads((cls.unpacked / "manifest.json").read_text())

    @classmethod
    def build(cls, *arguments):
        env = {**clean_environment(cls.folder), "SOURCE_DATE_EPOCH": "1700000000"}
        return subprocess.run([BUILD, *map(str, arguments)], env=env, text=True, capture_output=True, timeout=60)

    @classmethod
    def built(cls, platform=HERE, out="out", *more):
        ended = cls.build("--platform", platform, "--binary", cls.binary, "--out", cls.folder / out, *more)
        assert ended.returncode == 0, ended
        return Path(ended.stdout.removesuffix("\n"))

    def started(self, folder, given):
        """What the bundle says and ends with when a client starts it with the user's settings."""
        config = json.loads(node(HOST, folder, json.dumps(SETTINGS)).stdout)
        env = {"PATH": "/usr/bin:/bin", **config["env"]}
        command = [config["command"], *config["args"]]
        ended = subprocess.run(command, cwd="/", env=env, text=True, input=given, capture_output=True, timeout=20)
        self.assertEqual(ended.stderr, "a word to people\n")
        return ended.stdout, ended.returncode, config["env"]

    def test_the_manifest_is_one_that_clients_accept_and_a_misspelt_one_would_be_noticed(self):
        ended = node(None, "validate", self.unpacked)
        self.assertEqual(ended.returncode, 0, ended)
        wrong = self.folder / "wrong.json"
        server = {**self.manifest["server"], "entrypoint": "x"}
        wrong.write_text(json.dumps({**self.manifest, "server": server}))
        ended = node(None, "validate", wrong)
        self.assertEqual((ended.returncode, "entrypoint" in ended.stdout + ended.stderr), (1, True), ended)

    def test_it_holds_the_binary_and_nothing_else_that_runs(self):
        with zipfile.ZipFile(self.bundle) as archive:
            found = {entry.filename: entry.external_attr >> 16 & 0o7777 for entry in archive.infolist()}
        self.assertEqual(found, {"manifest.json": 0o644, "LICENSE": 0o644, "server/sidegate": 0o755})
        self.assertIn(self.manifest["server"]["entry_point"], found)
        self.assertEqual((self.manifest["version"], self.bundle.name), (VERSION, f"sidegate-connect-{VERSION}-{HERE}.mcpb"))
        self.assertEqual(self.manifest["compatibility"]["platforms"], ["linux"])

    def test_a_client_starts_the_connector_with_the_users_settings(self):
        env = {"ALGA_INSTANCE_URL": SETTINGS["instance_url"], "ALGA_API_TOKEN": SETTINGS["api_token"]}
        self.assertEqual(self.started(self.unpacked, "a message\n"), ("connect\na message\n", 5, env))

    def test_a_client_that_drops_the_modes_starts_it_as_well(self):
        folder = self.folder / "a client's folder; with $odd `letters`"
        with zipfile.ZipFile(self.bundle) as archive:
            archive.extractall(folder)
        binary = folder / "server" / "sidegate"
        binary.chmod(0o600)
        self.assertEqual(self.started(folder, "")[:2], ("connect\n", 5))
        self.assertEqual(binary.stat().st_mode & 0o777, 0o700)

    def test_it_is_not_started_before_both_settings_are_there_and_the_key_is_kept_as_a_secret(self):
        for name in SETTINGS:
            settings = {**SETTINGS, name: ""}
            self.assertEqual(node(HOST, self.unpacked, json.dumps(settings)).stdout, "null", name)
        config = self.manifest["user_config"]
        self.assertEqual(config.keys(), SETTINGS.keys())
        self.assertEqual([config[name].get("sensitive", False) for name in SETTINGS], [False, True])

    def test_the_same_input_is_the_same_bundle_and_a_release_names_its_version_and_platform(self):
        self.assertEqual(self.built(out="again").read_bytes(), self.bundle.read_bytes())
        release = self.built("darwin-arm64", "release", "--version", "1.2.3-rc.1")
        self.assertEqual(release.name, "sidegate-connect-1.2.3-rc.1-darwin-arm64.mcpb")
        with zipfile.ZipFile(release) as archive:
            manifest = json.loads(archive.read("manifest.json"))
        self.assertEqual((manifest["version"], manifest["compatibility"]["platforms"]), ("1.2.3-rc.1", ["darwin"]))

    def test_what_cannot_be_packed_is_refused_by_name(self):
        for arguments, reason in {
            (): '--platform "" is none of linux-x64, ',
            ("--platform", "amiga-m68k"): '--platform "amiga-m68k" is none of ',
            ("--platform", HERE, "--binary", "/nowhere"): '--binary "/nowhere" is no file',
            ("--bin", "x"): "--bin is unknown",
        }.items():
            with self.subTest(arguments):
                ended = self.build(*arguments)
                self.assertEqual((ended.returncode, ended.stdout), (1, ""), ended)
                self.assertIn(reason, ended.stderr)


if __name__ == "__main__":
    unittest.main()
