"""What the benches load a server with, and how at a fixed concurrency: wrk over HTTP/1.1, h2load over HTTP/2.

Python's standard library only.
"""

import re
import subprocess

from servers import Failed, cpu_us, family, http


class Load:
    """One kind of request against one server: `answers` is a status and what its text must have; `tokens` makes as many as
    asked for, one for each request; where it `cycles`, it makes what there are, and they are used again."""

    def __init__(self, name, title, server, url, headers, body, answers, reference=None, http2=False, tokens=None,
                 cycles=False):
        self.name, self.title, self.server, self.url = name, title, server, url
        self.headers, self.body, self.answers = headers, body, answers
        self.reference, self.http2, self.tokens, self.cycles = reference, http2, tokens, cycles
        self.measured = {}

    def once(self):
        if self.tokens:
            self.headers["Authorization"] = f"Bearer {self.tokens(1)[0]}"
        return http(self.url, self.body.encode(), self.headers, ca_file=self.server.ca_file)

    def check(self):
        """One request before the load: a benchmark of wrong answers would look very fast."""
        status, text = self.once()
        wanted, sign = self.answers
        if status != wanted or sign not in text:
            raise Failed(f"{self.title}: answered {status} where {wanted} with {sign!r} was due, so there is nothing to "
                         f"measure:\n{text[:1500]}")


def percentile(sorted_values, share):
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]


def drive(load, directory, connections, seconds, count):
    """A fixed number of connections, each with one request after the other, for `seconds`; for `count` requests where each
    needs a token of its own."""
    pids = family(load.server.pid)
    run = h2load if load.http2 else wrk
    before = cpu_us(pids)
    result = run(load, directory, connections, seconds, count)
    used = cpu_us(pids) - before
    if result["requests"] == 0:
        raise Failed(f"{load.title}: no request was answered")
    return {**result, "cpu_us": used / result["requests"]}


# A token of its own for each request; the run ends when those of this measurement are used up, but for a few that stay for
# what is still under way. Where the load cycles, they begin anew instead.
ROTATE = """
local ffi = require("ffi")
ffi.cdef("int kill(int, int); int getpid(void);")
local requests, used = {}, 0
function init()
  for token in io.lines(%s) do
    wrk.headers["Authorization"] = "Bearer " .. token
    requests[#requests + 1] = wrk.format()
  end
end
function request()
  used = used + 1
  if used == %d then ffi.C.kill(ffi.C.getpid(), 2) end
  return requests[(used - 1) %% #requests + 1]
end
"""


def lua(text):
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def wrk(load, directory, connections, seconds, count):
    script = directory / "wrk.lua"
    lines = ['wrk.method = "POST"', f"wrk.body = {lua(load.body)}"]
    lines += [f"wrk.headers[{lua(name)}] = {lua(value)}" for name, value in load.headers.items()]
    if load.tokens:
        file = directory / "tokens.txt"
        file.write_text("\n".join(load.tokens(count)) + "\n")
        lines.append(ROTATE % (lua(file), 0 if load.cycles else count - count // 10 - 2 * connections))
    script.write_text("\n".join(lines) + "\n")
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), load.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    if done.returncode != 0:
        raise Failed(f"wrk failed: {done.stderr or done.stdout}")
    said = done.stdout
    requests = int(re.search(r"(\d+) requests in", said)[1])
    failed = int(found[1]) if (found := re.search(r"Non-2xx or 3xx responses: (\d+)", said)) else 0
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    return {
        "requests": requests,
        "rps": float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]),
        "p50_us": microseconds(re.search(r"(?m)^\s+50%\s+(\S+)", said)[1]),
        "p99_us": microseconds(re.search(r"(?m)^\s+99%\s+(\S+)", said)[1]),
        "unexpected": failed if load.answers[0] < 400 else requests - failed,
        "errors": sum(map(int, errors.groups())) if errors else 0,
    }


def microseconds(span):
    """Of a span as wrk writes it: 812.00us, 1.53ms, 2.01s."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", span).groups()
    return float(number) * {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000}[unit]


def h2load(load, directory, connections, seconds, _count):
    """HTTP/2, one stream at a time on each connection: agents do not share theirs."""
    log, body = directory / "h2load.log", directory / "h2load.body"
    log.unlink(missing_ok=True)
    body.write_text(load.body)
    command = ["h2load", "-t1", f"-c{connections}", "-m1", f"-D{seconds}", "-d", str(body), f"--log-file={log}"]
    for name, value in load.headers.items():
        command += ["-H", f"{name.lower()}: {value}"]
    done = subprocess.run([*command, load.url], capture_output=True, text=True, timeout=seconds + 30)
    if done.returncode != 0 or "Application protocol: h2\n" not in done.stdout:
        raise Failed(f"h2load failed: {done.stderr or done.stdout}")
    # When it began, its status and how long it took, in microseconds.
    rows = [tuple(map(int, line.split())) for line in log.read_text().splitlines()]
    took = sorted(row[2] for row in rows)
    failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", done.stdout)
    return {
        "requests": len(rows),
        "rps": float(re.search(r"finished in [\w.]+, ([\d.]+) req/s", done.stdout)[1]),
        "p50_us": percentile(took, 0.50) if took else 0,
        "p99_us": percentile(took, 0.99) if took else 0,
        "unexpected": sum(row[1] != load.answers[0] for row in rows),
        "errors": sum(map(int, failed.groups())) - sum(row[1] >= 400 for row in rows) if failed else 0,
    }
