"""A piezo buzzer without a circuit of its own, driven by PWM.

Data sheet: TDK, PS series (pin terminal, without oscillator circuit), "Specifications and
characteristics": the PS1240P02BT is loudest, 70 dB(A) at 10 cm, with a rectangular wave of 4 kHz.
Half of the time on is the loudest duty.
"""

from machine import PWM, Pin

from .player import Player

HIGH_HZ, MIDDLE_HZ, LOW_HZ = 4000, 2000, 500
HALF = 32768

PATTERNS = {
    "accepted": (1, HIGH_HZ, 120),
    "duplicate": (2, HIGH_HZ, 60, 0, 80),
    "refused": (1, LOW_HZ, 500),
    "offline": (1, MIDDLE_HZ, 80, 0, 80, LOW_HZ, 80),
    "identify": (10, HIGH_HZ, 200, 0, 300),
    "key": (1, MIDDLE_HZ, 20),
    "setup": (1, LOW_HZ, 100, MIDDLE_HZ, 100, HIGH_HZ, 100),
    "test": (1, LOW_HZ, 300, MIDDLE_HZ, 300, HIGH_HZ, 300),
}


def make(pins, options, desk):
    return Buzzer(PWM(Pin(pins["pin"]), freq=HIGH_HZ, duty_u16=0), desk)


class Buzzer:
    def __init__(self, pwm, desk):
        self._pwm = pwm
        self._player = Player(desk, self._sound, PATTERNS)

    async def run(self):
        await self._player.run()

    def test(self):
        self._player.play("test")
        return {}

    def _sound(self, hz):
        if hz:
            self._pwm.freq(hz)
        self._pwm.duty_u16(HALF if hz else 0)
