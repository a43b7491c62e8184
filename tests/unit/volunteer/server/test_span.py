from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from volunteer.models.families import family_for
from volunteer.server.kv_cache import SessionCache
from volunteer.server.span import Span

START, END, HIDDEN = 1, 3, 64  # a span that does not begin with the model
TOLERANCE = {"atol": 2e-4, "rtol": 1e-4}  # float32, added up in another order, over two blocks

Reference = Callable[..., torch.Tensor]


def span_of(model: Any, dtype: torch.dtype = torch.float32) -> Span:
    family, tensors = family_for(model.config), model.state_dict()
    blocks = []
    for index in range(START, END):
        names = family.block_tensors(tensors, index)
        block = family.build_block(index)
        block.load_state_dict({names[name]: tensors[name].to(dtype) for name in names}, assign=True)
        blocks.append(block.requires_grad_(False))
    return Span(family, START, nn.ModuleList(blocks), dtype, torch.device("cpu"))


def new_cache(max_length: int = 40) -> SessionCache:
    return SessionCache(start=START, end=END, max_length=max_length)


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# Inference


@pytest.mark.parametrize("lengths", [[14], [1] * 14, [5, 0, 1, 8], [3, 11]], ids=str)
def test_steps_give_what_one_pass_through_the_model_gives(
    random_model: Any, reference_blocks: Reference, lengths: list[int]
) -> None:
    span, cache = span_of(random_model), new_cache()
    hidden_states = numbers(3, 14, HIDDEN)
    outputs = [span.step(part, cache) for part in hidden_states.split(lengths, dim=1)]
    expected = reference_blocks(random_model, hidden_states, START, END)
    torch.testing.assert_close(torch.cat(outputs, dim=1), expected, **TOLERANCE)
    assert cache.length == 14


def test_one_batch_gives_what_its_rows_give_alone(random_model: Any) -> None:
    span, batch = span_of(random_model), new_cache()
    hidden_states = numbers(4, 9, HIDDEN)
    together = torch.cat([span.step(part, batch) for part in hidden_states.split([6, 3], dim=1)], dim=1)
    for row in range(4):
        torch.testing.assert_close(span.step(hidden_states[row : row + 1], new_cache())[0], together[row], **TOLERANCE)


def test_prompts_are_added_to_the_first_positions_of_their_step(random_model: Any, reference_blocks: Reference) -> None:
    span = span_of(random_model)
    hidden_states = numbers(2, 7, HIDDEN)
    for rows in (1, 2):
        prompts = numbers(2, rows, 4, HIDDEN, seed=1)
        before = hidden_states.clone()
        found = span.step(hidden_states, new_cache(), prompts=prompts)
        expected = reference_blocks(random_model, hidden_states, START, END, prompts)
        torch.testing.assert_close(found, expected, **TOLERANCE)
        assert torch.equal(hidden_states, before)
        torch.testing.assert_close(span.forward(hidden_states, START, END, prompts=prompts), expected, **TOLERANCE)


def test_prompts_cut_with_their_step_are_the_same(random_model: Any) -> None:
    """As the handler cuts long steps: each piece gets the part of the prompts that stands on it."""
    span, cache = span_of(random_model), new_cache()
    hidden_states, prompts = numbers(2, 9, HIDDEN), numbers(2, 1, 5, HIDDEN, seed=1)
    pieces = [
        span.step(hidden_states[:, :3], cache, prompts=prompts[:, :, :3]),
        span.step(hidden_states[:, 3:6], cache, prompts=prompts[:, :, 3:6]),
        span.step(hidden_states[:, 6:], cache),
    ]
    whole = span.step(hidden_states, new_cache(), prompts=prompts)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, **TOLERANCE)


def test_rows_go_on_from_the_row_that_hypo_ids_name(random_model: Any, reference_blocks: Reference) -> None:
    span, cache = span_of(random_model), new_cache()
    first, then = numbers(3, 8, HIDDEN), numbers(3, 2, HIDDEN, seed=1)
    hypo_ids = torch.tensor([2, 2, 0])
    span.step(first, cache)
    found = span.step(then, cache, hypo_ids=hypo_ids)
    expected = reference_blocks(random_model, torch.cat([first[hypo_ids], then], dim=1), START, END)
    torch.testing.assert_close(found, expected[:, 8:], **TOLERANCE)


