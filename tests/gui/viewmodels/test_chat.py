"""What the chat page asks the worker, and what it shows of the answers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from gui.viewmodels.chat import ChatViewModel, Options, Page
from gui.viewmodels.chat_memory import FILE
from gui.viewmodels.sampling_fields import FIELDS, MAX_NEW_TOKENS, POINTS, SEED, TEMPERATURE, chosen_peers, with_peers
from gui.worker_link import Connection
from tests.gui.chat_values import action, branch, chat_over, conversation, event, exchanges, growing, message
from tests.gui.fake_link import FakeLink
from volunteer.control.messages import SetSetting, SwarmChanged, SwarmServer
from volunteer.settings import ServingSettings, Settings


@pytest.fixture
def chat(link: FakeLink) -> ChatViewModel:
    return chat_over(link)


def opened(chat: ChatViewModel, link: FakeLink) -> None:
    chat.open(1)
    link.answer(branch(exchanges(1, 2)))


def test_the_first_question_makes_a_conversation(chat: ChatViewModel, link: FakeLink, qtbot: QtBot) -> None:
    link.say(model="bigscience/bloom")
    chat.configure(Options("Be brief.", {"temperature": 0}))
    assert chat.page is Page.NEW
    chat.send("What is a petal?")
    assert action(link) == (
        "create",
        {"model": "bigscience/bloom", "system_prompt": "Be brief.", "sampling": {"temperature": 0}},
    )
    assert not chat.can_ask
    link.answer(conversation(1, title="", sampling={"temperature": 0}))
    assert action(link) == ("ask", {"conversation_id": 1, "text": "What is a petal?"})
    with qtbot.waitSignal(chat.sent):
        link.answer({"conversation": conversation(1), "question": message(1, text="What?"), "answer": growing(2)})
    assert chat.page is Page.TALK and chat.is_answering and chat.title == "Chat 1"
    assert [each.id for each in chat.talk.messages] == [1, 2]


def test_a_small_model_begins_less_adventurous_until_its_owner_chooses(chat: ChatViewModel, link: FakeLink) -> None:
    link.say(model="SmolLM2-135M-Instruct")
    assert chat.options.sampling == {"temperature": 0.0}
    chat.configure(Options("", {}))
    assert chat.options.sampling == {}
    chat.new()
    link.say(model="bigscience/bloom")
    assert chat.options.sampling == {}


def test_what_is_refused_stays_in_the_field(chat: ChatViewModel, link: FakeLink, qtbot: QtBot) -> None:
    opened(chat, link)
    with qtbot.assertNotEmitted(chat.sent):
        chat.keep_draft("Too long")
        chat.send("Too long")
        link.refuse("The text has 300,000 characters; at most 200,000 are taken.")
    assert chat.problem.startswith("The text has") and chat.can_ask and chat.draft == "Too long"
    chat.dismiss_problem()
    assert chat.problem == ""


def test_nothing_is_asked_before_the_notice_was_read(link: FakeLink) -> None:
    chat = chat_over(link, Settings())
    chat.send("Hello")
    assert chat.is_notice_shown and link.sent == []
    chat.answer_notice(agreed=False)
    assert not chat.is_notice_shown and link.sent == []
    chat.send("Hello")
    chat.answer_notice(agreed=True)
    assert isinstance(link.sent[0], SetSetting) and link.sent[0].name == "app.chat_notice_seen"
    assert action(link)[0] == "create"


def test_a_private_swarm_needs_no_notice(link: FakeLink) -> None:
    chat = chat_over(link, Settings(serving=ServingSettings(private_swarm="lab")))
    chat.send("Hello")
    assert not chat.is_notice_shown and action(link)[0] == "create"


def test_an_edited_question_takes_the_place_of_the_earlier_one(chat: ChatViewModel, link: FakeLink) -> None:
    opened(chat, link)
    chat.edit(2)
    assert chat.editing is None, "only questions can be edited"
    chat.edit(1)
    chat.send("Better")
    assert action(link) == ("edit", {"message_id": 1, "text": "Better"})
    question = message(3, text="Better", parent_id=None, versions=[1, 3])
    link.answer({"conversation": conversation(1), "question": question, "answer": growing(4)})
    assert [each.id for each in chat.talk.messages] == [3, 4] and chat.editing is None
    assert chat.talk.messages[0].version == 2


def test_versions_are_made_and_chosen(chat: ChatViewModel, link: FakeLink, qtbot: QtBot) -> None:
    opened(chat, link)
    chat.regenerate(2)
    assert action(link) == ("regenerate", {"message_id": 2})
    answer = growing(3, parent_id=1, versions=[2, 3])
    link.answer({"conversation": conversation(1), "question": message(1, text="Question 1"), "answer": answer})
    assert [each.id for each in chat.talk.messages] == [1, 3]
    chat.choose(2)
    assert action(link)[0] == "regenerate", "not while an answer grows"
    link.chat_happened.emit(event("answer_text", message_id=3, offset=0, piece="Other"))
    link.chat_happened.emit(event("answer_ended", message_id=3, state="complete", note="", length=5, figures={}))
    chat.choose(2)
    link.answer(conversation(1))
    with qtbot.waitSignal(chat.talk.revealed) as revealed:
        link.answer(branch([message(1), message(2, "assistant", "Answer 2", versions=[2, 3])]))
    assert revealed.args == [1]


def test_an_answer_is_stopped(chat: ChatViewModel, link: FakeLink) -> None:
    chat.open(1)
    chat.stop()
    link.answer(branch([message(1), growing(2)]))
    chat.stop()
    assert action(link) == ("stop", {"conversation_id": 1})


def test_drafts_stay_with_their_conversations(chat: ChatViewModel, link: FakeLink) -> None:
    chat.keep_draft("for a new one")
    opened(chat, link)
    assert chat.draft == ""
    chat.keep_draft("for the first")
    chat.new()
    assert chat.draft == "for a new one"
    chat.open(1)
    assert chat.draft == "for the first"


def test_a_question_whose_asker_went_on_disturbs_nothing(chat: ChatViewModel, link: FakeLink) -> None:
    opened(chat, link)
    chat.keep_draft("Question 3")
    chat.send("Question 3")
    chat.open(2)
    link.answer({"conversation": conversation(1), "question": message(3), "answer": growing(4)}, 1)
    assert chat.talk.id == 2 and chat.talk.messages == [] and chat.draft == ""
    link.answer(branch([], of=conversation(2)))
    chat.open(1)
    assert chat.draft == ""


@pytest.mark.parametrize(
    ("connection", "can_start"),
    [(Connection.OFF, True), (Connection.STARTING, False), (Connection.RESTARTING, False), (Connection.GAVE_UP, True)],
)
def test_without_a_worker_it_says_so(link: FakeLink, connection: Connection, can_start: bool) -> None:
    link.become(connection)
    chat = chat_over(link)
    assert chat.page is Page.NO_WORKER and chat.connection_words and not chat.can_ask
    assert chat.can_start_worker is can_start


def test_a_lost_worker_leaves_the_messages_in_place(chat: ChatViewModel, link: FakeLink) -> None:
    opened(chat, link)
    link.become(Connection.RESTARTING)
    assert chat.page is Page.TALK and not chat.can_ask and "started again" in chat.connection_words


def test_options_of_a_conversation_are_changed_there(chat: ChatViewModel, link: FakeLink) -> None:
    opened(chat, link)
    chat.configure(Options("Rhyme.", {"top_k": 5}))
    assert action(link)[1] == {"conversation_id": 1, "system_prompt": "Rhyme.", "sampling": {"top_k": 5}}
    changed = conversation(1, system_prompt="Rhyme.", sampling={"top_k": 5})
    link.chat_happened.emit(event("conversation_changed", conversation=changed))
    assert chat.options == Options("Rhyme.", {"top_k": 5})


def test_servers_are_known_by_their_public_names(chat: ChatViewModel, link: FakeLink) -> None:
    named = SwarmServer(peer_id="QmA", start=0, end=4, state="online", throughput=1, public_name="Anna")
    link.swarm_changed.emit(SwarmChanged(num_blocks=4, servers=(named, named.model_copy(update={"public_name": None}))))
    assert chat.peer_names == {"QmA": "Anna"}


# What is remembered


def restarted(chat: ChatViewModel, link: FakeLink) -> ChatViewModel:
    """The page of a window that was closed and opened again."""
    chat._memory._write()
    return chat_over(link)


def test_the_chat_that_was_open_is_open_again(chat: ChatViewModel, link: FakeLink) -> None:
    opened(chat, link)
    chat.keep_draft("half a question")
    again = restarted(chat, link)
    assert action(link) == ("open", {"conversation_id": 1, "limit": 100}) and again.draft == "half a question"
    assert (link.data_dir / FILE).stat().st_mode & 0o077 == 0
    link.answer(branch(exchanges(1, 2)))
    assert again.page is Page.TALK


def test_the_folder_of_what_is_remembered_is_for_its_owner_alone(qapp: QApplication, tmp_path: Path) -> None:
    link = FakeLink(tmp_path / "data")
    restarted(chat_over(link), link)
    assert link.data_dir.stat().st_mode & 0o077 == 0


def test_a_chat_that_was_deleted_meanwhile_is_no_problem(chat: ChatViewModel, link: FakeLink) -> None:
    opened(chat, link)
    again = restarted(chat, link)
    link.refuse("There is no such conversation any more.")
    assert again.page is Page.NEW and again.problem == ""


@pytest.mark.parametrize("content", ["", "{", "[]", '{"conversation": "x", "drafts": {"y": 1}}', '{"drafts": 3}'])
def test_a_damaged_memory_is_none(link: FakeLink, content: str) -> None:
    (link.data_dir / FILE).write_text(content)
    chat = chat_over(link)
    assert chat.page is Page.NEW and chat.draft == ""


def test_a_draft_for_a_new_chat_goes_with_it(chat: ChatViewModel, link: FakeLink) -> None:
    chat.keep_draft("First")
    assert restarted(chat, link).draft == "First"
    chat.send("First")
    link.answer(conversation(1))
    assert chat.draft == "First", "until it was asked"
    link.answer({"conversation": conversation(1), "question": message(1), "answer": growing(2)})
    assert chat.draft == "" and restarted(chat, link).draft == ""


# The form of sampling


def test_the_form_and_the_worker_agree_on_sampling() -> None:
    from volunteer.chat_service import checked_sampling
    from volunteer.client.sampling import Sampling

    defaults = {each.name: each.default for each in dataclasses.fields(Sampling)}
    for field in FIELDS:
        assert field.default == defaults[field.name]
        for value in (field.least, field.most):
            checked_sampling(field.written({}, value))


def test_what_is_as_it_would_be_anyway_is_not_kept() -> None:
    sampling = TEMPERATURE.written({"top_k": 3, "newer": 1}, 0.2)
    assert sampling == {"top_k": 3, "newer": 1, "temperature": 0.2}
    assert TEMPERATURE.written(sampling, 0.7) == {"top_k": 3, "newer": 1}
    assert MAX_NEW_TOKENS.written({}, 64.0) == {"max_new_tokens": 64}
    assert SEED.read({}) is None and SEED.written({"seed": 4}, None) == {}
    assert POINTS.read({"points": 2}) == 2


def test_peers_are_kept_while_there_are_any() -> None:
    assert with_peers({"top_k": 1}, ("QmA",)) == {"top_k": 1, "peers": ["QmA"]}
    assert with_peers({"peers": ["QmA"]}, ()) == {}
    assert chosen_peers({"peers": ["QmA"]}) == ("QmA",) and chosen_peers({"peers": 3}) == ()
