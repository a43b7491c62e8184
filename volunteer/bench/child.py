"""A helper process of the benchmarks: this program started again, asked in JSON lines over standard input and output.

Both ends are here. The child ends with its input, so it cannot outlive the one who asks.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import IO, Any, Self

from volunteer.errors import UserError
from volunteer.local_swarm import child_environment, program_command

_STOP_TIMEOUT_S = 5.0


class ChildFailed(UserError):
    """The helper process died, or could not do what it was asked."""


class ChildProcess:
    """The asking end. Use as `with`; the child starts meanwhile, and the first answer waits for it.

    Args:
        arguments: of `volunteer bench` that make it this child.
        what: it is, for messages.
    """

    def __init__(self, arguments: Sequence[str], what: str):
        self._arguments = arguments
        self._what = what

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [*program_command(), "bench", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=child_environment(1),
            start_new_session=True,  # Ctrl-C is for the one who asks
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            with contextlib.suppress(OSError):
                self._input.close()
        else:
            self._process.kill()  # it may be in the middle of a long answer, and has nothing to lose
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(OSError):
            self._input.close()
        self._output.close()
        self._log.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, method: str, **arguments: Any) -> Any:
        """What that method of the child's object returns.

        Raises:
            ChildFailed: with the child's own words.
        """
        try:
            self._input.write(json.dumps({"method": method, "arguments": arguments}) + "\n")
            self._input.flush()
        except OSError:
            pass  # it has died: what it said last comes with the missing answer
        line = self._output.readline()
        if not line:
            self._log.seek(0)
            raise ChildFailed(f"{self._what} ended unasked.\n{self._log.read()[-2000:]}")
        message = json.loads(line)
        if "error" in message:
            raise ChildFailed(f"{self._what} failed: {message['error']}")
        return message["answer"]

    @property
    def _input(self) -> IO[str]:
        return self._process.stdin  # type: ignore[return-value]

    @property
    def _output(self) -> IO[str]:
        return self._process.stdout  # type: ignore[return-value]


@contextlib.contextmanager
def answers_only() -> Any:
    """The child's standard output for answers alone: whatever libraries print goes to the log."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with answers:
        yield answers


def answer_all(target: object, requests: Iterable[str], answers: IO[str]) -> None:
    """Answers each line with what the method of `target` returns, until the requests end. Runs in the child."""

    def say(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    for line in requests:
        request = json.loads(line)
        try:
            say({"answer": getattr(target, request["method"])(**request["arguments"])})
        except Exception as error:  # the asker shows it and ends us
            say({"error": f"{type(error).__name__}: {error}"})
