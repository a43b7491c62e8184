"""The program in the role of the window: one for a data folder, from the first picture to the last goodbye."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QMessageLogContext, QtMsgType, qInstallMessageHandler
from PySide6.QtWidgets import QApplication

from gui.desk import Desk
from gui.single_instance import SingleInstance, activation_token
from gui.stop_signals import StopSignals
from gui.widgets.flower import program_icon
from gui.worker_link import worker_command
from volunteer.errors import ExitCode, Unavailable, UserError
from volunteer.settings import load_settings

DESKTOP_FILE = "petals-volunteer"
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
    instance = SingleInstance(data_dir, app)
    if not instance.is_first():
        if instance.ask_first(activation_token()):
            return ExitCode.OK
        raise AlreadyRunning("Petals Volunteer is open already, and does not answer.")
    desk = Desk(app, data_dir, load_settings(data_dir).settings, worker_command(data_dir, worker_options))
    instance.raise_wanted.connect(desk.come_to_front)
    stop = StopSignals(app)
    stop.stop_wanted.connect(desk.quit)
    desk.over.connect(app.quit)
    desk.open(hidden=hidden)
    app.exec()
    instance.close()
    stop.close()
    return ExitCode.OK


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
