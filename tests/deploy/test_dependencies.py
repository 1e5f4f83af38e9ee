"""What deny.toml asks of the dependencies, as far as it can be judged without a list of advisories."""

import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

from support import ROOT, variable

DENY = (ROOT / "deny.toml").read_text()


def denied(text, *checks):
    """What cargo-deny says of this crate under `text` as its deny.toml."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "deny.toml"
        config.write_text(text)
        deny = Path(variable("SIDEGATE_TEST_DEPLOY_PYTHON")).with_name("cargo-deny")
        command = [deny, "--locked", "--color", "never", "--config", config, "check", *checks]
        return subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=300, env=os.environ)


class Dependencies(unittest.TestCase):
    def test_licences_bans_and_sources_are_as_they_must_be(self):
        ended = denied(DENY, "licenses", "bans", "sources")
        self.assertEqual(ended.returncode, 0, ended.stderr)
        # An allowance that nobody needs is a warning.
        self.assertNotIn("warning", ended.stdout + ended.stderr)

    def test_a_licence_that_is_not_listed_and_a_crate_that_is_banned_would_be_noticed(self):
        stricter = DENY.replace('    "ISC",\n', "")
        self.assertNotEqual(stricter, DENY)
        self.assertNotEqual(denied(stricter, "licenses").returncode, 0)
        stricter = DENY.replace('name = "reqwest"', 'name = "serde"')
        self.assertNotEqual(stricter, DENY)
        self.assertNotEqual(denied(stricter, "bans").returncode, 0)

    def test_every_exception_is_needed_and_explained(self):
        lock = (ROOT / "Cargo.lock").read_text()
        exceptions = re.findall(r'{ id = "RUSTSEC-\d+-\d+", reason = "([a-z0-9-]+) [^"]{20,}" }', DENY)
        self.assertEqual(len(exceptions), DENY.count("RUSTSEC-"))
        for crate in exceptions:
            self.assertIn(f'name = "{crate}"\n', lock, "nobody depends on it any more")

    def test_all_is_from_the_public_registry_and_pinned(self):
        for package in (ROOT / "Cargo.lock").read_text().split("[[package]]\n")[1:]:
            name = re.search(r'name = "(.*)"', package)[1]
            if name == "sidegate":
                continue
            self.assertIn('source = "registry+https://github.com/rust-lang/crates.io-index"\n', package)
            self.assertRegex(package, r'checksum = "[0-9a-f]{64}"')
        manifest = (ROOT / "Cargo.toml").read_text()
        self.assertNotRegex(manifest, r"(?m)\bgit *=|^\[patch|^\[replace|\bpath *= *\"\.\.|\bregistry *=")


if __name__ == "__main__":
    unittest.main()
