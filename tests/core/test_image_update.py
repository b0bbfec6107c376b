"""Full images: written, tried once a set_boot, proven or given up; and what is refused."""

# heap: 768k because the agent, compiled here, shares it with the test's server and flash

from fakes import SERVER_SEED, is_cut_after
from image_desk import NEW, OLD, PARTITION_BYTES, ImageTerminal, image_bundle, offer_image, ready
from test_update import FILES, URL, make_manifest, offer, put_application, reported

from ks_agent import toon
from ks_agent.store import as_text
from ks_driver.esp_image import make

POSTPONED = "ERROR POSTPONED the old image runs again"
RECORD = "data/state/image.toon"


def on_trial(terminal):
    return terminal.agent.image_on_trial


def test_an_image_is_written_tried_marked_valid_after_a_signed_heartbeat_and_reported():
    terminal = ready()
    offer_image(terminal, image_bundle(terminal))
    terminal.run(lambda: terminal.restarts == ["image"])
    assert terminal.images.label() == "ota_1" and terminal.images.image() == NEW
    terminal.run(lambda: reported(terminal) == ["OK confirmed"])
    terminal.run_cycle()
    assert RECORD not in terminal.fs.files and terminal.vault.get("counter") == b"1"
    terminal.boot()
    terminal.run(lambda: terminal.beats() == 2)
    assert terminal.images.label() == "ota_1" and reported(terminal) == ["OK confirmed"]
    assert terminal.agent.progress.version == "3.0.0"


def test_heartbeats_and_checks_name_the_image_that_runs():
    terminal = ready()
    offer_image(terminal, image_bundle(terminal))
    terminal.run(lambda: reported(terminal) == ["OK confirmed"])
    named = [
        (request["OP"], request["IMG1"])
        for request in terminal.server.requests
        if request["OP"] in ("heartbeat", "firmware/check") and "IMG1" in request
    ]
    assert named[-2:] == [("firmware/check", OLD[0]), ("heartbeat", NEW[0])]


def test_a_terminal_without_partitions_for_images_names_none_and_takes_none():
    terminal = ready()
    content = image_bundle(terminal)
    terminal.agent.ports.partition.images = None
    offer(terminal, content, FW1="image-1", FW2="1.26.1")
    terminal.run(lambda: len(reported(terminal)) == 1)
    assert reported(terminal)[0].startswith("ERROR KIND")
    assert "IMG1" not in terminal.server.requests[-1]


def refused(code, terminal, content, **fields):
    offer_image(terminal, content, **fields)
    terminal.run(lambda: len(reported(terminal)) >= 1)
    terminal.run_cycle()
    assert reported(terminal)[0].startswith("ERROR " + code), (code, reported(terminal))
    assert terminal.restarts == [] and RECORD not in terminal.fs.files
    terminal.boot()
    assert terminal.images.label() == "ota_0"


def test_nothing_is_erased_before_both_signatures_were_good():
    for key, seed in (("seed", b"X" * 32), ("seed", SERVER_SEED), ("offer", b"X" * 32)):
        terminal = ready()
        erased = list(terminal.flash.erased)
        if key == "seed":
            refused("SIG_INVALID", terminal, image_bundle(terminal, seed=seed))
        else:
            refused("SIG_INVALID", terminal, image_bundle(terminal), seed=seed)
        assert terminal.flash.erased == erased


def test_an_image_that_is_not_newer_or_not_well_formed_is_refused_before_anything_is_erased():
    packed = {"micropython.bin": make(*NEW), "x.py": b""}
    cases = (
        ("DOWNGRADE", {"named": OLD}),
        ("DOWNGRADE", {"named": ("1.26.0-preview.1", "6.3", "xtensawin"), "IMAGE": "1.24.9"}),
        ("TOO_LARGE", {"image": make(*NEW, content=b"x" * PARTITION_BYTES)}),
        ("MALFORMED", {"files": packed}),
        ("MALFORMED", {"files": {"main.py": b"x"}}),
        ("MALFORMED", {"IMAGE": "new"}),
    )
    for code, bent in cases:
        terminal = ready()
        erased = list(terminal.flash.erased)
        refused(code, terminal, image_bundle(terminal, **bent))
        assert terminal.flash.erased == erased


def test_an_image_that_one_of_the_slots_could_not_load_on_is_refused():
    needs = (
        {"IMAGE_MAX": "1.25.9"},
        {"IMAGE_MIN": "1.27.0"},
        {"MPY": "7.0"},
        {"MPY": "6.2", "ARCH": "xtensawin"},
        {"ARCH": "rv32imc"},
    )
    for slot in ("a", "b"):
        for texts in needs:
            terminal = ready()
            put_application(terminal, slot, "3.0.0")
            manifest = make_manifest(terminal, FILES, **texts)
            path = "slot_" + slot + "/manifest.toon"
            terminal.fs.files[path] = toon.encode(manifest, as_text)
            refused("IMAGE_MIX", terminal, image_bundle(terminal))


