from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from volunteer.server.kv_cache import PAGE_TOKENS
from volunteer.server.span import Part, RowPlace, Span, Tick

START, END, HIDDEN = 1, 3, 64  # a span that does not begin with the model
TOLERANCE = {"atol": 2e-4, "rtol": 1e-4}  # float32, added up in another order, over two blocks

Reference = Callable[..., torch.Tensor]
NewEngine = Callable[..., Any]
SpanOf = Callable[..., Span]


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# Inference: through the scheduler, as the handler does


@pytest.fixture
def engine(random_model: Any, span_of: SpanOf, new_engine: NewEngine) -> Any:
    return new_engine(span_of(random_model, START, END))


@pytest.mark.parametrize("lengths", [[14], [1] * 14, [5, 0, 1, 8], [3, 11], [40, 30]], ids=str)
def test_steps_give_what_one_pass_through_the_model_gives(
    random_model: Any, engine: Any, reference_blocks: Reference, lengths: list[int]
) -> None:
    session, total = engine.open(3, max_length=80), sum(lengths)
    hidden_states = numbers(3, total, HIDDEN)
    outputs = [engine.step(session, part) for part in hidden_states.split(lengths, dim=1)]
    expected = reference_blocks(random_model, hidden_states, START, END)
    torch.testing.assert_close(torch.cat(outputs, dim=1), expected, **TOLERANCE)
    assert session.cache.length == total


def test_one_batch_gives_what_its_rows_give_alone(engine: Any) -> None:
    batch = engine.open(4)
    hidden_states = numbers(4, 9, HIDDEN)
    together = torch.cat([engine.step(batch, part) for part in hidden_states.split([6, 3], dim=1)], dim=1)
    for row in range(4):
        alone = engine.step(engine.open(1), hidden_states[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], **TOLERANCE)


def test_prompts_are_added_to_the_first_positions_of_their_step(
    random_model: Any, engine: Any, reference_blocks: Reference
) -> None:
    hidden_states = numbers(2, 7, HIDDEN)
    for rows in (1, 2):
        prompts = numbers(2, rows, 4, HIDDEN, seed=1)
        before = hidden_states.clone()
        found = engine.step(engine.open(2), hidden_states, prompts=prompts)
        expected = reference_blocks(random_model, hidden_states, START, END, prompts)
        torch.testing.assert_close(found, expected, **TOLERANCE)
        assert torch.equal(hidden_states, before)
        whole = engine.span.forward(hidden_states, START, END, prompts=prompts)
        torch.testing.assert_close(whole, expected, **TOLERANCE)


def test_rows_go_on_from_the_row_that_hypo_ids_name(
    random_model: Any, engine: Any, reference_blocks: Reference
) -> None:
    session = engine.open(3)
    first, then = numbers(3, 8, HIDDEN), numbers(3, 2, HIDDEN, seed=1)
    hypo_ids = [2, 2, 0]
    engine.step(session, first)
    found = engine.step(session, then, hypo_ids=hypo_ids)
    expected = reference_blocks(random_model, torch.cat([first[hypo_ids], then], dim=1), START, END)
    torch.testing.assert_close(found, expected[:, 8:], **TOLERANCE)


def test_after_a_rollback_only_the_kept_tokens_count(
    random_model: Any, engine: Any, reference_blocks: Reference
) -> None:
    session = engine.open(2)
    first, then = numbers(2, 10, HIDDEN), numbers(2, 3, HIDDEN, seed=1)
    engine.step(session, first)
    found = engine.step(session, then, start_from_position=4)
    expected = reference_blocks(random_model, torch.cat([first[:, :4], then], dim=1), START, END)
    torch.testing.assert_close(found, expected[:, 4:], **TOLERANCE)
    assert session.cache.length == 7


