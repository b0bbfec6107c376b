"""A state machine as a table: (state, event) -> state. An event without a row changes nothing."""

from .errors import LocalError


class Machine:
    def __init__(self, transitions, state):
        self._transitions = transitions
        self.state = state

    def can(self, event):
        return (self.state, event) in self._transitions

    def step(self, event):
        """The new state. Raises LocalError for an event that this state does not have."""
        following = self._transitions.get((self.state, event))
        if following is None:
            raise LocalError("%s in state %s" % (event, self.state))
        self.state = following
        return following