def test_slots_that_allow_the_image_and_an_empty_or_damaged_one_are_no_obstacle():
    for other in (None, b"no manifest"):
        terminal = ready()
        texts = {"IMAGE_MIN": "1.25.0", "IMAGE_MAX": "1.26.0", "MPY": "6.3", "ARCH": "xtensawin"}
        manifest = make_manifest(terminal, FILES, **texts)
        terminal.fs.files["slot_a/manifest.toon"] = toon.encode(manifest, as_text)
        if other is not None:
            put_application(terminal, "b", "1.0.0")
            terminal.fs.files["slot_b/manifest.toon"] = other
        offer_image(terminal, image_bundle(terminal))
        terminal.run(lambda terminal=terminal: reported(terminal) == ["OK confirmed"])


def test_bytecode_alone_needs_the_same_major_number_of_mpy_only():
    terminal = ready()
    manifest = make_manifest(terminal, FILES, MPY="6.1")
    terminal.fs.files["slot_a/manifest.toon"] = toon.encode(manifest, as_text)
    offer_image(terminal, image_bundle(terminal))
    terminal.run(lambda: reported(terminal) == ["OK confirmed"])


def test_swapped_truncated_or_lengthened_bytes_never_become_the_next_image():
    content = image_bundle(ready())
    for served, code in (
        (content[:-1] + b"\0", "HASH"),
        (content[:-1], "SIZE"),
        (content + b"x", "SIZE"),
    ):
        refused(code, ready(), content, served=served)


def test_what_the_bootloader_does_not_take_is_refused_and_not_downloaded_again():
    terminal = ready()
    refused("MALFORMED", terminal, image_bundle(terminal, image=b"no image" * 99))
    fetched = len(terminal.server.served)
    beats = terminal.beats()
    terminal.run(lambda: terminal.beats() == beats + 20)
    assert len(terminal.server.served) == fetched and len(reported(terminal)) == 1


def test_a_link_that_drops_again_and_again_goes_on_where_it_was():
    terminal = ready()
    content = image_bundle(terminal, image=make(*NEW, content=b"x" * 6000))
    offer_image(terminal, content)
    handle = terminal.server.handle
    drops = []

    def drop(fetch):
        if fetch.url == URL and fetch.kind == "download" and fetch.max_bytes == len(content):
            sink = fetch.sink
            taken = []

            def some(piece):
                if len(taken) == 2 and len(drops) < 4:
                    drops.append(dict(fetch.headers).get("Range"))
                    raise OSError("dropped")
                taken.append(len(piece))
                sink(piece)

            fetch.sink = some
        return handle(fetch)

    terminal.server.handle = drop
    terminal.run(lambda: reported(terminal) == ["OK confirmed"])
    assert len(drops) == 4 and terminal.restarts == ["image"]
    assert downloads(terminal, content) == 1


def slow_link(terminal, content):
    """From now on each piece of the bundle takes 50 seconds."""
    handle = terminal.server.handle

    def slow(fetch):
        if fetch.url == URL and fetch.kind == "download" and fetch.max_bytes == len(content):
            sink = fetch.sink

            def take(piece):
                terminal.clock.ticks += 50000
                if terminal.clock.ticks % 150000 < 50000:
                    raise OSError("too slow")
                sink(piece)

            fetch.sink = take
        return handle(fetch)

    terminal.server.handle = slow


def test_a_download_of_many_minutes_leaves_room_for_heartbeats_and_goes_on_after_each():
    terminal = ready()
    content = image_bundle(terminal, image=make(*NEW, content=b"x" * 6000))
    offer_image(terminal, content)
    slow_link(terminal, content)
    terminal.run(lambda: terminal.restarts == ["image"])
    beats = [request["HB2"] for request in terminal.server.requests if "HB2" in request]
    assert len(beats) >= 4 and downloads(terminal, content) == 1
    terminal.run(lambda: reported(terminal) == ["OK confirmed"])


def test_of_a_withdrawn_image_nothing_is_kept():
    terminal = ready()
    content = image_bundle(terminal, image=make(*NEW, content=b"x" * 6000))
    offer(terminal, content, FW1="image-1", FW2="1.26.1")
    slow_link(terminal, content)
    terminal.run(lambda: terminal.agent.image_stream is not None)
    terminal.run(lambda: terminal.agent.progress.state == "IDLE")
    assert terminal.agent.image_stream is not None
    terminal.server.answers["heartbeat"] = {"S1": "ok"}
    beats = terminal.beats()
    terminal.run(lambda: terminal.beats() == beats + 2)
    assert terminal.agent.image_stream is None and terminal.restarts == []