def test_after_a_rollback_only_the_kept_tokens_count(random_model: Any, reference_blocks: Reference) -> None:
    span, cache = span_of(random_model), new_cache()
    first, then = numbers(2, 10, HIDDEN), numbers(2, 3, HIDDEN, seed=1)
    span.step(first, cache)
    found = span.step(then, cache, start_from_position=4)
    expected = reference_blocks(random_model, torch.cat([first[:, :4], then], dim=1), START, END)
    torch.testing.assert_close(found, expected[:, 4:], **TOLERANCE)
    assert cache.length == 7


def test_rollback_comes_before_reordering_and_both_before_the_new_tokens(
    random_model: Any, reference_blocks: Reference
) -> None:
    span, cache = span_of(random_model), new_cache()
    first, then, prompts = numbers(2, 10, HIDDEN), numbers(2, 3, HIDDEN, seed=1), numbers(2, 1, 2, HIDDEN, seed=2)
    span.step(first, cache)
    assert span.step(first[:, :0], cache, hypo_ids=torch.tensor([1, 1]), start_from_position=5).shape == (2, 0, HIDDEN)
    found = span.step(then, cache, prompts=prompts, hypo_ids=torch.tensor([1, 0]))
    # The prompts of a later step stand on its own first positions.
    padded = torch.cat([torch.zeros(2, 1, 5, HIDDEN), prompts], dim=2)
    expected = reference_blocks(random_model, torch.cat([first[[1, 1], :5], then], dim=1), START, END, padded)
    torch.testing.assert_close(found, expected[:, 5:], **TOLERANCE)


def test_left_padding_is_invisible_to_the_real_tokens(random_model: Any) -> None:
    span = span_of(random_model)
    hidden_states = numbers(3, 12, HIDDEN)
    paddings = (0, 4, 7)
    cache = SessionCache(start=START, end=END, max_length=12, left_padding=paddings)
    found = torch.cat([span.step(part, cache) for part in hidden_states.split([5, 7], dim=1)], dim=1)
    assert torch.isfinite(found).all()
    for row, padding in enumerate(paddings):
        alone = span.step(hidden_states[row : row + 1, padding:], new_cache())
        torch.testing.assert_close(found[row : row + 1, padding:], alone, **TOLERANCE)


def test_a_session_may_use_a_part_of_the_span(random_model: Any, reference_blocks: Reference) -> None:
    span, hidden_states = span_of(random_model), numbers(1, 5, HIDDEN)
    cache = SessionCache(start=2, end=3, max_length=5)
    torch.testing.assert_close(
        span.step(hidden_states, cache), reference_blocks(random_model, hidden_states, 2, 3), **TOLERANCE
    )


def test_a_step_that_is_refused_leaves_the_session_usable(random_model: Any) -> None:
    span, cache, hidden_states = span_of(random_model), new_cache(max_length=6), numbers(1, 6, HIDDEN)
    expected = span.step(hidden_states, new_cache(max_length=6))
    span.step(hidden_states[:, :4], cache)
    with pytest.raises(ValueError, match="Maximum length exceeded"):
        span.step(hidden_states[:, :3], cache)
    with pytest.raises(ValueError, match="cannot go back to position 5"):
        span.step(hidden_states[:, 4:], cache, start_from_position=5)
    torch.testing.assert_close(span.step(hidden_states[:, 4:], cache), expected[:, 4:], **TOLERANCE)


