"""Releases with packed files, and a server with a poor link, for tests of downloads."""

import binascii

from test_update import make_bundle, make_manifest, offer

from ks_agent import bundle, toon
from ks_agent.store import as_text

# 2150 bytes of text, as zlib packs them raw with a window of 2^10 bytes.
LINES = b"".join([b"print('line %d of the new release')\n" % number for number in range(60)])
LINES_PACKED = binascii.a2b_base64(
    "jdI7CsJQEEDR3lW8LrFzfn6Wk2LEQHgJMeD2bW1kbn+rw932uR/jsMw926Wtz3a8svX8tD2XnN45nE/bTyJ1onVideJ1"
    "EnVyrZNbndzr5AHoCC/wFQAsQFgAsQBjAcgClAUwC3BW4KzkY+CswFmBswJnBc4KnBU4K3A24GzA2YCzAWcDzgacDTgb"
    "cDbgbMDZgbMDZwfODpwdODtwduDswNmBswPnAM4BnAM4B3AO4BzAOYBzAOcAzvHH+Qs="
)
# 60000 zeroes.
BOMB_PACKED = binascii.a2b_base64("7cExAQAAAMKg9U9tDQ+g" + "A" * 77 + "L4M")
DOWNLOAD = "data/state/download.toon"
LARGE = {"lib/a.py": b"A" * 3000, "lib/b.py": b"B" * 2500, "main.py": b"main()\n" * 90}


def packed_bundle(terminal, files, packed, **fields):
    """A bundle in which `packed` (path -> bytes) stand for these files."""
    manifest = make_manifest(terminal, files, WBITS="10", **fields)
    contents = dict(files)
    contents.update(packed)
    for row in manifest["FILE"]:
        row["PACKED"] = str(len(contents[row["PATH"]]))
    return make_bundle(manifest, contents)


def offered(terminal, files=LARGE, **fields):
    """The bundle that is offered from now on."""
    content = make_bundle(make_manifest(terminal, files, **fields), files)
    offer(terminal, content)
    return content


def staged(terminal):
    return terminal.restarts == ["update"]


def idle_after(terminal, requests):
    """Live until so many requests of the bundle were answered, and the attempt is over."""
    terminal.run(lambda: len(terminal.server.served) >= requests)
    terminal.run(lambda: terminal.agent.progress.state == "IDLE")


def head_bytes(content):
    """Where the files begin in a bundle."""
    return bundle.HEAD_BYTES + bundle.parse_head(content[: bundle.HEAD_BYTES])[0]


class Drops:
    """A link that brings so many bytes of a bundle and breaks, until it is mended."""

    def __init__(self, terminal, brought):
        self.brought = brought
        self.starts = []
        self.bytes = 0
        terminal.server.serving = self

    def __call__(self, fetch, status, headers, body):
        asked = dict(fetch.headers)["Range"]
        self.starts.append(int(asked[len("bytes=") :].split("-")[0]))
        brought = len(body) if self.brought is None else min(self.brought, len(body))
        self.bytes += brought
        return status, headers, body[:brought]


def slot_files(terminal, slot="b"):
    prefix = "slot_" + slot + "/"
    found = {}
    for path, data in terminal.fs.files.items():
        if path.startswith(prefix):
            found[path[len(prefix) :]] = data
    return found


def installed(terminal, files=LARGE):
    """Whether the slot holds these files, the manifest, and nothing else."""
    found = slot_files(terminal)
    del found["manifest.toon"]
    del found["manifest.sig"]
    return found == files


def put_running(terminal, files):
    """Slot a holds a release of these files."""
    manifest = make_manifest(terminal, files, FW2="1.0.0")
    terminal.fs.files["slot_a/manifest.toon"] = toon.encode(manifest, as_text)
    for path, data in files.items():
        terminal.fs.files["slot_a/" + path] = data
