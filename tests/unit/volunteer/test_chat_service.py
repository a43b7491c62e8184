"""The chat service over a real file and a make-believe swarm."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from volunteer.chat_service import Busy, ChatService, PromptMaker, checked_sampling
from volunteer.client.answer_events import (
    AnswerBegan,
    AnswerEnded,
    AnswerNotice,
    AnswerRoute,
    AnswerText,
    ChatEvent,
    ConversationChanged,
    NoticeKind,
    Subscription,
)
from volunteer.client.chat import Answer, Progress, Sampling
from volunteer.client.conversation_database import StorageFull
from volunteer.client.conversation_store import ConversationStore
from volunteer.client.conversation_text import TooLong
from volunteer.client.conversation_values import NotFound, State
from volunteer.client.conversations import Conversations
from volunteer.client.routing import Hop, NoRoute
from volunteer.errors import ConfigurationError, Unavailable

ROUTE = (Hop("QmFirst", 0, 15), Hop("QmSecond", 15, 30))


@dataclass(frozen=True)
class Question:
    messages: tuple[Mapping[str, str], ...]
    sampling: Sampling

    @property
    def contents(self) -> list[str]:
        return [message["content"] for message in self.messages]


class FakeChat:
    """A token for each character."""

    def __init__(self, context_length: int | None):
        self.context_length = context_length

    def prompt(self, messages: Sequence[Mapping[str, str]], *, raw: bool = False) -> Any:
        return SimpleNamespace(shape=(1, sum(len(message["content"]) for message in messages)))


class Asked:
    """An answer under way, in the hands of the test."""

    def __init__(
        self,
        question: Question,
        on_text: Callable[[str], None],
        on_started: Callable[[Callable[[], Progress]], None],
        stop: threading.Event,
    ):
        self.question = question
        self.say = on_text
        self.start = on_started
        self.stop = stop
        self.result: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def finish(self, tokens: int = 3) -> None:
        self.result.set_result(Answer("", 5, tuple(range(tokens)), 0.5, 1.5, ROUTE, tokens))


@dataclass
class FakeAnswering:
    max_position_embeddings: int | None = None
    heeds_stop: bool = True
    opens: Awaitable[None] | None = None
    asked: asyncio.Queue[Asked] = field(default_factory=asyncio.Queue)

    async def chat(self) -> PromptMaker:
        if self.opens is not None:
            await self.opens
        return FakeChat(self.max_position_embeddings)

    async def answer(
        self,
        question: Question,
        *,
        on_text: Callable[[str], None],
        on_started: Callable[[Callable[[], Progress]], None],
        stop: threading.Event,
    ) -> Answer:
        asked = Asked(question, on_text, on_started, stop)
        self.asked.put_nowait(asked)
        while self.heeds_stop and not asked.result.done():
            if stop.is_set():
                asked.finish()
            await asyncio.wait({asked.result}, timeout=0.001)
        return await asked.result


class Scene:
    def __init__(self, service: ChatService[Question], conversations: Conversations, answering: FakeAnswering):
        self.service = service
        self.conversations = conversations
        self.answering = answering

    async def new(self, **options: Any) -> int:
        return (await self.service.create(model="bloom", **options)).id

    async def asked(self) -> Asked:
        return await self.answering.asked.get()

    async def whole(self, conversation: int, question: str, *pieces: str) -> None:
        """A question and its answer."""
        await self.service.ask(conversation, question)
        asked = await self.asked()
        for piece in pieces:
            asked.say(piece)
        asked.finish()
        await self.over(conversation)

    async def over(self, conversation: int) -> None:
        growing = self.service._growing_in(conversation)
        if growing is not None:
            await growing.is_over.wait()

    async def texts(self, conversation: int) -> list[str]:
        return [message.text for message in (await self.service.open(conversation)).messages]

    async def fill_disk(self) -> None:
        await self.conversations.run(lambda store: store._connection.execute("PRAGMA max_page_count = 1"))

    async def empty_disk(self) -> None:
        await self.conversations.run(lambda store: store._connection.execute("PRAGMA max_page_count = 100000"))


Play = Callable[[Callable[[Scene], Awaitable[None]]], None]


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., None]:
    """`play(scene)` runs an async function with everything open; options are those of the service and its swarm."""

    def run(
        test: Callable[[Scene], Awaitable[None]], *, swarm: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        async def main() -> None:
            answering = FakeAnswering(**(swarm or {}))
            chosen = {"flush_s": 0.001, "stop_grace_s": 5.0} | options
            async with (
                Conversations(tmp_path / "c.sqlite") as conversations,
                ChatService(conversations, answering, lambda m, s: Question(tuple(m), s), **chosen) as service,
            ):
                await test(Scene(service, conversations, answering))

        asyncio.run(asyncio.wait_for(main(), 30))

    return run


async def until(subscription: Subscription, kind: type[ChatEvent]) -> list[ChatEvent]:
    """The events up to the first of this kind; changes of conversations are left out unless they are waited for."""
    events: list[ChatEvent] = []
    async for event in subscription:
        if not isinstance(event, ConversationChanged) or kind is ConversationChanged:
            events.append(event)
        if isinstance(event, kind):
            break
    return events


def test_an_answer_from_its_question_to_its_figures(play: Play) -> None:
    async def scene(scene: Scene) -> None:
        conversation = await scene.new(system_prompt="Be brief.", sampling={"temperature": 0, "later_option": 1})
        subscription = scene.service.subscribe()
        exchange = await scene.service.ask(conversation, "What is a petal?")
        asked = await scene.asked()
        assert asked.question.contents == ["Be brief.", "What is a petal?"]
        assert asked.question.sampling == Sampling(temperature=0)
        asked.say("A part ")
        asked.say("of a flower.")
        asked.finish()
        events = await until(subscription, AnswerEnded)
        answer = exchange.answer.id
        assert events[0] == AnswerBegan(conversation, exchange.question.id, answer)
        assert events[1:-1] == [AnswerText(conversation, answer, 0, "A part of a flower.")]
        ended = events[-1]
        assert isinstance(ended, AnswerEnded)
        assert (ended.state, ended.length, ended.is_saved) == (State.COMPLETE, 19, True)
        assert (ended.figures.tokens, ended.figures.tokens_per_s, ended.figures.first_token_s) == (3, 2.0, 0.5)
        assert ended.figures.route == ROUTE
        (changed,) = await until(subscription, ConversationChanged)
        assert isinstance(changed, ConversationChanged) and changed.conversation is not None
        assert changed.conversation.title == "What is a petal?"
        message = (await scene.service.open(conversation)).messages[-1]
        assert (message.text, message.state, message.figures) == ("A part of a flower.", State.COMPLETE, ended.figures)

    play(scene)


def test_who_joins_in_the_midst_gets_the_text_so_far_once(play: Play) -> None:
    async def scene(scene: Scene) -> None:
        conversation = await scene.new()
        exchange = await scene.service.ask(conversation, "Count.")
        asked = await scene.asked()
        subscriptions = []
        whole = ""
        for number in range(100):
            subscriptions.append(scene.service.subscribe())
            opened = (await scene.service.open(conversation)).messages[-1]
            assert (opened.text, opened.state) == (whole, State.GROWING)
            asked.say(f"{number} ")
            whole += f"{number} "
        asked.finish()
        for subscription in subscriptions:
            began, *pieces, _ = await until(subscription, AnswerEnded)
            assert began == AnswerBegan(conversation, exchange.question.id, exchange.answer.id)
            text = ""
            for event in pieces:
                assert isinstance(event, AnswerText)
                assert event.offset == len(text)
                text += event.piece
            assert text == whole

    play(scene)


def test_the_route_of_an_answer_is_told_when_it_is_known_and_when_it_changes(play: Play) -> None:
    async def scene(scene: Scene) -> None:
        conversation = await scene.new()
        subscription = scene.service.subscribe()
        exchange = await scene.service.ask(conversation, "Which way?")
        answer = exchange.answer.id
        asked = await scene.asked()
        now = Progress()
        asked.start(lambda: now)
        assert await until(subscription, AnswerBegan)
        for now in (
            Progress(ROUTE),
            Progress(ROUTE, tokens=5, tokens_per_s=8.0, first_token_s=0.5),
            Progress((Hop("QmThird", 0, 30),), tokens=5, tokens_per_s=8.0, first_token_s=0.5),
        ):
            told = await until(subscription, AnswerRoute)
            assert told == [
                AnswerRoute(conversation, answer, now.route, now.tokens, now.tokens_per_s, now.first_token_s)
            ]
            await asyncio.sleep(0.01)
            assert not subscription._pending, "it is told once"
        async with scene.service.subscribe() as late:
            assert len(await until(late, AnswerRoute)) == 2
        asked.finish()
        assert [type(event) for event in await until(subscription, AnswerEnded)] == [AnswerEnded]

    play(scene)


def test_a_conversation_has_one_answer_at_a_time_but_others_go_on(play: Play) -> None:
    async def scene(scene: Scene) -> None:
        first, second = await scene.new(), await scene.new()
        asking = [asyncio.create_task(scene.service.ask(first, str(number))) for number in range(5)]
        results = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(result).__name__ for result in results] == ["Exchange", "Busy", "Busy", "Busy", "Busy"]
        exchange = results[0]
        assert not isinstance(exchange, BaseException)
        for refused in (
            lambda: scene.service.edit(exchange.question.id, "x"),
            lambda: scene.service.regenerate(exchange.answer.id),
            lambda: scene.service.choose(exchange.question.id),
        ):
            with pytest.raises(Busy, match="being answered"):
                await refused()
        one = await scene.asked()
        await scene.service.ask(second, "Me too")
        two = await scene.asked()
        for asked in (one, two):
            asked.say("Yes.")
            asked.finish()
        await scene.over(first)
        await scene.over(second)
        assert await scene.texts(first) == ["0", "Yes."]
        await scene.whole(first, "next", "No.")
        assert await scene.texts(first) == ["0", "Yes.", "next", "No."]

    play(scene)


def test_an_answer_goes_on_when_who_asked_goes_away(play: Play) -> None:
    async def scene(scene: Scene) -> None:
        conversation = await scene.new()
        asking = asyncio.create_task(scene.service.ask(conversation, "Still there?"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        asked = await scene.asked()
        asked.say("Yes.")
        asked.finish()
        await scene.over(conversation)
        assert await scene.texts(conversation) == ["Still there?", "Yes."]

    play(scene)


def test_stop_keeps_the_text_so_far_and_the_figures(play: Play) -> None:
    async def scene(scene: Scene) -> None:
        conversation = await scene.new()
        await scene.service.stop(conversation)  # there is nothing to stop
        await scene.service.ask(conversation, "Tell me all.")
        (await scene.asked()).say("In the beginn")
        await asyncio.gather(*(scene.service.stop(conversation) for _ in range(3)))
        message = (await scene.service.open(conversation)).messages[-1]
        assert (message.text, message.state, message.figures.tokens) == ("In the beginn", State.STOPPED, 3)

    play(scene)


def test_stop_waits_for_no_swarm_that_does_not_listen(play: Play) -> None:
    async def scene(scene: Scene) -> None:
        conversation = await scene.new()
        await scene.service.ask(conversation, "Tell me all.")
        asked = await scene.asked()
        subscription = scene.service.subscribe()
        asked.say("In the")
        await scene.service.stop(conversation)
        asked.say(" beginning")  # too late
        subscription.close()
        events = [event async for event in subscription if not isinstance(event, ConversationChanged)]
        began, *pieces, ended = events
        assert isinstance(began, AnswerBegan) and isinstance(ended, AnswerEnded)
        assert pieces == [AnswerText(conversation, began.message_id, 0, "In the")]
        message = (await scene.service.open(conversation)).messages[-1]
        assert (message.text, message.state, message.figures.tokens) == ("In the", State.STOPPED, None)
        assert asked.stop.is_set()
        assert asked.result.cancelled()
        await scene.service.ask(conversation, "Again.")

    play(scene, swarm={"heeds_stop": False}, stop_grace_s=0.001)


def test_stop_while_the_model_is_being_opened(play: Play) -> None:
    async def scene(scene: Scene) -> None:
        scene.answering.opens = asyncio.get_running_loop().create_future()
        conversation = await scene.new()
        await scene.service.ask(conversation, "Hello?")
        await scene.service.stop(conversation)
        message = (await scene.service.open(conversation)).messages[-1]
        assert (message.text, message.state) == ("", State.STOPPED)

    play(scene, stop_grace_s=0.001)


@pytest.mark.parametrize(
    ("error", "note"),
    [
        (Unavailable("No route: nobody serves block 3."), "No route: nobody serves block 3."),
        (RuntimeError("tensor trouble"), "The answer failed by a fault of this program; the log says more."),
    ],
)
def test_a_failure_is_kept_with_a_sentence_and_can_be_tried_again(play: Play, error: Exception, note: str) -> None:
    async def scene(scene: Scene) -> None:
        conversation = await scene.new()
        exchange = await scene.service.ask(conversation, "q1")
        asked = await scene.asked()
        asked.say("Half an")
        asked.result.set_exception(error)
        await scene.over(conversation)
        message = (await scene.service.open(conversation)).messages[-1]
        assert (message.text, message.state, message.note) == ("Half an", State.FAILED, note)
        await scene.service.regenerate(exchange.answer.id)
        asked = await scene.asked()
        assert asked.question.contents == ["q1"]
        asked.say("whole")
        asked.finish()
        await scene.over(conversation)
        assert await scene.texts(conversation) == ["q1", "whole"]
        await scene.service.choose(exchange.answer.id)
        assert await scene.texts(conversation) == ["q1", "Half an"]

    play(scene)


def test_an_edited_question_is_asked_with_what_came_before_it(play: Play) -> None:
    async def scene(scene: Scene) -> None:
        conversation = await scene.new()
        await scene.whole(conversation, "q1", "a1")
        await scene.whole(conversation, "q2", "a2")
        question = (await scene.service.open(conversation)).messages[2]
        edited = await scene.service.edit(question.id, "q2'")
        asked = await scene.asked()
        assert asked.question.contents == ["q1", "a1", "q2'"]
        assert edited.question.versions == (question.id, edited.question.id)
        asked.finish()

    play(scene)


def test_the_oldest_turns_are_left_out_and_it_is_said(play: Play) -> None:
    async def scene(scene: Scene) -> None:
        conversation = await scene.new(system_prompt="s" * 10, sampling={"max_new_tokens": 50})
        for number in range(3):
            await scene.whole(conversation, f"q{number}" * 10, f"a{number}" * 10)
        subscription = scene.service.subscribe()
        await scene.service.ask(conversation, "q3" * 10)
        asked = await scene.asked()
        assert asked.question.contents == ["s" * 10, "q2" * 10, "a2" * 10, "q3" * 10]
        assert asked.question.sampling.max_new_tokens == 50
        asked.finish()
        events = await until(subscription, AnswerEnded)
        ended = events[-1]
        assert isinstance(ended, AnswerEnded)
        assert ended.note.startswith("The 2 oldest questions")
        assert (await scene.service.open(conversation)).messages[-1].note == ended.note
        assert AnswerNotice(conversation, ended.message_id, NoticeKind.CONTEXT, ended.note) in events

    play(scene, swarm={"max_position_embeddings": 150})


def test_a_question_that_is_too_long_is_refused(play: Play) -> None:
    async def scene(scene: Scene) -> None:
        conversation = await scene.new()
        with pytest.raises(TooLong, match="200,000"):
            await scene.service.ask(conversation, "x" * 10_000_000)
        await scene.service.ask(conversation, "x" * 5_000)
        await scene.over(conversation)
        message = (await scene.service.open(conversation)).messages[-1]
        assert message.state is State.FAILED
        assert "5,000 tokens" in message.note
        assert scene.answering.asked.empty()

    play(scene, swarm={"max_position_embeddings": 2048})


def test_missing_blocks_are_said_until_the_answer_goes_on(play: Play) -> None:
    async def scene(scene: Scene) -> None:
        conversation = await scene.new()
        exchange = await scene.service.ask(conversation, "q")
        asked = await scene.asked()
        subscription = scene.service.subscribe()
        for _ in range(3):
            await asyncio.to_thread(scene.service.note_route, NoRoute((range(31, 39),)))
        await asyncio.sleep(0)
        asked.say("Back.")
        asked.finish()
        events = await until(subscription, AnswerEnded)
        said = [event.text for event in events if isinstance(event, AnswerNotice)]
        assert said == ["No route: nobody serves blocks 31-38. Trying again.", ""]
        assert AnswerText(conversation, exchange.answer.id, 0, "Back.") in events

    play(scene)


def test_a_full_disk_does_not_end_an_answer(play: Play) -> None:
    async def scene(scene: Scene) -> None:
        conversation, other = await scene.new(), await scene.new()
        subscription = scene.service.subscribe()
        await scene.service.ask(conversation, "q")
        asked = await scene.asked()
        asked.say("saved ")
        while (await scene.conversations.run(lambda store: store.branch(conversation))).messages[-1].text != "saved ":
            pass
        await scene.fill_disk()
        asked.say("x" * 50_000)
        notice = (await until(subscription, AnswerNotice))[-1]
        assert isinstance(notice, AnswerNotice)
        assert "disk is full" in notice.text and "goes on" in notice.text
        asked.say(" end")
        asked.finish()
        ended = (await until(subscription, AnswerEnded))[-1]
        assert isinstance(ended, AnswerEnded)
        assert (ended.state, ended.is_saved) == (State.COMPLETE, False)
        whole = "saved " + "x" * 50_000 + " end"
        message = (await scene.service.open(conversation)).messages[-1]
        assert (message.text, message.state, message.figures) == (whole, State.COMPLETE, ended.figures)
        with pytest.raises(StorageFull):
            await scene.service.ask(conversation, "q2")
        await scene.empty_disk()
        await scene.whole(other, "q", "a")
        message = (await scene.conversations.run(lambda store: store.branch(conversation))).messages[-1]
        assert (message.text, message.state, message.figures) == (whole, State.COMPLETE, ended.figures)

    play(scene)


def test_deleting_gives_the_answer_up_and_tells_everyone(play: Play) -> None:
    async def scene(scene: Scene) -> None:
        conversation = await scene.new()
        await scene.service.ask(conversation, "q")
        asked = await scene.asked()
        asked.say("some")
        subscription = scene.service.subscribe()
        await scene.service.delete(conversation)
        asked.say("more")
        assert asked.stop.is_set()
        while (await until(subscription, ConversationChanged))[-1] != ConversationChanged(conversation, None):
            pass
        with pytest.raises(NotFound):
            await scene.service.open(conversation)
        for gone in (scene.service.ask(conversation, "q"), scene.service.delete(conversation)):
            with pytest.raises(NotFound):
                await gone
        assert await scene.service.recent() == []

    play(scene)


def test_the_end_of_the_program_interrupts_and_keeps(play: Play, tmp_path: Path) -> None:
    begun: list[int] = []
    reading: list[asyncio.Task[list[ChatEvent]]] = []

    async def read(subscription: Subscription) -> list[ChatEvent]:
        return [event async for event in subscription]

    async def scene(scene: Scene) -> None:
        reading.append(asyncio.create_task(read(scene.service.subscribe())))
        for _ in range(3):
            begun.append((await scene.service.ask(await scene.new(), "q")).answer.id)
            (await scene.asked()).say("so far")

    play(scene, flush_s=60.0)
    ends = [event for event in reading[0].result() if isinstance(event, AnswerEnded)]
    assert [(event.message_id, event.state, event.is_saved) for event in ends] == [
        (answer, State.INTERRUPTED, True) for answer in begun
    ]
    store = ConversationStore.of(tmp_path / "c.sqlite")
    for answer in begun:
        assert (store.message(answer).text, store.message(answer).state) == ("so far", State.INTERRUPTED)
    store.close()


def test_all_else_is_told_and_done(play: Play) -> None:
    async def scene(scene: Scene) -> None:
        subscription = scene.service.subscribe()
        conversation = await scene.new(title="One")
        await scene.service.rename(conversation, "Two")
        changed = await scene.service.configure(conversation, sampling={"top_p": 0.5}, system_prompt="Rhyme.")
        assert await until(subscription, ConversationChanged) == [ConversationChanged(conversation, changed)]
        await scene.whole(conversation, "Where is the harbour?", "By the sea.")
        assert "By the sea." in await scene.service.export(conversation)
        assert [found.conversation.id for found in await scene.service.search("harbour")] == [conversation]

    play(scene)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -1},
        {"temperature": float("nan")},
        {"temperature": "hot"},
        {"top_p": 0},
        {"top_k": 1.5},
        {"max_new_tokens": 0},
        {"max_new_tokens": 10**9},
        {"seed": True},
        {"seed": -1},
        {"repetition_penalty": []},
        {"points": 0.5},
        {"points": 11},
        {"peers": "QmOne"},
        {"peers": [1]},
        {"peers": [""]},
        {"peers": ["Qm"] * 65},
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(options))} must be a"):
        checked_sampling(options)


def test_options_that_are_missing_or_unknown_take_their_defaults() -> None:
    assert checked_sampling({"seed": None, "colour": "red", "top_p": 1}) == Sampling(top_p=1)
    bound = checked_sampling({"points": 2, "peers": ["QmOne", "QmTwo"]})
    assert (bound.points, bound.peers) == (2, ("QmOne", "QmTwo"))
