"""An MFRC522 by its registers, and ISO/IEC 14443 A cards in its field by their states.

Written from the data sheet and ISO/IEC 14443-3, section 6.3, apart from the driver.
"""

COMMAND, COM_IRQ, ERROR, FIFO_DATA, FIFO_LEVEL, BIT_FRAMING = 0x01, 0x04, 0x06, 0x09, 0x0A, 0x0D
TX_CONTROL, TX_ASK, VERSION = 0x14, 0x15, 0x37
TRANSCEIVE = 0x0C
MOST_SENT = 32  # that are kept
IDLE, READY, ACTIVE, HALT = "IDLE", "READY", "ACTIVE", "HALT"


def crc_a(data):
    """Bit by bit, as annex B of ISO/IEC 14443-3 draws the register."""
    register = [int(bit) for bit in "{:016b}".format(0x6363)]
    for byte in data:
        for number in range(8):
            out = register[15] ^ (byte >> number & 1)
            register = [out] + register[:15]
            register[5] ^= out
            register[12] ^= out
    value = int("".join([str(bit) for bit in register]), 2)
    return bytes((value & 0xFF, value >> 8))


class Card:
    """`uid` has 4, 7 or 10 bytes. `spoil(answer)` may change what it says."""

    def __init__(self, uid, sak=0x08, spoil=None):
        self.parts = []
        while len(uid) > 4:
            self.parts.append(b"\x88" + uid[:3])
            uid = uid[3:]
        self.parts.append(uid)
        self.sak = sak
        self.spoil = spoil
        self.state = IDLE
        self.was_halted = False
        self.level = 0

    def hear(self, data, bits):
        answer = self._answer(data, bits)
        if answer is not None and self.spoil is not None:
            return self.spoil(answer)
        return answer

    def _answer(self, data, bits):
        woken = {b"\x26": (IDLE,), b"\x52": (IDLE, HALT)}
        if bits == 7 and self.state in woken.get(data, ()):
            self.was_halted = self.state == HALT
            self.state, self.level = READY, 0
            return b"\x04\x00" if len(self.parts) == 1 else b"\x44\x00"
        if self.state == ACTIVE and data == b"\x50\x00" + crc_a(b"\x50\x00"):
            self.state = HALT
            return None
        if self.state == READY and bits == 0 and data[0] == 0x93 + 2 * self.level:
            part = self.parts[self.level]
            check = part[0] ^ part[1] ^ part[2] ^ part[3]
            if data[1:] == b"\x20":
                return part + bytes((check,))
            selected = data[:2] + part + bytes((check,))
            if data[1:2] == b"\x70" and data == selected + crc_a(selected):
                self.level += 1
                is_whole = self.level == len(self.parts)
                self.state = ACTIVE if is_whole else READY
                sak = bytes((self.sak if is_whole else 0x04,))
                return sak + crc_a(sak)
        self.state = HALT if self.was_halted or self.state == HALT else IDLE
        return None


class Chip:
    """`cards` are in the field. `fault`: bits of ErrorReg to be set at each answer."""

    def __init__(self, version=0x92):
        self.registers = bytearray(64)
        self.registers[TX_CONTROL] = 0x80
        self.registers[VERSION] = version
        self.cards = []
        self.fault = 0
        self.is_deaf = False
        self._fifo = b""
        self.sent = []

    def exchange(self, data):
        address, value = data[0] >> 1 & 0x3F, data[1]
        assert not data[0] & 1, "an address is bits 6 to 1"
        if data[0] & 0x80:
            return bytes((0, self._read(address)))
        self._write(address, value)
        return b"\0\0"

    def _read(self, address):
        if address == FIFO_LEVEL:
            return len(self._fifo)
        if address == FIFO_DATA:
            first, self._fifo = self._fifo[:1], self._fifo[1:]
            return first[0] if first else 0
        return self.registers[address]

    def _write(self, address, value):
        if address == FIFO_DATA:
            self._fifo += bytes((value,))
        elif address == FIFO_LEVEL:
            self._fifo = b"" if value & 0x80 else self._fifo
        elif address == COM_IRQ:
            bits = self.registers[COM_IRQ]
            self.registers[COM_IRQ] = bits | value & 0x7F if value & 0x80 else bits & ~value
        else:
            self.registers[address] = value
        if address == BIT_FRAMING and value & 0x80 and self.registers[COMMAND] == TRANSCEIVE:
            self._transceive(value & 7)

    def _transceive(self, bits):
        data, self._fifo = self._fifo, b""
        if len(self.sent) < MOST_SENT:
            self.sent.append(data)
        self.registers[ERROR] = 0
        if self.is_deaf:
            return
        has_field = self.registers[TX_CONTROL] & 3 == 3 and self.registers[TX_ASK] & 0x40
        answers = [card.hear(data, bits) for card in self.cards] if has_field else []
        answers = [answer for answer in answers if answer is not None]
        if not answers:
            self.registers[COM_IRQ] |= 0x01
            return
        self.registers[COM_IRQ] |= 0x20
        self.registers[ERROR] = self.fault | (0 if answers.count(answers[0]) == len(answers) else 8)
        self._fifo = answers[0]
