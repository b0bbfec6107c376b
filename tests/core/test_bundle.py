"""The head of a bundle and its manifest (docs/protocol.md, releases)."""

# heap: 192k because the largest manifest is built here as well as read

import io

from support import packed_last, raises

from ks_agent import bundle, signing, toon
from ks_agent.errors import Malformed
from ks_agent.store import as_text

SIGNATURE = signing.b64(bytes(range(64)))
HASH = "0123456789abcdef" * 4


def manifest(extra=None, files=None):
    made = {
        "KIND": "application",
        "FW1": "release-1",
        "FW2": "1.2.3",
        "COUNTER": "7",
        "BUILT": "2026-11-20T10:00:00.000Z",
        "EXPIRES": "2027-11-20T10:00:00Z",
        "TYPES": "ESP32_TERMINAL,ESP32_READER",
        "FILE": files if files is not None else [row("ks_agent/agent.py", "5"), row("main.py")],
    }
    made.update(extra or {})
    return made


def row(path, size="0"):
    return {"PATH": path, "SHA256": HASH, "SIZE": size}


def encoded(message):
    return packed_last(toon.encode(message, as_text))


def refused(message):
    return raises(Malformed, bundle.parse_manifest, encoded(message))


def test_a_head_is_128_bytes_and_reads_back():
    for length in (1, 100, bundle.MANIFEST_MAX_BYTES):
        head = bundle.make_head(b"m" * length, SIGNATURE)
        assert len(head) == bundle.HEAD_BYTES == 128
        assert head.startswith(b"KS-BUNDLE-1 LEN:%d SIG:" % length)
        assert head[-2:] == b" \n"
        assert bundle.parse_head(head) == (length, SIGNATURE)
        assert bundle.parse_head(memoryview(head)) == (length, SIGNATURE)


def test_a_head_has_one_spelling():
    good = bundle.make_head(b"m" * 100, SIGNATURE)
    for index in range(len(good)):
        for other in (b" ", b"x", b"\n", b"\xff", b"0"):
            bad = good[:index] + other + good[index + 1 :]
            try:
                length, signature = bundle.parse_head(bad)
            except Malformed:
                continue
            assert bundle.make_head(b"m" * length, signature) == bad


def test_wrong_heads_are_refused():
    good = bundle.make_head(b"m" * 100, SIGNATURE)
    for bad in (
        b"",
        good[:-1],
        good + b" ",
        good[:-1] + b" ",
        b"\n" + good[1:],
        good.replace(b"KS-BUNDLE-1", b"KS-BUNDLE-2"),
        good.replace(b"LEN:100", b"LEN:000"),
        good.replace(b"LEN:100", b"LEN:+10"),
        good.replace(b"LEN:100", b"LEN:010"),
        good.replace(b"LEN:100", b"LEN:-10"),
        good.replace(b"LEN:100", b"LEN:   "),
        good.replace(b"LEN:100 SIG:", b"LEN:8193SIG:"),
        good.replace(b" SIG:", b"_SIG:"),
        bundle.make_head(b"m" * (bundle.MANIFEST_MAX_BYTES + 1), SIGNATURE),
        bundle.make_head(b"", SIGNATURE),
        bundle.make_head(b"m", SIGNATURE[:-4]),
        bundle.make_head(b"m", ""),
        bundle.make_head(b"m", "!" * 88),
        bytes(128),
        b"\xff" * 128,
    ):
        raises(Malformed, bundle.parse_head, bad)


def test_a_whole_manifest_is_read():
    assert bundle.parse_manifest(encoded(manifest())) == manifest()
    extended = manifest({"NOTE": "anything"})
    assert bundle.parse_manifest(encoded(extended)) == extended


def test_each_part_of_a_manifest_is_needed():
    for key in manifest():
        fewer = manifest()
        del fewer[key]
        refused(fewer)


def test_parts_of_the_wrong_form_are_refused():
    for key, value in (
        ("FW1", "a b"),
        ("FW2", "1.2"),
        ("COUNTER", "x"),
        ("COUNTER", "-1"),
        ("COUNTER", "01"),
        ("BUILT", "today"),
        ("EXPIRES", ""),
        ("KIND", []),
        ("TYPES", [{"A": "b"}]),
        ("OTHER", []),
        ("FILE", "main.py"),
    ):
        refused(manifest({key: value}))