def test_rollback_comes_before_reordering_and_both_before_the_new_tokens(
    random_model: Any, engine: Any, reference_blocks: Reference
) -> None:
    session = engine.open(2)
    first, then, prompts = numbers(2, 10, HIDDEN), numbers(2, 3, HIDDEN, seed=1), numbers(2, 1, 2, HIDDEN, seed=2)
    engine.step(session, first)
    nothing = engine.step(session, first[:, :0], hypo_ids=[1, 1], start_from_position=5)
    assert nothing.shape == (2, 0, HIDDEN)
    found = engine.step(session, then, prompts=prompts, hypo_ids=[1, 0])
    # The prompts of a later step stand on its own first positions.
    padded = torch.cat([torch.zeros(2, 1, 5, HIDDEN), prompts], dim=2)
    expected = reference_blocks(random_model, torch.cat([first[[1, 1], :5], then], dim=1), START, END, padded)
    torch.testing.assert_close(found, expected[:, 5:], **TOLERANCE)


@pytest.mark.parametrize("lengths", [[12], [5, 7], [3, 1, 1, 7]], ids=str)
def test_left_padding_is_invisible_to_the_real_tokens(engine: Any, lengths: list[int]) -> None:
    hidden_states = numbers(3, 12, HIDDEN)
    paddings = (0, 4, 7)
    session = engine.open(3, max_length=12, left_padding=paddings)
    found = torch.cat([engine.step(session, part) for part in hidden_states.split(lengths, dim=1)], dim=1)
    assert torch.isfinite(found).all()
    for row, padding in enumerate(paddings):
        alone = engine.step(engine.open(1), hidden_states[row : row + 1, padding:])
        torch.testing.assert_close(found[row : row + 1, padding:], alone, **TOLERANCE)


def test_padding_is_reordered_with_the_rows(engine: Any) -> None:
    hidden_states, then = numbers(2, 6, HIDDEN), numbers(2, 3, HIDDEN, seed=1)
    session = engine.open(2, left_padding=(0, 4))
    engine.step(session, hidden_states)
    found = engine.step(session, then, hypo_ids=[1, 1])
    alone = engine.open(1)
    engine.step(alone, hidden_states[1:, 4:])
    torch.testing.assert_close(found[:1], engine.step(alone, then[:1]), **TOLERANCE)


def test_a_session_may_use_a_part_of_the_span(random_model: Any, engine: Any, reference_blocks: Reference) -> None:
    hidden_states = numbers(1, 5, HIDDEN)
    found = engine.step(engine.open(1, start=2, end=3), hidden_states)
    torch.testing.assert_close(found, reference_blocks(random_model, hidden_states, 2, 3), **TOLERANCE)


def test_a_step_that_is_refused_leaves_the_session_usable(engine: Any) -> None:
    session, hidden_states = engine.open(1, max_length=6), numbers(1, 6, HIDDEN)
    expected = engine.step(engine.open(1, max_length=6), hidden_states)
    engine.step(session, hidden_states[:, :4])
    with pytest.raises(ValueError, match="Maximum length exceeded"):
        engine.step(session, hidden_states[:, :3])
    with pytest.raises(ValueError, match="cannot go back to position 5"):
        engine.step(session, hidden_states[:, 4:], start_from_position=5)
    torch.testing.assert_close(engine.step(session, hidden_states[:, 4:]), expected[:, 4:], **TOLERANCE)


@pytest.mark.parametrize("blocks", [(0, 2), (1, 4), (2, 2), (3, 4)])
def test_blocks_that_are_not_held_are_refused(engine: Any, blocks: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="are not all within 1:3"):
        engine.span.forward(numbers(1, 2, HIDDEN), *blocks)


