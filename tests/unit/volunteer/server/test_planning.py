import logging

import pytest
import torch
import transformers

from volunteer.errors import ConfigurationError
from volunteer.models.families import Family, family_for
from volunteer.models.linear import NumberFormat, Processor
from volunteer.server.planning import Format, choose_format, slow_format_warning

CPU = torch.device("cpu")
OLD = Processor(vectors="DEFAULT", has_bfloat16=False, has_amx_bfloat16=False, has_float16=False)
NEW = Processor(vectors="AVX512", has_bfloat16=True, has_amx_bfloat16=True, has_float16=True)


@pytest.fixture
def family() -> Family:
    config = transformers.LlamaConfig(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        vocab_size=100,
        dtype="bfloat16",
    )
    return family_for(config)


def test_a_processor_computes_in_float32_unless_told(family: Family, caplog: pytest.LogCaptureFixture) -> None:
    assert choose_format(family, device="cpu", dtype=None, quantization=None) == Format(
        CPU, NumberFormat.FLOAT32, torch.float32
    )
    assert not caplog.records


def test_int8_on_a_processor_keeps_activations_in_float32(family: Family) -> None:
    found = choose_format(family, device="cpu", dtype=None, quantization="int8")
    assert found == Format(CPU, NumberFormat.INT8, torch.float32)
    found = choose_format(family, device="cpu", dtype="bfloat16", quantization="int8")
    assert found == Format(CPU, NumberFormat.INT8, torch.bfloat16)


def test_a_slow_format_is_taken_with_a_warning(family: Family, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="volunteer"):
        found = choose_format(family, device="cpu", dtype=None, quantization="nf4")
    assert found.weights is NumberFormat.NF4
    assert [record.message[:46] for record in caplog.records] == ["nf4 saves memory on this processor, but it is "]


def test_what_is_slow_depends_on_the_processor() -> None:
    assert slow_format_warning(NumberFormat.INT8, NEW) is None
    assert slow_format_warning(NumberFormat.BFLOAT16, NEW) is None
    assert slow_format_warning(NumberFormat.FLOAT32, OLD) is None
    warning = "int8 saves memory on this processor, but it is slow. Fast here: float32."
    assert slow_format_warning(NumberFormat.INT8, OLD) == warning
    warning = "nf4 saves memory on this processor, but it is slow. Fast here: float32, bfloat16, float16, int8."
    assert slow_format_warning(NumberFormat.NF4, NEW) == warning


@pytest.mark.parametrize(
    ("dtype", "quantization", "sentence"),
    [("int8", None, "--dtype 'int8' is not one of"), (None, "int4", "--quantization 'int4' is not one of")],
)
def test_an_unknown_format_is_explained(
    family: Family, dtype: str | None, quantization: str | None, sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        choose_format(family, device="cpu", dtype=dtype, quantization=quantization)
