from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from volunteer.client.conversation_store import ConversationStore
from volunteer.client.conversation_text import TooLong
from volunteer.client.conversation_values import Conversation, Exchange, Figures, NotFound, Role, State
from volunteer.client.routing import Hop
from volunteer.errors import UserError

FIGURES = Figures(12, 3.5, 0.25, (Hop("QmFirst", 0, 15), Hop("QmSecond", 15, 30)), 0.125)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "conversations.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[ConversationStore]:
    store = ConversationStore.of(path, Clock())
    yield store
    store.close()


def answered(store: ConversationStore, begun: Exchange, text: str = "Yes.") -> Exchange:
    store.end(begun.answer.id, State.COMPLETE, piece=text, figures=FIGURES)
    return begun


def texts(store: ConversationStore, conversation: Conversation) -> list[str]:
    return [message.text for message in store.branch(conversation.id).messages]


def test_what_was_said_is_there_after_opening_the_file_again(path: Path, store: ConversationStore) -> None:
    made = store.create(model="bloom", system_prompt="Be brief.", sampling={"temperature": 0.1, "seed": 3})
    begun = store.ask(made.id, "Is it raining?")
    store.append(begun.answer.id, "Ye")
    store.append(begun.answer.id, "s")
    store.end(begun.answer.id, State.COMPLETE, piece=".", note="One turn was left out.", figures=FIGURES)
    store.close()

    again = ConversationStore.of(path)
    (conversation,) = again.recent()
    assert (conversation.title, conversation.model, conversation.system_prompt) == (
        "Is it raining?",
        "bloom",
        "Be brief.",
    )
    assert conversation.sampling == {"temperature": 0.1, "seed": 3}
    question, answer = again.branch(conversation.id).messages
    assert (question.role, question.text, question.state) == (Role.USER, "Is it raining?", State.COMPLETE)
    assert (answer.role, answer.text, answer.state) == (Role.ASSISTANT, "Yes.", State.COMPLETE)
    assert (answer.note, answer.figures) == ("One turn was left out.", FIGURES)
    again.close()


def test_what_grew_when_the_program_ended_is_interrupted_and_found(path: Path, store: ConversationStore) -> None:
    conversation = store.create(model="m")
    begun = store.ask(conversation.id, "Where?")
    store.append(begun.answer.id, "At the lighthouse")
    store.close()
    again = ConversationStore.of(path)
    answer = again.message(begun.answer.id)
    assert (answer.text, answer.state) == ("At the lighthouse", State.INTERRUPTED)
    assert again.search("lighthouse")[0].message_id == answer.id
    with pytest.raises(NotFound):
        again.append(begun.answer.id, " it is")
    again.ask(conversation.id, "Which?")
    again.close()


def test_edits_and_new_answers_keep_what_was_there(store: ConversationStore) -> None:
    conversation = store.create(model="m")
    first = answered(store, store.ask(conversation.id, "q1"), "a1")
    answered(store, store.ask(conversation.id, "q2"), "a2")
    assert texts(store, conversation) == ["q1", "a1", "q2", "a2"]
    anew = answered(store, store.regenerate(first.answer.id), "a1'")
    assert texts(store, conversation) == ["q1", "a1'"]
    assert store.message(first.answer.id).versions == (first.answer.id, anew.answer.id)
    edited = answered(store, store.edit(first.question.id, "q1'"), "b1")
    assert texts(store, conversation) == ["q1'", "b1"]
    assert store.message(edited.question.id).versions == (first.question.id, edited.question.id)
    store.choose(first.answer.id)
    assert texts(store, conversation) == ["q1", "a1", "q2", "a2"]
    answered(store, store.regenerate(first.question.id), "a1''")
    assert texts(store, conversation) == ["q1", "a1''"]
    with pytest.raises(UserError, match="Only questions"):
        store.edit(first.answer.id, "not mine")


