"""Drives benches/instructions.sh: sends Sidegate the same requests under callgrind and counts what it did for them.

Counted is all that the process does, the record included, from the first of the requests until what they left behind is
written; the kernel's work is not. Python's standard library only.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

# Nothing is left beside the sources.
sys.dont_write_bytecode = True

from servers import Failed, run_of
from stage import CALL, DENIED, LIST, REFUSED, SEARCH, Stage

PROGRAM = "benches/instructions.sh"
SAVED = Path(__file__).resolve().parent / "instructions.json"
SCENARIOS = {"tools_call": CALL, "tools_list": LIST, "search": SEARCH, "denial": DENIED, "refusal": REFUSED}
# By how much one may grow, in per cent.
TOLERATED = 10
REQUESTS = 400
# Until records that wait for company are written.
SETTLED = 1


class Counted(Stage):
    """A stage on which Sidegate runs under callgrind, which counts nothing before it is told to."""

    def run_sidegate(self, name, config):
        self.counts = self.directory / "counts"
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={self.counts}"]
        return self.servers.start(name, [*command, os.path.abspath(self.binary), "serve", "--config", str(config)])


def control(server, what):
    done = subprocess.run(["callgrind_control", what, str(server.pid)], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise Failed(f"callgrind_control {what}: {done.stderr or done.stdout}")


def requests(load, count):
    """One after the other on one connection; each answer must be the due one."""
    split = urlsplit(load.url)
    connection = http.client.HTTPConnection(split.hostname, split.port, timeout=60)
    wanted, sign = load.answers
    for _ in range(count):
        connection.request("POST", split.path, load.body.encode(), load.headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status != wanted or sign not in text:
            raise Failed(f"{load.title}: answered {answer.status} where {wanted} with {sign!r} was due:\n{text[:500]}")
    connection.close()


def count(stage, server, load):
    requests(load, 50)  # caches and allocators warm up uncounted
    control(server, "--zero")
    requests(load, REQUESTS)
    time.sleep(SETTLED)
    before = set(stage.directory.glob("counts.*"))
    control(server, "--dump")
    dumped, = set(stage.directory.glob("counts.*")) - before
    total = next(line for line in dumped.read_text(errors="replace").splitlines() if line.startswith("totals:"))
    return round(int(total.split()[1]) / REQUESTS)


def measure(options, directory, servers):
    stage = Counted(directory, servers, options.binary)
    server = stage.sidegate("main")
    control(server, "--instr=on")
    return {name: count(stage, server, stage.load(name, server, request)) for name, request in SCENARIOS.items()}


def compare(found):
    """Prints what has changed, and returns the names of what has grown too much."""
    saved = json.loads(SAVED.read_text()) if SAVED.exists() else {}
    grown = []
    for name, now in found.items():
        before = saved.get(name)
        change = (now - before) / before * 100 if before else 0
        print(f"{name:12}{now:>10,} instructions" + (f", {change:+.1f} % of {before:,}" if before else ", not saved before"))
        if change > TOLERATED:
            grown.append(name)
    return grown


def main():
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=os.environ.get("SIDEGATE_BINARY"), help="the sidegate to measure")
    parser.add_argument("--lacks-binary", action="store_true", help="only say yes if a binary is needed and none is named")
    parser.add_argument("--save", action="store_true", help=f"write {SAVED.name} anew")
    parser.add_argument("--keep", action="store_true", help="leave the directory with configurations, logs and counts")
    options = parser.parse_args()
    if options.lacks_binary:
        print("no" if options.binary else "yes")
        return 0

    with run_of(PROGRAM, options.keep) as (directory, servers):
        found = measure(options, directory, servers)
    grown = compare(found)
    if options.save:
        SAVED.write_text(json.dumps(found, indent=2) + "\n")
    elif grown:
        print(f"{PROGRAM}: more than {TOLERATED} % more: {', '.join(grown)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
