"""A terminal at a serial port, as the factory and `ks setup` speak to it (docs/serial.md).

    with DeviceLink("/dev/ttyUSB0") as device:
        told = device.hello()
        public = device.make_key()

Every call repeats its request until the answer comes: the terminal does the work once. What is
sent and answered is never logged, nor part of an error's text, since it may be a secret.
"""

from __future__ import annotations

import secrets
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from ks_agent import signing, tokens, toon
from ks_agent.errors import BadSignature, Malformed
from ks_server.crypto import NaclCrypto
from ks_simulator.keys import TrustedKey

from .console import ToolError
from .device_answer import read_answer, reason_of, rows_of, shown, text_of
from .serial_line import LineReader, frame

Message = Mapping[str, str | Sequence[Mapping[str, str]]]

BAUD: Final = 115_200
# A terminal takes a byte as fast as it comes, but holds no more than 260 while it does something
# else: a collection of its memory, a write to its flash.
LINE_PAUSE_S: Final = 0.002
POLL_S: Final = 0.05
WRITE_TIMEOUT_S: Final = 5.0
ANSWER_S: Final = 2.0
TRIES: Final = 4
BOOT_S: Final = 15.0
JOIN_S: Final = 20.0
KEY_S: Final = 4.0
SETUP_S: Final = 150.0
# A line of the terminal's is at most 400 bytes, and half of one waits safely in its 260.
CA_PART: Final = 180
FIRST_SEQ_MOST: Final = 900_000_000
# How a cable that is pulled shows: SerialException is an OSError, what the terminal's driver says
# to pyserial's flush is none.
GONE: Final = (OSError, termios.error)


class LinkError(ToolError):
    """The conversation failed."""


class LinkLost(LinkError):
    """The port: not there, taken, or gone in the middle."""


class DeviceSilent(LinkError):
    """Nothing that is an answer came."""


class DeviceRefused(LinkError):
    """The terminal says no; `code` is ERR1 of docs/serial.md."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"the terminal refuses: {code} {text}".rstrip())
        self.code = code
        self.text = text


@dataclass(frozen=True)
class Told:
    """What a terminal says of itself. `public` once it has a key; `d1` once it is somebody."""

    mac: str
    state: str
    board: str = ""
    chip: str = ""
    release: str = ""
    micropython: str = ""
    stage0: str = ""
    heap: int = 0
    public: str = ""
    d1: str = ""


@dataclass(frozen=True)
class Proof:
    """A terminal's word that it holds the private key, with a signature that was checked."""

    d1: str
    public: str
    challenge: str
    nonce: str
    signature: str


