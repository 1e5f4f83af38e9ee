"""Load in an open loop: requests at moments that are fixed beforehand, whatever became of the earlier ones.

wrk and h2load wait for an answer before they ask again, so that a server that stands still is hardly asked meanwhile and
looks quick; h2load --rps does not count the time that a request waited for its turn. Here a latency begins at the moment
that was fixed. Python's standard library only.
"""

import ctypes
import gc
import random
import re
import select
import socket
import time
from urllib.parse import urlsplit

from loads import percentile
from servers import Failed

PR_SET_TIMERSLACK = 29


class Line:
    """One connection of the open loop; `due` is when its request should have been sent, `over` that no other may follow."""

    def __init__(self, track):
        split = urlsplit(track.load.url)
        self.track, self.due, self.got, self.over = track, None, b"", False
        self.socket = socket.create_connection((split.hostname, split.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)

    def send(self, request, due):
        self.due, self.got = due, b""
        # Loopback takes a kilobyte at once.
        if self.socket.send(request) != len(request):
            raise Failed(f"{self.track.load.title}: a request was not taken")

    def read(self):
        """The status, once the whole answer is here; 0 where the connection ends without one."""
        some = self.socket.recv(1 << 20)
        if not some:
            self.over = True
            return 0
        self.got += some
        head, end, body = self.got.partition(b"\r\n\r\n")
        if not end:
            return None
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        done = len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")
        # A refusal ends its connection.
        self.over = re.search(rb"(?i)\r\nconnection: *close", head) is not None
        return int(head[9:12]) if done else None


class Track:
    """The requests of one load, its connections without one under way, and what came of it."""

    def __init__(self, load, count):
        split = urlsplit(load.url)
        self.load, self.free, self.latencies, self.unexpected = load, [], [], 0
        fields = {"Host": split.netloc, **load.headers, "Content-Length": len(load.body.encode())}

        def request(**own):
            head = [f"POST {split.path} HTTP/1.1", *(f"{name}: {value}" for name, value in (fields | own).items())]
            return ("\r\n".join(head) + "\r\n\r\n" + load.body).encode()

        tokens = load.tokens(count) if load.tokens else []
        self.requests = iter([request(Authorization=f"Bearer {token}") for token in tokens] or [request()] * count)


def open_loop(loads, rate, seconds):
    """`rate` requests a second in all. The loads take turns, in an order that is drawn anew for each turn, so that what
    disturbs the machine meets all alike. Returns the tracks with their latencies, sorted, and how late the generator sent
    (p99), in microseconds."""
    count = max(1, int(rate * seconds / len(loads)))
    tracks = [Track(load, count) for load in loads]
    order, turn = [], random.Random(1)
    for _ in range(count):
        order += turn.sample(tracks, len(tracks))
    lines, poll, late = {}, select.epoll(), []

    def connect(track):
        line = Line(track)
        lines[line.socket.fileno()] = line
        poll.register(line.socket.fileno(), select.EPOLLIN)
        return line

    # Else the kernel wakes us up to 50 us after the time; 0 is its default again.
    slack = ctypes.CDLL(None).prctl
    slack(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    try:
        for track in tracks:
            track.free = [connect(track) for _ in range(8)]
        gc.collect()
        gc.disable()
        pace(order, 1 / rate, lines, poll, late, connect)
    finally:
        gc.enable()
        slack(PR_SET_TIMERSLACK, 0, 0, 0, 0)
        poll.close()
        for line in lines.values():
            line.socket.close()
    for track in tracks:
        track.latencies.sort()
    return tracks, percentile(sorted(late), 0.99) * 1e6


def pace(order, gap, lines, poll, late, connect):
    clock, sent, left = time.perf_counter, 0, len(order)
    begin = clock() + 0.01
    give_up = begin + gap * len(order) + 20
    while left:
        now = clock()
        while sent < len(order) and begin + sent * gap <= now:
            track, due = order[sent], begin + sent * gap
            line = track.free.pop() if track.free else connect(track)
            line.send(next(track.requests), due)
            late.append(clock() - due)
            sent += 1
        pause = begin + sent * gap - clock() if sent < len(order) else 0.1
        # select() waits in microseconds, epoll's own waiting in milliseconds.
        if not select.select([poll], [], [], max(0, pause))[0]:
            if now > give_up:
                raise Failed(f"{left} requests of the open loop were not answered within 20 s")
            continue
        for number, _ in poll.poll(0):
            line, track = lines[number], lines[number].track
            status = line.read()
            if status is None:
                continue
            if line.due is not None:
                track.latencies.append((clock() - line.due) * 1e6)
                track.unexpected += status != track.load.answers[0]
                line.due = None
                left -= 1
                if not line.over:
                    track.free.append(line)
            elif line.over:
                track.free.remove(line)
            if line.over:
                poll.unregister(number)
                lines.pop(number).socket.close()
