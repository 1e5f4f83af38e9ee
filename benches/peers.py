"""Who holds connections in the benches: idle ones in HTTP/1.1 and HTTP/2, and the slow of several kinds.

It knows the protocols and no server. Python's standard library only.
"""

import selectors
import socket
import ssl
import threading
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, SETTINGS, PING, WINDOW_UPDATE = 1, 4, 6, 8
# The indexed field `:status: 200` (RFC 7541 appendix A), with which a good answer's fields begin.
STATUS_200 = 0x88
TICK = 1.0


def frame(kind, flags=0, stream=0, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


class Target:
    """Where to connect, and what to say there; without a CA file, over plain TCP."""

    def __init__(self, host, port, ca_file, path, post, listen):
        self.host, self.port, self.path, self.post, self.listen = host, port, path, post, listen
        self.authority = f"{host}:{port}"
        self.contexts = {}
        for protocol in ("http/1.1", "h2") if ca_file else ():
            context = ssl.create_default_context(cafile=ca_file)
            context.set_alpn_protocols([protocol])
            self.contexts[protocol] = context

    def tcp(self, buffer=None):
        one = socket.socket()
        if buffer:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        one.settimeout(20)
        one.connect(("127.0.0.1", self.port))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return one

    def tls(self, protocol, buffer=None):
        if not self.contexts:
            return self.tcp(buffer)
        one = self.contexts[protocol].wrap_socket(self.tcp(buffer), server_hostname=self.host)
        if one.selected_alpn_protocol() != protocol:
            raise OSError(f"{protocol} was not agreed on")
        return one


class Idle1:
    """An HTTP/1.1 connection between two requests."""

    def __init__(self, target):
        self.target, self.socket = target, target.tls("http/1.1")
        self.ask()

    def ask(self):
        """One request, answered with 200, or an OSError."""
        self.socket.settimeout(20)
        self.socket.sendall(f"GET {self.target.path} HTTP/1.1\r\nhost: {self.target.authority}\r\n\r\n".encode())
        got = b""
        while b"\r\n\r\n" not in got:
            got += self.some()
        head, _, body = got.partition(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        while len(body) < length:
            body += self.some()
        if not head.startswith(b"HTTP/1.1 200 "):
            raise OSError(f"answered {head[:40]!r}")

    def some(self):
        got = self.socket.recv(65536)
        if not got:
            raise OSError("closed")
        return got

    def wake(self):
        """Bytes came while nothing was asked for: the end."""
        raise OSError(f"said {self.some()[:40]!r} unasked")


class Idle2:
    """An HTTP/2 connection between two requests; it answers the server's pings."""

    def __init__(self, target):
        self.target, self.socket, self.stream, self.kept = target, target.tls("h2"), -1, b""
        self.socket.sendall(PREFACE + frame(SETTINGS))
        self.ask()

    def ask(self):
        self.stream += 2
        self.socket.settimeout(20)
        fields = b"\x82\x87"  # GET, https
        for index, text in ((4, self.target.path), (1, self.target.authority)):
            fields += bytes([index, len(text)]) + text.encode()
        self.socket.sendall(frame(HEADERS, 0x5, self.stream, fields))
        done = False
        while not done:
            done = any(self.answers(*got) for got in self.frames())

    def answers(self, kind, flags, stream, payload):
        """True where this frame ends the answer."""
        if stream != self.stream:
            return False
        if kind == HEADERS and payload[0] != STATUS_200:
            raise OSError("answered something else than 200")
        return bool(flags & 1)

    def frames(self):
        """Reads once; what the connection itself is asked is answered here."""
        got = self.socket.recv(65536)
        if not got:
            raise OSError("closed")
        self.kept += got
        whole = []
        while len(self.kept) >= 9 and len(self.kept) >= 9 + (length := int.from_bytes(self.kept[:3], "big")):
            kind, flags, stream = self.kept[3], self.kept[4], int.from_bytes(self.kept[5:9], "big")
            payload, self.kept = self.kept[9 : 9 + length], self.kept[9 + length :]
            if kind in (SETTINGS, PING) and not flags & 1:
                self.socket.sendall(frame(kind, 1, 0, payload if kind == PING else b""))
            if stream == 0 and kind == 7:
                raise OSError("was told to go away")
            whole.append((kind, flags, stream, payload))
        return whole

    def wake(self):
        self.frames()


class Stream1:
    """An event stream over HTTP/1.1 that nobody ends: its first event has come, and after it only comments do."""

    def __init__(self, target):
        self.socket = target.tls("http/1.1")
        self.socket.sendall(target.listen())
        got = b""
        while b"data: " not in got:
            some = self.socket.recv(65536)
            if not some:
                raise OSError(f"no stream: {got[:80]!r}")
            got += some
        if not got.startswith(b"HTTP/1.1 200 "):
            raise OSError(f"answered {got[:40]!r}")

    def ask(self):
        """Still open: there is nothing to read, or comments."""
        self.socket.settimeout(0)
        try:
            self.wake()
        except (BlockingIOError, ssl.SSLWantReadError):
            pass

    def wake(self):
        if not self.socket.recv(65536):
            raise OSError("closed")


class Slow:
    """A peer that says or takes a byte in each tick."""

    def __init__(self, target):
        self.socket = self.open(target)

    def open(self, target):
        raise NotImplementedError

    def tick(self):
        self.socket.send(b" ")


class SlowHandshake(Slow):
    def open(self, target):
        one = target.tcp()
        # A record and a ClientHello that are never whole.
        one.sendall(bytes.fromhex("1603014000" "01003ffc" "0303"))
        return one

    def tick(self):
        self.socket.send(b"\0")


class SlowHeader(Slow):
    def open(self, target):
        one = target.tls("http/1.1")
        one.sendall(f"POST / HTTP/1.1\r\nhost: {target.authority}\r\nx-slow: ".encode())
        return one

    def tick(self):
        self.socket.send(b"a")


class SlowBody(Slow):
    def open(self, target):
        one = target.tls("http/1.1")
        one.sendall(target.post(length=100_000))
        return one


class SlowReader(Slow):
    def open(self, target):
        one = target.tls("http/1.1", buffer=2048)
        one.sendall(target.post())
        return one

    def tick(self):
        if not self.socket.recv(1):
            raise OSError("closed")


SLOW = {"handshake": SlowHandshake, "header": SlowHeader, "body": SlowBody, "reader": SlowReader}


class Holder:
    """Holds connections in a thread: answers pings, trickles, opens anew what the server has ended."""

    def __init__(self, target):
        self.target, self.idle, self.slow = target, [], []
        self.lost, self.ended = [], dict.fromkeys(SLOW, 0)
        self.selector = selectors.DefaultSelector()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def open_idle(self, kind, count):
        for _ in range(count):
            self.idle.append(kind(self.target))

    def open_slow(self, count):
        kinds = list(SLOW)
        for number in range(count):
            self.slow.append(self.new(kinds[number % len(kinds)]))

    def new(self, kind):
        one = SLOW[kind](self.target)
        one.kind = kind
        one.socket.settimeout(0)
        return one

    def hold(self):
        for one in self.idle:
            one.socket.settimeout(0)
            self.selector.register(one.socket, selectors.EVENT_READ, one)
        self.thread.start()

    def run(self):
        next_tick = time.monotonic()
        while not self.stopping.is_set():
            for key, _ in self.selector.select(0.1):
                self.try_idle(key.data)
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + TICK
                self.slow = [self.trickle(one) for one in self.slow]

    def try_idle(self, one):
        try:
            one.wake()
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except OSError as error:
            self.selector.unregister(one.socket)
            self.idle.remove(one)
            one.socket.close()
            self.lost.append(str(error))

    def trickle(self, one):
        try:
            one.tick()
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError:
            self.ended[one.kind] += 1
            one.socket.close()
            return self.new(one.kind)
        return one

    def release(self):
        """Ends the holding: each idle connection must still answer. Returns what became of those that do not."""
        self.stopping.set()
        self.thread.join()
        self.selector.close()
        for one in self.idle:
            try:
                one.ask()
            except OSError as error:
                self.lost.append(str(error))
        for one in self.idle + self.slow:
            one.socket.close()
        return self.lost
