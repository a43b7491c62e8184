"""What this program is, what it tells whom, what is new in it, and whose work it stands on."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QShowEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from gui import theme
from gui.icons import icon
from gui.viewmodels.about import AboutViewModel, Licence, Papers, told
from gui.viewmodels.worker import TrayState
from gui.widgets.card import Card
from gui.widgets.flower import paint_flower
from gui.widgets.folders import open_folder
from gui.widgets.reading_column import ReadingColumn

_MARK_PX = 56
_PAPERS = (
    ("arXiv 2209.01188", "https://arxiv.org/abs/2209.01188"),
    ("arXiv 2312.08361", "https://arxiv.org/abs/2312.08361"),
)


class AboutPage(ReadingColumn):
    origin: QLabel | None = None

    def __init__(self, about: AboutViewModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._about = about
        self.changelog = theme.markup(self._text(), "markdown")
        self.own_licence = theme.role(self._text(), "secondary")
        self._parts = QGridLayout()
        self._parts.setHorizontalSpacing(theme.L)
        self._parts.setVerticalSpacing(2)
        self._parts.setColumnStretch(0, 1)
        self._parts.setColumnStretch(2, 2)
        self.parts = self._unfolding()
        self._lay_out()
        about.changed.connect(self._show)
        self._show()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._about.read()

    def _lay_out(self) -> None:
        column = self.column
        column.addLayout(self._head())
        column.addWidget(self._told())
        column.addWidget(self._folder())
        news = Card(self.tr("What is new"), self)
        news.body.addWidget(self.changelog)
        column.addWidget(news)
        licence = Card(self.tr("Licence"), self)
        licence.body.addWidget(self.own_licence)
        licence.body.addWidget(self.parts, 0, Qt.AlignmentFlag.AlignLeft)
        licence.body.addLayout(self._parts)
        column.addWidget(licence)

    def _head(self) -> QHBoxLayout:
        name = theme.role(QLabel("Petals Volunteer", self), "title")
        version = theme.role(self._text(self.tr("Version {version}").format(version=self._about.version)), "secondary")
        self.origin = origin = theme.markup(self._text(), "html")
        origin.setOpenExternalLinks(True)
        origin.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self._show_origin(origin)
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(name)
        words.addWidget(version)
        words.addWidget(origin)
        head = QHBoxLayout()
        head.setSpacing(theme.L)
        head.addWidget(_Mark(self), 0, Qt.AlignmentFlag.AlignTop)
        head.addLayout(words, 1)
        return head

    def _told(self) -> Card:
        card = Card(self.tr("What is sent to whom"), self)
        card.body.setSpacing(theme.M)
        for each in told():
            pair = QVBoxLayout()
            pair.setSpacing(2)
            pair.addWidget(QLabel(each.who, card))
            pair.addWidget(theme.role(self._text(each.what), "secondary"))
            card.body.addLayout(pair)
        return card

    def _folder(self) -> Card:
        card = Card(self.tr("Data folder"), self)
        row = QHBoxLayout()
        row.setSpacing(theme.S)
        row.addWidget(theme.role(self._text(str(self._about.data_folder)), "secondary"), 1)
        self.open_folder = QPushButton(self.tr("Open"), card)
        self.open_folder.setIcon(icon("folder"))
        self.open_folder.setAccessibleName(self.tr("Open the data folder"))
        self.open_folder.clicked.connect(lambda: open_folder(self._about.data_folder))
        row.addWidget(self.open_folder)
        card.body.addLayout(row)
        text = self.tr(
            "Identity, settings, chats, points, blocks and logs are here. Whoever has the folder has all of it."
        )
        card.body.addWidget(self._text(text))
        return card

    def _text(self, text: str = "") -> QLabel:
        label = QLabel(text, self)
        label.setWordWrap(True)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        return label

    def _unfolding(self) -> QPushButton:
        button = QPushButton(self.tr("Licences of the parts"), self)
        theme.kind(button, "quiet")
        button.setCheckable(True)
        button.toggled.connect(lambda _: self._show())
        return button

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() is QEvent.Type.PaletteChange and self.origin is not None:
            self._show_origin(self.origin)

    def _show_origin(self, origin: QLabel) -> None:
        """A link keeps the colour that it was set in."""
        links = ", ".join(f'<a href="{address}">{title}</a>' for title, address in _PAPERS)
        origin.clear()
        origin.setText(self.tr("After the idea of Petals ({papers}).").format(papers=links))

    def _show(self) -> None:
        papers = self._about.papers
        # The card has the title already.
        self.changelog.setText(papers.changelog.partition("\n")[2].strip())
        self.own_licence.setText(papers.own_licence.replace("\n\n", "\0").replace("\n", " ").replace("\0", "\n\n"))
        self._show_parts(papers)

    def _show_parts(self, papers: Papers) -> None:
        while (item := self._parts.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        if self.parts.isChecked():
            for row, part in enumerate(papers.parts):
                self._add_part(row, part)

    def _add_part(self, row: int, part: Licence) -> None:
        for column, text in enumerate((part.part, part.version, part.licence)):
            label = theme.role(self._text(text), "body" if not column else "secondary")
            label.setWordWrap(column != 1)
            self._parts.addWidget(label, row, column, Qt.AlignmentFlag.AlignTop)


class _Mark(QWidget):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setFixedSize(_MARK_PX, _MARK_PX)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        paint_flower(painter, QRectF(self.rect()), TrayState.SERVING)
        painter.end()
