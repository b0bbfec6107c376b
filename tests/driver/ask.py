"""Ask a server for each of some paths and print what came of it; runs on both interpreters.

    micropython ask.py FIRMWARE http://127.0.0.1:PORT TIMEOUT_MS FOLDER_OF_CA KEEP_ALIVE_MS PATH...

Prints `PATH fetch OUTCOME` and `PATH download OUTCOME` for each path, each with a client of its
own. `+PATH` is a fetch with the client before it, `~PATH` one after its connection has ended.
"""

import asyncio
import sys

sys.path.insert(0, sys.argv[1])

from ks_agent.effects import Download, Fetch
from ks_driver.authority import Authority
from ks_driver.files import HostFs
from ks_driver.http import HttpClient

MAX_BYTES = 8192


def name_of(error: Exception) -> str:
    """The error's class; what is an OSError of the network only is just that."""
    if not isinstance(error, OSError):
        return "STRAY " + repr(error)
    name = type(error).__name__
    if name == "CertificateRefused":
        return name + ": " + str(error.args[0])
    return name if name == "AnswerRefused" else "OSError"


async def fetch(client: HttpClient, url: str, timeout_ms: int) -> str:
    try:
        answer = await client.request(Fetch("POST", url, [], b"body", MAX_BYTES, timeout_ms))
    except Exception as error:
        return name_of(error)
    return f"{answer.status} {len(answer.body)}"


async def download(client: HttpClient, url: str, timeout_ms: int) -> str:
    begun: list[tuple[int, int]] = []
    sizes: list[int] = []

    def begin(status: int, headers: dict[str, str]) -> None:
        assert not sizes
        begun.append((status, int(headers["content-length"])))

    def sink(piece: memoryview) -> None:
        assert len(begun) == 1
        sizes.append(len(piece))
        assert isinstance(piece, memoryview)
        assert len(piece) <= 2048

    try:
        answer = await client.download(Download(url, [], begin, sink, MAX_BYTES, timeout_ms))
    except Exception as error:
        return name_of(error)
    assert begun == ([(answer.status, sum(sizes))] if answer.status in (200, 206) else [])
    return f"{answer.status} {sum(sizes)}"


async def main(
    base: str, timeout_ms: int, folder: str, keep_alive_ms: int, paths: list[str]
) -> None:
    tls = Authority(HostFs(folder), lambda: "")
    client = HttpClient(tls, keep_alive_ms)
    for path in paths:
        if path[0] == "/":
            client.close()
            client = HttpClient(tls, keep_alive_ms)
            print(path, "download", await download(client, base + path, timeout_ms))
            client.close()
        if path[0] == "~":
            # The socket itself is looked at; there is no event for that.
            while client._kept and client._kept.is_fresh():  # noqa: ASYNC110
                await asyncio.sleep(0)
        print(path, "fetch", await fetch(client, base + path.lstrip("+~"), timeout_ms))
    client.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]), sys.argv[6:]))
