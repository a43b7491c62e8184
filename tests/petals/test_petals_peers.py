"""Our peers and real, unmodified Petals peers in one swarm, whoever serves and whoever asks.

Needs what README.md in this folder describes; skipped where it is not set up.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from volunteer.client.model import SwarmCache, SwarmForCausalLM

HERE = Path(__file__).parent
VARIABLES = ("VOLUNTEER_PETALS_VENV", "VOLUNTEER_PETALS_PEER", "VOLUNTEER_PETALS_ROOT")
MISSING = [name for name in VARIABLES if not os.environ.get(name)]
pytestmark = [
    pytest.mark.swarm,
    pytest.mark.skipif(bool(MISSING), reason=f"no Petals environment: {', '.join(MISSING)} not set"),
]

REPOSITORY = "harness/bloom-tiny"
PREFIX = f"{REPOSITORY}-petals"
NUM_BLOCKS = 8
NEW_TOKENS = 16
CLIENT_TIMEOUT_S = 90
LAYOUTS = {
    "theirs": ("theirs 0:4", "theirs 4:8"),
    "ours": ("ours 0:4", "ours 4:8"),
    "ours-then-theirs": ("ours 0:4", "theirs 4:8"),
    "theirs-then-ours": ("theirs 0:4", "ours 4:8"),
    "three": ("ours 0:3", "theirs 3:5", "ours 5:8"),
}

our_swarm = runpy.run_path(str(HERE / "our_swarm.py"))["our_swarm"]


def petals_peer(script: str, *arguments: str, timeout_s: float = 120) -> str:
    """What a script of petals_peer prints on its standard output."""
    venv, folder, root = (os.environ[name] for name in VARIABLES)
    command = [sys.executable, str(Path(folder) / script)]
    options = ["--venv", venv, "--root", root]
    command += [*options, *arguments] if script == "run.py" else [*arguments, *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        output, errors = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # with the DHT processes and daemons of a frozen client
        process.communicate()
        raise
    if process.returncode != 0:
        raise RuntimeError(output[-2000:] + errors[-4000:])
    return output


@contextmanager
def petals_server(span: str, initial_peers: list[str]) -> Iterator[str]:
    """A real server; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    join = ["--initial_peers", *initial_peers[:1]] if initial_peers else []
    try:
        servers = json.loads(petals_peer("start_swarm.py", "up", "--spans", span, "--port", str(port), *join))
        yield servers[-1]["maddr"]
    finally:
        petals_peer("start_swarm.py", "down")


@pytest.fixture(scope="module")
def folder() -> Path:
    owner, name = REPOSITORY.split("/")
    snapshots = Path(os.environ["VOLUNTEER_PETALS_ROOT"]) / "hub" / f"models--{owner}--{name}" / "snapshots"
    return next(snapshots.iterdir())


@pytest.fixture(scope="module", params=LAYOUTS.values(), ids=LAYOUTS)
def peers(request: pytest.FixtureRequest, folder: Path) -> Iterator[list[str]]:
    """Addresses of the servers of one swarm after another."""
    addresses: list[str] = []
    petals_peer("start_swarm.py", "down")
    with ExitStack() as stack:
        for server in request.param:
            whose, span = server.split()
            if whose == "ours":
                addresses += stack.enter_context(our_swarm(folder, PREFIX, [span], initial_peers=addresses[:1]))
            else:
                addresses.append(stack.enter_context(petals_server(span, addresses)))
        yield addresses


@pytest.fixture(scope="module")
def remote(peers: list[str], folder: Path) -> Iterator[SwarmForCausalLM]:
    torch.set_num_threads(1)
    with SwarmForCausalLM.from_pretrained(str(folder), initial_peers=peers, dht_prefix=PREFIX) as model:
        yield model


@pytest.fixture(scope="module")
def local(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture
def prompt() -> torch.Tensor:
    """[3, 9] token ids."""
    return torch.randint(4, 1000, (3, 9), generator=torch.Generator().manual_seed(1))


def generate(model: Any, ids: torch.Tensor, mask: torch.Tensor | None = None, **options: Any) -> list[list[int]]:
    mask = torch.ones_like(ids) if mask is None else mask
    with torch.inference_mode():
        tokens = model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            pad_token_id=3,
            eos_token_id=None,
            **options,
        )
    return tokens.tolist()


# Their client


def test_their_client_gives_the_tokens_of_the_local_model(peers: list[str]) -> None:
    arguments = ("--model", REPOSITORY, "--peers", *peers)
    for attempt in range(3):
        try:
            output = petals_peer("run.py", "--", str(HERE / "their_client.py"), *arguments, timeout_s=CLIENT_TIMEOUT_S)
            break
        except subprocess.TimeoutExpired:  # their client freezes now and then, whoever serves
            if attempt == 2:
                raise
    answers = json.loads(output.splitlines()[-1])
    assert answers.keys() >= {"greedy", "batch"}
    for case, tokens in answers.items():
        assert tokens["remote"] == tokens["local"], case


# Our client


def test_greedy_tokens_are_equal(remote: SwarmForCausalLM, local: Any, prompt: torch.Tensor) -> None:
    assert generate(remote, prompt[:1]) == generate(local, prompt[:1])


def test_tokens_of_a_batch_are_equal(remote: SwarmForCausalLM, local: Any, prompt: torch.Tensor) -> None:
    assert generate(remote, prompt) == generate(local, prompt)


