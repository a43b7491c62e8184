"""A real worker counts what it does for a real client, tells it as it goes, and keeps it when it is killed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from volunteer.client.model import SwarmForCausalLM
from volunteer.control.channel import ControlClient
from volunteer.control.lifecycle import Mode, Wish
from volunteer.control.messages import GetHistory, GetStatus, History, Sample, SampleTaken, Status, Subscribe, Topic
from volunteer.control.wish_file import save_wish
from volunteer.local_swarm import Worker

LOOPBACK = ["--host-maddrs", "/ip4/127.0.0.1/tcp/0"]
STEPS, TOKENS, WIDTH = 4, 25, 64


def use(folder: Path, maddrs: tuple[str, ...]) -> None:
    with (
        SwarmForCausalLM.from_pretrained(str(folder), initial_peers=maddrs) as model,
        model.session(max_length=STEPS * TOKENS) as session,
    ):
        for _ in range(STEPS):
            session.step(torch.randn(1, TOKENS, WIDTH))


async def status_and_history(client: ControlClient) -> tuple[Status, History]:
    status = Status.model_validate(await client.request(GetStatus()))
    return status, History.model_validate(await client.request(GetHistory()))


def test_what_was_done_is_told_and_outlives_a_kill(random_bloom: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "worker"

    async def watch(maddrs: tuple[str, ...]) -> list[Sample]:
        taken: asyncio.Queue[Sample] = asyncio.Queue()

        def see(message: Any) -> None:
            assert isinstance(message, SampleTaken)
            taken.put_nowait(message.sample)

        async with ControlClient(data_dir, on_event=see) as client:
            await client.request(Subscribe(topics=Topic(samples=True)))
            await asyncio.to_thread(use, random_bloom, maddrs)
            samples = []
            async with asyncio.timeout(60):
                while (await status_and_history(client))[0].served_tokens_today < STEPS * TOKENS:
                    samples.append(await taken.get())
            return samples

    async def look() -> tuple[Status, History]:
        async with ControlClient(data_dir) as client:
            return await status_and_history(client)

    with Worker(["--model", str(random_bloom), "--blocks", "0:6", "--new-swarm", *LOOPBACK], data_dir) as worker:
        worker.wait_for("ready")
        samples = asyncio.run(watch(asyncio.run(look())[0].maddrs))
        status, history = asyncio.run(look())
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    assert status.served_tokens_today == status.served_tokens == STEPS * TOKENS
    sent_bytes = STEPS * TOKENS * WIDTH * 4
    (day,) = history.days
    assert set(samples) <= set(history.samples)
    assert any(sample.tokens_per_s for sample in samples)
    assert day.served_tokens == STEPS * TOKENS and day.served_sessions == 1 and day.serving_s > 0
    # The numbers themselves, and what is said around them.
    assert sent_bytes <= day.sent_bytes <= sent_bytes + 20_000
    assert sent_bytes <= day.received_bytes <= sent_bytes + 20_000
    save_wish(data_dir, Wish(Mode.NEVER))
    with Worker(["--model", str(random_bloom), "--new-swarm", *LOOPBACK], data_dir) as worker:
        worker.wait_for("paused")
        after, kept = asyncio.run(look())
    assert after.served_tokens_today == STEPS * TOKENS
    assert after.last_request_s is not None
    assert after.points is not None
    assert kept.samples[: len(history.samples)] == history.samples
    assert kept.days[0].served_tokens == STEPS * TOKENS


def test_a_server_says_that_it_is_seen_when_another_peer_has_its_record(
    start_swarm: Callable[..., Any], random_bloom: Path, tmp_path: Path
) -> None:
    swarm = start_swarm(random_bloom, "0:3")
    first = swarm.servers[0]
    assert first.served.seen_at is None, "there was nobody to see it"
    second = swarm.start("3:6")

    async def seen() -> None:
        async with asyncio.timeout(30):
            while second.served.seen_at is None:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    swarm.run(seen())
