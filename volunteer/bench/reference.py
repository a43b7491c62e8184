"""The model as `transformers` runs it, in a process of its own with one thread: what the swarm is compared with.

Both ends are here. They speak JSON lines over the child's standard input and output; the child ends with its input, so
it cannot outlive the one who asks. Each kind of request is one method of `_Reference`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import torch
from transformers import AutoModelForCausalLM

from volunteer.bench.answers import Answer, greedy_answer
from volunteer.errors import UserError
from volunteer.local_swarm import child_environment, program_command

REFERENCE_OPTION = "--reference"
_STOP_TIMEOUT_S = 5.0


class ReferenceFailed(UserError):
    """The local model could not be loaded or run."""


class ReferenceProcess:
    """The asking end. Use as `with`; the model loads meanwhile, and the first answer waits for it.

    Args:
        folder: a whole checkpoint.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [*program_command(), "bench", REFERENCE_OPTION, str(self._folder)],
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

    def greedy(self, prompt_ids: Sequence[int], new_tokens: int) -> Answer:
        """Timed in the child, so that the way to it does not count."""
        answer = self._ask("greedy", prompt_ids=list(prompt_ids), new_tokens=new_tokens)
        return Answer(tuple(answer.pop("token_ids")), **answer)

    def gaps(self, prompt_ids: Sequence[int], token_ids: Sequence[int]) -> list[float]:
        """How far apart the two largest logits are at each token of an answer."""
        return self._ask("gaps", prompt_ids=list(prompt_ids), token_ids=list(token_ids))

    def _ask(self, method: str, **arguments: Any) -> Any:
        try:
            self._input.write(json.dumps({"method": method, "arguments": arguments}) + "\n")
            self._input.flush()
        except OSError:
            pass  # it has died: what it said last comes with the missing answer
        return self._receive()

    def _receive(self) -> Any:
        line = self._output.readline()
        if not line:
            self._log.seek(0)
            raise ReferenceFailed(f"The local model in {self._folder} ended unasked.\n{self._log.read()[-2000:]}")
        message = json.loads(line)
        if "error" in message:
            raise ReferenceFailed(f"The local model in {self._folder} failed: {message['error']}")
        return message["answer"]

    @property
    def _input(self) -> IO[str]:
        return self._process.stdin  # type: ignore[return-value]

    @property
    def _output(self) -> IO[str]:
        return self._process.stdout  # type: ignore[return-value]


class _Reference:
    """The answering end: every public method is a request, its result is sent as JSON."""

    def __init__(self, folder: Path):
        self._model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False
        ).eval()

    def greedy(self, *, prompt_ids: list[int], new_tokens: int) -> dict[str, Any]:
        return dataclasses.asdict(greedy_answer(self._model, prompt_ids, new_tokens))

    @torch.inference_mode()
    def gaps(self, *, prompt_ids: list[int], token_ids: list[int]) -> list[float]:
        logits = self._model(torch.tensor([prompt_ids + token_ids[:-1]])).logits[0, len(prompt_ids) - 1 :]
        largest = logits.topk(2, dim=-1).values  # [new tokens, 2]
        return (largest[:, 0] - largest[:, 1]).tolist()


def serve_reference(folder: Path) -> None:
    """Answers requests on standard input until it ends. Runs in the child."""
    # Whatever libraries print goes to the log; the pipe is for answers alone.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    torch.set_num_threads(1)
    _answer_all(_Reference(folder), sys.stdin, answers)


def _answer_all(reference: _Reference, requests: Iterable[str], answers: IO[str]) -> None:
    def say(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    for line in requests:
        request = json.loads(line)
        try:
            say({"answer": getattr(reference, request["method"])(**request["arguments"])})
        except Exception as error:  # the asker shows it and ends us
            say({"error": f"{type(error).__name__}: {error}"})
