"""One swarm model for all who ask in this process: opened when it is needed, closed when it is not.

Lives in the event loop; models, and answers, are on threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import torch

from volunteer.client.chat import Answer, Chat, Message, Progress, Sampling
from volunteer.client.connection import Stopped
from volunteer.client.text_stream import Piece
from volunteer.errors import Unavailable, UserError

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_STOP_POLL_S = 0.05
"""How soon an answer that waits for its turn notices that it was told to stop: a `threading.Event` cannot tell."""
_LEAVE_OPENING_S = 5.0
"""A model that is still being opened at the end, which may be a long download, is waited for so long."""


@dataclass(frozen=True)
class Question:
    """What to continue, in one of three forms, and how."""

    sampling: Sampling
    messages: Sequence[Message] | None = None
    """A conversation, by the model's chat template."""
    prompt_ids: Sequence[int] | None = None
    """Tokens, as they stand."""
    text: str | None = None
    """Text, as it stands."""
    score_prompt: bool = False
    """Whether the answer is to have the log-probabilities of the prompt's tokens too."""

    def __post_init__(self) -> None:
        if sum(form is not None for form in (self.messages, self.prompt_ids, self.text)) != 1:
            raise ValueError("a question has either messages, tokens or a text")

    def prompt(self, chat: Chat) -> torch.Tensor:
        """As token ids, [1, tokens] int64.

        Raises:
            BadPrompt: the model cannot continue it.
        """
        if self.messages is not None:
            return chat.prompt(self.messages)
        if self.text is not None:
            return chat.text_prompt(self.text)
        return chat.token_prompt(self.prompt_ids or ())


