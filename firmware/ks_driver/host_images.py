"""Full images on a computer: the `images` of the partition port.

Of it, only what every heartbeat needs stays in memory.
"""

NAMES = ("ota_0", "ota_1")


class HostImages:
    """On the flash, see otadata, that `flash()` gives. `running`: the index of the image that the
    bootloader started, `image`: its version, mpy and arch, or None.
    """

    def __init__(self, flash, running, image):
        self._flash = flash
        self.index = running
        self._image = image

    def image(self):
        return self._image

    def label(self):
        return NAMES[self.index]

    def next_label(self):
        return NAMES[1 - self.index]

    def capacity(self):
        return self._flash().size(self.next_label())

    def begin(self, size):
        """Raises OSError for an image that is larger than the partition."""
        from .otadata import begin

        return begin(self._flash(), self.next_label(), size)

    def set_boot(self):
        """Whether the next start is the other partition's: False for what is not an image."""
        from .otadata import set_boot

        return set_boot(self._flash(), 1 - self.index)

    def mark_valid(self):
        from .otadata import mark_valid

        mark_valid(self._flash())


def images_of(fs):
    """Once a start of a terminal with a folder `images`: what the bootloader starts."""

    def flash():
        from .folder_flash import FolderFlash

        return FolderFlash(fs)

    from .host_bootloader import power_on

    started = power_on(flash())
    return HostImages(flash, started.index, started.image())
