"""SHA-512 against FIPS 180-4 examples and a stored digest; the same on both interpreters."""

from binascii import hexlify
from hashlib import sha256

from support import raises

from ks_crypto.sha512 import sha512

# SHA-256 over the SHA-512 digests of the first 0 to 300 bytes of 0, 1, ... 255, 0, 1, ...
# (made with CPython's hashlib).
DIGEST_OF_DIGESTS = "04c8f8dbf4202f12910ac99d378a5564a9cf7d683a950b23a6d0045e32a55042"


def hexdigest(data):
    return hexlify(sha512(data).digest()).decode()


def test_the_published_examples_come_out():
    assert hexdigest(b"") == (
        "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
        "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"
    )
    assert hexdigest(b"abc") == (
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
    )


def test_every_length_up_to_300_bytes_comes_out():
    data = bytes([i & 255 for i in range(300)])
    digests = sha256()
    for length in range(301):
        digests.update(sha512(data[:length]).digest())
    assert hexlify(digests.digest()).decode() == DIGEST_OF_DIGESTS


def test_a_message_in_pieces_has_the_digest_of_the_whole():
    data = bytes([i * 7 & 255 for i in range(400)])
    whole = sha512(data).digest()
    for size in (1, 2, 63, 127, 128, 129, 256, 399):
        running = sha512()
        for start in range(0, len(data), size):
            running.update(data[start : start + size])
        assert running.digest() == whole


def test_bytes_bytearray_and_memoryview_are_the_same_message():
    data = bytes(range(200))
    assert sha512(bytearray(data)).digest() == sha512(data).digest()
    assert sha512(memoryview(data)).digest() == sha512(data).digest()
    assert sha512(memoryview(b"--" + data)[2:]).digest() == sha512(data).digest()


def test_a_digest_can_be_taken_in_the_middle():
    running = sha512(b"a")
    assert running.digest() == sha512(b"a").digest()
    running.update(b"bc")
    assert running.digest() == running.digest() == sha512(b"abc").digest()


def test_text_and_numbers_are_refused():
    raises(TypeError, sha512, "abc")
    raises(TypeError, sha512, 3)
    raises(TypeError, sha512, None)


def test_a_wipe_leaves_other_hashes_as_they_were():
    wiped = sha512(b"secret")
    other = sha512(b"ab")
    wiped.wipe()
    other.update(b"c")
    assert other.digest() == sha512(b"abc").digest()
