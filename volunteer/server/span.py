"""The loaded blocks of this server and their forward and backward passes. Torch only: no network, no waiting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from volunteer.models.families import Family, Positions
from volunteer.server.kv_cache import SessionCache


@dataclass(frozen=True)
class Span:
    """Blocks `start:start + len(blocks)` of a model, on one device, in one dtype of activations."""

    family: Family
    start: int
    blocks: nn.ModuleList
    dtype: torch.dtype
    device: torch.device

    @property
    def end(self) -> int:
        return self.start + len(self.blocks)

    @torch.inference_mode()
    def step(
        self,
        hidden_states: torch.Tensor,
        cache: SessionCache,
        *,
        prompts: torch.Tensor | None = None,
        hypo_ids: torch.Tensor | None = None,
        start_from_position: int | None = None,
    ) -> torch.Tensor:
        """New tokens of one session through the blocks of its cache, which grows by them.

        Args:
            hidden_states: [batch, new, hidden], any float dtype; `new` may be 0, which only rolls back and reorders.
            prompts: [blocks, batch or 1, prefix, hidden], added to the first positions of this step before each block.
            hypo_ids: [batch] int64; row i continues from what row `hypo_ids[i]` was (beam search).
            start_from_position: forget the tokens from here on first (rollback).

        Returns:
            [batch, new, hidden] on the CPU in this span's dtype.

        Raises:
            ValueError: the session would become longer than it asked for, or the rollback is beyond its end.
        """
        if start_from_position is not None:
            cache.truncate(start_from_position)
        if hypo_ids is not None:
            cache.reorder(hypo_ids)
        batch_size, num_new, _ = hidden_states.shape
        cache.begin(num_new)
        hidden_states = hidden_states.to(self.device, self.dtype)
        if num_new > 0:
            positions = Positions(cache.length, num_new, cache.left_padding)
            inputs = self.family.layer_inputs(positions, batch_size, self.dtype, self.device)
            for number, block in enumerate(self._blocks(cache.start, cache.end)):
                if prompts is not None:
                    hidden_states = _add_prompt(hidden_states, prompts[number].to(self.device, self.dtype))
                hidden_states = self.family.call_block(block, hidden_states, inputs, cache)
        cache.commit()
        return hidden_states.cpu()

    @torch.no_grad()
    def forward(
        self, hidden_states: torch.Tensor, start: int, end: int, *, prompts: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Whole sequences through blocks `start:end` without a cache: [batch, tokens, hidden] both ways."""
        return self._run(hidden_states.to(self.device, self.dtype), start, end, self._to_device(prompts)).cpu()

    def backward(
        self,
        hidden_states: torch.Tensor,
        grad_outputs: torch.Tensor,
        start: int,
        end: int,
        *,
        prompts: torch.Tensor | None = None,
    ) -> list[torch.Tensor]:
        """Gradients with respect to the inputs of `forward`, which is computed again; weights stay frozen.

        Args:
            hidden_states: [batch, tokens, hidden], the inputs of the forward pass.
            grad_outputs: [batch, tokens, hidden].
            prompts: as in `step`.

        Returns:
            The gradient of `hidden_states`, and that of `prompts` if there are any, in their shapes.
        """
        inputs = hidden_states.to(self.device, self.dtype).detach().requires_grad_(True)
        moved = self._to_device(prompts)
        wanted = [inputs]
        if moved is not None:
            moved = moved.detach().requires_grad_(True)
            wanted.append(moved)
        with torch.enable_grad():
            outputs = self._run(inputs, start, end, moved)
            gradients = torch.autograd.grad(outputs, wanted, grad_outputs.to(self.device, self.dtype))
        return [gradient.cpu() for gradient in gradients]

    def _run(self, hidden_states: torch.Tensor, start: int, end: int, prompts: torch.Tensor | None) -> torch.Tensor:
        batch_size, num_tokens, _ = hidden_states.shape
        if num_tokens == 0:
            return hidden_states
        inputs = self.family.layer_inputs(Positions(0, num_tokens), batch_size, self.dtype, self.device)
        for number, block in enumerate(self._blocks(start, end)):
            if prompts is not None:
                hidden_states = _add_prompt(hidden_states, prompts[number])
            hidden_states = self.family.call_block(block, hidden_states, inputs, None)
        return hidden_states

    def _blocks(self, start: int, end: int) -> Sequence[nn.Module]:
        if not self.start <= start < end <= self.end:
            raise ValueError(f"blocks {start}:{end} are not all within {self.start}:{self.end}")
        return list(self.blocks)[start - self.start : end - self.start]

    def _to_device(self, tensor: torch.Tensor | None) -> torch.Tensor | None:
        return None if tensor is None else tensor.to(self.device, self.dtype)


def _add_prompt(hidden_states: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
    """Adds `prompt` [batch or 1, prefix, hidden] to the first `prefix` positions, without touching its argument."""
    prefix = prompt.shape[1]
    return torch.cat([hidden_states[:, :prefix] + prompt, hidden_states[:, prefix:]], dim=1)
