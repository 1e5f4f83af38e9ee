"""Drives benches/compare/run.sh: loads the servers in turn and reads what CPU time each one used.

All stand in front of the same stub, an nginx that answers a fixed JSON of 0.8 kB, and get the same JSON-RPC POST with a
bearer token; nginx passes it on as it is. Each Sidegate has a registry of 790 entries. In each round each load has its turn
  - with --connections connections and with one, each with one request after the other (wrk; h2load for HTTP/2);
  - in an open loop of --rate requests a second in all, over HTTP/1.1 without TLS (openloop.py).
CPU is what the kernel counts for all processes of the server under test: waiting does not count, a crowded cache does, so
compare ratios within one run. A ratio is to nginx over the same transport; figures are medians of the rounds.

The five figures:
  ratio_tools_call, ratio_tools_list, ratio_refusal   CPU per request with --connections connections, of nginx's;
  p50_added_us   p50 of tools/call at one connection, less that of the same request to the stub at one connection;
  p99_ratio      (call's p99 - the stub's) / (nginx's p99 - the stub's) in the open loop; but call's p99 / nginx's p99 where
                 what nginx adds is no more than the stub's own p99 varies between the rounds (p99_ratio_of says which).
"""

import argparse
import json
import os
import signal
import statistics
import sys
import time
from pathlib import Path

# Nothing is left beside the sources.
sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import gateways
import plot
from figures import at_rest
from fixtures import tool
from loads import Load, drive, percentile
from openloop import open_loop
from scenarios import SCENARIOS, staged
from servers import Failed, http, resident, run_of
from stage import CALL, READ, Server

PROGRAM = "benches/compare/run.sh"
# Requests of one measurement where each has a token of its own, and of each load in one round of the open loop.
TOKENS = 2000
SAMPLES = 800
# Connections and streams that are held for their memory.
HELD = 500
# --quick: what is loaded with several connections, with one, and in the open loop; and within how many seconds it ends.
QUICK = (["nginx", "call", "list", "refusal"], ["direct", "call"], ["direct", "nginx", "call"])
QUICK_SECONDS = 46
FIGURES = ("ratio_tools_call", "ratio_tools_list", "ratio_refusal", "p50_added_us", "p99_ratio")


def peer_loads(stage, name, path):
    """What another gateway is asked: the same call, its list of tools, and a refusal."""
    process, url = gateways.started(name, path, stage)
    server = Server(process, {"h1": url})
    bearer = {"Authorization": f"Bearer {stage.token(url)}"}
    fields = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
              "MCP-Protocol-Version": gateways.REVISION}
    call = json.loads(tool(READ, {"query": {"limit": 4}}))
    del call["params"]["_meta"]
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    asked = (("call", "tools/call", call, bearer, CALL[3]), ("list", "tools/list", listing, bearer, (200, READ)),
             ("refusal", "refusal (401)", call, {}, (401, "")))
    return [Load(f"{name}-{kind}", f"{name}, {title}", server, url, fields | own, json.dumps(body), answers, "nginx")
            for kind, title, body, own, answers in asked]


