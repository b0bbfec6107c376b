"""Phases of punches and of the list of who may punch."""

import hashlib

from sweep_basis import Phase
from sweep_terminal import Wrong

from ks_agent import allow_pages, journal


class Punching(Phase):
    """People punch, one whenever the terminal sleeps, and each who hears a beep is recorded."""

    names = ()
    # Full segments before, and whether they are to be uploaded, and more of the next one than a
    # record's room left.
    segments = 0
    fills = False

    def begin(self, terminal):
        while self.fills and not self._is_filled(terminal.agent.punches.journal):
            terminal.clock.ticks += 700
            self.punch(terminal, LONG + str(terminal.clock.ticks))
        if self.segments:
            terminal.run(lambda: is_uploaded(terminal))

    def _is_filled(self, held):
        return held.last >= self.segments and held.size > journal.SEGMENT_BYTES - 2 * RECORD_BYTES

    def start(self):
        Phase.start(self)
        self._left = list(self.names)

    def resume(self):
        Phase.start(self)
        self._left = ["after the cut"]

    def act(self, terminal):
        if not self._left or not self.is_ready(terminal):
            return False
        name = self._left.pop(0)
        terminal.clock.ticks += 700
        self.punch(terminal, name)
        return True

    def is_ready(self, terminal):
        return bool(terminal.agent.punches.boot)

    def punch(self, terminal, name):
        """The reader's side: the punch in the journal is what was beeped for."""
        terminal.watch("try", name)
        said = terminal.agent.punches.take(name)
        if said == "accepted":
            terminal.watch("beep", name)
        elif said != "full":
            raise Wrong("a punch was %s" % said)

    def is_done(self, terminal):
        return not self._left and terminal.beats >= 2 and is_uploaded(terminal)

    def check(self, terminal, told):
        beeped = [what for kind, what in told if kind == "beep"]
        tried = [what for kind, what in told if kind == "try"]
        stored = []
        for _jid, rows in sorted(terminal.server.journals.items()):
            for seq in sorted(rows):
                stored.append(rows[seq]["E1"])
        for name in beeped:
            if stored.count(name) != beeped.count(name):
                raise Wrong("%s beeped, and is there %d times" % (name, stored.count(name)))
        for name in stored:
            if stored.count(name) > tried.count(name):
                raise Wrong("%s is there, and never punched" % name)
        if terminal.server.conflicts:
            raise Wrong("two punches with one number, or a gap")


LONG = "employee-" * 6
RECORD_BYTES = 66


def is_uploaded(terminal):
    return terminal.agent.punches.journal.is_settled()


class Append(Punching):
    name = "journal-append"
    names = tuple(["person-%d" % number for number in range(6)])


class Roll(Punching):
    """Over the end of a segment."""

    name = "journal-roll"
    names = tuple([LONG + "r%d" % number for number in range(4)])
    fills = True


class Drop(Punching):
    """Acknowledged segments are dropped when others begin."""

    name = "journal-drop"
    kept = 1
    fills = True
    segments = 2
    names = tuple([LONG + "d%d" % number for number in range(4)])

    def is_ready(self, terminal):
        return terminal.beats > 0 and terminal.agent.punches.journal.settled > 1


class AllowList(Phase):
    """Another version of the list of who may punch."""

    name = "allow-list"
    sync_bytes = 100

    def begin(self, terminal):
        terminal.server.allow = published(terminal.crypto, 0)
        terminal.power_on()
        terminal.run(lambda: held(terminal) == terminal.server.allow[0])
        terminal.server.allow = published(terminal.crypto, 6)

    def is_done(self, terminal):
        return held(terminal) == terminal.server.allow[0]

    def check_boot(self, terminal):
        if held(terminal) not in [published(terminal.crypto, first)[0] for first in (0, 6)]:
            raise Wrong("a list that nobody published")

    def check(self, terminal, told):
        found = terminal.agent.punches.allow_list.find("card 7")
        if found != "E7" or terminal.agent.punches.allow_list.find("card 3") is not None:
            raise Wrong("not the list that it says it is")


def held(terminal):
    allow_list = terminal.agent.punches.allow_list
    return None if allow_list is None else allow_list.version


def published(crypto, first):
    """(version, pages, digests) of a list of 20 credentials from a number on."""
    pages = [[], []]
    for number in range(first, first + 20):
        c1 = allow_pages.text_digest(hashlib.sha256, "card %d" % number)
        pages[allow_pages.page_of(c1, 2)].append((c1, "E%d" % number))
    texts = tuple([allow_pages.page_text(sorted(page)) for page in pages])
    digests = "".join([allow_pages.text_digest(hashlib.sha256, text) for text in texts])
    return allow_pages.text_digest(hashlib.sha256, digests), texts, digests