def test_parts_of_one_tick_do_not_see_one_another(
    random_model: Any, span_of: SpanOf, reference_blocks: Reference
) -> None:
    """Three sessions of different lengths in one call: one token, several after some, and a whole prompt."""
    span = span_of(random_model, START, END)
    pool = span.new_pool(6)
    texts = [numbers(1, length, HIDDEN, seed=length) for length in (9, 12, 5)]
    places = [(0, 8), (2 * PAGE_TOKENS, 7), (4 * PAGE_TOKENS, 0)]

    def part(number: int, start: int, end: int) -> Part:
        return Part(texts[number][:, start:end], (RowPlace(places[number][0], start, 0),))

    for number, (_, past) in enumerate(places):
        if past:
            span.tick(pool, Tick(START, END, (part(number, 0, past),)))
    last = tuple(part(number, past, texts[number].shape[1]) for number, (_, past) in enumerate(places))
    found = span.tick(pool, Tick(START, END, last))
    for number, (_, past) in enumerate(places):
        expected = reference_blocks(random_model, texts[number], START, END)[:, past:]
        torch.testing.assert_close(found[number], expected, **TOLERANCE)


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
    random_model: Any,
    engine: Any,
    reference_blocks: Reference,
    steps: list[tuple[int, float | None, list[int] | None, int]],
) -> None:
    session = engine.open(2)
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
        found = engine.step(session, inputs, prompts=step_prompts, hypo_ids=rows, start_from_position=position)
        assert found.shape == inputs.shape
        if new:
            expected = reference_blocks(random_model, history, START, END, prompts)
            torch.testing.assert_close(found, expected[:, history.shape[1] - new :], **TOLERANCE)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_answers_are_in_the_spans_dtype_whatever_came(
    random_model: Any, span_of: SpanOf, new_engine: NewEngine, dtype: torch.dtype
) -> None:
    hidden_states = numbers(1, 4, HIDDEN)
    whole = new_engine(span_of(random_model, START, END))
    assert whole.step(whole.open(1), hidden_states.to(dtype)).dtype == torch.float32
    halved = new_engine(span_of(random_model, START, END, torch.bfloat16))
    found = halved.step(halved.open(1), hidden_states.to(dtype))
    assert found.dtype == torch.bfloat16
    # bfloat16 keeps 8 bits of each number: these blocks of large random weights add up errors of some percent.
    expected = whole.step(whole.open(1), hidden_states)
    assert (found.float() - expected).norm() < 0.1 * expected.norm()


# Whole sequences and gradients


@pytest.mark.parametrize("rows_of_prompts", [None, 1, 2])
def test_gradients_are_those_of_the_models_own_blocks(
    random_model: Any, span_of: SpanOf, reference_blocks: Reference, rows_of_prompts: int | None
) -> None:
    span = span_of(random_model, START, END)
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


def test_gradients_block_by_block_are_those_of_the_span(random_model: Any, span_of: SpanOf) -> None:
    """The handler goes back a block at a time, to keep what autograd needs of one block only."""
    span = span_of(random_model, START, END)
    hidden_states, gradient = numbers(2, 8, HIDDEN), numbers(2, 8, HIDDEN, seed=1)
    prompts = numbers(2, 1, 3, HIDDEN, seed=2)
    expected = span.backward(hidden_states, gradient, START, END, prompts=prompts)
    middle = span.forward(hidden_states, 1, 2, prompts=prompts[:1])
    gradient, last = span.backward(middle, gradient, 2, 3, prompts=prompts[1:])
    gradient, first = span.backward(hidden_states, gradient, 1, 2, prompts=prompts[:1])
    torch.testing.assert_close(gradient, expected[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(torch.cat([first, last]), expected[1], atol=1e-4, rtol=1e-4)


def test_sequences_of_no_tokens_pass(random_model: Any, span_of: SpanOf) -> None:
    span = span_of(random_model, START, END)
    assert span.forward(torch.empty(2, 0, HIDDEN), START, END).shape == (2, 0, HIDDEN)
    (gradient,) = span.backward(torch.empty(2, 0, HIDDEN), torch.empty(2, 0, HIDDEN), START, END)
    assert gradient.shape == (2, 0, HIDDEN)


def test_weights_stay_frozen(random_model: Any, span_of: SpanOf) -> None:
    span = span_of(random_model, START, END)
    span.backward(numbers(1, 3, HIDDEN), numbers(1, 3, HIDDEN), START, END)
    tensors = [tensor for block in span.blocks for tensor in (*block.parameters(), *block.buffers())]
    assert tensors
    assert all(tensor.grad is None and not tensor.requires_grad for tensor in tensors)
