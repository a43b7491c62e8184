"""Answers with drafts are those without, log-probabilities and seeds too; and what is told to stop, stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from volunteer.client.chat import Chat, PromptTooLong, Sampling, load_tokenizer
from volunteer.client.speculation import PromptLookup
from volunteer.client.text_stream import Piece

COPY = [{"role": "user", "content": "Repeat: the cat sat on the mat, the cat sat on the mat, the cat sat on the mat."}]


@pytest.fixture(scope="module")
def chats(start_swarm: Callable[..., Any], smollm2: Path) -> Iterator[tuple[Chat, Chat]]:
    """Without drafts, and with them."""
    swarm = start_swarm(smollm2, "0:15", "15:30")
    with swarm.client() as model:
        tokenizer = load_tokenizer(smollm2)
        yield Chat(model, tokenizer), Chat(model, tokenizer, PromptLookup())
    for server in tuple(swarm.servers):
        swarm.stop(server)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(max_new_tokens=24, temperature=0, top_logprobs=2),
        Sampling(max_new_tokens=24, temperature=0.7, seed=11, top_logprobs=2),
        Sampling(max_new_tokens=24, temperature=0, stop=("sat on",)),
    ],
    ids=["greedy", "sampled", "stop"],
)
def test_drafts_change_nothing_but_the_passes(chats: tuple[Chat, Chat], sampling: Sampling) -> None:
    plain, drafted = (chat.answer(chat.prompt(COPY), sampling) for chat in chats)
    assert drafted.text == plain.text and drafted.finish_reason == plain.finish_reason
    assert drafted.token_ids == plain.token_ids
    assert drafted.passes < plain.passes
    assert [token.id for token in drafted.scored] == [token.id for token in plain.scored]
    found, expected = ([token.logprob for token in answer.scored] for answer in (drafted, plain))
    assert found == pytest.approx(expected, abs=1e-3)


def test_a_scored_prompt_goes_on_as_it_would_have(chats: tuple[Chat, Chat]) -> None:
    for chat in chats:
        prompt_ids, pieces = chat.prompt(COPY), list[Piece]()
        sampling = Sampling(max_new_tokens=8, temperature=0, top_logprobs=1)
        plain = chat.answer(prompt_ids, sampling)
        scored = chat.answer(prompt_ids, sampling, score_prompt=True, on_piece=pieces.append)
        assert scored.token_ids == plain.token_ids
        assert [token.id for token in scored.scored_prompt] == prompt_ids[0].tolist()
        assert pieces[0].of_prompt and pieces[0].tokens == scored.scored_prompt


def test_an_answer_shrinks_to_the_room_that_there_is(chats: tuple[Chat, Chat], monkeypatch: pytest.MonkeyPatch) -> None:
    chat, prompt_ids = chats[0], chats[0].prompt(COPY)
    monkeypatch.setattr(chat.model.config, "max_position_embeddings", prompt_ids.shape[1] + 3)
    answer = chat.answer(prompt_ids, Sampling(max_new_tokens=50, temperature=0, shrink_to_fit=True))
    assert len(answer.token_ids) == 3 and answer.finish_reason == "length"
    with pytest.raises(PromptTooLong):
        chat.answer(prompt_ids, Sampling(max_new_tokens=4))


@pytest.mark.parametrize("score_prompt", [False, True])
def test_an_answer_stops_in_the_midst_of_its_prompt(chats: tuple[Chat, Chat], score_prompt: bool) -> None:
    chat, stop = chats[0], threading.Event()
    prompt_ids = chat.prompt([{"role": "user", "content": "many words " * 2500}])
    timer = threading.Timer(0.3, stop.set)
    timer.start()
    started = time.monotonic()
    answer = chat.answer(prompt_ids, Sampling(), stop=stop, score_prompt=score_prompt)
    assert time.monotonic() - started < 2.0  # 5,000 tokens take ten seconds and more
    assert (answer.finish_reason, answer.text) == ("cancelled", "")
    timer.join()
    assert chat.answer(chat.prompt(COPY), Sampling(max_new_tokens=2, temperature=0)).text


def test_an_answer_that_is_stopped_keeps_what_it_has(chats: tuple[Chat, Chat]) -> None:
    stop = threading.Event()
    pieces: list[str] = []

    def on_text(text: str) -> None:
        pieces.append(text)
        if len(pieces) == 3:
            stop.set()

    chat = chats[0]
    answer = chat.answer(chat.prompt(COPY), Sampling(max_new_tokens=200, temperature=0), on_text=on_text, stop=stop)
    assert answer.finish_reason == "cancelled" and answer.text == "".join(pieces)
    assert len(answer.token_ids) < 10
