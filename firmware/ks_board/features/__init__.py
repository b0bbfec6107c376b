"""What is attached to a board: readers, buttons, indicators, one kind a module.

Each module has `make(pins, options, desk)`. `pins`: numbers, or tuples of numbers, by role;
`options`: texts by name, with `name`, which the desk's events and tests call this one by. It gives
an object with `async run()`, which ends when cancelled, and `test()`: readings for the factory
test, as texts by name; an indicator shows itself. docs/readers.md has the table of them.
"""


def load(record, desk):
    """Make what the board's record (`board.toon`, decoded) lists, as `desk.features`.

    Only their code is loaded. What cannot be made becomes None, its cause one of `desk.faults`.
    """
    for row in record.get("FEATURE", ()):
        kind = row["KIND"]
        name, number = kind, 1
        while name in desk.features:
            number += 1
            name = kind + str(number)
        desk.features[name] = None
        try:
            pins = _words(row["PINS"])
            for role in pins:
                pins[role] = _numbers(pins[role])
            options = _words(row["OPTIONS"])
            options["name"] = name
            desk.features[name] = _maker(kind)(pins, options, desk)
        except Exception as error:  # the others shall work all the same
            desk.fault(name, str(error) or type(error).__name__)


def _words(text):
    """{"a": "1", "b": "2,3"} of "a=1 b=2,3"."""
    words = {}
    for word in text.split():
        key, _, value = word.partition("=")
        words[key] = value
    return words


def _numbers(text):
    if "," in text:
        return tuple([int(number) for number in text.split(",")])
    return int(text)


def _maker(kind):
    """Each import stands by itself, so that whoever links a release sees what there is."""
    if kind == "wiegand":
        from .wiegand import make as wiegand

        return wiegand
    if kind == "rdm6300":
        from .rdm6300 import make as rdm6300

        return rdm6300
    if kind == "mfrc522":
        from .mfrc522 import make as mfrc522

        return mfrc522
    if kind == "keypad":
        from .keypad import make as keypad

        return keypad
    if kind == "button":
        from .button import make as button

        return button
    return _indicator(kind)


def _indicator(kind):
    if kind == "led":
        from .led import make as led

        return led
    if kind == "buzzer":
        from .buzzer import make as buzzer

        return buzzer
    if kind == "ssd1306":
        from .ssd1306 import make as ssd1306

        return ssd1306
    raise ValueError("no feature " + kind)
