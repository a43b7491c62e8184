"""Markdown of a model as a document that is safe to show: no HTML, no picture, no link but to the web.

The text comes from strangers' machines. Qt's own reader of Markdown does the reading; what it makes is then dressed in
the theme's colours, and whatever would fetch or open something is turned into plain words.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from PySide6.QtCore import QObject, QUrl
from PySide6.QtGui import (
    QBrush,
    QColor,
    QFont,
    QFontDatabase,
    QTextBlock,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
    QTextFormat,
    QTextFragment,
    QTextFrameFormat,
    QTextImageFormat,
    QTextListFormat,
    QTextTable,
    QTextTableFormat,
)

from gui.colors import Theme
from gui.widgets.plain_tip import plain_tip

_FEATURES = QTextDocument.MarkdownFeature.MarkdownDialectGitHub | QTextDocument.MarkdownFeature.MarkdownNoHTML
_LINE_BREAK = "\u2028"
_LINE_HEIGHT_PERCENT = 140.0
_PARAGRAPH_GAP, _ITEM_GAP, _HEADING_GAP = 10, 4, 16
_INDENT = 24
_QUOTE_INDENT = 16
_HEADINGS = {1: 1.45, 2: 1.25, 3: 1.1}
"""Sizes beside the body's; smaller headings are bold alone."""
_CODE_SIZE = 0.94
_MOST_BARS = 500
"""Text with more of them is shown as it was written: the layout of a table of a thousand cells halts the window."""
_STRUCTURE = re.compile(r"\s*(?:[-*+>|#=~`]|\d+[.)]|$)")
"""How a line begins that is more than the next line of a paragraph."""
_RULE = re.compile(r"\s*([-*_])[ \t]*(?:\1[ \t]*){2,}$")
_STRONG = re.compile(r"(?<![\w`])__(?=\S)([^_`\n]+?)(?<=\S)__(?![\w`])")
_WEB = ("http", "https")
_DOTTED = (QTextListFormat.Style.ListDisc, QTextListFormat.Style.ListCircle, QTextListFormat.Style.ListSquare)


def code_font(base: QFont) -> QFont:
    """The desktop's font for code, in a size that goes with the body's."""
    font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
    font.setPointSizeF(base.pointSizeF() * _CODE_SIZE)
    font.setStyleHint(QFont.StyleHint.Monospace)
    return font


def markdown_document(markdown: str, font: QFont, theme: Theme, parent: QObject) -> QTextDocument:
    document = _SealedDocument(parent)
    document.setUndoRedoEnabled(False)
    document.setDefaultFont(font)
    document.setDocumentMargin(0)
    document.setIndentWidth(_INDENT)
    document.setMarkdown(_as_meant(markdown), _FEATURES)
    cursor = QTextCursor(document)
    cursor.beginEditBlock()
    _remove_pictures(document)
    _dress_blocks(document, font, theme)
    _dress_tables(document, theme)
    cursor.endEditBlock()
    return document


def is_web_link(url: QUrl) -> bool:
    return url.isValid() and url.scheme().lower() in _WEB and bool(url.host())


class _SealedDocument(QTextDocument):
    """Fetches nothing, neither from the web nor from a file."""

    def loadResource(self, type: int, name: QUrl | str) -> str:
        return ""


def _as_meant(markdown: str) -> str:
    """For Qt's reader, what models write otherwise than it takes it."""
    text = markdown.replace(_LINE_BREAK, "\n")
    if text.count("|") > _MOST_BARS:
        return "\n".join(f"    {line}" for line in text.split("\n"))
    if text.startswith("---"):  # would be read as the head of a file, and not shown
        text = f"***{text[3:].lstrip('-')}"
    text = _STRONG.sub(r"**\1**", text)  # which it would underline
    return _with_kept_lines(text)


def _with_kept_lines(text: str) -> str:
    """Lines of a paragraph stay lines: in poems and addresses they are meant, and base models write no Markdown."""
    lines = text.split("\n")
    for number, (line, following) in enumerate(itertools.pairwise(lines)):
        is_table = "|" in line or "|" in following
        is_whole = is_table or line.startswith(("    ", "#")) or _RULE.match(line) is not None
        if line.strip() and not is_whole and _STRUCTURE.match(following) is None:
            lines[number] = line + _LINE_BREAK
    return "\n".join(lines)


def _blocks(document: QTextDocument) -> Iterator[QTextBlock]:
    block = document.begin()
    while block.isValid():
        yield block
        block = block.next()


def _fragments(block: QTextBlock) -> list[QTextFragment]:
    found = []
    place = block.begin()
    while not place.atEnd():
        fragment = place.fragment()
        if fragment.isValid():
            found.append(fragment)
        place += 1
    return found


def _selected(document: QTextDocument, start: int, end: int) -> QTextCursor:
    cursor = QTextCursor(document)
    cursor.setPosition(start)
    cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
    return cursor


