"""The flower in the desktop's tray: how it is with the worker at a glance, the same verbs as in the window."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QSystemTrayIcon

from gui.viewmodels.notices import Notice
from gui.viewmodels.worker import WorkerViewModel
from gui.widgets.flower import flower_icon

_HOUR_S = 3600.0
_NOTICE_MS = 10_000


class Tray(QObject):
    """
    Signals:
        open_wanted: the window is to be shown.
        toggle_wanted: it is to be shown, or to be hidden where it is in front.
    """

    open_wanted = Signal()
    toggle_wanted = Signal()
    quit_wanted = Signal()

    def __init__(self, worker: WorkerViewModel, parent: QObject | None):
        super().__init__(parent)
        self._worker = worker
        self._menu = QMenu()
        self.destroyed.connect(self._menu.deleteLater)
        self.reason = self._menu.addAction("")
        self.reason.setEnabled(False)
        self._menu.addSeparator()
        self.pause = self._add(self.tr("Pause"), worker.pause)
        self.pause_for_hour = self._add(self.tr("Pause for 1 hour"), lambda: worker.pause(_HOUR_S))
        self.finish = self._add(self.tr("Finish running chats, then pause"), worker.finish)
        self.resume = self._add(self.tr("Resume"), worker.resume)
        self.override = self._add(self.tr("Serve all the same for 1 hour"), lambda: worker.override_limits(_HOUR_S))
        self._menu.addSeparator()
        self.open = self._add(self.tr("Open Petals Volunteer"), self.open_wanted.emit)
        self.quit = self._add(self.tr("Quit"), self.quit_wanted.emit)
        self.icon = QSystemTrayIcon(self)
        self.icon.setContextMenu(self._menu)
        self.icon.activated.connect(self._activated)
        self.icon.messageClicked.connect(self.open_wanted)
        worker.changed.connect(self._show)
        self._show()
        self.icon.show()

    @staticmethod
    def is_there() -> bool:
        """Whether this desktop has a tray now; it may come later, at login."""
        return QSystemTrayIcon.isSystemTrayAvailable()

    def notify(self, notice: Notice) -> None:
        if self.is_there():
            kind = QSystemTrayIcon.MessageIcon.Warning if notice.is_problem else QSystemTrayIcon.MessageIcon.Information
            self.icon.showMessage(notice.title, notice.text, kind, _NOTICE_MS)

    def _add(self, text: str, act: Callable[[], None]) -> QAction:
        action = self._menu.addAction(text)
        action.triggered.connect(lambda: act())
        return action

    def _activated(self, how: QSystemTrayIcon.ActivationReason) -> None:
        # A double click is a Trigger, and then a DoubleClick: taken twice, it would show the window and hide it again.
        if how is QSystemTrayIcon.ActivationReason.Trigger:
            self.toggle_wanted.emit()

    def _show(self) -> None:
        worker = self._worker
        self.icon.setIcon(flower_icon(worker.tray_state, worker.download_share))
        self.icon.setToolTip("\n".join(line for line in ("Petals Volunteer", worker.headline, worker.why) if line))
        self.reason.setText(worker.headline)
        for action, can in (
            (self.pause, worker.can_pause),
            (self.pause_for_hour, worker.can_pause),
            (self.finish, worker.can_finish),
            (self.resume, worker.can_resume),
            (self.override, worker.can_override),
        ):
            action.setVisible(can)
