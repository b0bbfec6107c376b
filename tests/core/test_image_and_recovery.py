"""An image must load what the factory wrote once and for all: stage 0 and recovery."""

# heap: 768k because the agent, compiled here, shares it with the test's server and flash

from image_desk import image_bundle, offer_image, ready
from test_image_update import refused
from test_update import reported

BYTECODE = b"M\x06\x00\x1f"
NATIVE = b"M\x06\x2b\x1f"  # of mpy 6.3, for xtensawin
SEVEN = ("1.26.0", "7.0", "xtensawin")
OTHER_NATIVE = ("1.26.0", "6.4", "xtensawin")


def with_factory_files(files):
    terminal = ready()
    for path, data in files.items():
        folders = path.split("/")[:-1]
        for count in range(len(folders)):
            terminal.fs.folders.add("/".join(folders[: count + 1]))
        terminal.fs.files[path] = data
    return terminal


def test_an_image_that_could_not_load_stage_0_or_recovery_is_refused():
    for path, data, named in (
        ("stage0.mpy", BYTECODE, SEVEN),
        ("recovery/add.mpy", BYTECODE, SEVEN),
        ("recovery/ks_crypto/port.mpy", BYTECODE, SEVEN),
        ("recovery/ks_crypto/field.mpy", NATIVE, OTHER_NATIVE),
    ):
        terminal = with_factory_files({"recovery/main.py": b"pass", path: data})
        erased = list(terminal.flash.erased)
        refused("IMAGE_MIX", terminal, image_bundle(terminal, named=named))
        assert terminal.flash.erased == erased


def test_an_image_that_loads_what_the_factory_wrote_is_installed():
    for data in (BYTECODE, NATIVE, b"", b"M"):
        files = {"stage0.mpy": BYTECODE, "recovery/ks_crypto/field.mpy": data}
        terminal = with_factory_files(files)
        offer_image(terminal, image_bundle(terminal))
        terminal.run(lambda terminal=terminal: reported(terminal) == ["OK confirmed"])
