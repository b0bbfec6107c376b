"""A terminal on a desk whose full images are in partitions of a flash in memory."""

from fakes import RELEASE_SEED, Terminal
from test_update import make_bundle, make_manifest, offer, put_application

from ks_driver.esp_image import make
from ks_driver.host_bootloader import power_on
from ks_driver.otadata import OTADATA

PARTITION_BYTES = 8192
OLD = ("1.25.0", "6.3", "xtensawin")
NEW = ("1.26.0", "6.3", "xtensawin")
BLOCK = 4096


class Flash:
    """Partitions in memory; each erase and each program is an operation of the `fs` that has the
    power cut after so many. Of a block, what was programmed from its start on is kept.
    """

    def __init__(self, fs):
        self._fs = fs
        self.blocks = {}
        self.erased = []

    def size(self, name):
        return 2 * BLOCK if name == OTADATA else PARTITION_BYTES

    def read(self, name, offset, count):
        data = b""
        while len(data) < count:
            block, start = divmod(offset + len(data), BLOCK)
            piece = self.blocks.get((name, block), b"")[start : start + count - len(data)]
            if not piece:
                piece = b"\xff" * min(count - len(data), BLOCK - start)
            data += piece
        return data

    def erase(self, name, block):
        self._fs._change()
        self.erased.append((name, block))
        self.blocks.pop((name, block), None)

    def program(self, name, offset, data):
        block, start = divmod(offset, BLOCK)
        assert start == 0 and (name, block) not in self.blocks
        self._fs._change()
        self.blocks[name, block] = data.rstrip(b"\xff")


class ImageTerminal(Terminal):
    """Each boot is a reset: the bootloader picks the image."""

    flash = None

    def boot(self):
        if self.flash is None:
            self.flash = Flash(self.fs)
            self.flash.blocks["ota_0", 0] = make(*OLD)
        images = power_on(self.flash)
        Terminal.boot(self)
        self.agent.ports.partition.images = images

    @property
    def images(self):
        return self.agent.ports.partition.images


def ready():
    """A registered terminal on the old image, with an application in slot a."""
    terminal = ImageTerminal()
    put_application(terminal, "a", "3.0.0")
    terminal.boot()
    terminal.run(lambda: terminal.beats() == 1)
    return terminal


def image_bundle(terminal, image=None, named=NEW, seed=RELEASE_SEED, files=None, **fields):
    """The bundle of a release of `image`, which its manifest says is `named`."""
    files = {"micropython.bin": make(*NEW) if image is None else image} if files is None else files
    texts = {"KIND": "image", "FW1": "image-1", "FW2": "1.26.1"}
    texts.update({"IMAGE": named[0], "MPY": named[1], "ARCH": named[2]})
    texts.update(fields)
    return make_bundle(make_manifest(terminal, files, **texts), files, seed)


def offer_image(terminal, content, **fields):
    """On offer until the server hears that the new image runs, or that it was rolled back."""
    release = dict({"FW1": "image-1", "FW2": "1.26.1"}, **fields)
    offer(terminal, content, **release)
    waiting = terminal.server.answers.pop("heartbeat")
    handle = terminal.server.handle

    def offered_while_it_is_newer(fetch):
        runs = terminal.images.image()[0] == NEW[0]
        terminal.server.answers["heartbeat"] = {"S1": "ok"} if runs else waiting
        return handle(fetch)

    terminal.server.handle = offered_while_it_is_newer
