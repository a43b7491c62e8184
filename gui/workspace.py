"""One worker with all that the window knows of it: its link, the view-models, and the pages that show them.

Pages, and what only they need, are made and even imported when they are first looked at, so that the window is quick.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QWidget

from gui import languages
from gui.main_window import PageEntry
from gui.viewmodels.settings import SettingsViewModel
from gui.viewmodels.swarm import SwarmViewModel
from gui.viewmodels.worker import WorkerViewModel
from gui.widgets.rail import Place
from gui.worker_link import WorkerLink
from volunteer.settings import Settings

if TYPE_CHECKING:
    from gui.viewmodels.first_run import FirstRunViewModel
    from gui.viewmodels.history import HistoryViewModel
    from gui.widgets.first_run import FirstRun


class Workspace(QObject):
    """
    Args:
        settings: of the worker, as the window begins with them.

    Signals:
        page_wanted: one page leads to another, named by its key, and to a part of that.
    """

    page_wanted = Signal(str, str)

    def __init__(self, link: WorkerLink, settings: Settings, parent: QObject | None):
        super().__init__(parent)
        self.link = link
        self.worker = WorkerViewModel(link, self)
        self.settings = SettingsViewModel(link, settings, self)
        # From the start: the worker tells who is in the swarm every half minute, and the page should not wait for it.
        self.swarm = SwarmViewModel(link, self.worker, self)

    def entries(self) -> list[PageEntry]:
        """The places of the rail, in their order."""
        return [
            PageEntry(Place("home", self.tr("Home"), "home"), self._home_page),
            PageEntry(Place("chat", self.tr("Chat"), "chat"), self._chat_page),
            PageEntry(Place("swarm", self.tr("Swarm"), "swarm"), self._swarm_page),
            PageEntry(Place("history", self.tr("History"), "history"), self._history_page),
            PageEntry(Place("settings", self.tr("Settings"), "settings"), self._settings_page),
        ]

    def first_run(self) -> FirstRun:
        """What is shown before this computer may serve."""
        from gui.widgets.first_run import FirstRun

        return FirstRun(self._first_run)

    @cached_property
    def _first_run(self) -> FirstRunViewModel:
        """Kept: who comes back from practice mode, or to another language, finds what was chosen."""
        from gui.viewmodels.first_run import FirstRunViewModel

        return FirstRunViewModel(self.link, self.settings, self)

    @cached_property
    def _history(self) -> HistoryViewModel:
        from gui.viewmodels.history import HistoryViewModel

        return HistoryViewModel(self.link, self)

    def _home_page(self) -> QWidget:
        from gui.viewmodels.home import HomeViewModel
        from gui.widgets.home_page import HomePage

        return HomePage(HomeViewModel(self.link, self.worker, self._history, self.settings, self), None)

    def _chat_page(self) -> QWidget:
        from gui.viewmodels.chat import ChatViewModel
        from gui.viewmodels.conversations import ConversationsViewModel
        from gui.widgets.chat.chat_page import ChatPage

        chat = ChatViewModel(self.link, self.worker, self.settings, self.swarm, self)
        page = ChatPage(chat, ConversationsViewModel(self.link, self))
        page.model_wanted.connect(lambda: self.page_wanted.emit("settings", "serving"))
        return page

    def _swarm_page(self) -> QWidget:
        from gui.viewmodels.private_swarms import PrivateSwarmsViewModel
        from gui.widgets.swarm_page import SwarmPage

        return SwarmPage(self.swarm, PrivateSwarmsViewModel(self.link, self.worker, self.settings, self), None)

    def _history_page(self) -> QWidget:
        from gui.widgets.history_page import HistoryPage

        return HistoryPage(self._history)

    def _settings_page(self) -> QWidget:
        from gui.viewmodels.about import AboutViewModel
        from gui.viewmodels.autostart import AutostartViewModel
        from gui.viewmodels.doctor import DoctorViewModel
        from gui.viewmodels.endpoint_key import EndpointKeyViewModel
        from gui.viewmodels.logs import LogsViewModel
        from gui.viewmodels.setting_forms import Choice
        from gui.viewmodels.settings_form import SettingsFormViewModel
        from gui.widgets.settings_page import SettingsPage

        spoken = [Choice(code, languages.own_name(code)) for code in languages.available()]
        return SettingsPage(
            SettingsFormViewModel(self.settings, self.link, self, languages=spoken),
            LogsViewModel(self.link, self),
            DoctorViewModel(self.link, self),
            AboutViewModel(self.link, self),
            AutostartViewModel(self.link, self),
            EndpointKeyViewModel(self.link, self.worker, self.settings, self),
            None,
        )
