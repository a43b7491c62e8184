"""The swarm as a `transformers` model: embeddings, final norm and head are here, the blocks are elsewhere.

`transformers`' own `generate` runs unchanged, because the cache object that it passes around stands for the session on
the servers: going back in the cache is a rollback there, reordering it for beams is a reordering there.
"""

from __future__ import annotations

import copy
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import torch
from torch import nn
from transformers import GenerationConfig, GenerationMixin, LogitsProcessorList, PreTrainedModel
from transformers.cache_utils import Cache
from transformers.generation.configuration_utils import GenerationMode
from transformers.modeling_outputs import CausalLMOutputWithPast

from volunteer.client.account import Account, Offer, Purse
from volunteer.client.connection import Connection
from volunteer.client.forward import Passed, backward, forward
from volunteer.client.head import LazyGreedyHead
from volunteer.client.routing import Hop
from volunteer.client.session import Session
from volunteer.errors import ConfigurationError
from volunteer.models.families import Ends, Positions
from volunteer.models.loading import ends_parts, load_ends
from volunteer.models.store import DownloadProgress
from volunteer.settings import default_data_dir
from volunteer.swarm.compression import Compression
from volunteer.swarm.records import ServerRecord
from volunteer.swarm.swarm_key import SwarmKey
from volunteer.swarm_model import SwarmModel, open_swarm_model

DEFAULT_MAX_LENGTH = 2048
"""Tokens of a session whose length is not said; less where the model's positions end earlier."""

DRAFT_TOKENS = 64
"""Drafted tokens may reach beyond the end of the answer before they are rolled back."""


