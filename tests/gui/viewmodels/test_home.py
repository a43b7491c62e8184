import datetime
from pathlib import Path

import pytest
from fake_link import FakeLink

from gui.viewmodels import home as home_module
from gui.viewmodels.history import HistoryViewModel
from gui.viewmodels.home import HomeViewModel, seconds_to_morning
from gui.viewmodels.home_words import gpu_facts
from gui.viewmodels.settings import SettingsViewModel
from gui.viewmodels.worker import WorkerViewModel
from gui.worker_link import Connection
from volunteer.control.lifecycle import Mode, State
from volunteer.control.messages import (
    Day,
    Download,
    Finish,
    GpuReading,
    History,
    Pause,
    Points,
    Resume,
    Sample,
    SetMode,
)
from volunteer.errors import UserError
from volunteer.settings import Settings

NOW = 1_800_000_000.0


@pytest.fixture
def home(link: FakeLink) -> HomeViewModel:
    made = _home(link)
    link.asked.clear()  # questions for the history
    return made


def _home(link: FakeLink) -> HomeViewModel:
    worker = WorkerViewModel(link, link, clock=lambda: NOW)
    return HomeViewModel(link, worker, HistoryViewModel(link, link), SettingsViewModel(link, Settings(), link), link)


def _plain(text: str) -> str:
    return text.replace("\u202f", " ")


def _texts(deeds) -> list[str]:
    return [deed.text for deed in deeds]


def test_serving_says_what_why_and_whether_it_helps(link, home):
    link.say(
        blocks=(12, 16),
        blocks_reason="because only 1 other server holds them",
        last_request_s=NOW - 3,
        seen_by_others_s=NOW - 60,
        reach="direct",
    )
    assert home.headline == "Serving blocks 12–15 of bloom"
    assert home.reason == "because only 1 other server holds them"
    assert list(map(_plain, home.facts)) == ["last request 3 s ago", "seen by others 1 min ago", "direct connection"]
    assert home.advice == ""
    assert home.remedies == ()


def test_a_new_server_is_told_that_nobody_has_asked_yet(link, home):
    link.say(blocks=(12, 16))
    assert home.facts == ("no request yet", "not yet seen by others")
    assert home.now.lines == ("Waiting for the first request. That can take a while in a small swarm.",)
    assert home.given.lines[0] == "Points come as soon as others sign for your work."


def test_who_is_hard_to_reach_is_told_what_helps(link, home):
    link.say(reach="unreachable", advice="Let your router forward TCP port 31337 to this computer.")
    assert "others cannot reach it" in home.facts
    assert home.advice == "Let your router forward TCP port 31337 to this computer."


def test_there_are_four_ways_to_pause(link, home):
    link.say()
    assert _texts(home.ways_to_pause) == [
        "Pause",
        "Pause for 1 hour",
        "Pause until tomorrow morning",
        "Finish running chats, then pause",
    ]
    for deed in home.ways_to_pause:
        deed.act()
    plain, hour, morning, finish = link.sent
    assert plain == Pause()
    assert hour == Pause(for_s=3600)
    assert isinstance(morning, Pause)
    assert morning.for_s is not None
    assert 4 * 3600 <= morning.for_s <= 29 * 3600
    assert finish == Finish()


@pytest.mark.parametrize(("hour", "hours"), [(22, 8), (1, 5), (3, 27), (7, 23)])
def test_the_next_morning_has_a_night_before_it(hour, hours):
    assert seconds_to_morning(datetime.datetime(2026, 11, 27, hour)) == hours * 3600


def test_a_pause_of_the_owner_says_until_when_and_ends_with_resume(link, home):
    link.say(state=State.PAUSED, reason="Paused by you", mode=Mode.NEVER, until_s=NOW + 600)
    assert home.headline == "Paused by you"
    assert home.reason.startswith("Until ")
    assert _texts(home.remedies) == ["Resume"]
    assert home.ways_to_pause == ()
    home.remedies[0].act()
    assert link.sent == [Resume()]


