"""What servers announce in the DHT: records, block uids, and who serves which blocks.

Pure: knows the words on the wire (Petals' own and our extra fields), not how they are stored, fetched or refreshed.
Everything that is parsed here was written by strangers.
"""

from __future__ import annotations

import logging
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

logger = logging.getLogger(__name__)

MAX_BLOCKS = 10_000
MAX_CHAIN_BLOCKS = 1_000
"""Most blocks that one request may name; the deepest public models have fewer than 200."""
MAX_TEXT_LENGTH = 100
MAX_PINGS = 1_000
MAX_ADAPTERS = 100
MAX_EXTENSIONS = 32
MAX_MADDRS, MAX_MADDR_LENGTH = 8, 300
_MAX_PREFIX_LENGTH = 256
_MAX_PEER_ID_LENGTH = 128
_MAX_INTEGER = 2**63 - 1  # msgpack carries no more than 64 bits

_PEER_ID = re.compile(rf"[1-9A-HJ-NP-Za-km-z]{{1,{_MAX_PEER_ID_LENGTH}}}")  # base58: no 0, O, I or l
_DHT_PREFIX = re.compile(rf"[^\s.\x00-\x1f\x7f]{{1,{_MAX_PREFIX_LENGTH}}}")
_BLOCK_INDEX = re.compile(r"0|[1-9][0-9]{0,4}")


class BadRecord(Exception):
    """What a peer stored as its record cannot be one."""


class ServerState(IntEnum):
    OFFLINE = 0
    JOINING = 1
    """Loading its blocks: counts when others choose theirs, but is not asked to compute."""
    ONLINE = 2


def _as_state(value: object) -> ServerState:
    if not isinstance(value, int | float) or value not in set(ServerState):
        raise ValueError("not a known state")
    return ServerState(int(value))


def _number_as_text(value: object) -> object:
    # As Petals reads it: a server whose public name is 42 is found by its clients.
    return str(value) if isinstance(value, int | float) else value


def _fit_to_show(text: str) -> str:
    """One line of printable text: no control characters, no marks that turn the reading direction around."""
    kept = (" " if char.isspace() else char for char in text[: 10 * MAX_TEXT_LENGTH])
    printable = "".join(char for char in kept if char.isprintable())
    return " ".join(printable.split())[:MAX_TEXT_LENGTH].rstrip()


def _fit_to_show_or_absent(text: str | None) -> str | None:
    return _fit_to_show(text) or None if text is not None else None


_Text = Annotated[str, BeforeValidator(_number_as_text), AfterValidator(_fit_to_show)]
_OptionalText = Annotated[str | None, BeforeValidator(_number_as_text), AfterValidator(_fit_to_show_or_absent)]
_Rate = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
_Ping = Annotated[float, Field(strict=True, ge=0)]  # infinite: tried and not reached
_Count = Annotated[int, Field(strict=True, ge=0, le=_MAX_INTEGER)]
_Block = Annotated[int, Field(strict=True, ge=0, le=MAX_BLOCKS)]
_Maddr = Annotated[str, Field(strict=True, max_length=MAX_MADDR_LENGTH)]
_PingedPeer = Annotated[str, Field(max_length=_MAX_PEER_ID_LENGTH)]


