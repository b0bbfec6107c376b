"""What the core needs from outside: seven ports, given to the agent at construction.

clock      ticks_ms() -> ms since boot, an integer that never wraps or goes back
           build_ms: when the running application was built, ms since 1970
rng        random_bytes(n) -> bytes of cryptographic quality
           is_ready() -> whether they are so now: no key is made of others
fs         open(path, mode), sync(file), rename (replaces), remove, listdir, mkdir,
           rmdir, stat(path) -> bytes, is_dir(path); relative paths; every failure is an OSError;
           what listdir gives may be gone through once, and not while the folder changes;
           files have read, readinto, readline, seek, write, close; modes rb, wb, ab;
           room() -> (total, free) bytes where the data is
vault      get(name) -> bytes or None, set(name, value) atomic and durable, erase(name)
partition  running: the slot, "a" or "b", that stage 0 started; stage0: the version of stage 0;
           images: full images of MicroPython, where they can be updated, else None:
             image() -> (version, mpy, arch) of the running one, or None where it is not known
             label(), next_label() -> the partitions of this image and of the next one
             capacity() -> bytes; begin(size) -> a writer: write(piece), close()
             set_boot() -> whether what was written starts next: False when it is no image
             mark_valid(): the running image is the one from now on
crypto     public_key(seed), sign(seed, pieces), verify(public, pieces, signature), sha256()
           prepare(public): a piece of work, milliseconds, to verify faster by the server's key;
           True when no more is to do
           make_room(): let go of what was prepared; nothing is prepared from here on
           forget(): wipe what was made of a seed
board      temperature_c() -> decimal text or None, memory_used_bytes(),
           show(event, detail): indicator and observers;
           name: the board's, as manifests name it in BOARD, or None;
           inflate(file, window_bits) -> unpacks raw deflate: readinto(buffer) -> bytes put there,
           0 at the end; OSError for a stream that is none or ends early;
           unload(names): let go of the code of these modules of ks_agent, or do nothing
"""

KEY = "key"
KEY_NEXT = "key_next"
COUNTER = "counter"
# Where the factory may have left the network to join.
NETWORK = ("wifi_ssid", "wifi_password")


class Ports:
    def __init__(self, clock, rng, fs, vault, partition, crypto, board):
        self.clock = clock
        self.rng = rng
        self.fs = fs
        self.vault = vault
        self.partition = partition
        self.crypto = crypto
        self.board = board


def image_tokens(partition):
    """IMG1, the version of the full image that runs, where it is known."""
    image = partition.images.image() if partition.images is not None else None
    return {"IMG1": image[0]} if image is not None else {}


def random_below(rng, limit):
    """An evenly spread integer from 0 to limit - 1, for waiting times: limit up to 2^24."""
    return int.from_bytes(rng.random_bytes(4), "big") % limit if limit > 1 else 0


def random_hex(rng, count):
    return "".join(["%02x" % byte for byte in rng.random_bytes(count)])
