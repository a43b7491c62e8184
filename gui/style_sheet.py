"""The one style sheet of the window, as a function of a theme: what Fusion and the palette alone do not give."""

from __future__ import annotations

from string import Template

from gui.colors import Theme, mixed
from volunteer.resource_files import resource

# Sizes of type, as shares of the body text.
_TITLE, _CARD, SECONDARY_SIZE, _BIG = 22 / 13, 15 / 13, 12 / 13, 26 / 13

# A focus ring is two pixels wide where the border at rest is one: the padding gives way, so that nothing moves.
# Labels show words as they stand: by itself Qt reads as HTML what looks like it, also the name that a stranger gave his
# server, and with it the files that it names. Tooltips are labels too, and are left out: not all get this in time.
_SHEET = Template("""
QWidget { color: $text; }
QMainWindow, QDialog, QWidget#Page, QWidget#PageBody, QStackedWidget { background: $window; }
QScrollArea { background: transparent; border: none; }
QScrollArea:focus { border: none; }
QToolTip { background: $text; color: $surface; border: none; padding: 4px 8px; }

QLabel { qproperty-textFormat: PlainText; }
QTipLabel { qproperty-textFormat: AutoText; }
QLabel[markup="html"] { qproperty-textFormat: RichText; }
QLabel[markup="markdown"] { qproperty-textFormat: MarkdownText; }
QLabel[role="title"] { font-size: ${title_pt}pt; font-weight: 600; }
QLabel[role="card"] { font-size: ${card_pt}pt; font-weight: 600; }
QLabel[role="secondary"] { font-size: ${secondary_pt}pt; color: $secondary; }
QLabel[role="big"] { font-size: ${big_pt}pt; font-weight: 600; }
QLabel[state="good"] { color: $good; }
QLabel[state="warn"] { color: $warn; }
QLabel[state="bad"] { color: $bad; }
QLabel[state="info"] { color: $info; }

QFrame#Card { background: $surface; border: 1px solid $border; border-radius: 8px; }
QFrame#Card[state="warn"] { border-color: $warn; }
QFrame#Card[state="bad"] { border-color: $bad; }
QFrame#Banner { background: $surface; border: 1px solid $info; border-radius: 6px; }
QFrame#Banner[state="good"] { border-color: $good; }
QFrame#Banner[state="warn"] { border-color: $warn; }
QFrame#Banner[state="bad"] { border-color: $bad; }
QFrame#Line { background: $border; border: none; min-height: 1px; max-height: 1px; }

QPushButton {
    background: $surface; color: $text; border: 1px solid $outline; border-radius: 6px;
    padding: 6px 13px; min-height: 18px;
}
QPushButton:hover { background: $sunken; }
QPushButton:pressed, QPushButton:checked { background: $pressed; }
QPushButton:checked { border-color: $accent; }
QPushButton:focus { border: 2px solid $accent; padding: 5px 12px; }
QPushButton:disabled { color: $disabled; border-color: $border; }
QPushButton[kind="primary"] { background: $accent; color: $on_accent; border: 1px solid $accent; font-weight: 600; }
QPushButton[kind="primary"]:hover { background: $accent_hover; border-color: $accent_hover; }
QPushButton[kind="primary"]:pressed { background: $accent_pressed; border-color: $accent_pressed; }
QPushButton[kind="primary"]:focus { border: 2px solid $text; }
QPushButton[kind="primary"]:disabled { background: $sunken; color: $disabled; border-color: $border; }
QPushButton[kind="quiet"] { background: transparent; border: 1px solid transparent; color: $accent; }
QPushButton[kind="quiet"]:hover { background: $sunken; }
QPushButton[kind="quiet"]:pressed { background: $pressed; }
QPushButton[kind="quiet"]:focus { border: 2px solid $accent; }
QPushButton[kind="quiet"]:disabled { color: $disabled; }
QPushButton[kind="danger"] { color: $bad; border-color: $bad; }
QPushButton[kind="danger"]:focus { border: 2px solid $bad; }
QPushButton[kind="danger"]:disabled { color: $disabled; border-color: $border; }

QToolButton { background: transparent; border: 1px solid transparent; border-radius: 6px; padding: 5px; }
QToolButton:hover { background: $sunken; }
QToolButton:pressed, QToolButton:checked { background: $pressed; }
QToolButton:focus { border: 2px solid $accent; padding: 4px; }
QToolButton:disabled { color: $disabled; }
QToolButton[kind="quiet"] { color: $accent; }
QWidget#Rail { background: $surface; border-right: 1px solid $border; }

QLineEdit, QPlainTextEdit, QTextEdit, QSpinBox, QDoubleSpinBox, QComboBox {
    background: $surface; color: $text; border: 1px solid $outline; border-radius: 6px; padding: 5px 8px;
    placeholder-text-color: $secondary; selection-background-color: $accent; selection-color: $on_accent;
}
QLineEdit, QSpinBox, QDoubleSpinBox, QComboBox { min-height: 20px; }
QLineEdit:focus, QPlainTextEdit:focus, QTextEdit:focus, QSpinBox:focus, QDoubleSpinBox:focus,
QComboBox:focus { border: 2px solid $accent; padding: 4px 7px; }
QLineEdit:disabled, QPlainTextEdit:disabled, QTextEdit:disabled, QSpinBox:disabled, QDoubleSpinBox:disabled,
QComboBox:disabled { color: $disabled; border-color: $border; background: $window; }
QLineEdit[state="bad"] { border-color: $bad; }
QTextBrowser { border: none; background: transparent; padding: 0; }
QTextBrowser:focus { border: none; padding: 0; }
QComboBox { padding-right: 26px; }
QComboBox::drop-down { border: none; width: 24px; subcontrol-origin: border; subcontrol-position: center right; }
QComboBox::down-arrow { image: url($arrow_down); width: 12px; height: 12px; }
QComboBox QAbstractItemView { background: $surface; border: 1px solid $outline; padding: 4px; outline: none;
    selection-background-color: $accent; selection-color: $on_accent; }
QSpinBox, QDoubleSpinBox { padding-right: 22px; }
QAbstractSpinBox > QLineEdit, QComboBox > QLineEdit {
    border: none; background: transparent; padding: 0 0 0 6px; min-height: 0; }
QSpinBox::up-button, QDoubleSpinBox::up-button {
    border: none; width: 20px; subcontrol-origin: border; subcontrol-position: top right; }
QSpinBox::down-button, QDoubleSpinBox::down-button {
    border: none; width: 20px; subcontrol-origin: border; subcontrol-position: bottom right; }
QSpinBox::up-arrow, QDoubleSpinBox::up-arrow { image: url($arrow_up); width: 10px; height: 10px; }
QSpinBox::down-arrow, QDoubleSpinBox::down-arrow {
    image: url($arrow_down); width: 10px; height: 10px; }

QCheckBox, QRadioButton { spacing: 8px; padding: 3px; border: 2px solid transparent; border-radius: 6px; }
QCheckBox:focus, QRadioButton:focus { border-color: $accent; }
QCheckBox:disabled, QRadioButton:disabled { color: $disabled; }
QCheckBox::indicator, QAbstractItemView::indicator {
    width: 16px; height: 16px; border: 1px solid $outline; border-radius: 4px; background: $surface; }
QCheckBox::indicator:checked, QAbstractItemView::indicator:checked {
    background: $accent; border-color: $accent; image: url($mark); }
QCheckBox::indicator:disabled { background: $sunken; border-color: $border; }
QRadioButton::indicator {
    width: 16px; height: 16px; border: 1px solid $outline; border-radius: 9px; background: $surface; }
QRadioButton::indicator:checked { width: 8px; height: 8px; border: 5px solid $accent; background: $on_accent; }
QRadioButton::indicator:disabled { border-color: $border; }
QSlider { border: 2px solid transparent; border-radius: 6px; min-height: 22px; }
QSlider:focus { border-color: $accent; }
QSlider::groove:horizontal { height: 4px; border-radius: 2px; background: $outline; }
QSlider::sub-page:horizontal { height: 4px; border-radius: 2px; background: $accent; }
QSlider::handle:horizontal {
    background: $accent; width: 16px; height: 16px; margin: -6px 0; border-radius: 8px; }
QSlider::sub-page:horizontal:disabled, QSlider::handle:horizontal:disabled { background: $outline; }

QProgressBar { background: $sunken; border: none; border-radius: 3px; min-height: 6px; max-height: 6px; }
QProgressBar::chunk { background: $accent; border-radius: 3px; }

QAbstractItemView { background: $surface; border: 1px solid $border; border-radius: 6px; outline: none;
    selection-background-color: $pressed; selection-color: $text; alternate-background-color: $sunken; }
QAbstractItemView:focus { border: 1px solid $accent; }
QAbstractItemView::item { padding: 4px 8px; border-radius: 4px; color: $text; }
QAbstractItemView::item:hover { background: $sunken; }
QAbstractItemView::item:selected { background: $pressed; color: $text; }
QAbstractItemView::item:focus { border: 1px solid $accent; }
QFrame#Card QTableView { border-color: transparent; }
QFrame#Card QTableView:focus { border-color: $accent; }
QHeaderView, QHeaderView:focus { background: $surface; border: none; border-radius: 0; }
QListWidget#SectionList { background: transparent; border: none; }
QListWidget#SectionList::item { padding: 7px 10px; color: $secondary; border-radius: 6px; }
QListWidget#SectionList::item:selected { color: $text; }
QTableView#ScheduleGrid, QTableView#ScheduleGrid:focus { background: transparent; border: none; }
QAbstractScrollArea::corner { background: transparent; border: none; }
QTableCornerButton::section { background: transparent; border: none; }
QHeaderView::section { background: $surface; color: $secondary; border: none; border-bottom: 1px solid $border;
    padding: 6px 11px; }

QMenu { background: $surface; border: 1px solid $outline; padding: 4px; }
QMenu::item { padding: 6px 24px 6px 12px; border-radius: 4px; }
QMenu::item:selected { background: $pressed; }
QMenu::item:disabled { color: $secondary; background: transparent; }
QMenu::separator { height: 1px; background: $border; margin: 4px 8px; }

QScrollBar { background: transparent; border: none; }
QScrollBar:vertical { width: 12px; }
QScrollBar:horizontal { height: 12px; }
QScrollBar::handle { background: $outline; border: 3px solid transparent; border-radius: 5px; }
QScrollBar::handle:vertical { min-height: 36px; margin: 2px 3px; border: none; border-radius: 3px; }
QScrollBar::handle:horizontal { min-width: 36px; margin: 3px 2px; border: none; border-radius: 3px; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
""")


