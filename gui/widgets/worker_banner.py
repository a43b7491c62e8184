"""The banner about the worker itself: it crashed, it is started again, it was given up."""

from __future__ import annotations

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QWidget

from gui import words
from gui.viewmodels.worker import WorkerViewModel
from gui.widgets.banner import Banner
from gui.worker_link import Connection

_COPIED_MS = 2500


class WorkerBanner(Banner):
    """Not there while all is well; after a crash it stays until it is closed, because the report may be wanted."""

    report_wanted = Signal()

    def __init__(self, worker: WorkerViewModel, parent: QWidget | None = None):
        super().__init__(parent)
        self._worker = worker
        self._crash = ""
        self._is_told = False
        worker.changed.connect(self._show)
        self._show()

    def page_tells_all(self, tells: bool) -> None:
        """The page that is looked at says what keeps the worker from running, and offers what this would."""
        self._is_told = tells
        self._show()

    def take_report(self, text: str) -> None:
        """Puts it where it can be pasted from."""
        QGuiApplication.clipboard().setText(text)
        self._label(self.tr("Copied"), is_enabled=False)
        QTimer.singleShot(_COPIED_MS, self, lambda: self._label(self._copy_text))

    def report_failed(self, text: str) -> None:
        self._label(self._copy_text)
        self.text.setText(f"{self.text.text()} {text}")

    @property
    def _copy_text(self) -> str:
        return self.tr("Copy report")

    def _show(self) -> None:
        match self._worker.connection:
            case Connection.RESTARTING:
                self._crash = self._worker.connection_reason
                self._say("warn", f"{self._crash} {self._when()}")
            case Connection.GAVE_UP if self._is_told:
                self.hide()
            case Connection.GAVE_UP:
                self._crash = ""
                self._say("bad", self._worker.connection_reason, retry=True)
            case Connection.CONNECTED if self._crash:
                self._say("info", self.tr("{crash} It was started again.").format(crash=self._crash), closable=True)
            case Connection.CONNECTED | Connection.ENDED | Connection.OFF:
                self.hide()

    def _when(self) -> str:
        delay_s = self._worker.restart_delay_s
        if delay_s is None:
            return self.tr("Starting it again.")
        return self.tr("Starting it again in {duration}.").format(duration=words.duration(delay_s))

    def _say(self, kind: str, text: str, *, retry: bool = False, closable: bool = False) -> None:
        self.show_message(
            kind,  # type: ignore[arg-type]
            text,
            self._copy_text,
            self._want_report,
            second_text=self.tr("Try again") if retry else "",
            on_second=self._worker.retry,
            on_close=self._close if closable else None,
        )

    def _want_report(self) -> None:
        self._label(self.tr("Gathering"), is_enabled=False)
        self.report_wanted.emit()

    def _close(self) -> None:
        self._crash = ""
        self.hide()

    def _label(self, text: str, *, is_enabled: bool = True) -> None:
        self.action.setText(text)
        self.action.setEnabled(is_enabled)