def test_every_reset_before_it_is_valid_is_postponed_and_tried_again_three_times():
    terminal = ready()
    content = image_bundle(terminal)
    offer_image(terminal, content)
    for tries in range(1, 5):
        terminal.run(lambda tries=tries: len(terminal.restarts) == tries)
        assert on_trial_after_boot(terminal)
        assert downloads(terminal, content) == 1
        terminal.boot()
        assert terminal.images.label() == "ota_0"
        terminal.run(lambda tries=tries: len(reported(terminal)) == tries)
    assert reported(terminal)[:3] == [POSTPONED] * 3
    assert reported(terminal)[3].startswith("ERROR ROLLED_BACK")
    beats = terminal.beats()
    terminal.run(lambda: terminal.beats() == beats + 20)
    assert len(terminal.restarts) == 4 and len(reported(terminal)) == 4


def on_trial_after_boot(terminal):
    terminal.run(lambda: terminal.board.shown)
    return on_trial(terminal) and terminal.images.label() == "ota_1"


def downloads(terminal, content):
    """How often the whole bundle was asked for."""
    whole = "bytes=0-%d" % (len(content) - 1)
    return len([ranges for ranges, _ in terminal.server.served if ranges == whole])


def test_an_image_without_a_signed_round_trip_restarts_after_15_minutes_into_the_old_one():
    terminal = ready()
    offer_image(terminal, image_bundle(terminal))
    terminal.run(lambda: terminal.restarts == ["image"])
    terminal.link_down = True
    terminal.run(lambda: len(terminal.restarts) == 2)
    assert terminal.restarts[1] == "image without a signed round trip"
    assert terminal.images.label() == "ota_0"
    terminal.link_down = False
    terminal.run(lambda: len(reported(terminal)) == 2)
    assert reported(terminal) == [POSTPONED, "OK confirmed"]


def test_an_image_of_another_version_than_its_manifest_says_is_given_up():
    terminal = ready()
    offer_image(terminal, image_bundle(terminal, named=("1.27.0", "6.3", "xtensawin")))
    terminal.run(lambda: len(reported(terminal)) == 1)
    assert reported(terminal)[0].startswith("ERROR ROLLED_BACK another version")
    assert terminal.images.label() == "ota_0"


def test_a_power_cut_at_any_operation_ends_on_a_bootable_image_with_the_truth_reported():
    for operations in range(200):
        terminal = ready()
        offer_image(terminal, image_bundle(terminal, image=make(*NEW, content=b"x" * 5000)))
        cut = is_cut_after(operations, terminal, run_until_confirmed, terminal)
        terminal.boot()
        run_until_confirmed(terminal)
        terminal.run_cycle()
        assert terminal.images.label() == "ota_1" and terminal.vault.get("counter") == b"1"
        # Sent again when the power went before its answer was noted, as any acknowledgement.
        assert set(reported(terminal)) - {POSTPONED} == {"OK confirmed"}
        assert reported(terminal).count(POSTPONED) <= 1 and RECORD not in terminal.fs.files
        terminal.boot()
        assert terminal.images.label() == "ota_1"
        if not cut:
            break
    assert not cut and operations > 20


def run_until_confirmed(terminal):
    terminal.run(lambda: "OK confirmed" in reported(terminal))


def boot_until_rolled_back(terminal):
    terminal.boot()
    terminal.run(lambda: rolled_back(terminal))


def test_a_power_cut_at_any_operation_of_the_way_back_ends_in_one_final_report():
    for operations in range(200):
        terminal = ready()
        offer_image(terminal, image_bundle(terminal))
        for tries in range(1, 5):
            terminal.run(lambda terminal=terminal, tries=tries: len(terminal.restarts) == tries)
            if tries < 4:
                terminal.boot()
        cut = is_cut_after(operations, terminal, boot_until_rolled_back, terminal)
        boot_until_rolled_back(terminal)
        beats = terminal.beats()
        terminal.run(lambda terminal=terminal, beats=beats: terminal.beats() == beats + 5)
        assert terminal.images.label() == "ota_0" and "OK confirmed" not in reported(terminal)
        assert len(terminal.restarts) == 4 and RECORD not in terminal.fs.files
        if not cut:
            break
    assert not cut


def rolled_back(terminal):
    return any([text.startswith("ERROR ROLLED_BACK") for text in reported(terminal)])


def test_images_go_to_the_two_partitions_in_turn():
    terminal = ready()
    assert isinstance(terminal, ImageTerminal)
    offer_image(terminal, image_bundle(terminal))
    terminal.run(lambda: reported(terminal) == ["OK confirmed"])
    assert terminal.images.next_label() == "ota_0"
    terminal.boot()
    assert terminal.images.label() == "ota_1"
