"""The official `openai` client against the endpoint, over a real swarm on loopback, beside `transformers` in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
import transformers

from volunteer.client.answering import Answering
from volunteer.client.chat import Chat, load_tokenizer
from volunteer.openai_api.endpoint import Endpoint, EndpointSettings

KEY = "sk-volunteer-test-key"
MODEL = "SmolLM2-135M-Instruct"
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
PROSE = "The sun rises in the east and sets in the west. Plants turn its light into sugar, and animals eat the plants."
CLOSE = 1e-3


@pytest.fixture(scope="module")
def open_chat(start_swarm: Callable[..., Any], smollm2: Path) -> Iterator[Callable[[], Chat]]:
    swarm = start_swarm(smollm2, "0:15", "15:30")

    def open_chat() -> Chat:
        return Chat(swarm.client(), load_tokenizer(smollm2))

    yield open_chat
    for server in tuple(swarm.servers):
        swarm.stop(server)


class Served:
    """An endpoint in the loop of the tests, and who answers behind it."""

    def __init__(self, answering: Answering, endpoint: Endpoint):
        self.answering = answering
        self.endpoint = endpoint
        self.url = endpoint.url


@pytest.fixture(scope="module")
def served(loop: asyncio.AbstractEventLoop, open_chat: Callable[[], Chat]) -> Iterator[Served]:
    stop = asyncio.run_coroutine_threadsafe(_event(), loop).result()
    ready: Any = asyncio.run_coroutine_threadsafe(_future(), loop).result()

    async def serve() -> None:
        async with Answering(open_chat) as answering, Endpoint(answering, EndpointSettings(MODEL, KEY, port=0)) as it:
            ready.set_result(Served(answering, it))
            await stop.wait()

    serving = asyncio.run_coroutine_threadsafe(serve(), loop)
    yield asyncio.run_coroutine_threadsafe(_result(ready), loop).result(60)
    loop.call_soon_threadsafe(stop.set)
    serving.result(60)


async def _event() -> asyncio.Event:
    return asyncio.Event()


async def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


async def _result(future: asyncio.Future[Any]) -> Any:
    return await future


@pytest.fixture
def client(served: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=served.url, api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def local(smollm2: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def tokenizer(smollm2: Path) -> Any:
    return load_tokenizer(smollm2)


def generated(local: Any, prompt_ids: torch.Tensor, new_tokens: int) -> list[int]:
    """What `transformers` continues a prompt [1, tokens] with, greedily."""
    with torch.inference_mode():
        output = local.generate(
            prompt_ids,
            attention_mask=torch.ones_like(prompt_ids),
            max_new_tokens=new_tokens,
            do_sample=False,
            pad_token_id=2,
        )
    return output[0, prompt_ids.shape[1] :].tolist()


def logprobs_of(local: Any, token_ids: list[int]) -> torch.Tensor:
    """[tokens - 1, vocabulary] of the tokens after the first."""
    with torch.inference_mode():
        return local(torch.tensor([token_ids])).logits[0, :-1].log_softmax(dim=-1)


def chat_ids(tokenizer: Any, messages: list[dict[str, str]]) -> torch.Tensor:
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL
    with pytest.raises(openai.NotFoundError, match="There is no model 'other' here"):
        client.models.retrieve("other")


def test_greedy_answers_are_those_of_transformers(client: openai.OpenAI, local: Any, tokenizer: Any) -> None:
    prompt_ids = chat_ids(tokenizer, QUESTION)
    expected = generated(local, prompt_ids, 40)
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0, max_tokens=40)
    assert answer.choices[0].message.content == tokenizer.decode(expected, skip_special_tokens=True)
    assert answer.choices[0].finish_reason == ("stop" if expected[-1] == tokenizer.eos_token_id else "length")
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == prompt_ids.shape[1]
    assert answer.usage.completion_tokens == len(expected)
    assert answer.usage.total_tokens == prompt_ids.shape[1] + len(expected)


def test_streamed_answers_are_the_same(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0, max_tokens=40)
    chunks = list(
        client.chat.completions.create(
            model=MODEL,
            messages=QUESTION,
            temperature=0,
            max_tokens=40,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(texts) == whole.choices[0].message.content
    assert len([text for text in texts if text]) > 3
    assert [chunk.usage for chunk in chunks if chunk.usage] == [whole.usage]
    reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert reasons[-1] == whole.choices[0].finish_reason and set(reasons[:-1]) == {None}


def test_a_stop_string_ends_the_answer_before_it(client: openai.OpenAI, tokenizer: Any, local: Any) -> None:
    text = tokenizer.decode(generated(local, chat_ids(tokenizer, QUESTION), 40), skip_special_tokens=True)
    stop = text[10:16]
    for stream in (False, True):
        arguments: Any = {"model": MODEL, "messages": QUESTION, "temperature": 0, "max_tokens": 40, "stop": [stop]}
        if stream:
            chunks = list(client.chat.completions.create(stream=True, **arguments))
            found = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
            reason = chunks[-1].choices[0].finish_reason
        else:
            answer = client.chat.completions.create(**arguments)
            found, reason = answer.choices[0].message.content, answer.choices[0].finish_reason
        assert (found, reason) == (text[: text.index(stop)], "stop")


def test_logprobs_are_those_of_transformers(client: openai.OpenAI, tokenizer: Any, local: Any) -> None:
    prompt_ids = chat_ids(tokenizer, QUESTION)
    answer = client.chat.completions.create(
        model=MODEL, messages=QUESTION, temperature=0, max_tokens=8, logprobs=True, top_logprobs=5
    )
    found = answer.choices[0].logprobs.content  # type: ignore[union-attr]
    assert found is not None
    new_ids = generated(local, prompt_ids, 8)
    expected = logprobs_of(local, [*prompt_ids[0].tolist(), *new_ids])[-len(new_ids) :]
    assert "".join(token.token for token in found) == tokenizer.decode(new_ids)
    for row, (token, token_id) in enumerate(zip(found, new_ids, strict=True)):
        assert token.logprob == pytest.approx(expected[row, token_id].item(), abs=CLOSE)
        best = expected[row].topk(5).values.tolist()
        assert [each.logprob for each in token.top_logprobs] == pytest.approx(best, abs=CLOSE)


@pytest.mark.parametrize("max_tokens", [0, 1, 5])
def test_prompts_are_scored_as_by_transformers(
    client: openai.OpenAI, tokenizer: Any, local: Any, max_tokens: int
) -> None:
    answer = client.completions.create(
        model=MODEL, prompt=PROSE, temperature=0, max_tokens=max_tokens, echo=True, logprobs=3
    )
    choice = answer.choices[0]
    prompt_ids = tokenizer(PROSE).input_ids
    new_ids = generated(local, torch.tensor([prompt_ids]), max_tokens) if max_tokens else []
    token_ids = [*prompt_ids, *new_ids]
    expected = logprobs_of(local, token_ids)
    found: Any = choice.logprobs
    assert choice.text == tokenizer.decode(token_ids) == "".join(found.tokens)
    assert found.token_logprobs[0] is None and found.top_logprobs[0] is None
    right = [expected[row, token_id].item() for row, token_id in enumerate(token_ids[1:])]
    assert found.token_logprobs[1:] == pytest.approx(right, abs=CLOSE)
    best = expected.amax(dim=-1).tolist()
    assert [max(top.values()) for top in found.top_logprobs[1:]] == pytest.approx(best, abs=CLOSE)
    assert [choice.text[start:][: len(token)] for start, token in zip(found.text_offset, found.tokens, strict=True)] == (
        found.tokens
    )


def test_prompts_come_in_all_forms(client: openai.OpenAI, tokenizer: Any) -> None:
    texts = ["Once upon a time", "The capital of France is"]
    ids = [tokenizer(text).input_ids for text in texts]
    asked: Any = {"model": MODEL, "temperature": 0, "max_tokens": 6}
    each = [client.completions.create(prompt=text, **asked).choices[0].text for text in texts]
    for prompt in (texts, ids):
        answer = client.completions.create(prompt=prompt, **asked)
        assert [choice.text for choice in answer.choices] == each
        assert [choice.index for choice in answer.choices] == [0, 1]
        assert answer.usage is not None and answer.usage.prompt_tokens == sum(map(len, ids))
    assert client.completions.create(prompt=ids[1], **asked).choices[0].text == each[1]
    echoed = client.completions.create(prompt=ids, echo=True, **asked)
    assert [choice.text for choice in echoed.choices] == [a + b for a, b in zip(texts, each, strict=True)]


def test_the_same_seed_gives_the_same_text_whatever_else_is_answered(client: openai.OpenAI) -> None:
    asked: Any = {"model": MODEL, "prompt": "My favourite animal is", "temperature": 1.0, "max_tokens": 16}
    alone = client.completions.create(seed=5, **asked).choices[0].text
    together = client.completions.create(seed=3, n=4, **asked)
    texts = [choice.text for choice in together.choices]
    assert texts[2] == alone
    assert len(set(texts)) > 1


def test_streamed_completions_echo_and_score_the_prompt(client: openai.OpenAI) -> None:
    asked: Any = {"model": MODEL, "prompt": "One two three", "temperature": 0, "max_tokens": 4, "echo": True}
    whole: Any = client.completions.create(logprobs=2, **asked).choices[0]
    chunks: list[Any] = [chunk.choices[0] for chunk in client.completions.create(logprobs=2, stream=True, **asked)]
    assert "".join(chunk.text for chunk in chunks) == whole.text
    scored = [chunk.logprobs for chunk in chunks if chunk.logprobs]
    for name in ("tokens", "text_offset", "token_logprobs"):
        assert [value for each in scored for value in getattr(each, name)] == pytest.approx(
            getattr(whole.logprobs, name), abs=CLOSE
        ), name