def test_a_long_branch_is_read_in_parts(store: ConversationStore) -> None:
    conversation = store.create(model="m")
    for number in range(5):
        answered(store, store.ask(conversation.id, f"q{number}"), f"a{number}")
    last = store.branch(conversation.id, limit=4)
    assert [message.text for message in last.messages] == ["q3", "a3", "q4", "a4"]
    assert last.has_earlier
    rest = store.branch(conversation.id, limit=100, before=last.messages[0].id)
    assert [message.text for message in rest.messages] == ["q0", "a0", "q1", "a1", "q2", "a2"]
    assert not rest.has_earlier
    assert store.branch(conversation.id, before=rest.messages[0].id).messages == ()
    with pytest.raises(NotFound):
        store.branch(store.create(model="m").id, before=rest.messages[0].id)


def test_all_pages_together_are_all_conversations_those_changed_last_first(store: ConversationStore) -> None:
    made = [store.create(model="m", title=str(number)) for number in range(10)]
    answered(store, store.ask(made[3].id, "again"))
    shown: list[Conversation] = []
    while page := store.recent(limit=4, after=shown[-1] if shown else None):
        shown += page
    assert [int(each.title) for each in shown] == [3, 9, 8, 7, 6, 5, 4, 2, 1, 0]


def test_titles_are_made_once_and_kept(store: ConversationStore) -> None:
    named = store.create(model="m", title="Mine\n\x00")
    assert store.ask(named.id, "Something else").conversation.title == "Mine"
    unnamed = store.create(model="m")
    answered(store, store.ask(unnamed.id, "First words"))
    assert answered(store, store.ask(unnamed.id, "Other words")).conversation.title == "First words"
    assert store.rename(unnamed.id, "Renamed").title == "Renamed"
    assert store.configure(unnamed.id, system_prompt="Rhyme.", sampling={"top_k": 3}).sampling == {"top_k": 3}
    assert store.conversation(unnamed.id).system_prompt == "Rhyme."
    assert store.configure(unnamed.id, model="other").system_prompt == "Rhyme."


@pytest.mark.parametrize(
    "text",
    [
        "nul \x00 within",
        "\x00",
        "שלום \u202eעולם",
        "e\u0301\U0001f469\u200d\U0001f680",
        "\r\n\t ",
        "'; DROP TABLE message",
    ],
)
def test_any_text_comes_back_as_it_was(path: Path, store: ConversationStore, text: str) -> None:
    conversation = store.create(model="m", system_prompt=text)
    begun = store.ask(conversation.id, text)
    store.append(begun.answer.id, text)
    store.end(begun.answer.id, State.COMPLETE, piece=text, figures=Figures())
    store.close()
    again = ConversationStore.of(path)
    assert again.conversation(conversation.id).system_prompt == text
    assert texts(again, conversation) == [text, text + text]
    again.delete(conversation.id)
    again.close()


def test_half_a_character_becomes_a_sign_for_it(store: ConversationStore) -> None:
    conversation = store.create(model="m")
    assert store.ask(conversation.id, "a\ud83d!").question.text == "a\ufffd!"


def test_a_text_beyond_the_limit_changes_nothing(store: ConversationStore) -> None:
    conversation = store.create(model="m")
    with pytest.raises(TooLong, match="200,000"):
        store.ask(conversation.id, "x" * 10_000_000)
    with pytest.raises(TooLong):
        store.create(model="m", system_prompt="x" * 10_000_000)
    with pytest.raises(TooLong):
        store.create(model="m", sampling={"stop": "x" * 10_000_000})
    assert texts(store, conversation) == []
    assert len(store.recent()) == 1


@pytest.mark.parametrize("has_index", [True, False])
def test_a_search_finds_words_and_parts_of_them(store: ConversationStore, has_index: bool) -> None:
    sea = store.create(model="m")
    answered(store, store.ask(sea.id, "Where is the HARBOUR?"), "50% off_shore, in 港町の灯台")
    land = store.create(model="m", title="Harbour of mountains")
    answered(store, store.ask(land.id, "What else?"), 'A "quoted" \\ word')
    store._has_search_index = store._has_search_index and has_index

    def found(query: str) -> list[int]:
        return [each.conversation.id for each in store.search(query)]

    assert found("harbour") == [land.id, sea.id]
    assert found("arbo") == [land.id, sea.id]
    assert found("where HARBOUR") == [sea.id]
    assert found("harbour of") == [land.id]
    assert found("where shore") == []  # in different messages
    for query in ("灯台", "港町の", "0% off_", "the is"):
        assert found(query) == [sea.id], query
    for query in ('"quoted"', "\\", 'a "qu'):
        assert found(query) == [land.id], query
    for query in ("", " \x00 ", "0%_off", "offXshore", "NOT", "* OR *", "text:", "nowhere"):
        assert found(query) == [], query
    assert store.search("harbour", limit=1)[0].message_id is None
    assert len(store.search("e", limit=1)) == 1


