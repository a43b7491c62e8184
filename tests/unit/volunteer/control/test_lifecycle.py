"""The machine alone; `tests/swarm/test_verbs.py` drives a real worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volunteer.control import lifecycle as machine
from volunteer.control.lifecycle import Leaving, Lifecycle, Mode, Phase, State, Step, Wish, next_step

SERVING = Lifecycle(phase=Phase.SERVING)
ALWAYS = Lifecycle(phase=Phase.SERVING, wish=Wish(Mode.ALWAYS))
IDLE = Lifecycle()
NOW = 1_000_000.0

Change = Callable[[Lifecycle], Lifecycle]


@pytest.mark.parametrize(
    ("lifecycle", "state", "reason", "step"),
    [
        (IDLE, State.STARTING, "", (Step.START, None)),
        (SERVING, State.SERVING, "", (Step.NONE, None)),
        (replace(SERVING, phase=Phase.DOWNLOADING), State.DOWNLOADING, "", (Step.NONE, None)),
        (machine.pause(SERVING, NOW), State.SERVING, machine.PAUSED_BY_OWNER, (Step.LEAVE, Leaving.NOW)),
        (machine.finish(SERVING, NOW), State.SERVING, machine.FINISHED_BY_OWNER, (Step.LEAVE, Leaving.FINISH)),
        (machine.quit_worker(SERVING), State.SERVING, machine.STOPPED, (Step.LEAVE, Leaving.QUIT)),
        (machine.limited(SERVING, "Hot."), State.SERVING, "Hot.", (Step.LEAVE, Leaving.NOW)),
        (machine.limited(IDLE, "Hot."), State.PAUSED, "Hot.", (Step.NONE, None)),
        (machine.limited(ALWAYS, "Hot.", "Hot."), State.SERVING, "Hot.", (Step.LEAVE, Leaving.NOW)),
        (machine.limited(ALWAYS, "You play.", "Hot."), State.SERVING, "Hot.", (Step.LEAVE, Leaving.NOW)),
        (machine.pause(IDLE, NOW), State.PAUSED, machine.PAUSED_BY_OWNER, (Step.NONE, None)),
        (machine.quit_worker(IDLE), State.STOPPED, machine.STOPPED, (Step.EXIT, None)),
        (machine.ended(SERVING, "No room."), State.FAILED, "No room.", (Step.NONE, None)),
    ],
)
def test_what_is_shown_and_done(
    lifecycle: Lifecycle, state: State, reason: str, step: tuple[Step, Leaving | None]
) -> None:
    assert (lifecycle.state, lifecycle.reason, next_step(lifecycle)) == (state, reason, step)


def test_always_serves_against_the_limits_and_only_for_its_time() -> None:
    played = machine.limited(IDLE, "You play.")
    always = machine.set_mode(played, Mode.ALWAYS, NOW, 3600.0)
    assert next_step(always) == (Step.START, None)
    assert machine.passed(always, NOW + 3599).may_serve
    assert machine.passed(always, NOW + 3600).reason == "You play."


def test_nothing_serves_while_the_machine_is_in_danger() -> None:
    hot = machine.set_mode(machine.limited(IDLE, "Hot.", "Hot."), Mode.ALWAYS, NOW)
    assert (hot.state, hot.reason, next_step(hot)) == (State.PAUSED, "Hot.", (Step.NONE, None))
    assert next_step(machine.limited(hot, None)) == (Step.START, None)


def test_a_snooze_ends_by_itself_also_when_the_clock_is_set_back() -> None:
    snoozed = machine.pause(IDLE, NOW, 3600.0)
    assert machine.passed(snoozed, NOW + 3599).state is State.PAUSED
    assert machine.passed(snoozed, NOW + 3600).state is State.STARTING
    a_year_ago = machine.passed(snoozed, NOW - 31_536_000)
    assert a_year_ago.wish.until_s == NOW - 31_536_000 + 3600
    assert machine.passed(a_year_ago, NOW - 31_536_000 + 3600).state is State.STARTING


def test_a_pause_hastens_a_finish_and_a_finish_does_not_slow_a_pause() -> None:
    finishing = machine.left(machine.finish(SERVING, NOW), Leaving.FINISH)
    assert finishing.state is State.DRAINING
    assert next_step(machine.pause(finishing, NOW)) == (Step.LEAVE, Leaving.NOW)
    assert next_step(machine.quit_worker(finishing)) == (Step.LEAVE, Leaving.QUIT)
    patient = machine.quit_worker(SERVING, Leaving.FINISH)
    assert next_step(patient) == (Step.LEAVE, Leaving.FINISH)
    assert next_step(machine.quit_worker(patient, Leaving.NOW)) == (Step.LEAVE, Leaving.NOW)
    assert machine.quit_worker(machine.quit_worker(patient), Leaving.FINISH).quitting is Leaving.QUIT
    pausing = machine.left(machine.pause(SERVING, NOW), Leaving.NOW)
    assert next_step(machine.finish(pausing, NOW)) == (Step.NONE, None)
    assert machine.finish(pausing, NOW).reason == machine.PAUSED_BY_OWNER


def test_a_stay_that_is_leaving_ends_before_the_next_begins() -> None:
    leaving = machine.left(machine.pause(SERVING, NOW), Leaving.NOW)
    resumed = machine.resume(leaving, NOW + 1)
    assert resumed.state is State.DRAINING and next_step(resumed) == (Step.NONE, None)
    assert next_step(machine.ended(resumed)) == (Step.START, None)


def test_a_resume_hastens_a_finish() -> None:
    finishing = machine.left(machine.finish(SERVING, NOW), Leaving.FINISH)
    resumed = machine.resume(finishing, NOW + 1)
    assert next_step(resumed) == (Step.LEAVE, Leaving.QUIT)
    assert next_step(machine.left(resumed, Leaving.QUIT)) == (Step.NONE, None)


def test_other_settings_begin_when_the_old_stay_has_ended() -> None:
    changed = machine.outdated(SERVING)
    assert next_step(changed) == (Step.LEAVE, Leaving.QUIT)
    leaving = machine.left(changed, Leaving.QUIT)
    assert next_step(leaving) == (Step.NONE, None)
    assert next_step(machine.ended(leaving)) == (Step.START, None)
    assert machine.outdated(IDLE) == IDLE


def test_a_failure_waits_for_the_owner() -> None:
    failed = machine.ended(SERVING, "No room.")
    assert machine.passed(machine.limited(failed, None), NOW).state is State.FAILED
    assert machine.pause(failed, NOW).state is State.FAILED
    assert machine.resume(failed, NOW).state is State.STARTING
    assert machine.set_mode(failed, Mode.ALWAYS, NOW).state is State.STARTING


# Any sequence of verbs, readings and times


class World:
    """A worker that does what the machine says, at moments of its own."""

    def __init__(self) -> None:
        self.lifecycle = Lifecycle()
        self.now_s = NOW
        self.has_exited = False

    def act(self) -> None:
        step, leaving = next_step(self.lifecycle)
        match step:
            case Step.START:
                assert self.lifecycle.phase is None and not self.has_exited
                self.lifecycle = machine.started(self.lifecycle)
            case Step.LEAVE:
                assert leaving is not None and self.lifecycle.phase is not None
                self.lifecycle = machine.left(self.lifecycle, leaving)
            case Step.EXIT:
                assert self.lifecycle.phase is None
                self.has_exited = True
        assert next_step(self.lifecycle)[0] in (Step.NONE, Step.EXIT), "acting once is enough"


seconds = st.one_of(st.none(), st.floats(0, 1e7))
VERBS = st.one_of(
    st.tuples(st.just("pause"), seconds),
    st.tuples(st.just("resume")),
    st.tuples(st.just("finish")),
    st.tuples(st.sampled_from(list(Mode)), seconds),
    st.tuples(st.just("quit")),
    st.tuples(st.sampled_from(list(Leaving))),
)
HAPPENINGS = st.one_of(
    st.tuples(st.just("limits"), st.sampled_from([None, "You are here."])),
    st.tuples(st.just("limits"), st.sampled_from(["Hot.", "You are here."]), st.just("Hot.")),
    st.tuples(st.just("outdated")),
    st.tuples(st.just("time"), st.floats(-1e8, 1e8)),
    st.tuples(st.just("phase"), st.sampled_from(list(Phase))),
    st.tuples(st.just("ended"), st.sampled_from([None, None, None, "No room."])),
)


def verb(name: str, now_s: float, for_s: float | None = None) -> Change:
    if isinstance(name, Leaving):  # equal to the text of other verbs
        return lambda lifecycle: machine.quit_worker(lifecycle, name)
    match name:
        case "pause":
            return lambda lifecycle: machine.pause(lifecycle, now_s, for_s)
        case "resume":
            return lambda lifecycle: machine.resume(lifecycle, now_s)
        case "finish":
            return lambda lifecycle: machine.finish(lifecycle, now_s)
        case "quit":
            return machine.quit_worker
    return lambda lifecycle: machine.set_mode(lifecycle, Mode(name), now_s, for_s)


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.one_of(VERBS, HAPPENINGS), max_size=40))
def test_no_sequence_leads_to_an_impossible_state(sequence: list[tuple[object, ...]]) -> None:
    world = World()
    for name, *rest in sequence:
        before = world.lifecycle
        match name:
            case "limits":
                world.lifecycle = machine.limited(before, *rest)  # type: ignore[arg-type]
            case "time":
                world.now_s += rest[0]  # type: ignore[operator]
                world.lifecycle = machine.passed(before, world.now_s)
            case "phase":
                world.lifecycle = machine.came_to(before, rest[0])  # type: ignore[arg-type]
            case "outdated":
                world.lifecycle = machine.outdated(before)
            case "ended":
                if before.phase is not None:
                    world.lifecycle = machine.ended(before, rest[0])  # type: ignore[arg-type]
            case _:
                change = verb(name, world.now_s, *rest)  # type: ignore[arg-type]
                world.lifecycle = change(before)
                assert change(world.lifecycle) == world.lifecycle, "every verb is idempotent"
        world.act()
        check(world, before)


def check(world: World, before: Lifecycle) -> None:
    now = world.lifecycle
    if now.quitting is not None:
        assert before.quitting is not None or now.state in (State.STOPPED, State.DRAINING)
        assert now.phase is None or now.leaving is not None, "whoever quits is leaving"
    assert now.quitting is not None or before.quitting is None, "nothing undoes a quit"
    assert not world.has_exited or now.state is State.STOPPED
    if now.state in (State.PAUSED, State.FAILED, State.STOPPED):
        assert now.reason, "each rest has its reason in words"
        assert now.phase is None and now.leaving is None
    if now.phase is not None and not now.may_serve:
        assert now.leaving is not None, "nothing serves that should not"
    if now.may_serve:
        assert now.phase is not None and now.reason == "", "what should serve does"
    if now.wish.for_s is not None:
        assert now.wish.mode is not Mode.AUTO


def test_wishes_compare_by_value() -> None:
    assert Wish(Mode.NEVER, NOW, 5.0).until_s == NOW + 5 and Wish().until_s is None
