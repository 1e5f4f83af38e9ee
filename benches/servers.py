"""The stage of the benches: starts and stops processes, reads their CPU time and memory, waits until they answer.

It knows nothing of what is measured. Python's standard library only.
"""

import contextlib
import os
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

# CPUCLOCK_SCHED, the lower bits of the clock id that clock_getcpuclockid(3) gives for a process.
PROCESS_CLOCK = 2


class Failed(Exception):
    """Something that ends the run, in words for the reader."""


class Servers:
    """The processes of this run; each is its own process group, so that none outlives it."""

    def __init__(self, directory):
        self.directory = directory
        self.running = []

    def within(self, directory):
        """The same processes, started in another directory."""
        other = Servers(directory)
        other.running = self.running
        return other

    def start(self, name, command, user=None):
        log = open(self.directory / f"{name}.log", "wb")
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self.directory, user=user
        )
        log.close()
        self.running.append((name, process))
        return process

    def log(self, name):
        return (self.directory / f"{name}.log").read_text(errors="replace")[-3000:]

    def stop(self, only=None, seconds=10):
        ending = [(name, process) for name, process in self.running if only in (None, process)]
        self.running[:] = [one for one in self.running if one not in ending]
        for _, process in ending:
            signal_group(process, signal.SIGTERM)
        until = time.monotonic() + seconds
        for _, process in ending:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                signal_group(process, signal.SIGKILL)
                process.wait()


@contextlib.contextmanager
def run_of(program, keep=False, patience=10):
    """A directory and the processes of one run. At its end, whatever ends it, they are stopped within `patience` seconds and
    the directory goes, unless it is to be kept; what goes wrong is said in a sentence, with exit code 1."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    directory = Path(tempfile.mkdtemp(prefix="sidegate-bench-"))
    servers = Servers(directory)
    try:
        yield directory, servers
    except (Failed, OSError) as failure:
        sys.exit(f"{program}: {failure}")
    finally:
        servers.stop(seconds=patience)
        if keep:
            print(f"kept: {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)


def signal_group(process, number):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def family(pid):
    """A process and all that descend from it: nginx is a master and its workers."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents[int(entry)] = int(stat_fields(entry)[1])
            except (OSError, IndexError):
                continue
    found = {pid}
    grew = True
    while grew:
        grown = found | {child for child, parent in parents.items() if parent in found}
        grew = grown != found
        found = grown
    return found


def stat_fields(pid):
    """The fields of /proc/PID/stat after the command name, which may hold spaces: state is 0, ppid 1, utime 11, stime 12."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_us(pids):
    """CPU time, user and system, of all threads that these processes have or had. The kernel's clock of a process counts
    nanoseconds; /proc/PID/stat counts ticks of 10 ms, and /proc/PID/task forgets threads that have ended."""
    return sum(time.clock_gettime_ns((~pid << 3) | PROCESS_CLOCK) for pid in pids) / 1000


def resident(pid):
    """Bytes of memory in use."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def http(url, data=None, headers=None, timeout=5, ca_file=None):
    request = urllib.request.Request(url, data=data, headers=headers or {})
    context = ssl.create_default_context(cafile=ca_file) if url.startswith("https:") else None
    try:
        with urllib.request.urlopen(request, timeout=timeout, context=context) as response:
            return response.status, response.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode("utf-8", "replace")
    except (urllib.error.URLError, OSError) as error:
        return 0, str(error)


def wait_for(servers, name, process, url, seconds=20):
    until = time.monotonic() + seconds
    status, said = 0, ""
    while time.monotonic() < until:
        status, said = http(url, timeout=1)
        if status == 200:
            return
        if process.poll() is not None:
            raise Failed(f"{name} ended with {process.returncode} while starting:\n{servers.log(name)}")
        time.sleep(0.05)
    raise Failed(f"{name} did not answer 200 at {url} within {seconds} s ({status} {said[:200]}):\n{servers.log(name)}")
