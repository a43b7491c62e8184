"""The real window under a real display, used as its owner would: a script of clicks, keys and waits, and pictures.

    python tests/gui/driven_window.py SCENARIO DATA_DIR --pictures FOLDER

A scenario is a generator: it acts, and yields what it waits for. Started by `test_end_to_end.py`.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from PySide6.QtCore import QObject, QPoint, Qt, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QWidget

from gui import application
from gui.desk import Desk
from gui.main_window import PagesView
from gui.widgets.chat.chat_page import ChatPage
from volunteer.control.messages import Status

Condition = Callable[[], object]
Scenario = Callable[["Player"], Iterator[tuple[str, Condition]]]
W = TypeVar("W", bound=QWidget)

_STEP_MS = 20
PATIENCE_S = 120.0


class Player(QObject):
    """Takes the scenario's next step when what it waits for is there; the program ends when the scenario does."""

    def __init__(self, desk: Desk, scenario: Scenario, pictures: Path | None):
        super().__init__(desk)
        self.desk = desk
        self.pictures = pictures
        self.is_good = False
        self._steps = scenario(self)
        self._awaited: tuple[str, Condition] = ("the first picture", lambda: True)
        self._since = time.monotonic()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)
        self._timer.start(_STEP_MS)

    @property
    def status(self) -> Status | None:
        return self.desk.workspace.worker.status

    def state(self) -> str:
        return "" if self.status is None else self.status.state.value

    def all_of(self, kind: type[W]) -> list[W]:
        """What can be seen of a kind of widget, in the window and its dialogs."""
        # Not by QApplication.topLevelWidgets(): PySide then takes the tray's balloon for its own, and deletes it.
        return [widget for widget in self.desk.window.findChildren(kind) if widget.isVisible()]

    def words(self) -> str:
        """All that the labels say."""
        return "\n".join(label.text() for label in self.all_of(QLabel))

    def button(self, name: str) -> QAbstractButton | None:
        for button in self.all_of(QAbstractButton):
            if name in (button.text().replace("&", ""), button.accessibleName()) and button.isEnabled():
                return button
        return None

    def click(self, name: str) -> None:
        button = self.button(name)
        if button is None:
            named = sorted({each.text() or each.accessibleName() for each in self.all_of(QAbstractButton)})
            raise LookupError(f"there is no button {name!r} to press, only {named}")
        QTest.mouseClick(button, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, QPoint(8, 8))

    def go(self, page: str) -> None:
        """To a place of the rail, by its key."""
        for view in self.all_of(PagesView):
            view.show_page(page)

    def type_text(self, widget: QWidget, text: str) -> None:
        widget.setFocus()
        QTest.keyClicks(widget, text)

    def press_return(self, widget: QWidget) -> None:
        QTest.keyClick(widget, Qt.Key.Key_Return)

    def answers(self) -> str:
        """What the open chat shows of the model's words."""
        pages = self.all_of(ChatPage)
        return "\n".join(message.text for page in pages for message in page._chat.talk.messages[1::2])

    def picture(self, name: str) -> None:
        """Of the window, or of the dialog in front of it."""
        if self.pictures is not None:
            window = QApplication.activeModalWidget() or self.desk.window
            window.grab().save(str(self.pictures / f"{name}.png"))

    def _look(self) -> None:
        what, condition = self._awaited
        try:
            if condition():
                waited_s = time.monotonic() - self._since
                print(f"{what}: after {waited_s:.1f} s", flush=True)
                self._awaited, self._since = next(self._steps), time.monotonic()
            elif time.monotonic() - self._since > PATIENCE_S:
                raise TimeoutError(f"waited {PATIENCE_S:.0f} s for {what}; the window says:\n{self.words()}")
        except StopIteration:
            self._end(is_good=True)
        except Exception:
            traceback.print_exc()
            self.picture("failed")
            self._end(is_good=False)

    def _end(self, *, is_good: bool) -> None:
        self._timer.stop()
        self.is_good = is_good
        if not is_good:
            self.desk.quit()


def play(scenario: Scenario, data_dir: Path, pictures: Path | None = None, *, hidden: bool = False) -> bool:
    """Runs the program until it has quit; whether the scenario came to its end."""
    players: list[Player] = []

    class DrivenDesk(Desk):
        def open(self, *, hidden: bool) -> None:
            super().open(hidden=hidden)
            players.append(Player(self, scenario, pictures))

    application.Desk = DrivenDesk  # type: ignore[misc]
    code = application.run(data_dir, hidden=hidden)
    return code == 0 and bool(players) and players[0].is_good


def main() -> int:
    from scenarios import SCENARIOS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", choices=sorted(SCENARIOS))
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args()
    is_good = play(SCENARIOS[given.scenario], given.data_dir, given.pictures)
    print(f"platform {QGuiApplication.platformName()}", flush=True)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    raise SystemExit(main())