class DeviceLink:
    """One conversation with the terminal at `port`, a device or a URL of pyserial (`socket://`).

    `on_console` is given each line that is no answer: what runs on the terminal may print.
    `patience`: a factor for how long an answer is waited for; `tries`: how often it is asked for.
    """

    def __init__(
        self,
        port: str,
        *,
        baud: int = BAUD,
        on_console: Callable[[str], None] | None = None,
        patience: float = 1.0,
        tries: int = TRIES,
    ) -> None:
        self.port = port
        self._baud = baud
        self._patience = patience
        self._tries = tries
        self._reader = LineReader(on_console or (lambda text: None))
        self._seq = 0
        self._serial: Any = None

    def __enter__(self) -> DeviceLink:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Raises LinkLost."""
        try:
            import serial
        except ImportError:
            raise LinkLost("pyserial is missing: pip install 'ks-terminal[factory]'") from None
        try:
            self._serial = serial.serial_for_url(
                self.port,
                baudrate=self._baud,
                timeout=POLL_S,
                write_timeout=WRITE_TIMEOUT_S,
                exclusive=None if "://" in self.port else True,
            )
        except (*GONE, ValueError) as error:
            raise LinkLost(f"{self.port} cannot be opened: {reason_of(error)}") from None

    def close(self) -> None:
        """May be called again."""
        port, self._serial = self._serial, None
        if port is not None:
            with suppress(*GONE):
                port.close()

    def hello(self, wait_s: float = BOOT_S) -> Told:
        """Begin anew; waits for a terminal that still boots. Raises LinkError."""
        # A place to begin where no answer from before can be taken for one of these.
        self._seq = secrets.randbelow(FIRST_SEQ_MOST)
        session = secrets.token_hex(8)
        tries = max(self._tries, round(wait_s / ANSWER_S * 2))
        answer = self._call("hello", {"SESSION": session}, ANSWER_S / 2, tries)
        if answer.get("SESSION") != session:
            raise LinkError(f"{self.port}: an answer to somebody else")
        heap = text_of(answer, "HEAP")
        return Told(
            mac=text_of(answer, "MAC"),
            state=text_of(answer, "STATE"),
            board=text_of(answer, "BOARD"),
            chip=text_of(answer, "CHIP"),
            release=text_of(answer, "FW2"),
            micropython=text_of(answer, "MPV"),
            stage0=text_of(answer, "STAGE0"),
            heap=int(heap) if heap.isascii() and heap.isdigit() else 0,
            public=text_of(answer, "PUB"),
            d1=text_of(answer, "D1"),
        )

    def test(self, name: str, step: str = "act") -> dict[str, str]:
        """A reading of the factory test: flash, clock, memory, or a feature's (`act`)."""
        answer = self._call("test", {"NAME": name, "STEP": step}, JOIN_S, 2)
        readings = {key: value for key, value in answer.items() if isinstance(value, str)}
        readings.update({row.get("NAME", ""): row.get("TEXT", "") for row in rows_of(answer)})
        return {key: value for key, value in readings.items() if key not in ("S1", "SEQ")}

    def begin(self, name: str) -> None:
        """From now on the terminal notes what this feature sees: a card, a key."""
        self._call("test", {"NAME": name, "STEP": "begin"})

    def seen(self, name: str) -> list[str]:
        """What it has seen since `begin`."""
        answer = self._call("test", {"NAME": name, "STEP": "end"})
        return [row.get("TEXT", "") for row in rows_of(answer, "SEEN")]

    def test_wifi(self, ssid: str, password: str) -> int:
        """The strength of a network, dBm."""
        fields = {"NAME": "wifi", "WIFI_SSID": ssid, "WIFI_PASSWORD": password}
        answer = self._call("test", fields, JOIN_S, 2)
        try:
            return int(text_of(answer, "RSSI"))
        except ValueError:
            raise LinkError("the terminal told no strength") from None

    def make_key(self) -> str:
        """The public key, base64; the private one stays where it was made."""
        return _public(self._call("make_key", {}, KEY_S))

    def inject_key(self, seed: bytes) -> str:
        """Give it a private key, where its image allows that; the public one, base64."""
        return _public(self._call("inject_key", {"SEED": signing.b64(seed)}, KEY_S))

    def prove(self, d1: str, public: str) -> Proof:
        """Let it prove that it holds the key of `public`. LinkError for a proof that is none."""
        challenge = secrets.token_hex(32)
        answer = self._call("prove", {"D1": d1, "CHALLENGE": challenge}, KEY_S)
        nonce, signature = text_of(answer, "NONCE"), text_of(answer, "SIG")
        text = signing.proof_text(d1, public, challenge, nonce)
        try:
            raw = signing.decode_public_key(public)
            signing.verify_text(NaclCrypto(), raw, text, signature)
        except (BadSignature, Malformed):
            raise LinkError(f"{self.port}: the proof of its key is wrong") from None
        if len(nonce) != 32:
            raise LinkError(f"{self.port}: a proof without a nonce of its own")
        return Proof(d1, public, challenge, nonce, signature)

    def write(self, file: str, fields: Message) -> None:
        """One of trust, factory, network, setup, board; again as often as needed."""
        self._call("write", {**fields, "FILE": file})

    def write_trust(self, keys: Sequence[TrustedKey]) -> None:
        """The keys that it is to trust."""
        rows = []
        for key in keys:
            row = {"KEY": key.key, "ROLE": key.role}
            if key.seq is not None:
                row["SEQ"] = str(key.seq)
            rows.append(row)
        self.write("trust", {"TRUST": rows})

    def write_factory(self, words: Mapping[str, str]) -> None:
        """D1 D2 D4 D5 M1 OTRT SERVER TIME_SERVER CA, as factory.toon will hold them."""
        fields: dict[str, str | Sequence[Mapping[str, str]]] = dict(words)
        authority = words.get("CA", "")
        if authority:
            starts = range(0, len(authority), CA_PART)
            fields["CA"] = [{"PART": authority[start : start + CA_PART]} for start in starts]
        self.write("factory", fields)

    def write_network(self, ssid: str, password: str) -> None:
        """The network that it joins at first."""
        self.write("network", {"WIFI_SSID": ssid, "WIFI_PASSWORD": password})

    def seal(self) -> str:
        """The last step, D1: from then on it is provisioned, restarts, and is silent here."""
        answer = self._call("seal", {})
        with suppress(DeviceSilent):  # it has restarted by itself
            self._call("restart", {}, ANSWER_S / 4, 1)
        return text_of(answer, "D1")

    def setup(self, ssid: str, password: str) -> str:
        """Try a network; it is kept if the server answered over it. What it says of it."""
        fields = {"WIFI_SSID": ssid, "WIFI_PASSWORD": password}
        return text_of(self._call("setup", fields, SETUP_S, 2), "TEXT")

    def listen(self, seconds: float) -> None:
        """Only hear what is printed there, for so long. Raises LinkLost."""
        if self._serial is None:
            raise LinkLost(f"{self.port} is not open")
        try:
            self._await(None, seconds)
        except GONE as error:
            raise LinkLost(f"{self.port} is gone: {reason_of(error)}") from None

    def _call(
        self, op: str, fields: Message, answer_s: float = ANSWER_S, tries: int = 0
    ) -> dict[str, Any]:
        self._seq += 1
        request = {**fields, "OP": op, "SEQ": str(self._seq)}
        try:
            lines = frame(bytes(toon.encode(request, tokens.kind_of)))
        except ValueError as error:
            raise LinkError(f"{op}: {error}") from None
        if self._serial is None:
            raise LinkLost(f"{self.port} is not open")
        try:
            for _ in range(tries or self._tries):
                self._send(lines)
                answer = self._await(str(self._seq), answer_s * self._patience)
                if answer is not None:
                    return _checked(answer)
        except GONE as error:
            raise LinkLost(f"{self.port} is gone: {reason_of(error)}") from None
        raise DeviceSilent(f"{self.port}: no answer to {op}")

    def _send(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            self._serial.write(line)
            self._serial.flush()
            time.sleep(LINE_PAUSE_S)

    def _await(self, seq: str | None, answer_s: float) -> dict[str, Any] | None:
        end = time.monotonic() + answer_s
        while time.monotonic() < end:
            data = self._serial.read(self._serial.in_waiting or 1)
            for document in self._reader.feed(bytes(data)):
                answer = read_answer(document)
                if answer is not None and seq is not None and answer.get("SEQ") == seq:
                    return answer
        return None


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    if answer["S1"] != "ok":
        raise DeviceRefused(shown(text_of(answer, "ERR1")), shown(text_of(answer, "ERR2")))
    return answer


def _public(answer: Mapping[str, Any]) -> str:
    text = text_of(answer, "PUB")
    try:
        signing.unb64(text, 32)
    except Malformed:
        raise LinkError("the terminal's public key is none") from None
    return text
