"""Stage 0: which manifests it refuses."""

from boot_files import FILES, Files, choose, hexdigest, install, manifest_of
from support import raises


def refuses_manifest(manifest):
    fs = Files()
    install(fs, "a")
    fs.files["slot_a/manifest.toon"] = manifest
    raises(SystemExit, choose, fs)


def test_a_manifest_with_quoted_values_says_the_same():
    fs = Files()
    install(fs, "a")
    manifest = manifest_of(FILES).decode().replace(" application", ' "application"')
    digest = hexdigest(FILES["main.py"])
    manifest = manifest.replace(digest, '"' + digest + '"')
    fs.files["slot_a/manifest.toon"] = manifest.encode()
    assert choose(fs) == "a"


def test_a_manifest_of_packed_files_says_the_same():
    fs = Files()
    install(fs, "a")
    manifest = manifest_of(FILES).replace(b"SIZE}:", b"SIZE,PACKED}:")
    for path in FILES:
        size = b",%d\n" % len(FILES[path])
        manifest = manifest.replace(size, size[:-1] + b",10\n")
    fs.files["slot_a/manifest.toon"] = manifest
    assert choose(fs) == "a"


def test_a_malformed_manifest_is_refused():
    good = manifest_of(FILES)
    for old, new in (
        (b"FILE[2]", b"FILE[1]"),
        (b"FILE[2]", b"FILE[3]"),
        (b"FILE[2]", b"FILE[02]"),
        (b"FILE[2]", b"FILE[x]"),
        (b"FILE[2]", b"FILE[]"),
        (b"{PATH,SHA256,SIZE}", b"{PATH,SIZE,SHA256}"),
        (b"{PATH,SHA256,SIZE}", b"{PATH,SHA256,SIZE,PACKED}"),
        (b"{PATH,SHA256,SIZE}", b"{PATH,SHA256,SIZE,WBITS}"),
        (b"SIZE}:", b"SIZE}"),
        (b"  main.py", b" main.py"),
        (b"  main.py", b"    main.py"),
        (b"  main.py,", b"  "),
        (b"main.py,", b"main.py,main.py,"),
        (b"main.py,", b"ks_agent/toon.py,"),
        (b"main.py", b"../main.py"),
        (b"main.py", b"/main.py"),
        (b"main.py", b"ks_agent/./main.py"),
        (b"main.py", b"ks_agent//main.py"),
        (b"main.py", b"main py"),
        (b"main.py", b"other.py"),
        (b"KIND: application", b"KIND: bootloader"),
        (b"KIND: application", b"KIND:application"),
        (b"KIND: application", b'KIND: "application'),
        (b"KIND: application", b'KIND: "appl\\u0069cation"'),
        (b"KIND: application", b"KIND: "),
        (b"KIND: application", b"- application"),
        (b"COUNTER: 7", b"COUNTER: 7\nCOUNTER: 8"),
        (b"COUNTER: 7", b"COUNTER: 7\0"),
        (b"COUNTER: 7", b"COUNTER: 7\r"),
        (b"COUNTER: 7", b"COUNTER: \xc3\xa9"),
        (b"COUNTER: 7", b"COUNTER: \xff"),
        (b"COUNTER: 7", b"A:\n  b: c"),
        (b"FILE[2]", b"FILE[0]{PATH,SHA256,SIZE}:\nFILE[2]"),
    ):
        assert old in good
        refuses_manifest(good.replace(old, new))
    refuses_manifest(b"")
    refuses_manifest(b"\n")
    refuses_manifest(good + b"\n" * 12288)
    refuses_manifest(good[:-12])


def test_whatever_the_manifest_is_stage_0_starts_the_slot_or_refuses_it():
    good = manifest_of(FILES)
    fs = Files()
    install(fs, "a")
    seed = 4711
    for _ in range(150):
        data = bytearray(good)
        for _ in range(2):
            seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
            data[seed // 65536 % len(data)] = seed // 256 % 256
        fs.files["slot_a/manifest.toon"] = bytes(data)
        try:
            assert choose(fs) == "a"
        except SystemExit:
            pass
