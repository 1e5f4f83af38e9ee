"""Drives benches/growth.sh: the same calls while one thing grows, and what each size costs beside the smallest.

  agents       10 to 100,000 in the table; calls of one, and tools/list of up to 2,000 of them in turn
  entries      790 to 20,000 of the catalogue; a call, a search, tools/list
  responses    1 kB to 4 MB of one answer, through nginx and through a call
  connections  1 to 5,000 that rest between two requests, beside the calls
  streams      1 to 5,000 event streams that stay open, beside the calls
  replicas     1 to 4 Sidegates on one PostgreSQL, 8 connections among them; CPU of PostgreSQL beside it
  soak         a mixed load in an open loop for --soak seconds; memory, descriptors and latencies per minute

All sizes of a row are up at the same time and measured in turn; the figures are medians of the rounds. CPU is what the
kernel counts for the process. Python's standard library only.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Nothing is left beside the sources.
sys.dont_write_bytecode = True

import fixtures
from figures import HELD, target
from loads import Load, drive, percentile
from openloop import open_loop
from peers import Holder
from servers import Failed, cpu_us, family, resident, run_of
from stage import CALL, DENIED, LIST, REFUSED, SEARCH, Stage

PROGRAM = "benches/growth.sh"
SIZES = {
    "agents": [10, 1_000, 100_000],
    "entries": [790, 5_000, 20_000],
    "responses": [1_000, 16_000, 256_000, 4_000_000],
    "connections": [1, 100, 1_000, 5_000],
    "streams": [1, 100, 1_000, 5_000],
    "replicas": [1, 2, 4],
}
QUICK = {
    "agents": [10, 1_000],
    "entries": [790, 5_000],
    "responses": [1_000, 256_000],
    "connections": [1, 200],
    "streams": [1, 200],
    "replicas": [1, 2],
}
CONNECTIONS = 8
# Tokens that take turns, at most.
POOL = 2_000


class Row:
    """What is measured of one thing: for each size its loads by name, and figures that were taken while it was set up.
    Several loads of one name are driven at the same time, and share the connections."""

    def __init__(self, options, directory, servers, name):
        self.options, self.directory, self.servers = options, directory, servers
        self.sizes = (QUICK if options.quick else SIZES)[name]
        self.cells, self.figures, self.beside, self.holders = {}, {size: {} for size in self.sizes}, {}, []

    def stage(self, name, **more):
        directory = self.directory / str(name)
        directory.mkdir()
        return Stage(directory, self.servers.within(directory), self.options.binary, **more)

    def started(self, size, stage, name, **more):
        """A Sidegate, how long it took to be ready, and its memory then."""
        began = time.monotonic()
        server = stage.sidegate(name, **more)
        self.figures[size]["ready_ms"] = (time.monotonic() - began) * 1000
        self.figures[size]["resident_mib"] = resident(server.pid) / 2**20
        return server

    def add(self, size, *loads):
        for load in loads:
            load.check()
            self.cells.setdefault((size, load.name), []).append(load)

    def measure(self):
        found = {}
        for round_number in range(self.options.rounds + 1):  # the first warms up
            for (size, name), loads in self.cells.items():
                beside = self.beside.get(size)
                before = cpu_us(family(beside)) if beside else 0
                result = together(loads, self.directory, self.options.seconds if round_number else 1)
                if beside:
                    result["postgres_cpu_us"] = (cpu_us(family(beside)) - before) / result["requests"]
                if round_number:
                    found.setdefault((size, name), []).append(result)
        for (size, name), rounds in found.items():
            for key in rounds[0]:
                take = sum if key in ("requests", "unexpected", "errors") else statistics.median
                self.figures[size][f"{name} {key}"] = take(one[key] for one in rounds)
        for holder in self.holders:
            if lost := holder.release():
                raise Failed(f"{len(lost)} connections were lost: {lost[0]}")
        return self.figures


def together(loads, directory, seconds):
    def one(numbered):
        number, load = numbered
        own = directory / f"load-{number}"
        own.mkdir(exist_ok=True)
        return drive(load, own, CONNECTIONS // len(loads), seconds, POOL)

    with ThreadPoolExecutor(len(loads)) as pool:
        results = list(pool.map(one, enumerate(loads)))
    total = {key: sum(one[key] for one in results) for key in ("requests", "rps", "unexpected", "errors")}
    cpu = sum(one["cpu_us"] * one["requests"] for one in results) / total["requests"]
    middle = {key: statistics.median(one[key] for one in results) for key in ("p50_us", "p99_us")}
    return {"cpu_us": cpu, **middle, **total}


def agents(row):
    stage = row.stage("stage")
    for size in row.sizes:
        names = [f"agent-{number}" for number in range(size - 1)]
        more = (f'[[agents]]\nname = "{name}"\nissuer = "{stage.stub}"\nsubject = "{name}"\n' for name in names)
        server = row.started(size, stage, str(size), agents="\n".join(more))
        url = server.urls["h1"]
        # Spread over the whole crowd.
        pool = [stage.token(url, subject=name) for name in names[:: max(1, len(names) // POOL)]]
        listing = stage.load("list", server, LIST)
        many = Load("list-by-many", "tools/list of many", server, url, listing.headers, listing.body, LIST[3],
                    tokens=lambda count, pool=pool: pool, cycles=True)
        row.add(size, stage.load("call", server, CALL), many, stage.load("new-es256", server, CALL, algorithm="ES256"))


def entries(row):
    for size in row.sizes:
        stage = row.stage(size, entries=size)
        server = row.started(size, stage, "main")
        kinds = (("call", CALL), ("search", SEARCH), ("list", LIST))
        row.add(size, *(stage.load(name, server, request) for name, request in kinds))


def responses(row):
    more = [fixtures.entry("get", f"/api/v1/blobs-{size}", "Get blobs") for size in row.sizes]
    # A POST, as nginx gets it here, is no way to read a file.
    location = "location = /api/v1/blobs-{0} {{ error_page 405 =200 $uri; try_files /blob-{0}.json =404; }}\n"
    locations = "".join(location.format(size) for size in row.sizes)
    stage = row.stage("stage", more=more, locations=locations)
    proxy, server = stage.nginx(), stage.sidegate("main")
    for size, entry in zip(row.sizes, more):
        (stage.directory / "stub" / f"blob-{size}.json").write_text(blob(size))
        own = stage.load("call", server, (*CALL[:2], {"entryId": entry["id"]}, CALL[3]))
        url = proxy.urls["h1"].replace("tickets", f"blobs-{size}")
        row.add(size, Load("nginx", "nginx", proxy, url, own.headers, own.body, own.answers), own)


def blob(size):
    """So many bytes in the PSA's list shape."""
    text = fixtures.tickets_body()
    data = json.loads(text)["data"]
    rows = [json.dumps({**data[number % 4], "ticket_number": f"TIC{1000 + number}"}, separators=(",", ":"))
            for number in range(max(1, size // 210))]
    body = '{"data":[' + ",".join(rows) + "]}"
    while len(body) > size and len(rows) > 1:
        rows.pop()
        body = '{"data":[' + ",".join(rows) + "]}"
    return body + " " * (size - len(body))


def held(row, kind):
    stage = row.stage("stage")
    for size in row.sizes:
        server = row.started(size, stage, str(size))
        load = stage.load("call", server, CALL)
        load.check()
        before = resident(server.pid)
        holder = Holder(target(load))
        holder.open_idle(kind, size)
        holder.hold()
        time.sleep(1)
        if size >= 1_000:  # fewer live in what the start has left over
            row.figures[size]["each_kib"] = (resident(server.pid) - before) / size / 1024
        row.holders.append(holder)
        row.add(size, load)


def connections(row):
    held(row, HELD["keep_alive"][1])


def streams(row):
    held(row, HELD["stream"][1])


def replicas(row):
    bin_directory = postgres_programs()
    for size in row.sizes:
        stage = row.stage(size)
        url, database = postgres(stage, bin_directory)
        for number in range(size):
            server = row.started(size, stage, str(number), store=url)
            row.add(size, stage.load("call", server, CALL))
        row.beside[size] = database.pid


def postgres_programs():
    found = [Path(shutil.which(name)).resolve().parent for name in ("initdb",) if shutil.which(name)]
    found += [path.parent for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)]
    if not found:
        raise Failed("replicas need PostgreSQL: install Debian's package postgresql, or leave replicas out with --only")
    return found[0]


def postgres(stage, programs):
    """A server of its own, on a socket alone; it refuses to run as root."""
    directory, user = stage.directory / "postgres", "nobody" if os.geteuid() == 0 else None
    directory.mkdir()
    if user:
        shutil.chown(directory, user)
        # So that it gets there.
        for above in (stage.directory, *stage.directory.parents[:2]):
            if above != Path(tempfile.gettempdir()):
                above.chmod(0o711)
    data = str(directory / "data")
    command = [str(programs / "initdb"), "--username=sidegate", "--auth=trust", "--locale=C", "--encoding=UTF8", "-D", data]
    made = stage.servers.start("initdb", command, user)
    if made.wait(60):
        raise Failed(f"initdb failed:\n{stage.servers.log('initdb')}")
    command = [str(programs / "postgres"), "-D", data, "-k", str(directory), "-c", "listen_addresses=", "-c", "max_connections=200"]
    process = stage.servers.start("postgres", command, user)
    until = time.monotonic() + 30
    while "ready to accept connections" not in stage.servers.log("postgres"):
        if process.poll() is not None or time.monotonic() > until:
            raise Failed(f"PostgreSQL did not start:\n{stage.servers.log('postgres')}")
        time.sleep(0.05)
    return f"postgres://sidegate@localhost/postgres?host={directory}", process


def soak(options, directory, servers):
    """One line a minute, and whether the last quarter is like the second: the first is for caches and pools to fill."""
    home = directory / "soak"
    home.mkdir()
    stage = Stage(home, servers.within(home), options.binary)
    server = stage.sidegate("main")
    kinds = {"call": CALL, "search": SEARCH, "list": LIST, "denial": DENIED, "refusal": REFUSED}
    loads = [stage.load(name, server, request) for name, request in kinds.items()]
    loads.append(stage.load("new-es256", server, CALL, algorithm="ES256"))
    for load in loads:
        load.check()
    window, rows = max(2, min(60, options.soak // 8)), []
    say(f"soak: {options.rate} requests a second for {options.soak} s")
    say(f"{'':>8}{'MiB':>9}{'files':>7}{'p50 us':>9}{'p99 us':>9}{'wrong':>7}")
    until = time.monotonic() + options.soak
    while time.monotonic() < until:
        for load in loads:
            if "Authorization" in load.headers:
                load.headers["Authorization"] = f"Bearer {stage.token(load.url)}"
        tracks, _ = open_loop(loads, options.rate, window)
        took = sorted(latency for track in tracks for latency in track.latencies)
        now = {"resident_mib": resident(server.pid) / 2**20, "files": len(os.listdir(f"/proc/{server.pid}/fd")),
               "p50_us": percentile(took, 0.50), "p99_us": percentile(took, 0.99),
               "wrong": sum(track.unexpected for track in tracks)}
        say(f"{len(rows) * window + window:>6} s{now['resident_mib']:>9.1f}{now['files']:>7}{now['p50_us']:>9.0f}"
            f"{now['p99_us']:>9.0f}{now['wrong']:>7}")
        rows.append(now)
    quarter = max(1, len(rows) // 4)
    verdict = {}
    for key, most in (("resident_mib", 1.1), ("files", 1.1), ("p50_us", 1.25), ("p99_us", 1.5)):
        parts = (rows[quarter : 2 * quarter] or rows, rows[-quarter:])
        early, late = (statistics.median(row[key] for row in part) for part in parts)
        verdict[key] = {"ratio": round(late / early, 2), "flat": late <= early * most}
    return {"windows": rows, "verdict": verdict, "wrong": sum(row["wrong"] for row in rows)}


def say(line):
    print(line, file=sys.stderr, flush=True)


ROWS = {row.__name__: row for row in (agents, entries, responses, connections, streams, replicas)}
COUNTED = ("requests", "unexpected", "errors", "rps")


def table(name, figures):
    keys = [key for key in next(reversed(figures.values())) if not key.endswith(COUNTED)]
    first = next(iter(figures.values()))
    print(f"\n{name:30}" + "".join(f"{size:>22,}" for size in figures))
    for key in keys:
        cells = []
        for found in figures.values():
            value, base = found.get(key), first.get(key)
            ratio = f"{value / base:.2f}x" if value is not None and base else ""
            cells.append(f"{'-' if value is None else format(value, ',.1f'):>14}{ratio:>8}")
        print(f"  {key.replace('_', ' '):28}" + "".join(cells))


def chosen(text):
    names = text.split(",")
    if unknown := set(names) - {*ROWS, "soak"}:
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: not among {', '.join([*ROWS, 'soak'])}")
    return names


def arguments():
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=os.environ.get("SIDEGATE_BINARY"), help="the sidegate to measure")
    parser.add_argument("--needs", action="store_true", help="only say what is needed: a binary, PostgreSQL")
    parser.add_argument("--quick", action="store_true", help="two small sizes of each, and a short soak")
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of the tables")
    parser.add_argument("--only", type=chosen, default=[*ROWS, "soak"], help=f"of {','.join([*ROWS, 'soak'])}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="length of each measurement")
    parser.add_argument("--soak", type=int, default=3600, metavar="SECONDS", help="how long the soak is; 20 with --quick")
    parser.add_argument("--rate", type=int, default=200, help="requests a second of the soak")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.soak = 1, 1, min(options.soak, 20)
    return options


def main():
    options = arguments()
    if options.needs:
        print("" if options.binary else "binary", "postgres" if "replicas" in options.only else "")
        return 0
    report, wrong = {}, 0
    with run_of(PROGRAM) as (directory, servers):
        for name in options.only:
            if name == "soak":
                report[name] = soak(options, directory, servers)
                wrong += report[name]["wrong"]
            else:
                home = directory / name
                home.mkdir()
                row = Row(options, home, servers, name)
                ROWS[name](row)
                report[name] = row.measure()
                wrong += sum(value for found in report[name].values() for key, value in found.items()
                             if key.endswith(("errors", "unexpected")))
            servers.stop()
            if not options.json and name != "soak":
                table(name, report[name])
    if options.json:
        print(json.dumps(report))
    elif "soak" in report:
        verdict = report["soak"]["verdict"].items()
        print("\nsoak, its last quarter beside its second: " + "; ".join(
            f"{key.replace('_', ' ')} {found['ratio']:.2f}x, {'flat' if found['flat'] else 'not flat'}" for key, found in verdict))
    if wrong:
        print(f"{PROGRAM}: {wrong} answers were not what was due; the figures do not count", file=sys.stderr)
    grew = "soak" in report and not all(found["flat"] for found in report["soak"]["verdict"].values())
    return 1 if wrong or grew else 0


if __name__ == "__main__":
    sys.exit(main())
