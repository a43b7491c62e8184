import struct

import numpy as np
import pytest
import torch
from hivemind.compression.serialization import serialize_torch_tensor
from hypothesis import given
from hypothesis import strategies as st

from volunteer.swarm.compression import Compression, compress, decompress

LOSSY = tuple(Compression)[1:]
SHAPES = [(1,), (5,), (2, 100, 64), (4097,), (3, 4096), (1, 1, 1), ()]


def values(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def tolerance(compression: Compression, tensor: torch.Tensor) -> torch.Tensor:
    """How far a number may move, by what each codec keeps of it."""
    deviation = tensor.std(correction=0).clamp_min(1e-6)
    match compression:
        case Compression.FLOAT16 | Compression.MEANSTD_16BIT:
            return 2e-3 * (tensor.abs() + deviation)
        case Compression.BLOCKWISE_8BIT:  # the widest steps of its table are 2 / 127 of the largest number
            return tensor.abs().max() / 127 + 1e-6
        case _:  # within three deviations half a step of 6 / 256, beyond them the mean of the outliers
            return torch.where((tensor - tensor.mean()).abs() < 2.9 * deviation, 0.05 * deviation, 3 * deviation)


@pytest.mark.parametrize("compression", LOSSY, ids=lambda each: each.name)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_numbers_come_back_nearly_as_they_were(shape: tuple[int, ...], compression: Compression) -> None:
    tensor = values(*shape)
    again = decompress(compress(tensor, compression), compression, shape)
    assert again.shape == tensor.shape and again.dtype == torch.float32
    allowed = tolerance(compression, tensor)
    if compression is Compression.QUANTILE_8BIT:
        # Its outermost steps are as wide as the numbers there are few.
        allowed = allowed + (0.9 if tensor.numel() > 256 else 1e-6)
    assert ((again - tensor).abs() <= allowed).all()


@pytest.mark.parametrize("compression", LOSSY, ids=lambda each: each.name)
@pytest.mark.parametrize("fill", [0.0, 3.0, -1e-30])
def test_constants_come_back(fill: float, compression: Compression) -> None:
    tensor = torch.full((2, 7), fill)
    again = decompress(compress(tensor, compression), compression, (2, 7))
    torch.testing.assert_close(again, tensor, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("compression", LOSSY, ids=lambda each: each.name)
def test_not_finite_numbers_break_nothing(compression: Compression) -> None:
    for fill in (float("nan"), float("inf"), 3e38):
        tensor = values(3, 50)
        tensor[1, :7] = fill
        assert decompress(compress(tensor, compression), compression, (3, 50)).shape == (3, 50)


@pytest.mark.filterwarnings("ignore::UserWarning")  # hivemind quantises by a function that torch is about to drop
@pytest.mark.parametrize("compression", LOSSY, ids=lambda each: each.name)
@pytest.mark.parametrize("shape", [(2, 100, 64), (1, 1, 64)], ids=str)
def test_what_hivemind_compressed_is_read(shape: tuple[int, ...], compression: Compression) -> None:
    if compression is Compression.BLOCKWISE_8BIT:
        pytest.importorskip("bitsandbytes")
    tensor = values(*shape)
    theirs = serialize_torch_tensor(tensor, int(compression)).buffer
    ours = compress(tensor, compression)
    assert len(ours) == len(theirs)
    # Theirs spaces the quantiles by a sample, and its outermost steps hold all outliers.
    again = decompress(theirs, compression, shape)
    assert (again - tensor).abs().mean() < 0.02
    if compression in (Compression.FLOAT16, Compression.MEANSTD_16BIT):
        torch.testing.assert_close(again, decompress(ours, compression, shape), atol=2e-3, rtol=0)


@pytest.mark.parametrize("compression", [Compression.QUANTILE_8BIT, Compression.UNIFORM_8BIT], ids=str)
def test_hivemind_can_read_tables(compression: Compression) -> None:
    # By hand, as its decoder does: that one does not run on this NumPy.
    tensor = values(2, 300)
    buffer = compress(tensor, compression)
    (length,) = struct.unpack("<q", buffer[:8])
    table = np.frombuffer(buffer, offset=8, count=length, dtype=np.float32)
    places = np.frombuffer(buffer, offset=8 + table.nbytes, dtype=np.uint8)
    again = torch.from_numpy(table[places].reshape(2, 300))
    assert torch.equal(again, decompress(buffer, compression, (2, 300)))


def test_hivemind_can_read_groups() -> None:
    tensor = values(5000) * torch.linspace(0.1, 10, 5000)
    buffer = compress(tensor, Compression.BLOCKWISE_8BIT)
    num_scales, length = struct.unpack("<2q", buffer[:16])
    assert (num_scales, length) == (2, 256)
    scales = np.frombuffer(buffer, offset=16, count=2, dtype=np.float32)
    table = np.frombuffer(buffer, offset=24, count=256, dtype=np.float32)
    places = np.frombuffer(buffer, offset=24 + 1024, dtype=np.uint8)
    again = torch.from_numpy(table[places] * np.repeat(scales, 4096)[:5000])
    torch.testing.assert_close(again, decompress(buffer, Compression.BLOCKWISE_8BIT, (5000,)))
    assert (again - tensor).abs().max() < tensor.abs().max() / 100


@given(st.sampled_from(LOSSY), st.binary(max_size=3000), st.lists(st.integers(0, 70), max_size=4))
def test_random_bytes_are_refused_or_read(compression: Compression, buffer: bytes, shape: list[int]) -> None:
    try:
        tensor = decompress(buffer, compression, tuple(shape))
    except ValueError:
        return
    assert list(tensor.shape) == shape


@given(st.sampled_from(LOSSY), st.data())
def test_spoilt_bytes_are_refused_or_read(compression: Compression, data: st.DataObject) -> None:
    buffer = bytearray(compress(values(2, 40), compression))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(buffer) - 1, 40)))
        buffer[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([0, 0, 1, 8]))
    try:
        tensor = decompress(bytes(buffer[: len(buffer) - cut]), compression, (2, 40))
    except ValueError:
        return
    assert tensor.shape == (2, 40)


