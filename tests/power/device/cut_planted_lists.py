"""Deliberate mistakes in changing the allow list; see cut_planted.py."""

from cut_planted import Through

from ks_agent.allow_list import PATH
from ks_agent.allow_pages import NONE, PARTIAL_PATH, refresh


def remove_before_rename(agent, allow_list, version):
    """The list in force goes before the new one has come."""
    if version != NONE:
        agent.store.remove(PATH)
    return refresh(agent, allow_list, version)


def built_in_place(agent, allow_list, version):
    """The new list is written over the one in force."""
    fs = agent.ports.fs
    agent.ports.fs = Renaming(fs)
    try:
        yield from refresh(agent, allow_list, version)
    finally:
        agent.ports.fs = fs


REFRESHES = (remove_before_rename, built_in_place)


class Renaming(Through):
    """What is meant for the new file goes into the one that is there."""

    def open(self, path, mode):
        return self._fs.open(PATH if path == PARTIAL_PATH else path, mode)

    def stat(self, path):
        return self._fs.stat(PATH if path == PARTIAL_PATH else path)

    def rename(self, old, new):
        pass
