"""SHA-512 (FIPS 180-4) in viper, for `ks_crypto.sha512`: the rounds, framed by `sha512_frame`.

A 64-bit word is two 32-bit halves, the low one first. Everything a block needs lies in one buffer,
through which a window slides down by one word a round: what was `a` is then `b`, and nothing is
moved. Viper keeps the first two parameters, `x` and `y`, in registers, so they are used for
everything in turn: `x` is the address of the window except while the halves of a word are rotated.

Rotations are chains in Horner's form, right shifts apart from left shifts, and the latter are
multiplications: viper compiles these to the fewest instructions.

Carries need neither comparison nor branch. Let H be the sum of the top bytes of up to eight low
halves and S the top byte of the low half of their sum: the carry is (H - S + 7) >> 8, since leaving
out the lower bytes took less than eight from H.

On 64 bits, where nothing wraps at 32, what is shifted right comes from memory, where 32 bits were
kept, and what is above these in a sum or a product never gets there.
"""

from math import isqrt
from struct import pack

from .sha512_frame import MODULE

_ROUNDS = 80
_BLOCK_WORDS = 16
_UNROLLED = 2
_WORD = 2**64 - 1
_STATE_BYTES = 64
_BLOCK_BYTES = 128

# Places in the window, in words from its start. A round writes NEW_A and NEW_E; for the next one
# they are A and E. The schedule's word of the round is at W, that of n rounds ago at W + n: where
# H was, so far back that the schedule can be ahead by as many rounds as are unrolled.
_NEW_A, _A, _B, _C, _D = range(5)
_NEW_E, _E, _F, _G, _H = range(5, 10)
_W = _H + _UNROLLED
# Past the oldest word in use, whichever of the unrolled rounds it is: three 32-bit halves.
_SPARE = _W + _BLOCK_WORDS + _UNROLLED
_SIGMA_E, _SIGMA_A, _MAJORITY = 2 * _SPARE, 2 * _SPARE + 1, 2 * _SPARE + 2
_WINDOW_WORDS = _SPARE + 2
_FIRST_WINDOW = _ROUNDS - _UNROLLED
_BUFFER_WORDS = _FIRST_WINDOW + _WINDOW_WORDS


def source(word_bits):
    """The text of the module `viper_sha512`, for machine words of `word_bits` bits (32 or 64)."""
    assert word_bits in (32, 64)
    rounds = [(index, _UNROLLED - 1 - index) for index in range(_UNROLLED)]
    return MODULE.format(
        fresh=repr(_packed(_initial_words()) + bytes(_BLOCK_BYTES + 8)),
        constants=repr(_packed(_round_constants())),
        state_bytes=_STATE_BYTES,
        padded_bytes=2 * _BLOCK_BYTES,
        scratch_bytes=2 * _BLOCK_BYTES + 8 * _BUFFER_WORDS,
        filled=(_STATE_BYTES + _BLOCK_BYTES) // 4,
        blocks=(_STATE_BYTES + _BLOCK_BYTES) // 4 + 1,
        first_window=8 * _FIRST_WINDOW,
        loads=_BLOCK_WORDS // _UNROLLED,
        unrolled_bytes=8 * _UNROLLED,
        half_state=_STATE_BYTES // 2,
        load_state=_text(2, _load_state()),
        load_words=_text(4, *(_load_word(*place) for place in rounds)),
        schedule=_text(4, *(_schedule(slide) for _, slide in rounds)),
        rounds=_text(3, *([*_load_e(*place, word_bits), *_round(*place)] for place in rounds)),
        add_state=_text(3, _add_word(_A, 0), _add_word(_E, 4)),
        to_digest=_text(3, _to_digest()),
    )


