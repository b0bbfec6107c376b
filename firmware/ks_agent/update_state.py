"""An update's progress as a table (docs/architecture.md draws it from here)."""

IDLE = "IDLE"
OFFERED = "OFFERED"
DOWNLOADING = "DOWNLOADING"
STAGED = "STAGED"
TRIAL = "TRIAL"

TRANSITIONS = {
    (IDLE, "offered"): OFFERED,
    (OFFERED, "refused"): IDLE,
    (OFFERED, "link_lost"): IDLE,
    (OFFERED, "manifest_trusted"): DOWNLOADING,
    (DOWNLOADING, "refused"): IDLE,
    (DOWNLOADING, "link_lost"): IDLE,
    (DOWNLOADING, "verified"): STAGED,
    (STAGED, "restarted"): TRIAL,
    (TRIAL, "restarted"): TRIAL,
    (TRIAL, "proven"): IDLE,
    (TRIAL, "given_up"): IDLE,
}