def _remove_pictures(document: QTextDocument) -> None:
    """The words that stand for a picture are shown in its place."""
    pictures = [
        fragment
        for block in _blocks(document)
        for fragment in _fragments(block)
        if fragment.charFormat().isImageFormat()
    ]
    for fragment in reversed(pictures):  # so that the places of those before stay as they are
        image: QTextImageFormat = fragment.charFormat().toImageFormat()
        words = str(image.property(QTextFormat.Property.ImageAltText) or "") or image.name()
        start = fragment.position()
        _selected(document, start, start + fragment.length()).insertText(f"[{words}]", QTextCharFormat())


def _dress_blocks(document: QTextDocument, font: QFont, theme: Theme) -> None:
    for block in list(_blocks(document)):
        _keep_lines_tidy(document, block)
        QTextCursor(block).setBlockFormat(_block_format(block))
        _dress_list(block)
        for fragment in _fragments(block):
            _dress_fragment(document, fragment, block, font, theme)


def _keep_lines_tidy(document: QTextDocument, block: QTextBlock) -> None:
    """The reader puts a space between lines of a paragraph; after a kept break it would indent the next one."""
    text = block.text()
    for found in reversed(list(re.finditer(rf"{_LINE_BREAK} ?$|(?<={_LINE_BREAK}) ", text))):
        start = block.position() + found.start()
        _selected(document, start, block.position() + found.end()).removeSelectedText()


def _block_format(block: QTextBlock) -> QTextBlockFormat:
    form = block.blockFormat()
    form.setTopMargin(_gap_above(block))
    form.setBottomMargin(0)
    form.setLeftMargin(_QUOTE_INDENT * form.intProperty(QTextFormat.Property.BlockQuoteLevel))
    form.setRightMargin(0)
    if not (_is_code(block) or _is_cell(block)):
        form.setLineHeight(_LINE_HEIGHT_PERCENT, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
    return form


def _gap_above(block: QTextBlock) -> int:
    before = block.previous()
    if not before.isValid() or _is_cell(block) or (_is_code(block) and _is_code(before)):
        return 0
    if block.blockFormat().headingLevel():
        return _HEADING_GAP
    if block.textList() is not None and before.textList() is not None:
        return _ITEM_GAP
    return _PARAGRAPH_GAP


def _is_code(block: QTextBlock) -> bool:
    return block.blockFormat().hasProperty(QTextFormat.Property.BlockCodeFence)


def _is_cell(block: QTextBlock) -> bool:
    return QTextCursor(block).currentTable() is not None


def _dress_list(block: QTextBlock) -> None:
    """Dots are painted by whoever shows the document: Qt's own touch the text."""
    found = block.textList()
    if found is not None and block == found.item(0):
        form = found.format()
        if form.style() in _DOTTED and block.blockFormat().marker() == QTextBlockFormat.MarkerType.NoMarker:
            form.setStyle(QTextListFormat.Style.ListStyleUndefined)
            found.setFormat(form)


def _dress_fragment(
    document: QTextDocument, fragment: QTextFragment, block: QTextBlock, font: QFont, theme: Theme
) -> None:
    form = fragment.charFormat()
    heading = block.blockFormat().headingLevel()
    changed = QTextCharFormat(form)
    if heading:
        changed.clearProperty(QTextFormat.Property.FontSizeAdjustment)
        changed.setFontPointSize(font.pointSizeF() * _HEADINGS.get(heading, 1.0))
        changed.setFontWeight(QFont.Weight.DemiBold)
    if form.fontFixedPitch():
        _dress_code(changed, font, theme)
    if form.isAnchor():
        _dress_link(changed, theme)
    elif form.fontUnderline():  # _so_ is meant as emphasis
        changed.setFontUnderline(False)
        changed.setFontItalic(True)
    if block.blockFormat().hasProperty(QTextFormat.Property.BlockQuoteLevel) and not form.isAnchor():
        changed.setForeground(QColor(theme.secondary))
    if changed != form:
        start = fragment.position()
        _selected(document, start, start + fragment.length()).setCharFormat(changed)


def _dress_code(form: QTextCharFormat, font: QFont, theme: Theme) -> None:
    mono = code_font(font)
    form.setFontFamilies(mono.families())
    form.setFontPointSize(mono.pointSizeF())
    form.setBackground(QColor(theme.sunken))


def _dress_link(form: QTextCharFormat, theme: Theme) -> None:
    url = QUrl(form.anchorHref())
    if is_web_link(url):
        form.setForeground(QColor(theme.accent))
        form.setFontUnderline(True)
        form.setToolTip(plain_tip(url.toDisplayString()))
        return
    form.setAnchor(False)
    form.setAnchorHref("")
    form.setFontUnderline(False)
    form.clearForeground()


def _dress_tables(document: QTextDocument, theme: Theme) -> None:
    for frame in document.rootFrame().childFrames():
        if isinstance(frame, QTextTable):
            form: QTextTableFormat = frame.format().toTableFormat()
            form.setBorder(1)
            form.setBorderBrush(QBrush(QColor(theme.border)))
            form.setBorderStyle(QTextFrameFormat.BorderStyle.BorderStyle_Solid)
            form.setBorderCollapse(True)
            form.setCellPadding(6)
            form.setTopMargin(4)
            form.setBottomMargin(_PARAGRAPH_GAP)
            frame.setFormat(form)
