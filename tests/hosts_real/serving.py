"""`transformers serve`, started through `autoreg run`."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.hosts_real.launching import TRANSFORMERS, start

__all__ = ["ask", "serving"]


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    """Return what the server answers, to a POST of the body if there is one."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@contextmanager
def serving(path: str | Path, cwd: Path) -> Iterator[str]:
    """Serve a checkpoint until the block ends; the value is the server's URL."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    where = ("--device", "cpu", "--host", "127.0.0.1", "--port", str(port))
    with start(*TRANSFORMERS, "serve", path, *where, cwd=cwd) as server:
        try:
            _await_health(server, url)
            yield url
        finally:
            server.kill()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _await_health(server: subprocess.Popen[str], url: str) -> None:
    """Wait until the server answers; its output is the failure if it ends or takes five minutes."""
    end = time.monotonic() + 300
    while time.monotonic() < end and server.poll() is None:
        try:
            ask(f"{url}/health")
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
        else:
            return
    server.kill()
    pytest.fail(server.communicate()[1])
