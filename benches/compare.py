"""Drives benches/compare.sh: starts the three servers, loads them in turn and reads what CPU time each one used.

What is compared. Both proxies stand in front of the same stub, an nginx that answers a fixed JSON of 0.8 kB, and both
get the same kind of request, a JSON-RPC POST with a bearer token over kept-alive plaintext connections:
  nginx       passes it on as it is;
  call        Sidegate: tools/call of get-_api_v1_tickets, with everything on (token cache, binding, schema, policy,
              key, the record in SQLite and carried to a file), one upstream GET per call;
  record      the same with the record in SQLite alone;
  bare        the same with next to nothing recorded (durability relaxed, and room for one record);
  list        Sidegate: tools/list, answered without an upstream call.
CPU is utime + stime of all processes of the server under test: waiting does not count, a crowded cache does, so compare
ratios within one run.

It knows Sidegate by its command line, its configuration file and its metrics alone. Python's standard library only.
"""

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Nothing is left beside the sources.
sys.dont_write_bytecode = True

from fixtures import NGINX, PROXY, SIDEGATE, STUB, TENANT, registry, signing_key, tickets_body, token
from servers import Failed, Servers, cpu_us, family, free_ports, http, wait_for

CALLS_FOR_ONE_MINT = 1000

REVISION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": REVISION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "sidegate-bench", "version": "1"},
}


def message(method, **params):
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}})


# What the record of each Sidegate is like, by the name of its load: a title, and its part of the configuration.
RECORDS = {
    "call": ("tools/call", '[[sinks]]\nkind = "file"\npath = "{home}/audit.jsonl"\n'),
    "record": ("no sink", ""),
    "bare": ("no record", '[audit]\ndurability = "relaxed"\nqueue = 1\n'),
}
MEASURED = {"nginx", "list", *RECORDS}

CALL_ARGUMENTS = {"entryId": "get-_api_v1_tickets", "query": {"limit": 4}}


class Load:
    """One kind of request against one server."""

    def __init__(self, name, title, url, pid, bearer, body, extra):
        self.name, self.title, self.url, self.pid, self.body = name, title, url, pid, body
        self.headers = {
            "Authorization": f"Bearer {bearer}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": REVISION,
            **extra,
        }
        self.measured = []

    def script(self, directory):
        file = directory / f"{self.name}.lua"
        lines = ['wrk.method = "POST"', f"wrk.body = {lua(self.body)}"]
        lines += [f"wrk.headers[{lua(name)}] = {lua(value)}" for name, value in self.headers.items()]
        file.write_text("\n".join(lines) + "\n")
        return file

    def once(self):
        return http(self.url, self.body.encode(), self.headers)


def lua(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def drive(load, script, connections, seconds):
    """Runs wrk once and returns requests, requests per second, CPU microseconds per request, and what went wrong."""
    pids = family(load.pid)
    before = cpu_us(pids)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), load.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    used = cpu_us(pids) - before
    if done.returncode != 0:
        raise Failed(f"wrk failed: {done.stderr or done.stdout}")
    said = done.stdout
    requests = int(re.search(r"(\d+) requests in", said)[1])
    if requests == 0:
        raise Failed(f"{load.title}: no request was answered:\n{said}")
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    return {
        "requests": requests,
        "rps": float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]),
        "cpu_us": used / requests,
        "p50_ms": milliseconds(re.search(r"(?m)^\s+50%\s+(\S+)", said)[1]),
        "p99_ms": milliseconds(re.search(r"(?m)^\s+99%\s+(\S+)", said)[1]),
        "non_2xx": int(found[1]) if (found := re.search(r"Non-2xx or 3xx responses: (\d+)", said)) else 0,
        "socket_errors": sum(map(int, errors.groups())) if errors else 0,
    }


def milliseconds(span):
    """Of a span as wrk writes it: 812.00us, 1.53ms, 2.01s."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", span).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1_000, "m": 60_000}[unit]


def stub_requests(stub):
    """Requests the stub has ever answered, this question left out."""
    _, text = http(f"{stub}/__status")
    found = re.search(r"\n\s*\d+\s+\d+\s+(\d+)", text)
    if not found:
        raise Failed(f"the stub's status is not readable: {text}")
    return int(found[1])


def metric(text, name, **labels):
    """The sum of a family's samples that carry these labels; None where the family is absent."""
    samples = [line for line in text.splitlines() if re.match(rf"{name}(\{{|\s)", line)]
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    matching = [line for line in samples if all(part in line for part in wanted)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in matching) if samples else None