class Answering:
    """The swarm's model for all who ask in this process: opened with the first question, closed when nobody has asked
    for a while. Use as `async with`; leaving it stops all answers.

    Args:
        open_chat: opens the model; called on a thread, never twice at once.
        max_running: answers at the same time, each on a thread of its own; others wait for their turn.
        idle_close_s: after so long without a question the model is closed, and its memory is given back.
    """

    def __init__(self, open_chat: Callable[[], Chat], *, max_running: int = 8, idle_close_s: float = 600.0):
        self._open_chat = open_chat
        self._idle_close_s = idle_close_s
        self._turns = asyncio.Semaphore(max_running)
        self._threads = ThreadPoolExecutor(max_running, thread_name_prefix="answer")
        self._opening: asyncio.Task[Chat] | None = None
        """Done while the model is open; None when it is closed, or could not be opened."""
        self._closing: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._users = 0
        self._stops: list[threading.Event] = []
        """Of the answers that are under way or wait."""
        self._nobody_asks = asyncio.Event()
        self._nobody_asks.set()
        self._is_leaving = threading.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_leaving.set()
        for stop in self._stops:
            stop.set()
        await self._nobody_asks.wait()
        if self._idle is not None:
            self._idle.cancel()
        if self._opening is not None:
            await asyncio.wait((self._opening,), timeout=_LEAVE_OPENING_S)
            self._close()
        if self._closing is not None:
            await asyncio.shield(self._closing)
        self._threads.shutdown()

    @property
    def is_open(self) -> bool:
        """Whether the model is in memory."""
        return self._opening is not None and self._opening.done()

    @property
    def num_asked(self) -> int:
        """Answers that are under way or wait for their turn."""
        return len(self._stops)

    async def chat(self) -> Chat:
        """The model's `Chat`, opened if need be: for what needs no swarm, such as its tokenizer.

        Raises:
            UserError: it cannot be opened.
        """
        async with self._use() as chat:
            return chat

    async def answer(
        self,
        question: Question,
        *,
        on_text: Callable[[str], None] = lambda text: None,
        on_piece: Callable[[Piece], None] = lambda piece: None,
        on_started: Callable[[Callable[[], Progress]], None] = lambda look: None,
        stop: threading.Event,
    ) -> Answer:
        """Answers on a thread, when there is a turn. Cancelling this sets `stop`, and waits for the thread to notice.

        Args:
            on_text: called in the event loop with each piece of text, in order, and not after this has returned.
            on_piece: the same with log-probabilities, if the question asks for them.
            on_started: called in the event loop when it is the question's turn, with what tells how far the answer is.
            stop: set by anybody, it ends the answer within a moment.

        Raises:
            UserError: the model cannot be opened, the prompt cannot be continued, or the swarm cannot answer.
        """
        if self._is_leaving.is_set():
            raise Unavailable("The program is ending.")
        self._stops.append(stop)
        self._nobody_asks.clear()
        try:
            async with contextlib.AsyncExitStack() as stack:
                await _unless_stopped(stack.enter_async_context(self._turns), stop)
                chat = await _unless_stopped(stack.enter_async_context(self._use()), stop)
                return await self._answer_on_thread(chat, question, on_text, on_piece, on_started, stop)
        except Stopped:
            return Answer("", 0, (), 0.0, 0.0, (), 0, finish_reason="cancelled")
        except asyncio.CancelledError:
            stop.set()
            raise
        finally:
            self._stops.remove(stop)
            if not self._stops:
                self._nobody_asks.set()

    async def _answer_on_thread(
        self,
        chat: Chat,
        question: Question,
        on_text: Callable[[str], None],
        on_piece: Callable[[Piece], None],
        on_started: Callable[[Callable[[], Progress]], None],
        stop: threading.Event,
    ) -> Answer:
        loop = asyncio.get_running_loop()

        def hand_on(piece: Piece) -> None:
            if piece.text:
                on_text(piece.text)
            on_piece(piece)

        def to_the_loop(piece: Piece) -> None:
            loop.call_soon_threadsafe(hand_on, piece)

        def started(look: Callable[[], Progress]) -> None:
            loop.call_soon_threadsafe(on_started, look)

        def answer() -> Answer:
            return chat.answer(
                question.prompt(chat),
                question.sampling,
                on_piece=to_the_loop,
                on_started=started,
                stop=stop,
                score_prompt=question.score_prompt,
            )

        thread = loop.run_in_executor(self._threads, answer)
        try:
            return await asyncio.shield(thread)
        except asyncio.CancelledError:
            stop.set()
            await _ended(thread)
            raise

    @contextlib.asynccontextmanager
    async def _use(self) -> AsyncIterator[Chat]:
        """Keeps the model open."""
        self._users += 1
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        try:
            yield await self._opened()
        finally:
            self._users -= 1
            self._close_when_idle()

    async def _opened(self) -> Chat:
        while self._closing is not None:  # two of them at once may be more than fits in memory
            await asyncio.shield(self._closing)
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(_retrieve_error)  # nobody may be left to hear of it
        return await asyncio.shield(self._opening)

    async def _open(self) -> Chat:
        try:
            chat = await self._open_on_thread()
        except BaseException as error:
            self._opening = None  # whoever comes next tries anew
            if isinstance(error, UserError) or not isinstance(error, Exception):
                raise
            logger.exception("The model could not be opened")
            raise Unavailable(
                "The model could not be opened, by a fault of this program: its log says more."
            ) from error
        asyncio.get_running_loop().call_soon(self._close_when_idle)  # all who waited may have gone
        return chat

    def _open_on_thread(self) -> asyncio.Future[Chat]:
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[Chat] = loop.create_future()

        def hand_over(chat: Chat | None, error: BaseException | None) -> None:
            if error is not None:
                opened.set_exception(error)
            elif chat is not None:
                opened.set_result(chat)

        def run() -> None:
            chat, failure = None, None
            try:
                chat = self._open_chat()
                if self._is_leaving.is_set():
                    chat.close()
                    raise Unavailable("The program is ending.")
            except BaseException as error:
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(hand_over, chat, failure)

        # A daemon, so that a program that ends need not wait for a download.
        threading.Thread(target=run, name="open model", daemon=True).start()
        return opened

    def _close_when_idle(self) -> None:
        if self._users == 0 and self._idle is None and self.is_open and not self._is_leaving.is_set():
            self._idle = asyncio.get_running_loop().call_later(self._idle_close_s, self._close)

    def _close(self) -> None:
        self._idle = None
        if self._opening is None or not self._opening.done():
            return
        opening, self._opening = self._opening, None
        if opening.exception() is None:
            self._closing = asyncio.create_task(self._close_on_thread(opening.result()))

    async def _close_on_thread(self, chat: Chat) -> None:
        try:
            await asyncio.to_thread(chat.close)
        except Exception:
            logger.exception("The model could not be closed")
        finally:
            self._closing = None


async def _unless_stopped(coroutine: Coroutine[Any, Any, Result], stop: threading.Event) -> Result:
    """Waits for a coroutine.

    Raises:
        Stopped: `stop` was set before it ended; it is cancelled.
    """
    task = asyncio.create_task(coroutine)
    try:
        while not task.done():
            if stop.is_set():
                raise Stopped
            await asyncio.wait((task,), timeout=_STOP_POLL_S)
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))


async def _ended(future: asyncio.Future[Any]) -> None:
    """Waits for the end, whatever it is, and however often the waiting is cancelled."""
    while not future.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait((future,))
    _retrieve_error(future)


def _retrieve_error(future: asyncio.Future[Any]) -> None:
    """An error that nobody asks for is reported as lost."""
    if not future.cancelled():
        future.exception()
