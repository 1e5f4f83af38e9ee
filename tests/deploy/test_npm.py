"""The connector's packages for npm: what is in them, and that npx starts the binary of this machine."""

import base64
import hashlib
import http.server
import json
import os
import re
import signal
import subprocess
import tarfile
import tempfile
import threading
import time
import unittest
import urllib.parse
from pathlib import Path

import yaml
from connector import ELSEWHERE, HERE, VERSION, clean_environment, stand_in
from support import DEPLOY, ROOT

BUILD = DEPLOY / "npm" / "build.mjs"
NAME = json.loads((DEPLOY / "npm" / "package.json").read_text())["name"]


def build(*arguments, **options):
    return subprocess.run([BUILD, *map(str, arguments)], text=True, capture_output=True, timeout=60, **options)


def manifest(tarball):
    with tarfile.open(tarball) as archive:
        return json.load(archive.extractfile("package/package.json"))


class Registry(http.server.ThreadingHTTPServer):
    """As much of an npm registry as it takes to install from: the packages of some tarballs."""

    def __init__(self, tarballs):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"
        self.tarballs = {tarball.name: tarball.read_bytes() for tarball in tarballs}
        self.manifests = {found["name"]: (found, tarball.name) for tarball in tarballs for found in [manifest(tarball)]}
        self.asked = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def about(self, name):
        found, file = self.manifests[name]
        digest = base64.b64encode(hashlib.sha512(self.tarballs[file]).digest()).decode()
        version = {**found, "dist": {"tarball": f"{self.url}-/{file}", "integrity": f"sha512-{digest}"}}
        return {"name": name, "dist-tags": {"latest": VERSION}, "versions": {VERSION: version}}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            path = urllib.parse.unquote(self.path).lstrip("/")
            self.server.asked.append(path)
            if path in self.server.manifests:
                body = json.dumps(self.server.about(path)).encode()
            else:
                body = self.server.tarballs.get(path.removeprefix("-/"))
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass


