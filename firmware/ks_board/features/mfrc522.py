"""The MFRC522 on SPI, as in modules "RC522": identifiers of ISO/IEC 14443 A cards, 13.56 MHz.

Data sheet: NXP, MFRC522, Rev. 3.9, 27 April 2016: 8.1.2 the SPI and its address byte, 8.5 the
timer, 8.8 reset, 9.3 the registers, 10.2 and 10.3 Transceive. Cards: ISO/IEC 14443-3, 6.2.4 CRC_A,
6.4 the commands, 6.5 the select sequence; NXP, AN10927, section 2: identifiers of 4, 7, 10 bytes.

Reads identifiers and nothing else: whoever copies a card's identifier is taken for its owner.

The credential is the identifier as it is sent, first byte first, in hexadecimal, upper case, 8, 14
or 20 digits. Random ones (4 bytes, the first is 08: AN10927, section 2.1) are refused, as are two
cards at once: nobody could say whose is meant.
"""

from machine import SPI, Pin

BAUD = 1000000
# Registers, 9.3.
COMMAND, COM_IRQ, ERROR, FIFO_DATA, FIFO_LEVEL = 0x01, 0x04, 0x06, 0x09, 0x0A
BIT_FRAMING, COLLISION, MODE, TX_CONTROL, TX_ASK = 0x0D, 0x0E, 0x11, 0x14, 0x15
TIMER_MODE, VERSION = 0x2A, 0x37
IDLE, TRANSCEIVE = 0x00, 0x0C
RECEIVED, IDLING, TIMED_OUT = 0x20, 0x10, 0x01  # bits of COM_IRQ
COLLIDED, BROKEN = 0x08, 0x13  # bits of ERROR: buffer, parity and protocol make the second
START_SEND, FLUSH, ANTENNA = 0x80, 0x80, 0x03

REQA, WUPA, HLTA, SEVEN_BITS = b"\x26", b"\x52", b"\x50\x00\x57\xcd", 7
SELECTS = (0x93, 0x95, 0x97)
CASCADE_TAG, INCOMPLETE = 0x88, 0x04
RANDOM = 0x08
MAX_ANSWER = 8

BOOT_MS = 50
POLL_MS = 100
TRIES = 10
MISSES = 5  # so many polls without an answer: the card is gone
CHECK_POLLS = 50


def make(pins, options, desk):
    spi = SPI(
        int(options.get("spi", "1")),
        baudrate=BAUD,
        polarity=0,
        phase=0,
        sck=Pin(pins["sck"]),
        mosi=Pin(pins["mosi"]),
        miso=Pin(pins["miso"]),
    )
    select = Pin(pins["cs"], Pin.OUT, value=1)
    return Mfrc522(spi, select, Pin(pins["rst"], Pin.OUT, value=0), options["name"], desk)