class ServerRecord(BaseModel):
    """What one server announces under each of its blocks; a field that is None was not announced."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: Annotated[ServerState, BeforeValidator(_as_state)]
    throughput: _Rate
    """Tokens/s through the server as it sees itself; what others weigh when they choose their blocks."""

    start_block: _Block | None = None
    end_block: _Block | None = None
    public_name: _OptionalText = None
    version: _OptionalText = None
    network_rps: _Rate | None = None
    forward_rps: _Rate | None = None
    """Tokens/s of one block in a large batch."""
    inference_rps: _Rate | None = None
    """One-token steps/s of one block."""
    adapters: Annotated[tuple[_Text, ...], Field(max_length=MAX_ADAPTERS)] = ()
    torch_dtype: _OptionalText = None
    quant_type: _OptionalText = None
    using_relay: bool | None = None
    cache_tokens_left: _Count | None = None
    """Free KV room; keys and values, and every block, count separately."""
    next_pings: Annotated[Mapping[_PingedPeer, _Ping], Field(max_length=MAX_PINGS)] | None = None
    """Round trip in seconds to servers that may come next, by peer id."""

    # Ours, ignored by Petals.
    extensions: Annotated[tuple[_Text, ...], Field(max_length=MAX_EXTENSIONS)] = ()
    """Wire extensions that the server speaks, such as "left_padding"; every server of ours speaks at least one."""
    served_tokens: _Count | None = None
    free_rows: _Count | None = None
    """How many more rows (tokens of any sessions) the next batch takes before others would wait for them; 0: full."""
    maddrs: Annotated[tuple[_Maddr, ...], Field(max_length=MAX_MADDRS)] = ()
    """Multiaddresses of the server, for others to remember: they lead back into the swarm when all else is gone."""

    @model_validator(mode="after")
    def _span_is_not_empty(self) -> ServerRecord:
        if self.start_block is not None and self.end_block is not None and self.start_block >= self.end_block:
            raise ValueError("start_block is not below end_block")
        return self

    @property
    def span(self) -> range | None:
        if self.start_block is None or self.end_block is None:
            return None
        return range(self.start_block, self.end_block)


_EXTRA_FIELDS = tuple(name for name in ServerRecord.model_fields if name not in ("state", "throughput"))
_FLOAT_FIELDS = ("network_rps", "forward_rps", "inference_rps")
_INT_FIELDS = ("start_block", "end_block", "cache_tokens_left", "served_tokens", "free_rows")
_TEXT_FIELDS = ("public_name", "version", "torch_dtype", "quant_type")
_TUPLE_FIELDS = ("adapters", "extensions", "maddrs")


def parse_record(value: object) -> ServerRecord:
    """The record in what a peer stored: `(state, throughput, extra)`, perhaps without `extra` or with more after it.

    Raises:
        BadRecord: whatever else it is.
    """
    return _validated(_known_fields(value))


def _known_fields(value: object) -> dict[str, Any]:
    if not isinstance(value, tuple | list) or len(value) < 2:
        raise BadRecord("It is not a sequence of a state, a throughput and more.")
    extra = value[2] if len(value) > 2 else {}
    if not isinstance(extra, dict):
        raise BadRecord("Its third part is not a dictionary.")
    fields = {name: extra[name] for name in _EXTRA_FIELDS if name in extra}
    return {"state": value[0], "throughput": value[1], **fields}


def _validated(fields: dict[str, Any]) -> ServerRecord:
    try:
        return ServerRecord.model_validate(fields)
    except ValidationError as error:
        # Only the name of our own field and the rule: the rest of the message would repeat the stranger's words.
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = first["loc"][0] if first["loc"] else "span"
        raise BadRecord(f"{where}: {first['msg']}") from None


def to_wire(record: ServerRecord) -> tuple[int, float, dict[str, Any]]:
    """The value to store, in the exact types that Petals asks for: an int where it wants a float loses the entry."""
    extra: dict[str, Any] = {}
    for names, kind in ((_INT_FIELDS, int), (_FLOAT_FIELDS, float), (_TEXT_FIELDS, str)):
        for name in names:
            value = getattr(record, name)
            if value is not None:
                extra[name] = kind(value)
    for name in _TUPLE_FIELDS:
        if getattr(record, name):
            extra[name] = tuple(getattr(record, name))
    if record.using_relay is not None:
        extra["using_relay"] = bool(record.using_relay)
    if record.next_pings is not None:
        extra["next_pings"] = {str(peer_id): float(rtt_s) for peer_id, rtt_s in record.next_pings.items()}
    return int(record.state), float(record.throughput), extra


_LLAMA_TYPES = frozenset({"llama", "mistral", "qwen2", "qwen3"})


def default_dht_prefix(model: str, model_type: str) -> str:
    """Where Petals looks for a model's blocks: its rule for the model's Hub name, family by family.

    Args:
        model: the Hub name ("bigscience/bloom-560m"); for a local folder, the name of the folder alone.
        model_type: as in the model's `config.json`. Llama's rule serves the models built like it, BLOOM's all others.
    """
    # The prefix is followed by "." and the block's index, and uids are joined by spaces.
    name = re.sub(r"[.\s]", "-", model)
    repository = name.rsplit("/", 1)[-1]
    if model_type in _LLAMA_TYPES:
        return repository if repository.endswith("-hf") else f"{repository}-hf"
    if model_type == "falcon":
        return repository
    if model_type == "mixtral":
        return name
    return f"{name}-petals"


def block_uid(prefix: str, index: int) -> str:
    """The DHT key of a block, and its name in requests."""
    if not _DHT_PREFIX.fullmatch(prefix):
        raise ValueError("A DHT prefix is one word without dots.")
    if not 0 <= index < MAX_BLOCKS:
        raise ValueError(f"There is no block {index}.")
    return f"{prefix}.{index}"


def parse_block_uids(text: str, *, max_blocks: int = MAX_CHAIN_BLOCKS) -> tuple[str, range]:
    """The DHT prefix and the blocks that a request names: uids joined by single spaces, one model, no gaps.

    Raises:
        ValueError: it is anything else; the text may be sent back to who asked.
    """
    if not text:
        raise ValueError("The request names no blocks.")
    if text.count(" ") >= max_blocks:
        raise ValueError(f"The request names more than {max_blocks} blocks.")
    parsed = [_parse_uid(uid) for uid in text.split(" ")]
    prefix, start = parsed[0]
    if any(other != prefix for other, _ in parsed):
        raise ValueError("The request names blocks of different models.")
    if any(index != start + offset for offset, (_, index) in enumerate(parsed)):
        raise ValueError("The blocks of the request do not follow one another.")
    return prefix, range(start, start + len(parsed))


def _parse_uid(uid: str) -> tuple[str, int]:
    prefix, dot, index = uid.partition(".")
    if not (dot and _DHT_PREFIX.fullmatch(prefix) and _BLOCK_INDEX.fullmatch(index) and int(index) < MAX_BLOCKS):
        raise ValueError(f"{uid[:MAX_TEXT_LENGTH]!r} is not the uid of a block.")
    return prefix, int(index)


@dataclass(frozen=True)
class ServerInfo:
    """One server as the swarm sees it: its record and the blocks [start, end) that it holds."""

    peer_id: str
    """In base58."""
    record: ServerRecord
    start: int
    end: int
    is_signed: bool = False
    """By the key of the peer; nobody else wrote it."""

    @property
    def blocks(self) -> range:
        return range(self.start, self.end)

    @property
    def is_online(self) -> bool:
        return self.record.state is ServerState.ONLINE


@dataclass(frozen=True)
class _Sighting:
    """A record as it was found under one block."""

    block: int
    record: ServerRecord
    expires_at_s: float
    is_signed: bool


class _LastParsed:
    """Validates a server's record once, not once per block: 16 us each, and a swarm's table has thousands."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[dict[str, Any], ServerRecord]] = {}

    def record(self, peer_id: str, value: object) -> ServerRecord:
        fields = _known_fields(value)
        last = self._last.get(peer_id)
        # Validated fields are shallow, so what compares equal to them is too: no stranger's nesting is followed here.
        if last is not None and last[0] == fields:
            return last[1]
        record = _validated(fields)
        self._last[peer_id] = fields, record
        return record


