"""What the tables of both schema modules are made with."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Index,
    Integer,
    MetaData,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite gives a growing id only to INTEGER PRIMARY KEY; PostgreSQL wants 64 bits for a history.
RowId = BigInteger().with_variant(Integer, "sqlite")


def storable(value: str) -> str:
    """`value` with U+0000 replaced by U+FFFD."""
    return value.replace("\x00", "\ufffd")


def one_of(column: str, *values: str) -> CheckConstraint:
    """The column holds one of these texts."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def partial(name: str, *columns: str, where: str) -> Index:
    """An index of some rows only: the others cost nothing when they are stored."""
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))
