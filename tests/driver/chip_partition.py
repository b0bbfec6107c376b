"""`esp32.Partition` of a chip, without the chip."""


class Partition:
    """`esp32.Partition` of a chip: `written` holds blocks, `booting` what starts next."""

    RUNNING = 1
    names = ("ota_0", "ota_1")
    written: "dict[int, bytes]" = {}  # noqa: RUF012
    calls: "list[str]" = []  # noqa: RUF012
    failure = 0

    def __init__(self, which: "int | str") -> None:
        self.name = self.names[0] if which == Partition.RUNNING else str(which)

    def get_next_update(self) -> "Partition":
        if len(self.names) == 1:
            raise OSError(2)
        return Partition(self.names[1])

    def info(self) -> "tuple[int, int, int, int, str, bool]":
        return 0, 16, 0x10000, 4 * 4096, self.name, False

    def writeblocks(self, number: int, data: bytes) -> None:
        assert self.name == self.names[1]
        self.written[number] = bytes(data)

    def set_boot(self) -> None:
        if self.failure:
            raise OSError(self.failure)
        self.calls.append("set_boot " + self.name)

    @classmethod
    def mark_app_valid_cancel_rollback(cls) -> None:
        cls.calls.append("mark_valid")
