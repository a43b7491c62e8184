"""The window: a rail at the left, banners, and one page at a time, made when it is first looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from PySide6.QtCore import QByteArray, QEvent, QObject, QSettings, Qt, Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QHBoxLayout, QMainWindow, QStackedWidget, QVBoxLayout, QWidget

from gui import theme
from gui.viewmodels.worker import WorkerViewModel
from gui.widgets.banner import Banner
from gui.widgets.rail import Place, Rail

OPENS_AT = (960, 640)
LEAST_SIZE = (720, 480)


@dataclass(frozen=True)
class PageEntry:
    """A place of the rail, and how its page is made."""

    place: Place
    build: Callable[[], QWidget]


@runtime_checkable
class PageOfParts(Protocol):
    """A page that shows one of its parts at a time, each by a key."""

    def show_section(self, key: str) -> None: ...


class MainWindow(QMainWindow):
    """
    Args:
        memory: where size and place of the window are kept.

    Signals:
        close_wanted: what that means is not decided here.
    """

    close_wanted = Signal()

    def __init__(self, memory: QSettings):
        super().__init__()
        self._memory = memory
        self._may_close = False
        self.setWindowTitle("Petals Volunteer")
        self.setMinimumSize(*LEAST_SIZE)
        self.resize(*OPENS_AT)
        self._views = QStackedWidget(self)
        self.setCentralWidget(self._views)
        geometry = memory.value("window/geometry")
        if isinstance(geometry, QByteArray):
            self.restoreGeometry(geometry)

    @property
    def view(self) -> QWidget | None:
        """What fills the window now."""
        return self._views.currentWidget()

    def show_view(self, view: QWidget) -> None:
        """Fills the window with this one; what was there before is gone."""
        before = self._views.currentWidget()
        self._views.addWidget(view)
        self._views.setCurrentWidget(view)
        if before is not None and before is not view:
            self._views.removeWidget(before)
            before.deleteLater()

    def come_to_front(self) -> None:
        self.setWindowState(self.windowState() & ~Qt.WindowState.WindowMinimized)
        self.show()
        self.raise_()
        self.activateWindow()

    def remember_geometry(self) -> None:
        self._memory.setValue("window/geometry", self.saveGeometry())

    def let_go(self) -> None:
        """From now on closing the window closes it."""
        self._may_close = True

    def closeEvent(self, event: QCloseEvent) -> None:
        self.remember_geometry()
        if self._may_close:
            event.accept()
            return
        event.ignore()
        self.close_wanted.emit()


class PagesView(QWidget):
    """
    Args:
        banners: over every page.
    """

    shown = Signal(str)
    """The key of the page that is looked at from now on."""

    def __init__(self, entries: Sequence[PageEntry], worker: WorkerViewModel, banners: Sequence[Banner]):
        super().__init__()
        self._entries = {entry.place.key: entry for entry in entries}
        self._pages: dict[str, QWidget] = {}
        self.rail = Rail([entry.place for entry in entries], worker, self)
        self.rail.chosen.connect(self.show_page)
        self._stack = QStackedWidget(self)
        column = QVBoxLayout()
        column.setSpacing(0)
        column.addWidget(_BannerStrip(banners))
        column.addWidget(self._stack, 1)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self.rail)
        row.addLayout(column, 1)

    def known(self, key: str) -> str:
        """The key, if there is such a page; else the first page's."""
        return key if key in self._entries else next(iter(self._entries))

    def show_page(self, key: str) -> None:
        """Makes the page if nobody has looked at it yet."""
        page = self.page(key)
        self.rail.show_place(key)
        self._stack.setCurrentWidget(page)
        self.shown.emit(key)

    def show_part(self, key: str, part: str) -> None:
        """Shows the page, and of it a part."""
        self.show_page(key)
        page = self.page(key)
        if isinstance(page, PageOfParts):
            page.show_section(part)

    def page(self, key: str) -> QWidget:
        if key not in self._pages:
            self._pages[key] = self._entries[key].build()
            self._stack.addWidget(self._pages[key])
        return self._pages[key]


class _BannerStrip(QWidget):
    """Aligned with what is on the pages, and not there at all while every banner is hidden."""

    def __init__(self, banners: Sequence[Banner]):
        super().__init__()
        self._banners = banners
        column = QVBoxLayout(self)
        column.setContentsMargins(theme.XL, theme.M, theme.XL, 0)
        column.setSpacing(theme.S)
        for banner in banners:
            column.addWidget(banner)
            banner.installEventFilter(self)
        self._follow()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.ShowToParent, QEvent.Type.HideToParent):
            self._follow()
        return super().eventFilter(watched, event)

    def _follow(self) -> None:
        self.setVisible(any(not banner.isHidden() for banner in self._banners))
