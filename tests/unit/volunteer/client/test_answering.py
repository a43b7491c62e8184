"""One model for many askers: when it is opened and closed, who waits for whom, and what ends an answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import torch

from volunteer.client.answering import Answering, Question
from volunteer.client.chat import Answer, Progress, Sampling
from volunteer.client.text_stream import Piece
from volunteer.errors import Unavailable, UserError

PATIENCE_S = 20.0
QUESTION = Question(Sampling(), text="why")


class FakeChat:
    """Says its words, once it may."""

    def __init__(self, *words: str) -> None:
        self.words = words or ("be", "cause")
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.is_closed = threading.Event()
        self.num_running = 0
        self.most_running = 0
        self._lock = threading.Lock()

    def text_prompt(self, text: str) -> torch.Tensor:
        return torch.zeros((1, len(text)), dtype=torch.int64)

    def answer(
        self,
        prompt_ids: torch.Tensor,
        sampling: Sampling,
        *,
        on_piece: Callable[[Piece], None],
        on_started: Callable[[Callable[[], Progress]], None],
        stop: threading.Event,
        score_prompt: bool,
    ) -> Answer:
        with self._lock:
            self.num_running += 1
            self.most_running = max(self.most_running, self.num_running)
        try:
            on_started(lambda: Progress(tokens=7))
            for word in self.words:
                while not self.may_answer.wait(0.001):
                    if stop.is_set():
                        return Answer("", 3, (), 0, 0, (), 0, finish_reason="cancelled")
                on_piece(Piece(word))
            return Answer("".join(self.words), prompt_ids.shape[1], (1, 2), 0.0, 0.0, (), 2)
        finally:
            with self._lock:
                self.num_running -= 1

    def close(self) -> None:
        self.is_closed.set()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await test()

    asyncio.run(limited())


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - what threads do is no event of the loop
        await asyncio.sleep(0.001)


def opening(*chats: Any) -> Callable[[], Any]:
    """Opens these one after another; an error is raised instead."""
    left = list(chats)

    def open_chat() -> Any:
        chat = left.pop(0)
        if isinstance(chat, Exception):
            raise chat
        return chat

    return open_chat


def test_pieces_come_in_order_and_before_the_answer() -> None:
    async def test() -> None:
        said: list[str] = []
        thread = threading.current_thread()

        def on_text(text: str) -> None:
            assert threading.current_thread() is thread
            said.append(text)

        async with Answering(opening(FakeChat("a", "b", "c"))) as answering:
            answer = await answering.answer(QUESTION, on_text=on_text, stop=threading.Event())
            assert said == ["a", "b", "c"]
            assert (answer.text, answer.prompt_tokens) == ("abc", 3)

    run(test)


def test_how_far_an_answer_is_can_be_asked_once_it_has_begun() -> None:
    async def test() -> None:
        thread = threading.current_thread()
        seen: list[Progress] = []

        def on_started(look: Callable[[], Progress]) -> None:
            assert threading.current_thread() is thread
            seen.append(look())

        async with Answering(opening(FakeChat())) as answering:
            await answering.answer(QUESTION, on_started=on_started, stop=threading.Event())
        assert seen == [Progress(tokens=7)]

    run(test)


def test_the_model_is_opened_once_for_all_and_not_before_it_is_needed() -> None:
    async def test() -> None:
        chat = FakeChat()
        async with Answering(opening(chat)) as answering:
            assert not answering.is_open
            await asyncio.gather(*(answering.answer(QUESTION, stop=threading.Event()) for _ in range(5)))
            assert answering.is_open
            assert await answering.chat() is chat
        assert chat.is_closed.is_set()

    run(test)


def test_so_many_answers_run_at_once_and_the_others_wait() -> None:
    async def test() -> None:
        chat = FakeChat()
        chat.may_answer.clear()
        async with Answering(opening(chat), max_running=2) as answering:
            asked = [asyncio.create_task(answering.answer(QUESTION, stop=threading.Event())) for _ in range(5)]
            await until(lambda: chat.num_running == 2)
            assert answering.num_asked == 5
            chat.may_answer.set()
            await asyncio.gather(*asked)
            assert chat.most_running == 2

    run(test)


def test_an_answer_that_waits_for_its_turn_can_be_stopped() -> None:
    async def test() -> None:
        chat = FakeChat()
        chat.may_answer.clear()
        async with Answering(opening(chat), max_running=1) as answering:
            first = asyncio.create_task(answering.answer(QUESTION, stop=threading.Event()))
            await until(lambda: chat.num_running == 1)
            stop = threading.Event()
            second = asyncio.create_task(answering.answer(QUESTION, stop=stop))
            await asyncio.sleep(0)
            stop.set()
            assert (await second).finish_reason == "cancelled"
            chat.may_answer.set()
            assert (await first).text == "because"

    run(test)


def test_cancelling_stops_the_thread_and_waits_for_it() -> None:
    async def test() -> None:
        chat = FakeChat()
        chat.may_answer.clear()
        async with Answering(opening(chat)) as answering:
            stop = threading.Event()
            asked = asyncio.create_task(answering.answer(QUESTION, stop=stop))
            await until(lambda: chat.num_running == 1)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            assert stop.is_set() and chat.num_running == 0 and answering.num_asked == 0

    run(test)


def test_a_failed_opening_is_told_to_all_who_wait_and_tried_anew_by_the_next() -> None:
    async def test() -> None:
        may_fail = threading.Event()
        rest = opening(FakeChat())
        tries: list[int] = []

        def open_chat() -> Any:
            tries.append(1)
            if len(tries) == 1:
                may_fail.wait()
                raise Unavailable("No initial peer answers.")
            return rest()

        async with Answering(open_chat) as answering:
            asked = [asyncio.create_task(answering.answer(QUESTION, stop=threading.Event())) for _ in range(3)]
            await until(lambda: bool(tries))
            may_fail.set()
            for each in await asyncio.gather(*asked, return_exceptions=True):
                assert isinstance(each, UserError) and str(each) == "No initial peer answers."
            assert (await answering.answer(QUESTION, stop=threading.Event())).text == "because"
            assert len(tries) == 2

    run(test)


def test_a_bug_while_opening_is_logged_and_told_in_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with Answering(opening(KeyError("tensor"))) as answering:
            with pytest.raises(UserError, match="could not be opened, by a fault of this program"):
                await answering.chat()

    run(test)
    assert "KeyError: 'tensor'" in caplog.text


def test_an_idle_model_is_closed_and_opened_again_for_the_next() -> None:
    async def test() -> None:
        first, second = FakeChat("one"), FakeChat("two")
        async with Answering(opening(first, second), idle_close_s=0.0) as answering:
            assert (await answering.answer(QUESTION, stop=threading.Event())).text == "one"
            await until(first.is_closed.is_set)
            assert (await answering.answer(QUESTION, stop=threading.Event())).text == "two"

    run(test)


def test_a_model_in_use_is_not_closed() -> None:
    async def test() -> None:
        chat = FakeChat()
        chat.may_answer.clear()
        async with Answering(opening(chat), idle_close_s=0.0) as answering:
            asked = asyncio.create_task(answering.answer(QUESTION, stop=threading.Event()))
            await until(lambda: chat.num_running == 1)
            assert await answering.chat() is chat  # used for a moment, and let go
            for _ in range(20):
                await asyncio.sleep(0)
            assert not chat.is_closed.is_set()
            chat.may_answer.set()
            await asked

    run(test)


def test_a_model_that_nobody_waits_for_any_more_is_closed_once_it_is_open() -> None:
    async def test() -> None:
        chat, may_open = FakeChat(), threading.Event()

        def open_chat() -> Any:
            may_open.wait()
            return chat

        async with Answering(open_chat, idle_close_s=0.0) as answering:
            asked = asyncio.create_task(answering.answer(QUESTION, stop=threading.Event()))
            await asyncio.sleep(0.01)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            may_open.set()
            await until(chat.is_closed.is_set)

    run(test)


def test_leaving_stops_what_runs_and_what_waits() -> None:
    async def test() -> None:
        chat = FakeChat()
        chat.may_answer.clear()
        async with Answering(opening(chat), max_running=1) as answering:
            asked = [asyncio.create_task(answering.answer(QUESTION, stop=threading.Event())) for _ in range(3)]
            await until(lambda: chat.num_running == 1)
        assert {answer.finish_reason for answer in await asyncio.gather(*asked)} == {"cancelled"}
        assert chat.is_closed.is_set()
        with pytest.raises(Unavailable):
            await answering.answer(QUESTION, stop=threading.Event())

    run(test)


def test_a_question_has_one_form() -> None:
    with pytest.raises(ValueError):
        Question(Sampling(), text="a", prompt_ids=(1,))
    with pytest.raises(ValueError):
        Question(Sampling())
