"""The life of a terminal as a table (docs/architecture.md draws it from here)."""

BLANK = "BLANK"
UNREGISTERED = "UNREGISTERED"
ACTIVE = "ACTIVE"
REVOKED = "REVOKED"
WIPING = "WIPING"
DORMANT = "DORMANT"

STATES = (BLANK, UNREGISTERED, ACTIVE, REVOKED, WIPING, DORMANT)

TRANSITIONS = {
    (BLANK, "key_made"): UNREGISTERED,
    (UNREGISTERED, "registered"): ACTIVE,
    (UNREGISTERED, "revoked"): REVOKED,
    (ACTIVE, "registered"): ACTIVE,
    (ACTIVE, "revoked"): REVOKED,
    (REVOKED, "reinstated"): ACTIVE,
    (REVOKED, "revoked"): REVOKED,
    (UNREGISTERED, "erased"): WIPING,
    (ACTIVE, "erased"): WIPING,
    (REVOKED, "erased"): WIPING,
    (WIPING, "erased"): WIPING,
    (WIPING, "key_erased"): DORMANT,
}
