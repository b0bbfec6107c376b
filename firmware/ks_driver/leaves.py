"""The core's code in a small heap: loaded leaves first, and let go where it is seldom needed.

A chain of imports needs the stack, and the memory, of all its links at once.
`load` is to be called after the crypto is loaded and before `ks_agent.agent` is.
"""

import gc
import sys

LEAVES = (
    "errors",
    "utf8",
    "toon_text",
    "toon_read",
    "toon",
    "message",
    "timetext",
    "tokens",
    "signing",
    "store",
    "exchange",
)


def load():
    for name in LEAVES:
        __import__("ks_agent." + name)
        gc.collect()


def unload(names):
    """Let go of modules of ks_agent: whoever needs one again imports it again."""
    package = sys.modules["ks_agent"]
    for name in names:
        if sys.modules.pop("ks_agent." + name, None) is not None and hasattr(package, name):
            delattr(package, name)
    gc.collect()
