"""The program in the role of the window: one for a data folder, from the first picture to the last goodbye."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QMessageLogContext, Qt, QTimer, QtMsgType, qInstallMessageHandler
from PySide6.QtWidgets import QApplication, QMessageBox

from gui.desk import Desk
from gui.garbage import GarbageCollector
from gui.single_instance import SingleInstance, activation_token
from gui.stop_signals import StopSignals
from gui.widgets.flower import program_icon
from gui.worker_link import worker_command
from volunteer.errors import ExitCode, Unavailable, UserError
from volunteer.settings import load_settings

DESKTOP_FILE = "petals-volunteer"
_AFTER_FIRST_PICTURE_MS = 2_000
NO_DISPLAY = "There is no display here for the window: use `volunteer --no-gui` to serve, or try `volunteer demo`."


class AlreadyRunning(UserError):
    """The window of this folder is there and does not answer."""

    exit_code = ExitCode.ALREADY_RUNNING


def run(data_dir: Path, *, hidden: bool = False, worker_options: Sequence[str] = ()) -> int:
    """Opens the window, or has the one that is open come to the front; returns the exit code when all is over.

    Args:
        hidden: start in the tray, as at login.
        worker_options: of serving, for the worker that is started.

    Raises:
        Unavailable: there is no display.
        AlreadyRunning, ConfigurationError.
    """
    _check_display()
    qInstallMessageHandler(_hear_qt)
    app = _application()
    stop = StopSignals(app)  # before others can know of this window: a signal is then kept until it can be heeded
    try:
        return _run(app, stop, data_dir, hidden=hidden, worker_options=worker_options)
    except UserError as error:
        if _nobody_reads_errors(app):
            _show(str(error), stop)
        raise
    finally:
        stop.close()


def _run(app: QApplication, stop: StopSignals, data_dir: Path, *, hidden: bool, worker_options: Sequence[str]) -> int:
    instance = SingleInstance(data_dir, app)
    if not instance.is_first():
        if instance.ask_first(activation_token()):
            return ExitCode.OK
        raise AlreadyRunning("Petals Volunteer is open already, and does not answer.")
    desk = Desk(app, data_dir, load_settings(data_dir).settings, worker_command(data_dir, worker_options))
    instance.raise_wanted.connect(desk.come_to_front)
    stop.stop_wanted.connect(desk.quit)
    desk.over.connect(app.quit)
    garbage = GarbageCollector(app)
    desk.open(hidden=hidden)
    QTimer.singleShot(_AFTER_FIRST_PICTURE_MS, garbage, garbage.set_apart)
    app.exec()
    garbage.stop()
    instance.close()
    return ExitCode.OK


def _nobody_reads_errors(app: QApplication) -> bool:
    """Whoever opened the window by its icon has no terminal, and looks at the screen."""
    has_screen = app.platformName() not in ("offscreen", "minimal")
    return has_screen and (sys.stderr is None or not sys.stderr.isatty())


def _show(problem: str, stop: StopSignals) -> None:
    box = QMessageBox(QMessageBox.Icon.Critical, QApplication.applicationDisplayName(), problem)
    box.setTextFormat(Qt.TextFormat.PlainText)  # there may be a path in it
    stop.stop_wanted.connect(box.reject)
    box.exec()


def _application() -> QApplication:
    app = QApplication([DESKTOP_FILE])
    app.setApplicationName(DESKTOP_FILE)
    app.setApplicationDisplayName("Petals Volunteer")
    app.setDesktopFileName(DESKTOP_FILE)
    app.setWindowIcon(program_icon())
    app.setQuitOnLastWindowClosed(False)
    return app


def _check_display() -> None:
    """Qt would end the process with a core dump."""
    if sys.platform in ("win32", "darwin") or os.environ.get("QT_QPA_PLATFORM"):
        return
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise Unavailable(NO_DISPLAY)


def _hear_qt(kind: QtMsgType, context: QMessageLogContext, text: str) -> None:
    """Before Qt ends the process, because it cannot reach the display, this says so and ends it in order."""
    if kind is QtMsgType.QtFatalMsg:
        print(f"{NO_DISPLAY}\n{text}", file=sys.stderr, flush=True)
        os._exit(ExitCode.UNAVAILABLE)
    if kind in (QtMsgType.QtWarningMsg, QtMsgType.QtCriticalMsg):
        print(text, file=sys.stderr, flush=True)
