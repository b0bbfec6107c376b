"""For `viper`: public keys with a table. Loaded for the first one, and then kept."""

from . import viper
from .viper_base import BASE, JOINT, TABLES


class Prepared:
    """A public key with its table."""

    def __init__(self, public, table=None, whole=False):
        """Raises ValueError if `public` is no point, or if `table` is not TABLE_BYTES long."""
        self.public = public
        self.table = bytearray(viper.TABLE_BYTES) if table is None else table
        if len(self.table) != viper.TABLE_BYTES:
            raise ValueError("table must be %d bytes" % viper.TABLE_BYTES)
        self._making = None
        if not whole:
            from . import viper_tables

            self._making = viper_tables.Making(public, self.table)

    def step(self):
        """Do one more piece of the table; True when it is whole (and ever after).

        Raises ValueError in the end for a key that is the sum of a proper one and a point of small
        order: a comb multiplies by the scalar plus some multiple of the group order, which gives
        another verdict for such a key than the equation has. `verify` without a table is right.
        """
        if self._making is not None and self._making.step():
            self._making = None
        return self._making is None

    def is_valid(self):
        """Whether the table gives minus the key itself for the digits of one, and nothing for zero.

        It looks at some of the entries only: keep a hash beside the table as well.
        """
        from . import viper_tables

        return viper_tables.is_valid(self.public, self.table)

    def verify(self, pieces, signature):
        """Whether the equation holds; the table must be whole."""
        viper.reduced_hash(viper.scalar, (signature[:32], self.public), pieces)
        digits = viper.digits
        viper.comb_digits(signature[32:], viper.NO_BLIND, digits, 2 * TABLES)
        viper.comb_digits(viper.scalar, viper.NO_BLIND, memoryview(digits)[TABLES:], 2 * TABLES)
        viper.octets[:] = viper.ONE
        made = viper.encoded(viper.memory, JOINT, digits, BASE, self.table)
        return made == signature[:32]
