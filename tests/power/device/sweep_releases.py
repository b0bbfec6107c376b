"""Releases as servers offer them, for the phases of sweep_updates; runs on both interpreters."""

from binascii import unhexlify

from fake_ports import NOW_MS
from fakes import RELEASE_SEED
from sweep_server import HOST, SEEDS, Release
from sweep_terminal import CRASHING, HANGING

from ks_agent import bundle, signing, timetext, toon
from ks_agent.store import as_text

DAY_MS = 86400000
GOOD = {
    "main.py": b"print('good')\n",
    "ks_agent/empty.py": b"",
    "ks_agent/a.py": b"A" * 700,
    "same.py": b"# the same in both\n" * 20,
}
NEW = dict(GOOD)
NEW["main.py"] = b"print('better')\n" * 9
NEW["ks_agent/a.py"] = b"B" * 5000
NEW["ks_agent/b.py"] = b"# not packed at all\n" * 150
BAD = dict(NEW)
BAD["main.py"] = CRASHING + b"\n"
STUCK = dict(NEW)
STUCK["main.py"] = HANGING + b"\n"
# Raw deflate of ks_agent/a.py with a window of 2^10.
WBITS = 10
PACKED = {"ks_agent/a.py": unhexlify(b"edc13101000000c2a06eeb1fca147e4001000000006f03")}
RELEASES = {"1.0.0": GOOD, "1.1.0": NEW, "1.2.0": BAD, "1.3.0": STUCK}


def make_manifest(crypto, version, files, counter, packed=(), **texts):
    manifest = {"KIND": "application", "FW1": "rel-" + version, "FW2": version}
    manifest["COUNTER"] = str(counter)
    manifest["BUILT"] = timetext.format_ms(NOW_MS - DAY_MS)
    manifest["EXPIRES"] = timetext.format_ms(NOW_MS + 3000 * DAY_MS)
    manifest["TYPES"] = "ESP32_TERMINAL"
    if packed:
        manifest["WBITS"] = str(WBITS)
    manifest["FILE"] = [
        {"PATH": path, "SHA256": signing.sha256_hex(crypto, data), "SIZE": str(len(data))}
        for path, data in sorted(files.items())
    ]
    manifest.update(texts)
    encoded = toon.encode(manifest, as_text)
    return add_packed(encoded, files, packed) if packed else encoded


def add_packed(encoded, files, packed):
    """PACKED as the last column of FILE, as stage 0 expects it."""
    lines = encoded.split(b"\n")
    for index, line in enumerate(lines):
        path = line[2:].split(b",")[0].decode()
        if line.startswith(b"FILE["):
            lines[index] = line.replace(b"}", b",PACKED}")
        elif line.startswith(b"  "):
            count = len(PACKED[path] if path in packed else files[path])
            lines[index] = line + b',"%d"' % count
    return b"\n".join(lines)


def make_release(crypto, version, files, counter, packed=(), **texts):
    """As the server offers it."""
    manifest = make_manifest(crypto, version, files, counter, packed, **texts)
    signature = signing.sign_text(crypto, RELEASE_SEED, signing.manifest_text(crypto, manifest))
    contents = [PACKED[path] if path in packed else files[path] for path in sorted(files)]
    content = bundle.make_head(manifest, signature) + manifest + b"".join(contents)
    tokens = {"FW1": "rel-" + version, "FW2": version, "FW5": str(len(content))}
    tokens["FW3"] = HOST + "/download/" + version
    tokens["FW4"] = signing.sha256_hex(crypto, content)
    tokens["FW_SIG"] = signing.sign_release(crypto, SEEDS[0], tokens)
    return Release(tokens, content, texts.get("IMAGE"))
