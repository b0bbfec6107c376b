"""Phases of commands: effects once, configurations, keys of all roles, the end of a terminal."""

from fakes import D1, RELEASE_SEED, public_text
from sweep_basis import Phase
from sweep_server import HOST, OTHER_HOST, SEEDS
from sweep_terminal import Wrong

from ks_agent import signing
from ks_agent.ports import COUNTER, KEY, KEY_NEXT
from ks_agent.store import Store
from ks_agent.trust import ADMIN, RELEASE

EXTRA_SEED = b"E" * 32
# How each release is known in the checks: FW2 -> files.


class Commanded(Phase):
    """Commands in the server's queue: (name, payload, signed by two administrators)."""

    commands = ()
    # What may be said of each in the end.
    allowed = ("OK", "ERROR")

    def begin(self, terminal):
        server = terminal.server
        for number, (name, payload, admins) in enumerate(self.commands):
            server.command(name, number, terminal.now_ms(), payload, admins)

    def is_done(self, terminal):
        return not terminal.server.commands and terminal.beats >= self.beats

    beats = 2

    def check(self, terminal, told):
        server = terminal.server
        if len(server.acks) != len(self.commands):
            raise Wrong("not all are acknowledged")
        for cmd1 in server.acks:
            said = {status for status, _ in server.acks[cmd1]}
            if len(said) != 1 or not said.issubset(self.allowed):
                raise Wrong("said of a command: %s" % (server.acks[cmd1],))

    def outcome(self, terminal, number):
        cmd1 = "%s-%d" % (signing.command_prefix(terminal.crypto, D1), number)
        return terminal.server.acks[cmd1][0]


class Commands(Commanded):
    """Commands whose effect cannot be taken back, and the restart among them."""

    name = "commands"
    commands = (
        ("IDENTIFY", "", False),
        ("FETCH_LOGS", "LEVEL:DEBUG", False),
        ("RESTART", "", False),
        ("HALT_UPDATES", "", False),
    )

    def check(self, terminal, told):
        Commanded.check(self, terminal, told)
        if self.outcome(terminal, 2)[0] != "OK":
            raise Wrong("the restart")
        # What never began, as its record was not written, is done after the cut.
        halted = Store(terminal.fs).read("data/state/update.toon") or {}
        if (self.outcome(terminal, 3)[0] == "OK") != (halted.get("HALTED") == "true"):
            raise Wrong("HALT_UPDATES is not what was said of it")


class Outbox(Commanded):
    """Acknowledgements of many commands, in the order in which their ids sort."""

    name = "outbox"
    commands = (("RESUME_UPDATES", "", False),) * 3 + (("IDENTIFY", "", False),) * 2


class ConfigProven(Commanded):
    name = "config-proven"
    commands = (("APPLY_CONFIG", "SERVER:" + OTHER_HOST + "|LOG_LEVEL:WARN", False),)
    reachable = (HOST, OTHER_HOST)

    def begin(self, terminal):
        terminal.server.hosts = self.reachable
        Commanded.begin(self, terminal)

    def check(self, terminal, told):
        Commanded.check(self, terminal, told)
        status, _text = self.outcome(terminal, 0)
        server = OTHER_HOST if status == "OK" else HOST
        config = Store(terminal.fs).read("data/state/config.toon")
        if config["SERVER"] != server or terminal.agent.config.get("SERVER") != server:
            raise Wrong("%s, but %s is the server" % (status, config["SERVER"]))
        if terminal.agent.config.on_trial or Store(terminal.fs).exists(
            "data/state/config_trial.toon"
        ):
            raise Wrong("a trial that never ends")


class ConfigFailed(ConfigProven):
    name = "config-failed"
    reachable = (HOST,)
    allowed = ("ERROR",)


class TrustKey(Commanded):
    """A key is added as the release key's, with its word, and distrusted again."""

    name = "trust-change"
    allowed = ("OK",)

    def begin(self, terminal):
        crypto = terminal.crypto
        key = public_text(EXTRA_SEED, crypto)
        word = signing.sign_text(crypto, RELEASE_SEED, signing.trust_text(RELEASE, key))
        add = "KEY:%s|RELEASE_SIG:%s|ROLE:release" % (key, word)
        admin = "KEY:%s|ROLE:admin" % public_text(b"F" * 32, crypto)
        remove = "KEY:%s|ROLE:release" % key
        self.commands = (
            ("TRUST_KEY", add, False),
            ("TRUST_KEY", admin, True),
            ("DISTRUST_KEY", remove, True),
        )
        Commanded.begin(self, terminal)

    def check(self, terminal, told):
        self.commands = (None,) * 3
        # One that was interrupted before its effect says so, and the others go on from there.
        self.allowed = ("OK", "ERROR")
        Commanded.check(self, terminal, told)
        trust = terminal.agent.trust
        added, admin, removed = [self.outcome(terminal, number)[0] for number in range(3)]
        key = public_text(EXTRA_SEED, terminal.crypto)
        if trust.has(RELEASE, key) != (added == "OK" and removed != "OK"):
            raise Wrong("the release key is not what was said of it")
        if (removed == "OK") != (key in trust.distrusted):
            raise Wrong("a key is trusted that was distrusted")
        if (admin == "OK") != trust.has(ADMIN, public_text(b"F" * 32, terminal.crypto)):
            raise Wrong("the administrator's key is not what was said of it")
        if not trust.has(RELEASE, public_text(RELEASE_SEED, terminal.crypto)):
            raise Wrong("the release key is gone")


