"""Generates with the real Petals client, and with local `transformers`; prints the tokens of both as one JSON line.

Beams with Petals 2.2 alone: the client of its main branch never tells servers to reorder, whoever they are.

For Petals' environment, started through petals_peer's `run.py`.
"""

from __future__ import annotations

import argparse
import json
import os

import petals
import psutil
import torch
from petals import AutoDistributedModelForCausalLM
from transformers import AutoModelForCausalLM

OPTIONS = {"greedy": {}, "batch": {}, "beams": {"num_beams": 3}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="such as harness/bloom-tiny")
    parser.add_argument("--peers", nargs="+", required=True, help="multiaddresses")
    parser.add_argument("--cases", nargs="+", choices=OPTIONS, default=list(OPTIONS))
    parser.add_argument("--new", type=int, default=16, help="tokens to generate")
    options = parser.parse_args()
    ids = torch.randint(4, 1000, (3, 9), generator=torch.Generator().manual_seed(1))
    local = AutoModelForCausalLM.from_pretrained(options.model, torch_dtype=torch.float32)
    remote = AutoDistributedModelForCausalLM.from_pretrained(
        options.model, initial_peers=options.peers, torch_dtype=torch.float32
    )
    cases = [case for case in options.cases if case != "beams" or petals.__version__.startswith("2.2")]
    results = {}
    with torch.inference_mode():
        for case in cases:
            prompt = ids if case == "batch" else ids[:1]
            results[case] = {
                name: model.generate(prompt, max_new_tokens=options.new, do_sample=False, **OPTIONS[case]).tolist()
                for name, model in (("remote", remote), ("local", local))
            }
    print(json.dumps(results), flush=True)
    for child in psutil.Process().children(recursive=True):
        child.kill()
    os._exit(0)  # Petals' client may hang when the interpreter ends


if __name__ == "__main__":
    main()
