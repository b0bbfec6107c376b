"""How field elements and tables lie in memory, and what operations there are on them."""

LIMBS = 20
LIMB_BITS = 13
MASK = (1 << LIMB_BITS) - 1
HALF = 1 << (LIMB_BITS - 1)
FOLD = 19 << (LIMBS * LIMB_BITS - 255)  # 2**260 modulo p
ELEMENT_BYTES = 4 * LIMBS
COORDINATE_BYTES = 2 * LIMBS  # in a table: an element, frozen, a halfword for each limb
TABLE_ENTRIES = 32

# name: (code, meaning of its bytes d, a, b)
OPERATIONS = {
    "multiply": 0,  # d = a * b, tight
    "multiply_entry": 1,  # d = a * coordinate b of the selected entry, tight
    "add_and_subtract": 2,  # d = a + b and d + 1 = a - b, limb by limb
    "add_and_subtract_signed": 3,  # the same, with d and d + 1 exchanged for a negative digit
    "select": 4,  # the next digit names an entry, of b bytes, of table d; of second if a is 1
    "tighten": 5,  # d = a + 2 * b, tight
    "repeat": 6,  # go on at operation d, a times in all; b numbers the counter, 0 or 1
    "freeze": 7,  # d = a, below p, with limbs of 0 to 2**13 - 1
    "unpack": 8,  # d = the a-th 32 bytes of `octets`, without their highest bit
    "pack": 9,  # the b-th 32 bytes of `octets` = d, with the lowest bit of a on top; both frozen
    "store": 10,  # coordinate d >> 6 of entry a, of b bytes, in `second` = element d & 63
    "jump": 11,  # go on at operation d
    "wipe": 12,  # zero the elements d to a - 1
    "end": 13,
}
