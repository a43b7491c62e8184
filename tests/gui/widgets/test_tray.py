from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_link import FakeLink
from PySide6.QtCore import QSize
from PySide6.QtGui import QColor, QImage
from PySide6.QtWidgets import QSystemTrayIcon
from pytestqt.qtbot import QtBot

from gui.colors import contrast
from gui.viewmodels.worker import TrayState, WorkerViewModel
from gui.widgets.flower import flower_icon
from gui.widgets.tray import Tray
from gui.worker_link import Connection
from volunteer.control.lifecycle import Mode, State
from volunteer.control.messages import Finish, Pause, Resume, SetMode

PANELS = ("#FFFFFF", "#F4F4F6", "#1B1B1F", "#000000")


@pytest.fixture
def tray(qtbot: QtBot, link: FakeLink) -> Iterator[Tray]:
    made = Tray(WorkerViewModel(link, link), link)  # type: ignore[arg-type]
    yield made
    made.icon.hide()


def shown(tray: Tray) -> list[str]:
    actions = (tray.pause, tray.pause_for_hour, tray.finish, tray.resume, tray.override)
    return [action.text() for action in actions if action.isVisible()]


def test_while_it_serves_it_can_be_paused_and_finished(tray: Tray, link: FakeLink) -> None:
    link.say(blocks=(12, 16))
    assert tray.reason.text() == "Serving blocks 12–15 of bloom"
    assert shown(tray) == ["Pause", "Pause for 1 hour", "Finish running chats, then pause"]
    tray.pause.trigger()
    tray.pause_for_hour.trigger()
    tray.finish.trigger()
    assert link.sent == [Pause(), Pause(for_s=3600.0), Finish()]


def test_a_pause_of_the_owner_can_be_ended(tray: Tray, link: FakeLink) -> None:
    link.say(state=State.PAUSED, mode=Mode.NEVER, reason="Paused by you")
    assert shown(tray) == ["Resume"]
    tray.resume.trigger()
    assert link.sent == [Resume()]


def test_a_limit_can_be_overridden_for_an_hour(tray: Tray, link: FakeLink) -> None:
    link.say(state=State.PAUSED, reason="Paused on battery")
    assert tray.reason.text() == "Paused on battery"
    assert shown(tray) == ["Pause", "Pause for 1 hour", "Serve all the same for 1 hour"]
    tray.override.trigger()
    assert link.sent == [SetMode(mode=Mode.ALWAYS, for_s=3600.0)]


def test_without_a_worker_there_is_nothing_to_ask(tray: Tray, link: FakeLink) -> None:
    link.say()
    link.become(Connection.RESTARTING, "The worker ended with signal 9.", 1.0)
    assert shown(tray) == []
    assert "The worker ended with signal 9." in tray.icon.toolTip()


def test_opening_and_quitting_are_told(qtbot: QtBot, tray: Tray) -> None:
    with qtbot.waitSignals([tray.open_wanted, tray.quit_wanted]):
        tray.open.trigger()
        tray.quit.trigger()


def test_the_menu_and_a_notification_never_hide_the_window(qtbot: QtBot, tray: Tray) -> None:
    with qtbot.assertNotEmitted(tray.toggle_wanted), qtbot.waitSignals([tray.open_wanted] * 2):
        tray.open.trigger()
        tray.icon.messageClicked.emit()


def test_a_double_click_opens_the_window_and_does_not_hide_it_again(tray: Tray) -> None:
    wanted: list[bool] = []
    tray.toggle_wanted.connect(lambda: wanted.append(True))
    for how in (QSystemTrayIcon.ActivationReason.Trigger, QSystemTrayIcon.ActivationReason.DoubleClick):
        tray.icon.activated.emit(how)
    assert len(wanted) == 1


# The flower


def picture(state: TrayState, share: float = 0.0, size: int = 16) -> QImage:
    return flower_icon(state, share).pixmap(QSize(size, size)).toImage()


def covered(image: QImage) -> int:
    return sum(image.pixelColor(x, y).alpha() > 128 for x in range(image.width()) for y in range(image.height()))


@pytest.mark.parametrize("panel", PANELS)
@pytest.mark.parametrize("state", list(TrayState))
def test_the_flower_is_seen_on_light_and_dark_panels(qtbot: QtBot, state: TrayState, panel: str) -> None:
    image = picture(state, 0.5, 64)
    opaque = [
        image.pixelColor(x, y).name() for x in range(64) for y in range(64) if image.pixelColor(x, y).alpha() == 255
    ]
    assert len(opaque) > 200
    assert contrast(max(set(opaque), key=opaque.count), panel) >= 3


def test_every_state_is_told_by_its_shape_at_16_pixels(qtbot: QtBot) -> None:
    shapes = set()
    for state in TrayState:
        image = picture(state, 0.5)
        shapes.add(tuple(image.pixelColor(x, y).alpha() > 128 for x in range(16) for y in range(16)))
    assert len(shapes) == len(TrayState)


def test_a_download_fills_the_flower(qtbot: QtBot) -> None:
    filled = [covered(picture(TrayState.DOWNLOADING, share)) for share in (0.0, 0.3, 0.6, 1.0)]
    assert filled == sorted(set(filled))


def test_the_flower_is_of_its_own_colour(qtbot: QtBot) -> None:
    middle = picture(TrayState.SERVING, size=64).pixelColor(32, 12)
    assert QColor(middle).hue() in range(320, 345)
