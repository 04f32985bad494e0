# SPDX-License-Identifier: MIT
"""Many clients at a time that mean no good: each sends the worst of its kind,
and none reads what it is answered."""

import gzip
import json
import selectors
import socket
import threading

MIB = 1 << 20
HEAD = (
    "POST /events HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
    "{}\r\n\r\n"
)
ADDRESSES = 8


def _post(body, headers="Content-Encoding: gzip\r\n", length=None):
    size = len(body) if length is None else length
    return HEAD.format(f"{headers}Content-Length: {size}").encode() + body


def refused():
    """A few KiB that are 10,000 events, wrong in every field."""
    event = "{" + ",".join(f'"{name}":0' for name in "abcdefghijklmnop") + "}"
    return _post(gzip.compress(f"[{','.join([event] * 10000)}]".encode()))


def bomb():
    """1 KiB that are as large as a body may be."""
    event = b'{"timestamp":0,"service":"bomb","message":7}'
    return _post(gzip.compress(event + b" " * (MIB - len(event))))


def stopped():
    """A body that stops before its last byte."""
    return _post(b" " * (MIB - 1), headers="", length=MIB)


def chunks():
    """Chunks that never end, as far as a body may be."""
    chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    return HEAD.format("Transfer-Encoding: chunked").encode() + chunk * 31


def many_ids():
    """Events that are taken, with an answer of 390 KB."""
    body = json.dumps(
        [{"timestamp": 0, "service": "crowd", "message": "m"}] * 10000
    ).encode()
    return _post(gzip.compress(body))


def page(path):
    """A page that is asked for and not read."""
    return f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode()


class _Client:
    def __init__(self, port, number, data):
        self._place = ("127.0.0.1", port)
        self._source = (f"127.0.0.{2 + number % ADDRESSES}", 0)
        self._data = data
        self.socket = None
        self._sent = 0

    def connect(self):
        self.socket = socket.socket()
        # What is not read stays the server's.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.bind(self._source)
        self.socket.settimeout(30)
        self.socket.connect(self._place)
        self.socket.setblocking(False)
        self._sent = 0

    def push(self):
        """Sends what can be sent; False when there is no more to send."""
        while self._sent < len(self._data):
            try:
                self._sent += self.socket.send(self._data[self._sent :])
            except BlockingIOError:
                return True
        return False


class Crowd:
    """A context: inside of it the clients are connected, and send. One that the
    server has cut off comes back, "rounds" times in all."""

    def __init__(self, port, requests, rounds=1):
        self._clients = [
            _Client(port, number, data) for number, data in enumerate(requests)
        ]
        self._rounds = rounds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent = 0  # requests that were sent to their end, or refused

    def _connect(self, selector, client):
        try:
            client.connect()
            selector.register(client.socket, selectors.EVENT_WRITE, client)
        except OSError:
            client.socket.close()
            self.sent += 1

    def _run(self):
        with selectors.DefaultSelector() as selector:
            for _ in range(self._rounds):
                for client in self._clients:
                    if client.socket is not None:
                        client.socket.close()
                    self._connect(selector, client)
                self._send(selector)
        while not self._stop.wait(0.1):
            pass
        for client in self._clients:
            client.socket.close()

    def _send(self, selector):
        while selector.get_map() and not self._stop.is_set():
            for key, _ in selector.select(0.1):
                try:
                    goes_on = key.data.push()
                except OSError:  # the server has closed it
                    goes_on = False
                if not goes_on:
                    selector.unregister(key.fileobj)
                    self.sent += 1

    @property
    def total(self):
        return len(self._clients) * self._rounds

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def memory(pid, what="VmRSS"):
    """Bytes that a process holds (VmRSS), or has held at most (VmHWM)."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith(what + ":"):
                return int(line.split()[1]) * 1024
    raise AssertionError(f"no {what}")


def forget_peak(pid):
    """From now on VmHWM is that of what follows."""
    with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:
        file.write("5")