class Distrust(Commanded):
    """A key that never was trusted: nothing but the list of distrusted ones tells that it was
    performed.
    """

    name = "distrust"

    def begin(self, terminal):
        remove = "KEY:%s|ROLE:release" % public_text(EXTRA_SEED, terminal.crypto)
        self.commands = (("DISTRUST_KEY", remove, True),)
        Commanded.begin(self, terminal)

    def check(self, terminal, told):
        self.commands = (None,)
        Commanded.check(self, terminal, told)
        key = public_text(EXTRA_SEED, terminal.crypto)
        if (self.outcome(terminal, 0)[0] == "OK") != (key in terminal.agent.trust.distrusted):
            raise Wrong("a key is not distrusted, and was said to be")


class Links(Phase):
    """The server's key has changed three times while the terminal was off."""

    name = "link"

    def begin(self, terminal):
        terminal.server.seeds = SEEDS

    def is_done(self, terminal):
        return terminal.beats >= 2

    def check(self, terminal, told):
        expected = signing.key_id(terminal.crypto, terminal.crypto.public_key(SEEDS[-1]))
        if terminal.agent.trust.server_key_id() != expected:
            raise Wrong("an old key of the server's is the newest")


class Rotation(Commanded):
    """The device's own key; `loses`: whose answers get lost, once each."""

    name = "key-rotation"
    commands = (("ROTATE_DEVICE_KEY", "", False),)
    keeps_key = False
    loses = ()

    def begin(self, terminal):
        terminal.server.loses = self.loses
        Commanded.begin(self, terminal)

    def is_done(self, terminal):
        settled = terminal.hardware.vault.get(KEY_NEXT) is None
        return settled and Commanded.is_done(self, terminal)

    def check(self, terminal, told):
        Commanded.check(self, terminal, told)
        public = terminal.crypto.public_key(terminal.hardware.vault.get(KEY))
        if public != terminal.server.known:
            raise Wrong("the server knows another key")


class RotationLost(Rotation):
    """The server has taken the new key, and its word of it gets lost."""

    name = "key-rotation-lost"
    loses = ("rotate-key",)


class RotationLostTwice(Rotation):
    name = "key-rotation-lost-twice"
    loses = ("rotate-key", "heartbeat", "command-ack")


class Wipe(Commanded):
    """Everything goes but what has to stay; the key goes when the server knows."""

    name = "wipe"
    commands = (("WIPE", "FORCE:true", True),)
    keeps_key = False
    beats = 0

    def begin(self, terminal):
        terminal.hardware.vault.set(COUNTER, b"7")
        for number in range(3):
            terminal.clock.ticks += 700
            terminal.agent.punches.take("gone %d" % number)
        Commanded.begin(self, terminal)

    def is_done(self, terminal):
        return terminal.dormant or self._was_interrupted(terminal)

    def _was_interrupted(self, terminal):
        """Begun, and cut before anything was erased: the server is told so."""
        return [acks for acks in terminal.server.acks.values() if ("ERROR", "interrupted") in acks]

    def check(self, terminal, told):
        vault = terminal.hardware.vault
        if self._was_interrupted(terminal):
            self._check_all_is_there(terminal, told)
            return
        if vault.get(KEY) is not None or vault.get(KEY_NEXT) is not None:
            raise Wrong("the key outlives the end")
        if vault.get(COUNTER) != b"7":
            raise Wrong("the security counter was wiped")
        said = [ack for acks in terminal.server.acks.values() for ack in acks]
        if not said or {status for status, _ in said} != {"OK"}:
            raise Wrong("said of the wipe: %s" % (said,))
        state = set(Store(terminal.fs).names("data/state"))
        left = state - {"identity.toon", "performed.toon", "trust.toon", "boot.toon", "outbox"}
        if left:
            raise Wrong("left over: %s" % sorted(left))
        if list(terminal.fs.listdir("data/journal")):
            raise Wrong("punches outlive a wipe")

    def _check_all_is_there(self, terminal, told):
        if "wiped" in [kind for kind, _ in told]:
            raise Wrong("wiped, and said to be not")
        if terminal.agent.punches.journal.tail.seq != 3:
            raise Wrong("punches are gone, and there was no wipe")
        public = terminal.crypto.public_key(terminal.hardware.vault.get(KEY))
        if public != terminal.server.known or terminal.hardware.vault.get(COUNTER) != b"7":
            raise Wrong("the key or the counter is gone, and there was no wipe")


class Revoke(Wipe):
    """The same for a terminal that the server does not want any more."""

    name = "revoke"
    commands = (("REVOKE", "", True),)

    def begin(self, terminal):
        Wipe.begin(self, terminal)
        terminal.server.revoked = True
