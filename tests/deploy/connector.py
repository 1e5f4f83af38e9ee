"""What the tests of the connector's packages share: a script that stands for its binary, and this machine's name for npm."""

import os
import platform
import tomllib
from pathlib import Path

from support import ROOT

VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
ARCHITECTURE = {"x86_64": "x64", "aarch64": "arm64"}[platform.machine()]
HERE = f"linux-{ARCHITECTURE}"
ELSEWHERE = "darwin-arm64"

# Says what it was started with, then whatever it is told, and a word to people.
STAND_IN = """#!/bin/sh
case $2 in
wait) trap 'echo asked to end; exit 7' TERM; echo ready; while :; do sleep 0.1; done ;;
crash) kill -KILL $$ ;;
until-end) echo ready; cat; echo over >"$3"; exit ;;
esac
echo "$@"
cat
echo a word to people >&2
exit 5
"""


def stand_in(folder):
    script = Path(folder) / "binary"
    script.write_text(STAND_IN)
    # Not executable: what is packed must not hang on how the file was downloaded.
    script.chmod(0o644)
    return script


def clean_environment(folder):
    """Nothing of the caller's: no configuration, no global packages, and no registry unless a test names one."""
    (Path(folder) / "npm" / "lib").mkdir(parents=True, exist_ok=True)
    return {
        "HOME": str(folder), "PATH": os.environ["PATH"], "npm_config_cache": f"{folder}/npm/cache",
        "npm_config_prefix": f"{folder}/npm", "npm_config_registry": "http://127.0.0.1:9/",
        "npm_config_update_notifier": "false"}