def _schedule(slide):
    """Lines that extend the message schedule by the word at W (FIPS 180-4, 6.4.2, step 1)."""
    new, two, seven, fifteen, sixteen = (_W + n for n in (0, 2, 7, 15, 16))
    low, high = _rotations((1, 8), 7)
    lines = [
        f"y = {_half(fifteen, slide, 1)}",
        f"x = {_half(fifteen, slide, 0)}",
        f"here[{_SIGMA_A}] = {low}",
        f"high = {high}",
        f"y = {_half(two, slide, 1, 'here')}",
        f"x = {_half(two, slide, 0, 'here')}",
    ]
    low, high = _rotations((19, 61), 6)
    return [
        *lines,
        f"here[{_SIGMA_E}] = {low}",
        f"y = {high} + high + {_half(sixteen, slide, 1, 'here')}"
        f" + {_half(seven, slide, 1, 'here')}",
        "x = uint(here)",
        f"{_place(new, slide, 0)} = {_spare(_SIGMA_A)} + {_spare(_SIGMA_E)}"
        f" + {_half(sixteen, slide, 0)} + {_half(seven, slide, 0)}",
        f"{_place(new, slide, 1)} = (({_spare_top(_SIGMA_A)} + 7 + {_spare_top(_SIGMA_E)}"
        f" + {_top(sixteen, slide)} + {_top(seven, slide)} - {_top(new, slide)}) >> 8) + y",
    ]


def _round(index, slide):
    """Lines for one round, on the constants k[2 * index:] (FIPS 180-4, 6.4.2, step 3).

    They find the high half of E in y and leave there that of NEW_E.
    """
    low, high = _rotations((14, 18, 41))
    lines = [
        f"x = {_half(_E, slide, 0)}",
        f"here[{_SIGMA_E}] = {low}",
        f"high_e = {high}",
        f"y = {_half(_A, slide, 1, 'here')}",
        f"x = {_half(_A, slide, 0, 'here')}",
    ]
    low, high = _rotations((28, 34, 39))
    lines += [
        f"here[{_SIGMA_A}] = {low}",
        f"high_a = {high}",
        "x = uint(here)",
        f"y = {_half(_B, slide, 0)}",
        f"{_spare(_MAJORITY)} = {_majority(slide, 0)}",
        f"y = {_half(_B, slide, 1)}",
        f"high_a = uint({_majority(slide, 1)} + high_a)",
        f"y = {_half(_G, slide, 0)}",
        f"y = {_choice(slide, 0)}",
        f"tops = (y >> 24) + 7 + {_top(_H, slide)} + {_spare_top(_SIGMA_E)} + {_top(_W, slide)}"
        f" + ptr8(k)[{8 * index + 3}]",
        f"y = y + {_half(_H, slide, 0)} + {_spare(_SIGMA_E)} + {_half(_W, slide, 0)}"
        f" + k[{2 * index}]",
        f"{_place(_NEW_E, slide, 0)} = {_half(_D, slide, 0)} + y",
        f"{_place(_NEW_A, slide, 0)} = y + {_spare(_SIGMA_A)} + {_spare(_MAJORITY)}",
        f"y = {_half(_G, slide, 1)}",
        f"y = {_choice(slide, 1)} + high_e + {_half(_H, slide, 1)} + {_half(_W, slide, 1)}"
        f" + k[{2 * index + 1}]",
        f"{_place(_NEW_A, slide, 1)} = ((tops + {_spare_top(_SIGMA_A)} + {_spare_top(_MAJORITY)}"
        f" - {_top(_NEW_A, slide)}) >> 8) + y + high_a",
        f"y = ((tops + {_top(_D, slide)} - {_top(_NEW_E, slide)}) >> 8) + y"
        f" + {_half(_D, slide, 1)}",
        f"{_place(_NEW_E, slide, 1)} = y",
    ]
    return lines


def _load_e(index, slide, word_bits):
    """Lines that put the high half of E in y, where an unrolled round has not left it there.

    On 64 bits it has left more than the half: what is rotated must come from memory.
    """
    if index == 0 or word_bits == 64:
        yield f"y = {_half(_E, slide, 1)}"


def _choice(slide, half):
    """Ch(e, f, g), with g in y."""
    return f"((({_half(_F, slide, half)} ^ y) & {_half(_E, slide, half)}) ^ y)"


def _majority(slide, half):
    """Maj(a, b, c), with b in y."""
    return f"((({_half(_A, slide, half)} ^ y) & ({_half(_C, slide, half)} ^ y)) ^ y)"