def test_paths_stay_inside_the_slot():
    for path in ("a", "a/b.py", "ks_agent/x-y_z.mpy", "a" * 96, "a/..b", "a.b/c..d"):
        bundle.parse_manifest(encoded(manifest(files=[row(path)])))
    for path in (
        "",
        "/a",
        "a/",
        "a//b",
        "..",
        "../a",
        "a/../b",
        "a/..",
        ".",
        "./a",
        "a/./b",
        "a b",
        "a\\b",
        "a:b",
        "\u00e4",
        "a\nb",
        "a\x00",
        "a" * 97,
        ".part",
        "..a",
        ".a/b",
        "manifest.toon",
        "manifest.sig",
        "manifest.toon/a",
        "manifest.sig/a.py",
    ):
        refused(manifest(files=[row(path)]))


class OneFile:
    """An `fs` port with one file, whatever its path."""

    def __init__(self, data):
        self._data = data

    def stat(self, path):
        return len(self._data)

    def open(self, path, mode):
        return io.BytesIO(self._data)


def test_whatever_bytes_the_flash_gives_a_manifest_is_read_or_malformed():
    data = bytes(encoded(manifest()))
    table = data.find(b"FILE[")
    outcomes = set()
    for place in list(range(table, table + 80)) + list(range(0, len(data), 7)):
        for byte in (0, 10, 34, 92, 93, 123, 128, 178, 233, 255):
            damaged = bytearray(data)
            damaged[place] = byte
            try:
                list(bundle.read_manifest(OneFile(bytes(damaged)), "x").files())
                outcomes.add("read")
            except Malformed:
                outcomes.add("malformed")
    assert len(outcomes) == 2


def test_no_path_stands_twice_or_is_both_file_and_folder():
    refused(manifest(files=[row("a"), row("b"), row("a")]))
    refused(manifest(files=[row("a/b"), row("a")]))
    refused(manifest(files=[row("a"), row("a/b/c")]))
    refused(manifest(files=[row("a"), row("a-b"), row("a.c"), row("a/b")]))
    refused(manifest(files=[row("a"), row("b/a"), row("b/a-"), row("b/a/d/e")]))
    bundle.parse_manifest(encoded(manifest(files=[row("a-"), row("a/b"), row("a/bc"), row("ac")])))
    bundle.parse_manifest(encoded(manifest(files=[row("a"), row("ab"), row("b/a")])))


def test_files_stand_in_the_order_of_their_paths():
    refused(manifest(files=[row("b"), row("a")]))


def test_a_file_has_path_hash_and_size_and_nothing_else():
    good = row("a")
    for key in good:
        refused(manifest(files=[{other: good[other] for other in good if other != key}]))
    refused(manifest(files=[dict(good, MODE="755")]))
    for hash_text in ("", HASH[:-1], HASH + "0", HASH.upper(), "g" * 64):
        refused(manifest(files=[dict(good, SHA256=hash_text)]))
    for size in ("", "-1", "01", "1.0", "1e3", " 1", "9" * 16):
        refused(manifest(files=[row("a", size)]))


def test_the_columns_of_files_are_those_that_stage_0_reads_in_its_order():
    plain = encoded(manifest(files=[row("a", "5")]))
    files = [packed_row("a", "5", "3")]
    packed = encoded(manifest({"WBITS": "10"}, files))
    bundle.parse_manifest(plain)
    bundle.parse_manifest(packed)
    raises(Malformed, bundle.parse_manifest, toon.encode(manifest({"WBITS": "10"}, files), as_text))
    for whole in (plain, packed):
        start = whole.find(b"]{") + 2
        columns = whole[start : whole.find(b"}")]
        for other in (
            b"",
            b"PATH,SIZE,SHA256",
            b"SHA256,PATH,SIZE",
            b"PATH,SHA256",
            b"PATH,SHA256,PACKED",
            b"PATH,SHA256,SIZE,MODE",
            b"PATH,SHA256,SIZE,UNPACKED",
            b"PATH,SHA256,SIZE,PACKED,MODE",
            b'"PATH",SHA256,SIZE',
            columns + b" ",
            columns + b",",
            columns + b"}",
            columns.replace(b",", b"|"),
        ):
            bad = whole[:start] + other + whole[start + len(columns) :]
            raises(Malformed, bundle.Manifest, lambda bad=bad: iter(bad.split(b"\n")))


