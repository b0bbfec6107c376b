"""Starts what is attached to the board."""

import asyncio

from .board_record import read_board


def start(ports, put, tell):
    """The Desk, None for a board that has nothing attached: it loads none of their code."""
    record = read_board(ports.fs)
    if not record.get("FEATURE"):
        return None
    from .desk import Desk
    from .features import load

    desk = Desk(put, asyncio.ThreadSafeFlag, tell)
    load(record, desk)
    desk.start()
    ports.board.attach(desk)
    return desk
