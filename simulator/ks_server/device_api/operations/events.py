"""POST events: punches, identified by (D1, JID, SEQ), stored once however often they come.

A punch that must be rejected is kept in quarantine, other content under a number that is taken as
a conflict, and what is missing below SEQ_MIN is recorded as a gap: all of that counts as settled,
and a journal can never get stuck. What does not fit the chain is stored like any other punch, and
found (punch_chain).

A batch costs the same few statements whatever it holds, as long as it is in order and synchronised;
what is rare (conflicts, gaps, clocks that were not set) costs some more, all of it bounded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from ks_agent import signing, tokens
from ks_agent.errors import Malformed

from ... import punch_chain, punch_time
from ...punch_chain import Finding, Punch, Stored
from ...punch_time import Moment, Reference
from ...repository import findings, journals, people, punches, time_references
from ...repository.journals import Journal
from ..call import Call, Outcome
from ..operation import Operation
from ..wire import Reply, compose

CONFLICT: Final = "CONFLICT"
# what binding adds, and ACK_SEQ; the list is cut to fit: ACK_SEQ alone settles punches
_RESULT_ROOM_BYTES: Final = tokens.ANSWER_MAX_BYTES - 1536
_COUNTS: Final = "counts"


@dataclass(slots=True)
class _Batch:
    """The punches of one request, by what they are; each list in order of SEQ."""

    d1: str
    jid: str
    now_ms: int
    seq_min: int
    request: Reference | None
    punches: dict[int, Punch]
    stored: Mapping[int, Stored] = field(default_factory=dict)
    new: list[Punch] = field(default_factory=list)
    conflicts: list[Punch] = field(default_factory=list)
    duplicates: int = 0

    def sort_out(self, stored: Mapping[int, Stored]) -> list[dict[str, str]]:
        """The list RESULT, in the order in which the punches came."""
        self.stored = stored
        results = []
        for seq, punch in self.punches.items():
            known = stored.get(seq)
            result = {"A1": punch.row.get("A1", "")}
            if known is None:
                self.new.append(punch)
                if punch.err1 is None:
                    continue
                result |= {"S1": "rejected", "ERR1": punch.err1}
            elif known.hash is None or known.hash == punch.hash:
                self.duplicates += 1
                result["S1"] = "duplicate"
            else:
                self.conflicts.append(punch)
                result |= {"S1": "rejected", "ERR1": CONFLICT}
            results.append(result)
        self.new.sort()
        self.conflicts.sort()
        return results


class Events(Operation):
    """ACK_SEQ is the highest SEQ up to which nothing is missing."""

    op = "events"

    def check(self, message: dict[str, Any]) -> None:
        if int(message.get("SEQ_MIN", "1")) < 1:
            raise Malformed("SEQ_MIN counts from 1")
        numbers = [row.get("SEQ", "0") for row in message["EVENT"]]
        if any(int(number) < 1 for number in numbers):
            raise Malformed("a punch without its number")
        if len(set(numbers)) != len(numbers):
            raise Malformed("a punch twice in one batch")

    async def perform(self, call: Call, connection: AsyncConnection) -> Outcome:
        batch = _read(call)
        d1, jid = batch.d1, batch.jid
        journal = await journals.find(connection, d1, jid)
        if journal is None:
            journal = await journals.create(connection, d1, jid, call.now_ms)
        results = batch.sort_out(await punches.beside(connection, d1, jid, list(batch.punches)))
        journal, is_recheck_due = await _store_new(connection, batch, journal)
        found = punch_chain.check(batch.new, batch.stored)
        if batch.conflicts:
            found += await _keep_conflicts(connection, batch)
        journal, gaps = await _settle(connection, batch, journal)
        found += gaps
        if is_recheck_due:
            first = journal.recheck_seq or 1
            recheck = await time_references.correct_again(connection, d1, jid, first)
            journal = journal._replace(recheck_seq=recheck)
        await journals.save(connection, d1, jid, journal, call.now_ms)
        events = await findings.record(connection, d1, jid, call.now_ms, found)
        rejected = sum(punch.err1 is not None for punch in batch.new)
        call.values[_COUNTS] = {
            "accepted": len(batch.new) - rejected,
            "rejected": rejected,
            "duplicate": batch.duplicates,
            "conflict": len(batch.conflicts),
        }
        answer: dict[str, Any] = {"S1": "ok", "ACK_SEQ": str(journal.ack_seq)}
        answer["RESULT"] = _that_fit(results)
        return Outcome(answer, events)

    async def finish(self, call: Call, outcome: Outcome, syntax: str) -> Reply:
        for result, count in call.values[_COUNTS].items():
            call.context.metrics.punches(result, count)
        return await super().finish(call, outcome, syntax)


def _read(call: Call) -> _Batch:
    jid = call.message["JID"]
    read = [punch_chain.read(jid, row) for row in call.rows("EVENT")]
    return _Batch(
        d1=call.d1,
        jid=jid,
        now_ms=call.now_ms,
        seq_min=int(call.message.get("SEQ_MIN", "1")),
        request=_reference_of(call),
        punches={punch.seq: punch for punch in read},
    )


def _reference_of(call: Call) -> Reference | None:
    """The time reference that the request itself is."""
    boot, up = call.get("BOOT"), call.get("UP")
    if boot is None or up is None or call.get("CLK") != punch_chain.SYNCED:
        return None
    if int(boot) < 0 or int(up) < 0:
        return None
    return punch_time.of_request(int(boot), int(up), call.ts_ms, call.now_ms)


async def _store_new(
    connection: AsyncConnection, batch: _Batch, journal: Journal
) -> tuple[Journal, bool]:
    """Store what is new, with its time and person; the journal with what that changed, and whether
    uncertain times are to be looked at again."""
    good = [punch for punch in batch.new if punch.err1 is None]
    moments = _by_their_clocks(good, batch.request)
    references = time_references.of_punches(good, batch.stored, moments)
    journal, with_request = _with_request(journal, batch.request)
    if with_request is not None:
        references.append(with_request)
    is_first = False
    if references:
        is_first = await time_references.keep(connection, batch.d1, batch.jid, references)
    if len(moments) < len(good):
        moments |= await _by_what_is_known(connection, batch, good, moments)
    if batch.new:
        await _insert(connection, batch, good, moments)
    if is_first:
        journal = journal._replace(recheck_seq=1)
    return journal, journal.recheck_seq is not None


def _by_their_clocks(good: Sequence[Punch], request: Reference | None) -> dict[int, Moment]:
    """The moments of the punches that need nothing from elsewhere."""
    moments = {}
    for punch in good:
        clk = punch.row.get("CLK")
        raw_ms = punch.raw_ms or 0
        if punch.boot_number is None or punch.up_ms is None or clk is None:
            source = punch_time.CLOCK if clk == punch_chain.SYNCED else punch_time.RAW
            moments[punch.seq] = Moment(raw_ms, None, source)
        elif clk == punch_chain.SYNCED:
            moments[punch.seq] = punch_time.synced(punch.boot_number, punch.up_ms, raw_ms, request)
    return moments


def _with_request(journal: Journal, request: Reference | None) -> tuple[Journal, Reference | None]:
    """The request's reference when it is time to keep one again."""
    if request is None:
        return journal, None
    if journal.reference_boot == request.boot:
        away_ms = abs(request.up_ms - (journal.reference_up_ms or 0))
        if away_ms < time_references.APART_MS:
            return journal, None
    changed = journal._replace(reference_boot=request.boot, reference_up_ms=request.up_ms)
    return changed, request


