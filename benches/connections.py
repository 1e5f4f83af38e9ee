"""Drives benches/connections.sh: calls alone, and the same calls while idle and slow connections are held.

`sidegate demo` is the PSA and the issuer; measured is a second process, `sidegate serve` on the demo's configuration.
  alone       a few callers, each with one connection, one tools/call after the other;
  held        the same, while half of --idle TLS connections rest in HTTP/1.1 and half in HTTP/2, each after one request,
              and --slow more stay in the middle of a handshake, a header, a body or an answer, a byte a second;
  streams     the same, while --streams event streams (subscriptions/listen) are open, each on a TLS connection.
An idle connection counts as held when it answers a second request at the end. A slow one that Sidegate ends is opened
anew. The load shares the CPUs with Sidegate: compare within one run. Python's standard library only.
"""

import argparse
import http.client
import json
import multiprocessing
import os
import signal
import ssl
import statistics
import sys
import time
from urllib.parse import urlsplit

# Nothing is left beside the sources.
sys.dont_write_bytecode = True

from fixtures import headers, message, tool
from peers import Holder, Idle1, Idle2, Stream1, Target
from servers import Failed, cpu_us, free_ports, resident, run_of, wait_for

ARGUMENTS = {"entryId": "get-_api_v1_tickets", "query": {"limit": 4}}
# What is read slowly is as long as the demo has it.
LONG_ARGUMENTS = {"entryId": "get-_api_v1_tickets", "query": {"limit": 100}}


def call(arguments):
    return tool("call_api_endpoint", arguments)


class Stage:
    """The two processes, and how to reach the one that is measured."""

    def __init__(self, directory, servers, binary):
        if not binary or not os.access(binary, os.X_OK):
            raise Failed(f"there is no Sidegate binary at {binary or '(no --binary)'}")
        binary = os.path.abspath(binary)
        servers.start("demo", [binary, "demo", "--json", "--port", "0"])
        demo = self.ready_line(directory / "demo.log")
        self.port, ops = free_ports(2)
        self.ca_file, self.path = demo["ca_file"], urlsplit(demo["mcp_url"]).path
        self.headers = headers("tools/call", "call_api_endpoint", demo["token"])
        own = {"SERVER__LISTEN": f"127.0.0.1:{self.port}", "OPS__LISTEN": f"127.0.0.1:{ops}", "LOG__FILTER": "warn",
               "ADMIN__LISTEN": "[]",
               "STORE__URL": f"sqlite://{directory}/sidegate.db", "SINKS": f'[{{kind = "file", path = "{directory}/audit.jsonl"}}]',
               # The agent's own bounds are not what is measured.
               "LIMITS__CALLS_PER_MINUTE": "0", "LIMITS__CALLS_IN_FLIGHT": "0", "LIMITS__STREAMS": "0",
               "SERVER__MAX_CONNECTIONS": "20000"}
        os.environ.update({f"SIDEGATE__{key}": value for key, value in own.items()})
        sidegate = servers.start("sidegate", [binary, "serve", "--config", demo["config_file"]])
        wait_for(servers, "sidegate", sidegate, f"http://127.0.0.1:{ops}/readyz")
        self.pid = sidegate.pid

    @staticmethod
    def ready_line(log):
        until = time.monotonic() + 30
        while time.monotonic() < until:
            if (text := log.read_text()).endswith("\n"):
                return json.loads(text.splitlines()[0])
            time.sleep(0.05)
        raise Failed(f"the demo was not ready within 30 s:\n{log.read_text()}")

    def post(self, length=None):
        """A call's head and body as HTTP/1.1 has them; with `length` the head of one with such a body."""
        body = "" if length else call(LONG_ARGUMENTS)
        fields = {"host": f"localhost:{self.port}", **self.headers, "content-length": length or len(body)}
        lines = [f"POST {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", body]
        return "\r\n".join(lines).encode()

    def listen(self):
        """What opens a stream of changes."""
        body = message("subscriptions/listen", notifications={"toolsListChanged": True})
        fields = {**self.headers, **headers("subscriptions/listen"), "host": f"localhost:{self.port}", "content-length": len(body)}
        del fields["Mcp-Name"]
        lines = [f"POST {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", body]
        return "\r\n".join(lines).encode()

    def target(self):
        metadata = f"/.well-known/oauth-protected-resource{self.path}"
        return Target("localhost", self.port, self.ca_file, metadata, self.post, self.listen)


