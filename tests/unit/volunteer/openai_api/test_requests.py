"""What is asked is taken as OpenAI documents it; nothing that would change the answer is passed over in silence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from volunteer.client.chat import Sampling
from volunteer.openai_api.errors import of_validation
from volunteer.openai_api.requests import ChatRequest, CompletionRequest

HELLO = [{"role": "user", "content": "Hello"}]


def chat(**parameters: Any) -> ChatRequest:
    return ChatRequest.model_validate_json(json.dumps({"model": "m", "messages": HELLO} | parameters))


def completion(prompt: Any = "Hello", **parameters: Any) -> CompletionRequest:
    return CompletionRequest.model_validate_json(json.dumps({"model": "m", "prompt": prompt} | parameters))


def test_what_is_not_said_is_openais_default() -> None:
    assert chat().sampling(0, default_tokens=99) == Sampling(
        max_new_tokens=99, temperature=1.0, top_p=1.0, shrink_to_fit=True
    )
    assert completion(max_tokens=5).sampling(0, default_tokens=16).max_new_tokens == 5


def test_what_is_said_is_taken() -> None:
    asked = chat(max_completion_tokens=7, temperature=0.5, top_p=0.8, top_k=4, seed=3, stop=["a", "b"], logprobs=True)
    assert asked.sampling(2, default_tokens=99) == Sampling(
        max_new_tokens=7, temperature=0.5, top_p=0.8, top_k=4, seed=5, stop=("a", "b"), top_logprobs=0
    )
    assert chat(stop="a").sampling(0, default_tokens=1).stop == ("a",)


def test_seeds_of_all_choices_are_numbers_that_a_generator_takes() -> None:
    assert chat(seed=2**63 - 1).sampling(1, default_tokens=1).seed == -(2**63)
    assert chat(seed=-1).sampling(0, default_tokens=1).seed == -1


def test_messages_are_text_of_known_roles() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    asked = chat(
        messages=[{"role": "developer", "content": "Be kind."}, {"role": "user", "content": parts, "name": "x"}]
    )
    assert [message.as_message() for message in asked.messages] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "ab"},
    ]


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("a", ("a",)),
        (["a", "b"], ("a", "b")),
        ([1, 2], ((1, 2),)),
        ([[1, 2], [3]], ((1, 2), (3,))),
    ],
)
def test_prompts_have_four_forms(prompt: Any, prompts: Any) -> None:
    assert completion(prompt).prompts == prompts


@pytest.mark.parametrize("prompt", [[], [[]], [1, "a"], [[1], "a"], [-1], [1.5], None, 3, {"a": 1}, [True]])
def test_other_forms_are_refused(prompt: Any) -> None:
    with pytest.raises(ValidationError):
        completion(prompt)


def test_unknown_parameters_are_ignored() -> None:
    chat(user="somebody", store=True, metadata={"a": "b"}, parallel_tool_calls=False, service_tier="auto")


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"tools": [{"type": "function"}]}, "'tools' is not supported here, leave it out."),
        ({"functions": [{}]}, "'functions' is not supported"),
        ({"frequency_penalty": 0.5}, "'frequency_penalty' is not supported"),
        ({"logit_bias": {"5": -100}}, "'logit_bias' is not supported"),
        ({"response_format": {"type": "json_object"}}, "'response_format' can only be text"),
        ({"modalities": ["text", "audio"]}, "'modalities' can only be text"),
        ({"top_logprobs": 3}, "'top_logprobs' needs 'logprobs'"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "no 'image_url'"),
        ({"messages": [{"role": "tool", "content": "4"}]}, "messages.0.role: Input should be 'system'"),
        ({"messages": []}, "messages: List should have at least 1 item"),
        ({"temperature": 3}, "temperature: Input should be less than or equal to 2"),
        ({"temperature": "1"}, "temperature: Input should be a valid number"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"n": 0}, "n: "),
        ({"n": 129}, "n: "),
        ({"max_tokens": -1}, "max_tokens: "),
        ({"max_tokens": 1.5}, "max_tokens: "),
        ({"stop": ""}, "stop.0: "),
        ({"stop": ["a"] * 17}, "stop: "),
        ({"seed": 2**63}, "seed: "),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs: "),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(parameters: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as refused:
        chat(**parameters)
    error = of_validation(refused.value)
    assert error.status == 400 and sentence in str(error)


@pytest.mark.parametrize("parameters", [{"tools": []}, {"frequency_penalty": 0}, {"logit_bias": {}}, {"tools": None}])
def test_what_asks_for_nothing_is_taken(parameters: dict[str, Any]) -> None:
    chat(**parameters)


def test_one_request_has_so_many_answers() -> None:
    completion(["a"] * 64, n=2)
    with pytest.raises(ValidationError, match="up to 128 answers"):
        completion(["a"] * 65, n=2)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"model": NaN', b'"' * 9])
def test_garbage_is_refused(body: bytes) -> None:
    with pytest.raises(ValidationError) as refused:
        ChatRequest.model_validate_json(body)
    assert str(of_validation(refused.value)).endswith(".")
