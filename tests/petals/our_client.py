"""Our client for a swarm with real Petals peers, in the words of petals_peer's `interop.py`.

Prints `STEP k <peer id of the server of the last blocks>` after each token, and at the end one JSON line with the
tokens, greedy.
"""

from __future__ import annotations

import argparse
import json

import torch
from transformers.generation.streamers import BaseStreamer

from volunteer.client.model import SwarmCache, SwarmForCausalLM


class StepLines(BaseStreamer):
    """Prints a line for each token that `generate` chooses."""

    def __init__(self, cache: SwarmCache):
        self._cache = cache
        self._next_step = -1  # the prompt comes first

    def put(self, value: torch.Tensor) -> None:
        if self._next_step >= 0 and self._cache.session is not None:
            print(f"STEP {self._next_step} {self._cache.session.route[-1].peer_id}", flush=True)
        self._next_step += 1

    def end(self) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ckpt", required=True, help="checkpoint folder")
    parser.add_argument("--prefix", required=True, help="DHT prefix")
    parser.add_argument("--peers", nargs="+", required=True, help="multiaddresses")
    parser.add_argument("--new", type=int, default=24, help="tokens to generate")
    parser.add_argument("--ids", nargs="+", type=int, required=True, help="token ids of the prompt")
    options = parser.parse_args()
    with (
        SwarmForCausalLM.from_pretrained(options.ckpt, initial_peers=options.peers, dht_prefix=options.prefix) as model,
        torch.inference_mode(),
    ):
        prompt = torch.tensor([options.ids])
        cache = SwarmCache(model, max_length=prompt.shape[1] + options.new)
        tokens = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=options.new,
            do_sample=False,
            past_key_values=cache,
            streamer=StepLines(cache),
        )
        cache.close()
    print(json.dumps({"tokens": tokens[0, prompt.shape[1] :].tolist()}), flush=True)


if __name__ == "__main__":
    main()
