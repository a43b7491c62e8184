"""What the owner's own programs get from the worker besides serving: answers of the swarm, conversations, the endpoint.

The swarm is asked by a peer of its own, which is started with the first question and stopped when nobody has asked for
a while: a node cannot dial itself, and whoever only gives pays for no client.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError, validate_call

from volunteer.chat_service import ChatService
from volunteer.client.account import Account, Offer
from volunteer.client.answering import Answering, Question
from volunteer.client.chat import Chat, load_tokenizer
from volunteer.client.conversations import Conversations
from volunteer.client.model import SwarmForCausalLM
from volunteer.control.channel import Peer
from volunteer.control.messages import ChatEvent, first_problem
from volunteer.errors import ConfigurationError
from volunteer.models.store import DownloadProgress
from volunteer.openai_api.key import KEY_FILE, load_or_create_key
from volunteer.points.wallet import Wallet
from volunteer.settings import EndpointSettings, model_name, peers_file
from volunteer.swarm.peer_lists import PeerLists
from volunteer.swarm.swarm_key import SwarmKey
from volunteer.swarm.traffic import Downloads, Traffic
from volunteer.swarm_model import open_swarm_model

CONVERSATIONS_FILE = "conversations.sqlite"

_to_json: TypeAdapter[Any] = TypeAdapter(Any)


@dataclasses.dataclass(frozen=True)
class Swarm:
    """Which model is asked, and through whom."""

    model: str
    revision: str | None
    dht_prefix: str | None
    initial_peers: tuple[str, ...]
    swarm_key: SwarmKey | None = None
    peers_name: str | None = None
    peers: PeerLists = PeerLists()  # noqa: RUF009


class OwnerServices:
    """Use as `async with`.

    Args:
        swarm: as it is when a question comes; the worker's own node is the nearest peer while it is there.
        on_owner: told the peer id under which the owner's questions come, from any thread.
        wallet: pays for the answers.
        points_offered: for each point of other servers' work, as the settings say now.
    """

    def __init__(
        self,
        data_dir: Path,
        swarm: Callable[[], Swarm],
        on_owner: Callable[[str], None],
        wallet: Wallet,
        points_offered: Callable[[], float],
    ):
        self._data_dir = data_dir
        self._wallet = wallet
        self._points_offered = points_offered
        self._swarm = swarm
        self._on_owner = on_owner
        self.traffic = Traffic()
        """Of the owner's own questions."""
        self._downloads = Downloads(self.traffic)
        self._answering = Answering(self._open_chat)
        self._conversations = Conversations(data_dir / CONVERSATIONS_FILE)
        self.chats = ChatService(
            self._conversations, self._answering, lambda messages, sampling: Question(sampling, messages=messages)
        )
        self.commands = ChatCommands(self.chats)
        self._stack = contextlib.AsyncExitStack()
        self._endpoint: contextlib.AsyncExitStack | None = None
        self.endpoint_url: str | None = None

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._answering)
            await stack.enter_async_context(self._conversations)
            await stack.enter_async_context(self.chats)
            stack.push_async_callback(self.close_endpoint)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def open_endpoint(self, settings: EndpointSettings) -> None:
        """Opens the endpoint as the settings say, or closes it.

        Raises:
            UserError: the port is taken, or the key is no secret.
        """
        await self.close_endpoint()
        if not settings.enabled:
            return
        # Whoever only serves blocks does without a web server.
        await asyncio.to_thread(importlib.import_module, "volunteer.openai_api.endpoint")
        from volunteer.openai_api.endpoint import Endpoint
        from volunteer.openai_api.endpoint import EndpointSettings as Offer

        key = load_or_create_key(self._data_dir / KEY_FILE) if settings.require_key else None
        offer = Offer(model=model_name(self._swarm().model), key=key, host=settings.host, port=settings.port)
        async with contextlib.AsyncExitStack() as stack:
            endpoint = await stack.enter_async_context(Endpoint(self._answering, offer))
            self.endpoint_url = endpoint.url
            self._endpoint = stack.pop_all()

    async def close_endpoint(self) -> None:
        """Answers that are under way end in an error that says why."""
        endpoint, self._endpoint, self.endpoint_url = self._endpoint, None, None
        if endpoint is not None:
            await endpoint.aclose()

    async def forward(self, peer: Peer) -> None:
        """Sends a client of the control channel what happens in the chats, until it is cancelled."""
        with contextlib.suppress(ConnectionError):  # it left
            async with self.chats.subscribe() as events:
                async for event in events:
                    name = _snake(type(event).__name__)
                    await peer.send(ChatEvent(event=name, data=_to_json.dump_python(event, mode="json")))

    def _open_chat(self) -> Chat:
        swarm = self._swarm()
        opened = open_swarm_model(
            swarm.model,
            models_dir=self._data_dir / "models",
            revision=swarm.revision,
            dht_prefix=swarm.dht_prefix,
        )
        holder = self._wallet.open()
        account = Account(holder.identity, holder.ledger, lambda: Offer.of(self._points_offered()))
        model = SwarmForCausalLM.join(
            opened,
            account=account,
            initial_peers=swarm.initial_peers,
            peers_file=peers_file(self._data_dir, swarm.peers_name or opened.dht_prefix),
            swarm_key=swarm.swarm_key,
            on_progress=self._note_download,
        )
        with contextlib.ExitStack() as stack:
            stack.callback(model.close)
            servers = model.connection.servers
            servers.peers = swarm.peers
            servers.on_no_route = self.chats.note_route
            servers.node.traffic = self.traffic
            self._on_owner(servers.node.peer_id)
            chat = Chat(model, load_tokenizer(opened.checkpoint.folder))
            stack.pop_all()  # from here on it is whoever asks who closes it
        return chat

    def _note_download(self, progress: DownloadProgress) -> None:
        self._downloads.note(progress.done_bytes, is_over=progress.done_bytes == progress.total_bytes)
        self.chats.note_download(progress.done_bytes, progress.total_bytes)


class ChatCommands:
    """The chat service by name, for what comes over the control channel."""

    def __init__(self, chats: ChatService[Question]):
        @validate_call
        async def create(model: str, system_prompt: str = "", sampling: dict[str, Any] | None = None) -> Any:
            return await chats.create(model=model, system_prompt=system_prompt, sampling=sampling)

        @validate_call
        async def recent(limit: int = 50, after: int | None = None) -> Any:
            last = None if after is None else (await chats.open(after, limit=1)).conversation
            return await chats.recent(limit=limit, after=last)

        self._actions: dict[str, Callable[..., Any]] = {
            "recent": recent,
            "search": validate_call(chats.search),
            "create": create,
            "open": validate_call(chats.open),
            "rename": validate_call(chats.rename),
            "configure": validate_call(chats.configure),
            "choose": validate_call(chats.choose),
            "delete": validate_call(chats.delete),
            "export": validate_call(chats.export),
            "ask": validate_call(chats.ask),
            "edit": validate_call(chats.edit),
            "regenerate": validate_call(chats.regenerate),
            "stop": validate_call(chats.stop),
        }

    async def run(self, action: str, arguments: dict[str, Any]) -> Any:
        """The result as plain JSON.

        Raises:
            ConfigurationError: there is no such action, or it takes other arguments.
            UserError: as the chat service.
        """
        call = self._actions.get(action)
        if call is None:
            raise ConfigurationError(f"The chats know no {action[:80]!r}.")
        try:
            result = await call(**arguments)
        except ValidationError as error:
            raise ConfigurationError(f"{action} does not take this ({first_problem(error)}).") from error
        return _to_json.dump_python(result, mode="json")


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).removeprefix("_")
