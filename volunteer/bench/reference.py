"""The model as `transformers` runs it, in a process of its own with one thread: what the swarm is compared with.

Both ends are here. Each kind of request is one method of `_Reference`.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from volunteer.bench.answers import Answer, greedy_answer
from volunteer.bench.child import ChildProcess, answer_all, answers_only

REFERENCE_OPTION = "--reference"


class ReferenceProcess(ChildProcess):
    """The asking end. Everything is timed in the child, so that the way to it does not count.

    Args:
        folder: a whole checkpoint.
    """

    def __init__(self, folder: Path):
        super().__init__([REFERENCE_OPTION, str(folder)], f"The local model in {folder}")

    def greedy(self, prompt_ids: Sequence[int], new_tokens: int, **arguments: Any) -> Answer:
        """As `greedy_answer`."""
        answer = self.ask("greedy", prompt_ids=list(prompt_ids), new_tokens=new_tokens, more=arguments)
        return Answer(tuple(answer["token_ids"]), tuple(answer["times_s"]))

    def gaps(self, prompt_ids: Sequence[int], token_ids: Sequence[int]) -> list[float]:
        """How far apart the two largest logits are at each token of an answer."""
        return self.ask("gaps", prompt_ids=list(prompt_ids), token_ids=list(token_ids))

    def rows_s(self, num_rows: int, past_tokens: int, steps: int) -> float:
        """Median seconds of one token for each of `num_rows` sequences in one batch: all blocks, no head."""
        return self.ask("rows_s", num_rows=num_rows, past_tokens=past_tokens, steps=steps)

    def limits(self) -> Limits:
        """What the machine could do at this moment, see `Limits`."""
        return Limits(**self.ask("limits"))


@dataclasses.dataclass(frozen=True)
class Limits:
    """The least time that one thread of this machine needs for float32 weights, whatever program runs it."""

    read_s: float
    """To read all weights of the blocks once, which every step has to."""
    read_head_s: float
    multiply_s: float
    """For one token's multiplications in the blocks, at the speed of a large matrix product."""

    @property
    def token_s(self) -> float:
        """One token of one chat, head included."""
        return max(self.read_s, self.multiply_s) + self.read_head_s

    def rows_s(self, num_rows: int) -> float:
        """One token for each of so many chats, blocks alone."""
        return max(self.read_s, num_rows * self.multiply_s)

    def prefill_s(self, num_tokens: int) -> float:
        """A prompt of so many tokens, and its first token; attention, which grows with the square, is left out."""
        return max(self.read_s, num_tokens * self.multiply_s) + self.read_head_s


class _Reference:
    """The answering end: every public method is a request, its result is sent as JSON."""

    def __init__(self, folder: Path):
        self._model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False
        ).eval()

    def greedy(self, *, prompt_ids: list[int], new_tokens: int, more: dict[str, Any]) -> dict[str, Any]:
        return dataclasses.asdict(greedy_answer(self._model, prompt_ids, new_tokens, **more))

    @torch.inference_mode()
    def gaps(self, *, prompt_ids: list[int], token_ids: list[int]) -> list[float]:
        logits = self._model(
            torch.tensor([prompt_ids + token_ids[:-1]]), use_cache=False, logits_to_keep=len(token_ids)
        ).logits[0]
        largest = logits.topk(2, dim=-1).values  # [new tokens, 2]
        return (largest[:, 0] - largest[:, 1]).tolist()

    @torch.inference_mode()
    def rows_s(self, *, num_rows: int, past_tokens: int, steps: int) -> float:
        blocks = self._model.base_model  # without the head
        token_ids = torch.randint(0, self._model.config.vocab_size, (num_rows, past_tokens + steps + 1))
        cache = blocks(token_ids[:, :past_tokens], use_cache=True).past_key_values
        times_s = []
        for position in range(past_tokens, past_tokens + steps + 1):
            started = time.perf_counter()
            blocks(token_ids[:, position : position + 1], past_key_values=cache, use_cache=True)
            times_s.append(time.perf_counter() - started)
        return statistics.median(times_s[1:])

    @torch.inference_mode()
    def limits(self) -> dict[str, Any]:
        ends = [self._model.get_input_embeddings().weight, self._model.get_output_embeddings().weight]
        ends_ids = {id(each) for each in ends}
        block_numbers = sum(each.numel() for each in self._model.parameters() if id(each) not in ends_ids)
        bytes_per_s, products_per_s = _read_speed(), _multiply_speed()
        return dataclasses.asdict(
            Limits(
                read_s=4 * block_numbers / bytes_per_s,
                read_head_s=4 * ends[1].numel() / bytes_per_s,
                multiply_s=block_numbers / products_per_s,
            )
        )


def _read_speed() -> float:
    """Bytes/s from memory, the best of some passes over more than the caches hold."""
    numbers = torch.ones(32 * 1024 * 1024)  # 128 MiB
    return 4 * numbers.numel() / min(_seconds(numbers.sum) for _ in range(5))


def _multiply_speed() -> float:
    """Multiplications (with their additions)/s of a large matrix product, the best of some."""
    matrix = torch.ones(1024, 1024)
    return 1024**3 / min(_seconds(lambda: matrix @ matrix) for _ in range(5))


def _seconds(function: Any) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def serve_reference(folder: Path) -> None:
    """Answers requests on standard input until it ends. Runs in the child."""
    torch.set_num_threads(1)
    with answers_only() as answers:
        answer_all(_Reference(folder), sys.stdin, answers)
