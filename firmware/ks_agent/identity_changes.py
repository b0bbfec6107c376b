"""What happens to a terminal's identity once in its life, or not at all."""

from . import life
from .ports import KEY, KEY_NEXT, NETWORK


def take_first_seed(identity, vault, seed):
    """First boot: the key exists whole or not at all, since the vault sets it at once."""
    identity.machine.step("key_made")
    if identity.adopted:  # the vault has lost the key before this one
        identity.write(dict(identity.record, STATE=identity.state))
    vault.set(KEY, seed)
    identity.use_seed(seed)


def adopt(identity, record):
    """What the terminal is from now on: the factory's words, with D1 and D2."""
    identity.write(dict(record, STATE=identity.state))


def spend_token(identity):
    """Registered: the one-time token has done its work."""
    if "OTRT" in identity.record:
        record = dict(identity.record)
        del record["OTRT"]
        identity.write(record)


def forget(identity):
    """WIPE and REVOKE: of the identity only the id stays, and the key until the end."""
    identity.machine.step("erased")
    identity.write({"D1": identity.d1, "STATE": identity.state})


def erase_key(identity, ports):
    """The end, also of the way into the network; may be interrupted and done again."""
    if identity.state != life.DORMANT:
        identity.step("key_erased")
    for name in (KEY, KEY_NEXT) + NETWORK:
        ports.vault.erase(name)
    identity.seed = None
    ports.crypto.forget()