@pytest.mark.parametrize("has_index", [True, False])
def test_a_growing_answer_is_found_when_it_has_ended(store: ConversationStore, has_index: bool) -> None:
    store._has_search_index = store._has_search_index and has_index
    begun = store.ask(store.create(model="m").id, "Question")
    store.append(begun.answer.id, "lighthouse")
    assert store.search("lighthouse") == []
    answered(store, begun)
    assert [each.message_id for each in store.search("lighthouse")] == [begun.answer.id]


def test_what_was_deleted_is_nowhere_in_the_files(path: Path, store: ConversationStore) -> None:
    kept = store.create(model="m")
    answered(store, store.ask(kept.id, "Quenching"), "keepsake")
    doomed = store.create(model="m", title="zyxtitle", system_prompt="zyxsystem")
    answered(store, store.ask(doomed.id, "zyxquestion " * 300), "zyxanswer " * 3000)
    grown = store.ask(doomed.id, "zyxsecond")
    store.append(grown.answer.id, "zyxgrowing")

    def files() -> bytes:
        return b"".join(file.read_bytes() for file in path.parent.iterdir())

    assert files().count(b"zyx") > 1000
    store.delete(doomed.id)
    for remains in (b"zyx", b"yxq", b"yxanswer"):
        assert remains not in files()
    assert texts(store, kept) == ["Quenching", "keepsake"]
    for gone in (
        lambda: store.delete(doomed.id),
        lambda: store.branch(doomed.id),
        lambda: store.ask(doomed.id, "x"),
        lambda: store.rename(doomed.id, "x"),
        lambda: store.append(grown.answer.id, "x"),
        lambda: store.end(grown.answer.id, State.COMPLETE, figures=Figures()),
        lambda: store.choose(grown.answer.id),
        lambda: store.edit(grown.question.id, "x"),
    ):
        with pytest.raises(NotFound):
            gone()
    assert store.create(model="m").id > doomed.id


# Trees against a model of them


