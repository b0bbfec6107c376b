"""Updates: what is installed, and everything that is not."""

# heap: 384k because the agent, compiled here, shares it with the test's server and flash

from fake_ports import CRYPTO
from fakes import RELEASE_SEED, SERVER_SEED, Terminal
from support import packed_last

from ks_agent import bundle, signing, timetext, toon
from ks_agent.slots import Slots
from ks_agent.store import as_text
from ks_agent.update_record import UpdateRecord

URL = "http://server/api/devices/firmware/download/token"
FILES = {"main.py": b"print('new')\n" * 100, "ks_agent/empty.py": b"", "ks_agent/a.py": b"A" * 1234}
DAY_MS = 86400000


def ready():
    terminal = Terminal()
    put_application(terminal, "a", "1.0.0")
    terminal.boot()
    terminal.run(lambda: terminal.beats() == 1)
    return terminal


def put_application(terminal, slot, version):
    manifest = make_manifest(terminal, FILES, FW2=version)
    folder = "slot_" + slot
    terminal.fs.folders.add(folder)
    terminal.fs.files[folder + "/manifest.toon"] = toon.encode(manifest, as_text)


def make_manifest(terminal, files, **fields):
    now_ms = terminal.server.now_ms()
    manifest = {"KIND": "application", "FW1": "rel-2", "FW2": "1.1.0", "COUNTER": "1"}
    manifest["BUILT"] = timetext.format_ms(now_ms)
    manifest["EXPIRES"] = timetext.format_ms(now_ms + 30 * DAY_MS)
    manifest["TYPES"] = "ESP32_READER,ESP32_TERMINAL"
    manifest["FILE"] = [
        {"PATH": path, "SHA256": signing.sha256_hex(CRYPTO, data), "SIZE": str(len(data))}
        for path, data in sorted(files.items())
    ]
    manifest.update(fields)
    return manifest


def make_bundle(manifest, files, seed=RELEASE_SEED):
    data = packed_last(toon.encode(manifest, as_text))
    signature = signing.sign_text(CRYPTO, seed, signing.manifest_text(CRYPTO, data))
    contents = [content for _, content in sorted(files.items())]
    return bundle.make_head(data, signature) + data + b"".join(contents)


def offer(terminal, content, seed=SERVER_SEED, served=None, **fields):
    release = {"FW1": "rel-2", "FW2": "1.1.0", "FW3": URL, "FW5": str(len(content))}
    release["FW4"] = signing.sha256_hex(CRYPTO, content)
    release.update(fields)
    release["FW_SIG"] = signing.sign_release(CRYPTO, seed, release)
    server = terminal.server
    server.content[URL] = content if served is None else served
    server.answers["firmware/check"] = dict(release, S1="update_available")
    server.answers["heartbeat"] = {"S1": "ok", "FW_AVAILABLE": "true", "FW2": release["FW2"]}
    return release


def reported(terminal):
    acks = [request for request in terminal.server.requests if request["OP"] == "firmware/ack"]
    return [ack["ACK1"] + " " + ack["ACK2"] for ack in acks]


def boot_record(terminal):
    return Slots(terminal.agent.ports, terminal.agent.store).record


def test_an_update_is_staged_tried_confirmed_by_a_signed_heartbeat_and_reported():
    terminal = ready()
    offer(terminal, make_bundle(make_manifest(terminal, FILES), FILES))
    terminal.run(lambda: terminal.restarts == ["update"])
    for path, data in FILES.items():
        assert terminal.fs.files["slot_b/" + path] == data
    record = boot_record(terminal)
    assert record["SLOT"] == "b" and record["TRIAL"] == "true" and record["PREVIOUS"] == "a"
    terminal.server.answers["heartbeat"] = {"S1": "ok"}
    terminal.slot = "b"
    terminal.boot()
    terminal.run(lambda: reported(terminal) == ["OK confirmed"])
    assert terminal.agent.progress.state == "IDLE" and terminal.agent.progress.version == "1.1.0"
    assert sorted(boot_record(terminal)) == ["MANIFEST", "SLOT"]
    assert terminal.vault.get("counter") == b"1"


def test_an_update_lets_go_of_what_the_server_key_was_prepared_into():
    terminal = ready()
    freed = []
    terminal.agent.ports.crypto.make_room = lambda: freed.append(True)
    terminal.server.answers["firmware/check"] = {"S1": "up_to_date"}
    terminal.run(lambda: terminal.agent.progress.state == "IDLE")
    assert freed == []
    offer(terminal, make_bundle(make_manifest(terminal, FILES), FILES))
    terminal.run(lambda: terminal.restarts == ["update"])
    assert freed == [True]


def test_a_rollback_by_stage_0_is_reported_and_the_release_is_not_tried_again():
    terminal = ready()
    offer(terminal, make_bundle(make_manifest(terminal, FILES), FILES))
    terminal.run(lambda: terminal.restarts == ["update"])
    staged = boot_record(terminal)
    rolled_back = {"SLOT": "a", "MANIFEST": staged["PREVIOUS_MANIFEST"], "REASON": "crash"}
    rolled_back["ROLLED_BACK"] = staged["MANIFEST"]
    terminal.agent.store.write("data/state/boot.toon", rolled_back)
    terminal.boot()
    terminal.run(lambda: reported(terminal) == ["ERROR ROLLED_BACK crash"])
    beats = terminal.beats()
    terminal.run(lambda: terminal.beats() == beats + 20)
    assert terminal.restarts == ["update"]
    assert "ROLLED_BACK" not in boot_record(terminal)


def refused(code, terminal, content, **fields):
    release = offer(terminal, content, **fields)
    terminal.run(lambda: len(reported(terminal)) == 1)
    assert reported(terminal)[0].startswith("ERROR " + code), reported(terminal)
    assert terminal.restarts == [] and boot_record(terminal) == {}
    return release


