"""The owner's chats: asks the swarm, keeps what it answers as it grows, and tells everyone who watches.

An answer belongs to nobody's connection: it goes on when the client that asked is gone. Knows no socket and no window.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from volunteer.client.answer_events import (
    AnswerBegan,
    AnswerEnded,
    AnswerRoute,
    ConversationChanged,
    GrowingText,
    NoticeKind,
    Subscription,
    Watchers,
)
from volunteer.client.chat import Answer, Progress, Sampling
from volunteer.client.context_window import Fitted, Messages, fit
from volunteer.client.conversation_export import to_markdown
from volunteer.client.conversation_store import ConversationStore
from volunteer.client.conversation_text import well_formed
from volunteer.client.conversation_values import (
    Branch,
    Conversation,
    Exchange,
    Figures,
    Found,
    Message,
    NotFound,
    State,
)
from volunteer.client.conversations import Conversations
from volunteer.client.routing import NoRoute
from volunteer.errors import ConfigurationError, ExitCode, UserError

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_QuestionT = TypeVar("_QuestionT")
_QuestionT_contra = TypeVar("_QuestionT_contra", contravariant=True)

FLUSH_S = 0.5
"""How often an answer that grows is saved, and where it is computed is told: what a crash may cost."""
STOP_GRACE_S = 2.0
"""An answer that is stopped may finish its token, for its figures; after that it is left to end unseen."""
MAX_CONTEXT_TOKENS = 8192
"""Prompt and answer together, whatever the model's own limit: servers hold no longer sessions."""

_SAMPLING_RANGES: Mapping[str, tuple[type, float, float]] = {
    "max_new_tokens": (int, 1, MAX_CONTEXT_TOKENS),
    "temperature": (float, 0, 100),
    "top_p": (float, 1e-6, 1),
    "top_k": (int, 0, 1_000_000),
    "repetition_penalty": (float, 0.01, 100),
    "seed": (int, 0, 2**63 - 1),
    "points": (float, 1, 10),
}
_MAX_PEERS, _MAX_PEER_ID = 64, 128


class Busy(UserError):
    """One thing after another in a conversation."""

    exit_code = ExitCode.TRY_LATER


class PromptMaker(Protocol):
    """What is used of `client.chat.Chat`."""

    @property
    def context_length(self) -> int | None: ...

    def prompt(self, messages: Sequence[Mapping[str, str]], *, raw: bool = False) -> Any:
        """Token ids, [1, tokens]."""


class Answering(Protocol[_QuestionT_contra]):
    """What is used of `client.answering.Answering`."""

    async def chat(self) -> PromptMaker: ...

    async def answer(
        self,
        question: _QuestionT_contra,
        *,
        on_text: Callable[[str], None],
        on_started: Callable[[Callable[[], Progress]], None],
        stop: threading.Event,
    ) -> Answer: ...


_NO_FIGURES = Figures()


@dataclass(frozen=True)
class _Outcome:
    state: State
    note: str
    figures: Figures


@dataclass
class _Growing:
    """An answer from its beginning until the file has all of it."""

    exchange: Exchange
    watched: GrowingText
    outcome: asyncio.Future[_Outcome]
    is_over: asyncio.Event = field(default_factory=asyncio.Event)
    """It has an outcome, everybody was told, and the conversation is free."""
    stop: threading.Event = field(default_factory=threading.Event)
    asking: asyncio.Task[None] | None = None
    look: Callable[[], Progress] = Progress
    """How far it has come."""
    saved_length: int = 0
    note: str = ""
    is_stopped: bool = False
    """By its owner."""

    @property
    def conversation_id(self) -> int:
        return self.exchange.conversation.id

    @property
    def message_id(self) -> int:
        return self.exchange.answer.id

    def start(self, look: Callable[[], Progress]) -> None:
        self.look = look

    def end(self, state: State, note: str = "", figures: Figures = _NO_FIGURES) -> None:
        """The first outcome is the one; no text is added after it."""
        self.stop.set()
        if not self.outcome.done():
            self.outcome.set_result(_Outcome(state, note or self.note, figures))

    def as_it_is(self) -> Message:
        """What the file does not know yet."""
        message = dataclasses.replace(self.exchange.answer, text=self.watched.text, note=self.note)
        if self.outcome.done():
            outcome = self.outcome.result()
            return dataclasses.replace(message, state=outcome.state, note=outcome.note, figures=outcome.figures)
        return message


