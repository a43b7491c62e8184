from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from huggingface_hub import constants
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from volunteer.errors import ConfigurationError, ExitCode, Unavailable, UserError
from volunteer.models.download import DownloadProgress, ProgressMeter, plan_part, remaining_ranges
from volunteer.models.hub import RetryPolicy
from volunteer.models.safetensors_index import TensorEntry, build_header, parse_header
from volunteer.models.store import (
    AccessDenied,
    BadCheckpoint,
    Checkpoint,
    DownloadCancelled,
    LocalCheckpoint,
    NotEnoughDisk,
    NotOnHub,
    PickleRefused,
    Transfer,
    open_checkpoint,
)

if TYPE_CHECKING:
    from hub_server import HubServer

REPOSITORY = Path(__file__).parents[4]
NAME = "tests/tiny"
NUM_BLOCKS = 4
Tensors = dict[str, torch.Tensor]


class Waits:
    """A `RetryPolicy.wait` that takes no time and remembers how long it was asked to wait."""

    def __init__(self) -> None:
        self.delays_s: list[float] = []

    def __call__(self, delay_s: float, cancelled: threading.Event) -> None:
        self.delays_s.append(delay_s)


def hasty(**changes: Any) -> Transfer:
    """A transfer that tries again without waiting."""
    return Transfer(retry=RetryPolicy(wait=changes.pop("wait", Waits()), jitter=lambda: 1.0), **changes)


def tiny_tensors(*, rows: int = 128) -> Tensors:
    """About 2.6 MB: blocks in bfloat16 with a norm in float32, and the ends, whose names sort to both sides."""
    torch.manual_seed(0)
    tensors = {"embed.weight": torch.randn(1000, 128), "norm.weight": torch.randn(128)}
    for block in range(NUM_BLOCKS):
        tensors[f"h.{block}.attention.weight"] = torch.randn(rows, 1024).to(torch.bfloat16)
        tensors[f"h.{block}.mlp.weight"] = torch.randn(1024, rows).to(torch.bfloat16)
        tensors[f"h.{block}.norm.weight"] = torch.randn(128)
    return tensors


def block_names(block: int) -> list[str]:
    return [f"h.{block}.{name}.weight" for name in ("attention", "mlp", "norm")]


def block_parts(*blocks: int) -> dict[str, list[str]]:
    return {f"block-{block:05}": block_names(block) for block in blocks}


ALL_PARTS = {**block_parts(*range(NUM_BLOCKS)), "ends": ["embed.weight", "norm.weight"]}