class Bench:
    def __init__(self, options, directory, servers):
        self.options, self.directory = options, directory
        self.began = time.monotonic()
        self.stage, self.loads = staged(directory, servers, options.binary, options.only)
        for name, path in options.peer:
            self.loads += peer_loads(self.stage, name, path)
        self.by_name = {load.name: load for load in self.loads}
        several, alone, opened = QUICK if options.quick else [list(self.by_name)] * 3
        plain = [self.by_name[name] for name in opened if name in self.by_name]
        self.several = [self.by_name[name] for name in several if name in self.by_name]
        self.alone = [self.by_name[name] for name in alone if name in self.by_name]
        self.opened = [load for load in plain if load.url.startswith("http:")]
        self.late = []

    def fixed(self, load, kind, connections, seconds):
        before = self.stage.upstream_calls()
        found = drive(load, self.directory, connections, seconds, TOKENS)
        found["upstream"] = (self.stage.upstream_calls() - before - 1) / found["requests"]
        load.measured.setdefault(kind, []).append(found)

    def open(self):
        tracks, late = open_loop(self.opened, self.options.rate, SAMPLES * len(self.opened) / self.options.rate)
        self.late.append(late)
        for track in tracks:
            found = {"requests": len(track.latencies), "unexpected": track.unexpected, "errors": 0,
                     "p50_us": percentile(track.latencies, 0.50), "p99_us": percentile(track.latencies, 0.99)}
            track.load.measured.setdefault("open", []).append(found)

    def round(self):
        for load in self.several:
            self.fixed(load, "several", self.options.connections, self.options.seconds)
        for load in self.alone:
            self.fixed(load, "alone", 1, self.options.seconds)
        if self.opened:
            self.open()

    def run(self):
        for load in self.loads:
            load.check()
        for load in self.several:  # connections, caches and allocators warm up unmeasured
            drive(load, self.directory, self.options.connections, 1, TOKENS)
        rounds, took = 0, 0
        while rounds < self.options.rounds:
            began = time.monotonic()
            # A further round only where there is time for it, and for the end.
            if self.options.quick and rounds and began + took * 1.1 + 3 > self.began + QUICK_SECONDS:
                break
            self.round()
            rounds, took = rounds + 1, time.monotonic() - began
        return self.report(rounds)

    def report(self, rounds):
        rows = {load.name: summarise(load) for load in self.loads}
        for load in self.loads:
            base = rows.get(load.reference, {}).get("several")
            if base and (own := rows[load.name].get("several")):
                own["ratio_to_nginx"] = round(own["cpu_us"] / base["cpu_us"], 2)
        ratio, of = p99_ratio(self.by_name)
        figures = {"p50_added_us": added(rows, "direct", "call"), "p99_ratio": ratio, "p99_ratio_of": of}
        for key, name in (("tools_call", "call"), ("tools_list", "list"), ("refusal", "refusal")):
            figures[f"ratio_{key}"] = rows.get(name, {}).get("several", {}).get("ratio_to_nginx")
        options = self.options
        report = {**figures, "rounds": rounds, "seconds": options.seconds, "connections": options.connections,
                  "rate": options.rate, "generator_late_p99_us": round(statistics.median(self.late)) if self.late else None, "scenarios": rows}
        if not options.quick:
            if "call" in self.by_name:
                report["key_mints"] = key_mints(self.by_name["call"].server)
                report["run_seconds"] = round(time.monotonic() - self.began)
            for load in self.loads:
                if load.name in {f"{name}-call" for name, _ in options.peer}:
                    rows[load.name]["resident_bytes"] = resident(load.server.pid)
            if {"call", "call-tls"} <= self.by_name.keys():
                loads = {"main": self.by_name["call"], "tls": self.by_name["call-tls"]}
                report["at_rest"] = at_rest(self.stage, loads, HELD)
        return report


def summarise(load):
    row = {"title": load.title.strip()}
    for kind, rounds in load.measured.items():
        measured = rounds[0].keys() - COUNTED
        row[kind] = {key: round(statistics.median(one[key] for one in rounds), 2) for key in sorted(measured)}
        row[kind] |= {key: sum(one[key] for one in rounds) for key in COUNTED}
    return row


COUNTED = {"requests", "unexpected", "errors"}


def added(rows, base, name):
    both = [rows.get(one, {}).get("alone") for one in (base, name)]
    return round(both[1]["p50_us"] - both[0]["p50_us"], 1) if all(both) else None


def p99_ratio(loads):
    """As the head of this file has it, and which of both it is."""
    names = ("direct", "nginx", "call")
    if not all(name in loads and "open" in loads[name].measured for name in names):
        return None, None
    rounds = [[one["p99_us"] for one in loads[name].measured["open"]] for name in names]
    direct, nginx, call = map(statistics.median, rounds)
    # Of one round it is not known.
    varies = max(rounds[0]) - min(rounds[0]) if len(rounds[0]) > 1 else nginx
    if nginx - direct > varies:
        return round((call - direct) / (nginx - direct), 2), "added"
    return round(call / nginx, 2), "whole"


def key_mints(server):
    """How many keys were obtained for the one agent, in all these calls."""
    lines = http(f"http://127.0.0.1:{server.ops}/metrics")[1].splitlines()
    found = [line for line in lines if line.startswith("sidegate_key_mints_total{") and 'outcome="ok"' in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in found)


