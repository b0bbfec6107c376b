"""Uploading punches: a batch at a time, oldest first (PROTOCOL section 5, events)."""

from .errors import LocalError, PeerError, Refused
from .exchange import RTO_MAX_S, wait_s
from .journal_read import batch, believe, settle
from .punches import BATCH

TOO_MUCH = ("TOO_LARGE", "MALFORMED")


class Behind(PeerError):
    """The server lacks what was sent before, and will be sent it again, but not at once: one that
    never has enough would be sent it for ever.
    """

    code = "BEHIND"


def upload_due(agent):
    """One batch; the rest is due at once, or later where it did not go."""
    punches = agent.punches
    backoff = agent.upload_backoff
    punches.due_ms = None  # a punch from now on sets it again
    wait_ms = None
    try:
        if (yield from upload(agent)):
            wait_ms = 0
        backoff.succeeded()
    except Refused as refused:
        agent.note_refusal(refused)
        named_s = wait_s(refused.answer, "RTY", 1, RTO_MAX_S)
        wait_ms = backoff.failed() if named_s is None else named_s * 1000
    except PeerError as error:
        agent.log.warn("answer not believed: " + error.code)
        wait_ms = backoff.failed()
    except OSError as error:
        agent.ports.board.show("offline", {"reason": str(error)})
        wait_ms = backoff.failed()
    if wait_ms is not None:
        punches.due_ms = agent.clock.ticks_ms() + wait_ms


def upload(agent):
    """One batch. True when there may be more; Refused, PeerError and OSError as of a call.

    What the server already has is passed by, what it lacks again is sent again.
    """
    punches = agent.punches
    journal = punches.journal
    if not journal.opened:
        journal.recover()
    if punches.heard is not None:
        believe(journal, punches.heard)
        punches.heard = None
    try:
        rows, place, damaged = batch(journal, punches.batch)
        if damaged:
            agent.log.add("FATAL", "%d segments of the journal are damaged" % len(damaged))
            if place[0] > journal.last:
                journal.begin_anew()
        if not rows:
            if not damaged:
                journal.place = place
            punches.batch = BATCH
            return False
        ack_seq = yield from _send(agent, rows, place)
    except MemoryError:
        if punches.batch == 1:
            raise
        punches.batch = punches.batch // 2
        agent.log.warn("batches of %d: no memory for more" % punches.batch)
        return True
    except Refused as refused:
        if refused.code in TOO_MUCH and punches.batch > 1:
            punches.batch = punches.batch // 2
        raise
    if not settle(journal, place, ack_seq):
        agent.log.add("FATAL", "the journal had lost its end: a new one begins")
    agent.ports.board.show("punches_uploaded", {"ACK_SEQ": ack_seq, "JID": place[2].jid})
    if ack_seq < place[2].seq:
        raise Behind("ACK_SEQ %d" % ack_seq)
    return True


def _send(agent, rows, place):
    """The highest SEQ up to which the server has settled everything."""
    jid = place[2].jid
    for row in rows:
        del row["JID"]
    clock = agent.clock

    def seal(request):
        """When is now, in the terminal's own time: of the very moment that TS tells."""
        request["BOOT"] = str(agent.punches.boot)
        request["UP"] = str(clock.ticks_ms())
        request["CLK"] = clock.state

    tokens = {"JID": jid, "SEQ_MIN": str(place[3]), "EVENT": rows}
    answer = yield from agent.exchange.call("events", tokens, None, seal)
    for row in answer.get("RESULT", []):
        if row.get("S1") == "rejected":
            agent.log.warn("punch %s rejected: %s" % (row.get("A1"), row.get("ERR1")))
    return int(answer["ACK_SEQ"])


def upload_all(agent):
    """Whether the server has acknowledged every punch, after sending what it lacked."""
    journal = agent.punches.journal
    try:
        while (yield from upload(agent)):
            pass
        return journal.is_settled()
    except (PeerError, LocalError, OSError):
        return False