def test_beams_are_equal(remote: SwarmForCausalLM, local: Any, prompt: torch.Tensor) -> None:
    assert generate(remote, prompt, num_beams=3) == generate(local, prompt, num_beams=3)


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}], ids=["greedy", "beams"])
def test_tokens_of_a_padded_batch_are_equal(remote: SwarmForCausalLM, local: Any, options: dict[str, int]) -> None:
    ids = torch.randint(4, 1000, (4, 9), generator=torch.Generator().manual_seed(2))
    mask = torch.ones_like(ids)
    for row, padding in enumerate((0, 3, 5, 1)):
        ids[row, :padding] = 3
        mask[row, :padding] = 0
    assert generate(remote, ids, mask, **options) == generate(local, ids, mask, **options)


def test_prompt_lookup_changes_no_token(remote: SwarmForCausalLM, local: Any, prompt: torch.Tensor) -> None:
    repeated = prompt[:1].repeat(1, 3)
    assert generate(remote, repeated, prompt_lookup_num_tokens=4) == generate(local, repeated)


def test_after_a_rollback_the_logits_are_those_of_the_shorter_text(
    remote: SwarmForCausalLM, local: Any, prompt: torch.Tensor
) -> None:
    cache = SwarmCache(remote, max_length=64)
    with torch.inference_mode():
        remote(prompt, past_key_values=cache, use_cache=True)
        remote(prompt.flip(1), past_key_values=cache, use_cache=True)
        cache.crop(prompt.shape[1] - 2)
        logits = remote(prompt[:, -2:], past_key_values=cache, use_cache=True).logits
        expected = local(prompt).logits[:, -2:]
    cache.close()
    assert logits.argmax(-1).tolist() == expected.argmax(-1).tolist()
    assert relative_difference(logits, expected) < 5e-3  # its weights are so large that rounding grows a thousandfold


def test_gradients_of_a_prompt_are_equal(remote: SwarmForCausalLM, local: Any, prompt: torch.Tensor) -> None:
    gradients = []
    for model in (remote, local):
        embeddings = model.get_input_embeddings()(prompt).detach()
        tuned = torch.zeros(1, 4, embeddings.shape[2], requires_grad=True)
        inputs = torch.cat([tuned.expand(len(prompt), -1, -1), embeddings], dim=1)
        labels = torch.cat([torch.full((len(prompt), 4), -100), prompt], dim=1)
        model(inputs_embeds=inputs, labels=labels, use_cache=False).loss.backward()
        gradients.append(tuned.grad)
    assert relative_difference(*gradients) < 2e-2  # as above; a wrong gradient differs by more than its own size


@pytest.mark.parametrize(
    ("shape", "num_prompts"),
    [((2, 6), 1), ((2, 6), 2), ((370, 6), 370)],
    ids=["shared", "a prompt a row", "as a stream"],
)
def test_deep_prompts_and_their_gradients_are_equal(
    remote: SwarmForCausalLM, local: Any, shape: tuple[int, int], num_prompts: int
) -> None:
    # Many short rows, because rounding grows with the length: after 1,100 tokens this model's own outputs in
    # float32 and in float64 are a fifth apart.
    hidden_size = local.config.hidden_size
    generator = torch.Generator().manual_seed(3)
    start = 0.1 * torch.randn(NUM_BLOCKS, num_prompts, 3, hidden_size, generator=generator)
    hidden_states = torch.randn(*shape, hidden_size, generator=generator)
    prompts, reference = start.clone().requires_grad_(True), start.clone().requires_grad_(True)
    outputs = remote.blocks(hidden_states, prompts=prompts)
    (outputs**2).mean().backward()
    expected = local_blocks(local, hidden_states, reference)
    (expected**2).mean().backward()
    if len(hidden_states) == 2:
        assert relative_difference(outputs, expected) < 5e-3
        assert relative_difference(prompts.grad, reference.grad) < 2e-2
    else:
        # In a few of so many rows rounding grows further; the others tell.
        assert typical_difference(outputs, expected, rows=0) < 1e-3
        assert typical_difference(prompts.grad, reference.grad, rows=1) < 2e-2
    if len(hidden_states) == 2:
        with remote.session(max_length=16) as session:
            stepped = session.step(hidden_states, prompts=start)
        assert relative_difference(stepped, expected) < 5e-3


def local_blocks(local: Any, hidden_states: torch.Tensor, prompts: torch.Tensor) -> torch.Tensor:
    """The local model's own blocks, with deep prompts [blocks, batch or 1, prefix, hidden] before each."""
    captured = {}
    prefix = prompts.shape[2]

    def add_prompt(index: int) -> Any:
        def hook(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
            inputs = hidden_states if index == 0 else args[0]
            return (torch.cat([inputs[:, :prefix] + prompts[index], inputs[:, prefix:]], dim=1), *args[1:])

        return hook

    def capture(module: Any, args: tuple[Any, ...], output: Any) -> None:
        captured["output"] = output[0] if isinstance(output, tuple) else output

    layers = local.transformer.h
    hooks = [layer.register_forward_pre_hook(add_prompt(index)) for index, layer in enumerate(layers)]
    hooks.append(layers[-1].register_forward_hook(capture))
    local.transformer(inputs_embeds=torch.zeros_like(hidden_states), use_cache=False)
    for hook in hooks:
        hook.remove()
    return captured["output"]


def relative_difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).detach().abs().max() / expected.detach().abs().max())


def typical_difference(found: torch.Tensor, expected: torch.Tensor, *, rows: int) -> float:
    """That which nine of ten rows stay below, each by its own greatest number; `rows` is their dimension."""
    difference = (found - expected).detach().transpose(0, rows).flatten(1).abs().amax(1)
    greatest = expected.detach().transpose(0, rows).flatten(1).abs().amax(1)
    return float((difference / greatest).quantile(0.9))
