"""The official `openai` client against the endpoint over a real swarm, beside `transformers` in this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import openai
import pytest
import torch

MODEL = "SmolLM2-135M-Instruct"
QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]
PROSE = "The sun rises in the east and sets in the west. Plants turn its light into sugar, and animals eat the plants."
CLOSE = 1e-3


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


def test_streamed_logprobs_are_the_same(client: openai.OpenAI) -> None:
    asked: Any = {"model": MODEL, "messages": QUESTION, "temperature": 0, "max_tokens": 8, "stop": ["."]}
    asked |= {"logprobs": True, "top_logprobs": 2}
    whole = client.chat.completions.create(**asked).choices[0]
    chunks = [chunk.choices[0] for chunk in client.chat.completions.create(stream=True, **asked)]
    found = [token for chunk in chunks if chunk.logprobs for token in chunk.logprobs.content or ()]
    assert whole.logprobs is not None and found == whole.logprobs.content
    assert "".join(token.token for token in found) == whole.message.content


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
    assert [
        choice.text[start:][: len(token)] for start, token in zip(found.text_offset, found.tokens, strict=True)
    ] == (found.tokens)


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


def wait_until(holds: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_stream_that_is_closed_ends_its_answer(client: openai.OpenAI, served: Any) -> None:
    stream = client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=2, max_tokens=4000, stream=True)
    next(iter(stream))
    assert served.answering.num_asked == 1
    stream.close()
    wait_until(lambda: served.answering.num_asked == 0, timeout_s=2)  # 4,000 tokens take a minute


def test_a_client_that_goes_ends_its_answer_in_the_midst_of_a_prompt(client: openai.OpenAI, served: Any) -> None:
    long = " and".join(PROSE for _ in range(200))
    with pytest.raises(openai.APITimeoutError):
        client.completions.create(model=MODEL, prompt=long, max_tokens=1, echo=True, logprobs=1, timeout=0.7)
    wait_until(lambda: served.answering.num_asked == 0, timeout_s=2)  # 5,000 tokens take ten seconds and more


def test_a_prompt_that_is_too_long_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="exceed this model's context of 8192") as refused:
        client.completions.create(model=MODEL, prompt=PROSE, max_tokens=8192)
    assert refused.value.code == "context_length_exceeded"


def test_tokens_that_there_are_not_are_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="numbered from 0 to 49151"):
        client.completions.create(model=MODEL, prompt=[5, 10**6], max_tokens=1)
    with pytest.raises(openai.BadRequestError, match="numbered from 0 to 49151"):
        client.completions.create(model=MODEL, prompt=[5, 2**70], max_tokens=1, echo=True, stream=True)


def test_half_a_character_is_refused(client: openai.OpenAI, served: Any) -> None:
    body = b'{"model": "%s", "prompt": "a \\ud800 b", "max_tokens": 1}' % MODEL.encode()
    with pytest.raises(openai.BadRequestError):
        client.post("/completions", content=body, cast_to=object)


def test_missing_blocks_are_named(start_swarm: Callable[..., Any], serve: Callable[..., Any], smollm2: Any) -> None:
    swarm = start_swarm(smollm2, "0:15", "15:30")
    served, client = serve(swarm, patience_s=0.5)
    asked: Any = {"model": MODEL, "messages": QUESTION, "temperature": 2, "max_tokens": 4000}
    stream = iter(client.chat.completions.create(stream=True, **asked))
    next(stream)
    swarm.stop(swarm.servers[1])
    with pytest.raises(openai.APIError, match=r"blocks 15-29"):
        list(stream)
    for arguments in ({}, {"stream": True}):
        with pytest.raises(openai.InternalServerError, match="No route: nobody serves blocks 15-29") as refused:
            client.chat.completions.create(**asked, **arguments)
        assert refused.value.status_code == 503
    assert served.answering.num_asked == 0
