"""How long a server's answers take, learnt from those that came: when one is overdue, and what its blocks cost.

As TCP learns its timeouts (Jacobson, SIGCOMM 1988; RFC 6298). Arithmetic alone; times are seconds.
"""

from __future__ import annotations

_SHORT_TOKENS = 8
"""Rows x positions of a step that takes about as long as one token: it is bound by reading the weights."""
_FIRST_S = 1.0
"""Overdue before anything is known: it costs a question, not a session."""
_LEAST_S = 0.25
_MOST_S = 20.0
_DEVIATIONS = 4
_OLD_SHARE, _OLD_DEVIATION_SHARE = 7 / 8, 3 / 4


class _Smoothed:
    """A running mean and mean deviation."""

    def __init__(self) -> None:
        self.mean: float | None = None
        self.deviation = 0.0

    def add(self, value: float) -> None:
        if self.mean is None:
            self.mean, self.deviation = value, value / 2
            return
        self.deviation = _OLD_DEVIATION_SHARE * self.deviation + (1 - _OLD_DEVIATION_SHARE) * abs(value - self.mean)
        self.mean = _OLD_SHARE * self.mean + (1 - _OLD_SHARE) * value

    @property
    def high(self) -> float | None:
        return None if self.mean is None else self.mean + _DEVIATIONS * self.deviation


class AnswerTimes:
    """Of one server, over all sessions of this client."""

    def __init__(self) -> None:
        self._short = _Smoothed()
        self._long_token = _Smoothed()
        self._block = _Smoothed()

    @property
    def block_s(self) -> float | None:
        """What a block adds to a single token, the way there and back included; None before the first one."""
        return self._block.mean

    def came(self, num_tokens: int, num_blocks: int, seconds: float) -> None:
        """An answer to so many tokens (rows x positions) came so long after it began to be waited for."""
        if num_tokens > _SHORT_TOKENS:
            self._long_token.add(seconds / num_tokens)
            return
        self._short.add(seconds)
        if num_tokens == 1:
            self._block.add(seconds / num_blocks)

    def overdue_s(self, num_tokens: int) -> float:
        """From when on an answer to so many tokens is later than it should be."""
        if num_tokens <= _SHORT_TOKENS:
            expected = self._short.high
        else:
            expected = None if self._long_token.high is None else num_tokens * self._long_token.high
        return _FIRST_S if expected is None else min(_MOST_S, max(_LEAST_S, expected))
