"""The HTTP client against servers that mean no good, on every interpreter."""

import asyncio
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.driver.certificates import AUTHORITY, EXPIRED, GOOD, KEY, OF_ANOTHER_AUTHORITY
from tests.driver.hostile import ANSWERS, CUT, ENDLESS, hostile_server
from tools.micropython import ROOT

SCRIPT = Path(__file__).with_name("ask.py")
FIRMWARE = ROOT / "firmware"
PATIENCE_MS = 20_000  # for what must come to an end by itself
IMPATIENCE_MS = 150  # for what never does
LIMIT_S = 120

# path -> outcome, of a fetch and (where it differs) of a download
OUTCOMES: dict[str, tuple[str, ...]] = {
    "/good": ("200 5",),
    "/empty": ("200 0",),
    "/refusal": ("403 2", "403 0"),
    "/partial": ("206 5",),
    "/says-close": ("200 5",),
    "/old": ("200 5",),
    "/surplus": ("200 5",),
    "/large": ("200 8000",),
    "/good-then-cut": ("200 5",),
    "/endless-body": ("200 5",),
    "/echo": ("200 96", "200 72"),
}
NEVER = ("/drip-head", "/drip-body", "/silent")


def expected(path: str) -> dict[str, str]:
    wanted = OUTCOMES.get(path, ("OSError",) if path in NEVER else ("AnswerRefused",))
    return {f"{path} fetch": wanted[0], f"{path} download": wanted[-1]}


