# SPDX-License-Identifier: MIT
"""A TCP proxy between the writer and PostgreSQL that knows enough of the
protocol to fail at the worst moment, such as between COMMIT and its reply."""

import select
import socket
import struct
import threading

# How soon a connection looks at what has been asked of it.
_LOOK = 0.01
_CHUNK = 65536

# What a trap waits for.
AFTER_COMMIT = "after commit"  # the answer that a batch is stored gets lost
BEFORE_END = "before end"  # the end of the batch's rows gets lost
AFTER_END = "after end"  # it does not, and nobody waits for the answer


class _Messages:
    """Cuts what one side sends into messages of the protocol: (type, bytes).
    The first one of a client has no type."""

    def __init__(self, is_client):
        self._buffer = bytearray()
        self._has_type = not is_client

    def feed(self, data):
        self._buffer += data
        while True:
            start = 1 if self._has_type else 0
            if len(self._buffer) < start + 4:
                return
            size = start + struct.unpack_from("!I", self._buffer, start)[0]
            if len(self._buffer) < size:
                return
            message = bytes(self._buffer[:size])
            del self._buffer[:size]
            kind = message[:1] if self._has_type else b""
            self._has_type = True
            yield kind, message


class _Cut(Exception):
    """This connection ends here."""


class _Connection:
    """One client and its server session; a thread of its own."""

    def __init__(self, proxy, client, server):
        self._proxy = proxy
        self._client = client
        self._server = server
        self._messages = {
            client: _Messages(True),
            server: _Messages(False),
        }
        self._copied = False  # since the server was ready last
        self._open = {client, server}  # who still sends
        self.cut = False
        self.half_close = None  # "client" or "server": who sees an end
        self._ends_there = set()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def is_half(self):
        return bool(self._ends_there)

    def _run(self):
        try:
            while self._open:
                self._turn()
        except (_Cut, OSError):
            pass
        finally:
            for one in (self._client, self._server):
                # As a cut cable and a firewall would: no farewell.
                one.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
                one.close()
            self._proxy.forget(self)

    def _turn(self):
        self._obey()
        readable, _, _ = select.select(list(self._open), [], [], _LOOK)
        for one in readable:
            other = self._server if one is self._client else self._client
            data = one.recv(_CHUNK)
            if not data:
                self._end_of(one, other)
                continue
            self._wait_open()
            for kind, message in self._messages[one].feed(data):
                self._pass(one, other, kind, message)

    def _end_of(self, one, other):
        self._open.discard(one)
        if self._ends_there:
            # Half of it is gone: the other side does not learn of the end
            # before the proxy lets go.
            return
        self._wait_open()
        other.shutdown(socket.SHUT_WR)

    def _obey(self):
        if self.cut:
            raise _Cut
        if self.half_close is not None:
            side = self._client if self.half_close == "client" else self._server
            self.half_close = None
            self._ends_there.add(side)
            side.shutdown(socket.SHUT_WR)
        if not self._open or len(self._ends_there) == 2:
            raise _Cut

    def _wait_open(self):
        self._proxy.delay_event.wait(self._proxy.delay)
        while not self._proxy.open.wait(_LOOK):
            self._obey()

    def _pass(self, one, other, kind, message):
        """One message on its way; a trap may go off."""
        trap = self._proxy
        if one is self._client:
            if kind == b"c" and trap.springs(BEFORE_END):
                raise _Cut
            self._send(other, message)
            if kind == b"c" and trap.springs(AFTER_END):
                raise _Cut
            return
        if kind == b"C" and message[5:10] == b"COPY ":
            self._copied = True
        elif kind == b"E":
            self._copied = False
        elif kind == b"Z":
            copied, self._copied = self._copied, False
            if copied and trap.springs(AFTER_COMMIT):
                raise _Cut
        self._send(other, message)

    def _send(self, other, message):
        if other in self._ends_there:
            return
        view = memoryview(message)
        while view:
            self._obey()
            if other in self._ends_there:
                return
            _, writable, _ = select.select([], [other], [], _LOOK)
            if writable:
                view = view[other.send(view):]


class Proxy:
    """Listens on a free port of 127.0.0.1 until close; leads to a socket of the
    file system."""

    def __init__(self, path):
        self._path = str(path)
        self._lock = threading.Lock()
        self._connections = set()
        self._closed = False
        self._trap = None
        self._trap_count = 0
        self.sprung = 0  # how often a trap went off
        self.refusing = False
        self.delay = 0
        self.delay_event = threading.Event()  # never set, but by close
        self.open = threading.Event()
        self.open.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self):
        while not self._closed:
            readable, _, _ = select.select([self._listener], [], [], 0.05)
            if not readable:
                continue
            client, _ = self._listener.accept()
            server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                if self.refusing:
                    raise ConnectionRefusedError
                server.connect(self._path)
            except OSError:
                client.close()
                server.close()
                continue
            for one in (client, server):
                one.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made = _Connection(self, client, server)
            with self._lock:
                self._connections.add(made)
            made.thread.start()

    def forget(self, connection):
        with self._lock:
            self._connections.discard(connection)

    def connections(self):
        with self._lock:
            return list(self._connections)

    def lead_to(self, path):
        """New connections go to another socket."""
        self._path = str(path)

    # --- what goes wrong ---

    def cut(self):
        """All connections end at once, for both sides."""
        for one in self.connections():
            one.cut = True

    def half_close(self, side):
        """One side ("client" or "server") sees the end of what the other one
        sends; the other one sees nothing of it, until cut."""
        for one in self.connections():
            one.half_close = side

    def stall(self):
        """Nothing passes any more, and nothing ends, until let_go."""
        self.open.clear()

    def set_trap(self, what, count=1):
        """Cuts the connection at the moment "what", so many times."""
        with self._lock:
            self._trap = what
            self._trap_count = count

    def springs(self, what):
        with self._lock:
            if self._trap != what or self._trap_count == 0:
                return False
            self._trap_count -= 1
            self.sprung += 1
            return True

    def let_go(self):
        """Everything passes again; what was half closed is cut."""
        self.set_trap(None, 0)
        self.delay = 0
        self.refusing = False
        for one in self.connections():
            if one.half_close is not None or one.is_half():
                one.cut = True
        self.open.set()

    def close(self):
        self._closed = True
        self.delay_event.set()
        self.let_go()
        self.cut()
        self._thread.join(10)
        for one in self.connections():
            one.thread.join(10)
        self._listener.close()
