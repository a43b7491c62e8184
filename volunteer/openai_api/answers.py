"""Several answers at once for one request, all of which end when the request does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence

from volunteer.client.answering import Answering, Question
from volunteer.client.chat import Answer
from volunteer.client.text_stream import Piece
from volunteer.openai_api.errors import ApiError
from volunteer.openai_api.metrics import Metrics


class Asking:
    """Asks for the answers of requests.

    Args:
        answering: whom.
        metrics: count what was answered.
        max_answers: at once, for all requests together.
    """

    def __init__(self, answering: Answering, metrics: Metrics, *, max_answers: int):
        self._answering = answering
        self._metrics = metrics
        self._turns = asyncio.Semaphore(max_answers)

    async def text_of(self, token_ids: Sequence[int]) -> str:
        """Tokens as text."""
        chat = await self._answering.chat()
        return chat.text_of(token_ids)

    async def answers(self, questions: Sequence[Question]) -> list[Answer]:
        """All answers, in the order of the questions; the first error ends them all."""
        ended: dict[int, Answer] = {}
        async for index, event in self.stream(questions):
            if isinstance(event, Answer):
                ended[index] = event
        return [ended[index] for index in range(len(questions))]

    async def stream(self, questions: Sequence[Question]) -> AsyncGenerator[tuple[int, Piece | Answer], None]:
        """What each question gets, as it comes, with its number: pieces, and then the answer.

        Close it (`contextlib.aclosing`) to end answers that are not wanted any more.
        """
        events: asyncio.Queue[tuple[int, Piece | Answer | Exception]] = asyncio.Queue()

        async def ask(index: int, question: Question) -> None:
            try:
                async with self._turns:
                    answer = await self._answering.answer(
                        question, on_piece=lambda piece: events.put_nowait((index, piece)), stop=threading.Event()
                    )
            except Exception as error:
                events.put_nowait((index, error))
                return
            self._metrics.count(answer)
            events.put_nowait((index, answer))

        asked = [asyncio.create_task(ask(index, question)) for index, question in enumerate(questions)]
        try:
            missing = len(asked)
            while missing > 0:
                index, event = await events.get()
                if isinstance(event, Exception):
                    raise event
                if isinstance(event, Answer):
                    missing -= 1
                    if event.finish_reason == "cancelled":  # not by us, who are still here
                        raise ApiError(503, "The answer was interrupted: the program is ending.", code="unavailable")
                yield index, event
        finally:
            for task in asked:
                task.cancel()
            await asyncio.wait(asked)
