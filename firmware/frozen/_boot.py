"""Start-up frozen into an image of our own, instead of the stock image's `_boot.py`.

The stock one mounts `vfs`; where that fails it formats a partition whose first block reads as
erased, and prints one message for ever where it does not. This one never formats what holds a
superblock, formats what a power cut left half formatted, and has stage 0 and recovery in the image:
a terminal whose `vfs` is lost or cannot be mounted still starts. See boards/manifest.py.
"""

import gc
import os

import volumes  # type: ignore[import-not-found]
from flashbdev import bdev


def begin():
    """Mount `vfs`; where there is no boot.py on it, start the one in the image."""
    try:
        volumes.mount(bdev, "/")
        os.stat("/boot.py")  # which MicroPython starts after this
    except OSError as error:
        print("vfs:", error)
        import boot  # noqa: F401 -- importing it starts the terminal


begin()
gc.collect()