class Caller:
    """One connection and one call after the other."""

    def __init__(self, port, path, headers, ca_file):
        self.path, self.headers, self.body = path, headers, call(ARGUMENTS)
        context = ssl.create_default_context(cafile=ca_file)
        self.connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=60)

    def once(self):
        """What went wrong, or None."""
        try:
            self.connection.request("POST", self.path, self.body, self.headers)
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            return repr(error)
        good = answer.status == 200 and b'"isError":true' not in text and b'"result"' in text
        return None if good else f"{answer.status} {text[:200]!r}"


def call_for(how, seconds):
    """Runs in a process of its own: the seconds each call took, and what went wrong."""
    caller = Caller(*how)
    took, failures = [], []
    until = time.monotonic() + seconds
    while (began := time.monotonic()) < until:
        if wrong := caller.once():
            failures.append(wrong)
        else:
            took.append(time.monotonic() - began)
    caller.connection.close()
    return took, failures


def drive(stage, pool, options):
    how = (stage.port, stage.path, stage.headers, stage.ca_file)
    before = cpu_us([stage.pid])
    results = pool.starmap(call_for, [(how, options.seconds)] * options.callers)
    used = cpu_us([stage.pid]) - before
    took = sorted(one for latencies, _ in results for one in latencies)
    failures = [one for _, failed in results for one in failed]
    if len(took) < 10:
        raise Failed(f"hardly a call was answered: {failures[:3]}")
    return {
        "calls": len(took),
        "failures": failures,
        "rps": len(took) / options.seconds,
        "p50": took[len(took) // 2],
        "p99": took[len(took) * 99 // 100],
        "cpu": used / len(took),
    }


def opened(stage, options, memory, streams=False):
    """All connections, and in `memory` what each of a kind has added to the process, in bytes."""
    holder = Holder(stage.target())

    def measured(name, count, opening):
        before = resident(stage.pid)
        opening()
        time.sleep(0.5)  # the last of them settle
        memory.setdefault(name, []).append((resident(stage.pid) - before) / max(count, 1))

    if streams:
        measured("stream", options.streams, lambda: holder.open_idle(Stream1, options.streams))
        holder.hold()
        return holder
    half = options.idle // 2
    measured("http/1.1", half, lambda: holder.open_idle(Idle1, half))
    measured("h2", options.idle - half, lambda: holder.open_idle(Idle2, options.idle - half))
    measured("slow", options.slow, lambda: holder.open_slow(options.slow))
    holder.hold()
    return holder


def measure(options, directory, servers):
    # Made first: they shall not inherit the connections. A pool ends its workers with SIGTERM, and one that only noted
    # the signal could wait on.
    fork = multiprocessing.get_context("fork")
    with fork.Pool(options.callers, signal.signal, (signal.SIGTERM, signal.SIG_DFL)) as pool:
        stage = Stage(directory, servers, options.binary)
        drive(stage, pool, options)  # connections, caches and allocators warm up unmeasured
        rounds, memory, lost, ended = {"alone": [], "held": [], "streams": []}, {}, [], {}
        for _ in range(options.rounds):
            rounds["alone"].append(drive(stage, pool, options))
            holder = opened(stage, options, memory)
            rounds["held"].append(drive(stage, pool, options))
            lost += holder.release()
            ended = {kind: ended.get(kind, 0) + count for kind, count in holder.ended.items()}
            holder = opened(stage, options, memory, streams=True)
            rounds["streams"].append(drive(stage, pool, options))
            lost += holder.release()
    report = {"idle": options.idle, "slow": options.slow, "open_streams": options.streams, "callers": options.callers, "rounds": options.rounds,
              "seconds": options.seconds, **{name: summarise(found) for name, found in rounds.items()}}
    for name in ("held", "streams"):
        shares = {key: round(report[name][key] / report["alone"][key], 2) for key in ("rps", "p50_ms", "p99_ms", "cpu_us")}
        report[name]["ratio"] = shares
    # Later rounds reuse what the first has taken.
    report["bytes_per_connection"] = {name: round(found[0]) for name, found in memory.items()}
    report |= {"idle_lost": len(lost), "lost_because": sorted(set(lost))[:3], "slow_ended": ended}
    return report


def summarise(rounds):
    def middle(field):
        return statistics.median(one[field] for one in rounds)

    failures = [failure for one in rounds for failure in one["failures"]]
    return {
        "calls": sum(one["calls"] for one in rounds),
        "failed": len(failures),
        "failed_because": sorted(set(failures))[:3],
        "rps": round(middle("rps")),
        "p50_ms": round(middle("p50") * 1000, 2),
        "p99_ms": round(middle("p99") * 1000, 2),
        "cpu_us": round(middle("cpu")),
    }


def table(report):
    print(f"{'':34}{'calls/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'CPU us/call':>13}{'calls':>9}{'failed':>8}")
    held = f"{report['idle']:,} idle and {report['slow']:,} slow held"
    streams = f"{report['open_streams']:,} event streams open"
    for title, row in (("calls alone", report["alone"]), (held, report["held"]), (streams, report["streams"])):
        print(f"{title:34}{row['rps']:>9,}{row['p50_ms']:>9.2f}{row['p99_ms']:>9.2f}{row['cpu_us']:>13,}{row['calls']:>9,}{row['failed']:>8}")
        if ratio := row.get("ratio"):
            print(f"{'  of alone':34}{ratio['rps']:>8.2f}x{ratio['p50_ms']:>8.2f}x{ratio['p99_ms']:>8.2f}x{ratio['cpu_us']:>12.2f}x")
    print("memory per connection: " + ", ".join(f"{name} {size / 1024:.0f} KiB" for name, size in report["bytes_per_connection"].items()))
    print(f"idle connections and streams lost: {report['idle_lost']}; slow ones ended by Sidegate and opened anew: "
          + ", ".join(f"{kind} {count}" for kind, count in report["slow_ended"].items()))
    print(f"median of {report['rounds']} alternating rounds of {report['seconds']} s, {report['callers']} callers; "
          f"{os.cpu_count()} CPUs shared by load, Sidegate and the demo PSA")


def main():
    parser = argparse.ArgumentParser(prog="benches/connections.sh", description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=os.environ.get("SIDEGATE_BINARY"), help="the sidegate to measure")
    parser.add_argument("--lacks-binary", action="store_true", help="only say yes if a binary is needed and none is named")
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of the table")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="length of each measurement")
    parser.add_argument("--idle", type=int, default=2000, help="idle connections, half of them HTTP/2")
    parser.add_argument("--slow", type=int, default=200, help="slow connections of all kinds together")
    parser.add_argument("--streams", type=int, default=2000, help="event streams")
    parser.add_argument("--callers", type=int, default=4)
    options = parser.parse_args()
    if options.lacks_binary:
        print("no" if options.binary else "yes")
        return 0

    with run_of("benches/connections.sh") as (directory, servers):
        os.environ["TMPDIR"] = str(directory)
        report = measure(options, directory, servers)
    if options.json:
        print(json.dumps(report))
    else:
        table(report)
    return 1 if report["idle_lost"] + sum(report[name]["failed"] for name in ("alone", "held", "streams")) else 0


if __name__ == "__main__":
    sys.exit(main())