def check_answer(load):
    """One request before the load: a benchmark of error answers would look very fast."""
    status, text = load.once()
    wrong = None
    if status != 200:
        wrong = f"answered {status}"
    elif load.name != "nginx":
        try:
            # An answer may come as one event of a stream.
            answer = json.loads(re.sub(r"\A(?:event: \w+\n)?data: ", "", text))
        except ValueError:
            answer = {}
        result = answer.get("result", {})
        if load.name == "list" and not result.get("tools"):
            wrong = "lists no tools"
        if load.name != "list" and (result.get("isError") or "TIC1000" not in text):
            wrong = "is not the tickets"
    if wrong:
        raise Failed(f"{load.title} {wrong}, so there is nothing to measure:\n{text[:1500]}")


def prepare(directory, servers, options):
    """Starts the servers that are needed and returns the loads, the stub's URL and the metrics URL."""
    stub_port, proxy_port, *ports = free_ports(2 + 2 * len(RECORDS))
    stub = issuer = f"http://127.0.0.1:{stub_port}"
    key_file, jwk = signing_key(directory)
    static = directory / "stub"
    static.mkdir()
    discovery = {"issuer": issuer, "jwks_uri": f"{issuer}/jwks", "token_endpoint": f"{issuer}/token",
                 "authorization_endpoint": f"{issuer}/auth", "response_types_supported": ["code"],
                 "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"]}
    for name, content in (("registry", registry()), ("discovery", discovery), ("jwks", {"keys": [jwk]})):
        (static / f"{name}.json").write_text(json.dumps(content))
    for name in ("catalog", "bench"):
        secret = directory / f"{name}.key"
        secret.write_text(f"{name}-key-0123456789abcdef0123456789abcdef\n")
        secret.chmod(0o600)

    where = {"dir": directory, "port": stub_port, "tickets": tickets_body()}
    start_nginx(directory, servers, "stub", STUB.format(**where), f"{stub}/__status")
    proxy = start_nginx(
        directory, servers, "nginx", PROXY.format(port=proxy_port, stub=stub_port), f"http://127.0.0.1:{proxy_port}/__alive"
    )

    now = int(time.time())
    claims = {"iss": issuer, "sub": "bench", "iat": now, "exp": now + 3600, "jti": "bench"}
    call = message("tools/call", name="call_api_endpoint", arguments=CALL_ARGUMENTS)
    call_headers = {"Mcp-Method": "tools/call", "Mcp-Name": "call_api_endpoint"}
    loads = [Load("nginx", "nginx, plain proxy", f"http://127.0.0.1:{proxy_port}/api/v1/tickets", proxy.pid, "none", call, call_headers)]
    metrics = None
    for (name, (title, record)), port, ops in zip(RECORDS.items(), ports[::2], ports[1::2]):
        if not options.only & ({name, "list"} if name == "call" else {name}):
            continue
        home = directory / name
        home.mkdir()
        url = f"http://127.0.0.1:{port}/api/mcp"
        bearer = token(key_file, {**claims, "aud": url})
        sidegate = start_sidegate(name, home, servers, options, SIDEGATE.format(
            port=port, ops=ops, dir=directory, home=home, stub=stub_port, tenant=TENANT, issuer=issuer,
            record=record.format(home=home)), ops)
        loads.append(Load(name, f"Sidegate, {title}", url, sidegate.pid, bearer, call, call_headers))
        metrics = metrics or f"http://127.0.0.1:{ops}/metrics"
        if name == "call":
            listing = message("tools/list")
            loads.append(Load("list", "Sidegate, tools/list", url, sidegate.pid, bearer, listing, {"Mcp-Method": "tools/list"}))
    return [load for load in loads if load.name in options.only], stub, metrics


def start_nginx(directory, servers, name, body, probe):
    file = directory / f"{name}.conf"
    text = NGINX.format(dir=directory, name=name, body=body)
    if os.geteuid() == 0:
        text = "user root;" + text
    file.write_text(text)
    process = servers.start(name, ["nginx", "-e", "stderr", "-p", str(directory), "-c", str(file)])
    wait_for(servers, name, process, probe)
    return process


def start_sidegate(name, home, servers, options, text, ops):
    if not options.binary or not os.access(options.binary, os.X_OK):
        raise Failed(f"there is no Sidegate binary at {options.binary or '(no --binary)'}")
    file = home / "sidegate.toml"
    file.write_text(text)
    process = servers.start(f"sidegate-{name}", [os.path.abspath(options.binary), "serve", "--config", str(file)])
    wait_for(servers, f"sidegate-{name}", process, f"http://127.0.0.1:{ops}/readyz")
    return process


def one_mint(load, metrics_url):
    """How many keys were minted and handed out for the first CALLS_FOR_ONE_MINT calls of one agent."""
    for _ in range(CALLS_FOR_ONE_MINT):
        status, text = load.once()
        if status != 200:
            raise Failed(f"{load.title} answered {status}: {text[:500]}")
    return metric(http(metrics_url)[1], "sidegate_key_mints_total", outcome="ok")


