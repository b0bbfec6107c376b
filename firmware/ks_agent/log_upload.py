"""Uploading the log: what matters, or what a command asks for."""

from .log import LEVELS
from .ports import random_hex

BATCH_ROWS = 12


def select(log, level="DEBUG", since=""):
    """The last rows of at least a level and a time, as a LOG list for an upload."""
    rows = log.rows(level, since)[-BATCH_ROWS:]
    return [{"LOG2": LEVELS[row[0]], "LOG3": row[2], "LOG4": row[1]} for row in rows]


def upload_what_matters(agent):
    yield from upload(agent.exchange, agent.log, agent.ports.rng, agent.log_level())


def upload(exchange, log, rng, level, since="", cmd1=None):
    """Send the selected rows; gives the upload id (LOG1)."""
    upload_id = (cmd1 is None and log.upload_id) or random_hex(rng, 8)
    tokens = {"LOG1": upload_id, "LOG2": level, "LOG": select(log, level, since)}
    if cmd1 is not None:
        tokens["CMD1"] = cmd1
    yield from exchange.call("logs", tokens)
    if cmd1 is None:  # what a command asks for is a choice of its own
        log.mark_sent()
        log.upload_id = None
    return upload_id
