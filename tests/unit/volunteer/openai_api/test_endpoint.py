"""The endpoint under those who mean no good, or do not behave: raw bytes on real sockets, and a model that is none."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import torch

from volunteer.client.answering import Answering
from volunteer.client.chat import Answer, FinishReason, Progress, Sampling
from volunteer.client.text_stream import Piece
from volunteer.errors import ConfigurationError
from volunteer.openai_api import endpoint as endpoint_module
from volunteer.openai_api.endpoint import Endpoint, EndpointSettings, PortInUse
from volunteer.openai_api.exchange import Limits

KEY = "sk-volunteer-0123456789"
PATIENCE_S = 20.0
HELLO = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


class FakeChat:
    """Says a word, as often as it is asked to and may."""

    def __init__(self, word: str = "ha") -> None:
        self.word = word
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.fails_after: int | None = None
        self.ended: list[FinishReason] = []
        self.num_running = 0

    def prompt(self, messages: Any) -> torch.Tensor:
        return torch.zeros((1, 3), dtype=torch.int64)

    def text_prompt(self, text: str) -> torch.Tensor:
        return self.prompt(())

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
        self.num_running += 1
        reason: FinishReason = "length"
        said = 0
        for _ in range(sampling.max_new_tokens):
            while not self.may_answer.wait(0.001) and not stop.is_set():
                pass
            if stop.is_set():
                reason = "cancelled"
                break
            if said == self.fails_after:
                raise RuntimeError("a bug")
            on_piece(Piece(self.word))
            said += 1
        self.num_running -= 1
        self.ended.append(reason)
        return Answer(self.word * said, 3, (1,) * said, 0.1, 0.2, (), said, finish_reason=reason)

    def close(self) -> None:
        pass


class Reply:
    """What came back."""

    def __init__(self, raw: bytes):
        head, _, self.rest = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = dict(line.lower().split(": ", 1) for line in lines)

    @property
    def body(self) -> Any:
        return json.loads(self.rest)

    @property
    def error(self) -> Any:
        assert set(self.body) == {"error"} and set(self.body["error"]) == {"message", "type", "param", "code"}
        assert self.body["error"]["message"].endswith(".")
        return self.body["error"]


class Caller:
    """Sends bytes, as they are."""

    def __init__(self, url: str):
        self.port = int(url.split(":")[2].split("/")[0])

    @contextlib.asynccontextmanager
    async def connection(self, *, receive_bytes: int | None = None) -> AsyncIterator[Any]:
        sock = socket.socket()
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def send(self, raw: bytes) -> Reply:
        async with self.connection() as (reader, writer):
            writer.write(raw)
            return Reply(await reader.read())

    async def ask(self, path: str = "/v1/chat/completions", body: Any = HELLO, **headers: str) -> Reply:
        return await self.send(request(path, body, **headers))


def request(path: str = "/v1/chat/completions", body: Any = HELLO, **headers: str) -> bytes:
    """POST with a body, GET without."""
    named = {"host": "localhost", "authorization": f"Bearer {KEY}", "connection": "close"} | headers
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    named.setdefault("content-length", str(len(content)))
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items() if value != "")
    method = "GET" if body is None else "POST"
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + content


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - what threads do is no event of the loop
        await asyncio.sleep(0.001)


Test = Callable[[Caller, FakeChat, Endpoint], Awaitable[None]]


def run(test: Test, *, key: str | None = KEY, **limits: Any) -> None:
    chat: Any = FakeChat()

    async def serve() -> None:
        settings = EndpointSettings("m", key, port=0, limits=Limits(**limits))
        async with (
            asyncio.timeout(PATIENCE_S),
            Answering(lambda: chat, max_running=4) as answering,
            Endpoint(answering, settings) as endpoint,
        ):
            await test(Caller(endpoint.url), chat, endpoint)

    asyncio.run(serve())


def test_those_who_behave_are_answered() -> None:
    async def test(caller: Caller, chat: FakeChat, endpoint: Endpoint) -> None:
        reply = await caller.ask(body=HELLO | {"max_tokens": 3})
        assert reply.status == 200
        assert reply.body["choices"][0]["message"]["content"] == "hahaha"
        assert (await caller.ask("/health", None, authorization="")).body == {"status": "ok"}

    run(test)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "192.168.1.2"])
@pytest.mark.parametrize("path", ["/health", "/v1/models"])
def test_names_that_others_may_have_given_us_are_refused(host: str, path: str) -> None:
    async def test(caller: Caller, chat: FakeChat, endpoint: Endpoint) -> None:
        reply = await caller.ask(path, None, host=host)
        assert (reply.status, reply.error["code"]) == (403, "bad_host")

    run(test)


@pytest.mark.parametrize("raw", [b"GET /health HTTP/1.1\r\n\r\n", b"GET /health HTTP/1.0\r\n\r\n"])
def test_no_name_is_refused(raw: bytes) -> None:
    async def test(caller: Caller, chat: FakeChat, endpoint: Endpoint) -> None:
        assert (await caller.send(raw)).status in (400, 403)

    run(test)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example", "http://10.0.0.1"])
def test_foreign_web_pages_are_refused(origin: str) -> None:
    async def test(caller: Caller, chat: FakeChat, endpoint: Endpoint) -> None:
        reply = await caller.ask(origin=origin)
        assert (reply.status, reply.error["code"]) == (403, "bad_origin")
        assert (await caller.ask(origin="http://localhost:3000", body=HELLO | {"max_tokens": 1})).status == 200

    run(test)


@pytest.mark.parametrize(
    "shown", ["", "Bearer", "Bearer wrong", KEY, f"Basic {KEY}", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", "Bearer \xff"]
)
@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/nowhere"])
def test_without_the_key_nothing_is_told(shown: str, path: str) -> None:
    async def test(caller: Caller, chat: FakeChat, endpoint: Endpoint) -> None:
        reply = await caller.ask(path, None, authorization=shown)
        assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")
        assert reply.error["type"] == "authentication_error"

    run(test)


def test_no_key_is_needed_where_there_is_none() -> None:
    async def test(caller: Caller, chat: FakeChat, endpoint: Endpoint) -> None:
        assert (await caller.ask("/v1/models", None, authorization="")).status == 200

    run(test, key=None)


def test_a_hundred_megabytes_are_refused_before_they_have_come() -> None:
    async def test(caller: Caller, chat: FakeChat, endpoint: Endpoint) -> None:
        reply = await caller.send(request(**{"content-length": str(100 << 20)}))
        assert (reply.status, reply.error["code"]) == (413, "too_large")
        assert reply.headers["connection"] == "close"

    run(test)


def test_a_hundred_megabytes_that_do_not_say_so_are_cut_off() -> None:
    async def test(caller: Caller, chat: FakeChat, endpoint: Endpoint) -> None:
        async with caller.connection() as (_, writer):
            head = request(body=b"", **{"content-length": "", "transfer-encoding": "chunked"})
            writer.write(head)
            sent, piece = 0, b"10000\r\n" + b" " * 0x10000 + b"\r\n"
            with contextlib.suppress(ConnectionError):
                while sent < 100 << 20:
                    writer.write(piece)
                    await writer.drain()
                    sent += 0x10000
            assert sent < 20 << 20  # the limit, and what the sockets hold

        assert (await caller.ask(body=HELLO | {"max_tokens": 1})).status == 200

    run(test)


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async def test(caller: Caller, chat: FakeChat, endpoint: Endpoint) -> None:
        reply = await caller.send(request(**{"content-length": "1000"}))
        assert (reply.status, reply.error["type"]) == (408, "timeout_error")

    run(test, body_timeout_s=0.05)


def test_a_head_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "_HEAD_TIMEOUT_S", 0.05)

    async def test(caller: Caller, chat: FakeChat, endpoint: Endpoint) -> None:
        for sent in (b"", b"POST /v1/chat/compl"):
            async with caller.connection() as (reader, writer):
                writer.write(sent)
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""

    run(test)


def test_there_are_so_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "_MAX_CONNECTIONS", 2)

    async def test(caller: Caller, chat: FakeChat, endpoint: Endpoint) -> None:
        async with caller.connection(), caller.connection(), caller.connection() as (reader, _):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""

    run(test)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"garbage", b"\xff\x00", b"[" * 100_000, b"[]", b'{"model": "m"}', b'{"model": 3, "messages": 4}'],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_garbage_is_refused(path: str, body: bytes) -> None:
    async def test(caller: Caller, chat: FakeChat, endpoint: Endpoint) -> None:
        reply = await caller.ask(path, body)
        assert (reply.status, reply.error["type"]) == (400, "invalid_request_error")

    run(test)


@pytest.mark.parametrize("raw", [b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01" * 50 + b"\r\n\r\n"])
def test_what_is_not_http_is_refused(raw: bytes) -> None:
    async def test(caller: Caller, chat: FakeChat, endpoint: Endpoint) -> None:
        assert (await caller.send(raw)).status == 400

    run(test)


def test_other_paths_methods_and_models_are_told_apart() -> None:
    async def test(caller: Caller, chat: FakeChat, endpoint: Endpoint) -> None:
        assert (await caller.ask("/v1/embeddings")).error["type"] == "invalid_request_error"
        assert (await caller.ask("/v1/models")).status == 405
        reply = await caller.ask(body=HELLO | {"model": "gpt-5"})
        assert (reply.status, reply.error["code"], reply.error["param"]) == (404, "model_not_found", "model")

    run(test)


def test_more_requests_than_are_allowed_are_asked_to_come_again() -> None:
    async def test(caller: Caller, chat: FakeChat, endpoint: Endpoint) -> None:
        chat.may_answer.clear()
        asked = [asyncio.create_task(caller.ask(body=HELLO | {"max_tokens": 1})) for _ in range(2)]
        await until(lambda: chat.num_running == 2)
        reply = await caller.ask()
        assert (reply.status, reply.error["type"]) == (429, "rate_limit_error")
        assert (await caller.ask("/v1/models", None)).status == 200
        chat.may_answer.set()
        assert [each.status for each in await asyncio.gather(*asked)] == [200, 200]
        assert (await caller.ask(body=HELLO | {"max_tokens": 1})).status == 200

    run(test, max_requests=2)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_ends_its_answers(stream: bool) -> None:
    async def test(caller: Caller, chat: FakeChat, endpoint: Endpoint) -> None:
        chat.may_answer.clear()
        async with caller.connection() as (_, writer):
            writer.write(request(body=HELLO | {"n": 3, "stream": stream}))
            await until(lambda: chat.num_running == 3)
        await until(lambda: chat.ended == ["cancelled"] * 3)
        await until(lambda: b'path="/v1/chat/completions",status="gone"} 1.0' in endpoint.metrics.text())

    run(test)


def test_a_reader_who_does_not_read_is_cut_off() -> None:
    async def test(caller: Caller, chat: FakeChat, endpoint: Endpoint) -> None:
        chat.word = "x" * 100_000
        async with caller.connection(receive_bytes=4096) as (_, writer):
            writer.write(request(body=HELLO | {"stream": True, "max_tokens": 1000}))
            # A hundred megabytes, of which the sockets hold a few.
            await until(lambda: b'status="200"} 1.0' in endpoint.metrics.text())
        chat.word = "ha"
        assert (await caller.ask(body=HELLO | {"max_tokens": 1})).status == 200

    run(test, write_timeout_s=0.1)


def test_a_bug_is_told_in_a_sentence_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    async def test(caller: Caller, chat: FakeChat, endpoint: Endpoint) -> None:
        chat.fails_after = 0
        for stream in (False, True):
            reply = await caller.ask(body=HELLO | {"stream": stream})
            assert reply.status == 500 and "a bug" not in reply.error["message"]

    run(test)
    assert "RuntimeError: a bug" in caplog.text


def test_what_fails_in_the_midst_of_a_stream_is_its_last_event(caplog: pytest.LogCaptureFixture) -> None:
    async def test(caller: Caller, chat: FakeChat, endpoint: Endpoint) -> None:
        chat.fails_after = 2
        reply = await caller.ask(body=HELLO | {"stream": True})
        assert reply.status == 200
        events = [line for line in reply.rest.decode().split("\r\n") if line.startswith("data: ")]
        assert (
            events[-1].startswith('data: {"error":{"message":"The request failed') and "[DONE]" in reply.rest.decode()
        )

    run(test)


def test_the_end_of_the_program_ends_requests_with_a_reason() -> None:
    replies: list[asyncio.Task[Reply]] = []

    async def test(caller: Caller, chat: FakeChat, endpoint: Endpoint) -> None:
        replies.append(asyncio.create_task(caller.ask(body=HELLO)))
        await until(lambda: chat.num_running == 1)
        replies.append(asyncio.create_task(caller.ask(body=HELLO | {"stream": True})))
        await until(lambda: chat.num_running == 2)

    async def serve() -> None:
        chat: Any = FakeChat()
        chat.may_answer.clear()
        async with asyncio.timeout(PATIENCE_S):
            settings = EndpointSettings("m", KEY, port=0)
            async with Answering(lambda: chat) as answering, Endpoint(answering, settings) as endpoint:
                await test(Caller(endpoint.url), chat, endpoint)
            for reply in replies:
                assert (await reply).status == 503 and (await reply).error["message"] == "The program is ending."

    asyncio.run(serve())


def test_numbers_are_shown_to_prometheus() -> None:
    async def test(caller: Caller, chat: FakeChat, endpoint: Endpoint) -> None:
        await caller.ask(body=HELLO | {"max_tokens": 3, "n": 2})
        await caller.ask(path="/a/path/that/nobody/has")
        text = (await caller.ask("/metrics", None)).rest.decode()
        for line in (
            'volunteer_api_requests_total{path="/v1/chat/completions",status="200"} 1.0',
            'volunteer_api_requests_total{path="other",status="404"} 1.0',
            "volunteer_api_generated_tokens_total 6.0",
            "volunteer_api_prompt_tokens_total 6.0",
            'volunteer_api_answers_total{finish_reason="length"} 2.0',
            "volunteer_answers_model_open 1.0",
            "volunteer_api_requests_running 0.0",
        ):
            assert line in text

    run(test)


def test_a_port_that_is_taken_is_told() -> None:
    async def test(caller: Caller, chat: FakeChat, endpoint: Endpoint) -> None:
        async with Answering(lambda: chat) as answering:  # type: ignore[arg-type, return-value]
            with pytest.raises(PortInUse, match=f"127.0.0.1 port {caller.port}"):
                await Endpoint(answering, EndpointSettings("m", KEY, port=caller.port)).__aenter__()

    run(test)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "localhost", "::"])  # noqa: S104
def test_it_is_for_this_machine_only(host: str) -> None:
    async def test() -> None:
        async with Answering(lambda: FakeChat()) as answering:  # type: ignore[arg-type, return-value]
            with pytest.raises(ConfigurationError):
                await Endpoint(answering, EndpointSettings("m", KEY, host=host, port=0)).__aenter__()

    asyncio.run(test())


def test_signals_are_left_alone() -> None:
    def handlers() -> list[Any]:
        return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    async def serve() -> None:
        before = handlers()
        chat: Any = FakeChat()
        async with Answering(lambda: chat) as answering, Endpoint(answering, EndpointSettings("m", KEY, port=0)):
            assert handlers() == before
        assert handlers() == before

    asyncio.run(serve())
