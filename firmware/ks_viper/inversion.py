"""Generates the inversion of an element, in constant time."""

from .layout import ELEMENT_BYTES, LIMB_BITS, LIMBS, MASK
from .text import indented


def _row(load):
    """One row of the factors, applied: o = (u * p + v * q) / 2**13, for d and e modulo p."""
    inverse_of_19 = pow(19, -1, 1 << LIMB_BITS)
    top = LIMBS - 1
    row = [
        f"x = {load.format('p', 0)}",
        "acc = u * x + acc",
        f"x = {load.format('q', 0)}",
        "acc = v * x + acc",
        "if row > 1:",
        f"    k = (acc * {inverse_of_19}) & {MASK}",
        "    acc = acc - k * 19",
        f"acc = acc >> {LIMB_BITS}",
    ]
    for i in range(1, LIMBS):
        row += [
            f"x = {load.format('p', i)}",
            "acc = u * x + acc",
            f"x = {load.format('q', i)}",
            "acc = v * x + acc",
        ]
        if i == top:
            row.append(f"acc = k * {1 << (255 - top * LIMB_BITS)} + acc")
        row += [f"o[{i - 1}] = acc & {MASK}", f"acc = acc >> {LIMB_BITS}"]
    row.append(f"o[{top}] = acc")
    return row


def _steps():
    """13 divsteps on the lowest limbs f and g."""
    return [
        f"while i < {LIMB_BITS}:",
        "    x = zeta >> 31",
        "    acc = 0 - (g & 1)",
        "    g = (((f ^ x) - x) & acc) + g",
        "    qr = (((uv ^ x) - x) & acc) + qr",
        "    x = x & acc",
        "    zeta = (zeta ^ x) - 1",
        "    f = (g & x) + f",
        "    uv = (qr & x) + uv",
        "    uv = uv * 2",
        "    g = g >> 1",
        "    i += 1",
    ]


def invert(load):
    """1 / z by 46 batches of 13 "divsteps", each batch one limb long (Bernstein and Yang, "Fast
    constant-time gcd computation and modular inversion", with delta starting at 1/2: 590 suffice
    for 256 bits).

    A batch finds, from the lowest limbs of f and g alone, four factors that map (f, g), and (d, e)
    modulo p, to what 13 steps make of them times 2**13. u and v are kept in one word,
    u + v * 2**15, as are q and r: what is done to the one is done to the other.
    """
    top = LIMBS - 1
    return [
        "@micropython.viper",
        "def invert(acc: int, x: int, memory: ptr32, first: int):",
        '    """Element first + 2 = 1 / first + 1, which is frozen; uses first to first + 7."""',
        f"    now = int(memory) + first * {ELEMENT_BYTES}",
        f"    after = now + {4 * ELEMENT_BYTES}",
        "    p = ptr32(now)",
        "    i = 0",
        f"    while i < {LIMBS}:",
        f"        p[i] = {MASK}",
        f"        p[i + {2 * LIMBS}] = 0",
        f"        p[i + {3 * LIMBS}] = 0",
        "        i += 1",
        f"    p[0] = {MASK - 18}",
        f"    p[{top}] = {(1 << (255 - top * LIMB_BITS)) - 1}",
        f"    p[{3 * LIMBS}] = 1",
        "    zeta = -1",
        "    batch = 0",
        "    while batch < 46:",
        "        p = ptr32(now)",
        "        f = p[0]",
        f"        g = p[{LIMBS}]",
        "        uv = 1",
        "        qr = 32768",
        "        i = 0",
        *indented(_steps(), 2),
        "        row = 0",
        "        while row < 4:",
        "            if row & 1:",
        "                acc = qr",
        "            else:",
        "                acc = uv",
        "            u = ((acc + 16384) & 32767) - 16384",
        "            v = (acc - u) >> 15",
        f"            p = ptr32(now + (row >> 1) * {2 * ELEMENT_BYTES})",
        f"            q = ptr32(now + (row >> 1) * {2 * ELEMENT_BYTES} + {ELEMENT_BYTES})",
        f"            o = ptr32(after + row * {ELEMENT_BYTES})",
        "            k = 0",
        "            acc = 0",
        *indented(_row(load), 3),
        "            row += 1",
        "        x = now",
        "        now = after",
        "        after = x",
        "        batch += 1",
        "    p = ptr32(now)",
        f"    acc = {load.format('p', top)} >> 31",
        "    i = 0",
        f"    while i < {LIMBS}:",
        f"        p[i + {2 * LIMBS}] = ({load.format('p', 'i + ' + str(2 * LIMBS))} ^ acc) - acc",
        "        i += 1",
    ]