@pytest.mark.parametrize("blocks", [(0, 2), (1, 4), (2, 2), (3, 4)])
def test_blocks_that_are_not_held_are_refused(random_model: Any, blocks: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="are not all within 1:3"):
        span_of(random_model).forward(numbers(1, 2, HIDDEN), *blocks)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 6),
            st.one_of(st.none(), st.floats(0, 1)),
            st.one_of(st.none(), st.lists(st.integers(0, 1), min_size=2, max_size=2)),
            st.integers(0, 3),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_order_of_steps_is_one_pass_over_what_they_leave(
    random_model: Any, reference_blocks: Reference, steps: list[tuple[int, float | None, list[int] | None, int]]
) -> None:
    span, cache = span_of(random_model), new_cache()
    history, prompts = torch.empty(2, 0, HIDDEN), torch.empty(2, 2, 0, HIDDEN)  # prompts: [blocks, batch, ...]
    for seed, (new, rollback, rows, prefix) in enumerate(steps):
        inputs, step_prompts = numbers(2, new, HIDDEN, seed=seed), None
        position = None if rollback is None else int(rollback * history.shape[1])
        history, prompts = history[:, :position], prompts[:, :, :position]
        if rows is not None:
            history, prompts = history[rows], prompts[:, rows]
        added = torch.zeros(2, 2, new, HIDDEN)
        if 0 < prefix <= new:
            step_prompts = numbers(2, 2, prefix, HIDDEN, seed=seed + 50)
            added[:, :, :prefix] = step_prompts
        history, prompts = torch.cat([history, inputs], dim=1), torch.cat([prompts, added], dim=2)
        found = span.step(
            inputs,
            cache,
            prompts=step_prompts,
            hypo_ids=None if rows is None else torch.tensor(rows),
            start_from_position=position,
        )
        assert found.shape == inputs.shape
        if new:
            expected = reference_blocks(random_model, history, START, END, prompts)
            torch.testing.assert_close(found, expected[:, history.shape[1] - new :], **TOLERANCE)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_answers_are_in_the_spans_dtype_whatever_came(random_model: Any, dtype: torch.dtype) -> None:
    hidden_states = numbers(1, 4, HIDDEN)
    assert span_of(random_model).step(hidden_states.to(dtype), new_cache()).dtype == torch.float32
    halved = span_of(random_model, torch.bfloat16)
    found = halved.step(hidden_states.to(dtype), new_cache())
    assert found.dtype == torch.bfloat16
    # bfloat16 keeps 8 bits of each number: these blocks of large random weights add up errors of some percent.
    expected = span_of(random_model).step(hidden_states, new_cache())
    assert (found.float() - expected).norm() < 0.1 * expected.norm()


# Whole sequences and gradients


@pytest.mark.parametrize("rows_of_prompts", [None, 1, 2])
def test_gradients_are_those_of_the_models_own_blocks(
    random_model: Any, reference_blocks: Reference, rows_of_prompts: int | None
) -> None:
    span = span_of(random_model)
    hidden_states, grad_outputs = numbers(2, 8, HIDDEN), numbers(2, 8, HIDDEN, seed=1)
    prompts = None if rows_of_prompts is None else numbers(2, rows_of_prompts, 3, HIDDEN, seed=2)

    inputs = hidden_states.clone().requires_grad_(True)
    moved = None if prompts is None else prompts.clone().requires_grad_(True)
    expected = reference_blocks(random_model, inputs, START, END, moved)
    expected.backward(grad_outputs)

    torch.testing.assert_close(span.forward(hidden_states, START, END, prompts=prompts), expected.detach(), **TOLERANCE)
    gradients = span.backward(hidden_states, grad_outputs, START, END, prompts=prompts)
    wanted = [inputs.grad] if moved is None else [inputs.grad, moved.grad]
    assert len(gradients) == len(wanted)
    for found, gradient in zip(gradients, wanted, strict=True):
        assert gradient is not None and not found.requires_grad
        torch.testing.assert_close(found, gradient, atol=1e-3, rtol=1e-3)  # of numbers around 10


def test_gradients_block_by_block_are_those_of_the_span(random_model: Any) -> None:
    """The handler goes back a block at a time, to keep what autograd needs of one block only."""
    span = span_of(random_model)
    hidden_states, gradient = numbers(2, 8, HIDDEN), numbers(2, 8, HIDDEN, seed=1)
    prompts = numbers(2, 1, 3, HIDDEN, seed=2)
    expected = span.backward(hidden_states, gradient, START, END, prompts=prompts)
    middle = span.forward(hidden_states, 1, 2, prompts=prompts[:1])
    gradient, last = span.backward(middle, gradient, 2, 3, prompts=prompts[1:])
    gradient, first = span.backward(hidden_states, gradient, 1, 2, prompts=prompts[:1])
    torch.testing.assert_close(gradient, expected[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(torch.cat([first, last]), expected[1], atol=1e-4, rtol=1e-4)


def test_sequences_of_no_tokens_pass(random_model: Any) -> None:
    span = span_of(random_model)
    assert span.forward(torch.empty(2, 0, HIDDEN), START, END).shape == (2, 0, HIDDEN)
    assert span.step(torch.empty(2, 0, HIDDEN), new_cache()).shape == (2, 0, HIDDEN)
    (gradient,) = span.backward(torch.empty(2, 0, HIDDEN), torch.empty(2, 0, HIDDEN), START, END)
    assert gradient.shape == (2, 0, HIDDEN)


def test_weights_stay_frozen(random_model: Any) -> None:
    span = span_of(random_model)
    span.backward(numbers(1, 3, HIDDEN), numbers(1, 3, HIDDEN), START, END)
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in span.blocks.parameters())