def measure(options, directory, servers):
    loads, stub, metrics_url = prepare(directory, servers, options)
    for load in loads:
        check_answer(load)
    scripts = {load.name: load.script(directory) for load in loads}
    report = {"rounds": options.rounds, "seconds": options.seconds, "connections": options.connections}

    by_name = {load.name: load for load in loads}
    if "call" in by_name:
        report["key_mints_in_first_1000_calls"] = one_mint(by_name["call"], metrics_url)
    for load in loads:  # connections, caches and allocators warm up unmeasured
        drive(load, scripts[load.name], options.connections, 1)
    upstream = {load.name: 0 for load in loads}
    for _ in range(options.rounds):
        for load in loads:
            before = stub_requests(stub)
            load.measured.append(drive(load, scripts[load.name], options.connections, options.seconds))
            upstream[load.name] += stub_requests(stub) - before - 1

    for load in loads:
        report[load.name] = summarise(load, upstream[load.name])
    base = report.get("nginx", {}).get("cpu_us")
    for load in loads:
        report[load.name]["ratio_to_nginx"] = round(report[load.name]["cpu_us"] / base, 2) if base else None
    if "call" in by_name:
        text = http(metrics_url)[1]
        report["key_mints"] = metric(text, "sidegate_key_mints_total", outcome="ok")
        report["audit_bytes"] = (directory / "call" / "audit.jsonl").stat().st_size
    if {"record", "bare"} <= by_name.keys():
        report["record_of_bare"] = round(report["record"]["cpu_us"] / report["bare"]["cpu_us"], 3)
    return loads, report


def summarise(load, upstream):
    def middle(field):
        return statistics.median(one[field] for one in load.measured)

    def total(field):
        return sum(one[field] for one in load.measured)

    return {
        "cpu_us": round(middle("cpu_us"), 1),
        "cpu_us_rounds": [round(one["cpu_us"], 1) for one in load.measured],
        "rps": round(middle("rps")),
        "p50_ms": round(middle("p50_ms"), 3),
        "p99_ms": round(middle("p99_ms"), 3),
        "requests": total("requests"),
        "upstream_calls": upstream,
        "non_2xx": total("non_2xx"),
        "socket_errors": total("socket_errors"),
    }


def table(loads, report):
    print(f"{'':22}{'CPU us/request':>15}{'of nginx':>10}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'non-2xx':>9}{'errors':>8}   upstream calls / requests")
    for load in loads:
        row = report[load.name]
        ratio = f"{row['ratio_to_nginx']:.2f}x" if row["ratio_to_nginx"] else "-"
        print(f"{load.title:22}{row['cpu_us']:>15.1f}{ratio:>10}{row['rps']:>12,}{row['p50_ms']:>9.2f}{row['p99_ms']:>9.2f}{row['non_2xx']:>9}{row['socket_errors']:>8}"
              f"   {row['upstream_calls']:,} / {row['requests']:,}")
    if "key_mints" in report:
        print(f"keys obtained: {report['key_mints_in_first_1000_calls']:g} after 1,000 calls of one agent, "
              f"{report['key_mints']:g} at the end" if report["key_mints"] is not None else "keys obtained: no such metric")
    print(f"median of {report['rounds']} alternating rounds of {report['seconds']} s, wrk -t1 -c{report['connections']}; "
          f"{os.cpu_count()} CPUs shared by load, proxy and stub")


def only(text):
    chosen = set(text.split(","))
    if unknown := chosen - MEASURED:
        raise argparse.ArgumentTypeError(f"not one of {', '.join(sorted(MEASURED))}: {', '.join(sorted(unknown))}")
    return chosen


def main():
    parser = argparse.ArgumentParser(prog="benches/compare.sh", description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=os.environ.get("SIDEGATE_BINARY"), help="the sidegate to measure")
    parser.add_argument("--lacks-binary", action="store_true", help="only say yes if a binary is needed and none is named")
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of the table")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="length of each measurement")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--only", type=only, default="nginx,call,record,bare,list", help="what to measure, separated by commas")
    parser.add_argument("--keep", action="store_true", help="leave the directory with configurations and logs")
    options = parser.parse_args()
    if options.lacks_binary:
        print("yes" if options.only - {"nginx"} and not options.binary else "no")
        return 0

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    directory = Path(tempfile.mkdtemp(prefix="sidegate-bench-"))
    servers = Servers(directory)
    try:
        loads, report = measure(options, directory, servers)
    except Failed as failure:
        print(f"benches/compare.sh: {failure}", file=sys.stderr)
        return 1
    finally:
        servers.stop()
        if options.keep:
            print(f"kept: {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)
    if options.json:
        print(json.dumps(report))
    else:
        table(loads, report)
    return 1 if any(report[load.name]["non_2xx"] for load in loads) else 0


if __name__ == "__main__":
    sys.exit(main())