async def _by_what_is_known(
    connection: AsyncConnection,
    batch: _Batch,
    good: Sequence[Punch],
    moments: Mapping[int, Moment],
) -> dict[int, Moment]:
    """The moments of the other punches."""
    others = [
        (punch.seq, punch.boot_number or 0, punch.up_ms or 0, punch.raw_ms or 0)
        for punch in good
        if punch.seq not in moments
    ]
    spans = time_references.spans_of((boot, up_ms) for _, boot, up_ms, _ in others)
    around = await time_references.around(connection, batch.d1, batch.jid, spans)
    return {
        seq: punch_time.unsynced(up_ms, raw_ms, around[boot], batch.now_ms)
        for seq, boot, up_ms, raw_ms in others
    }


async def _insert(
    connection: AsyncConnection,
    batch: _Batch,
    good: Sequence[Punch],
    moments: Mapping[int, Moment],
) -> None:
    persons = await people.find(connection, list({punch.row["E1"] for punch in good}))
    common = (batch.d1, batch.jid, batch.now_ms)
    rows = []
    for punch in batch.new:
        moment = moments.get(punch.seq)
        person: punches.Attribution = (None, None)
        if moment is not None:
            person = people.attribute(persons.get(punch.row["E1"]), moment.time_ms)
        rows.append(punches.row(common, punch, moment, person))
    await punches.store(connection, rows)


