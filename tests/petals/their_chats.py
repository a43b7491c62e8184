"""Chats at once, or one after another, with the real Petals client: a line of JSON for each line that is asked.

A request is {"prompts": [[token ids]], "new_tokens": n, "at_once": true}, its answer [[[token ids], [seconds]]]. Below
`generate`, so that clients cost as little as those of `volunteer.bench.chats`: those that wait for the head at the same
time have it together.

For Petals' environment, started through petals_peer's `run.py`. Ends with its input.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psutil
import torch
from petals import AutoDistributedModelForCausalLM


class Chats:
    def __init__(self, model: Any):
        self._model = model
        self._waiting: list[tuple[torch.Tensor, Future]] = []
        self._waiting_lock = threading.Lock()
        self._head_lock = threading.Lock()

    def answers(self, prompts: list[list[int]], new_tokens: int) -> list[tuple[list[int], list[float]]]:
        """All at once; the times of each count from the common start."""
        started = time.perf_counter()
        with ThreadPoolExecutor(len(prompts)) as pool:
            return list(pool.map(lambda prompt: self.answer(prompt, new_tokens, started), prompts))

    @torch.inference_mode()
    def answer(self, prompt_ids: list[int], new_tokens: int, started: float) -> tuple[list[int], list[float]]:
        ends = self._model.transformer
        new_ids, token_ids, times_s = prompt_ids, [], []
        with ends.h.inference_session(max_length=len(prompt_ids) + new_tokens) as session:
            for _ in range(new_tokens):
                embedded = ends.word_embeddings_layernorm(ends.word_embeddings(torch.tensor([new_ids])))
                new_ids = [self._next_token(session.step(embedded)[:, -1:])]
                token_ids += new_ids
                times_s.append(time.perf_counter() - started)
        return token_ids, times_s

    def _next_token(self, hidden_states: torch.Tensor) -> int:
        mine: Future = Future()
        with self._waiting_lock:
            self._waiting.append((hidden_states, mine))
        with self._head_lock:
            if not mine.done():
                with self._waiting_lock:
                    taken, self._waiting = self._waiting, []
                rows = self._model.transformer.ln_f(torch.cat([states for states, _ in taken]))
                chosen = self._model.lm_head(rows)[:, -1].argmax(dim=-1).tolist()
                for (_, theirs), token_id in zip(taken, chosen, strict=True):
                    theirs.set_result(token_id)
        return mine.result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="such as harness/bloom-bench")
    parser.add_argument("--peers", nargs="+", required=True, help="multiaddresses")
    options = parser.parse_args()
    # Whatever libraries print goes to the log; the pipe is for answers alone.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    torch.set_num_threads(1)
    model = AutoDistributedModelForCausalLM.from_pretrained(
        options.model, initial_peers=options.peers, torch_dtype=torch.float32
    )
    chats = Chats(model)
    # Petals' sessions close themselves when they are collected, and wait for the event loop: for ever, if it was the
    # loop's own thread that collected them.
    gc.disable()
    for line in sys.stdin:
        request = json.loads(line)
        prompts, new_tokens = request["prompts"], request["new_tokens"]
        if request["at_once"]:
            results = chats.answers(prompts, new_tokens)
        else:
            results = [chats.answer(prompt, new_tokens, time.perf_counter()) for prompt in prompts]
        print(json.dumps(results), file=answers, flush=True)
        gc.collect()
    for child in psutil.Process().children(recursive=True):
        child.kill()
    os._exit(0)  # Petals' client may hang when the interpreter ends


if __name__ == "__main__":
    main()