async def ask(
    interpreter: list[str],
    base: str,
    timeout_ms: int,
    folder: Path | str,
    paths: list[str],
    keep_alive_ms: int = 60_000,
) -> dict[str, str]:
    """Run the script; what it printed, as "path call" -> outcome."""
    process = await asyncio.create_subprocess_exec(
        *interpreter, SCRIPT, FIRMWARE, base, str(timeout_ms), folder, str(keep_alive_ms),
        *paths,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, out.decode() + err.decode()
    outcomes = {}
    for line in out.decode().splitlines():
        path, call, outcome = line.split(" ", 2)
        outcomes[f"{path} {call}"] = outcome
    return outcomes


@pytest.fixture(params=["cpython", "amd64", "i386"])
def interpreter(request: pytest.FixtureRequest, micropython: Callable[[str], Path]) -> list[str]:
    if request.param == "cpython":
        return [sys.executable, "-W", "error"]
    heap = "160k" if request.param == "i386" else "320k"
    return [str(micropython(request.param)), "-X", f"heapsize={heap}"]


async def test_each_answer_is_read_or_refused_as_it_should_be(interpreter: list[str]) -> None:
    paths = [path for path in ("/echo", *ANSWERS, *CUT, *ENDLESS) if path not in NEVER]
    async with hostile_server() as server:
        base = f"http://127.0.0.1:{server.port}"
        outcomes = await ask(interpreter, base, PATIENCE_MS, ".", paths)
    wanted: dict[str, str] = {}
    for path in paths:
        wanted |= expected(path)
    if "/echo fetch" in outcomes:  # its length depends on the port's digits
        surplus = len(str(server.port)) - 5
        for name in ("/echo fetch", "/echo download"):
            status, length = wanted[name].split()
            wanted[name] = f"{status} {int(length) + surplus}"
    assert outcomes == wanted


async def test_an_answer_that_never_ends_is_given_up_in_time(interpreter: list[str]) -> None:
    async with hostile_server() as server:
        base = f"http://127.0.0.1:{server.port}"
        outcomes = await ask(interpreter, base, IMPATIENCE_MS, ".", list(NEVER))
    wanted: dict[str, str] = {}
    for path in NEVER:
        wanted |= expected(path)
    assert outcomes == wanted


async def test_a_server_that_is_not_there_is_an_os_error(interpreter: list[str]) -> None:
    async with hostile_server() as server:
        base = f"http://127.0.0.1:{server.port}"
    outcomes = await ask(interpreter, base, PATIENCE_MS, ".", ["/good"])
    assert outcomes == {"/good fetch": "OSError", "/good download": "OSError"}


async def test_a_name_that_does_not_exist_is_an_os_error(interpreter: list[str]) -> None:
    outcomes = await ask(interpreter, "http://name.invalid", PATIENCE_MS, ".", ["/good"])
    assert outcomes == {"/good fetch": "OSError", "/good download": "OSError"}


async def test_an_address_that_carries_a_line_is_never_sent(interpreter: list[str]) -> None:
    paths = ["/good%0d%0aX:y".replace("%0d", "\r").replace("%0a", "\n"), "/a\tb", "/é"]
    async with hostile_server() as server:
        base = f"http://127.0.0.1:{server.port}"
        for path in paths:
            process = await asyncio.create_subprocess_exec(
                *interpreter, SCRIPT, FIRMWARE, base, "1000", ".", "1000", path,
                stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            out, _ = await process.communicate()
            assert out.count(b" OSError\n") == 2, out
        assert server.connections == 0


async def test_a_connection_serves_one_request_after_the_other(interpreter: list[str]) -> None:
    async with hostile_server() as server:
        base = f"http://127.0.0.1:{server.port}"
        paths = ["/good", "+/large", "+/echo", "+/refusal", "+/empty"]
        outcomes = await ask(interpreter, base, PATIENCE_MS, ".", paths)
        assert server.connections == 2  # the first path is asked for twice
        assert len(server.requests) == 6
    assert [outcomes[f"{path} fetch"] for path in paths[3:]] == ["403 2", "200 0"]
    assert outcomes["+/large fetch"] == "200 8000"


@pytest.mark.parametrize("path", ["/good-then-cut", "/surplus", "/endless-body"])
async def test_a_connection_that_ended_or_holds_more_than_was_asked_for_is_not_used_again(
    interpreter: list[str], path: str
) -> None:
    then = "+/good" if path == "/surplus" else "~/good"
    async with hostile_server() as server:
        base = f"http://127.0.0.1:{server.port}"
        outcomes = await ask(interpreter, base, PATIENCE_MS, ".", [path, then])
        assert server.connections == 3
    assert outcomes == {
        f"{path} fetch": "200 5",
        f"{path} download": "200 5",
        f"{then} fetch": "200 5",
    }


@pytest.mark.parametrize("path", ["/says-close", "/old"])
async def test_a_connection_that_the_server_gives_up_is_not_used_again(
    interpreter: list[str], path: str
) -> None:
    async with hostile_server() as server:
        base = f"http://127.0.0.1:{server.port}"
        outcomes = await ask(interpreter, base, PATIENCE_MS, ".", [path, "+/good"])
        assert server.connections == 3
    assert outcomes["+/good fetch"] == "200 5"


async def test_a_kept_connection_closes_by_itself(interpreter: list[str]) -> None:
    async with hostile_server() as server:
        base = f"http://127.0.0.1:{server.port}"
        outcomes = await ask(interpreter, base, PATIENCE_MS, ".", ["/good", "~/good"], 10)
        assert server.connections == 3
    assert outcomes["~/good fetch"] == "200 5"


def server_tls(folder: Path, certificate: str) -> ssl.SSLContext:
    chain = folder / "server.pem"
    chain.write_text(certificate + KEY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A folder with the authority to verify by."""
    (tmp_path / "ca.der").write_bytes(ssl.PEM_cert_to_DER_cert(AUTHORITY))
    return tmp_path


TLS_PATHS = ["/good", "/large", "/good", "/good-then-cut", "/echo", "/surplus", "/chunked"]


async def test_a_server_with_the_right_certificate_is_talked_to(
    interpreter: list[str], tmp_path: Path, authority: Path
) -> None:
    async with hostile_server(server_tls(tmp_path, GOOD)) as server:
        base = f"https://localhost:{server.port}"
        outcomes = await ask(interpreter, base, PATIENCE_MS, authority, TLS_PATHS)
        asked = len(server.requests)
    assert outcomes["/good fetch"] == "200 5"
    assert outcomes["/large download"] == "200 8000"
    assert outcomes["/good-then-cut fetch"] == "200 5"
    assert outcomes["/chunked fetch"] == "AnswerRefused"
    assert asked == 2 * len(TLS_PATHS)


async def test_a_certificate_by_another_authority_is_refused(
    interpreter: list[str], tmp_path: Path, authority: Path
) -> None:
    async with hostile_server(server_tls(tmp_path, OF_ANOTHER_AUTHORITY)) as server:
        base = f"https://localhost:{server.port}"
        outcomes = await ask(interpreter, base, PATIENCE_MS, authority, ["/good"])
        assert server.requests == []
    assert set(outcomes.values()) == {"CertificateRefused: certificate"}


async def test_a_certificate_for_another_name_is_refused(
    interpreter: list[str], tmp_path: Path, authority: Path
) -> None:
    async with hostile_server(server_tls(tmp_path, GOOD)) as server:
        base = f"https://127.0.0.1:{server.port}"
        outcomes = await ask(interpreter, base, PATIENCE_MS, authority, ["/good"])
        assert server.requests == []
    assert set(outcomes.values()) == {"CertificateRefused: certificate"}


async def test_an_expired_certificate_is_refused_on_a_computer(
    tmp_path: Path, authority: Path
) -> None:
    async with hostile_server(server_tls(tmp_path, EXPIRED)) as server:
        base = f"https://localhost:{server.port}"
        outcomes = await ask([sys.executable], base, PATIENCE_MS, authority, ["/good"])
        assert server.requests == []
    assert set(outcomes.values()) == {"CertificateRefused: certificate date"}


async def test_https_needs_something_to_verify_with(
    tmp_path: Path, micropython: Callable[[str], Path]
) -> None:
    async with hostile_server(server_tls(tmp_path, GOOD)) as server:
        base = f"https://localhost:{server.port}"
        interpreter = [str(micropython("amd64"))]
        outcomes = await ask(interpreter, base, PATIENCE_MS, tmp_path, ["/good"])
        assert server.connections == 0
    assert set(outcomes.values()) == {"CertificateRefused: certificate"}