async def _keep_conflicts(connection: AsyncConnection, batch: _Batch) -> list[Finding]:
    """Keep what was not known; a conflict that comes again is nothing new."""
    numbers = {punch.seq - step for punch in batch.conflicts for step in (0, 1)}
    kept = await punches.kept_conflicts(connection, batch.d1, batch.jid, sorted(numbers))
    fresh = [punch for punch in batch.conflicts if (punch.seq, punch.hash) not in kept]
    if not fresh:
        return []
    await punches.keep_conflicts(connection, batch.d1, batch.jid, fresh, batch.now_ms)
    return punch_chain.judge_conflicts(fresh, batch.punches, batch.stored, kept)


async def _settle(
    connection: AsyncConnection, batch: _Batch, journal: Journal
) -> tuple[Journal, list[Finding]]:
    """Fill what was thought missing, record what is missing now, and advance ACK_SEQ."""
    d1, jid, now_ms = batch.d1, batch.jid, batch.now_ms
    late = [
        punch.seq
        for punch in batch.new
        if punch.seq <= journal.ack_seq or journal.closed_ms is not None
    ]
    if late:
        filled = await punches.fill_gaps(connection, d1, jid, late, now_ms)
        if filled is not None:
            await findings.resolve_filled(connection, d1, jid, *filled, now_ms)
    gaps: list[tuple[int, int]] = []
    ack_seq = _run_of(batch, journal.ack_seq)
    if ack_seq is None:
        numbers = await punches.unsettled(connection, d1, jid, journal.ack_seq)
        ack_seq, gaps = punches.settle(numbers, journal.ack_seq, batch.seq_min)
        await punches.record_gaps(connection, d1, jid, gaps, now_ms)
    top = max(journal.seq_top or 0, ack_seq, *batch.punches) if batch.punches else journal.seq_top
    changed = journal._replace(
        ack_seq=ack_seq,
        seq_min=batch.seq_min,
        seq_top=top,
        duplicates=journal.duplicates + batch.duplicates,
    )
    detail = f"below SEQ_MIN {batch.seq_min}"
    return changed, [Finding("gap", *gap, detail) for gap in gaps]


def _run_of(batch: _Batch, ack_seq: int) -> int | None:
    """ACK_SEQ when this batch alone tells it; None when what is stored has to be asked."""
    if not batch.punches or batch.seq_min - 1 > ack_seq:
        return None
    number = ack_seq
    while number + 1 in batch.punches or number + 1 in batch.stored:
        number += 1
    # beside each punch of the batch it is known what is stored, and no farther
    return number if number == ack_seq or number in batch.punches else None


def _that_fit(results: list[dict[str, str]]) -> list[dict[str, str]]:
    while results and _too_large(results):
        results = results[: len(results) // 2]
    return results


def _too_large(results: list[dict[str, str]]) -> bool:
    return any(
        len(compose({"RESULT": results}, syntax)) > _RESULT_ROOM_BYTES
        for syntax in (signing.TOON, signing.LINES)
    )
