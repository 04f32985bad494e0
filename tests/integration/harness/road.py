# SPDX-License-Identifier: MIT
"""The way to a server: an address that stays, whatever becomes of the server,
and on which answers get lost."""

import select
import socket
import struct
import threading

_LOOK = 0.01
_CHUNK = 65536
_INTERIM = b"HTTP/1.1 1"


class Road:
    """Leads from a port of 127.0.0.1 to the port that the function "port_of"
    returns at the time."""

    def __init__(self, port_of):
        self._port_of = port_of
        self._lock = threading.Lock()
        self._to_lose = 0
        self._closed = False
        self._threads = []
        self.refused = 0  # connections while nobody listened
        self.lost = 0  # answers to a POST that were not passed on
        self.statuses = []  # of the answers to a POST that were
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._start(self._accept)

    def _start(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def lose(self, count):
        """The answers to the next requests that post something get lost: the
        server has done what they ask for, and the connection ends."""
        with self._lock:
            self._to_lose += count

    def accepted(self):
        """How many requests were answered with success."""
        return sum(200 <= status < 300 for status in list(self.statuses))

    def close(self):
        self._closed = True
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _accept(self):
        while not self._closed:
            readable, _, _ = select.select([self._listener], [], [], _LOOK)
            if readable:
                client, _ = self._listener.accept()
                self._start(self._lead, client)

    def _lead(self, client):
        try:
            server = socket.create_connection(("127.0.0.1", self._port_of()), 10)
        except OSError:
            self.refused += 1
            _reset(client)
            return
        try:
            self._pass(client, server)
        except OSError:
            pass
        for one in client, server:
            _reset(one)

    def _pass(self, client, server):
        """Until either side ends, or an answer gets lost."""
        method = b""
        while not self._closed:
            readable, _, _ = select.select([client, server], [], [], _LOOK)
            if client in readable:
                data = client.recv(_CHUNK)
                if data[:1].isupper() and b" HTTP/1." in data[:4096]:
                    method = data.split(b" ", 1)[0]
                if not data:
                    return
                server.sendall(data)
            if server in readable:
                data = server.recv(_CHUNK)
                if not data or self._is_lost(method, data):
                    return
                client.sendall(data)

    def _is_lost(self, method, data):
        if method != b"POST" or data[:7] != b"HTTP/1." or data.startswith(_INTERIM):
            return False
        with self._lock:
            if self._to_lose > 0:
                self._to_lose -= 1
                self.lost += 1
                return True
            self.statuses.append(int(data[9:12]))
        return False


def _reset(connection):
    """As a killed process leaves it: without a farewell."""
    linger = struct.pack("ii", 1, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.close()
