from fake_link import FakeLink

from gui.viewmodels.history import HistoryViewModel, Quantity, Span, plots_of
from gui.worker_link import Connection
from volunteer.control.messages import Day, GetHistory, GpuReading, GpuSample, History, Sample

NOW = 1_800_000_000.0


def _sample(ago_s: float, **readings: object) -> Sample:
    return Sample.model_validate({"time_s": NOW - ago_s} | readings)


def _history(link: FakeLink) -> HistoryViewModel:
    return HistoryViewModel(link, link, clock=lambda: NOW)  # type: ignore[arg-type]


def _answer(link: FakeLink, *samples: Sample, days: tuple[Day, ...] = ()) -> None:
    """What was kept, to both questions that a new connection is asked."""
    for asked in list(link.asked):
        assert isinstance(asked.command, GetHistory)
        since_s = asked.command.since_s
        kept = tuple(sample for sample in samples if sample.time_s > since_s)
        asked.done(History(samples=kept, days=days).model_dump(mode="json"))
    link.asked.clear()


def test_the_hour_and_the_day_are_asked_for_apart(link):
    _history(link)
    assert [command.since_s for command in link.sent] == [NOW - 3600, NOW - 86_400]


def test_what_was_measured_before_the_window_opened_is_shown(link):
    history = _history(link)
    assert not history.is_loaded
    _answer(link, _sample(7200), _sample(60), days=(Day(date="2026-11-27", served_tokens=5),))
    assert history.is_loaded
    assert [sample.time_s for sample in history.samples] == [NOW - 60]
    history.show_span(Span.DAY)
    assert [sample.time_s for sample in history.samples] == [NOW - 7200, NOW - 60]
    assert history.days[0].served_tokens == 5


def test_a_sample_that_overtakes_the_answer_is_kept(link):
    history = _history(link)
    link.sampled.emit(_sample(0))
    _answer(link, _sample(20), _sample(10))
    assert [sample.time_s for sample in history.samples] == [NOW - 20, NOW - 10, NOW]


def test_a_clock_that_is_set_back_does_not_stop_the_plots(link):
    history = _history(link)
    for ago_s in (20, 10, 0, 3000, 2990):
        link.sampled.emit(_sample(ago_s))
    assert [sample.time_s for sample in history.samples] == [NOW - 3000, NOW - 2990]


def test_every_sample_is_kept_for_an_hour_and_one_a_minute_for_a_day(link):
    history = _history(link)
    for step in range(2 * 86_400 // 10):
        link.sampled.emit(Sample(time_s=NOW + 10 * step))
    assert 360 <= len(history.samples) <= 362
    history.show_span(Span.DAY)
    assert 1439 <= len(history.samples) <= 1442


def test_history_is_asked_for_again_when_the_worker_comes_back(link):
    history = _history(link)
    _answer(link, _sample(60))
    link.become(Connection.RESTARTING)
    assert [sample.time_s for sample in history.samples] == [NOW - 60]
    link.become(Connection.CONNECTED)
    assert len(link.sent) == 2


def test_days_can_be_asked_for_without_samples(link):
    history = _history(link)
    _answer(link)
    heard: list[bool] = []
    history.days_changed.connect(lambda: heard.append(True))
    history.refresh_days()
    assert link.sent[-1].since_s == NOW
    _answer(link, days=(Day(date="2026-11-27", served_tokens=7),))
    assert [day.served_tokens for day in history.days] == [7]
    assert heard == [True]


def test_a_machine_without_a_gpu_has_no_plots_of_one():
    quantities = [plot.quantity for plot in plots_of([_sample(0)], ())]
    assert quantities == [Quantity.TOKENS, Quantity.CHATS, Quantity.NETWORK]


def test_a_gpu_has_plots_of_what_it_tells():
    gpu = GpuReading(name="RTX 3060", total_bytes=12 * 2**30)
    sample = _sample(0, gpus=(GpuSample(used_bytes=9 * 2**30, temperature_c=61),))
    plots = {plot.quantity: plot for plot in plots_of([sample], (gpu,))}
    assert Quantity.POWER not in plots
    assert plots[Quantity.TEMPERATURE].lines[0].points == ((NOW, 61),)
    assert plots[Quantity.MEMORY].lines[0].points == ((NOW, 9.0),)
    assert plots[Quantity.MEMORY].ceiling == 12.0


def test_each_gpu_has_a_curve_with_its_name():
    gpus = (GpuReading(name="RTX 3060"), GpuReading(name="RTX 3090"))
    both = _sample(0, gpus=(GpuSample(used_bytes=1, temperature_c=50), GpuSample(used_bytes=1, temperature_c=70)))
    one = _sample(10, gpus=(GpuSample(used_bytes=1, temperature_c=49),))
    temperature = next(plot for plot in plots_of([one, both], gpus) if plot.quantity is Quantity.TEMPERATURE)
    assert [line.name for line in temperature.lines] == ["RTX 3060", "RTX 3090"]
    assert temperature.lines[1].points == ((NOW - 10, None), (NOW, 70))


def test_the_shown_window_ends_now(link):
    history = _history(link)
    assert history.window_s == (NOW - 3600, NOW)
