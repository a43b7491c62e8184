import asyncio

import pytest
import torch

from volunteer.client.history import History
from volunteer.client.hop import PushPatience


def test_patience_follows_what_came() -> None:
    patience = PushPatience()
    assert patience.seconds == PushPatience.FIRST_S
    for _ in range(50):
        patience.came(0.3)
    assert 0.3 < patience.seconds < 0.4
    for wait in (0.3, 0.7) * 20:
        patience.came(wait)
    assert 0.7 < patience.seconds < 2.0


def test_patience_grows_with_each_push_that_did_not_come_and_pauses_after_three() -> None:
    patience = PushPatience()
    patience.came(0.2)
    before = patience.seconds
    assert patience.wants_push()
    patience.missed()
    assert patience.seconds == 2 * before
    patience.missed()
    assert patience.wants_push()
    patience.missed()
    steps = 0
    while not patience.wants_push():
        steps += 1
    assert 10 < steps < 100
    assert patience.seconds == before


def inputs(first: int, last: int) -> torch.Tensor:
    return torch.arange(first, last, dtype=torch.float32).reshape(1, -1, 1)


def test_a_history_takes_only_what_is_new_to_it() -> None:
    history = History()
    history.extend(0, inputs(0, 70))
    history.extend(0, -inputs(0, 50))
    history.extend(60, inputs(60, 200))
    assert torch.equal(history[:], inputs(0, 200))
    with pytest.raises(IndexError, match="from position 201 on after 200"):
        history.extend(201, inputs(201, 202))


def test_a_history_wakes_whoever_waits_for_a_position() -> None:
    async def run() -> None:
        history = History()
        waiting = asyncio.create_task(history.reach(3))
        await asyncio.sleep(0)
        history.extend(0, inputs(0, 2))
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        history.extend(2, inputs(2, 3))
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await history.reach(3)

    asyncio.run(run())