class Mfrc522:
    def __init__(self, spi, select, reset, name, desk):
        self._spi = spi
        self._select = select
        self._reset = reset
        self._name = name
        self._desk = desk
        self._sent = bytearray(2)
        self._came = bytearray(2)
        self._held = ""
        self._misses = 0
        self._is_told = False

    async def run(self):
        """Raises OSError when the chip does not answer, or has lost what it was told."""
        await self._begin()
        self._desk.fault(self._name, "")
        polls = 0
        while True:
            await self._desk.pause(POLL_MS)
            await self._poll()
            polls += 1
            if polls >= CHECK_POLLS:
                polls = 0
                if self._get(TX_CONTROL) & ANTENNA != ANTENNA:
                    raise OSError(5, "the reader was reset")

    def test(self):
        """VERSION: 91 or 92, a clone's may be another; 00 and FF are those of no chip."""
        return {"VERSION": "%02X" % self._get(VERSION)}

    async def _begin(self):
        self._reset.value(0)
        await self._desk.pause(1)
        self._reset.value(1)
        await self._desk.pause(BOOT_MS)
        if self._get(VERSION) in (0x00, 0xFF):
            raise OSError(19, "no answer")
        # A time-out of 2 ms after each transmission: 80 periods of 13.56 MHz / (2 * 169 + 1).
        for register, value in enumerate((0x80, 169, 0, 80)):
            self._set(TIMER_MODE + register, value)
        self._set(TX_ASK, 0x40)
        self._set(MODE, 0x3D)
        self._set(COLLISION, 0x80)
        self._set(TX_CONTROL, self._get(TX_CONTROL) | ANTENNA)

    async def _poll(self):
        """REQA is answered by cards that have not been read yet, WUPA by all."""
        if await self._exchange(REQA, SEVEN_BITS) != b"":
            self._misses = 0
            await self._take()
        elif self._held or self._is_told:
            if await self._exchange(WUPA, SEVEN_BITS) != b"":
                self._misses = 0
                await self._exchange(HLTA)
                return
            self._misses += 1
            if self._misses >= MISSES:
                self._held = ""
                self._is_told = False

    async def _take(self):
        uid = await self._read()
        if uid is None:
            self._refuse("collision")
        if not uid:
            return
        await self._exchange(HLTA)  # never answered
        if len(uid) == 4 and uid[0] == RANDOM:
            self._refuse("random")
            return
        credential = "".join(["%02X" % byte for byte in uid])
        if credential != self._held:
            self._held = credential
            self._desk.seen(self._name, credential)
            self._desk.punch(credential, "RFID")

    def _refuse(self, why):
        """Once, until the cards are gone."""
        if not self._is_told:
            self._is_told = True
            self._desk.refuse(why)

    async def _read(self):
        """The identifier of the card; b"" when it is not understood, None for several cards."""
        uid = b""
        for select in SELECTS:
            part = await self._exchange(bytes((select, 0x20)))
            if part is None:
                return None
            if not is_part(part):
                return b""
            request = bytes((select, 0x70)) + part
            sak = await self._exchange(request + crc_a(request))
            if not sak or not is_sak(sak):
                return b""
            if not sak[0] & INCOMPLETE:
                return uid + part[:4]
            if part[0] != CASCADE_TAG:
                return b""
            uid += part[1:4]
        return b""

    async def _exchange(self, data, last_bits=0):
        """The answer; b"" for none, or none that is of use; None where cards answer at once."""
        self._set(COMMAND, IDLE)
        self._set(COM_IRQ, 0x7F)
        self._set(FIFO_LEVEL, FLUSH)
        for byte in data:
            self._set(FIFO_DATA, byte)
        self._set(COMMAND, TRANSCEIVE)
        self._set(BIT_FRAMING, START_SEND | last_bits)
        state = 0
        for _ in range(TRIES):
            state = self._get(COM_IRQ)
            if state & (RECEIVED | IDLING | TIMED_OUT):
                break
            await self._desk.pause(1)
        self._set(BIT_FRAMING, 0)
        self._set(COMMAND, IDLE)
        if not state & RECEIVED:
            return b""
        error = self._get(ERROR)
        if error & COLLIDED:
            return None
        if error & BROKEN:
            return b""
        count = min(self._get(FIFO_LEVEL), MAX_ANSWER)
        return bytes([self._get(FIFO_DATA) for _ in range(count)])

    def _get(self, register):
        return self._transfer(0x80 | register << 1, 0)

    def _set(self, register, value):
        self._transfer(register << 1, value)

    def _transfer(self, address, value):
        self._sent[0] = address
        self._sent[1] = value
        self._select.value(0)
        self._spi.write_readinto(self._sent, self._came)
        self._select.value(1)
        return self._came[1]


def is_part(answer):
    """Whether these are four bytes of an identifier and their check byte."""
    if len(answer) != 5:
        return False
    check = 0
    for byte in answer:
        check ^= byte
    return check == 0


def is_sak(answer):
    return len(answer) == 3 and crc_a(answer[:1]) == answer[1:]


def crc_a(data):
    """CRC_A, two bytes."""
    crc = 0x6363
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8408 if crc & 1 else 0)
    return bytes((crc & 0xFF, crc >> 8))
