"""The next greedy token without reading the whole head: a quantised copy proposes, exact rows decide.

Knows matrices and hidden states, not models. Where it cannot prove that the whole head in float32 would choose the same
token, it asks the whole head.

The proof. Let t_i be the product of the hidden state x and row w_i in real numbers, f_i what `F.linear` makes of it
in float32, and y_i what the quantised copy gives. Whatever the order of summation (Higham, Accuracy and Stability of
Numerical Algorithms, 3.1), with u = 2^-24 and g = H u / (1 - H u) for H columns,

    |f_i - t_i| <= g sum_j |x_j w_ij| <= g |x| |w_i|                                                       (1)
    |y_i - t_i| <= |x| |w_i - w^_i| + |x - x^| |w^_i| + a few u of |x| |w^_i|                              (2)

by Cauchy and Schwarz: w^_i is the row as the copy has it, x^ the hidden state as the copy is given it, and their
product is summed in integers, without error. The sum of both bounds is E_i. A row whose y_i + E_i lies below some
y_j - E_j cannot have the greatest f: the others are the candidates. Their t_i are computed in float64. If the greatest
of them leads all others by more than both bounds of (1), its f is the greatest too, and no f had to be computed.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import nn

from volunteer.models import onednn

_UNIT = onednn.ROUNDING
_MIN_BYTES = 32 << 20
"""A smaller head in float32 costs less than a few milliseconds a token: nothing to gain."""
_MAX_COLUMNS = 1 << 14
"""So that norms summed in float32 are right within 1 %, and sums of products stay far below 2^31."""
_MAX_NORM = 1e15
"""Products of such rows and hidden states stay finite in float32."""
_TINY = 1e-30
"""What numbers too small for float32's full precision can add up to in a product, by a wide margin."""
_TINY_NORM = 2e-17
"""What a norm can miss because squares too small for float32 count as zero: sqrt(_MAX_COLUMNS 2^-126)."""
_MARGIN = 1.01
"""For norms and bounds that are themselves computed in float32."""
_ROWS_AT_ONCE = 512
_CANDIDATES_SHARE = 1 / 64
"""Of the rows: with more of them, the whole head is as quick."""


@dataclass
class HeadCounts:
    """What became of the positions that were asked for; those of one call share its fate."""

    proposed: int = 0
    """Decided by candidates alone."""
    ties: int = 0
    """Two candidates so close that rounding decides: the whole head was asked."""
    crowded: int = 0
    """Too many candidates: the whole head was asked."""
    not_finite: int = 0
    """Hidden states that are huge, infinite or NaN, or products at less than full precision: as before."""
    candidates: int = 0
    """Rows looked at exactly, of all positions in `proposed`."""


