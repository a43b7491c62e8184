import pytest
from fake_link import FakeLink
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication

from gui.viewmodels import home as home_module
from gui.viewmodels.history import HistoryViewModel
from gui.viewmodels.home import HomeViewModel
from gui.viewmodels.settings import SettingsViewModel
from gui.viewmodels.worker import WorkerViewModel
from gui.widgets.home_page import HomePage
from gui.worker_link import Connection
from volunteer.control.lifecycle import Mode, State
from volunteer.control.messages import Download, GpuReading, Pause
from volunteer.settings import Settings

GPU = GpuReading(name="RTX 3060", total_bytes=12 * 2**30, free_bytes=2**30, temperature_c=61)
BROKEN = GpuReading(name="GTX 750", problem="It is too small.")


@pytest.fixture
def page(qtbot, link: FakeLink) -> HomePage:
    worker = WorkerViewModel(link, link)
    home = HomeViewModel(link, worker, HistoryViewModel(link, link), SettingsViewModel(link, Settings(), link), link)
    page = HomePage(home)
    qtbot.addWidget(page)
    page.resize(800, 600)
    page.show()
    link.asked.clear()
    return page


def _buttons(page: HomePage) -> list[str]:
    return [button.text() for button in page.state.deeds.buttons if button.isVisible()]


def test_serving(page, link):
    link.say(blocks=(12, 16), blocks_reason="because only 1 other server holds them", gpus=(GPU,))
    assert page.state.headline.text() == "Serving blocks 12–15 of bloom"
    assert page.state.reason.text() == "because only 1 other server holds them"
    assert page.pause.isVisible()
    assert not page.state.deeds.isVisible()
    assert page.blocks.strip.accessibleName() == "blocks 12–15 of bloom"
    assert [card.title.text() for card in page.gpus] == ["RTX 3060"]
    assert not page.computer.isVisible()


def test_the_first_start_is_not_an_empty_page(page, link):
    link.become(Connection.OFF)
    assert page.state.headline.text() == "Not serving"
    assert _buttons(page) == ["Start"]
    assert not page.pause.isVisible()
    for words in (page.now.first, page.given.first, page.network.first, page.blocks.first):
        assert words.isVisible()
        assert words.text()


def test_the_first_words_come_back_when_no_blocks_are_held(page, link):
    link.say(state=State.SERVING, blocks=(12, 16), num_blocks=70)
    assert page.blocks.strip.isVisible() and not page.blocks.first.isVisible()
    link.say(state=State.PAUSED, reason="Paused by you", blocks=None)
    assert page.blocks.first.isVisible() and not page.blocks.strip.isVisible()


def test_pause_and_its_variants(page, link, qtbot):
    link.say()
    qtbot.mouseClick(page.pause.main, Qt.MouseButton.LeftButton)
    page.pause.open_menu()
    actions = page.pause.menu.actions()
    assert [action.text() for action in actions] == [
        "Pause for 1 hour",
        "Pause until tomorrow morning",
        "Finish running chats, then pause",
    ]
    actions[0].trigger()
    page.pause.menu.close()
    assert link.sent == [Pause(), Pause(for_s=3600)]


def test_downloading_shows_a_bar_and_cancel(page, link, qtbot):
    download = Download(done_bytes=25, total_bytes=100, bytes_per_s=5, eta_s=15)
    link.say(state=State.DOWNLOADING, blocks=(12, 16), download=download)
    assert page.state.progress.isVisible()
    assert page.state.progress.bar.value() == 250
    assert "15" in page.state.progress.text.text()
    qtbot.mouseClick(page.state.deeds.buttons[0], Qt.MouseButton.LeftButton)
    assert link.sent == [Pause()]


def test_paused_offers_the_one_action_that_ends_it(page, link):
    link.say(state=State.PAUSED, reason="Paused by you", mode=Mode.NEVER)
    assert _buttons(page) == ["Resume"]
    assert not page.pause.isVisible()
    link.say(state=State.PAUSED, reason="Paused while you play (Steam)")
    assert page.state.headline.text() == "Paused while you play (Steam)"
    assert _buttons(page) == ["Serve all the same for 1 hour"]


def test_failed_copies_a_report(page, link, qtbot, monkeypatch):
    monkeypatch.setattr(home_module, "report_text", lambda data_dir: "all about it")
    link.say(state=State.FAILED, reason="The disk is full.")
    assert page.state.reason.text() == "The disk is full."
    assert page.state.tried.isVisible()
    assert _buttons(page) == ["Try again", "Copy report"]
    qtbot.mouseClick(page.state.deeds.buttons[1], Qt.MouseButton.LeftButton)
    assert QGuiApplication.clipboard().text() == "all about it"
    assert page.state.report_note.isVisible()
    link.say()
    assert not page.state.report_note.isVisible()


def test_a_button_keeps_the_keyboard_while_numbers_move(page, link, qtbot):
    link.say(state=State.DOWNLOADING, download=Download(done_bytes=1, total_bytes=9, bytes_per_s=1, eta_s=8))
    before = page.state.deeds.buttons[0]
    link.say(state=State.DOWNLOADING, download=Download(done_bytes=2, total_bytes=9, bytes_per_s=1, eta_s=7))
    assert page.state.deeds.buttons[0] is before


def test_every_gpu_has_a_card_and_a_broken_one_says_why(page, link):
    link.say(gpus=(GPU, BROKEN))
    assert [card.title.text() for card in page.gpus] == ["RTX 3060", "GTX 750"]
    assert page.gpus[1].problem.text.text() == "It is too small."
    assert not page.gpus[1].memory.isVisible()
    link.say(gpus=())
    assert page.gpus == []
    assert page.computer.isVisible()


def test_a_machine_without_a_gpu_shows_processor_and_memory(page, link, qtbot):
    link.say(gpus=())
    assert page.computer.isVisible()
    assert page.computer.memory.isVisible()
    assert page.computer.processor.text()


def test_what_cannot_be_told_is_said(page, link):
    link.say(cannot_tell=("whether you are away",))
    assert page.state.cannot_tell.isVisible()
    link.say()
    assert not page.state.cannot_tell.isVisible()


def test_a_hidden_page_does_nothing(page, link):
    link.say(blocks=(12, 16))
    page.hide()
    link.say(blocks=(1, 5))
    assert page.state.headline.text() == "Serving blocks 12–15 of bloom"
    page.show()
    assert page.state.headline.text() == "Serving blocks 1–4 of bloom"