def test_a_pause_of_a_limit_can_be_overridden_for_an_hour(link, home):
    link.say(state=State.PAUSED, reason="Paused while you play (Steam)")
    assert home.headline == "Paused while you play (Steam)"
    assert _texts(home.remedies) == ["Serve all the same for 1 hour"]
    assert not home.remedies[0].is_urged
    home.remedies[0].act()
    assert link.sent == [SetMode(mode=Mode.ALWAYS, for_s=3600)]


def test_limits_that_are_put_aside_can_be_followed_again(link, home):
    link.say(mode=Mode.ALWAYS, mode_until_s=NOW + 600)
    assert any(fact.startswith("limits are put aside until") for fact in home.facts)
    assert home.ways_to_pause[-1].text == "Follow the limits again"
    home.ways_to_pause[-1].act()
    assert link.sent == [Resume()]


def test_a_download_tells_bytes_rate_and_time_left_and_can_be_cancelled(link, home):
    download = Download(done_bytes=3_200_000_000, total_bytes=9_900_000_000, bytes_per_s=12.4e6, eta_s=540)
    link.say(state=State.DOWNLOADING, download=download)
    assert home.progress is not None
    assert home.progress.share == pytest.approx(32 / 99)
    assert _plain(home.progress.text) == "3.2 GB of 9.9 GB · 12.4 MB/s · 9 min left"
    assert _texts(home.remedies) == ["Cancel"]
    home.remedies[0].act()
    assert link.sent == [Pause()]


def test_a_download_that_does_not_know_its_size_yet_says_so(link, home):
    link.say(state=State.DOWNLOADING)
    assert home.progress is not None
    assert (home.progress.share, home.progress.text) == (None, "Looking up what is needed")


def test_finishing_can_be_hastened_or_taken_back(link, home):
    link.say(state=State.DRAINING, mode=Mode.NEVER, reason="Finished, as you asked")
    assert _texts(home.remedies) == ["Go on serving", "Pause now"]


def test_a_failure_says_what_happened_what_was_tried_and_offers_a_report(link, home, monkeypatch):
    monkeypatch.setattr(home_module, "report_text", lambda data_dir: f"all about {data_dir.name}")
    link.say(state=State.FAILED, reason="The disk is full.")
    assert home.headline == "Stopped by a problem"
    assert home.reason == "The disk is full."
    assert home.tried.startswith("The worker has left the swarm")
    assert _texts(home.remedies) == ["Try again", "Copy report"]
    made: list[str] = []
    home.report_made.connect(made.append)
    home.remedies[1].act()
    assert made == [f"all about {link.data_dir.name}"]
    home.remedies[0].act()
    assert link.sent == [Resume()]


def test_a_report_that_cannot_be_made_says_why(link, home, monkeypatch):
    def fail(data_dir: Path) -> str:
        raise UserError("The folder cannot be read.")

    monkeypatch.setattr(home_module, "report_text", fail)
    problems: list[str] = []
    home.report_failed.connect(problems.append)
    home.make_report()
    assert problems == ["The folder cannot be read."]
    assert not home.is_making_report


def test_before_a_worker_was_ever_wanted_it_can_be_started(tmp_path, qapp):
    link = FakeLink(tmp_path, connection=Connection.OFF)
    home = _home(link)
    assert home.is_off
    assert home.headline == "Not serving"
    assert _texts(home.remedies) == ["Start"]
    assert home.now.number == home.given.number == "0"
    assert home.blocks is None
    home.remedies[0].act()
    assert link.starts == 1


def test_a_worker_that_was_given_up_can_be_tried_again_and_reported(link, home):
    link.become(Connection.GAVE_UP, "The worker failed 5 times in a row.")
    assert home.reason == "The worker failed 5 times in a row."
    assert _texts(home.remedies) == ["Try again", "Copy report"]


def test_a_crash_says_when_the_next_try_is(link, home):
    link.say(blocks=(12, 16), gpus=(GpuReading(name="RTX 3060"),))
    link.become(Connection.RESTARTING, "The worker ended with signal 9.", restart_delay_s=4)
    assert home.reason == "The worker ended with signal 9."
    assert _plain(home.tried) == "It is started again in 4 s."
    assert home.gpus == ()
    assert home.blocks is None
    assert home.remedies == ()