def table(loads, report, connections):
    groups = (("CPU us", "of nginx", "req/s", "p50 us", "p99 us"), ("CPU us", "p50 us", "added us"), ("p50 us", "p99 us"))
    heads = [f"{connections} connections", "one connection", "open loop"]
    print(f"{'':30}|" + "|".join(f" {head:<{10 * len(group)}}" for head, group in zip(heads, groups)) + "|")
    print(f"{'':30}|" + "|".join("".join(f"{name:>10}" for name in group) + " " for group in groups) + f"|{'upstream':>10}{'wrong':>7}")
    for load in loads:
        row = report["scenarios"][load.name]
        several, alone, opened = (row.get(kind, {}) for kind in ("several", "alone", "open"))
        plus = added(report["scenarios"], "direct", load.name)
        wrong = sum(part.get("unexpected", 0) + part.get("errors", 0) for part in (several, alone, opened))
        cells = [number(several.get("cpu_us"), 1), number(several.get("ratio_to_nginx"), 2), number(several.get("rps")),
                 number(several.get("p50_us")), number(several.get("p99_us")), " |", number(alone.get("cpu_us"), 1),
                 number(alone.get("p50_us")), number(plus), " |", number(opened.get("p50_us")), number(opened.get("p99_us")),
                 " |", number(several.get("upstream", alone.get("upstream")), 2), f"{wrong:>7}"]
        print(f"{load.title:30}|" + "".join(cells))
    print(f"median of {report['rounds']} alternating rounds of {report['seconds']} s; open loop of {report['rate']} requests/s in "
          f"all, the generator late by {report['generator_late_p99_us']} us at p99; {os.cpu_count()} CPUs shared by load, "
          "servers and stub")
    print("; ".join(f"{name} {report[name]}" for name in FIGURES) + f" ({report['p99_ratio_of']})")
    if "key_mints" in report:
        print(f"keys obtained for the one agent in {report['run_seconds']} s: {report['key_mints']:.0f}")
    if rest := report.get("at_rest"):
        held = ", ".join(f"{name.replace('_', ' ')} {size / 1024:.1f}" for name, size in rest["held_bytes"].items())
        print(f"at rest: {rest['base_bytes'] / 2**20:.1f} MiB; KiB each: {held}; "
              f"first call {rest['first_call_ms']} ms after the start")


def number(value, digits=0):
    return f"{'-':>10}" if value is None else f"{value:>10,.{digits}f}"


def chosen(text):
    names = text.split(",")
    if unknown := set(names) - SCENARIOS.keys():
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: not among {', '.join(SCENARIOS)}")
    return set(names)


def peer(text):
    try:
        return gateways.named(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def too_long(*_):
    raise Failed(f"--quick was not done within {QUICK_SECONDS + 2} s: this machine is too busy to measure on")


def arguments():
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=os.environ.get("SIDEGATE_BINARY"), help="the sidegate to measure")
    parser.add_argument("--lacks-binary", action="store_true", help="only say yes if a binary is needed and none is named")
    parser.add_argument("--quick", action="store_true", help="the five figures alone, within 50 s, with a binary that is there")
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of the table")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write a picture (SVG) of CPU per request")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="length of each measurement; 1 with --quick")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rate", type=int, default=900, help="requests a second of the open loop")
    parser.add_argument("--only", type=chosen, default=set(SCENARIOS), help=f"of {','.join(SCENARIOS)}")
    parser.add_argument("--peer", type=peer, action="append", default=[], metavar="NAME=PATH",
                        help=f"another gateway's binary: {', '.join(gateways.KNOWN)}")
    parser.add_argument("--keep", action="store_true", help="leave the directory with configurations and logs")
    options = parser.parse_args()
    if options.quick:
        options.only, options.seconds = set().union(*QUICK), 1
    return options


def main():
    options = arguments()
    if options.lacks_binary:
        needed = any(SCENARIOS[name][1] not in ("stub", "nginx") for name in options.only)
        print("no" if options.binary or not needed else "quick" if options.quick else "yes")
        return 0

    if options.quick:
        signal.signal(signal.SIGALRM, too_long)
        signal.alarm(QUICK_SECONDS + 2)
    with run_of(PROGRAM, options.keep, patience=1 if options.quick else 10) as (directory, servers):
        try:
            bench = Bench(options, directory, servers)
            report = bench.run()
            if options.plot:
                options.plot.write_text(plot.svg(bench.loads, report))
        finally:
            signal.alarm(0)
    if options.json:
        print(json.dumps({name: report[name] for name in FIGURES} if options.quick else report))
    else:
        table(bench.loads, report, options.connections)
    rows = report["scenarios"].values()
    wrong = sum(part["unexpected"] + part["errors"] for row in rows for part in row.values() if isinstance(part, dict))
    if wrong:
        print(f"{PROGRAM}: {wrong} answers were not what was due; the figures do not count", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