class Trees(RuleBasedStateMachine):
    """Every message in a dictionary, and for each conversation the end of its branch."""

    conversations: Bundle[int] = Bundle("conversations")
    messages: Bundle[int] = Bundle("messages")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = ConversationStore.of(Path(self.folder.name) / "c.sqlite", Clock())
        self.parents: dict[int, tuple[int, int | None, str]] = {}
        self.ends: dict[int, int | None] = {}
        self.changed: list[int] = []

    @rule(target=conversations)
    def create(self) -> int:
        conversation_id = self.store.create(model="m").id
        self.ends[conversation_id] = None
        self.changed.append(conversation_id)
        return conversation_id

    @rule(target=messages, conversation=conversations, text=st.text(max_size=5))
    def ask(self, conversation: int, text: str) -> Any:
        return self._began(conversation, self.ends[conversation], text, lambda: self.store.ask(conversation, text))

    @rule(target=messages, message=messages, text=st.text(max_size=5))
    def edit(self, message: int, text: str) -> Any:
        if message not in self.parents:
            return self._refused(NotFound, lambda: self.store.edit(message, text))
        conversation, parent, _ = self.parents[message]
        if not self._is_question(message):
            return self._refused(UserError, lambda: self.store.edit(message, text))
        return self._began(conversation, parent, text, lambda: self.store.edit(message, text))

    @rule(target=messages, message=messages)
    def regenerate(self, message: int) -> Any:
        if message not in self.parents:
            return self._refused(NotFound, lambda: self.store.regenerate(message))
        question = message if self._is_question(message) else self.parents[message][1]
        assert question is not None
        begun = self.store.regenerate(message)
        assert begun.question.id == question
        return self._answered(begun)

    @rule(message=messages)
    def choose(self, message: int) -> None:
        if message not in self.parents:
            self._refused(NotFound, lambda: self.store.choose(message))
            return
        self.store.choose(message)
        end = message
        while children := [child for child, (_, parent, _) in self.parents.items() if parent == end]:
            end = max(children)
        self.ends[self.parents[message][0]] = end

    @rule(conversation=consumes(conversations))
    def delete(self, conversation: int) -> None:
        self.store.delete(conversation)
        del self.ends[conversation]
        self.changed.remove(conversation)
        self.parents = {key: value for key, value in self.parents.items() if value[0] != conversation}

    @invariant()
    def branches_are_the_same(self) -> None:
        for conversation, end in self.ends.items():
            branch: list[int] = []
            while end is not None:
                branch.insert(0, end)
                end = self.parents[end][1]
            messages = self.store.branch(conversation).messages
            assert [message.id for message in messages] == branch
            assert [message.text for message in messages] == [self.parents[each][2] for each in branch]
            if branch:
                assert [text for _, text in self.store.history(branch[-1])] == [
                    self.parents[each][2] for each in branch
                ]
            for message in messages:
                siblings = [
                    key for key, value in self.parents.items() if value[:2] == (conversation, message.parent_id)
                ]
                assert list(message.versions) == sorted(siblings)
        assert [each.id for each in self.store.recent()] == self.changed[::-1][:50]

    def teardown(self) -> None:
        assert self.store._connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert self.store._connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        self.store.close()
        self.folder.cleanup()

    def _is_question(self, message: int) -> bool:
        parent = self.parents[message][1]
        return parent is None or not self._is_question(parent)

    def _began(self, conversation: int, parent: int | None, text: str, act: Callable[[], Exchange]) -> Any:
        begun = act()
        self.parents[begun.question.id] = (conversation, parent, text)
        return self._answered(begun)

    def _answered(self, begun: Exchange) -> Any:
        text = f"answer {begun.answer.id}"
        self.store.end(begun.answer.id, State.COMPLETE, piece=text, figures=Figures())
        conversation = begun.conversation.id
        self.parents[begun.answer.id] = (conversation, begun.question.id, text)
        self.ends[conversation] = begun.answer.id
        self.changed.remove(conversation)
        self.changed.append(conversation)
        return multiple(begun.question.id, begun.answer.id)

    def _refused(self, error: type[Exception], act: Callable[[], object]) -> Any:
        with pytest.raises(error):
            act()
        return multiple()


TestTrees = Trees.TestCase
TestTrees.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


# Sizes


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ConversationStore, int]]:
    """2,000 conversations, and one of 10,000 messages."""
    store = ConversationStore.of(tmp_path_factory.mktemp("large") / "c.sqlite", Clock())
    store._connection.execute("PRAGMA synchronous = OFF")
    for number in range(2000):
        begun = store.ask(store.create(model="m").id, f"What of harbour number {number}? " + "word " * 50)
        answered(store, begun, f"It is at mile {number * 7919 % 10_007}. " + "more words " * 50)
    long = store.create(model="m")
    for number in range(5000):
        answered(store, store.ask(long.id, f"And {number}, how often?"), f"Quite {number} times. " + "word " * 20)
    yield store, long.id
    store.close()


@pytest.mark.parametrize(
    ("act", "results"),
    [
        (lambda store, long: store.recent(limit=2001), 2001),
        (lambda store, long: store.search("harbour number"), 50),
        (lambda store, long: store.search("often"), 1),
        (lambda store, long: store.search("mo"), 50),
        (lambda store, long: store.search("nowhere at all"), 0),
        (lambda store, long: store.branch(long).messages, 200),
        (lambda store, long: store.history(store.branch(long).messages[-1].id), 10_000),
    ],
    ids=["list", "common words", "one conversation", "two letters", "nothing", "open", "history"],
)
def test_thousands_are_quick(large: tuple[ConversationStore, int], act: Callable[..., list[Any]], results: int) -> None:
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        assert len(act(*large)) == results
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.05


def test_a_long_conversation_can_be_deleted(large: tuple[ConversationStore, int]) -> None:
    store, long = large
    store.delete(long)
    assert len(store.recent(limit=3000)) == 2000