def test_what_was_given_outlasts_the_worker(link, home):
    link.say(served_tokens_today=182_400, points=Points(today=1240, pending=310, total=88_400))
    link.become(Connection.ENDED)
    assert home.given.number == "182,400"
    assert home.given.lines == (
        "1,240 points (+310 not signed yet)",
        "88,400 points in all",
        "Thanks from the swarm. Not money.",
    )


def test_the_speed_is_a_number_and_a_curve(link, home):
    link.say(tokens_per_s=41.3, open_sessions=6, last_request_s=NOW)
    link.sampled.emit(Sample(time_s=NOW - 4000, tokens_per_s=1))
    link.sampled.emit(Sample(time_s=NOW - 10, tokens_per_s=40))
    assert (home.now.number, home.now.unit, home.now.lines) == ("41.3", "tokens/s", ("6 chats",))
    points, window_s = home.spark
    assert points == [(NOW - 10, 40)]
    assert window_s == (NOW - 1800, NOW)


@pytest.mark.parametrize(("count", "said"), [(0, "no chat at the moment"), (1, "1 chat"), (2, "2 chats")])
def test_chats_are_counted_in_words(link, home, count, said):
    link.say(open_sessions=count, last_request_s=NOW)
    assert home.now.lines == (said,)


def test_a_gpu_tells_its_temperature_beside_the_limit(link, home):
    gpu = GpuReading(
        name="RTX 3060",
        total_bytes=12 * 2**30,
        free_bytes=3 * 2**30,
        temperature_c=61,
        power_w=118,
        utilisation_percent=43,
    )
    link.say(gpus=(gpu,))
    (facts,) = home.gpus
    assert list(map(_plain, facts.facts)) == ["61 °C of 83", "118 W", "43 % busy"]
    assert facts.memory is not None
    assert (_plain(facts.memory.text), facts.memory.share) == ("Graphics memory  9.0 of 12.0 GB", 0.75)
    assert not facts.is_warm


def test_a_gpu_near_its_limit_says_so_in_words():
    facts = gpu_facts(GpuReading(name="RTX 3060", temperature_c=81), 83)
    assert facts.is_warm
    assert _plain(facts.facts[0]) == "81 °C of 83, near its limit"


def test_a_gpu_that_cannot_be_used_says_why():
    facts = gpu_facts(GpuReading(name="GTX 750", problem="It is too small."), 83)
    assert (facts.problem, facts.facts, facts.memory) == ("It is too small.", (), None)


def test_a_gpu_that_tells_nothing_has_no_words_and_no_bar():
    facts = gpu_facts(GpuReading(name="RTX 3060"), None)
    assert (facts.facts, facts.memory, facts.problem) == ((), None, "")


def test_the_network_tells_rates_and_what_today_came_to(link):
    home = _home(link)
    link.say(sent_bytes_per_s=1.1e6, received_bytes_per_s=7.7e5)
    today = Day(date=datetime.date.today().isoformat(), sent_bytes=3 * 10**9, received_bytes=2 * 10**9)
    link.asked[0].done(History(days=(today,)).model_dump(mode="json"))
    amount = home.network
    assert (amount.number, amount.unit) == ("1.1", "MB/s sent")
    assert list(map(_plain, amount.lines)) == ["770 kB/s received", "Today 3.0 GB sent, 2.0 GB received"]


def test_the_blocks_are_counted(link, home):
    link.say(state=State.LOADING, blocks=(12, 16))
    blocks = home.blocks
    assert blocks is not None
    assert blocks.title == "4 of the 70 blocks of bloom"
    assert (blocks.own, blocks.num_blocks, blocks.are_served) == (range(12, 16), 70, False)


def test_limits_that_cannot_be_told_are_named(link, home):
    link.say(cannot_tell=("whether you are away", "how hot the GPU is"))
    assert home.cannot_tell == (
        "This computer does not tell whether you are away and how hot the GPU is. Limits that need to know it do not "
        "work here."
    )