def test_a_release_without_the_servers_signature_is_refused():
    terminal = ready()
    content = make_bundle(make_manifest(terminal, FILES), FILES)
    refused("SIG_INVALID", terminal, content, seed=b"X" * 32)
    assert terminal.server.served == []  # nothing is downloaded on an unsigned word


def test_a_manifest_without_a_release_keys_signature_is_refused():
    for seed in (b"X" * 32, SERVER_SEED):
        terminal = ready()
        content = make_bundle(make_manifest(terminal, FILES), FILES, seed)
        refused("SIG_INVALID", terminal, content)


def test_a_release_that_is_not_for_this_terminal_or_this_time_is_refused():
    cases = (
        ("WRONG_TYPE", {"TYPES": "FINGERPRINT_TERMINAL"}, {}),
        ("DOWNGRADE", {"FW2": "0.9.0"}, {"FW2": "0.9.0"}),
        ("DOWNGRADE", {"FW2": "1.0.0"}, {"FW2": "1.0.0"}),
        ("MIX_AND_MATCH", {"FW2": "1.2.0"}, {}),
        ("MIX_AND_MATCH", {"FW1": "rel-3"}, {}),
        ("EXPIRED", {"EXPIRES": "2026-01-01T00:00:00.000Z"}, {}),
        ("KIND", {"KIND": "image"}, {}),
        ("KIND", {"KIND": "opaque"}, {}),
        ("WRONG_BOARD", {"BOARD": "esp32_generic,esp32s3"}, {}),
        ("STAGE0", {"STAGE0": "2"}, {}),
        ("TOO_LARGE", {}, {"FW5": "99999999"}),
        ("MALFORMED", {"FILE": [{"PATH": "../boot.py", "SHA256": "0" * 64, "SIZE": "1"}]}, {}),
    )
    for code, fields, offered in cases:
        terminal = ready()
        content = make_bundle(make_manifest(terminal, FILES, **fields), FILES)
        refused(code, terminal, content, **offered)


def test_a_release_for_this_board_and_an_older_stage_0_is_installed():
    terminal = ready()
    terminal.board.name = "esp32s3"
    manifest = make_manifest(terminal, FILES, BOARD="esp32_generic,esp32s3", STAGE0="1", NOTE="x")
    offer(terminal, make_bundle(manifest, FILES))
    terminal.run(lambda: terminal.restarts == ["update"])


def test_an_application_that_the_image_could_not_load_is_refused():
    class Images:
        def image(self):
            return "1.25.0", "6.3", "xtensawin"

    for fields in (
        {"IMAGE_MIN": "1.26.0"},
        {"IMAGE_MAX": "1.24.9"},
        {"MPY": "7.0"},
        {"ARCH": "rv32imc"},
    ):
        terminal = ready()
        terminal.agent.ports.partition.images = Images()
        content = make_bundle(make_manifest(terminal, FILES, **fields), FILES)
        refused("IMAGE_MIX", terminal, content)


def test_a_release_behind_the_security_counter_is_refused():
    terminal = ready()
    terminal.vault.set("counter", b"5")
    content = make_bundle(make_manifest(terminal, FILES, COUNTER="4"), FILES)
    refused("ROLLBACK", terminal, content)


def test_a_swapped_or_lengthened_bundle_is_refused():
    for change, code in (
        (lambda content: content[:-1] + b"B", "HASH"),
        (lambda content: content + b"x", "SIZE"),
        (lambda content: content[:-1], "SIZE"),
    ):
        terminal = ready()
        content = make_bundle(make_manifest(terminal, FILES), FILES)
        refused(code, terminal, content, served=change(content))


def test_nothing_is_written_before_both_signatures_were_good():
    terminal = ready()
    content = make_bundle(make_manifest(terminal, FILES), FILES, b"X" * 32)
    refused("SIG_INVALID", terminal, content)
    assert not [path for path in terminal.fs.files if path.startswith("slot_b")]


def test_a_link_lost_in_the_download_leaves_the_running_release_and_is_tried_again():
    terminal = ready()
    content = make_bundle(make_manifest(terminal, FILES), FILES)
    offer(terminal, content)
    broken = []

    def breaks_off(fetch, status, headers, body):
        if len(broken) < 12:
            broken.append(body)
            raise OSError("broken off")
        return status, headers, body

    terminal.server.serving = breaks_off
    terminal.run(lambda: len(broken) == 5)
    terminal.run(lambda: terminal.agent.progress.state == "IDLE")
    assert boot_record(terminal) == {} and reported(terminal) == []
    beats = terminal.beats()
    terminal.run(lambda: terminal.beats() == beats + 1)
    terminal.run(lambda: terminal.restarts == ["update"])
    assert len(broken) == 12


def test_halted_updates_are_not_even_asked_for():
    terminal = ready()
    UpdateRecord(terminal.agent.store, terminal.agent.outbox).halt(True)
    offer(terminal, make_bundle(make_manifest(terminal, FILES), FILES))
    beats = terminal.beats()
    terminal.run(lambda: terminal.beats() == beats + 5)
    assert "firmware/check" not in terminal.server.ops()


def test_no_request_of_a_download_holds_up_a_terminal_for_more_than_a_minute():
    terminal = ready()
    offer(terminal, make_bundle(make_manifest(terminal, FILES), FILES))
    handle = terminal.server.handle
    limits = []

    def note(fetch):
        if fetch.url == URL:
            limits.append(fetch.timeout_ms)
        return handle(fetch)

    terminal.server.handle = note
    terminal.run(lambda: terminal.restarts == ["update"])
    assert limits == [60000, 60000, 60000]
