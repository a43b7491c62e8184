"""A real worker with the real small model answers its owner: over the control channel, and through the endpoint."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from volunteer.control.channel import ControlClient
from volunteer.control.messages import ChatCommand, ChatEvent, GetStatus, SetSetting, Subscribe, Topic
from volunteer.local_swarm import Worker

QUESTION = "What is the capital of France?"
LONG_QUESTION = "Write a long story about a garden with many flowers."
"""Its answer is still growing after some seconds."""
ANSWER = "The capital of France is Paris."


def start(smollm2: Path, data_dir: Path) -> Worker:
    loopback = ["--host-maddrs", "/ip4/127.0.0.1/tcp/0"]
    return Worker(["--model", str(smollm2), "--blocks", "0:30", "--new-swarm", *loopback], data_dir)


@pytest.fixture
def worker(smollm2: Path, tmp_path: Path) -> Iterator[Worker]:
    with start(smollm2, tmp_path / "worker") as started:
        started.wait_for("ready")
        yield started


async def chat(client: ControlClient, action: str, **arguments: Any) -> Any:
    return await client.request(ChatCommand(action=action, arguments=arguments))


async def text_of(events: asyncio.Queue[Any], message_id: int) -> str:
    """The streamed text of an answer until it ends."""
    text = ""
    async with asyncio.timeout(60):
        while True:
            event = await events.get()
            if not isinstance(event, ChatEvent) or event.data.get("message_id") != message_id:
                continue
            if event.event == "answer_text":
                assert event.data["offset"] == len(text)
                text += event.data["piece"]
            elif event.event == "answer_ended":
                assert event.data["length"] == len(text)
                return text


def test_two_clients_watch_one_answer_and_it_is_kept(worker: Worker, smollm2: Path, tmp_path: Path) -> None:
    async def run() -> None:
        data_dir = tmp_path / "worker"
        one: asyncio.Queue[Any] = asyncio.Queue()
        two: asyncio.Queue[Any] = asyncio.Queue()
        async with ControlClient(data_dir, on_event=two.put_nowait) as watcher:
            await watcher.request(Subscribe(topics=Topic(chats=True)))
            async with ControlClient(data_dir, on_event=one.put_nowait) as asker:
                await asker.request(Subscribe(topics=Topic(chats=True)))
                conversation = await chat(
                    asker, "create", model="any", sampling={"temperature": 0.0, "max_new_tokens": 24}
                )
                exchange = await chat(asker, "ask", conversation_id=conversation["id"], text=QUESTION)
                answer_id = exchange["answer"]["id"]
                assert await text_of(one, answer_id) == ANSWER
            assert await text_of(two, answer_id) == ANSWER
            branch = await chat(watcher, "open", conversation_id=conversation["id"])
            question, answer = branch["messages"]
            assert (question["text"], answer["text"], answer["state"]) == (QUESTION, ANSWER, "complete")
            assert answer["figures"]["route"][0]["start"] == 0
            status = await watcher.request(GetStatus())
            assert status["served_tokens"] == 0, "the owner's own questions are no service to others"

    asyncio.run(run())


def test_the_route_of_an_answer_is_told_while_it_grows(worker: Worker, smollm2: Path, tmp_path: Path) -> None:
    async def run() -> None:
        data_dir = tmp_path / "worker"
        events: asyncio.Queue[Any] = asyncio.Queue()
        async with ControlClient(data_dir, on_event=events.put_nowait) as client, asyncio.timeout(60):
            await client.request(Subscribe(topics=Topic(chats=True)))
            conversation = await chat(
                client, "create", model="any", sampling={"temperature": 0.0, "max_new_tokens": 2000}
            )
            exchange = await chat(client, "ask", conversation_id=conversation["id"], text=LONG_QUESTION)
            told: list[dict[str, Any]] = []
            while len(told) < 3 or not told[-1]["tokens"]:
                event = await events.get()
                assert event.event != "answer_ended"
                told += [event.data] if event.event == "answer_route" else []
            await chat(client, "stop", conversation_id=conversation["id"])
            worker_id = (await client.request(GetStatus()))["peer_id"]
        assert {each["message_id"] for each in told} == {exchange["answer"]["id"]}
        assert told[-1]["route"] == [{"peer_id": worker_id, "start": 0, "end": 30}]
        assert told[-1]["tokens_per_s"] > 0 and told[-1]["first_token_s"] > 0
        tokens = [each["tokens"] for each in told]
        assert tokens == sorted(tokens)

    asyncio.run(run())


def test_bad_chat_commands_are_refused_in_words(worker: Worker, tmp_path: Path) -> None:
    async def run() -> None:
        async with ControlClient(tmp_path / "worker") as client:
            for action, arguments, words in (
                ("format", {}, "know no 'format'"),
                ("ask", {"conversation_id": "x", "text": "y"}, "does not take this"),
                ("ask", {"conversation_id": 77, "text": "y"}, "no"),
                ("create", {"model": "m", "sampling": {"temperature": -1}}, "temperature"),
            ):
                with pytest.raises(Exception, match=words):
                    await chat(client, action, **arguments)

    asyncio.run(run())


def test_an_answer_that_was_cut_by_a_kill_is_there_as_far_as_it_came(smollm2: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "worker"

    async def ask_and_kill(pid: int) -> int:
        events: asyncio.Queue[Any] = asyncio.Queue()
        async with ControlClient(data_dir, on_event=events.put_nowait) as client:
            await client.request(Subscribe(topics=Topic(chats=True)))
            sampling = {"temperature": 0.0, "max_new_tokens": 400}
            conversation = await chat(client, "create", model="any", sampling=sampling)
            await chat(client, "ask", conversation_id=conversation["id"], text="Tell me a long story about the sea.")
            length = 0
            async with asyncio.timeout(60):
                while length < 200:
                    event = await events.get()
                    if isinstance(event, ChatEvent) and event.event == "answer_text":
                        length += len(event.data["piece"])
            os.kill(pid, signal.SIGKILL)
            return int(conversation["id"])

    async def read(conversation_id: int) -> Any:
        async with ControlClient(data_dir) as client:
            return await chat(client, "open", conversation_id=conversation_id)

    with start(smollm2, data_dir) as first:
        first.wait_for("ready")
        conversation_id = asyncio.run(ask_and_kill(first.pid))
        first.wait()
    with start(smollm2, data_dir) as second:
        second.wait_for("listening")
        answer = asyncio.run(read(conversation_id))["messages"][-1]
    assert answer["state"] == "interrupted" and len(answer["text"]) > 50


def test_the_endpoint_is_off_until_it_is_switched_on(worker: Worker, smollm2: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "worker"

    async def switch(*settings: tuple[str, str]) -> str | None:
        async with ControlClient(data_dir) as client:
            for name, text in settings:
                await client.request(SetSetting(name=name, text=text))
            return (await client.request(GetStatus()))["endpoint"]

    assert asyncio.run(switch()) is None
    url = asyncio.run(switch(("endpoint.port", "0"), ("endpoint.enabled", "true")))
    assert url is not None and url.startswith("http://127.0.0.1:")
    body = {
        "messages": [{"role": "user", "content": QUESTION}],
        "temperature": 0,
        "max_tokens": 24,
        "model": smollm2.name,
    }
    key = (data_dir / "endpoint.key").read_text().strip()
    for authorization, expected in (("Bearer wrong-key-of-somebody", 401), (f"Bearer {key}", 200)):
        request = urllib.request.Request(  # noqa: S310
            f"{url}/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": authorization},
        )
        if expected == 200:
            with contextlib.closing(urllib.request.urlopen(request, timeout=60)) as response:  # noqa: S310
                answer = json.load(response)
            assert answer["choices"][0]["message"]["content"] == ANSWER
        else:
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=60)  # noqa: S310
            refused.value.close()
            assert refused.value.code == expected
    assert asyncio.run(switch(("endpoint.enabled", "false"))) is None
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=5)  # noqa: S310