def servers_from_blocks(
    per_block: Mapping[int, Mapping[str, object]],
    *,
    expires_at_s: Mapping[int, Mapping[str, float]] | None = None,
    signed: Mapping[int, Set[str]] | None = None,
) -> dict[str, ServerInfo]:
    """One entry per server from what is stored under each block: block index -> {peer id: raw value}.

    A server that moves, restarts or leaves can be seen with several records at once. The newest wins where
    `expires_at_s` tells; else the one that is found under most of the blocks that it claims, then the one nearer to
    ONLINE, then the wider. The blocks are those the record claims, or, if it claims none, the longest run under which
    it was found; they may reach beyond the blocks asked for, and beyond the model if the record lies.

    `signed` tells whose records have a signature that was found good: those beat what else is said of their servers.

    A bad record costs only its sender, and is logged once per sender.
    """
    expires_at_s, signed = expires_at_s or {}, signed or {}
    sightings: dict[str, list[_Sighting]] = defaultdict(list)
    complaints: dict[str, str] = {}
    strange_peers = 0
    parsed = _LastParsed()
    for block, entries in sorted(per_block.items()):
        for peer_id, value in entries.items():
            if not (isinstance(peer_id, str) and _PEER_ID.fullmatch(peer_id)):
                strange_peers += 1
                continue
            try:
                record = parsed.record(peer_id, value)
            except BadRecord as error:
                complaints.setdefault(peer_id, str(error))
                continue
            if record.span is not None and block not in record.span:
                complaints.setdefault(peer_id, "It is stored under a block that it does not claim.")
                continue
            expiry_s = expires_at_s.get(block, {}).get(peer_id, -math.inf)
            sightings[peer_id].append(_Sighting(block, record, expiry_s, peer_id in signed.get(block, ())))

    for peer_id, complaint in complaints.items():
        logger.warning("Ignoring a record of %s. %s", peer_id, complaint)
    if strange_peers:
        logger.warning("Ignoring %d records whose owner is not a peer id.", strange_peers)
    return {peer_id: _one_view(peer_id, seen, set(per_block)) for peer_id, seen in sorted(sightings.items())}


