"""What the worker is doing and what it should do next: a state machine without a clock, a network or a model.

One value holds what was asked, what the limits say and how far the serving part has come. Each function gives the next
value; `next_step` says what to do about it, and one place (the worker) does it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Mode(StrEnum):
    """When to serve, as its owner wants it."""

    ALWAYS = "always"
    """Whatever the limits say."""
    AUTO = "auto"
    """When the limits allow it."""
    NEVER = "never"


class Phase(StrEnum):
    """How far a stay in the swarm has come, in this order."""

    STARTING = "starting"
    DOWNLOADING = "downloading"
    LOADING = "loading"
    JOINING = "joining"
    SERVING = "serving"


class State(StrEnum):
    """What is shown."""

    STARTING = "starting"
    DOWNLOADING = "downloading"
    LOADING = "loading"
    JOINING = "joining"
    SERVING = "serving"
    DRAINING = "draining"
    PAUSED = "paused"
    FAILED = "failed"
    STOPPED = "stopped"


class Leaving(StrEnum):
    """How a stay ends, the hastier the later."""

    FINISH = "finish"
    """Its sessions may go on as long as they need."""
    QUIT = "quit"
    """They have the time that a shutdown leaves."""
    NOW = "now"
    """They are handed over at once: the owner wants the memory."""


class Step(StrEnum):
    """What is to be done now."""

    NONE = "none"
    START = "start"
    LEAVE = "leave"
    EXIT = "exit"


_HASTE = tuple(Leaving)
PAUSED_BY_OWNER = "Paused by you"
FINISHED_BY_OWNER = "Finished, as you asked"
STOPPED = "Stopped"


@dataclass(frozen=True)
class Wish:
    """What the owner asked for last; it outlives the process.

    Attributes:
        since_s: seconds since the epoch.
        for_s: how long it counts; None for ever. Then it is AUTO again.
        finish: with NEVER, sessions may end first.
    """

    mode: Mode = Mode.AUTO
    since_s: float = 0.0
    for_s: float | None = None
    finish: bool = False

    @property
    def until_s(self) -> float | None:
        return None if self.for_s is None else self.since_s + self.for_s


@dataclass(frozen=True)
class Lifecycle:
    """Everything that decides what the worker does.

    Attributes:
        blocked: why the limits let nothing be served, in words; None if they do.
        unsafe: why nothing may be served whatever the owner wishes, in words; None if nothing is in danger.
        phase: of the stay that is under way; None when there is none.
        leaving: how that stay was told to end; None while it may go on.
        is_outdated: the stay that is under way began with other settings.
        quitting: the process is to end, and how; None while it may live.
        failure: why the last stay ended, in words; it waits for the owner then.
    """

    wish: Wish = Wish()
    blocked: str | None = None
    unsafe: str | None = None
    phase: Phase | None = None
    leaving: Leaving | None = None
    is_outdated: bool = False
    quitting: Leaving | None = None
    failure: str | None = None

    @property
    def may_serve(self) -> bool:
        """Whether a stay should be under way."""
        if self.quitting is not None or self.failure is not None or self.wish.mode is Mode.NEVER:
            return False
        return self.unsafe is None and (self.wish.mode is Mode.ALWAYS or self.blocked is None)

    @property
    def state(self) -> State:
        if self.phase is not None:
            return State.DRAINING if self.leaving is not None else State(self.phase.value)
        if self.quitting is not None:
            return State.STOPPED
        if self.failure is not None:
            return State.FAILED
        return State.STARTING if self.may_serve else State.PAUSED

    @property
    def reason(self) -> str:
        """Why it is not serving, in words; empty while it is, or is about to."""
        if self.quitting is not None:
            return STOPPED
        if self.failure is not None:
            return self.failure
        if self.wish.mode is Mode.NEVER:
            return FINISHED_BY_OWNER if self.wish.finish else PAUSED_BY_OWNER
        if self.wish.mode is Mode.AUTO and self.blocked is not None:
            return self.blocked
        return self.unsafe or ""


def next_step(lifecycle: Lifecycle) -> tuple[Step, Leaving | None]:
    """What to do now; with LEAVE, how."""
    if lifecycle.phase is None:
        if lifecycle.quitting is not None:
            return Step.EXIT, None
        return (Step.START, None) if lifecycle.may_serve else (Step.NONE, None)
    wanted = _hastiest(_leaving(lifecycle), lifecycle.leaving)
    if wanted is lifecycle.leaving:
        return Step.NONE, None
    return Step.LEAVE, wanted


def _leaving(lifecycle: Lifecycle) -> Leaving | None:
    if lifecycle.may_serve:
        # Who finishes and is wanted again does not wait for as long as the last session lasts.
        is_over = lifecycle.is_outdated or lifecycle.leaving is Leaving.FINISH
        return Leaving.QUIT if is_over else None
    if lifecycle.wish.mode is Mode.NEVER:
        return _hastiest(lifecycle.quitting, Leaving.FINISH if lifecycle.wish.finish else Leaving.NOW)
    if lifecycle.unsafe is not None or (lifecycle.wish.mode is Mode.AUTO and lifecycle.blocked is not None):
        return Leaving.NOW
    return lifecycle.quitting or Leaving.NOW


def _hastiest(*leavings: Leaving | None) -> Leaving | None:
    return max((each for each in leavings if each is not None), key=_HASTE.index, default=None)


# What the owner asks. Each can be asked again without another effect than the first time's.


def pause(lifecycle: Lifecycle, now_s: float, for_s: float | None = None) -> Lifecycle:
    """Frees the memory at once; for a time (snooze), or until `resume`."""
    return set_mode(lifecycle, Mode.NEVER, now_s, for_s)


def resume(lifecycle: Lifecycle, now_s: float) -> Lifecycle:
    """Serves when the limits allow it. Tries again after a failure."""
    return set_mode(lifecycle, Mode.AUTO, now_s)


def finish(lifecycle: Lifecycle, now_s: float) -> Lifecycle:
    """Lets the sessions end, then pauses. A pause that is there already stays one."""
    wish = lifecycle.wish
    if wish.mode is Mode.NEVER and wish.for_s is None:
        return lifecycle
    return replace(lifecycle, wish=Wish(Mode.NEVER, now_s, finish=True))


def set_mode(lifecycle: Lifecycle, mode: Mode, now_s: float, for_s: float | None = None) -> Lifecycle:
    """Serves always, never, or as the limits say; for a time, or for good. Asking to serve forgets a failure."""
    wish = Wish(mode, now_s, for_s if mode is not Mode.AUTO else None)
    failure = lifecycle.failure if mode is Mode.NEVER else None
    return replace(lifecycle, wish=wish, failure=failure)


def quit_worker(lifecycle: Lifecycle, how: Leaving = Leaving.QUIT) -> Lifecycle:
    """Ends the process once the stay is over; asked again in haste, the sooner."""
    return replace(lifecycle, quitting=_hastiest(how, lifecycle.quitting))


# What happens.


def passed(lifecycle: Lifecycle, now_s: float) -> Lifecycle:
    """Time went by. A clock that was set back does not make a wish last longer than it was to."""
    wish = lifecycle.wish
    if wish.for_s is None:
        return lifecycle
    if now_s < wish.since_s:
        return replace(lifecycle, wish=replace(wish, since_s=now_s))
    if now_s >= wish.since_s + wish.for_s:
        return replace(lifecycle, wish=Wish(since_s=now_s))
    return lifecycle


def limited(lifecycle: Lifecycle, blocked: str | None, unsafe: str | None = None) -> Lifecycle:
    """What the limits say now, and those among them that protect the machine."""
    return replace(lifecycle, blocked=blocked, unsafe=unsafe)


def outdated(lifecycle: Lifecycle) -> Lifecycle:
    """The owner chose other blocks, or another swarm: what is served now ends, and the other begins."""
    return lifecycle if lifecycle.phase is None else replace(lifecycle, is_outdated=True)


def started(lifecycle: Lifecycle) -> Lifecycle:
    """A stay began, as `next_step` said."""
    return replace(lifecycle, phase=Phase.STARTING, leaving=None)


def came_to(lifecycle: Lifecycle, phase: Phase) -> Lifecycle:
    """The stay got further, or back to an earlier phase when it moves to other blocks."""
    return lifecycle if lifecycle.phase is None else replace(lifecycle, phase=phase)


def left(lifecycle: Lifecycle, leaving: Leaving) -> Lifecycle:
    """The stay was told to end, as `next_step` said."""
    return lifecycle if lifecycle.phase is None else replace(lifecycle, leaving=leaving)


def ended(lifecycle: Lifecycle, failure: str | None = None) -> Lifecycle:
    """The stay is over; `failure` in words if it is not because it was told to."""
    return replace(lifecycle, phase=None, leaving=None, is_outdated=False, failure=failure or lifecycle.failure)
