"""Text of a message: selected with mouse or keyboard, as high as it is long, never scrolling by itself."""

from __future__ import annotations

import math
from collections.abc import Callable

from PySide6.QtCore import QMimeData, QPointF, QRect, QRectF, Qt, QUrl, Signal
from PySide6.QtGui import (
    QColor,
    QPainter,
    QPaintEvent,
    QTextBlock,
    QTextCursor,
    QTextDocument,
    QTextFormat,
    QTextListFormat,
    QWheelEvent,
)
from PySide6.QtWidgets import QFrame, QTextBrowser, QWidget

from gui import theme
from gui.widgets.chat.markdown_document import is_web_link, markdown_document

_QUOTE_BAR_PX, _QUOTE_PAD_PX = 3, 2
_DOT_LEFT_PX, _DOT_RADIUS_PX = 11, 2.5
_DOT_HEIGHT = 0.66
"""Where the middle of small letters is, as a share of the height above the line."""


class TextView(QTextBrowser):
    link_clicked = Signal(QUrl)
    """One that leads to the web."""

    def __init__(self, parent: QWidget):
        super().__init__(parent)
        self.mime_data_of_rows: Callable[[], QMimeData | None] = lambda: None
        """What is selected here and in other rows, if it goes over several."""
        self._own_document: QTextDocument | None = None
        self._quotes: list[int] = []
        self._items: list[int] = []
        """Which blocks are quoted, and which have dots."""
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setOpenLinks(False)
        self.setUndoRedoEnabled(False)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextBrowserInteraction | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.viewport().setAutoFillBackground(False)
        self.anchorClicked.connect(self._take_click)

    def show_markdown(self, text: str) -> None:
        """Replaces what is shown; a selection stays where it is, as when an answer grows behind it."""
        cursor = self.textCursor()
        anchor, position = cursor.anchor(), cursor.position()
        self._take(markdown_document(text, self.font(), theme.current(), self))
        if anchor != position:
            self._select(anchor, position)

    def show_plain(self, text: str) -> None:
        document = QTextDocument(self)
        document.setDefaultFont(self.font())
        document.setDocumentMargin(0)
        document.setUndoRedoEnabled(False)
        document.setPlainText(text)
        self._take(document)

    def natural_width(self) -> int:
        """How wide it is if no line is broken."""
        document = self.document()
        document.setTextWidth(-1)
        return math.ceil(document.idealWidth())

    def height_for(self, width: int) -> int:
        self.document().setTextWidth(width)
        return math.ceil(self.document().size().height())

    def loadResource(self, type: int, name: QUrl | str) -> str:
        """Nothing is fetched, whatever a text says."""
        return ""

    def createMimeDataFromSelection(self) -> QMimeData:
        return self.mime_data_of_rows() or super().createMimeDataFromSelection()

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()  # the list scrolls

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._quotes or self._items:
            self._paint_marks(event.rect())
        super().paintEvent(event)

    def _take(self, document: QTextDocument) -> None:
        before, self._own_document = self._own_document, document
        self.setDocument(document)
        self._find_marks(document)
        if before is not None:
            before.deleteLater()
        # Whoever goes through the page by keyboard stops where there is something to do.
        has_links = any(form.toCharFormat().isAnchor() for form in document.allFormats())
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus if has_links else Qt.FocusPolicy.ClickFocus)

    def _select(self, anchor: int, position: int) -> None:
        most = max(0, self.document().characterCount() - 1)
        cursor = self.textCursor()
        cursor.setPosition(min(anchor, most))
        cursor.setPosition(min(position, most), QTextCursor.MoveMode.KeepAnchor)
        self.setTextCursor(cursor)

    def _take_click(self, url: QUrl) -> None:
        if is_web_link(url):
            self.link_clicked.emit(url)

    def _find_marks(self, document: QTextDocument) -> None:
        self._quotes, self._items = [], []
        block = document.begin()
        while block.isValid():
            if block.blockFormat().hasProperty(QTextFormat.Property.BlockQuoteLevel):
                self._quotes.append(block.blockNumber())
            items = block.textList()
            if items is not None and items.format().style() == QTextListFormat.Style.ListStyleUndefined:
                self._items.append(block.blockNumber())
            block = block.next()

    def _paint_marks(self, clip: QRect) -> None:
        """Bars beside what is quoted, and the dots of lists."""
        layout = self.document().documentLayout()
        colors = theme.current()
        painter = QPainter(self.viewport())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setClipRect(clip)
        for number in self._quotes:
            place = layout.blockBoundingRect(self.document().findBlockByNumber(number))
            bar = QRectF(0, place.top() - _QUOTE_PAD_PX, _QUOTE_BAR_PX, place.height() + 2 * _QUOTE_PAD_PX)
            painter.fillRect(bar, QColor(colors.outline))
        for number in self._items:
            self._paint_dot(painter, self.document().findBlockByNumber(number))
        painter.end()

    def _paint_dot(self, painter: QPainter, block: QTextBlock) -> None:
        line = block.layout().lineAt(0)
        if not line.isValid():
            return
        place = block.layout().position() + QPointF(line.x() - _DOT_LEFT_PX, line.y() + line.ascent() * _DOT_HEIGHT)
        is_filled = block.textList().format().indent() % 2 == 1
        color = QColor(theme.current().secondary)
        painter.setPen(color)
        painter.setBrush(color if is_filled else Qt.BrushStyle.NoBrush)
        painter.drawEllipse(place, _DOT_RADIUS_PX, _DOT_RADIUS_PX)
