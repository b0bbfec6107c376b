"""The peer of downloads: one file, given out by Starlette's FileResponse, and nothing besides.

python -m benchmarks.plain_files FILE      prints its port when it listens
"""

from __future__ import annotations

import asyncio
import socket
import sys

import uvicorn
import uvloop
from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send


async def serve(path: str) -> None:
    """Serve the file under every address until the process is ended."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await FileResponse(path)(scope, receive, send)

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        application, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listener]))
    print(listener.getsockname()[1], flush=True)
    await serving


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
