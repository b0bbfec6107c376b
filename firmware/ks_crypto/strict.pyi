from collections.abc import Iterable

_Octets = bytes | bytearray | memoryview

FIELD_PRIME: int
GROUP_ORDER: int
PUBLIC_KEY_BYTES: int
SEED_BYTES: int
SIGNATURE_BYTES: int

def acceptable(public: _Octets, signature: _Octets) -> bool: ...
def octets(value: _Octets, length: int, name: str) -> bytes: ...
def reiterable(pieces: Iterable[_Octets]) -> Iterable[_Octets]: ...
def piece_octets(piece: _Octets) -> _Octets: ...
