"""The core's code in a small heap: let go where it is seldom needed."""

import gc
import sys

# The driver's own, of full images.
_SELDOM = ("host_bootloader", "otadata", "folder_flash", "esp_image", "block_writer")


def unload(names):
    """Let go of modules of ks_agent: whoever needs one again imports it again."""
    drop("ks_agent", names)
    drop("ks_driver", _SELDOM)
    gc.collect()


def drop(package_name, names):
    """The same of another package; the memory comes back at the next collection."""
    package = sys.modules.get(package_name)
    for name in names:
        if sys.modules.pop(package_name + "." + name, None) and hasattr(package, name):
            delattr(package, name)
        sys.modules.pop(name, None)  # releases for chips have no packages
