"""What a number format costs in quality: next-token loss of a real model on English prose."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer

from volunteer.models import linear
from volunteer.models.embedded import embedded_checkpoint_folder
from volunteer.models.linear import NumberFormat, make_linear

CPU = torch.device("cpu")
PARAGRAPHS = (
    """The harbour town wakes before the sun does. By five the bakers have lit their ovens, and the smell of bread
    drifts down the hill to the quay, where the night boats are coming in. The fishermen do not talk much at
    that hour. They pass the crates from hand to hand, up the wet steps, and the ice in them cracks as it meets
    the warmer air. A cat that belongs to nobody walks along the wall and waits for its share. Later the
    tourists will stand in the same place with their cameras, and they will think that they have found something
    old and quiet, which is only half true.""",
    """Water expands when it freezes, which is unusual. In most substances the molecules of the solid lie closer
    together than those of the liquid, so the solid sinks. In ice, each molecule is held by four neighbours in
    an open lattice that leaves a lot of empty space, and so ice floats on water. This has large consequences. A
    lake freezes from the top, and the layer of ice slows the loss of heat from the water below, so that fish
    survive the winter at the bottom, where the temperature stays close to four degrees. The same property
    breaks pipes and splits rocks.""",
    """My grandmother kept her recipes in a tin box, on cards that had turned brown at the edges. None of them said
    how much of anything to use. Take enough flour, one of them began, and when I asked her how much was enough
    she laughed and said that the dough would tell me. For years I believed that she was keeping a secret. Then
    one winter, after a dozen loaves that were too dry or too sour, I felt the dough change under my hands and
    understood that she had simply told me the truth. I have written the numbers down since, but I do not look
    at them any more.""",
    """To change a flat tire, first make sure that the car is parked on firm and level ground, and that the parking
    brake is on. Loosen the nuts of the wheel a little while it still stands on the road, because they are hard
    to turn when the wheel is in the air. Then place the jack under the frame of the car, beside the wheel, and
    raise the car until the tire no longer touches the ground. Remove the nuts, pull the wheel towards you, and
    put on the spare one. Tighten the nuts by hand, lower the car, and only then tighten them fully, in the
    order of a star.""",
    """The committee met on Thursday to discuss the new library. Most members agreed that the old building, which
    was put up in 1962, is too small and costs too much to heat. They did not agree on what should replace it.
    Some want a larger building on the same site, while others would rather use the empty school near the
    railway station. The mayor said that a decision is needed before the end of the year, since the money that
    the region has promised will not be available after that. A public meeting will be held next month, and
    everyone who lives in the town may speak.""",
    """Two friends were walking through the forest when a bear came out from between the trees. One of them climbed
    the nearest oak as fast as he could and hid among the leaves. The other, who could not climb, remembered
    that bears do not touch the dead, so he lay down on the ground and held his breath. The bear came close,
    smelled his face and his ears, and after a while it went away. When it was gone, the first man came down and
    asked with a smile what the bear had whispered. It told me, said his friend, not to travel with those who
    leave you at the first sign of danger.""",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return embedded_checkpoint_folder(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def texts(folder: Path) -> list[Tensor]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return [tokenizer(" ".join(paragraph.split()), return_tensors="pt")["input_ids"] for paragraph in PARAGRAPHS]


def loss_of(folder: Path, texts: list[Tensor], number_format: NumberFormat, dtype: torch.dtype) -> float:
    """Mean cross-entropy of every next token, by `transformers`' model with its blocks in a number format."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    layers = model.model.layers
    weights = {name: module.weight for name, module in layers.named_modules() if isinstance(module, nn.Linear)}
    assert len(weights) == 30 * 7
    layers.to(dtype)  # norms too, as on a server; embeddings, last norm and head stay in the client's float32
    for name, weight in weights.items():
        layers.set_submodule(name, make_linear(weight, None, number_format, dtype=dtype, device=CPU))
    model.model.rotary_emb.register_forward_hook(lambda module, given, found: tuple(part.to(dtype) for part in found))
    layers[0].register_forward_pre_hook(lambda module, given: (given[0].to(dtype), *given[1:]))
    model.model.norm.register_forward_pre_hook(lambda module, given: (given[0].float(),))
    with torch.inference_mode():
        losses = [functional.cross_entropy(model(text).logits[0, :-1], text[0, 1:], reduction="none") for text in texts]
    return torch.cat(losses).mean().item()


@pytest.fixture(scope="module")
def float32_loss(folder: Path, texts: list[Tensor]) -> float:
    return loss_of(folder, texts, NumberFormat.FLOAT32, torch.float32)


def test_the_model_understands_the_text(texts: list[Tensor], float32_loss: float) -> None:
    assert sum(text.numel() for text in texts) == 750
    assert 3.2 < float32_loss < 3.4  # 3.33 was measured; guessing among 49,152 tokens gives 10.8


# As a share of the loss in float32; beside them what was measured.
@pytest.mark.parametrize(
    ("number_format", "dtype", "tolerance"),
    [
        (NumberFormat.BFLOAT16, torch.bfloat16, 0.003),  # -0.0001
        (NumberFormat.FLOAT16, torch.float16, 0.001),  # 0.0000
        (NumberFormat.INT8, torch.float32, 0.01),  # 0.0035
        (NumberFormat.INT8, torch.bfloat16, 0.01),  # 0.0031
    ],
)
def test_the_loss_hardly_changes(
    folder: Path,
    texts: list[Tensor],
    float32_loss: float,
    number_format: NumberFormat,
    dtype: torch.dtype,
    tolerance: float,
) -> None:
    loss = loss_of(folder, texts, number_format, dtype)
    assert loss != float32_loss  # the format was really used
    assert abs(loss / float32_loss - 1) <= tolerance


@pytest.mark.parametrize("layout", linear.layouts(NumberFormat.INT8, 576), ids=lambda layout: layout.__name__)
def test_int8_costs_little_in_each_layout(
    folder: Path, texts: list[Tensor], float32_loss: float, layout: linear.Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "fastest", lambda kinds, shape, dtype: layout)
    loss = loss_of(folder, texts, NumberFormat.INT8, torch.float32)
    assert 0 < abs(loss / float32_loss - 1) <= 0.01  # 0.0035 by PyTorch's kernel, 0.0041 in whole numbers


def test_few_tokens_at_a_time_cost_as_little(folder: Path, texts: list[Tensor]) -> None:
    """Up to 12 rows take another kernel than the many of a prompt. Without what stood before, losses are higher."""
    few = [piece for text in texts[:3] for piece in text.split(12, dim=1)]
    plain = loss_of(folder, few, NumberFormat.FLOAT32, torch.float32)
    quantised = loss_of(folder, few, NumberFormat.INT8, torch.float32)
    assert plain != quantised
    assert abs(quantised / plain - 1) <= 0.01
