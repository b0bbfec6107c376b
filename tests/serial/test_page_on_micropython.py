"""The page of setup mode as MicroPython serves it: to a browser, and to what is none."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tools.micropython import ARCHITECTURES, ROOT

SCRIPT = ROOT / "tests" / "serial" / "page_on_micropython.py"
LIMIT_S = 60
GET = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def setup_mode(program: Path, folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    command: list[str | Path] = [program, SCRIPT, ROOT / "firmware", folder, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return line
    raise AssertionError(f"it never said {words}")


def ask(port: int, request: str | bytes) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as link:
        link.sendall(request if isinstance(request, bytes) else request.encode())
        link.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := link.recv(4096):
            answer += piece
    return answer.decode()


def form(body: str) -> str:
    return (
        "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_browser_gets_the_page_and_odd_clients_get_nothing(
    architecture: str, micropython: Callable[[str], Path], tmp_path: Path
) -> None:
    port = free_port()
    with setup_mode(micropython(architecture), tmp_path, port) as process:
        until(process, "opened terminal label-4711")
        until(process, "EVENT setup_mode")
        assert ask(port, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").startswith("HTTP/1.1 400 ")
        assert ask(port, b"GET /" + b"x" * 3080).startswith("HTTP/1.1 413 ")
        assert ask(port, "GET / HTTP/1.1\r\nHost: evil\r\n\r\n").startswith("HTTP/1.1 403 ")
        assert ask(port, b"") == ""
        page = ask(port, GET)
        assert page.startswith("HTTP/1.1 200 OK\r\n")
        assert "nothing tried" in page
        token = page.split('name="token" value="')[1].split('"')[0]
        assert ask(port, form("token=x&ssid=a&password=12345678")).startswith("HTTP/1.1 403 ")
        assert ask(port, form(f"token={token}&ssid=&password=12345678")).startswith("HTTP/1.1 400 ")
        good = form(f"token={token}&ssid=B%C3%BCro+7&password=12345678")
        assert ask(port, good).startswith("HTTP/1.1 303 ")
        while "is kept" not in (page := ask(port, GET)):
            assert "Trying" in page
            assert "Refresh: 3; url=/" in page
            assert token not in page
        assert "Büro 7 is kept" in page
        until(process, "closed")
        assert until(process, "page loaded").strip() == "page loaded: False"
        assert process.wait(LIMIT_S) == 0