def save_model(folder: Path, tensors: Tensors, *, num_shards: int = 1) -> Path:
    """A model folder; with shards, consecutive tensors by name go to one file, so that blocks lie across borders."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "tiny"}')
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "modeling_tiny.py").write_text("raise SystemExit")
    (folder / "README.md").write_text("tiny")
    if num_shards == 1:
        save_file(tensors, folder / "model.safetensors")
        return folder
    names = sorted(tensors)
    weight_map = {name: f"model-{i * num_shards // len(names) + 1:05}.safetensors" for i, name in enumerate(names)}
    for file in set(weight_map.values()):
        save_file({name: tensors[name] for name in names if weight_map[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


@pytest.fixture
def tensors() -> Tensors:
    return tiny_tensors()


@pytest.fixture
def source(tmp_path: Path, tensors: Tensors) -> Path:
    return save_model(tmp_path / "source", tensors)


Opener = Callable[..., Checkpoint]


@pytest.fixture
def open_model(hub: HubServer, tmp_path: Path) -> Opener:
    def open_model(transfer: Transfer | None = None, **options: Any) -> Checkpoint:
        options = {"endpoint": hub.endpoint, "models_dir": tmp_path / "models", **options}
        return open_checkpoint(NAME, transfer=transfer or hasty(), **options)

    return open_model


def assert_equal(loaded: Tensors, tensors: Tensors, names: Sequence[str]) -> None:
    assert list(loaded) == list(names)
    for name in names:
        assert loaded[name].dtype == tensors[name].dtype
        assert loaded[name].shape == tensors[name].shape
        assert torch.equal(loaded[name], tensors[name])


def assert_whole(checkpoint: Checkpoint, tensors: Tensors, parts: dict[str, list[str]]) -> None:
    assert checkpoint.missing_bytes(parts) == 0
    for part, names in parts.items():
        assert_equal(checkpoint.load(part, names), tensors, names)
        assert checkpoint.verify_part(part)


def num_bytes(tensors: Tensors, parts: dict[str, list[str]]) -> int:
    return sum(tensors[name].nbytes for names in parts.values() for name in names)


# What is fetched


@pytest.mark.parametrize("num_shards", [1, 3])
def test_only_the_wanted_tensors_are_fetched(
    hub: HubServer, open_model: Opener, tmp_path: Path, tensors: Tensors, num_shards: int
) -> None:
    folder = save_model(tmp_path / "source", tensors, num_shards=num_shards)
    hub.add_model(NAME, folder)
    parts = block_parts(1, 2)
    checkpoint = open_model()
    header_bytes = sum(request.sent_bytes for request in hub.file_requests())
    assert checkpoint.tensors.keys() == tensors.keys()
    assert checkpoint.missing_bytes(parts) == num_bytes(tensors, parts)

    checkpoint.prepare(parts)

    assert_whole(checkpoint, tensors, parts)
    fetched = sum(request.sent_bytes for request in hub.file_requests())
    assert fetched == num_bytes(tensors, parts) + header_bytes
    assert fetched <= 1.01 * num_bytes(tensors, parts)
    assert header_bytes == sum(
        8 + int.from_bytes(path.read_bytes()[:8], "little") for path in folder.glob("*.safetensors")
    )


def test_neighbouring_tensors_come_in_one_request(hub: HubServer, open_model: Opener, source: Path) -> None:
    hub.add_model(NAME, source)
    checkpoint = open_model()
    hub.forget_requests()
    checkpoint.prepare(block_parts(1))
    # Sorted by size of item in the file: the float32 norm is elsewhere than the two bfloat16 matrices.
    assert len(hub.file_requests()) == 2


def test_requests_are_limited_in_size(hub: HubServer, open_model: Opener, source: Path, tensors: Tensors) -> None:
    hub.add_model(NAME, source)
    checkpoint = open_model(hasty(request_bytes=100_000))
    hub.forget_requests()
    checkpoint.prepare(ALL_PARTS)
    assert max(request.sent_bytes for request in hub.file_requests()) == 100_000
    assert_whole(checkpoint, tensors, ALL_PARTS)


def test_small_files_come_when_opened_and_code_never(hub: HubServer, open_model: Opener, source: Path) -> None:
    commit = hub.add_model(NAME, source)
    checkpoint = open_model()
    assert checkpoint.revision == commit
    assert checkpoint.folder.parent.name == "tests--tiny"
    for name in ("config.json", "tokenizer.json", "chat_template.jinja"):
        assert (checkpoint.folder / name).read_bytes() == (source / name).read_bytes()
    assert not (checkpoint.folder / "modeling_tiny.py").exists()
    assert not hub.file_requests(".py")


def test_a_part_is_a_safetensors_file_of_its_own(hub: HubServer, open_model: Opener, source: Path) -> None:
    hub.add_model(NAME, source)
    checkpoint = open_model()
    checkpoint.prepare(ALL_PARTS)
    with safe_open(checkpoint.folder / "block-00002.safetensors", framework="pt") as file:
        assert sorted(file.keys()) == sorted(block_names(2))
        assert file.metadata() == {"format": "pt"}
    assert not list(checkpoint.folder.glob("*.partial"))


def test_loaded_tensors_are_mapped_and_aligned(hub: HubServer, open_model: Opener, source: Path) -> None:
    hub.add_model(NAME, source)
    checkpoint = open_model()
    checkpoint.prepare(ALL_PARTS)
    for part, names in ALL_PARTS.items():
        for tensor in checkpoint.load(part, names).values():
            assert tensor.data_ptr() % tensor.element_size() == 0


def test_a_part_with_other_tensors_than_before_is_fetched_anew(
    hub: HubServer, open_model: Opener, source: Path, tensors: Tensors
) -> None:
    hub.add_model(NAME, source)
    checkpoint = open_model()
    checkpoint.prepare({"ends": ["norm.weight"]})
    checkpoint.prepare(ALL_PARTS)
    assert_whole(checkpoint, tensors, ALL_PARTS)


def test_what_is_on_disk_is_not_fetched_again(hub: HubServer, open_model: Opener, source: Path) -> None:
    hub.add_model(NAME, source)
    open_model().prepare(ALL_PARTS)
    hub.forget_requests()
    open_model().prepare(ALL_PARTS)
    assert [request.path.split("/")[1] for request in hub.requests] == ["api"]


def test_a_tensor_that_the_checkpoint_lacks_is_named(hub: HubServer, open_model: Opener, source: Path) -> None:
    hub.add_model(NAME, source)
    with pytest.raises(ConfigurationError, match=r"does not hold the tensor h\.9\.attention\.weight"):
        open_model().prepare(block_parts(9))


# Revisions


def test_a_revision_stays_the_same_while_it_is_open(
    hub: HubServer, open_model: Opener, source: Path, tmp_path: Path, tensors: Tensors
) -> None:
    first = hub.add_model(NAME, source)
    checkpoint = open_model()
    changed = {name: tensor + 1 for name, tensor in tensors.items()}
    second = hub.add_model(NAME, save_model(tmp_path / "changed", changed))
    newer = open_model()
    newer.prepare(ALL_PARTS)
    assert (checkpoint.revision, newer.revision) == (first, second)
    assert_whole(newer, changed, ALL_PARTS)
    checkpoint.prepare(ALL_PARTS)
    assert_whole(checkpoint, tensors, ALL_PARTS)


def test_a_known_commit_opens_without_asking_the_hub(hub: HubServer, open_model: Opener, source: Path) -> None:
    commit = hub.add_model(NAME, source)
    open_model()
    hub.forget_requests()
    assert open_model(revision=commit).revision == commit
    assert not hub.requests


def test_a_model_seen_before_opens_offline(
    hub: HubServer, open_model: Opener, source: Path, tensors: Tensors, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_model(NAME, source)
    open_model().prepare(block_parts(1))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.forget_requests()
    checkpoint = open_model()
    checkpoint.prepare(block_parts(1))
    assert_whole(checkpoint, tensors, block_parts(1))
    with pytest.raises(Unavailable, match="HF_HUB_OFFLINE"):
        checkpoint.prepare(block_parts(2))
    with pytest.raises(Unavailable, match="HF_HUB_OFFLINE"):
        open_model(revision="other")
    assert not hub.requests


def test_a_model_seen_before_opens_while_the_hub_is_down(hub: HubServer, open_model: Opener, source: Path) -> None:
    commit = hub.add_model(NAME, source)
    open_model()
    hub.faults.errors = 1000
    hub.forget_requests()
    assert open_model().revision == commit
    assert len(hub.requests) == 2


def test_damaged_headers_on_disk_are_fetched_again(
    hub: HubServer, open_model: Opener, source: Path, tensors: Tensors
) -> None:
    hub.add_model(NAME, source)
    (open_model().folder / "shard-headers.json").write_text('{"format": 1, "shards": [{}]}')
    checkpoint = open_model()
    checkpoint.prepare(ALL_PARTS)
    assert_whole(checkpoint, tensors, ALL_PARTS)


@pytest.mark.parametrize("lie", ["../../../etc", "", "f" * 40])
def test_a_hub_that_lies_about_the_commit_is_refused(
    hub: HubServer, open_model: Opener, source: Path, lie: str
) -> None:
    commit = hub.add_model(NAME, source)
    hub.faults.commit_lie = lie
    with pytest.raises(Unavailable, match="does not say which commit"):
        open_model(revision=commit)


def test_a_mirror_without_sizes_or_api_is_enough(
    hub: HubServer, tmp_path: Path, source: Path, tensors: Tensors
) -> None:
    commit = hub.add_model(NAME, source)
    for index, faults in enumerate(({"lists_sizes": False}, {"has_api": False})):
        hub.faults = replace(type(hub.faults)(), **faults)
        checkpoint = open_checkpoint(NAME, models_dir=tmp_path / str(index), endpoint=hub.endpoint, transfer=hasty())
        checkpoint.prepare(ALL_PARTS)
        assert checkpoint.revision == commit
        assert (checkpoint.folder / "config.json").exists()
        assert list(checkpoint.folder.glob("*.verified.json"))
        assert_whole(checkpoint, tensors, ALL_PARTS)


# Interrupted downloads

DOWNLOAD = """
import json, pathlib, sys
from volunteer.models.store import open_checkpoint
models_dir, parts = sys.argv[1:]
open_checkpoint("tests/tiny", models_dir=pathlib.Path(models_dir)).prepare(json.loads(parts))
"""


def start_download(hub: HubServer, models_dir: Path, parts: dict[str, list[str]]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", DOWNLOAD, str(models_dir), json.dumps(parts)],
        cwd=REPOSITORY,
        env={**os.environ, "HF_ENDPOINT": hub.endpoint},
    )


def test_twenty_kills_at_random_moments_leave_nothing_lost_and_nothing_wrong(
    hub: HubServer, tmp_path: Path, source: Path, tensors: Tensors
) -> None:
    hub.add_model(NAME, source)
    hub.faults.bytes_per_s = 4e6
    dice = random.Random(5)
    models_dir = tmp_path / "models"
    total_bytes = num_bytes(tensors, ALL_PARTS)
    reached = []
    for _ in range(20):
        child = start_download(hub, models_dir, ALL_PARTS)
        # The first bytes are those of headers, so that some kills come while the model is being opened.
        moment = hub.sent_bytes + dice.randrange(total_bytes // 12)
        assert hub.wait_for_bytes(moment, timeout_s=30)
        child.kill()
        assert child.wait() == -9
        checkpoint_files = sorted(models_dir.rglob("*.safetensors*"))
        reached.append(
            sum(path.stat().st_size for path in checkpoint_files if path.suffix in (".safetensors", ".partial"))
        )
        partial = [path for path in checkpoint_files if path.suffix == ".partial"]
        assert len(partial) <= 1
    assert reached == sorted(reached)
    assert len(set(reached)) > 10  # the kills came at many different places

    hub.faults.bytes_per_s = None
    child = start_download(hub, models_dir, ALL_PARTS)
    assert child.wait(timeout=60) == 0
    checkpoint = open_checkpoint(NAME, endpoint=hub.endpoint, models_dir=models_dir)
    assert_whole(checkpoint, tensors, ALL_PARTS)
    # A kill loses what was on its way: a few pieces in the queue and in socket buffers.
    assert sum(request.sent_bytes for request in hub.file_requests()) < 1.5 * total_bytes


def test_a_download_goes_on_at_the_byte_where_it_was_killed(
    hub: HubServer, open_model: Opener, source: Path, tensors: Tensors, tmp_path: Path
) -> None:
    hub.add_model(NAME, source)
    hub.faults.bytes_per_s = 1e6
    child = start_download(hub, tmp_path / "models", {"ends": ["embed.weight"]})
    assert hub.wait_for_bytes(150_000, timeout_s=30)
    child.kill()
    child.wait()
    hub.faults.bytes_per_s = None
    checkpoint = open_model()
    stored = 512_000 - checkpoint.missing_bytes({"ends": ["embed.weight"]})
    assert 50_000 < stored < 512_000
    hub.forget_requests()
    checkpoint.prepare({"ends": ["embed.weight"]})
    entry = checkpoint.tensors["embed.weight"]
    assert [request.span for request in hub.file_requests()] == [(entry.offset + stored, entry.offset + 512_000)]
    assert torch.equal(checkpoint.load("ends", ["embed.weight"])["embed.weight"], tensors["embed.weight"])


def partial_of(checkpoint: Checkpoint, part: str, data_bytes: int) -> Path:
    """Takes a prepared part back to a partial file with so many bytes of data."""
    whole = checkpoint.folder / f"{part}.safetensors"
    header_bytes = 8 + int.from_bytes(whole.read_bytes()[:8], "little")
    partial = whole.with_name(f"{whole.name}.partial")
    whole.rename(partial)
    os.truncate(partial, header_bytes + data_bytes)
    return partial


@pytest.mark.parametrize("data_bytes", [-8, 0, 1, 524_287, 524_800])
def test_a_partial_file_of_any_length_is_completed(
    hub: HubServer, open_model: Opener, source: Path, tensors: Tensors, data_bytes: int
) -> None:
    hub.add_model(NAME, source)
    checkpoint = open_model()
    checkpoint.prepare(block_parts(1))
    partial_of(checkpoint, "block-00001", data_bytes)
    hub.forget_requests()
    checkpoint.prepare(block_parts(1))
    assert sum(request.sent_bytes for request in hub.file_requests()) == 524_800 - max(0, data_bytes)
    assert_whole(checkpoint, tensors, block_parts(1))


def test_a_partial_file_of_something_else_is_begun_anew(
    hub: HubServer, open_model: Opener, source: Path, tensors: Tensors
) -> None:
    hub.add_model(NAME, source)
    checkpoint = open_model()
    checkpoint.prepare(block_parts(1, 2))
    partial_of(checkpoint, "block-00001", 300_000).replace(checkpoint.folder / "block-00002.safetensors.partial")
    (checkpoint.folder / "block-00002.safetensors").unlink()
    assert checkpoint.missing_bytes(block_parts(2)) == 524_800
    checkpoint.prepare(block_parts(1, 2))
    assert_whole(checkpoint, tensors, block_parts(1, 2))


def test_after_a_restart_of_the_machine_only_flushed_bytes_are_trusted(
    hub: HubServer, open_model: Opener, source: Path, tensors: Tensors
) -> None:
    hub.add_model(NAME, source)
    open_model().prepare(block_parts(1))
    checkpoint = open_model(hasty(sync_bytes=100_000, boot_time_s=time.time))
    partial = partial_of(checkpoint, "block-00001", 350_000)
    with partial.open("r+b") as file:  # what a power cut leaves: length without content
        file.seek(-100_000, os.SEEK_END)
        file.write(bytes(100_000))
    os.utime(partial, (1, 1))
    hub.forget_requests()
    checkpoint.prepare(block_parts(1))
    assert sum(request.sent_bytes for request in hub.file_requests()) == 524_800 - 200_000
    assert_whole(checkpoint, tensors, block_parts(1))


def test_two_processes_share_one_folder(hub: HubServer, tmp_path: Path, source: Path, tensors: Tensors) -> None:
    hub.add_model(NAME, source)
    hub.faults.bytes_per_s = 4e6
    children = [start_download(hub, tmp_path / "models", ALL_PARTS) for _ in range(2)]
    assert [child.wait(timeout=60) for child in children] == [0, 0]
    fetched = sum(request.sent_bytes for request in hub.file_requests())
    assert fetched <= 1.01 * num_bytes(tensors, ALL_PARTS)
    assert_whole(open_checkpoint(NAME, endpoint=hub.endpoint, models_dir=tmp_path / "models"), tensors, ALL_PARTS)


@pytest.mark.parametrize("stop", [{"silent_after_bytes": 100_000}, {"bytes_per_s": 1e5}])
def test_a_cancelled_download_ends_soon_and_keeps_what_it_has(
    hub: HubServer, open_model: Opener, source: Path, tensors: Tensors, stop: dict[str, float]
) -> None:
    hub.add_model(NAME, source)
    checkpoint = open_model()
    for fault, value in stop.items():
        setattr(hub.faults, fault, value)
    cancelled = threading.Event()
    outcome: list[BaseException] = []

    def download() -> None:
        try:
            checkpoint.prepare(block_parts(1), cancelled=cancelled)
        except DownloadCancelled as error:
            outcome.append(error)

    thread = threading.Thread(target=download)
    start = hub.sent_bytes
    thread.start()
    assert hub.wait_for_bytes(start + 60_000, timeout_s=10)
    cancelled.set()
    thread.join(timeout=2.0)  # a read would wait 10 s for the silent server
    assert len(outcome) == 1
    hub.faults = type(hub.faults)()
    assert checkpoint.missing_bytes(block_parts(1)) < 524_800
    checkpoint.prepare(block_parts(1))
    assert_whole(checkpoint, tensors, block_parts(1))


def test_a_wait_for_another_process_can_be_cancelled(hub: HubServer, open_model: Opener, source: Path) -> None:
    hub.add_model(NAME, source)
    first, second = open_model(), open_model()
    hub.faults.silent_after_bytes = 100_000
    cancelled = threading.Event()

    def download() -> None:
        with pytest.raises(DownloadCancelled):
            first.prepare(block_parts(1), cancelled=cancelled)

    thread = threading.Thread(target=download)
    start = hub.sent_bytes
    thread.start()
    assert hub.wait_for_bytes(start + 60_000, timeout_s=10)
    already = threading.Event()
    already.set()
    with pytest.raises(DownloadCancelled):
        second.prepare(block_parts(1), cancelled=already)
    cancelled.set()
    thread.join(timeout=2.0)
    assert not thread.is_alive()


# Failing networks and servers


def test_a_connection_that_breaks_again_and_again_costs_no_byte_twice(
    hub: HubServer, open_model: Opener, source: Path, tensors: Tensors
) -> None:
    hub.add_model(NAME, source)
    checkpoint = open_model()
    hub.forget_requests()
    hub.faults.broken_after_bytes = 150_000
    hub.faults.broken_answers = 4
    checkpoint.prepare(block_parts(0, 1))
    assert sum(request.sent_bytes for request in hub.file_requests()) == 2 * 524_800
    assert_whole(checkpoint, tensors, block_parts(0, 1))


def test_answers_of_unknown_length_that_end_early_are_continued_or_given_up(
    hub: HubServer, open_model: Opener, source: Path, tensors: Tensors
) -> None:
    hub.add_model(NAME, source)
    checkpoint = open_model()
    hub.faults.hides_length = True
    hub.faults.broken_after_bytes, hub.faults.broken_answers = 50_000, 4
    checkpoint.prepare(block_parts(0))
    assert_whole(checkpoint, tensors, block_parts(0))
    hub.faults.broken_after_bytes, hub.faults.broken_answers = 0, 1000
    with pytest.raises(Unavailable, match=r"the connection ended early \(tried 6 times\)"):
        checkpoint.prepare(block_parts(1))


def test_errors_that_pass_are_waited_out(hub: HubServer, open_model: Opener, source: Path, tensors: Tensors) -> None:
    hub.add_model(NAME, source)
    waits = Waits()
    hub.faults.errors = 3
    checkpoint = open_model(hasty(wait=waits))
    assert waits.delays_s == [1.0, 2.0, 4.0]
    hub.faults.errors, hub.faults.error_status, hub.faults.retry_after_s = 1, 429, 17
    checkpoint.prepare(block_parts(0))
    assert waits.delays_s[3:] == [17.0]
    assert_whole(checkpoint, tensors, block_parts(0))


def test_retries_end_with_a_sentence(hub: HubServer, open_model: Opener, source: Path) -> None:
    hub.add_model(NAME, source)
    waits = Waits()
    checkpoint = open_model(hasty(wait=waits))
    hub.faults.errors = 1000
    with pytest.raises(
        Unavailable, match=r"The Hub at http://\S+ does not give model.safetensors of tests/tiny: it answered 503"
    ):
        checkpoint.prepare(block_parts(0))
    assert waits.delays_s == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_nobody_at_the_address_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"no connection .*tried 6 times"):
        open_checkpoint(NAME, models_dir=tmp_path, endpoint="http://127.0.0.1:9", transfer=hasty())


def test_delays_double_up_to_a_limit_and_vary() -> None:
    lazy, eager = RetryPolicy(jitter=lambda: 1.0), RetryPolicy(jitter=lambda: 0.0)
    assert [lazy.delay_s(failures) for failures in (1, 2, 5, 6, 50)] == [1.0, 2.0, 16.0, 30.0, 30.0]
    assert [eager.delay_s(failures) for failures in (1, 2, 50)] == [0.5, 1.0, 15.0]


@pytest.mark.parametrize(
    ("status", "code", "error", "sentence"),
    [
        (401, None, AccessDenied, "does not let you read tests/tiny: log in or accept its licence"),
        (403, "GatedRepo", AccessDenied, "does not let you read tests/tiny: log in or accept its licence"),
        (401, "RepoNotFound", NotOnHub, "There is no model tests/tiny on .*, or it is private"),
        (404, "RepoNotFound", NotOnHub, "There is no model tests/tiny on"),
        (404, "RevisionNotFound", NotOnHub, "does not have this revision"),
        (400, None, Unavailable, "it answered 400"),
    ],
)
def test_refusals_are_explained_and_not_repeated(
    hub: HubServer, open_model: Opener, source: Path, status: int, code: str, error: type[UserError], sentence: str
) -> None:
    hub.add_model(NAME, source)
    hub.faults.errors, hub.faults.error_status, hub.faults.error_code = 1, status, code
    with pytest.raises(error, match=sentence):
        open_model()
    assert len(hub.requests) == 1
    checkpoint = open_model()
    hub.forget_requests()
    hub.faults.errors = 1
    with pytest.raises(error, match=sentence):
        checkpoint.prepare(block_parts(0))
    assert len(hub.requests) == 1


def test_access_denied_has_an_exit_code_of_its_own() -> None:
    assert AccessDenied.exit_code == ExitCode.NO_PERMISSION


def test_a_server_that_ignores_ranges_is_refused_without_reading_the_file(
    hub: HubServer, open_model: Opener, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    hub.add_model(NAME, save_model(tmp_path / "large", {"weight": torch.randn(4, 1 << 20)}))
    checkpoint = open_model()
    hub.faults.ignores_ranges = True
    hub.forget_requests()
    with pytest.raises(Unavailable, match="sends the whole file"):
        open_model(models_dir=tmp_path / "elsewhere")
    with pytest.raises(Unavailable, match="sends the whole file"):
        checkpoint.prepare({"part": ["weight"]})
    # What fits into socket buffers is sent before the connection closes.
    assert all(request.sent_bytes < 12 << 20 for request in hub.file_requests())
    assert len(hub.file_requests()) == 2


def test_a_server_that_sends_other_bytes_than_asked_is_refused(
    hub: HubServer, open_model: Opener, source: Path
) -> None:
    hub.add_model(NAME, source)
    checkpoint = open_model()
    hub.faults.shifts_ranges = True
    with pytest.raises(Unavailable, match="sent other bytes than were asked for"):
        checkpoint.prepare(block_parts(0))


def test_the_token_stays_with_the_hub_and_the_range_goes_on(
    hub: HubServer, open_model: Opener, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.add_model(NAME, source)
    open_model().prepare(block_parts(0))
    first_hand = [request for request in hub.requests if not request.is_cdn]
    second_hand = [request for request in hub.requests if request.is_cdn]
    assert {request.authorization for request in first_hand} == {"Bearer hf_secret"}
    assert second_hand
    assert {request.authorization for request in second_hand} == {None}
    assert all(request.range for request in second_hand)


# Checks


def test_wrong_bytes_once_are_fetched_again(hub: HubServer, open_model: Opener, source: Path, tensors: Tensors) -> None:
    hub.add_model(NAME, source)
    checkpoint = open_model()
    hub.faults.wrong_bytes = {"model.safetensors": 1}
    told: list[DownloadProgress] = []
    checkpoint.prepare(ALL_PARTS, on_progress=told.append)
    assert_whole(checkpoint, tensors, ALL_PARTS)
    assert told[-1].done_bytes == told[-1].total_bytes


def test_wrong_bytes_twice_are_an_error_and_leave_nothing(
    hub: HubServer, open_model: Opener, tmp_path: Path, tensors: Tensors
) -> None:
    hub.add_model(NAME, save_model(tmp_path / "source", tensors, num_shards=3))
    checkpoint = open_model()
    checkpoint.prepare(block_parts(0))
    hub.faults.wrong_bytes = {"model-00002.safetensors": 1000}
    with pytest.raises(BadCheckpoint, match=r"model-00002\.safetensors does not have the checksum .* twice"):
        checkpoint.prepare(ALL_PARTS)
    bad = {name for name, entry in checkpoint.tensors.items() if entry.file == "model-00002.safetensors"}
    for part, names in ALL_PARTS.items():
        assert (checkpoint.folder / f"{part}.safetensors").exists() == (not bad & set(names))
    hub.faults.wrong_bytes = {}
    checkpoint.prepare(ALL_PARTS)
    assert_whole(checkpoint, tensors, ALL_PARTS)


def test_a_file_is_checked_when_a_later_call_completes_it(
    hub: HubServer, open_model: Opener, source: Path, tensors: Tensors
) -> None:
    hub.add_model(NAME, source)
    checkpoint = open_model()
    hub.faults.wrong_bytes = {"model.safetensors": 1}
    checkpoint.prepare(block_parts(0, 1, 2))  # cannot be checked yet
    rest = {part: names for part, names in ALL_PARTS.items() if part not in block_parts(0, 1, 2)}
    checkpoint.prepare(rest)
    assert not (checkpoint.folder / "block-00000.safetensors").exists()
    checkpoint.prepare(ALL_PARTS)
    assert_whole(checkpoint, tensors, ALL_PARTS)


def test_a_damaged_part_does_not_keep_others_from_being_prepared(
    hub: HubServer, open_model: Opener, source: Path, tensors: Tensors
) -> None:
    hub.add_model(NAME, source)
    checkpoint = open_model()
    checkpoint.prepare(ALL_PARTS)
    (checkpoint.folder / "block-00000.safetensors").write_bytes(b"garbage")
    (checkpoint.folder / "block-00001.safetensors").unlink()
    checkpoint.prepare(block_parts(1, 2))
    assert_whole(checkpoint, tensors, block_parts(1, 2))
    checkpoint.prepare(ALL_PARTS)
    assert_whole(checkpoint, tensors, ALL_PARTS)


def test_a_changed_part_is_noticed(hub: HubServer, open_model: Opener, source: Path) -> None:
    hub.add_model(NAME, source)
    checkpoint = open_model()
    assert not checkpoint.verify_part("block-00000")
    checkpoint.prepare(block_parts(0))
    assert checkpoint.verify_part("block-00000")
    with (checkpoint.folder / "block-00000.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    assert not checkpoint.verify_part("block-00000")


def test_a_file_of_another_size_than_listed_is_refused(hub: HubServer, open_model: Opener, source: Path) -> None:
    hub.add_model(NAME, source)
    hub.faults.size_lies = {"model.safetensors": 1_000_000}
    with pytest.raises(Unavailable, match="the file or the list is wrong"):
        open_model()
    hub.faults.size_lies = {"config.json": 5}
    with pytest.raises(BadCheckpoint, match=r"config\.json of tests/tiny came with 22 bytes, and the Hub lists 5"):
        open_model()


def test_pickle_files_are_refused(hub: HubServer, open_model: Opener, tmp_path: Path, source: Path) -> None:
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    hub.add_model(NAME, source)
    for open_it in (open_model, lambda: open_checkpoint(str(source), models_dir=tmp_path)):
        with pytest.raises(PickleRefused, match=r"can run any code when they are opened.*safetensors version"):
            open_it()
    assert not hub.file_requests(".bin")


def test_a_model_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there are no weights to load"):
        open_checkpoint(str(tmp_path), models_dir=tmp_path)


def test_a_download_that_does_not_fit_is_refused_before_it_starts(
    hub: HubServer, open_model: Opener, source: Path
) -> None:
    hub.add_model(NAME, source)
    checkpoint = open_model(hasty(free_bytes=lambda folder: 512 * 2**20 + 1_000_000))
    checkpoint.prepare(block_parts(0))
    hub.forget_requests()
    with pytest.raises(NotEnoughDisk, match=r"needs 1\.0 MB .* leaves 536\.9 MB free, but only 537\.9 MB is free"):
        checkpoint.prepare(block_parts(0, 1, 2))
    assert not hub.requests


def test_a_disk_that_fills_up_is_a_sentence_and_the_download_goes_on_later(
    hub: HubServer, open_model: Opener, source: Path, tensors: Tensors
) -> None:
    hub.add_model(NAME, source)
    checkpoint = open_model()
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
    try:
        with pytest.raises(NotEnoughDisk, match=r"takes no more \(File too large\)"):
            checkpoint.prepare(block_parts(0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert 200_000 < checkpoint.missing_bytes(block_parts(0)) < 300_000
    checkpoint.prepare(block_parts(0))
    assert_whole(checkpoint, tensors, block_parts(0))


def test_a_models_folder_that_cannot_be_used_is_a_sentence(
    hub: HubServer, open_model: Opener, source: Path, tmp_path: Path
) -> None:
    hub.add_model(NAME, source)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be used: Not a directory"):
        open_model(models_dir=tmp_path / "file")


# Headers from strangers


def header_of(fields: dict[str, Any] | str, data_bytes: int) -> bytes:
    text = fields if isinstance(fields, str) else json.dumps(fields)
    return len(text).to_bytes(8, "little") + text.encode() + bytes(data_bytes)


def tensor(start: Any = 0, end: Any = 16, *, dtype: Any = "F32", shape: Any = (4,)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


HOSTILE = {
    "a header of 2**63 bytes": ((2**63).to_bytes(8, "little") + b"{}", "claims 9223372036854775808 bytes"),
    "a header larger than the file": ((99_000).to_bytes(8, "little") + b"{}", "the whole file has 10"),
    "a file of three bytes": (b"abc", "only 3 bytes"),
    "an empty file": (b"", "only 0 bytes"),
    "no JSON": (header_of("{", 0), "JSON is not valid"),
    "no UTF-8": (b"\4" + bytes(7) + b'{"\xff"', "JSON is not valid"),
    "deep JSON": (header_of('{"a":' * 50_000, 0), "JSON is not valid"),
    "a list": (header_of("[]", 0), "JSON is not a table"),
    "a number with 5,000 digits": (header_of('{"a":' + "9" * 5000 + "}", 0), "JSON is not valid"),
    "half a character": (header_of('{"\\ud800": 1}', 0), "JSON is not valid"),
    "a name twice": (header_of('{"a": 1, "a": 2}', 0), "a name appears twice"),
    "overlapping tensors": (header_of({"a": tensor(0, 16), "b": tensor(8, 24)}, 24), "overlaps"),
    "the same bytes twice": (header_of({"a": tensor(), "b": tensor()}, 16), "overlaps"),
    "a hole": (header_of({"a": tensor(0, 16), "b": tensor(32, 48)}, 48), "16 bytes before the tensor 'b' are no"),
    "bytes after the last tensor": (header_of({"a": tensor()}, 20), "describes"),
    "missing bytes": (header_of({"a": tensor()}, 10), "describes"),
    "a negative offset": (header_of({"a": tensor(-16, 0)}, 16), "bad offsets"),
    "offsets backwards": (header_of({"a": tensor(16, 0)}, 16), "bad offsets"),
    "an offset that is a float": (header_of({"a": tensor(0.0, 16)}, 16), "bad offsets"),
    "an offset that is true": (header_of({"a": tensor(0, True, dtype="U8", shape=[1])}, 1), "bad offsets"),
    "a huge offset": (header_of({"a": tensor(0, 2**80)}, 16), "bad offsets"),
    "three offsets": (header_of({"a": {**tensor(), "data_offsets": [0, 8, 16]}}, 16), "bad offsets"),
    "no offsets": (header_of({"a": {"dtype": "F32", "shape": [4]}}, 16), "bad offsets"),
    "a negative shape": (header_of({"a": tensor(shape=[-2, -2])}, 16), "bad shape"),
    "a shape that is a text": (header_of({"a": tensor(shape="4")}, 16), "bad shape"),
    "a shape of many dimensions": (header_of({"a": tensor(shape=[1] * 65 + [4])}, 16), "bad shape"),
    "a shape that overflows": (header_of({"a": tensor(shape=[2**62, 2**62, 4])}, 16), "not what its shape needs"),
    "a shape of another size": (header_of({"a": tensor(shape=[5])}, 16), "not what its shape needs"),
    "an unknown dtype": (header_of({"a": tensor(dtype="F31")}, 16), "number format 'F31', which is not known"),
    "a dtype that is a list": (header_of({"a": tensor(dtype=["F32"])}, 16), "is not known"),
    "a tensor that is a number": (header_of({"a": 5}, 16), "not described by a table"),
    "metadata that is a list": (header_of({"__metadata__": [], "a": tensor()}, 16), "metadata"),
}


@pytest.mark.parametrize(("content", "sentence"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_bad_header_is_refused_in_words(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(BadCheckpoint, match=sentence) as error:
        open_checkpoint(str(tmp_path), models_dir=tmp_path)
    assert str(error.value).startswith("model.safetensors is not a valid file of a safetensors checkpoint: ")
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    "kind", ["a header of 2**63 bytes", "overlapping tensors", "an unknown dtype", "an empty file"]
)
def test_a_bad_header_from_the_hub_is_refused_in_words(
    hub: HubServer, open_model: Opener, source: Path, kind: str
) -> None:
    content, sentence = HOSTILE[kind]
    (source / "model.safetensors").write_bytes(content)
    hub.add_model(NAME, source)
    with pytest.raises(BadCheckpoint, match=sentence):
        open_model()


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        ('{"weight_map": {"a": "../../secret.safetensors"}}', "not a safetensors file beside it"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "not a safetensors file beside it"),
        ('{"weight_map": {"a": "model.bin"}}', "not a safetensors file beside it"),
        ('{"weight_map": {"a": 5}}', "not a safetensors file beside it"),
        ('{"weight_map": []}', "no weight_map"),
        ("{}", "no weight_map"),
        ("", "JSON is not valid"),
    ],
)
def test_a_bad_index_is_refused_in_words(
    hub: HubServer, open_model: Opener, tmp_path: Path, index: str, sentence: str
) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(index)
    hub.add_model(NAME, tmp_path)
    for open_it in (open_model, lambda: open_checkpoint(str(tmp_path), models_dir=tmp_path)):
        with pytest.raises(BadCheckpoint, match=sentence):
            open_it()


def test_an_index_that_names_a_tensor_which_its_file_lacks_is_refused(tmp_path: Path, tensors: Tensors) -> None:
    folder = save_model(tmp_path / "source", tensors, num_shards=3)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    index["weight_map"]["ghost"] = "model-00001.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(BadCheckpoint, match="'ghost', and it does not"):
        open_checkpoint(str(folder), models_dir=tmp_path)


# Local folders and names


@pytest.mark.parametrize("num_shards", [1, 3])
def test_a_folder_is_read_where_it_is(tmp_path: Path, tensors: Tensors, num_shards: int) -> None:
    folder = save_model(tmp_path / "source", tensors, num_shards=num_shards)
    checkpoint = open_checkpoint(str(folder), models_dir=tmp_path / "models")
    told: list[DownloadProgress] = []
    assert checkpoint.missing_bytes(ALL_PARTS) == 0
    checkpoint.prepare(ALL_PARTS, on_progress=told.append)
    assert_whole(checkpoint, tensors, ALL_PARTS)
    assert (checkpoint.revision, checkpoint.folder) == (None, folder)
    assert told[-1].done_bytes == told[-1].total_bytes == num_bytes(tensors, ALL_PARTS)
    assert not (tmp_path / "models").exists()


def test_a_folder_that_changes_after_it_was_opened_is_noticed(tmp_path: Path, tensors: Tensors) -> None:
    folder = save_model(tmp_path / "source", tensors, num_shards=3)
    checkpoint = open_checkpoint(str(folder), models_dir=tmp_path)
    file = folder / checkpoint.tensors["h.1.mlp.weight"].file
    os.truncate(file, file.stat().st_size - 1)
    with pytest.raises(BadCheckpoint, match="describes"):
        checkpoint.prepare(block_parts(1))
    file.unlink()
    with pytest.raises(BadCheckpoint, match=f"{file.name} is missing"):
        checkpoint.prepare(block_parts(1))
    with pytest.raises(ConfigurationError, match="does not hold the tensor nothing"):
        checkpoint.prepare({"part": ["nothing"]})


def test_a_folder_is_told_from_a_name(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for model in ("source", "./source", "~/source", str(source)):
        assert isinstance(open_checkpoint(model, models_dir=tmp_path), LocalCheckpoint)
    for model in ("./nothing", "/nothing/there", "~/nothing", "C:\\nothing"):
        with pytest.raises(ConfigurationError, match="There is no folder"):
            open_checkpoint(model, models_dir=tmp_path)
    for model in ("", "a/b/c", "a b", "org/..", "org/a--b", "https://huggingface.co/a/b"):
        with pytest.raises(ConfigurationError, match="neither a folder nor a name"):
            open_checkpoint(model, models_dir=tmp_path)
    with pytest.raises(ConfigurationError, match="address must begin with"):
        open_checkpoint("org/name", models_dir=tmp_path, endpoint="ftp://example.org")
    with pytest.raises(ConfigurationError, match="not the name of a revision"):
        open_checkpoint("org/name", models_dir=tmp_path, revision="..")


def test_a_part_cannot_leave_its_folder(hub: HubServer, open_model: Opener, source: Path) -> None:
    hub.add_model(NAME, source)
    with pytest.raises(ValueError, match="not a name for a part"):
        open_model().prepare({"../part": ["norm.weight"]})


# Progress


def test_progress_has_a_smoothed_rate_and_comes_at_most_four_times_a_second() -> None:
    now_s = 100.0
    told: list[DownloadProgress] = []
    meter = ProgressMeter(100_000, {"a": 10_000, "b": 0}, told.append, lambda: now_s)
    for step in range(1, 81):  # 1,000 bytes every 0.1 s
        now_s = 100.0 + step / 10
        meter.update("b", step * 1000)
    assert all(later.done_bytes - earlier.done_bytes >= 2500 for earlier, later in pairwise(told))
    assert told[-1].bytes_per_s == pytest.approx(10_000)
    assert told[-1].eta_s == pytest.approx((100_000 - told[-1].done_bytes) / 10_000)
    now_s += 100.0  # a long stall: the rate is that of the last seconds
    meter.tell()
    assert told[-1].bytes_per_s < 200
    meter.update("a", 20_000)
    meter.tell()
    assert (told[-1].done_bytes, told[-1].total_bytes, told[-1].eta_s) == (100_000, 100_000, 0.0)


def test_without_a_rate_there_is_no_forecast() -> None:
    told: list[DownloadProgress] = []
    ProgressMeter(1000, {"a": 0}, told.append, lambda: 5.0).tell()
    assert told == [DownloadProgress(0, 1000, 0.0, None)]


def test_progress_counts_what_was_there_before(hub: HubServer, open_model: Opener, source: Path) -> None:
    hub.add_model(NAME, source)
    now_s = 0.0

    def clock() -> float:
        nonlocal now_s
        now_s += 0.3
        return now_s

    checkpoint = open_model(hasty(monotonic_s=clock))
    checkpoint.prepare(block_parts(0))
    told: list[DownloadProgress] = []
    checkpoint.prepare(block_parts(0, 1), on_progress=told.append)
    assert told[0].done_bytes >= 524_800
    assert told[-1].done_bytes == told[-1].total_bytes == 2 * 524_800
    assert [progress.done_bytes for progress in told] == sorted(progress.done_bytes for progress in told)


# The plan of a part


@st.composite
def layouts(draw: st.DrawFn) -> tuple[list[TensorEntry], dict[str, bytes]]:
    """Some tensors of files filled with tensors, and the files."""
    files, wanted = {}, []
    for file in draw(st.sampled_from([("one",), ("one", "two")])):
        position = draw(st.integers(0, 20))
        for index in range(draw(st.integers(0, 6))):
            dtype, item_bytes = draw(st.sampled_from([("F32", 4), ("BF16", 2), ("U8", 1)]))
            count = draw(st.integers(0, 9))
            entry = TensorEntry(f"{file}.{index}", dtype, (count,), count * item_bytes, file, position)
            position = entry.end
            if draw(st.booleans()):
                wanted.append(entry)
        files[file] = random.Random(position).randbytes(position)
    return wanted, files


@settings(deadline=None)
@given(layouts(), st.integers(1, 40), st.data())
def test_ranges_bring_exactly_the_bytes_of_the_part_from_any_point(
    layout: tuple[list[TensorEntry], dict[str, bytes]], request_bytes: int, data: st.DataObject
) -> None:
    entries, files = layout
    plan = plan_part(entries)
    content = b"".join(files[entry.file][entry.offset : entry.end] for entry in plan.entries)
    done_bytes = data.draw(st.integers(0, plan.data_bytes))
    ranges = remaining_ranges(plan.entries, done_bytes, request_bytes)
    assert b"".join(files[piece.file][piece.start : piece.end] for piece in ranges) == content[done_bytes:]
    assert all(0 < piece.end - piece.start <= request_bytes for piece in ranges)
    for first, second in pairwise(ranges):  # neighbours are apart only where a request is full
        is_full = first.end - first.start == request_bytes
        assert is_full or (first.file, first.end) != (second.file, second.start)

    parsed = parse_header(plan.header[8:], "part", plan.file_bytes)
    assert {name: (entry.dtype, entry.shape) for name, entry in parsed.items()} == {
        entry.name: (entry.dtype, entry.shape) for entry in entries
    }
    assert all(entry.offset % entry.item_bytes == 0 for entry in parsed.values())
    assert build_header(plan.entries) == plan.header
