"""Releases: built the same twice, in the form that the terminal's own code reads."""

import contextlib
import hashlib
import os
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ks_agent import bundle, signing
from ks_agent.errors import BadSignature, Malformed
from ks_simulator import application
from ks_simulator.application import (
    Release,
    ReleaseError,
    build,
    fetched_bytes,
    installed_files,
    split,
)
from ks_simulator.keys import CRYPTO, RoleKeys
from ks_simulator.loader import stage_0
from ks_simulator.packing import PACKABLE_BITS, pack, unpack

FILES = {"main.py": b"print('hello')\n", "ks_agent/__init__.py": b"", "ks_agent/agent.py": b"x"}
KEYS = RoleKeys.make()
NAMES = st.text("abcXYZ019_-", min_size=1, max_size=12)
TREES = st.dictionaries(
    NAMES.map(lambda name: f"lib/{name}.py"), st.binary(max_size=64), max_size=8
)


def made(version: str = "1.2.3") -> Release:
    return build(FILES, version=version, counter=4)


def test_the_same_files_give_the_same_bytes() -> None:
    backwards = dict(reversed(FILES.items()))
    assert build(backwards, version="1.2.3", counter=4).manifest == made().manifest


def test_the_manifest_says_what_it_was_given() -> None:
    message = made().message
    assert message["FW1"] == "app-1.2.3"
    assert message["FW2"] == "1.2.3"
    assert message["COUNTER"] == "4"
    assert message["BUILT"] == "2026-01-01T00:00:00.000Z"
    assert message["TYPES"] == "ESP32_TERMINAL,ESP32_READER,RPI_TERMINAL"
    assert [row["PATH"] for row in message["FILE"]] == sorted(FILES)  # type: ignore[attr-defined]


@given(TREES)
def test_a_bundle_splits_into_the_release_it_was_made_of(tree: dict[str, bytes]) -> None:
    release = build({**tree, "main.py": b""}, version="0.1.0", counter=0).signed(KEYS.release)
    data = release.assemble()
    assert split(data) == release
    length, _ = bundle.parse_head(data[: bundle.HEAD_BYTES])
    assert len(data) == bundle.HEAD_BYTES + length + sum(map(len, release.files.values()))


@given(st.data())
def test_a_changed_bundle_is_malformed_or_has_a_wrong_signature(data: st.DataObject) -> None:
    bytes_ = bytearray(made().signed(KEYS.release).assemble())
    place = data.draw(st.integers(0, len(bytes_) - 1))
    bytes_[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        release = split(bytes(bytes_))
        text = signing.manifest_text(CRYPTO, release.manifest)
        public = CRYPTO.public_key(KEYS.release)
        signing.verify_text(CRYPTO, public, text, release.signature)
    except (Malformed, BadSignature):
        return
    pytest.fail("a changed bundle was taken for a good one")


def test_an_unsigned_release_has_no_bundle() -> None:
    with pytest.raises(ReleaseError, match="not signed"):
        made().assemble()


@pytest.mark.parametrize(
    ("files", "version", "why"),
    [
        ({"other.py": b""}, "1.0.0", "no main.py"),
        ({"main.py": b"", "../x": b""}, "1.0.0", "bad path"),
        ({"main.py": b"", "a b": b""}, "1.0.0", "bad path"),
        ({"main.py": b"", "manifest.toon": b""}, "1.0.0", "bad path"),
        ({"main.py": b""}, "1.0", "not a version"),
        ({"main.py": b""} | {f"f{n}": b"" for n in range(200)}, "1.0.0", "bytes, more than"),
    ],
)
def test_a_release_that_a_terminal_would_refuse_is_not_built(
    files: dict[str, bytes], version: str, why: str
) -> None:
    with pytest.raises(ReleaseError, match=why):
        build(files, version=version, counter=1)


def test_the_installed_firmware_fits_into_a_release() -> None:
    files = installed_files()
    assert b"def main(root, slot" in files["main.py"]
    assert "ks_agent/agent.py" in files
    release = build(files, version="1.0.0", counter=1)
    assert release.manifest_hash == hashlib.sha256(release.manifest).hexdigest()
    assert len(release.manifest) <= bundle.MANIFEST_MAX_BYTES


def test_a_release_shows_no_content_in_its_repr() -> None:
    assert "hello" not in repr(made())


def test_an_image_is_one_file_and_says_what_it_loads() -> None:
    texts = {"IMAGE": "1.26.0", "MPY": "6.3", "ARCH": "xtensawin", "BOARD": "esp32"}
    image = {"micropython.bin": b"\xe9" * 2000}
    release = build(image, version="2.0.0", counter=1, kind="image", texts=texts)
    assert release.token("FW1") == "image-2.0.0"
    assert {name: release.token(name) for name in texts} == texts
    assert split(release.signed(KEYS.release).assemble()).files == image


@pytest.mark.parametrize(
    ("files", "changes", "why"),
    [
        ({"micropython.bin": b"x"}, {"texts": {"IMAGE": "1.26.0"}}, "needs MPY, ARCH"),
        ({"micropython.bin": b"x", "y": b""}, {}, "one file micropython.bin"),
        ({"micropython.bin": b"x"}, {"window_bits": 10}, "never packed"),
        ({"micropython.bin": b"x"}, {"texts": {"IMAGE_MIN": "1.25.0"}}, "IMAGE_MIN has no meaning"),
        ({"x": b""}, {"kind": "opaque"}, "ESP32_TERMINAL takes"),
        ({}, {"kind": "opaque", "types": ("MOBILE_KIOSK",)}, "no files"),
        (FILES, {"kind": "applet"}, "no kind 'applet'"),
        (FILES, {"kind": "application", "texts": {"IMAGE": "1.26.0"}}, "IMAGE has no meaning"),
        (
            FILES,
            {"kind": "application", "texts": {"IMAGE_MIN": "1.26.0", "IMAGE_MAX": "1.25.9"}},
            "below IMAGE_MIN",
        ),
        (FILES, {"kind": "application", "window_bits": 8}, "cannot be packed"),
    ],
)
def test_a_release_of_the_wrong_form_for_its_kind_is_not_built(
    files: dict[str, bytes], changes: dict[str, Any], why: str
) -> None:
    options: dict[str, Any] = {"kind": "image", "version": "1.0.0", "counter": 1, **changes}
    with pytest.raises(ReleaseError, match=why):
        build(files, **options)


def test_a_terminal_fetches_the_files_that_it_has_not() -> None:
    old, new = (
        build({**FILES, **changes}, version=version, counter=4)
        for version, changes in (
            ("1.0.0", {"gone.py": b"12345"}),
            ("1.1.0", {"main.py": b"new", "moved.py": b"12345"}),
        )
    )
    head = bundle.HEAD_BYTES + len(new.manifest)
    assert fetched_bytes(old, new) == head + len(b"new") + len(b"12345")
    assert fetched_bytes(new, new) == head


def repetitive(bytes_: int) -> bytes:
    return (b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(20)) * bytes_)[:bytes_]


