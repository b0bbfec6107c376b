"""The conversation over the serial line: who asks, what is answered, what is answered again.

    console = Console(stream, desk)
    reason = await console.run()        # "restart", or None when the stream has ended

`stream`: `await read()` -> some bytes, b"" at its end; `write(data)`. `desk` performs operations:
`await perform(op, request)` -> the answer's fields; `over`, an asyncio.Event, and `reason` end the
conversation. What it may raise is told in `console_refusal`; anything else is answered INTERNAL.

The host numbers its requests. A number that was answered gets the same answer again, without the
work being done again: an answer may get lost. `hello` with a new SESSION begins anew.
"""

import asyncio
import binascii

from ks_agent import tokens, toon
from ks_agent.errors import KsError, Malformed

from .console_refusal import FLASH, INTERNAL, MALFORMED, NO_SESSION, Refusal
from .serial_line import MAX_MESSAGE_BYTES, LineReader, frame

MAX_SEQ_DIGITS = 9
SESSION_DIGITS = 16
HEX = "0123456789abcdef"


class Console:
    def __init__(self, stream, desk):
        self._stream = stream
        self._desk = desk
        self._reader = LineReader()
        self._session = None
        self._seq = -1
        self._digest = 0
        self._answer = None

    async def run(self):
        serving = asyncio.create_task(self._serve())
        try:
            await self._desk.over.wait()
        finally:
            if not serving.done():
                serving.cancel()
        if serving.done():
            await serving  # a crash is the caller's
        return self._desk.reason

    async def _serve(self):
        try:
            while True:
                data = await self._stream.read()
                if not data:
                    break
                for document in self._reader.feed(data):
                    await self._take(document)
        except OSError:  # the cable
            pass
        finally:
            self._desk.over.set()

    async def _take(self, document):
        request = read_request(document)
        if request is None:
            return
        seq, digest = int(request["SEQ"]), binascii.crc32(document)
        if self._is_new_session(request):
            self._session, self._seq = request["SESSION"], -1
        if seq < self._seq:
            return  # a repetition that came late: its answer has been used
        if seq == self._seq:
            if digest != self._digest:
                self._send(seq, _error(MALFORMED, "a number that was used already"))
            else:
                self._send(seq, self._answer)
            return
        if self._session is None:  # the number of an answer to come is not spent on this
            self._send(seq, _error(NO_SESSION, "say hello first"))
            return
        answer = await self._perform(request)
        self._seq, self._digest, self._answer = seq, digest, answer
        self._send(seq, answer)

    def _is_new_session(self, request):
        session = request.get("SESSION")
        return (
            request.get("OP") == "hello"
            and isinstance(session, str)
            and len(session) == SESSION_DIGITS
            and not session.strip(HEX)
            and session != self._session
        )

    async def _perform(self, request):
        op = request.get("OP")
        try:
            if not isinstance(op, str):
                raise Refusal(MALFORMED, "no OP")
            fields = await self._desk.perform(op, request)
            if op == "hello":
                fields["SESSION"] = self._session
            fields["S1"] = "ok"
            return _framed(fields)
        except Refusal as refusal:
            return _error(refusal.code, str(refusal))
        except KsError as error:
            return _error(MALFORMED if isinstance(error, Malformed) else INTERNAL, str(error))
        except OSError as error:
            return _error(FLASH, "error %s" % (error.args[0] if error.args else ""))
        except Exception as error:  # its text might show what came over the line
            return _error(INTERNAL, type(error).__name__)

    def _send(self, seq, fields):
        document = toon.encode(dict(fields, SEQ=str(seq)), tokens.kind_of)
        for line in frame(document):
            self._stream.write(line)


def read_request(document):
    """The request, with a SEQ that is a number; None for what cannot even be answered."""
    try:
        request = toon.decode(document, MAX_MESSAGE_BYTES)
    except Malformed:
        return None
    seq = request.get("SEQ")
    if not isinstance(seq, str) or not 1 <= len(seq) <= MAX_SEQ_DIGITS:
        return None
    return None if seq.strip("0123456789") else request


def _framed(fields):
    """The fields, if they fit into lines. Raises ValueError."""
    for _ in frame(toon.encode(dict(fields, SEQ="9" * MAX_SEQ_DIGITS), tokens.kind_of)):
        pass
    return fields


def _error(code, text):
    shown = [character if " " <= character <= "~" else "?" for character in text[:120]]
    return {"S1": "error", "ERR1": code, "ERR2": "".join(shown)}