class BlockingSession:
    """A `Session` for callers without an event loop; for researchers, the way to the hidden states.

    Use as `with`, or call `close`; one that is forgotten is closed when it is collected.
    """

    def __init__(self, connection: Connection, session: Session, stop: threading.Event | None = None):
        self._connection = connection
        self._session = session
        self._stop = stop
        self._finalizer = weakref.finalize(self, connection.schedule, session.close)

    @property
    def position(self) -> int:
        return self._session.position

    @property
    def max_length(self) -> int:
        return self._session.max_length

    @property
    def route(self) -> tuple[Hop, ...]:
        """Which servers hold which blocks; empty before the first step."""
        return self._session.route

    @property
    def charged_units(self) -> int:
        """What was signed for so far, in units of 10^6 FLOPs times the price."""
        return 0 if self._session.purse is None else self._session.purse.charged

    def step(
        self,
        hidden_states: torch.Tensor,
        *,
        prompts: torch.Tensor | None = None,
        borders: list[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """New tokens through the blocks; see `Session.step`. Gradients do not flow through it.

        Raises:
            Stopped: the session was given a `stop` that was set before the step ended.
        """
        cpu_prompts = None if prompts is None else prompts.detach().cpu()
        outputs = self._connection.run(
            self._session.step(hidden_states.detach().cpu(), prompts=cpu_prompts, borders=borders), stop=self._stop
        )
        return outputs.to(hidden_states.device)

    def rollback(self, position: int) -> None:
        """Forgets the tokens from `position` on."""
        self._session.rollback(position)

    def reorder(self, rows: torch.Tensor) -> None:
        """Row i goes on from what row `rows[i]` was, [batch] of integers."""
        self._session.reorder(rows.to("cpu", torch.int64))

    def close(self) -> None:
        if self._finalizer.detach():
            self._connection.run(self._session.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SwarmCache(Cache):
    """Stands where `transformers` expects keys and values: they are on the servers, in one session.

    Args:
        model: whose session it is; it opens with the first forward pass.
        max_length: tokens that the sequence may grow to; servers are asked for room for so many.
        stop: set from another thread, it ends the step that is under way with `Stopped`, and every later one.
        offer: for the servers' work.
        peers: the only servers to go through, by peer id; all if there are none.
    """

    is_compileable = False

    def __init__(
        self,
        model: SwarmForCausalLM,
        max_length: int,
        *,
        stop: threading.Event | None = None,
        offer: Offer | None = None,
        peers: Iterable[str] = (),
    ):
        super().__init__(layers=[])
        self._offer = offer
        self._peers = tuple(peers)
        self.max_length = max_length
        self.session: BlockingSession | None = None
        self._model = model
        self._stop = stop

    def open(self, left_padding: Sequence[int] | None) -> BlockingSession:
        """The session, made now if there is none."""
        if self.session is None:
            self.session = self._model.session(
                max_length=self.max_length,
                left_padding=left_padding,
                stop=self._stop,
                offer=self._offer,
                peers=self._peers,
            )
        return self.session

    def close(self) -> None:
        """Gives the KV room on the servers back."""
        if self.session is not None:
            self.session.close()

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0 if self.session is None else self.session.position

    def get_max_length(self, layer_idx: int | None = None) -> int:
        return self.max_length

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def crop(self, tokens: int) -> None:
        """Drops the last `-tokens` tokens, as `generate` asks for; a positive number is the length to go back to."""
        if self.session is not None and tokens != 0:
            length = self.session.position
            self.session.rollback(max(0, length + tokens) if tokens < 0 else min(length, tokens))

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        if self.session is not None:
            self.session.reorder(beam_idx)

    def reset(self) -> None:
        if self.session is not None:
            self.session.rollback(0)

    def update(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        raise NotImplementedError("keys and values are on the servers")

    def __len__(self) -> int:
        return 1


class _RemoteBlocks(torch.autograd.Function):
    """Blocks of the swarm as one differentiable function of hidden states and deep prompts; weights are frozen."""

    @staticmethod
    def forward(
        ctx: Any,
        connection: Connection,
        start: int,
        end: int,
        hidden_states: torch.Tensor,
        prompts: torch.Tensor | None,
    ) -> torch.Tensor:
        cpu_prompts = None if prompts is None else prompts.detach().cpu()
        outputs, ctx.passed = connection.run(
            forward(connection.servers, hidden_states.detach().cpu(), start, end, cpu_prompts)
        )
        ctx.connection, ctx.prompts = connection, cpu_prompts
        ctx.like_prompts = prompts
        return outputs.to(hidden_states.device)

    @staticmethod
    def backward(ctx: Any, grad_outputs: torch.Tensor) -> tuple[None, None, None, torch.Tensor, torch.Tensor | None]:
        passed: tuple[Passed, ...] = ctx.passed
        gradient, prompt_gradient = ctx.connection.run(
            backward(ctx.connection.servers, passed, grad_outputs.cpu(), ctx.prompts)
        )
        if prompt_gradient is not None:
            prompt_gradient = prompt_gradient.to(ctx.like_prompts.device, ctx.like_prompts.dtype)
        return None, None, None, gradient.to(grad_outputs.device), prompt_gradient


class SwarmForCausalLM(PreTrainedModel, GenerationMixin):
    """A causal language model whose blocks are served by the swarm. Made by `from_pretrained`."""

    main_input_name = "input_ids"
    _supports_sdpa = True
    _supports_attention_backend = True
    _is_stateful = False
    _keep_in_fp32_modules: ClassVar[list[str]] = []

    def __init__(
        self, config: Any, ends: Ends, connection: Connection, *, account: Account | None = None, block_flops: int = 0
    ):
        super().__init__(config)
        self.account = account
        self._block_flops = block_flops
        self.ends = ends
        self.greedy_head = LazyGreedyHead(ends.head)
        self.connection = connection
        self.wire = Compression.NONE
        """How hidden states of prompts are packed for servers that know `wire16`; exact unless it is set."""
        self.default_max_length = min(
            DEFAULT_MAX_LENGTH, getattr(config, "max_position_embeddings", None) or DEFAULT_MAX_LENGTH
        )

    @classmethod
    def from_pretrained(
        cls,
        model: str,
        *,
        initial_peers: Sequence[str],
        dht_prefix: str | None = None,
        revision: str | None = None,
        dtype: torch.dtype = torch.float32,
        models_dir: Path | None = None,
    ) -> SwarmForCausalLM:
        """Loads what a client holds of `model`, and joins its swarm.

        Args:
            model: Hub name or local folder.
            initial_peers: multiaddresses of peers in the swarm, at least one.
            dht_prefix: under which its blocks are announced; by default Petals' rule for the name.
            revision: of the Hub repository.
            dtype: of embeddings, head and the hidden states that are sent.
            models_dir: where downloads are kept.

        Raises:
            ConfigurationError: the model cannot be used, or no initial peer was given.
            Unavailable: no initial peer answers.
        """
        opened = open_swarm_model(
            model,
            models_dir=models_dir or default_data_dir() / "models",
            revision=revision,
            dht_prefix=dht_prefix,
        )
        return cls.join(opened, initial_peers=initial_peers, dtype=dtype)

    @classmethod
    def join(
        cls,
        model: SwarmModel,
        *,
        initial_peers: Sequence[str],
        dtype: torch.dtype = torch.float32,
        peers_file: Path | None = None,
        swarm_key: SwarmKey | None = None,
        account: Account | None = None,
        on_progress: Callable[[DownloadProgress], None] | None = None,
    ) -> SwarmForCausalLM:
        """As `from_pretrained`, of a model that is open.

        Args:
            peers_file: where servers that were seen are remembered; if it is there, no initial peer need be given.
            swarm_key: of a private swarm.
            account: signs for what servers do; without one they serve a guest.
            on_progress: told how far the download of embeddings and head is.
        """
        if not initial_peers and not (peers_file is not None and peers_file.is_file()):
            raise ConfigurationError("Say which swarm to join: give at least one initial peer.")
        family, checkpoint = model.family, model.checkpoint
        checkpoint.prepare(ends_parts(family, checkpoint), on_progress=on_progress)
        ends = load_ends(family, checkpoint, dtype=dtype, device=torch.device("cpu"))
        connection = Connection(
            initial_peers, model.dht_prefix, family.num_blocks, peers_file=peers_file, swarm_key=swarm_key
        )
        config = copy.deepcopy(family.config)  # transformers writes into it, and the family is the caller's
        config.dtype = dtype
        joined = cls(config, ends, connection, account=account, block_flops=family.block_flops).eval()
        if (checkpoint.folder / "generation_config.json").is_file():
            joined.generation_config = GenerationConfig.from_pretrained(checkpoint.folder)
        return joined

    def close(self) -> None:
        """Leaves the swarm."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def session(
        self,
        *,
        max_length: int | None = None,
        start: int = 0,
        end: int | None = None,
        left_padding: Sequence[int] | None = None,
        stop: threading.Event | None = None,
        offer: Offer | None = None,
        peers: Iterable[str] = (),
    ) -> BlockingSession:
        """A new inference session through blocks `start:end`, by default all; `stop` interrupts its steps.

        Args:
            offer: for the servers' work; the account's own by default, and nothing where there is no account.
            peers: the only servers to go through, by peer id; all if there are none.
        """
        session = Session(
            self.connection.servers,
            start=start,
            end=end,
            max_length=max_length or self.default_max_length,
            left_padding=left_padding,
            wire=self.wire,
            purse=None if self.account is None else Purse(self.account, self._block_flops, offer),
            peers=peers,
        )
        return BlockingSession(self.connection, session, stop)

    def likely_route(self, *, max_length: int, stop: threading.Event | None = None) -> tuple[ServerRecord, ...]:
        """What the servers announce that a session opened now would go through.

        Raises:
            NoRoute: some blocks are served by nobody.
            Stopped: `stop` was set while a route was waited for.
        """
        servers = self.connection.servers

        async def find() -> tuple[ServerRecord, ...]:
            route = await servers.route(0, servers.num_blocks, kv_tokens_needed=max_length)
            return tuple(servers.servers[hop.peer_id].record for hop in route.hops)

        return self.connection.run(find(), stop=stop)

    def blocks(
        self,
        hidden_states: torch.Tensor,
        *,
        start: int = 0,
        end: int | None = None,
        prompts: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Whole sequences through blocks `start:end` without a cache; gradients flow to hidden states and prompts.

        Args:
            hidden_states: [batch, tokens, hidden].
            prompts: [blocks, batch or 1, prefix, hidden], added to the first positions before each block.
        """
        last = self.connection.servers.num_blocks if end is None else end
        outputs: torch.Tensor = _RemoteBlocks.apply(  # type: ignore[no-untyped-call]
            self.connection, start, last, hidden_states, prompts
        )
        return outputs

    def get_input_embeddings(self) -> nn.Module:
        return self.ends.embeddings

    def get_output_embeddings(self) -> nn.Module:
        return self.ends.head

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        past_key_values: SwarmCache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        logits_to_keep: int = 0,
        prompts: torch.Tensor | None = None,
        argmax_only: bool = False,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits of all positions, or of the last `logits_to_keep`.

        Args:
            input_ids: [batch, new] int64, or `inputs_embeds` [batch, new, embedding] instead.
            attention_mask: [batch, past + new], zeros only at the left of a row.
            past_key_values: the session to go on in; without one, `use_cache` opens one. Gradients need neither.
            prompts: deep prompts, [blocks, batch or 1, prefix, hidden].
            output_hidden_states: gives the inputs of the first block and the outputs of each hop, not normalised.
            argmax_only: only the greatest logit of each position matters; the others may be -inf. See `client/head.py`.

        Returns:
            `logits` [batch, kept, vocabulary], `loss` if there are labels, `past_key_values` if a session is open.

        Raises:
            ValueError: shapes do not fit, or the mask is not left padding.
            NoRoute, SessionFailed: the swarm cannot answer.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        if inputs_embeds is None:
            inputs_embeds = self.ends.embeddings(input_ids)
        past = past_key_values.get_seq_length() if past_key_values is not None else 0
        padding = _left_padding(attention_mask, past + inputs_embeds.shape[1])
        positions = Positions(past, inputs_embeds.shape[1], padding)
        hidden_states = self.ends.embed(inputs_embeds, positions)

        borders: list[torch.Tensor] | None = [hidden_states] if output_hidden_states else None
        needs_gradients = torch.is_grad_enabled() and (
            hidden_states.requires_grad or (prompts is not None and prompts.requires_grad)
        )
        if needs_gradients and past:
            raise ValueError("gradients do not flow through a session: give the whole sequence without a cache")
        if use_cache is None:
            use_cache = past_key_values is not None
        if use_cache and not needs_gradients:
            if past_key_values is None:
                past_key_values = SwarmCache(self, self.default_max_length)
            hidden_states = past_key_values.open(padding).step(hidden_states, prompts=prompts, borders=borders)
        else:
            past_key_values = None
            hidden_states = self._forward_rows(hidden_states, padding, prompts)
            if borders is not None:
                borders.append(hidden_states)

        kept = hidden_states[:, -logits_to_keep:] if logits_to_keep else hidden_states
        head = self.greedy_head if argmax_only and labels is None else self.ends.head
        logits = head(self.ends.normalise(kept))
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size)
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=past_key_values,
            hidden_states=None if borders is None else tuple(borders),
        )

    def _forward_rows(
        self, hidden_states: torch.Tensor, padding: tuple[int, ...] | None, prompts: torch.Tensor | None
    ) -> torch.Tensor:
        """All rows in one call, or a row at a time without its padding: stateless RPCs know no padding."""
        if padding is None:
            return self.blocks(hidden_states, prompts=prompts)
        if prompts is not None:
            raise ValueError("deep prompts cannot be combined with padding")
        rows = [
            nn.functional.pad(self.blocks(hidden_states[row : row + 1, skipped:]), (0, 0, skipped, 0))
            for row, skipped in enumerate(padding)
        ]
        return torch.cat(rows)

    def _prepare_cache_for_generation(
        self,
        generation_config: GenerationConfig,
        model_kwargs: dict[str, Any],
        generation_mode: Any,
        batch_size: int,
        max_cache_length: int,
    ) -> None:
        """Called by `generate`: gives it a session as long as the answer may become."""
        if model_kwargs.get("past_key_values") is None and generation_config.use_cache is not False:
            if generation_mode == GenerationMode.ASSISTED_GENERATION:
                max_cache_length += DRAFT_TOKENS
            model_kwargs["past_key_values"] = SwarmCache(self, max_cache_length)

    def _sample(self, input_ids: torch.Tensor, logits_processor: Any, stopping_criteria: Any, **arguments: Any) -> Any:
        """Called by `generate` to decode greedily or to sample, with all that it will do to the logits."""
        if _takes_argmax(arguments["generation_config"], logits_processor):
            arguments["argmax_only"] = True
        return super()._sample(input_ids, logits_processor, stopping_criteria, **arguments)

    def _assisted_decoding(
        self, input_ids: torch.Tensor, logits_processor: Any, stopping_criteria: Any, **arguments: Any
    ) -> Any:
        """The same with speculation."""
        if _takes_argmax(arguments["generation_config"], logits_processor):
            arguments["argmax_only"] = True
        return super()._assisted_decoding(input_ids, logits_processor, stopping_criteria, **arguments)

    def _get_candidate_generator(self, *, model_kwargs: dict[str, Any], **arguments: Any) -> Any:
        # They would be handed on to the draft model, which may be one that does not know them.
        known = {name: value for name, value in model_kwargs.items() if name != "argmax_only"}
        if arguments["generation_config"].prompt_lookup_num_tokens is not None:
            # It would try the processors on made-up logits, and draft only what they allow. Those that draw allow one
            # token, and another of real logits. What is forbidden is rejected anyway when the draft is checked.
            arguments["logits_processor"] = LogitsProcessorList()
        return super()._get_candidate_generator(model_kwargs=known, **arguments)

    def _init_weights(self, module: nn.Module) -> None:
        """Everything is loaded before the model is made."""


def _takes_argmax(generation_config: GenerationConfig, logits_processor: Sequence[Any]) -> bool:
    """Whether `generate` looks at nothing but the greatest logit of each position.

    `logits_processor` are all that it applies, its own for penalties, forbidden words and the like, and the caller's.
    """
    config = generation_config
    return (
        not config.do_sample
        and config.num_beams in (None, 1)
        and len(logits_processor) == 0
        and not config.output_logits
        and not config.output_scores
        and config.assistant_ensemble_weight is None
        and config.assistant_early_exit is None
    )


def _left_padding(attention_mask: torch.Tensor | None, length: int) -> tuple[int, ...] | None:
    """How many positions at the left of each row are masked, None if nowhere any.

    Raises:
        ValueError: the mask has another length, or zeros elsewhere.
    """
    if attention_mask is None or bool(attention_mask.all()):
        return None
    mask = attention_mask.to(torch.bool)
    if mask.ndim != 2 or mask.shape[1] != length:
        raise ValueError(f"an attention mask of shape {tuple(mask.shape)} for {length} tokens")
    padding = (~mask).sum(dim=1)
    if not torch.equal(mask, torch.arange(length, device=mask.device)[None, :] >= padding[:, None]):
        raise ValueError("only padding at the left is supported: set tokenizer.padding_side to 'left'")
    return tuple(padding.tolist())