class GreedyHead:
    """A head's argmax at a quarter of the bytes. Made by `of`, which says whether it can be had.

    Costs a byte for each weight beside the float32 head, which stays the one in use and is not copied.

    Args:
        weight: the head, [rows, columns] float32 on the CPU, finite.
        levels: the copy's rows are integers from -levels to levels; see `onednn.exact_levels`.
    """

    def __init__(self, weight: torch.Tensor, levels: int):
        rows, columns = weight.shape
        self.counts = HeadCounts()
        self._weight = weight
        self._levels = levels
        self._rounding = _MARGIN * columns * _UNIT / (1 - columns * _UNIT)  # g in (1)
        self._scales = weight.new_empty(rows)
        self._norms = weight.new_empty(rows)
        self._errors = weight.new_empty(rows)
        integers = torch.empty(rows, columns, dtype=torch.int8)
        for start in range(0, rows, _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            self._quantise(weight[part], part, integers[part])
        self._copy = onednn.packed_int8(integers)

    @classmethod
    def of(cls, head: nn.Module, *, min_bytes: int = _MIN_BYTES) -> Self | None:
        """For this head, None where it would not pay or could not be proved right."""
        weight = getattr(head, "weight", None)
        if not isinstance(head, nn.Linear) or weight is None or head.bias is not None:
            return None
        if weight.dtype != torch.float32 or weight.device.type != "cpu" or weight.shape[1] > _MAX_COLUMNS:
            return None
        levels = onednn.exact_levels(weight.shape[1]) if weight.nbytes >= min_bytes else None
        if levels is None:
            return None
        with torch.no_grad():
            greedy = cls(weight.detach(), levels)
        return greedy if bool((greedy._norms < _MAX_NORM).all()) else None  # NaN is not below anything

    @property
    def nbytes(self) -> int:
        """Memory that the copy takes."""
        return self._weight.numel() + sum(each.nbytes for each in (self._scales, self._norms, self._errors))

    @torch.inference_mode()
    def pays(self) -> bool:
        """Whether proposing is quicker here than the whole head: kernels for integers are not fast everywhere."""
        state = self._weight[:1].clone()
        quick_s, whole_s = math.inf, math.inf
        for _ in range(4):  # in turns; the least of them, as whatever disturbs makes it longer
            quick_s = min(quick_s, _seconds(lambda: self._propose(state)))
            whole_s = min(whole_s, _seconds(lambda: nn.functional.linear(state, self._weight)))
        return quick_s < whole_s

    @torch.no_grad()
    def __call__(self, hidden_states: torch.Tensor) -> torch.Tensor | None:
        """Logits whose argmax is that of the whole head; None where the whole head has to be asked.

        Args:
            hidden_states: normalised, [..., columns] float32 on the CPU.

        Returns:
            [..., rows] float32: right for every candidate (within (1) of the whole head's), -inf for all others, which
            are proved to be smaller. The greatest stands alone.
        """
        states = hidden_states.reshape(-1, hidden_states.shape[-1])
        norms = states.norm(dim=1).double() * _MARGIN + _TINY_NORM
        # `F.linear` may round its factors to bfloat16 when it was told to, and then (1) does not hold.
        if torch.get_float32_matmul_precision() != "highest" or not bool((norms < _MAX_NORM).all()):
            self.counts.not_finite += len(states)
            return None
        approximate, residuals = self._propose(states)
        candidates = self._candidates(approximate, norms, residuals)
        if len(candidates) > len(states) * len(self._weight) * _CANDIDATES_SHARE:
            self.counts.crowded += len(states)
            return None
        logits = approximate.fill_(-torch.inf)
        for index, state in enumerate(states.double()):
            rows = candidates[candidates[:, 0] == index, 1]
            weight = self._weight[rows].double()
            exact = weight @ state
            bounds = self._rounding * (weight.abs_() @ state.abs()) + _TINY
            best = exact.argmax()
            close = exact + bounds >= exact[best] - bounds[best]
            if close.sum() > 1:
                self.counts.ties += len(states)
                return None
            logits[index, rows] = exact.float()
        self.counts.proposed += len(states)
        self.counts.candidates += len(candidates)
        return logits.view(*hidden_states.shape[:-1], len(self._weight))

    def _quantise(self, weight: torch.Tensor, part: slice, integers: torch.Tensor) -> None:
        largest = weight.abs().amax(dim=1)
        scales = torch.where(largest > _TINY, largest / self._levels, 1.0)
        rounded = (weight / scales[:, None]).round_().clamp_(-self._levels, self._levels)
        integers.copy_(rounded.nan_to_num_())
        errors = rounded.mul_(scales[:, None]).sub_(weight).norm(dim=1)
        norms = weight.norm(dim=1).mul_(_MARGIN).add_(_TINY_NORM)
        self._scales[part], self._norms[part] = scales, norms
        # Multiplying by the scale and subtracting were rounded too, by less than 2^-22 of the row.
        self._errors[part] = errors.mul_(_MARGIN).add_(norms, alpha=2.0**-22).add_(_TINY_NORM)

    def _propose(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The y of all rows, [positions, rows], and the norms of x - x^, [positions] float64.

        A hidden state goes through as two rows of integers, a coarse one and what that leaves over: the copy is read
        once for both, and what is left then hardly matters beside the error of the copy itself.
        """
        largest = states.abs().amax(dim=1, keepdim=True).double()
        coarse_scale = torch.where(largest > _TINY, largest / 127, 1.0)
        fine_scale = coarse_scale / 254
        remainder = states.double()
        coarse = (remainder / coarse_scale).round_()
        remainder = remainder - coarse * coarse_scale
        fine = (remainder / fine_scale).round_().clamp_(-127, 127)
        remainder = remainder - fine * fine_scale
        halves = torch.cat([coarse, fine]).add_(onednn.BYTE_ZERO).to(torch.uint8)
        products = onednn.int8_product(halves, self._copy, self._scales)
        approximate = products[: len(states)].mul_(coarse_scale.float())
        approximate.addcmul_(products[len(states) :], fine_scale.float())
        return approximate, remainder.norm(dim=1)

    def _candidates(self, approximate: torch.Tensor, norms: torch.Tensor, residuals: torch.Tensor) -> torch.Tensor:
        """(position, row) of every row that may have the greatest logit of its position, [n, 2] in order."""
        # With 2^14 columns and 63 levels, the extremes, |w_i - w^_i| <= 2^7 / 126 |w_i|, so that |w^_i| <= 2.02 |w_i|;
        # and |x^| <= 2 |x|. So 64 u of |x| |w_i| covers the handful of roundings in y, and in y plus or minus E.
        of_errors = _MARGIN * norms
        of_norms = _MARGIN * (2 * residuals + (self._rounding + 64 * _UNIT) * norms)
        bounds = of_errors.float()[:, None] * self._errors
        bounds.add_(of_norms.float()[:, None] * self._norms).add_(_TINY)
        least = (approximate - bounds).amax(dim=1, keepdim=True)
        return (bounds.add_(approximate) >= least).nonzero()


class LazyGreedyHead:
    """Makes the copy when the first greedy token is asked for: whoever only samples, or trains, does not pay for it.

    It is made on a thread of its own, for seconds with BLOOM. Until it is there the whole head answers, equally right.

    Args:
        head: what `of` decides about; when its weights are exchanged or changed, so is the copy.
    """

    def __init__(self, head: nn.Module):
        self._head = head
        self._greedy: GreedyHead | None = None
        self._made_of: tuple[int, int] | None = None
        self._maker: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def counts(self) -> HeadCounts:
        return self._greedy.counts if self._greedy is not None else HeadCounts()

    def prepare(self) -> None:
        """Makes the copy now and waits for it, as a measurement wants it."""
        self._up_to_date()
        if self._maker is not None:
            self._maker.join()

    def __call__(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Logits [..., rows] with the argmax of the whole head: see `GreedyHead`; or simply the whole head's."""
        greedy = self._up_to_date()
        logits = greedy(hidden_states) if greedy is not None else None
        return self._head(hidden_states) if logits is None else logits

    def _up_to_date(self) -> GreedyHead | None:
        weight = getattr(self._head, "weight", None)
        if weight is None or weight.is_inference():  # changes of such a tensor are not counted
            return None
        version = id(weight), weight._version
        with self._lock:
            if self._made_of != version:
                self._made_of, self._greedy = version, None
                # No daemon: a process that exits while torch computes in one is aborted. It waits for seconds at most.
                self._maker = threading.Thread(target=self._make, args=(version,), name="head")
                self._maker.start()
            return self._greedy

    def _make(self, version: tuple[int, int]) -> None:
        greedy = GreedyHead.of(self._head)
        if greedy is not None and not greedy.pays():
            greedy = None
        with self._lock:
            if self._made_of == version:
                self._greedy = greedy


def _seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started
