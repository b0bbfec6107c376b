"""The server as a process: it starts, serves, and lets requests in flight finish at a stop."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ks_server.keys import ConfigurationError, write_pem
from ks_server.run import ListenError, bind, main, running, serve
from ks_server.settings import FixedSettings

from .admin_support import (
    RELEASE_SEED,
    SERVER_SEED,
    TOKEN,
    admin_settings,
    make_bundle,
    public_text,
)

ROOT = Path(__file__).parents[2]
BUNDLE = make_bundle(BUILT="2026-01-01T00:00:00.000Z", EXPIRES="2099-01-01T00:00:00.000Z")
AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}


def environment_of(folder: Path) -> dict[str, str]:
    """The configuration of a server that can start."""
    return {
        "KS_DATA": str(folder / "data"),
        "PORT": "0",
        "SERVER_PRIVATE_KEY": write_pem(SERVER_SEED).decode(),
        "ADMIN_TOKEN": TOKEN,
        "RELEASE_PUBLIC_KEYS": public_text(RELEASE_SEED),
    }


class Process:
    """`python -m ks_server`, told apart by the lines that it logs."""

    def __init__(self, folder: Path, **variables: str) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("firmware", "simulator")),
            "PYTHONWARNINGS": "error",
            **environment_of(folder),
            **variables,
        }
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "ks_server"],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []

    def wait_for(self, event: str) -> dict[str, Any]:
        """Read the log up to the line of this event."""
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self.lines.append(line)
            if line.startswith("{") and json.loads(line)["event"] == event:
                return dict(json.loads(line))
        raise AssertionError("".join(self.lines))

    def end(self) -> tuple[int, str]:
        """Exit status, and all that it wrote."""
        output, errors = self.popen.communicate(timeout=60)
        return self.popen.returncode, "".join(self.lines) + output + errors

    def close(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.communicate()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[Process, str]]:
    process = Process(tmp_path)
    try:
        yield process, process.wait_for("listening")["url"]
    finally:
        process.close()


def slow_upload(url: str) -> tuple[socket.socket, bytes]:
    """A request of which half has been sent, and the other half."""
    address = httpx.URL(url)
    head = (
        "POST /api/admin/releases HTTP/1.1\r\n"
        f"Host: {address.netloc.decode()}\r\n"
        f"Authorization: Bearer {TOKEN}\r\n"
        f"Content-Length: {len(BUNDLE)}\r\n"
        "Expect: 100-continue\r\n\r\n"
    )
    connection = socket.create_connection((address.host, address.port or 0), timeout=60)
    connection.sendall(head.encode())
    # the server asks for the body when the request is in its hands
    assert connection.recv(4096).startswith(b"HTTP/1.1 100")
    half = len(BUNDLE) // 2
    connection.sendall(BUNDLE[:half])
    return connection, BUNDLE[half:]


def read_answer(connection: socket.socket) -> bytes:
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    return answer


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_in_flight_finishes_at_a_stop(
    started: tuple[Process, str], number: signal.Signals
) -> None:
    process, url = started
    connection, rest = slow_upload(url)
    process.popen.send_signal(number)
    process.wait_for("stopping")
    connection.sendall(rest)
    answer = read_answer(connection)
    connection.close()
    assert answer.startswith(b"HTTP/1.1 201"), answer
    assert b'"fw1":"app-1.1.0"' in answer
    status, output = process.end()
    assert status == 0, output
    assert "stopped" in output
    assert "Traceback" not in output


def test_what_was_answered_is_there_after_a_restart(tmp_path: Path) -> None:
    process = Process(tmp_path)
    try:
        url = process.wait_for("listening")["url"]
        answer = httpx.post(f"{url}/api/admin/releases", content=BUNDLE, headers=AUTHORIZATION)
        assert answer.status_code == 201, answer.text
        process.popen.kill()
    finally:
        process.close()
    process = Process(tmp_path)
    try:
        url = process.wait_for("listening")["url"]
        shown = httpx.get(f"{url}/api/admin/releases/app-1.1.0", headers=AUTHORIZATION)
        assert shown.json() == answer.json()
    finally:
        process.close()


def test_nobody_is_let_in_while_the_server_stops(started: tuple[Process, str]) -> None:
    process, url = started
    connection, rest = slow_upload(url)
    process.popen.send_signal(signal.SIGTERM)
    process.wait_for("stopping")
    # the listening socket is closed within a tick of the server; until then it may accept
    address = httpx.URL(url)
    with pytest.raises(OSError):
        while True:
            with socket.create_connection((address.host, address.port or 0), timeout=60) as other:
                other.recv(1)
    connection.sendall(rest)
    assert read_answer(connection).startswith(b"HTTP/1.1 201")
    connection.close()
    assert process.end()[0] == 0


def test_the_log_of_a_life_is_json_and_holds_no_secret(started: tuple[Process, str]) -> None:
    process, url = started
    httpx.get(f"{url}/api/devices/commands?toon=D1:dev_1|OTRT:secret-of-a-device")
    httpx.get(f"{url}/api/admin/overview", headers=AUTHORIZATION)
    process.popen.send_signal(signal.SIGTERM)
    status, output = process.end()
    assert status == 0
    events = [json.loads(line)["event"] for line in output.splitlines()]
    assert events[0] == "listening"
    assert events[-2:] == ["stopping", "stopped"]
    assert events.count("request") == 2
    for secret in (TOKEN, write_pem(SERVER_SEED).decode().splitlines()[1], "secret-of-a-device"):
        assert secret not in output


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"SERVER_PRIVATE_KEY": ""}, "there is no server key"),
        ({"SERVER_PRIVATE_KEY": "nonsense-secret"}, "neither PEM"),
        ({"ADMIN_TOKEN": "short-secret"}, "ADMIN_TOKEN"),
        ({"PORT": "many"}, "PORT"),
        ({"TLS_CERT": "cert.pem"}, "TLS_CERT and TLS_KEY"),
        ({"HOST": "203.0.113.1"}, "cannot listen on 203.0.113.1"),
    ],
)
def test_a_server_that_cannot_start_says_why_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ks_server.run.configure", lambda settings: None)
    for name, value in {**environment_of(tmp_path), **variables}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as end:
        main()
    message = str(end.value.code)
    assert message.startswith("ks_server: ")
    assert words in message
    assert "secret" not in message


def test_a_process_that_cannot_start_ends_with_status_1(tmp_path: Path) -> None:
    process = Process(tmp_path, SERVER_PRIVATE_KEY="")
    try:
        status, output = process.end()
    finally:
        process.close()
    assert (status, output.count("\n")) == (1, 1)


def test_a_request_that_never_ends_does_not_hold_the_stop_for_ever(tmp_path: Path) -> None:
    process = Process(tmp_path, SHUTDOWN_GRACE_S="1")
    try:
        connection, _rest = slow_upload(process.wait_for("listening")["url"])
        process.popen.send_signal(signal.SIGTERM)
        status, output = process.end()
        connection.close()
    finally:
        process.close()
    assert status == 0, output
    assert not list((tmp_path / "data" / "firmware").iterdir())


async def test_a_server_inside_a_test_listens_on_a_free_port(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    async with running(admin_settings(tmp_path, port=0)) as listening:
        assert signal.getsignal(signal.SIGTERM) is before
        assert listening.url == f"http://127.0.0.1:{listening.port}"
        assert listening.context.settings.base_url == listening.url
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"{listening.url}/healthz")
        assert answer.status_code == 200
        assert "server" not in answer.headers
        async with running(admin_settings(tmp_path / "two", port=0)) as other:
            assert other.port != listening.port


async def test_a_server_inside_a_test_that_cannot_start_raises(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        async with running(FixedSettings(data=tmp_path, port=0)):
            pass
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(ListenError, match="cannot listen"):
            async with running(admin_settings(tmp_path, port=taken.getsockname()[1])):
                pass


async def test_sockets_that_are_open_already_are_served_and_closed(tmp_path: Path) -> None:
    bound = bind("127.0.0.1", 0)
    stop = asyncio.Event()
    urls = []

    def ready(listening: Any) -> None:
        urls.append(listening.url)
        stop.set()

    await serve(admin_settings(tmp_path), ready, sockets=[bound], stop=stop, handle_signals=False)
    assert urls
    assert bound.fileno() == -1


async def test_tls_is_spoken_when_it_is_configured(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    settings = admin_settings(tmp_path, port=0, tls_cert=certificate, tls_key=key)
    async with running(settings) as listening:
        assert listening.url.startswith("https://")
        context = ssl.create_default_context(cafile=str(certificate))
        async with httpx.AsyncClient(verify=context) as client:
            assert (await client.get(f"{listening.url}/healthz")).status_code == 200


def self_signed(folder: Path) -> tuple[Path, Path]:
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, None)
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


async def test_an_upload_that_a_power_cut_broke_off_is_cleared_away(tmp_path: Path) -> None:
    folder = tmp_path / "firmware"
    folder.mkdir()
    for name in (".upload-0123456789abcdef", "app-1.0.0.bundle"):
        (folder / name).write_bytes(b"x")
    async with running(admin_settings(tmp_path, port=0)):
        assert [path.name for path in folder.iterdir()] == ["app-1.0.0.bundle"]


async def test_a_second_server_in_the_same_folder_does_not_start(tmp_path: Path) -> None:
    async with running(admin_settings(tmp_path, port=0)):
        with pytest.raises(ConfigurationError, match="another server"):
            async with running(admin_settings(tmp_path, port=0)):
                pass
    async with running(admin_settings(tmp_path, port=0)):
        pass
