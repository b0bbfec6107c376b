"""Buses, PWM and timers of `machine`, loaded when they are used. See machine.py."""

import binascii
import io

chip = CHIP
POLL_READ, POLL_WRITE, IOCTL_POLL = 1, 4, 3


class PWM:
    def __init__(self, pin, freq=0, duty=None, duty_u16=None, duty_ns=None):
        self.pin = pin
        self._freq, self._duty, self._told = freq, 0, None
        self.init(freq=freq, duty=duty, duty_u16=duty_u16)

    def init(self, freq=None, duty=None, duty_u16=None, duty_ns=None):
        self._freq = self._freq if freq is None else freq
        if duty is not None:
            self._duty = duty * 64
        if duty_u16 is not None:
            self._duty = duty_u16
        self._tell(self._freq if self._duty else 0)

    def freq(self, hz=None):
        if hz is None:
            return self._freq
        return self.init(freq=hz)

    def duty(self, of_1024=None):
        if of_1024 is None:
            return self._duty // 64
        return self.init(duty=of_1024)

    def duty_u16(self, of_65536=None):
        if of_65536 is None:
            return self._duty
        return self.init(duty_u16=of_65536)

    def deinit(self):
        self._duty = 0
        self._tell(0)

    def _tell(self, hz):
        if self._told != hz:
            self._told = hz
            chip.event("pwm %d %d" % (self.pin.number, hz))


class UART(io.IOBase):
    """`any`, `read`, `readinto`, and as a stream of asyncio."""

    INV_TX, INV_RX = 1, 2
    _made = {}

    def __init__(self, number, baudrate=115200, **options):
        self.number = number
        self._came = b""
        self._made[number] = self
        chip.on("uart", UART.control)

    def init(self, baudrate=115200, **options):
        pass

    def deinit(self):
        self._made.pop(self.number, None)

    def any(self):
        chip.poll()
        return len(self._came)

    def read(self, count=-1):
        chip.poll()
        count = len(self._came) if count is None or count < 0 else count
        data, self._came = self._came[:count], self._came[count:]
        return data or None

    def readinto(self, buffer, count=None):
        data = self.read(len(buffer) if count is None else count)
        if data is None:
            return None
        buffer[: len(data)] = data
        return len(data)

    def readline(self):
        end = self._came.find(b"\n") + 1
        return self.read(end) if end else None

    def write(self, data):
        chip.event("uart %d %s" % (self.number, binascii.hexlify(bytes(data)).decode()))
        return len(data)

    def ioctl(self, request, argument):
        if request == IOCTL_POLL:
            ready = POLL_READ if self._came else 0
            return argument & (ready | POLL_WRITE)
        return 0

    @classmethod
    def control(cls, words):
        uart = cls._made.get(int(words[1]))
        if uart is not None:
            uart._came += binascii.unhexlify(words[2])


class SPI:
    """Nothing answers, unless `attached` holds an object with exchange(bytes) -> bytes."""

    MSB, LSB = 0, 1
    attached = None

    def __init__(self, number, baudrate=1000000, **options):
        pass

    def init(self, **options):
        pass

    def deinit(self):
        pass

    def write(self, data):
        self._exchange(bytes(data))

    def read(self, count, write=0):
        return self._exchange(bytes([write]) * count)

    def readinto(self, buffer, write=0):
        buffer[:] = self._exchange(bytes([write]) * len(buffer))

    def write_readinto(self, data, buffer):
        buffer[:] = self._exchange(bytes(data))

    def _exchange(self, data):
        return bytes(len(data)) if self.attached is None else self.attached.exchange(data)


SoftSPI = SPI


class I2C:
    """Whatever is written is acknowledged, and told."""

    def __init__(self, number=-1, *, scl=None, sda=None, freq=400000, timeout=50000):
        pass

    def scan(self):
        return [0x3C]

    def writeto(self, address, data, stop=True):
        chip.event("i2c %d %s" % (address, binascii.hexlify(bytes(data)).decode()))
        return len(data)

    def writevto(self, address, pieces, stop=True):
        return self.writeto(address, b"".join([bytes(piece) for piece in pieces]))

    def writeto_mem(self, address, register, data, *, addrsize=8):
        self.writeto(address, bytes([register]) + bytes(data))

    def readfrom_into(self, address, buffer, stop=True):
        buffer[:] = bytes(len(buffer))

    def readfrom(self, address, count, stop=True):
        return bytes(count)


SoftI2C = I2C


class Timer:
    """Runs while asyncio does."""

    ONE_SHOT, PERIODIC = 0, 1

    def __init__(self, number=-1, **options):
        self._task = None
        if options:
            self.init(**options)

    def init(self, *, mode=PERIODIC, period=-1, freq=0, callback=None):
        import asyncio

        self.deinit()
        ms = 1000 // freq if freq else period
        self._task = asyncio.create_task(self._run(ms, mode == self.PERIODIC, callback))

    async def _run(self, ms, again, callback):
        import asyncio

        while True:
            await asyncio.sleep_ms(ms)
            callback(self)
            if not again:
                return

    def deinit(self):
        if self._task is not None:
            self._task.cancel()
            self._task = None