class ChatService(Generic[_QuestionT]):
    """Conversations and the answers that grow in them, at most one in each. Use as `async with`.

    All methods belong to the event loop it was entered in, but for `note_route`. What changes something is done to its
    end, even if its caller is cancelled.

    Args:
        conversations: open for as long as this is.
        answering: the swarm.
        make_question: what `answering` takes, of messages and sampling.
        flush_s, stop_grace_s, max_context_tokens: see the constants.
    """

    def __init__(
        self,
        conversations: Conversations,
        answering: Answering[_QuestionT],
        make_question: Callable[[Messages, Sampling], _QuestionT],
        *,
        flush_s: float = FLUSH_S,
        stop_grace_s: float = STOP_GRACE_S,
        max_context_tokens: int = MAX_CONTEXT_TOKENS,
    ):
        self._conversations = conversations
        self._answering = answering
        self._make_question = make_question
        self._flush_s = flush_s
        self._stop_grace_s = stop_grace_s
        self._max_context_tokens = max_context_tokens
        self._watchers = Watchers()
        self._busy: set[int] = set()
        self._growing: dict[int, _Growing] = {}  # by the answer's id
        self._overdue: dict[int, _Growing] = {}  # those that have ended and wait for room on the disk
        self._saving_overdue = asyncio.Lock()
        self._changes: set[asyncio.Task[Any]] = set()
        self._asking: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Answers that grow are interrupted, and kept as far as they came."""
        self._loop = None
        while self._changes:
            for growing in self._growing.values():
                growing.end(State.INTERRUPTED)
            await asyncio.wait(self._changes, return_when=asyncio.FIRST_COMPLETED)
        with contextlib.suppress(UserError):
            await self._save_overdue()
        if self._asking:
            await asyncio.wait(self._asking, timeout=self._stop_grace_s)
        self._watchers.close()

    def subscribe(self) -> Subscription:
        """Events from now on, to be closed by the caller. Answers that grow begin with their text so far."""
        return self._watchers.subscribe()

    # Conversations

    async def recent(self, *, limit: int = 50, after: Conversation | None = None) -> list[Conversation]:
        """As `ConversationStore.recent`."""
        return await self._conversations.run(lambda store: store.recent(limit=limit, after=after))

    async def search(self, query: str, *, limit: int = 50) -> list[Found]:
        """As `ConversationStore.search`."""
        return await self._conversations.run(lambda store: store.search(query, limit=limit))

    async def create(
        self, *, model: str, system_prompt: str = "", sampling: Mapping[str, Any] | None = None, title: str = ""
    ) -> Conversation:
        """`sampling` by the names of `Sampling`; without a title, the first question gives it one."""
        checked_sampling(sampling or {})
        return await self._change(
            lambda store: store.create(model=model, system_prompt=system_prompt, sampling=sampling, title=title)
        )

    async def open(self, conversation_id: int, *, limit: int | None = 200, before: int | None = None) -> Branch:
        """As `ConversationStore.branch`, with an answer that grows as it is at this moment.

        Who subscribed before gets the rest: texts and events meet at their offsets.
        """
        in_memory = self._growing | self._overdue
        branch = await self._conversations.run(lambda store: store.branch(conversation_id, limit=limit, before=before))
        in_memory |= self._growing | self._overdue  # some may have ended meanwhile, others begun
        messages = tuple(
            dataclasses.replace(in_memory[message.id].as_it_is(), versions=message.versions)
            if message.state is State.GROWING and message.id in in_memory
            else message
            for message in branch.messages
        )
        return dataclasses.replace(branch, messages=messages)

    async def rename(self, conversation_id: int, title: str) -> Conversation:
        """An empty title is made of the next question's first words."""
        return await self._change(lambda store: store.rename(conversation_id, title))

    async def configure(
        self,
        conversation_id: int,
        *,
        model: str | None = None,
        system_prompt: str | None = None,
        sampling: Mapping[str, Any] | None = None,
    ) -> Conversation:
        """Changes what is given, for the answers to come."""
        checked_sampling(sampling or {})
        return await self._change(
            lambda store: store.configure(conversation_id, model=model, system_prompt=system_prompt, sampling=sampling)
        )

    async def choose(self, message_id: int) -> Conversation:
        """Shows the branch that goes through this version of a message, and continues there.

        Raises:
            Busy: an answer grows in the conversation.
        """
        message = await self._conversations.run(lambda store: store.message(message_id))
        with self._claim(message.conversation_id):
            return await self._change(lambda store: store.choose(message_id))

    async def delete(self, conversation_id: int) -> None:
        """For good; an answer that grows is given up.

        Raises:
            Busy: something else is done with the conversation at this moment.
        """
        await self._to_its_end(self._delete(conversation_id))

    async def export(self, conversation_id: int) -> str:
        """The current branch as Markdown."""
        return to_markdown(await self.open(conversation_id, limit=None))

    # Questions

    async def ask(self, conversation_id: int, text: str) -> Exchange:
        """Asks at the end of the current branch; returns when the answer has begun, which needs no swarm yet.

        Raises:
            Busy: an answer grows in this conversation.
            TooLong, NotFound, StorageFull: nothing was asked.
        """
        return await self._to_its_end(self._begin(conversation_id, lambda store: store.ask(conversation_id, text)))

    async def edit(self, message_id: int, text: str) -> Exchange:
        """Asks `text` in the place of an earlier question, which is kept as another version. Raises as `ask`."""
        message = await self._conversations.run(lambda store: store.message(message_id))
        return await self._to_its_end(self._begin(message.conversation_id, lambda store: store.edit(message_id, text)))

    async def regenerate(self, message_id: int) -> Exchange:
        """Answers a question anew, or the question of an answer; earlier answers are kept. Raises as `ask`."""
        message = await self._conversations.run(lambda store: store.message(message_id))
        return await self._to_its_end(self._begin(message.conversation_id, lambda store: store.regenerate(message_id)))

    async def stop(self, conversation_id: int) -> None:
        """Ends the answer that grows, if there is one, and keeps its text so far; returns when that is done."""
        growing = self._growing_in(conversation_id)
        if growing is None:
            return
        if not growing.is_stopped:
            growing.is_stopped = True
            growing.stop.set()
            asyncio.get_running_loop().call_later(self._stop_grace_s, growing.end, State.STOPPED)
        await growing.is_over.wait()

    def note_route(self, error: NoRoute | None) -> None:
        """For `ServerTable.on_no_route`, from any thread: why answers wait, or None when they go on."""
        loop = self._loop
        if loop is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(self._note_route, f"{error} Trying again." if error is not None else "")

    # One thing at a time, to its end

    @contextlib.contextmanager
    def _claim(self, conversation_id: int) -> Iterator[contextlib.ExitStack]:
        """A conversation for the caller alone until the block ends, or, if the stack is taken over, that is closed."""
        if conversation_id in self._busy:
            raise Busy("This conversation is being answered: wait for the answer, or stop it first.")
        self._busy.add(conversation_id)
        with contextlib.ExitStack() as claim:
            claim.callback(self._busy.discard, conversation_id)
            yield claim

    async def _to_its_end(self, change: Coroutine[Any, Any, _T]) -> _T:
        return await asyncio.shield(self._start(change))

    def _start(self, change: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.create_task(change)
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return task

    async def _change(self, act: Callable[[ConversationStore], Conversation]) -> Conversation:
        async def change() -> Conversation:
            changed = await self._conversations.run(act)
            self._watchers.tell(ConversationChanged(changed.id, changed))
            return changed

        return await self._to_its_end(change())

    async def _delete(self, conversation_id: int) -> None:
        growing = self._growing_in(conversation_id)
        if growing is not None:
            growing.end(State.STOPPED)
            await growing.is_over.wait()
        with self._claim(conversation_id):
            await self._conversations.run(lambda store: store.delete(conversation_id))
            for overdue in tuple(self._overdue.values()):
                if overdue.conversation_id == conversation_id:
                    del self._overdue[overdue.message_id]
        self._watchers.tell(ConversationChanged(conversation_id, None))

    def _growing_in(self, conversation_id: int) -> _Growing | None:
        return next((each for each in self._growing.values() if each.conversation_id == conversation_id), None)

    # The life of an answer

    async def _begin(self, conversation_id: int, act: Callable[[ConversationStore], Exchange]) -> Exchange:
        if self._loop is None:
            raise Busy("The program is about to end.")
        with self._claim(conversation_id) as claim:
            await self._save_overdue()
            exchange = await self._conversations.run(act)
            watched = self._watchers.begin(AnswerBegan(conversation_id, exchange.question.id, exchange.answer.id))
            growing = _Growing(exchange, watched, asyncio.get_running_loop().create_future())
            self._growing[growing.message_id] = growing
            self._watchers.tell(ConversationChanged(conversation_id, exchange.conversation))
            growing.asking = asyncio.create_task(self._ask(growing))
            self._asking.add(growing.asking)
            growing.asking.add_done_callback(self._asking.discard)
            self._start(self._keep(growing, claim.pop_all()))
        return exchange

    async def _ask(self, growing: _Growing) -> None:
        """From the history to the outcome."""
        try:
            sampling = checked_sampling(growing.exchange.conversation.sampling)
            fitted = await self._fitted(growing.exchange, sampling.max_new_tokens)
            growing.note = fitted.note
            self._watchers.notice(growing.watched, NoticeKind.CONTEXT, fitted.note)
            sampling = dataclasses.replace(sampling, max_new_tokens=fitted.max_new_tokens)
            answer = await self._answering.answer(
                self._make_question(fitted.messages, sampling),
                on_text=lambda piece: self._grow(growing, piece),
                on_started=growing.start,
                stop=growing.stop,
            )
        except UserError as error:
            if growing.is_stopped:
                growing.end(State.STOPPED)
            else:
                growing.end(State.FAILED, str(error))
        except asyncio.CancelledError:
            growing.end(State.INTERRUPTED)
            raise
        except Exception:
            logger.exception("An answer failed")
            growing.end(State.FAILED, "The answer failed by a fault of this program; the log says more.")
        else:
            figures = Figures(
                len(answer.token_ids), answer.tokens_per_s, answer.first_token_s, answer.route, answer.spent_points
            )
            growing.end(State.STOPPED if growing.is_stopped else State.COMPLETE, figures=figures)

    async def _fitted(self, exchange: Exchange, max_new_tokens: int) -> Fitted:
        history = await self._conversations.run(lambda store: store.history(exchange.question.id))
        chat = await self._answering.chat()
        return await asyncio.to_thread(
            fit,
            lambda messages: int(chat.prompt(messages).shape[1]),
            exchange.conversation.system_prompt,
            history,
            limit=min(chat.context_length or self._max_context_tokens, self._max_context_tokens),
            max_new_tokens=max_new_tokens,
        )

    def _grow(self, growing: _Growing, piece: str) -> None:
        if piece and not growing.outcome.done():
            self._watchers.notice(growing.watched, NoticeKind.ROUTE, "")
            self._watchers.grow(growing.watched, well_formed(piece))

    def _tell_route(self, growing: _Growing) -> None:
        progress = growing.look()
        if not progress.route or growing.outcome.done():
            return
        route = AnswerRoute(
            growing.conversation_id,
            growing.message_id,
            progress.route,
            progress.tokens,
            progress.tokens_per_s,
            progress.first_token_s,
        )
        self._watchers.route(growing.watched, route)

    def _note_route(self, text: str) -> None:
        for growing in self._growing.values():
            self._watchers.notice(growing.watched, NoticeKind.ROUTE, text)

    # Saving

    async def _keep(self, growing: _Growing, claim: contextlib.ExitStack) -> None:
        """Saves an answer as it grows and when it has ended, says so, and gives the conversation free."""
        with claim:
            while not growing.outcome.done():
                await asyncio.wait({growing.outcome}, timeout=self._flush_s)
                self._tell_route(growing)
                await self._save_piece(growing)
            if growing.asking is not None:
                growing.asking.cancel()  # if it has not ended by itself
            try:
                changed = await self._save_end(growing)
            except Exception as error:
                if not isinstance(error, UserError):
                    logger.exception("The end of an answer could not be saved")
                self._overdue[growing.message_id] = growing
                changed = None
            del self._growing[growing.message_id]
        outcome = growing.outcome.result()
        length = len(growing.watched.text)
        self._watchers.end(
            AnswerEnded(
                growing.conversation_id,
                growing.message_id,
                outcome.state,
                outcome.note,
                length,
                outcome.figures,
                is_saved=changed is not None,
            )
        )
        if changed is not None:
            self._watchers.tell(ConversationChanged(changed.id, changed))
        growing.is_over.set()

    async def _save_piece(self, growing: _Growing) -> None:
        length, message_id = len(growing.watched.text), growing.message_id
        piece = growing.watched.text[growing.saved_length :]
        if not piece:
            return
        try:
            await self._conversations.run(lambda store: store.append(message_id, piece))
        except UserError as error:
            self._watchers.notice(growing.watched, NoticeKind.DISK, f"{error} The answer goes on.")
        except Exception:
            logger.exception("A part of an answer could not be saved")
        else:
            growing.saved_length = length
            self._watchers.notice(growing.watched, NoticeKind.DISK, "")

    async def _save_end(self, growing: _Growing) -> Conversation:
        outcome, message_id = growing.outcome.result(), growing.message_id
        piece = growing.watched.text[growing.saved_length :]
        return await self._conversations.run(
            lambda store: store.end(message_id, outcome.state, piece=piece, note=outcome.note, figures=outcome.figures)
        )

    async def _save_overdue(self) -> None:
        """
        Raises:
            StorageFull, StorageFailed: it still cannot be.
        """
        async with self._saving_overdue:
            for growing in tuple(self._overdue.values()):
                with contextlib.suppress(NotFound):  # deleted meanwhile
                    changed = await self._save_end(growing)
                    self._watchers.tell(ConversationChanged(changed.id, changed))
                self._overdue.pop(growing.message_id, None)


def checked_sampling(options: Mapping[str, Any]) -> Sampling:
    """Names that are not known, as another version may have stored them, are left out.

    Raises:
        ConfigurationError: a value is out of its range, or of another kind.
    """
    known = {name: value for name, value in options.items() if name in _SAMPLING_RANGES and value is not None}
    for name, value in known.items():
        kind, least, greatest = _SAMPLING_RANGES[name]
        if type(value) not in (int, kind) or not least <= value <= greatest:
            raise ConfigurationError(
                f"{name} must be {'a whole' if kind is int else 'a'} number from {least:g} to {greatest:g}."
            )
    return Sampling(**known, peers=_checked_peers(options.get("peers")))


def _checked_peers(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, list | tuple) and len(value) <= _MAX_PEERS:
        peers = tuple(each for each in value if isinstance(each, str) and 0 < len(each) <= _MAX_PEER_ID)
        if len(peers) == len(value):
            return peers
    raise ConfigurationError(f"peers must be a list of at most {_MAX_PEERS} peer ids.")
