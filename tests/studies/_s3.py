"""A real S3 server on this machine (moto), and a way to it that can be cut: what is behind it stays, as when a network is down."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field

from studies.remote_folder import RemoteFolder
from studies.remote_uri import open_remote

BUCKET = "results-bucket"
KEYS = {
    "AWS_ACCESS_KEY_ID": "an-access-key",
    "AWS_SECRET_ACCESS_KEY": "a-secret-key-that-must-not-be-seen",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass
class Store:
    """A server with one bucket.

    Attributes:
        port: of the server itself.
    """

    port: int
    _n_folders: int = field(default=0, init=False)

    def uri(self, name: str = "", *, port: int | None = None) -> str:
        """Of a folder of its bucket; without a name, of a new one."""
        self._n_folders += not name
        folder = name or f"folder-{self._n_folders}"
        return f"s3://{BUCKET}/{folder}?scheme=http&endpoint_override=127.0.0.1:{port or self.port}&region=us-east-1"

    def folder(self, name: str = "") -> RemoteFolder:
        """The same, opened."""
        return open_remote(self.uri(name), {})


def environment() -> dict[str, str]:
    """This process's own with the server's credentials and nothing else of any store."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | KEYS


@contextlib.contextmanager
def s3_server() -> Iterator[Store]:
    """A server, for as long as the context lasts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
    try:
        _make_bucket(port)
        yield Store(port)
    finally:
        process.kill()
        process.wait()


def _make_bucket(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/{BUCKET}", method="PUT"), timeout=10).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


class Way:
    """A TCP port that leads to another one, until it is cut: then connections end, and new ones are refused."""

    def __init__(self, to: int) -> None:
        self._to, self._open, self._turn = to, list[socket.socket](), threading.Lock()
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]

    def cut(self) -> None:
        """Nobody gets through."""
        with self._turn:
            for connection in [self._listener, *self._open]:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()
            self._open.clear()

    def mend(self) -> None:
        """Everybody does again."""
        self._listener = self._listen(self.port)

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                here = listener.accept()[0]
                with self._turn:
                    if listener.fileno() < 0:  # cut meanwhile
                        here.close()
                        return
                    there = socket.create_connection(("127.0.0.1", self._to))
                    self._open += [here, there]
                for source, sink in ((here, there), (there, here)):
                    threading.Thread(target=_carry, args=(source, sink), daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
