"""Many chats at once from one process, at so little cost that the servers are measured and not the clients.

In a swarm every chatter brings a machine along; here all share two cores with the servers. `generate` in a thread for
each chat would spend 3-5 ms of Python a token under one lock, and a pass over the whole head for each. So a chat is a
thread that waits for its session, and those that wait for the head at the same time have it together. One chat after
another is measured with the same code.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

from volunteer.bench.answers import Answer
from volunteer.client.model import BlockingSession, SwarmForCausalLM
from volunteer.client.session import Session
from volunteer.models.families import Positions


class Chats:
    """Greedy chats through one swarm.

    Args:
        session_arguments: more for `Session`.
    """

    def __init__(self, model: SwarmForCausalLM, **session_arguments: Any):
        self._model = model
        self._session_arguments = session_arguments
        self._waiting: list[tuple[torch.Tensor, Future[int]]] = []
        self._waiting_lock = threading.Lock()
        self._head_lock = threading.Lock()

    def tokens(self, prompt_ids: Sequence[int], most: int) -> Iterator[int]:
        """The new tokens as they come, in a session of its own; at most so many."""
        connection = self._model.connection
        opened = Session(connection.servers, max_length=len(prompt_ids) + most, **self._session_arguments)
        with BlockingSession(connection, opened) as session:
            new_ids = list(prompt_ids)
            for _ in range(most):
                with torch.inference_mode():
                    inputs = self._embed(new_ids, session.position)
                    token_id = self._next_token(session.step(inputs)[:, -1:])
                yield token_id
                new_ids = [token_id]

    def answer(self, prompt_ids: Sequence[int], new_tokens: int, started: float | None = None) -> Answer:
        """Always `new_tokens` long.

        Args:
            started: when the question was put, by `time.perf_counter`; now, if not given.
        """
        started = time.perf_counter() if started is None else started
        token_ids, times_s = [], []
        for token_id in self.tokens(prompt_ids, new_tokens):
            token_ids.append(token_id)
            times_s.append(time.perf_counter() - started)
        return Answer(tuple(token_ids), tuple(times_s))

    def answers(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> list[Answer]:
        """All at once; the time of each counts from the common start."""
        started = time.perf_counter()
        with ThreadPoolExecutor(len(prompts), "chat") as pool:
            return list(pool.map(lambda prompt: self.answer(prompt, new_tokens, started), prompts))

    def _embed(self, token_ids: list[int], position: int) -> torch.Tensor:
        ends = self._model.ends
        embedded = ends.embeddings(torch.tensor([token_ids]))
        return ends.embed(embedded, Positions(position, len(token_ids)))

    def _next_token(self, hidden_states: torch.Tensor) -> int:
        """The likeliest next token after hidden states [1, 1, hidden]; whoever comes first does it for all who wait."""
        mine: Future[int] = Future()
        with self._waiting_lock:
            self._waiting.append((hidden_states, mine))
        with self._head_lock:
            if not mine.done():
                with self._waiting_lock:
                    taken, self._waiting = self._waiting, []
                ends = self._model.ends
                try:
                    rows = torch.cat([states for states, _ in taken])  # [chats, 1, hidden]
                    chosen = ends.head(ends.normalise(rows))[:, -1].argmax(dim=-1).tolist()
                except Exception as error:
                    for _, theirs in taken:
                        theirs.set_exception(error)
                else:
                    for (_, theirs), token_id in zip(taken, chosen, strict=True):
                        theirs.set_result(token_id)
        return mine.result()
