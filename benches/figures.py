"""What a Sidegate takes before it is asked anything: time to start, memory at rest, memory for what rests with it."""

import statistics
import time
from urllib.parse import urlsplit

from fixtures import headers, message
from peers import Holder, Idle1, Idle2, Stream1, Target
from servers import Failed, resident

# What is held, by its name: the Sidegate that holds it, and who connects.
HELD = {
    "keep_alive": ("main", Idle1),
    "stream": ("main", Stream1),
    "keep_alive_tls": ("tls", Idle1),
    "keep_alive_h2": ("tls", Idle2),
    "stream_tls": ("tls", Stream1),
}


def until_first_call(stage, server, load):
    """Starts this Sidegate anew, and returns the process and the milliseconds until a call was answered."""
    began = time.monotonic()
    process = stage.run_sidegate("sidegate-anew", server.config)
    while load.once()[0] != 200:
        if time.monotonic() > began + 20:
            raise Failed(f"no call was answered within 20 s of the start:\n{stage.servers.log('sidegate-anew')}")
        time.sleep(0.001)
    return process, (time.monotonic() - began) * 1000


def target(load):
    """Where idle connections and streams go."""
    split = urlsplit(load.url)
    body = message("subscriptions/listen", notifications={"toolsListChanged": True})
    fields = {"host": split.netloc, **load.headers, **headers("subscriptions/listen"), "content-length": len(body)}
    fields.pop("Mcp-Name", None)
    lines = ["POST /api/mcp HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", body]
    listen = "\r\n".join(lines).encode()
    ca_file = load.server.ca_file if split.scheme == "https" else None
    path = f"/.well-known/oauth-protected-resource{split.path}"
    return Target(split.hostname, split.port, ca_file, path, None, lambda: listen)


def at_rest(stage, loads, count):
    """Per kind of what is held: its bytes each, in a process of its own. Each start is timed, with the catalogue of the
    last one in the store."""
    starts, base, held = [], [], {}
    for load in loads.values():
        stage.servers.stop(load.server.process)
    for name, (where, kind) in HELD.items():
        load = loads[where]
        process, took = until_first_call(stage, load.server, load)
        time.sleep(1)
        before = resident(process.pid)
        if where == "main":
            starts.append(took)
            base.append(before)
        holder = Holder(target(load))
        holder.open_idle(kind, count)
        holder.hold()
        time.sleep(1)
        held[name] = round((resident(process.pid) - before) / count)
        if lost := holder.release():
            raise Failed(f"{len(lost)} of {count} were lost ({name}): {lost[0]}")
        stage.servers.stop(process)
    first, size = round(statistics.median(starts)), round(statistics.median(base))
    return {"first_call_ms": first, "base_bytes": size, "held_bytes": held}
