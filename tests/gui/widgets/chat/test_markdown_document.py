"""What strangers' text can and cannot do in the window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QUrl
from PySide6.QtGui import QImage, QTextCharFormat, QTextDocument
from PySide6.QtWidgets import QApplication

from gui import theme
from gui.widgets.chat.markdown_document import is_web_link, markdown_document

Shown = Callable[[str], QTextDocument]


@pytest.fixture
def shown(qapp: QApplication) -> Shown:
    def made(markdown: str) -> QTextDocument:
        return markdown_document(markdown, qapp.font(), theme.current(), qapp)

    return made


def formats(document: QTextDocument) -> dict[str, QTextCharFormat]:
    """By the words that have them."""
    found = {}
    block = document.begin()
    while block.isValid():
        place = block.begin()
        while not place.atEnd():
            found[place.fragment().text()] = place.fragment().charFormat()
            place += 1
        block = block.next()
    return found


def test_html_is_words(shown: Shown) -> None:
    text = "<b>bold</b> <img src=x onerror=alert(1)>\n\n<script>alert(1)</script>\n\n<div style='display:none'>x</div>"
    document = shown(text)
    for word in ("<b>bold</b>", "<img src=x", "<script>", "<div style="):
        assert word in document.toPlainText()


def test_no_picture_is_fetched(shown: Shown, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    QImage(4, 4, QImage.Format.Format_RGB32).save(str(picture))
    document = shown(f"![a cat](http://example.org/cat.png) ![]({picture.as_uri()}) ![x](data:image/png;base64,AAAA)")
    assert "[a cat]" in document.toPlainText() and "\ufffc" not in document.toPlainText()
    assert not any(form.isImageFormat() for form in formats(document).values())
    assert document.resource(QTextDocument.ResourceType.ImageResource.value, QUrl(picture.as_uri())) in (None, "")


@pytest.mark.parametrize(
    ("target", "is_link"),
    [
        ("https://example.org/a?b=c", True),
        ("HTTP://example.org", True),
        ("javascript:alert(1)", False),
        ("file:///etc/passwd", False),
        ("data:text/html,hi", False),
        ("https:no-host", False),
        ("/relative", False),
        ("mailto:a@example.org", False),
    ],
)
def test_only_the_web_is_linked_to(shown: Shown, target: str, is_link: bool) -> None:
    assert is_web_link(QUrl(target)) is is_link
    form = formats(shown(f"see [there]({target})"))["there"]
    assert form.isAnchor() is is_link
    if is_link:
        assert "example.org" in form.toolTip(), "the words of a link may lie about where it leads"


def test_the_head_of_a_file_is_not_swallowed(shown: Shown) -> None:
    assert "secret: 1" in shown("---\nsecret: 1\n---\ntext").toPlainText()


def test_lines_of_a_poem_stay_lines(shown: Shown) -> None:
    text = shown("Roses are red,\nviolets are blue\n- one\n- two\n\nNext").toPlainText()
    assert text == "Roses are red,\nviolets are blue\none\ntwo\nNext"


def test_tables_lists_and_headings_keep_their_shape(shown: Shown) -> None:
    document = shown("# Head\ntext\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n3. three\n4. four")
    assert document.begin().blockFormat().headingLevel() == 1
    assert document.rootFrame().childFrames()[0].firstPosition() > 0
    assert document.lastBlock().textList().format().start() == 3


def test_a_table_that_would_halt_the_window_is_shown_as_it_was_written(shown: Shown) -> None:
    text = "|a|b|\n|-|-|\n" + "|1|2|\n" * 800
    document = shown(text)
    assert document.toPlainText().count("|1|2|") == 800 and document.rootFrame().childFrames() == []


def test_underscores_are_emphasis(shown: Shown) -> None:
    found = formats(shown("_so_ and __strong__ and `__init__`"))
    assert found["so"].fontItalic() and not found["so"].fontUnderline()
    assert found["strong"].fontWeight() > 400 and "__init__" in found


@pytest.mark.parametrize(
    "text", ["", "\n", "[", "![", "](", "|", "|-", "**", "> ", "- ", "1. ", "`", "<", "\u2028", "\x00", "\ud83d"]
)
def test_unfinished_text_is_shown(shown: Shown, text: str) -> None:
    shown(text)
    shown(f"before\n{text}")