class Packages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.binary = stand_in(cls.folder)
        cls.env = clean_environment(cls.folder)
        cls.given = [f"{platform}={cls.binary}" for platform in (HERE, ELSEWHERE)]
        ended = build("--out", cls.folder / "out", *cls.given, env=cls.env)
        assert ended.returncode == 0, ended
        cls.tarballs = [Path(line) for line in ended.stdout.splitlines()]
        cls.here, _, cls.launcher = cls.tarballs
        cls.project = cls.folder / "project"
        cls.project.mkdir()
        (cls.project / "package.json").write_text('{"private": true}')
        install = ["npm", "install", "--offline", "--no-audit", "--no-fund", cls.here, cls.launcher]
        ended = subprocess.run(install, cwd=cls.project, env=cls.env, text=True, capture_output=True, timeout=120)
        assert ended.returncode == 0, ended
        cls.installed = cls.project / "node_modules" / ".bin" / "sidegate-connect"

    def run_npx(self, *arguments, given=b"", cwd=None, **more):
        command, env = ["npx", *arguments], {**self.env, **more}
        return subprocess.run(command, cwd=cwd or self.project, env=env, input=given, capture_output=True, timeout=60)

    def start(self, *command):
        """A process that has said that it is ready."""
        pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
        # A group of its own: nothing that it leaves behind outlives the test.
        process = subprocess.Popen(command, cwd=self.project, env=self.env, text=True, start_new_session=True, **pipes)

        def stop():
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                pipe.close()

        self.addCleanup(stop)
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    def refused(self, env, because):
        """That the launcher ends with 1 and this one sentence on standard error."""
        ended = subprocess.run([self.installed], env=env, text=True, capture_output=True, timeout=60)
        self.assertEqual((ended.returncode, ended.stdout), (1, ""), ended)
        self.assertRegex(ended.stderr, rf"\Asidegate-connect: {because}\n\Z")

    def pretending(self, code):
        """An environment in which Node runs this code before the launcher."""
        file = self.folder / "pretend.js"
        file.write_text(code)
        return {**self.env, "NODE_OPTIONS": f"--require {file}"}

    def test_a_package_holds_what_its_name_says_and_runs_nothing_when_it_is_installed(self):
        common = {"package/package.json": 0o644, "package/LICENSE": 0o644}
        binary = {**common, "package/sidegate": 0o755}
        launcher = {**common, "package/README.md": 0o644, "package/sidegate-connect.js": 0o755}
        for tarball, files in zip(self.tarballs, [binary, binary, launcher], strict=True):
            with tarfile.open(tarball) as archive:
                self.assertEqual({member.name: member.mode & 0o777 for member in archive}, files)
            found = manifest(tarball)
            self.assertEqual((found["version"], found["license"]), (VERSION, "Apache-2.0"))
            self.assertEqual(found["publishConfig"], {"access": "public"})
            self.assertLessEqual({"scripts", "dependencies", "repository"} & found.keys(), set())
        for tarball, platform in zip(self.tarballs, [HERE, ELSEWHERE]):
            found = manifest(tarball)
            self.assertEqual(found["name"], f"{NAME}-{platform}")
            self.assertEqual([found["os"], found["cpu"]], [[part] for part in platform.split("-")])
            self.assertEqual(found.get("libc"), ["glibc"] if "linux" in platform else None)

    def test_the_launcher_asks_for_exactly_the_binaries_that_were_packed_with_it(self):
        wanted = {f"{NAME}-{platform}": VERSION for platform in (HERE, ELSEWHERE)}
        self.assertEqual(manifest(self.launcher)["optionalDependencies"], wanted)

    def test_the_same_input_is_the_same_tarball_and_a_release_can_say_where_it_is_from(self):
        url = "git+https://git.example.com/sidegate.git"
        for name, options in {"again": [], "release": ["--version", "1.2.3-rc.1", "--repository", url]}.items():
            ended = build("--out", self.folder / name, *options, *self.given, env=self.env)
            self.assertEqual(ended.returncode, 0, ended)
        for tarball in self.tarballs:
            self.assertEqual(tarball.read_bytes(), (self.folder / "again" / tarball.name).read_bytes())
        for tarball in (self.folder / "release").iterdir():
            found = manifest(tarball)
            self.assertEqual((found["version"], found["repository"]["url"]), ("1.2.3-rc.1", url))
            self.assertLessEqual(set(found.get("optionalDependencies", {}).values()), {"1.2.3-rc.1"})

    def test_what_cannot_be_packed_is_refused_by_name(self):
        for arguments, reason in {
            (): "give at least one PLATFORM=BINARY",
            (f"amiga-m68k={self.binary}",): '"amiga-m68k" is none of linux-x64, ',
            (f"{HERE}=/nowhere/sidegate",): 'the binary of .*, "/nowhere/sidegate", is no file',
            ("--ou", "x"): "'--ou'",
        }.items():
            with self.subTest(arguments):
                ended = build("--out", self.folder / "refused", *arguments, env=self.env)
                self.assertEqual((ended.returncode, ended.stdout), (1, ""), ended)
                self.assertRegex(ended.stderr, reason)
        self.assertFalse((self.folder / "refused").exists())

    def test_a_release_builds_a_binary_for_each_platform_that_can_be_packed(self):
        jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]
        built = [row["platform"] for job in ("build", "connector") for row in jobs[job]["strategy"]["matrix"]["include"]]
        for packer in (BUILD, DEPLOY / "mcpb" / "build.sh"):
            option = ["--platform", "none"] if packer.suffix == ".sh" else ["none=none"]
            ended = subprocess.run([packer, *option], env=self.env, text=True, capture_output=True, timeout=20)
            self.assertEqual(ended.stderr.split("is none of ")[1].strip().split(", "), built)

    def test_npx_passes_arguments_input_output_and_exit_code_and_says_nothing_itself(self):
        given = os.urandom(1 << 20)
        ended = self.run_npx("--no-install", "sidegate-connect", "--gate", "https://a b", "-x", given=given)
        said, rest = ended.stdout.split(b"\n", 1)
        self.assertEqual((ended.returncode, said, ended.stderr), (5, b"connect --gate https://a b -x", b"a word to people\n"))
        # Not compared by unittest, which would search for the difference.
        self.assertTrue(rest == given)

    def test_a_signal_reaches_the_binary_whose_end_is_the_launchers(self):
        process = self.start(self.installed, "wait")
        process.send_signal(signal.SIGTERM)
        self.assertEqual((*process.communicate(timeout=20), process.returncode), ("asked to end\n", "", 7))
        for sent in (signal.SIGINT, signal.SIGHUP):
            process = self.start(self.installed, "wait")
            process.send_signal(sent)
            self.assertEqual((*process.communicate(timeout=20), process.returncode), ("", "", -sent))
        ended = subprocess.run([self.installed, "crash"], env=self.env, capture_output=True, timeout=20)
        self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (-signal.SIGKILL, b"", b""))

    def test_the_end_of_input_ends_the_binary_even_where_npx_kept_a_signal_to_itself(self):
        over = self.folder / "over"
        process = self.start("npx", "--no-install", "sidegate-connect", "until-end", str(over))
        process.send_signal(signal.SIGTERM)
        process.stdin.close()
        end = time.monotonic() + 20
        while not over.exists() and time.monotonic() < end:
            time.sleep(0.05)
        self.assertTrue(over.exists())

    def test_a_platform_without_a_binary_is_told_which_have_one(self):
        env = self.pretending('Object.defineProperty(process, "platform", { value: "sunos" });')
        arch = HERE.split("-")[1]
        self.refused(env, f"there is no prebuilt binary for sunos-{arch}, only for {HERE}, {ELSEWHERE}: build Sidegate .*")

    def test_a_package_that_was_left_out_is_named_and_so_is_a_system_without_glibc(self):
        package = self.project / "node_modules" / NAME.split("/")[0] / f"connect-{HERE}"
        aside = package.rename(self.folder / "aside")
        self.addCleanup(lambda: aside.rename(package))
        self.refused(self.env, f"the package {NAME}-{HERE}, which holds the binary, is not installed: .*--omit=optional")
        env = self.pretending("process.report.getReport = () => ({ header: {} });")
        self.refused(env, f"the prebuilt binary for {HERE} needs glibc, .*")

    def test_a_binary_that_cannot_be_started_is_named(self):
        binary = (self.project / "node_modules" / f"{NAME}-{HERE}" / "sidegate")
        kept = binary.rename(self.folder / "kept")
        self.addCleanup(lambda: kept.replace(binary))
        binary.write_text("#!/nowhere/interpreter\n")
        binary.chmod(0o755)
        self.refused(self.env, f"{re.escape(str(binary))} cannot be started: .*ENOENT.*")

    def test_npx_fetches_the_launcher_and_only_this_machines_binary(self):
        registry = Registry(self.tarballs)
        self.addCleanup(registry.server_close)
        self.addCleanup(registry.shutdown)
        env = {"npm_config_registry": registry.url, "npm_config_cache": f"{self.folder}/from-registry"}
        # Outside of the project, where it is installed already.
        ended = self.run_npx("-y", f"{NAME}@{VERSION}", "--gate", "x", cwd=self.folder, **env)
        self.assertEqual((ended.returncode, ended.stdout), (5, b"connect --gate x\n"), ended)
        fetched = {path for path in registry.asked if path.startswith("-/")}
        self.assertEqual(fetched, {f"-/{tarball.name}" for tarball in (self.here, self.launcher)})


if __name__ == "__main__":
    unittest.main()
