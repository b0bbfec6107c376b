"""SHA-512's blocks (FIPS 180-4) in plain Python: the engine of `sha512` where nothing faster is.

Not constant time: words are big integers, which take longer and more memory when they are long.

The memory of a running hash is its state, eight words of eight bytes, most significant first; 128
bytes for those that do not fill a block yet; how many these are, and how many blocks were hashed,
as four bytes each.
"""

from array import array
from binascii import unhexlify
from struct import pack_into, unpack, unpack_from

_WORD = 0xFFFFFFFFFFFFFFFF
# word * _TWICE is the word written twice in 128 bits, so that each rotation is one shift.
_TWICE = 0x10000000000000001
_BLOCK_BYTES = 128
_STATE_BYTES = 64

_END_BYTES = _STATE_BYTES + _BLOCK_BYTES
_COUNTS = "<LL"

FRESH = unhexlify(
    "6a09e667f3bcc908bb67ae8584caa73b3c6ef372fe94f82ba54ff53a5f1d36f1"
    "510e527fade682d19b05688c2b3e6c1f1f83d9abfb41bd6b5be0cd19137e2179"
) + bytes(_BLOCK_BYTES + 8)
RESULT = bytearray(_STATE_BYTES)

# One string and an array of machine words: 80 int objects would take four times the heap.
_ROUND_CONSTANTS = array(
    "Q",
    unpack(
        ">80Q",
        unhexlify(
            "428a2f98d728ae227137449123ef65cdb5c0fbcfec4d3b2fe9b5dba58189dbbc"
            "3956c25bf348b53859f111f1b605d019923f82a4af194f9bab1c5ed5da6d8118"
            "d807aa98a303024212835b0145706fbe243185be4ee4b28c550c7dc3d5ffb4e2"
            "72be5d74f27b896f80deb1fe3b1696b19bdc06a725c71235c19bf174cf692694"
            "e49b69c19ef14ad2efbe4786384f25e30fc19dc68b8cd5b5240ca1cc77ac9c65"
            "2de92c6f592b02754a7484aa6ea6e4835cb0a9dcbd41fbd476f988da831153b5"
            "983e5152ee66dfaba831c66d2db43210b00327c898fb213fbf597fc7beef0ee4"
            "c6e00bf33da88fc2d5a79147930aa72506ca6351e003826f142929670a0e6e70"
            "27b70a8546d22ffc2e1b21385c26c9264d2c6dfc5ac42aed53380d139d95b3df"
            "650a73548baf63de766a0abb3c77b2a881c2c92e47edaee692722c851482353b"
            "a2bfe8a14cf10364a81a664bbc423001c24b8b70d0f89791c76c51a30654be30"
            "d192e819d6ef5218d69906245565a910f40e35855771202a106aa07032bbd1b8"
            "19a4c116b8d2d0c81e376c085141ab532748774cdf8eeb9934b0bcb5e19b48a8"
            "391c0cb3c5c95a634ed8aa4ae3418acb5b9cca4f7763e373682e6ff3d6b2b8a3"
            "748f82ee5defb2fc78a5636f43172f6084c87814a1f0ab728cc702081a6439ec"
            "90befffa23631e28a4506cebde82bde9bef9a3f7b2c67915c67178f2e372532b"
            "ca273eceea26619cd186b8c721c0c207eada7dd6cde0eb1ef57d4f7fee6ed178"
            "06f067aa72176fba0a637dc5a2c898a6113f9804bef90dae1b710b35131c471b"
            "28db77f523047d8432caab7b40c724933c9ebe0a15c9bebc431d67c49c100d4c"
            "4cc5d4becb3e42b6597f299cfc657e2a5fcb6fab3ad6faec6c44198c4a475817"
        ),
    ),
)


def run(size, ends, memory, data):
    """Append `size` bytes of data to the hash in `memory`; if `ends`, the digest to RESULT instead.

    The latter leaves the hash as it was.
    """
    if ends:
        _finish(memory)
    else:
        _append(size, memory, data)


def wipe(size, _, memory):
    """Zero `memory`, all `size` bytes, and RESULT. What was in integers is beyond reach."""
    memory[:] = bytes(size)
    RESULT[:] = bytes(_STATE_BYTES)


def _append(size, memory, data):
    filled, blocks = unpack_from(_COUNTS, memory, _END_BYTES)
    end = _STATE_BYTES + filled
    blocks += (filled + size) // _BLOCK_BYTES
    pack_into(_COUNTS, memory, _END_BYTES, (filled + size) % _BLOCK_BYTES, blocks)
    if filled + size < _BLOCK_BYTES:
        memory[end : end + size] = data
        return
    state = unpack_from(">8Q", memory, 0)
    position = 0
    if filled:
        position = _BLOCK_BYTES - filled
        memory[end:_END_BYTES] = memoryview(data)[:position]
        state = _compress(state, memory, _STATE_BYTES)
    while size - position >= _BLOCK_BYTES:
        state = _compress(state, data, position)
        position += _BLOCK_BYTES
    pack_into(">8Q", memory, 0, *state)
    memory[_STATE_BYTES : _STATE_BYTES + size - position] = memoryview(data)[position:]


def _finish(memory):
    filled, blocks = unpack_from(_COUNTS, memory, _END_BYTES)
    state = unpack_from(">8Q", memory, 0)
    last = bytearray(_BLOCK_BYTES)
    last[:filled] = memory[_STATE_BYTES : _STATE_BYTES + filled]
    last[filled] = 0x80
    if filled >= _BLOCK_BYTES - 16:  # no room for the 128-bit length
        state = _compress(state, last, 0)
        last = bytearray(_BLOCK_BYTES)
    pack_into(">Q", last, _BLOCK_BYTES - 8, (blocks * _BLOCK_BYTES + filled) * 8)
    pack_into(">8Q", RESULT, 0, *_compress(state, last, 0))


def _compress(state, block, offset):
    """FIPS 180-4, 6.4.2. Sums carry bits above the 64th until a word is stored."""
    w = list(unpack_from(">16Q", block, offset))
    a, b, c, d, e, f, g, h = state
    b_xor_c = b ^ c
    for t in range(80):
        i = t & 15
        if t > 15:
            word = w[(t + 1) & 15]
            twice = word * _TWICE
            sigma_0 = (twice >> 1) ^ (twice >> 8) ^ (word >> 7)
            word = w[(t + 14) & 15]
            twice = word * _TWICE
            sigma_1 = (twice >> 19) ^ (twice >> 61) ^ (word >> 6)
            w[i] = (w[i] + sigma_0 + w[(t + 9) & 15] + sigma_1) & _WORD
        twice = e * _TWICE
        first = h + ((twice >> 14) ^ (twice >> 18) ^ (twice >> 41))
        first += (g ^ (e & (f ^ g))) + _ROUND_CONSTANTS[t] + w[i]
        twice = a * _TWICE
        a_xor_b = a ^ b
        majority = b ^ (a_xor_b & b_xor_c)
        second = ((twice >> 28) ^ (twice >> 34) ^ (twice >> 39)) + majority
        b_xor_c = a_xor_b
        h = g
        g = f
        f = e
        e = (d + first) & _WORD
        d = c
        c = b
        b = a
        a = (first + second) & _WORD
    mixed = (a, b, c, d, e, f, g, h)
    return tuple([(old + new) & _WORD for old, new in zip(state, mixed)])
