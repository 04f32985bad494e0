# SPDX-License-Identifier: MIT
"""HTTP beyond what requests offers: over a Unix domain socket, and byte by
byte."""

import http.client
import socket
import ssl


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a socket of the file system."""

    def __init__(self, path, timeout=30):
        super().__init__("localhost", timeout=timeout)
        self._path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class RawConnection:
    """A connection whose bytes the test writes itself."""

    def __init__(self, port, timeout=30):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._received = b""

    def wrap(self, context):
        """TLS from here on."""
        self._socket = context.wrap_socket(self._socket)

    def send(self, data):
        self._socket.sendall(data)

    def _fill(self):
        data = self._socket.recv(65536)
        self._received += data
        return bool(data)

    def read_head(self):
        """The status and the headers (names in lower case) of an answer."""
        while b"\r\n\r\n" not in self._received:
            if not self._fill():
                raise EOFError(f"closed after {self._received!r}")
        head, self._received = self._received.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, value = line.split(":", 1)
            headers[name.lower()] = value.strip()
        return int(lines[0].split(" ")[1]), headers

    def read_body(self, headers):
        size = int(headers["content-length"])
        while len(self._received) < size:
            if not self._fill():
                raise EOFError("closed in the middle of a body")
        body, self._received = self._received[:size], self._received[size:]
        return body

    def read_to_end(self):
        try:
            while self._fill():
                pass
        except (ConnectionResetError, ssl.SSLEOFError):
            pass
        data, self._received = self._received, b""
        return data

    def is_quiet(self, seconds):
        """Whether nothing is sent to us for so long."""
        self._socket.settimeout(seconds)
        try:
            return not self._fill()
        except socket.timeout:
            return True
        finally:
            self._socket.settimeout(30)

    def close(self):
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
