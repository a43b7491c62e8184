"""Unmodified lm-eval finds the same log-likelihoods through the endpoint as `transformers` in this process.

It has many dependencies, and so an environment of its own. Without one this is skipped:

    python3 -m venv lm-eval && lm-eval/bin/pip install 'lm-eval[api]' 'transformers==5.23.*'
    VOLUNTEER_LM_EVAL_PYTHON=$PWD/lm-eval/bin/python .venv/bin/python -m pytest tests/swarm/openai_api/test_lm_eval.py
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

PYTHON_VARIABLE = "VOLUNTEER_LM_EVAL_PYTHON"
TASK = """
task: made_facts
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
metric_list: [{{metric: acc}}]
"""
FACTS = [
    ("The capital of France is", ["Paris", "a small green apple", "Rome, in Italy"]),
    ("Question: What do bees make?\nAnswer:", ["honey", "milk", "paper money"]),
    ("Two plus two is", ["four", "seven", "café crème"]),
    ("A cat says", ["meow", "woof", "\N{OCTOPUS}\N{OCTOPUS}"]),
]
CLOSE = 1e-3


@pytest.mark.skipif(PYTHON_VARIABLE not in os.environ, reason=f"{PYTHON_VARIABLE} names no Python with lm-eval")
@pytest.mark.parametrize(("batch_size", "num_concurrent"), [(1, 1), (4, 1), (1, 4)])
def test_log_likelihoods_are_those_of_transformers(
    served: Any, local: Any, tokenizer: Any, smollm2: Path, tmp_path: Path, batch_size: int, num_concurrent: int
) -> None:
    data = tmp_path / "facts.jsonl"
    lines = [json.dumps({"question": question, "choices": choices, "answer": 0}) for question, choices in FACTS]
    data.write_text("\n".join(lines))
    (tmp_path / "made_facts.yaml").write_text(TASK.format(data=data))
    model = [
        f"base_url={served.url}/completions",
        "model=SmolLM2-135M-Instruct",
        f"tokenizer={smollm2}",
        f"num_concurrent={num_concurrent}",
    ]
    arguments = ["--model", "local-completions", "--model_args", ",".join(model), "--batch_size", str(batch_size)]
    arguments += ["--tasks", "made_facts", "--include_path", str(tmp_path)]
    arguments += ["--log_samples", "--output_path", str(tmp_path / "results")]
    environment = os.environ | {
        "OPENAI_API_KEY": served.key,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "cache"),
        "TOKENIZERS_PARALLELISM": "false",
    }
    ended = subprocess.run(
        [os.environ[PYTHON_VARIABLE], "-m", "lm_eval", "run", *arguments],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    (samples,) = (tmp_path / "results").rglob("samples_made_facts_*.jsonl")
    seen = {sample["doc_id"]: sample for sample in map(json.loads, samples.read_text().splitlines())}
    assert len(seen) == len(FACTS)
    for index, (question, choices) in enumerate(FACTS):
        answers = [answer[0] for answer in seen[index]["resps"]]
        for choice, (logprob, is_greedy) in zip(choices, answers, strict=True):
            expected, expected_greedy = log_likelihood(local, tokenizer, question, f" {choice}")
            assert float(logprob) == pytest.approx(expected, abs=CLOSE)
            assert (str(is_greedy) == "True") == expected_greedy


def log_likelihood(local: Any, tokenizer: Any, context: str, continuation: str) -> tuple[float, bool]:
    """As lm-eval defines it: the sum over the tokens that the continuation adds, and whether each is the likeliest."""
    start = len(tokenizer(context).input_ids)
    token_ids = torch.tensor(tokenizer(context + continuation).input_ids)
    with torch.inference_mode():
        logprobs = local(token_ids[None]).logits[0, start - 1 : -1].double().log_softmax(dim=-1)
    targets = token_ids[start:]
    total = logprobs.gather(1, targets[:, None]).sum().item()
    return total, bool((logprobs.argmax(dim=-1) == targets).all())
