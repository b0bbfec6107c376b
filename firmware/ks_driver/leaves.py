"""Loads the core from its leaves up: on a chip a chain of imports needs the stack of all its links.

To be called after the crypto is loaded and before `ks_agent.agent` is.
"""

import gc

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
    "bundle",
    "exchange",
    "update",
)


def load():
    for name in LEAVES:
        __import__("ks_agent." + name)
        gc.collect()
