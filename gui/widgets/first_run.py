"""The first run: three pages in one column, with the way back and practice mode at the foot of each."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QLayout,
    QPushButton,
    QScrollArea,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from gui import theme
from gui.viewmodels.first_run import PAGES, FirstRunViewModel
from gui.viewmodels.worker import TrayState
from gui.widgets.first_run_consent import ConsentPage
from gui.widgets.first_run_hardware import HardwarePage
from gui.widgets.first_run_welcome import WelcomePage
from gui.widgets.flower import paint_flower

_COLUMN_PX = 680
_FLOWER_PX = 36


class FirstRun(QWidget):
    """
    Signals:
        consented: what was chosen is saved, and the worker may start.
        practice_wanted: to look around first, on this computer alone.
    """

    consented = Signal()
    practice_wanted = Signal()

    def __init__(self, first_run: FirstRunViewModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("Page")
        self.setAccessibleName(self.tr("First run"))
        self._first_run = first_run
        self.title = theme.role(QLabel(self), "title")
        self.title.setWordWrap(True)
        self.step = theme.role(QLabel(self), "secondary")
        self.welcome = WelcomePage(self)
        self.hardware = HardwarePage(first_run, self)
        self.consent = ConsentPage(first_run, self)
        self.pages = QStackedWidget(self)
        for page in (self.welcome, self.hardware, self.consent):
            self.pages.addWidget(_Scrolled(page))
        self.problem = QLabel(self)
        self.problem.setWordWrap(True)
        theme.state(self.problem, "bad")
        self.hint = theme.role(QLabel(self), "secondary")
        self.hint.setWordWrap(True)
        self.back = QPushButton(self.tr("Back"), self)
        self.back.clicked.connect(first_run.go_back)
        self.practice = QPushButton(self.tr("Practise on this computer alone"), self)
        theme.kind(self.practice, "quiet")
        self.practice.clicked.connect(self.practice_wanted)
        self.forward = QPushButton(self)
        theme.kind(self.forward, "primary")
        self.forward.setDefault(True)
        self.forward.clicked.connect(self._go_on)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, theme.L, 0, theme.M)
        outer.setSpacing(theme.M)
        outer.addWidget(_Centred(self._head()))
        outer.addWidget(self.pages, 1)
        outer.addWidget(_line(self))
        outer.addWidget(_Centred(self._foot()))
        self._shown_page = -1
        first_run.changed.connect(self._show)
        first_run.consented.connect(self.consented)
        self._show()

    def _head(self) -> QLayout:
        row = QHBoxLayout()
        row.setSpacing(theme.M)
        row.addWidget(_Flower(self), 0, Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(self.title, 1)
        row.addWidget(self.step, 0, Qt.AlignmentFlag.AlignVCenter)
        return row

    def _foot(self) -> QLayout:
        column = QVBoxLayout()
        column.setSpacing(theme.S)
        column.addWidget(self.problem)
        column.addWidget(self.hint)
        row = QHBoxLayout()
        row.addWidget(self.back)
        row.addStretch(1)
        row.addWidget(self.practice)
        row.addWidget(self.forward)
        column.addLayout(row)
        return column

    def _show(self) -> None:
        first_run = self._first_run
        page = first_run.page
        titles = (
            self.tr("Welcome to Petals Volunteer"),
            self.tr("What your computer can do"),
            self.tr("Before it starts"),
        )
        self.title.setText(titles[page])
        self.step.setText(self.tr("{page} of {pages}").format(page=page + 1, pages=PAGES))
        is_last = page == PAGES - 1
        if first_run.is_saving:
            self.forward.setText(self.tr("Starting …"))
        else:
            self.forward.setText(self.tr("Agree and start") if is_last else self.tr("Continue"))
        self.forward.setEnabled(first_run.can_go_on)
        self.back.setEnabled(page > 0 and not first_run.is_saving)
        self.problem.setText(first_run.problem)
        self.problem.setVisible(bool(first_run.problem))
        self.hint.setText(first_run.hint)
        self.hint.setVisible(bool(first_run.hint) and not first_run.problem)
        self.pages.setCurrentIndex(page)
        if page != self._shown_page:
            self._shown_page = page
            self._begin_page()

    def _begin_page(self) -> None:
        """At its top, with the keyboard on the button that leads on, or where something is to be chosen first."""
        scrolled = self.pages.currentWidget()
        if isinstance(scrolled, QScrollArea):
            scrolled.verticalScrollBar().setValue(0)
        if self.forward.isEnabled():
            self.forward.setFocus(Qt.FocusReason.OtherFocusReason)
        else:
            self.back.setFocus(Qt.FocusReason.OtherFocusReason)

    def _go_on(self) -> None:
        if self._first_run.page == PAGES - 1:
            self._first_run.consent()
        else:
            self._first_run.go_on()


class _Flower(QWidget):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setFixedSize(QSize(_FLOWER_PX, _FLOWER_PX))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        paint_flower(painter, QRectF(self.rect()), TrayState.SERVING)
        painter.end()


class _Centred(QWidget):
    """One column, in the middle of a wide window.

    Args:
        beside_px: what stands right of this widget: with it, the column is in the middle all the same.
    """

    def __init__(self, inner: QLayout) -> None:
        super().__init__()
        self.beside_px = 0
        inner.setContentsMargins(0, 0, 0, 0)
        self._row = QHBoxLayout(self)
        self._row.addLayout(inner)

    def resizeEvent(self, event: QResizeEvent) -> None:
        whole = self.width() + self.beside_px
        column = min(round(_COLUMN_PX * theme.text_scale()), whole - 2 * theme.XL)
        left = (whole - column) // 2
        self._row.setContentsMargins(left, 0, max(0, self.width() - left - column), 0)
        super().resizeEvent(event)


class _Scrolled(QScrollArea):
    def __init__(self, page: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # it follows the focus of its contents
        column = QVBoxLayout()
        column.addWidget(page)
        column.addStretch(1)
        self._centred = _Centred(column)
        self._centred.setObjectName("PageBody")
        self.setWidget(self._centred)
        self.verticalScrollBar().rangeChanged.connect(self._make_room)

    def _make_room(self) -> None:
        bar = self.verticalScrollBar()
        self._centred.beside_px = bar.sizeHint().width() if bar.maximum() > 0 else 0


def _line(parent: QWidget) -> QFrame:
    line = QFrame(parent)
    line.setObjectName("Line")
    return line
