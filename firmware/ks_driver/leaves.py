"""The core's code in a small heap: let go where it is seldom needed."""

import gc
import sys


def unload(names):
    """Let go of modules of ks_agent: whoever needs one again imports it again."""
    package = sys.modules["ks_agent"]
    for name in names:
        if sys.modules.pop("ks_agent." + name, None) is not None and hasattr(package, name):
            delattr(package, name)
    gc.collect()