def test_a_manifest_without_files_has_the_columns_too():
    for header in (b"FILE[0]{PATH,SHA256}:", b"FILE[0]{}:", b"FILE[0]:", b"FILE[0]"):
        empty = manifest({}, [])
        del empty["FILE"]
        data = header + b"\n" + encoded(empty)
        raises(Malformed, bundle.Manifest, lambda data=data: iter(data.split(b"\n")))


def packed_row(path, size, packed):
    return dict(row(path, size), PACKED=packed)


def test_a_packed_file_says_what_it_takes_in_the_bundle():
    files = [packed_row("a", "100", "40"), packed_row("b", "7", "7"), packed_row("c", "0", "0")]
    message = manifest({"WBITS": "10"}, files)
    assert bundle.parse_manifest(encoded(message)) == message
    lines = encoded(message).split(b"\n")
    parsed = bundle.Manifest(lambda: iter(lines))
    assert parsed.bundle_bytes(500) == 128 + 500 + 47
    assert parsed.slot_bytes() == 107
    assert parsed.packed and parsed["WBITS"] == "10"
    for size, packed in (("5", "6"), ("5", "0"), ("5", "-1"), ("0", "1"), ("5", "05"), ("5", "")):
        refused(manifest({"WBITS": "10"}, [packed_row("a", size, packed)]))


def test_a_window_is_named_where_files_are_packed_and_only_there():
    packed = [packed_row("a", "5", "3")]
    for bits in ("8", "12"):
        bundle.parse_manifest(encoded(manifest({"WBITS": bits}, packed)))
    for bits in ("", "7", "13", "-8", "x", "08"):
        refused(manifest({"WBITS": bits}, packed))
    refused(manifest(files=packed))
    refused(manifest({"WBITS": "10"}))
    refused(manifest({"WBITS": "10"}, [packed_row("a", "5", "3"), row("b")]))


def test_what_a_release_asks_of_a_terminal_has_a_form():
    asks = {"STAGE0": "2", "BOARD": "a,b", "IMAGE_MIN": "1.24.0", "IMAGE_MAX": "1.26.1"}
    parsed = bundle.parse_manifest(encoded(manifest(asks)))
    assert all([parsed[key] == text for key, text in asks.items()])
    for key, text in (
        ("STAGE0", "0"),
        ("STAGE0", "1.0"),
        ("STAGE0", "100"),
        ("IMAGE_MIN", "1.24"),
        ("IMAGE_MAX", ""),
        ("IMAGE", "v1.26.0"),
        ("COUNTER", "9999999999999999"),
    ):
        refused(manifest({key: text}))


def test_limits_of_a_manifest_hold():
    most = [row("f%03d" % number) for number in range(bundle.MAX_FILES)]
    small = [{"PATH": one["PATH"], "SHA256": HASH, "SIZE": "0"} for one in most]
    assert len(bundle.parse_manifest(encoded(manifest(files=small)))["FILE"]) == bundle.MAX_FILES
    refused(manifest(files=small + [row("one_more")]))
    refused(manifest({"NOTE": "x" * bundle.MANIFEST_MAX_BYTES}))
    for data in (b"", b"\xff", b"KIND", b"{}", b"KIND: application"):
        raises(Malformed, bundle.parse_manifest, data)


def test_the_size_of_a_bundle_follows_from_its_manifest():
    files = [row("a", "10"), row("b", "0"), row("c", "123456")]
    lines = encoded(manifest(files=files)).split(b"\n")
    assert bundle.Manifest(lambda: iter(lines)).bundle_bytes(500) == 128 + 500 + 123466
