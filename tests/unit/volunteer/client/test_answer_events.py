from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from volunteer.client import answer_events
from volunteer.client.answer_events import (
    MAX_PENDING,
    AnswerBegan,
    AnswerEnded,
    AnswerNotice,
    AnswerRoute,
    AnswerText,
    ChatEvent,
    ConversationChanged,
    EventsLost,
    NoticeKind,
    Subscription,
    Watchers,
)
from volunteer.client.conversation_values import Conversation, Figures, State
from volunteer.client.routing import Hop


def began(message_id: int) -> AnswerBegan:
    return AnswerBegan(conversation_id=1, question_id=0, message_id=message_id)


def ended(message_id: int, length: int = 0) -> AnswerEnded:
    return AnswerEnded(1, message_id, State.COMPLETE, "", length, Figures(), is_saved=True)


def changed(conversation_id: int, title: str) -> ConversationChanged:
    return ConversationChanged(conversation_id, Conversation(conversation_id, title, "m", "", {}, 0, 0))


def read(subscription: Subscription, number: int | None = None) -> list[ChatEvent]:
    """Without waiting: what there is, or the first of it."""
    events: list[ChatEvent] = []
    while subscription._pending and len(events) != number:
        step = subscription.__anext__()
        try:
            step.send(None)
        except StopIteration as returned:
            events.append(returned.value)
    return events


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 10))


def test_of_a_route_that_nobody_has_read_the_last_is_enough_and_who_joins_gets_it() -> None:
    async def test() -> None:
        watchers = Watchers()
        subscription = watchers.subscribe()
        growing = watchers.begin(began(1))
        routes = [AnswerRoute(1, 1, (Hop("Qm", 0, 30),), tokens, 9.0, 0.5) for tokens in range(3)]
        for route in routes:
            watchers.route(growing, route)
        assert read(subscription) == [began(1), routes[-1]]
        watchers.route(growing, routes[-1])
        assert read(subscription) == []
        assert read(watchers.subscribe()) == [began(1), routes[-1]]

    in_loop(test)


class Reader:
    """A client: puts texts together, and would notice a gap, a piece that comes twice, or one that comes too late."""

    def __init__(self, subscription: Subscription):
        self.subscription = subscription
        self.texts: dict[int, str] = {}
        self.ended: dict[int, str] = {}
        self.lost = 0

    def read(self, number: int | None = None) -> None:
        for event in read(self.subscription, number):
            match event:
                case EventsLost():
                    self.lost += 1
                    self.texts.clear()
                case AnswerBegan(message_id=message_id):
                    assert message_id not in self.texts
                    self.texts[message_id] = ""
                case AnswerText(message_id=message_id, offset=offset, piece=piece):
                    assert piece
                    assert offset == len(self.texts[message_id])
                    self.texts[message_id] += piece
                case AnswerEnded(message_id=message_id, length=length):
                    text = self.texts.pop(message_id)
                    assert len(text) == length
                    self.ended[message_id] = text


@given(st.data())
def test_whoever_joins_whenever_gets_every_text_exactly_once(data: st.DataObject) -> None:
    watchers = Watchers()
    growing: dict[int, answer_events.GrowingText] = {}
    whole: dict[int, str] = {}
    readers: list[tuple[Reader, int]] = []
    steps = st.sampled_from(["begin", "grow", "grow", "grow", "end", "join", "read", "leave"])
    for step in data.draw(st.lists(steps, min_size=10, max_size=60)):
        match step:
            case "begin":
                message_id = len(growing) + len(whole)
                growing[message_id] = watchers.begin(began(message_id))
            case "grow" if growing:
                watchers.grow(growing[data.draw(st.sampled_from(list(growing)))], data.draw(st.text(min_size=1)))
            case "end" if growing:
                message_id = data.draw(st.sampled_from(list(growing)))
                whole[message_id] = growing.pop(message_id).text
                watchers.end(ended(message_id, len(whole[message_id])))
            case "join":
                readers.append((Reader(watchers.subscribe()), len(whole)))
            case "read" if readers:
                data.draw(st.sampled_from(readers))[0].read(data.draw(st.integers(1, 5)))
            case "leave" if readers:
                readers.pop()[0].subscription.close()
    for reader, ended_before in readers:
        reader.read()
        assert not reader.lost
        assert reader.texts == {message_id: each.text for message_id, each in growing.items()}
        assert reader.ended == dict(list(whole.items())[ended_before:])


def test_pieces_that_were_not_read_are_joined_though_answers_alternate() -> None:
    watchers = Watchers()
    first, second = watchers.begin(began(1)), watchers.begin(began(2))
    subscription = watchers.subscribe()
    for _ in range(100_000):
        watchers.grow(first, "a")
        watchers.grow(second, "b")
    assert len(subscription._pending) <= 4
    events = read(subscription)
    assert events == [began(1), began(2), AnswerText(1, 1, 0, "a" * 100_000), AnswerText(1, 2, 0, "b" * 100_000)]


def test_who_never_reads_is_bounded_and_begins_again() -> None:
    watchers = Watchers()
    reader = Reader(watchers.subscribe())
    for message_id in range(10 * MAX_PENDING):
        growing = watchers.begin(began(message_id))
        watchers.grow(growing, "text")
        watchers.end(ended(message_id, 4))
        assert len(reader.subscription._pending) <= MAX_PENDING + 1
    growing = watchers.begin(began(99_999))
    watchers.grow(growing, "the la")
    for number in range(MAX_PENDING):
        watchers.tell(changed(number, ""))
    watchers.grow(growing, "st")
    events = read(reader.subscription, 3)
    assert events == [EventsLost(), began(99_999), AnswerText(1, 99_999, 0, "the last")]


def test_of_many_changes_the_last_is_told() -> None:
    watchers = Watchers()
    subscription = watchers.subscribe()
    for number in range(1000):
        watchers.tell(changed(1, str(number)))
    watchers.tell(changed(2, ""))
    watchers.tell(ConversationChanged(2, None))
    assert read(subscription) == [changed(1, "999"), ConversationChanged(2, None)]


def test_notices_are_said_once_and_to_those_who_join_later_while_they_hold() -> None:
    watchers = Watchers()
    growing = watchers.begin(began(1))
    early = watchers.subscribe()
    watchers.notice(growing, NoticeKind.ROUTE, "")
    for _ in range(3):
        watchers.notice(growing, NoticeKind.ROUTE, "Waiting.")
    late = watchers.subscribe()
    watchers.notice(growing, NoticeKind.ROUTE, "")
    last = watchers.subscribe()
    waiting, going_on = (AnswerNotice(1, 1, NoticeKind.ROUTE, text) for text in ("Waiting.", ""))
    assert read(early) == [began(1), waiting, going_on]
    assert read(late) == [began(1), waiting, going_on]
    assert read(last) == [began(1)]


def test_a_reader_waits_and_is_ended_after_the_last_event() -> None:
    async def test() -> None:
        watchers = Watchers()
        async with watchers.subscribe() as subscription:
            reading = asyncio.create_task(_all(subscription))
            await asyncio.sleep(0)
            watchers.tell(changed(1, "one"))
            await asyncio.sleep(0)
            watchers.tell(changed(1, "two"))
            watchers.close()
            watchers.tell(changed(1, "three"))
            assert await reading == [changed(1, "one"), changed(1, "two")]
        assert not watchers._subscriptions

    in_loop(test)


async def _all(subscription: Subscription) -> list[ChatEvent]:
    return [event async for event in subscription]