@pytest.mark.parametrize("compression", LOSSY, ids=lambda each: each.name)
def test_lengths_that_contradict_the_shape_are_refused(compression: Compression) -> None:
    buffer = compress(values(2, 40), compression)
    for shape in [(2, 41), (1, 40), (2**20, 2**10)]:
        with pytest.raises(ValueError, match="bytes instead of"):
            decompress(buffer, compression, shape)


@pytest.mark.parametrize("compression", LOSSY, ids=lambda each: each.name)
def test_no_numbers_need_no_bytes(compression: Compression) -> None:
    assert decompress(b"", compression, (2, 0, 5)).shape == (2, 0, 5)


def test_a_table_of_another_length_than_256_is_refused() -> None:
    sound = compress(values(80), Compression.UNIFORM_8BIT)
    with pytest.raises(ValueError, match="a table of -1 values"):
        decompress(b"\xff" * 8 + sound[8:], Compression.UNIFORM_8BIT, (80,))
    sound = compress(values(80), Compression.BLOCKWISE_8BIT)
    with pytest.raises(ValueError, match="scales and values"):
        decompress((2**62).to_bytes(8, "little") + sound[8:], Compression.BLOCKWISE_8BIT, (80,))


def test_nothing_is_not_compressed() -> None:
    with pytest.raises(ValueError, match="no numbers"):
        compress(torch.empty(0), Compression.FLOAT16)
    with pytest.raises(ValueError, match="compresses nothing"):
        compress(values(3), Compression.NONE)
    with pytest.raises(ValueError, match="compresses nothing"):
        decompress(b"abcd", Compression.NONE, (1,))