def _one_view(peer_id: str, sightings: Sequence[_Sighting], asked: set[int]) -> ServerInfo:
    """The view of a server that its sightings support best."""
    if any(sighting.is_signed for sighting in sightings):
        sightings = [sighting for sighting in sightings if sighting.is_signed]
    views: dict[tuple[ServerState, range | None], list[_Sighting]] = defaultdict(list)
    for sighting in sightings:
        views[sighting.record.state, sighting.record.span].append(sighting)

    def rank(view: tuple[ServerState, range | None]) -> tuple[float, float, int, int, int]:
        state, claimed = view
        seen = views[view]
        blocks = claimed if claimed is not None else _longest_run(sighting.block for sighting in seen)
        found = len(seen) / sum(block in asked for block in blocks) if claimed is not None else 1.0
        return max(sighting.expires_at_s for sighting in seen), found, state, len(blocks), -blocks.start

    best = max(views, key=rank) if len(views) > 1 else next(iter(views))
    seen = views[best]
    blocks = best[1] if best[1] is not None else _longest_run(sighting.block for sighting in seen)
    # The records of one view differ in passing numbers only (free cache, pings); the newest of them speaks.
    newest = max(seen, key=lambda sighting: sighting.expires_at_s)
    return ServerInfo(peer_id, newest.record, blocks.start, blocks.stop, newest.is_signed)


def _longest_run(blocks: Iterable[int]) -> range:
    """The longest run of consecutive indices, the first of them on a tie; `blocks` are ascending and not empty."""
    runs: list[range] = []
    for block in blocks:
        if runs and runs[-1].stop == block:
            runs[-1] = range(runs[-1].start, block + 1)
        else:
            runs.append(range(block, block + 1))
    return max(runs, key=len)


def port_of(maddr: str) -> int | None:
    """The TCP port in a multiaddress; None if there is none, or if it is a relay's."""
    match = re.search(r"/tcp/([0-9]{1,5})(?:/|$)", maddr)
    return int(match[1]) if match is not None and "/p2p-circuit" not in maddr else None


def uncovered_blocks(spans: Iterable[range], within: range) -> tuple[range, ...]:
    """The parts of `within` that lie in none of the spans, in order."""
    gaps = []
    position = within.start
    for span in sorted(filter(None, spans), key=lambda span: span.start):
        if span.start > position:
            gaps.append(range(position, min(span.start, within.stop)))
        position = max(position, span.stop)
        if position >= within.stop:
            break
    gaps.append(range(position, within.stop))
    return tuple(filter(None, gaps))


def blocks_in_words(spans: Sequence[range]) -> str:
    """ "block 5", "blocks 0-3 and 31-38": for people, so the last block is named, not the one after it."""
    names = [str(span.start) if len(span) == 1 else f"{span.start}-{span.stop - 1}" for span in spans]
    noun = "block" if len(spans) == 1 and len(spans[0]) == 1 else "blocks"
    *first, last = names
    return f"{noun} {', '.join(first)} and {last}" if first else f"{noun} {last}"
