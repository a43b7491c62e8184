"""What is on the desktop: window, tray and dialogs, for the worker that is looked at. Composition and order only."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, QSettings, QTimer, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QApplication, QWidget

from gui.appearance import Appearance
from gui.main_window import MainWindow, PagesView
from gui.practice import FOLDER, Practice, is_left_running
from gui.viewmodels.notices import Notice, Notices
from gui.viewmodels.updates import UpdatesViewModel
from gui.viewmodels.worker_report import report_text
from gui.widgets.banner import Banner
from gui.widgets.close_question import CloseChoice, CloseQuestion
from gui.widgets.goodbye import Goodbye
from gui.widgets.tray import Tray
from gui.widgets.update_banner import UpdateBanner
from gui.widgets.worker_banner import WorkerBanner
from gui.worker_link import Connection, WorkerLink
from gui.workspace import Workspace
from volunteer.settings import Settings

_MEMORY_FILE = "window.ini"
_TRAY_APPEARS_MS = 20_000
"""At login the panel may start after this program."""


class Desk(QObject):
    """
    Args:
        command: starts the worker.

    Signals:
        over: all workers are gone and nothing is left to do.
    """

    over = Signal()

    def __init__(self, app: QApplication, data_dir: Path, settings: Settings, command: Sequence[str]):
        super().__init__(app)
        self._data_dir = data_dir
        self._memory = QSettings(str(data_dir / _MEMORY_FILE), QSettings.Format.IniFormat, self)
        self._appearance = Appearance(app, settings.app)
        self._appearance.language_changed.connect(self._show_anew)
        self._practice: Practice | None = None
        self._leaving: set[Practice] = set()
        """Whose workers are about to end."""
        self._practises_again = False
        """As soon as those are gone: the next practice is in the same folder."""
        self._own_is_over = False
        self._goodbye: Goodbye | None = None
        self.window = MainWindow(self._memory)
        self.window.close_wanted.connect(self._close)
        QShortcut(QKeySequence(QKeySequence.StandardKey.Quit), self.window).activated.connect(self.quit)
        QShortcut(QKeySequence(QKeySequence.StandardKey.Close), self.window).activated.connect(self.window.close)
        self._own = Workspace(WorkerLink(data_dir, self, command=command), settings, self)
        self._own.settings.changed.connect(self._settings_changed)
        self._updates = UpdatesViewModel(self._own.link, self._own.settings, self)
        self._updates.noticed.connect(self._notify)
        self._shown = self._own
        self.tray: Tray | None = None
        self._tell_of(self._own)

    @property
    def workspace(self) -> Workspace:
        """What is looked at: the owner's worker, or the one of practice mode."""
        return self._shown

    @property
    def is_practising(self) -> bool:
        return self._practice is not None

    def open(self, *, hidden: bool) -> None:
        """Shows the window, or waits in the tray; starts the worker where its owner has consented."""
        self._show_anew()
        if not hidden:
            self.window.show()
        elif not Tray.is_there():
            QTimer.singleShot(_TRAY_APPEARS_MS, self, self._show_minimised)
        if self._own.settings.settings.app.consented:
            # After the first picture of the window, for which starting a worker would compete with it.
            QTimer.singleShot(0, self._own.link.start)
        if (self._data_dir / FOLDER).is_dir():
            self._own.link.run_aside(partial(is_left_running, self._data_dir), self._go_on_practising)

    def come_to_front(self, activation_token: str = "") -> None:
        """Unless it is about to end."""
        if self._goodbye is not None:
            return
        if activation_token:
            os.environ["XDG_ACTIVATION_TOKEN"] = activation_token  # Qt takes it from there
        self.window.come_to_front()

    def quit(self) -> None:
        """Says goodbye to the swarm and ends everything; asked again, without the goodbye."""
        if self._goodbye is not None:
            self._hurry()
            return
        self._goodbye = Goodbye()
        self._goodbye.hurried.connect(self._hurry)
        self.window.remember_geometry()
        self.window.hide()
        if self.tray is not None:
            self.tray.icon.hide()
        self._end_practice()
        if self._own.link.connection is Connection.OFF:
            self._own_ended()
        else:
            self._own.link.quit_worker(self._own_ended)

    def start_practice(self) -> None:
        """Looks at a private swarm on this computer instead; a worker that serves others goes on serving."""
        if self._practice is not None or self._goodbye is not None:
            return
        if self._leaving:
            self._practises_again = True
            return
        self._practice = Practice(self._data_dir, self._own.settings.settings.app, self)
        workspace = Workspace(self._practice.link, self._practice.settings, self)
        self._tell_of(workspace)
        self._show(workspace)
        self._practice.start()

    def leave_practice(self) -> None:
        """Back to the owner's worker; what was practised is deleted."""
        self._end_practice()
        self._show(self._own)

    # What is shown

    def _show(self, workspace: Workspace) -> None:
        before, self._shown = self._shown, workspace
        if workspace is not self._own:
            workspace.settings.changed.connect(self._settings_changed)
        self._appearance.follow(workspace.settings.settings.app)
        self._show_anew()
        if before is not self._own and before is not workspace:
            before.deleteLater()

    def _show_anew(self) -> None:
        """Also in another language."""
        if self.tray is not None:
            self.tray.icon.hide()
            self.tray.deleteLater()
        self.tray = Tray(self._shown.worker, self)
        self.tray.open_wanted.connect(self.come_to_front)
        self.tray.toggle_wanted.connect(self._toggle)
        self.tray.quit_wanted.connect(self.quit)
        self.window.setWindowTitle(self.tr("Practice mode") if self._practice is not None else "Petals Volunteer")
        self.window.show_view(self._view())

    def _view(self) -> QWidget:
        if not self._shown.settings.settings.app.consented:
            return self._first_run()
        banner = WorkerBanner(self._shown.worker)
        banner.report_wanted.connect(partial(self._gather_report, self._shown, banner))
        banners: list[Banner] = [banner]
        if self._practice is None:
            banners.append(UpdateBanner(self._updates))
        else:
            banners.insert(0, self._practice_banner())
        view = PagesView(self._shown.entries(), self._shown.worker, banners)
        view.shown.connect(lambda key: self._memory.setValue("window/page", key))
        self._shown.page_wanted.connect(view.show_part)
        view.shown.connect(lambda key: banner.page_tells_all(key == "home"))
        view.show_page(view.known(str(self._memory.value("window/page"))))
        view.rail.focus()
        return view

    def _first_run(self) -> QWidget:
        first_run = self._own.first_run()
        first_run.consented.connect(self._consented)
        first_run.practice_wanted.connect(self.start_practice)
        return first_run

    def _practice_banner(self) -> Banner:
        banner = Banner()
        banner.show_message(
            "info",
            self.tr("Practice mode: two small workers on this computer answer you, and nothing leaves it."),
            self.tr("Leave practice mode"),
            self.leave_practice,
        )
        return banner

    def _go_on_practising(self, is_wanted: bool) -> None:
        """The window before this one was killed in the midst of it; its workers must not be forgotten."""
        if is_wanted:
            self.start_practice()

    def _consented(self) -> None:
        if self._goodbye is not None:  # nobody would be there to end the worker
            return
        self._own.link.start()
        self._show_anew()

    def _settings_changed(self) -> None:
        self._appearance.follow(self._shown.settings.settings.app)

    def _tell_of(self, workspace: Workspace) -> None:
        """For as long as it is there: whoever comes back to it, or to another language, was told its causes already."""
        notices = Notices(workspace.worker, self._wants_notices, time.monotonic, workspace)
        notices.noticed.connect(self._notify)

    def _notify(self, notice: Notice) -> None:
        if self.tray is not None and self._wants_notices():
            self.tray.notify(notice)

    def _wants_notices(self) -> bool:
        """Whoever looks at the window sees it there."""
        return self._shown.settings.settings.app.notifications and not self.window.isActiveWindow()

    def _gather_report(self, workspace: Workspace, banner: WorkerBanner) -> None:
        data_dir = workspace.link.data_dir
        workspace.link.run_aside(lambda: report_text(data_dir), banner.take_report, banner.report_failed)

    def _show_minimised(self) -> None:
        """Where there is no tray, a hidden program could not be found again."""
        if not Tray.is_there() and not self.window.isVisible():
            self.window.showMinimized()

    def _toggle(self) -> None:
        if self.window.isVisible() and self.window.isActiveWindow():
            self.window.remember_geometry()
            self.window.hide()
        else:
            self.come_to_front()

    # Closing and quitting

    def _close(self) -> None:
        """The window's close button."""
        choice = self._own.settings.settings.app.close_button
        if not Tray.is_there() or not self._has_worker() or choice == CloseChoice.QUIT:
            self.quit()
        elif choice == CloseChoice.TRAY:
            self.window.hide()
        else:
            question = CloseQuestion(self.window)
            question.answered.connect(self._close_answered)
            question.open()

    def _close_answered(self, choice: CloseChoice) -> None:
        self._own.settings.set("app.close_button", choice.value)
        if choice is CloseChoice.TRAY:
            self.window.hide()
        else:
            self.quit()

    def _has_worker(self) -> bool:
        return self._practice is not None or self._own.link.connection is not Connection.OFF

    def _end_practice(self) -> None:
        self._practises_again = False
        practice, self._practice = self._practice, None
        if practice is not None:
            self._leaving.add(practice)
            practice.end(partial(self._practice_ended, practice))

    def _practice_ended(self, practice: Practice) -> None:
        self._leaving.discard(practice)
        practice.close()
        practice.deleteLater()
        if self._practises_again and not self._leaving:
            self._practises_again = False
            self.start_practice()
        self._finish_if_over()

    def _own_ended(self) -> None:
        self._own_is_over = True
        self._finish_if_over()

    def _hurry(self) -> None:
        for practice in self._leaving:
            practice.hurry()
        self._own.link.hurry_worker()

    def _finish_if_over(self) -> None:
        if self._goodbye is None or self._leaving or not self._own_is_over:
            return
        self._own.link.close()
        self.window.let_go()
        self.window.close()
        self._goodbye.hide()
        self._goodbye.deleteLater()
        self.over.emit()
