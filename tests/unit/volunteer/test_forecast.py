"""The forecast says what the worker would do: cards against real configs, fitting against the worker's own planning."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, BloomConfig

from volunteer import forecast_verb
from volunteer.block_memory import GPU_RESERVE_BYTES, RAM_RESERVE_BYTES, NotEnoughMemory
from volunteer.errors import ConfigurationError
from volunteer.forecast import DISK_MARGIN_BYTES, Forecast, forecast
from volunteer.forecast_verb import describe_forecast, describe_forecasts, show_forecast
from volunteer.hardware import AppleGpu, Disk, Gpu, Hardware, Memory, Processor
from volunteer.installed_torch import has_cuda, within_reach
from volunteer.model_cards import ModelCard, model_card, model_cards
from volunteer.models.download import Transfer
from volunteer.models.embedded import EMBEDDED_MODEL
from volunteer.models.families import Family, family_for
from volunteer.server import planning
from volunteer.server.planning import choose_format, shape_of
from volunteer.settings import Limits, ServingSettings, Settings

GIB = 2**30

CONFIGS: dict[str, dict[str, Any]] = {
    "bigscience/bloom": {"hidden_size": 14336, "n_layer": 70, "n_head": 112},
    "bigscience/bloomz": {"hidden_size": 14336, "n_layer": 70, "n_head": 112},
    "bigscience/bloom-7b1": {"hidden_size": 4096, "n_layer": 30, "n_head": 32},
    "bigscience/bloom-3b": {"hidden_size": 2560, "n_layer": 30, "n_head": 32},
    "bigscience/bloom-1b7": {"hidden_size": 2048, "n_layer": 24, "n_head": 16},
    "bigscience/bloom-560m": {"hidden_size": 1024, "n_layer": 24, "n_head": 16},
    "meta-llama/Llama-3.3-70B-Instruct": {
        "hidden_size": 8192,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "intermediate_size": 28672,
        "vocab_size": 128256,
    },
    "meta-llama/Llama-3.1-8B-Instruct": {
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336,
        "vocab_size": 128256,
    },
    "SmolLM2-135M-Instruct": {
        "hidden_size": 576,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "intermediate_size": 1536,
        "vocab_size": 49152,
        "tie_word_embeddings": True,
    },
}
"""As the config.json of each says."""


def family_of(hub_name: str) -> Family:
    config = dict(CONFIGS[hub_name])
    if "bloom" in hub_name:
        return family_for(AutoConfig.for_model("bloom", vocab_size=250880, **config))
    return family_for(AutoConfig.for_model("llama", **config))


def machine(
    *, ram_free_gib: float = 14, ram_gib: float = 16, disk_free_gib: float = 500, gpus: tuple[Gpu, ...] = ()
) -> Hardware:
    return Hardware(
        Processor("Ryzen", 8, 16),
        Memory(int(ram_gib * GIB), int(ram_free_gib * GIB)),
        gpus=gpus,
        disk=Disk(10**12, int(disk_free_gib * GIB)),
    )


def gpu(index: int = 0, *, total_gib: int = 12, free_gib: float = 11, **fields: Any) -> Gpu:
    return Gpu(index, f"RTX {index}", total_bytes=total_gib * GIB, free_bytes=int(free_gib * GIB), **fields)


BLOOM = model_card("bigscience/bloom")
SMALL = model_card("bigscience/bloom-560m")


# The cards


def test_there_is_a_card_for_each_of_these_models_in_order() -> None:
    assert [card.place for card in model_cards()] == list(range(1, len(CONFIGS) + 1))
    assert {card.hub_name for card in model_cards()} == set(CONFIGS)


@pytest.mark.parametrize("card", model_cards(), ids=lambda card: card.hub_name)
def test_a_card_has_the_sizes_of_its_model(card: ModelCard) -> None:
    family = family_of(card.hub_name)
    assert card.shape == shape_of(family)
    assert (card.blocks, card.hidden) == (family.num_blocks, family.hidden_size)
    assert card.ends_parameters == sum(parameter.numel() for parameter in family.build_ends().parameters())
    assert card.about.endswith(".") and card.licence and card.languages


def test_the_embedded_model_is_named_as_the_worker_takes_it() -> None:
    assert [card.hub_name for card in model_cards() if card.is_embedded] == [EMBEDDED_MODEL]


def test_a_model_without_a_card_is_refused_with_those_that_have_one() -> None:
    assert model_card("BigScience/BLOOM") is BLOOM
    with pytest.raises(ConfigurationError, match=r"How large gpt2 is, is not known here. Known are bigscience/bloom, "):
        model_card("gpt2")


# Agreement with the worker


def random_bloom() -> tuple[ModelCard, Family]:
    family = family_for(BloomConfig(hidden_size=192, n_layer=9, n_head=3, vocab_size=300, dtype="float16"))
    ends = sum(parameter.numel() for parameter in family.build_ends().parameters())
    card = dataclasses.replace(
        SMALL, hub_name="random", blocks=9, hidden=192, dtype="float16", ends_parameters=ends, shape=shape_of(family)
    )
    return card, family


@pytest.mark.parametrize("quantization", [None, "int8", "nf4"])
@pytest.mark.parametrize("dtype", [None, "float32", "bfloat16"])
@pytest.mark.parametrize("ram_gb", [None, 0.1, 0.2])
def test_as_many_blocks_are_foreseen_as_the_worker_takes(
    quantization: str | None, dtype: str | None, ram_gb: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, family = random_bloom()
    hardware = machine(ram_free_gib=2.3)
    monkeypatch.setattr(planning, "detect", lambda data_dir: hardware)
    chosen = choose_format(family, device="cpu", dtype=dtype, quantization=quantization)
    limit_bytes = None if ram_gb is None else int(ram_gb * GIB)
    worker = planning._blocks_that_fit(family, chosen, 16384, limit_bytes, tmp_path)
    settings = Settings(ServingSettings(device="cpu", dtype=dtype, quantization=quantization), Limits(ram_gb=ram_gb))
    assert forecast(card, hardware, settings=settings).num_blocks == worker
    assert 0 < worker <= 9


def test_as_many_blocks_are_foreseen_as_the_worker_takes_on_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, family = random_bloom()
    card_gpu = gpu(free_gib=1.05)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (card_gpu.free_bytes, card_gpu.total_bytes))
    chosen = planning.Format(torch.device("cuda"), planning.NumberFormat.FLOAT16, torch.float16)
    found = forecast(card, machine(gpus=(card_gpu,)))
    assert (found.device, found.number_format) == ("cuda", "float16")
    assert found.num_blocks == planning._blocks_that_fit(family, chosen, 16384, None, tmp_path)
    assert 0 < found.num_blocks < 9


def test_the_reasons_are_the_workers_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card, family = random_bloom()
    hardware = machine(ram_free_gib=2.001)
    monkeypatch.setattr(planning, "detect", lambda data_dir: hardware)
    chosen = choose_format(family, device="cpu", dtype=None, quantization=None)
    with pytest.raises(NotEnoughMemory) as refused:
        planning._blocks_that_fit(family, chosen, 16384, None, tmp_path)
    found = forecast(card, hardware)
    assert found.problem == str(refused.value)
    assert found.num_blocks == found.download_bytes == 0


def test_the_disk_margin_is_that_of_downloads() -> None:
    assert Transfer().disk_margin_bytes == DISK_MARGIN_BYTES


# The forecast


def test_what_a_card_holds_of_bloom() -> None:
    found = forecast(BLOOM, machine(gpus=(gpu(total_gib=24, free_gib=23, power_limit_w=350.0, power_w=30.0),)))
    block_bytes = 2_466_437_120 * 2
    cache_bytes = 16384 * 2 * 112 * 128 * 2
    assert found == Forecast(
        device="cuda",
        number_format="bfloat16",
        num_blocks=4,
        of_blocks=70,
        memory_bytes=4 * (block_bytes + cache_bytes),
        download_bytes=4 * block_bytes,
        disk_bytes=4 * block_bytes,
        chat_download_bytes=3_596_673_024 * 2,
        download_minutes=pytest.approx(4 * block_bytes * 8 / 50e6 / 60),
        watts=320.0,
    )
    assert found.memory_bytes + GPU_RESERVE_BYTES <= 23 * GIB


def test_a_processor_computes_in_float32() -> None:
    found = forecast(SMALL, machine(ram_free_gib=4))
    assert (found.device, found.number_format, found.watts) == ("cpu", "float32", None)
    assert found.memory_bytes + RAM_RESERVE_BYTES <= 4 * GIB
    assert found.download_bytes == found.num_blocks * SMALL.shape.parameters * 2


def test_the_gpu_of_an_apple_shares_the_memory_and_takes_the_models_own_format() -> None:
    apple = dataclasses.replace(machine(), apple_gpu=AppleGpu("M2", 16 * GIB, 14 * GIB))
    found = forecast(BLOOM, apple)
    assert (found.device, found.number_format, found.num_blocks) == ("mps", "bfloat16", 2)


def test_the_largest_usable_gpu_counts() -> None:
    gpus = (gpu(0, total_gib=4, free_gib=4), gpu(1), gpu(2, total_gib=80, free_gib=80, problem="It is lost."))
    assert forecast(BLOOM, machine(gpus=gpus)) == forecast(BLOOM, machine(gpus=(gpu(1),)))
    named = Settings(ServingSettings(device="cuda:0"))
    assert forecast(SMALL, machine(gpus=gpus), settings=named) == forecast(SMALL, machine(gpus=gpus[:1]))
    processor = Settings(ServingSettings(device="cpu"))
    assert forecast(SMALL, machine(gpus=gpus), settings=processor) == forecast(SMALL, machine())


def test_a_share_is_of_the_whole_memory_and_the_reserve_comes_on_top() -> None:
    hardware = machine(gpus=(gpu(total_gib=24, free_gib=23),))
    counts = [forecast(BLOOM, hardware, share=share).num_blocks for share in (1.0, 0.9, 0.5, 0.25)]
    assert counts == [4, 3, 2, 1]
    found = forecast(BLOOM, hardware, share=0.5)
    assert found.memory_bytes <= 12 * GIB
    assert forecast(BLOOM, hardware, share=0.1).problem is not None
    assert forecast(BLOOM, machine(gpus=(gpu(total_gib=24, free_gib=9),)), share=0.9).num_blocks == 1, "it is not free"


def test_the_lower_of_share_and_limit_counts() -> None:
    hardware, limited = machine(gpus=(gpu(total_gib=24, free_gib=23),)), Settings(limits=Limits(vram_gb=12))
    assert forecast(BLOOM, hardware, settings=limited) == forecast(BLOOM, hardware, share=0.5)
    assert forecast(BLOOM, hardware, settings=limited, share=0.25) == forecast(BLOOM, hardware, share=0.25)


@pytest.mark.parametrize(
    ("serving", "count"),
    [
        (ServingSettings(num_blocks=40), 40),
        (ServingSettings(num_blocks=400), 70),
        (ServingSettings(blocks="10:22"), 12),
    ],
)
def test_blocks_that_the_owner_named_are_taken(serving: ServingSettings, count: int) -> None:
    assert forecast(BLOOM, machine(), settings=Settings(serving)).num_blocks == count


def test_blocks_that_the_model_does_not_have_are_refused_as_the_worker_does() -> None:
    found = forecast(BLOOM, machine(), settings=Settings(ServingSettings(blocks="60:99")))
    assert (found.num_blocks, found.problem) == (0, "You chose blocks 60-98, and this model has 70 blocks.")


def test_a_full_disk_is_a_problem() -> None:
    found = forecast(SMALL, machine(disk_free_gib=0.6))
    assert found.problem == "The blocks need 1.1 GB on the disk, 0.6 GB are free."
    assert forecast(SMALL, dataclasses.replace(machine(), disk=None)).problem is None


def test_what_comes_with_the_program_is_not_downloaded() -> None:
    found = forecast(model_card(EMBEDDED_MODEL), machine())
    assert (found.num_blocks, found.download_bytes, found.chat_download_bytes) == (30, 0, 0)
    assert found.download_minutes == 0
    assert found.disk_bytes == 134_515_008 * 2


def test_a_connection_of_which_nothing_is_known_gives_no_time() -> None:
    assert forecast(SMALL, machine(), mbit_per_s=None).download_minutes is None


# In words


def test_words_for_one_model_and_for_all() -> None:
    hardware = machine(gpus=(gpu(total_gib=24, free_gib=23, power_limit_w=350.0, power_w=30.0),))
    assert describe_forecast(BLOOM, forecast(BLOOM, hardware)).splitlines() == [
        "BLOOM (bigscience/bloom): 176 billion parameters, BigScience RAIL 1.0",
        "  4 of 70 blocks in bfloat16 on the GPU",
        "  memory    23.5 GB, with room for chats",
        "  download  19.7 GB, 53 min at 50 Mbit/s",
        "  disk      19.7 GB",
        "  to chat   7.2 GB more to download",
        "  power     up to 320 W more while it computes",
    ]
    small = machine(ram_free_gib=3)
    lines = describe_forecasts([(card, forecast(card, small)) for card in (BLOOM, SMALL)]).splitlines()
    assert lines[1] == "bigscience/bloom       One block needs 13.9 GB with room for sessions, 3.2 GB are free."
    assert lines[2].split() == ["bigscience/bloom-560m", "5", "of", "24", "0.9", "GB", "0.1", "GB"]


def test_the_command_takes_the_owners_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast_verb, "detect", lambda data_dir: machine())
    (tmp_path / "settings.json").write_text(json.dumps({"version": 1, "serving": {"num_blocks": 3}}))
    said: list[str] = []
    assert show_forecast(tmp_path, "bigscience/bloom-560m", as_json=True, out=said.append) == 0
    (found,) = json.loads(said[0])
    assert (found["model"], found["num_blocks"], found["device"]) == ("bigscience/bloom-560m", 3, "cpu")


def test_the_command_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from volunteer.cli import main; main(['forecast']); "
        "print([name for name in ('torch', 'numpy', 'transformers', 'hivemind') if name in sys.modules])"
    )
    environment = os.environ | {"VOLUNTEER_DATA_DIR": str(tmp_path)}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"
    assert found.stdout.startswith("model ")


# What is installed


def test_whether_torch_knows_cuda_is_found_without_loading_it() -> None:
    assert has_cuda() == (torch.version.cuda is not None)


def test_gpus_that_torch_cannot_use_say_so() -> None:
    hardware = machine(gpus=(gpu(), gpu(1, problem="It is lost.")))
    assert within_reach(hardware, has_cuda=True) is hardware
    first, second = within_reach(hardware, has_cuda=False).gpus
    assert first.problem is not None and "without support for NVIDIA GPUs" in first.problem
    assert second.problem == "It is lost."