def style_sheet(theme: Theme, body_pt: float) -> str:
    """For QApplication.setStyleSheet."""
    return _SHEET.substitute(
        window=theme.window,
        surface=theme.surface,
        border=theme.border,
        outline=theme.outline,
        sunken=theme.sunken,
        pressed=mixed(theme.sunken, theme.accent, 0.14),
        text=theme.text,
        secondary=theme.secondary,
        disabled=mixed(theme.text, theme.surface, 0.55),
        accent=theme.accent,
        accent_hover=mixed(theme.accent, theme.text, 0.12),
        accent_pressed=mixed(theme.accent, theme.text, 0.24),
        on_accent=theme.on_accent,
        good=theme.good,
        warn=theme.warn,
        bad=theme.bad,
        info=theme.info,
        title_pt=f"{body_pt * _TITLE:.2f}",
        card_pt=f"{body_pt * _CARD:.2f}",
        secondary_pt=f"{body_pt * SECONDARY_SIZE:.2f}",
        big_pt=f"{body_pt * _BIG:.2f}",
        mark=_url(f"mark-on-{theme.name}"),
        arrow_down=_url("arrow-down"),
        arrow_up=_url("arrow-up"),
    )


def _url(icon: str) -> str:
    # One grey that is seen on both surfaces: a style sheet cannot colour a picture.
    return resource("icons", f"{icon}.svg").as_posix()
