"""The digests that make an allow list's pages, and a version of the list, what they are.

Shared by the terminal and the server. `sha256` is a function without arguments that gives a new
hash; `rows` are those of the list CRED of a page: dicts with C1 and E1, sorted by C1.
"""

DIGEST_CHARACTERS = 16
PAGES_MAX = 256


def credential_hash(sha256, credential):
    """C1 of a credential: 16 hex digits."""
    return _text(sha256, (credential.encode(),))


def page_of(c1, pages):
    """The page, from 0, that a credential belongs to when the list has so many pages."""
    return int(c1[:4], 16) * pages >> 16


def page_digest(sha256, rows):
    """AL4 of a page: 16 hex digits."""
    return _text(sha256, (("%s:%s\n" % (row["C1"], row["E1"])).encode() for row in rows))


def list_digest(sha256, digests):
    """AL1, the version of a list whose pages have these AL4: 16 hex digits."""
    return _text(sha256, ((digest + "\n").encode() for digest in digests))


def _text(sha256, pieces):
    digest = sha256()
    for piece in pieces:
        digest.update(piece)
    return "".join(["%02x" % byte for byte in digest.digest()[: DIGEST_CHARACTERS // 2]])