def _rotations(rotations, shift=None):
    """Both halves of the word x (low), y (high), rotated and shifted right and added modulo 2."""
    results = []
    for low, high in ("xy", "yx"):
        right, left = [], []
        for count in rotations:
            near, far = (low, high) if count < 32 else (high, low)
            right.append((count % 32, near))
            left.append((32 - count % 32, far))
        if shift:
            right.append((shift, low))
            if low == "x":
                left.append((32 - shift, high))
        results.append(f"({_chain(right, '>>', int)} ^ {_chain(left, '*', lambda n: 2**n)})")
    return results


def _chain(terms, operator, operand):
    """The terms (bits, name), each shifted by its bits, added modulo 2 in Horner's form."""
    (shift, expression), *others = sorted(terms, reverse=True)
    for bits, name in others:
        expression = f"(({expression} {operator} {operand(shift - bits)}) ^ {name})"
        shift = bits
    return f"({expression} {operator} {operand(shift)})"


def _load_state():
    for number, place in enumerate((_A, _B, _C, _D, _E, _F, _G, _H)):
        for half in (0, 1):
            yield f"{_place(place, _UNROLLED - 1, half)} = before[{2 * number + half}]"


def _load_word(index, slide):
    """Lines that put eight bytes at the address x, most significant first, at W."""
    for half, first in ((0, 8 * index + 4), (1, 8 * index)):
        expression = f"ptr8(x)[{first}]"
        for octet in range(first + 1, first + 4):
            expression = f"({expression} * 256 + ptr8(x)[{octet}])"
        yield f"{_place(_W, slide, half, 'here')} = {expression}"


def _add_word(place, number):
    """Lines that add one word to the state before, where the window is one word below x."""
    place -= 1
    top = 8 * number + 3
    yield f"tops = uint({_top(place, 0)} + 7 + ptr8(before)[{top}])"
    yield f"high_a = {_half(place, 0, 1)} + before[{2 * number + 1}]"
    yield f"new[{2 * number}] = {_half(place, 0, 0)} + before[{2 * number}]"
    yield f"new[{2 * number + 1}] = ((tops - ptr8(new)[{top}]) >> 8) + high_a"


def _to_digest():
    """Lines that turn the word at the address x into its bytes, most significant first."""
    yield "high = uint(ptr32(x)[1])"
    yield "y = uint(ptr32(x)[0])"
    for first in (4, 0):
        for octet in range(4):
            yield f"ptr8(x)[{first + octet}] = y >> {24 - 8 * octet}"
        yield "y = high"


def _place(word, slide, half, pointer="ptr32(x)"):
    return f"{pointer}[{2 * (word + slide) + half}]"


def _half(word, slide, half, pointer="ptr32(x)"):
    return f"uint({_place(word, slide, half, pointer)})"


def _top(word, slide):
    """The top byte of the low half of a word in the window."""
    return f"ptr8(x)[{8 * (word + slide) + 3}]"


def _spare(place):
    return f"ptr32(x)[{place}]"


def _spare_top(place):
    return f"ptr8(x)[{4 * place + 3}]"


def _text(depth, *parts):
    return "\n".join("    " * depth + line for lines in parts for line in lines)


def _packed(words):
    """Words as viper reads them: pairs of little-endian halves."""
    return pack(f"<{len(words)}Q", *words)


def _initial_words():
    """The fractions of the square roots of the first eight primes (FIPS 180-4, 5.3.5)."""
    return [isqrt(prime << 128) & _WORD for prime in _primes(8)]


def _round_constants():
    """The fractions of the cube roots of the first 80 primes (FIPS 180-4, 4.2.3)."""
    return [_cube_root(prime << 192) & _WORD for prime in _primes(_ROUNDS)]


def _primes(count):
    found = []
    number = 2
    while len(found) < count:
        if all(number % prime for prime in found):
            found.append(number)
        number += 1
    return found


def _cube_root(number):
    root = 0
    for bit in range(number.bit_length() // 3, -1, -1):
        if (root | 1 << bit) ** 3 <= number:
            root |= 1 << bit
    return root