@given(
    st.dictionaries(NAMES.map("lib/{}.py".format), st.binary(max_size=64), max_size=4),
    st.sampled_from(list(PACKABLE_BITS)),
    st.integers(0, 20_000),
)
def test_a_packed_bundle_splits_into_the_release_it_was_made_of(
    tree: dict[str, bytes], window_bits: int, size: int
) -> None:
    files = {**tree, "main.py": repetitive(size)}
    options: dict[str, Any] = {"version": "0.1.0", "counter": 0}
    release = build(files, window_bits=window_bits, **options).signed(KEYS.release)
    data = release.assemble()
    assert split(data) == release
    assert len(data) == release.bundle_bytes()
    assert sum(release.packed_sizes().values()) <= sum(map(len, files.values()))
    assert build(files, window_bits=window_bits, **options).manifest == release.manifest


def test_a_file_is_packed_only_where_that_saves_a_twentieth() -> None:
    noise = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(300))
    files = {"main.py": noise + b"0" * 450, "noise.bin": noise, "text.py": b"x = 1\n" * 400}
    release = build(files, version="1.0.0", counter=1, window_bits=10)
    sizes = release.packed_sizes()
    assert {path for path, data in files.items() if sizes[path] == len(data)} == {
        "main.py",
        "noise.bin",
    }
    assert sizes["text.py"] < 100
    assert release.token("WBITS") == "10"


def test_a_release_without_packed_files_says_nothing_of_packing() -> None:
    packed = build({"main.py": b"x"}, version="1.0.0", counter=1, window_bits=10)
    assert packed == build({"main.py": b"x"}, version="1.0.0", counter=1)
    assert b"PACKED" not in packed.manifest


def test_packed_files_need_no_larger_window_than_the_manifest_says() -> None:
    far = os.urandom(700) + bytes(700)
    release = build({"main.py": far * 3}, version="1.0.0", counter=1, window_bits=9)
    data = release.signed(KEYS.release).assemble()[-release.packed_sizes()["main.py"] :]
    inflater = zlib.decompressobj(-9)
    made = b""
    while not inflater.eof:  # so little at a time that the window is all that zlib remembers
        made += inflater.decompress(data, 1)
        data = inflater.unconsumed_tail
    assert made == far * 3


def test_a_release_is_not_assembled_where_zlib_packs_to_another_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = build({"main.py": b"x" * 500}, version="1.0.0", counter=1, window_bits=10)
    monkeypatch.setattr(application, "pack", lambda data, window_bits: data[:200])
    with pytest.raises(ReleaseError, match=r"main\.py packs to another size here"):
        release.signed(KEYS.release).assemble()


def test_a_packed_file_is_never_unpacked_to_more_than_its_size() -> None:
    packed = pack(bytes(1_000_000), 10)
    assert unpack(packed, 1_000_000, 10) == bytes(1_000_000)
    for size in (0, 1, 999_999, 1_000_001):
        with pytest.raises(Malformed):
            unpack(packed, size, 10)
    for damaged in (packed[:-1], packed + b"x", b"", b"\xff" * 40):
        with pytest.raises(Malformed):
            unpack(damaged, 1_000_000, 10)


@given(st.binary(max_size=200), st.integers(0, 1000))
def test_any_bytes_unpack_to_the_size_that_was_said_or_not_at_all(data: bytes, size: int) -> None:
    with contextlib.suppress(Malformed):
        assert len(unpack(data, size, 10)) == size


def test_stage_0_reads_a_packed_manifest() -> None:
    files = {"main.py": b"x = 1\n" * 400, "a.bin": b"\x01"}
    release = build(files, version="1.0.0", counter=1, window_bits=10)
    _scalars, found = stage_0().parse(release.manifest)
    assert found == {
        path: [hashlib.sha256(data).hexdigest(), str(len(data))] for path, data in files.items()
    }
