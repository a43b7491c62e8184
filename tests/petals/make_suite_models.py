"""Writes the models on which Petals' own tests are run, in the layout of the Hub's cache. For Petals' environment.

    python make_suite_models.py --root ROOT

ROOT is one of petals_peer's, with `harness/bloom-tiny` in it: its tokenizer is used. The weights of the models,
`harness/bloom-calm` and `harness/bloom-llama`, are so small that rounding stays small: the tests compare with absolute
tolerances that were chosen for trained models. petals_peer starts servers of `harness/bloom-*` only, hence the name of
the Llama.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, BloomConfig, LlamaConfig

REVISION = "0" * 39 + "1"
COMMON = {"hidden_size": 256, "vocab_size": 1000, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
CONFIGS = {
    "bloom-calm": BloomConfig(n_layer=8, n_head=8, **COMMON),
    "bloom-llama": LlamaConfig(
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
        intermediate_size=512,
        **COMMON,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    hub = parser.parse_args().root / "hub"
    tokenizer = hub / "models--harness--bloom-tiny" / "snapshots" / REVISION
    for name, config in CONFIGS.items():
        repository = hub / f"models--harness--{name}"
        folder = repository / "snapshots" / REVISION
        (repository / "refs").mkdir(parents=True, exist_ok=True)
        (repository / "refs" / "main").write_text(REVISION)
        torch.manual_seed(0)
        config.torch_dtype = "float32"
        model = AutoModelForCausalLM.from_config(config).eval()
        with torch.no_grad():
            for parameter_name, parameter in model.named_parameters():
                is_norm = "norm" in parameter_name or "ln_f" in parameter_name
                mean = 1.0 if is_norm and parameter_name.endswith("weight") else 0.0
                parameter.normal_(mean, 0.05)
        # Petals looks for BLOOM's tensors without the prefix "transformer.", as the real checkpoints have them.
        (model.transformer if name == "bloom-calm" else model).save_pretrained(folder, safe_serialization=True)
        if name == "bloom-calm":
            config.architectures = ["BloomForCausalLM"]
            config.save_pretrained(folder)
        for file in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
            shutil.copyfile(tokenizer / file, folder / file)
        print(json.dumps({"repo_id": f"harness/{name}", "path": str(folder)}))


if __name__ == "__main__":
    main()
