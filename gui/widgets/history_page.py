"""What the machine did: curves of the last hour or day, and bars and a table of the days before."""

from __future__ import annotations

import datetime

from PySide6.QtCore import QEvent, Qt, QTimer
from PySide6.QtGui import QHideEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QAbstractItemView, QTableView, QWidget

from gui import theme
from gui.viewmodels.days import DaysTable, Measure, Period, bars_of
from gui.viewmodels.history import HistoryViewModel, Quantity, Span
from gui.widgets.bar_plot import BarPlot
from gui.widgets.card import Card
from gui.widgets.empty_state import EmptyState
from gui.widgets.flow_layout import FlowLayout
from gui.widgets.page import Page
from gui.widgets.plot_card import PlotCard
from gui.widgets.row_table import read_by_rows
from gui.widgets.segments import Segments

_COLUMN_PX = 340
_DAYS_EVERY_MS = 60_000
_SHOWN_ROWS = 10
_MEASURED_ROWS = 31


class HistoryPage(Page):
    def __init__(self, history: HistoryViewModel, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("History"), parent)
        self._history = history
        self.spans = Segments(
            self.tr("Shown time"),
            {Span.HOUR: self.tr("Last hour"), Span.DAY: self.tr("Last day")},
            history.show_span,
            self,
        )
        self.actions.addWidget(self.spans)
        self.empty = EmptyState("history", "", "", parent=self)
        self._plots = QWidget(self)
        self._flow = FlowLayout(self._plots, spacing=theme.M, column_px=_COLUMN_PX, fills_rows=True)
        self.cards: dict[Quantity, PlotCard] = {}
        self.days = DaysCard(history, self)
        self.body.addWidget(self.empty)
        self.body.addWidget(self._plots)
        self.body.addWidget(self.days)
        self._timer = QTimer(self)
        self._timer.setInterval(_DAYS_EVERY_MS)
        self._timer.timeout.connect(history.refresh_days)
        history.changed.connect(self._show)
        history.days_changed.connect(self._show_days)
        self._show_days()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._history.refresh_days()
        self._timer.start()
        self._show()

    def hideEvent(self, event: QHideEvent) -> None:
        self._timer.stop()
        super().hideEvent(event)

    def _show(self) -> None:
        if not self.isVisible():
            return
        self.spans.show_choice(self._history.span)
        has_samples = bool(self._history.samples)
        self._plots.setVisible(has_samples)
        self.spans.setVisible(has_samples)
        self._show_empty()
        if has_samples:
            self._show_plots()

    def _show_plots(self) -> None:
        window_s, gap_s = self._history.window_s, self._history.span.longest_gap_s
        shown = {plot.quantity: plot for plot in self._history.plots()}
        for quantity, plot in shown.items():
            if quantity not in self.cards:
                self.cards[quantity] = PlotCard(quantity, self._plots)
                self._flow.addWidget(self.cards[quantity])
            self.cards[quantity].show_plot(plot, window_s, gap_s)
        for quantity, card in self.cards.items():
            card.setVisible(quantity in shown)

    def _show_empty(self) -> None:
        self.empty.setVisible(not self._history.samples and not self._history.days)
        if self._history.is_loaded:
            self.empty.show_words(
                self.tr("Nothing has been measured yet"),
                self.tr(
                    "Once this computer serves, its speed, temperature and traffic are drawn here, and what it gave on "
                    "each day."
                ),
            )
        else:
            self.empty.show_words(
                self.tr("The worker keeps the history"),
                self.tr("It is not running now. Once it is, what it measured is drawn here."),
            )

    def _show_days(self) -> None:
        self.days.setVisible(bool(self._history.days))
        self.days.show_days()
        if self.isVisible():
            self._show_empty()


class DaysCard(Card):
    """Bars of one measure, and below them all measures as a table."""

    def __init__(self, history: HistoryViewModel, parent: QWidget) -> None:
        super().__init__("", parent)
        self._history = history
        self._measure, self._period = Measure.TOKENS, Period.DAYS
        self.set_title(self.tr("Day by day"))
        self.measures = Segments(
            self.tr("Shown as bars"),
            {
                Measure.TOKENS: self.tr("Tokens"),
                Measure.POINTS: self.tr("Points"),
                Measure.HOURS: self.tr("Hours"),
            },
            self._choose_measure,
            self,
        )
        self.periods = Segments(
            self.tr("A bar for each"),
            {Period.DAYS: self.tr("30 days"), Period.MONTHS: self.tr("12 months")},
            self._choose_period,
            self,
        )
        choices = QWidget(self)
        row = FlowLayout(choices, spacing=theme.M)
        row.addWidget(self.measures)
        row.addWidget(self.periods)
        self.bars = BarPlot(self)
        self._model = DaysTable(self)
        self.table = DaysView(self._model, self.tr("All days"), self)
        self.body.addWidget(choices)
        self.body.addWidget(self.bars)
        self.body.addSpacing(theme.S)
        self.body.addWidget(self.table)
        self.show_days()

    def show_days(self) -> None:
        self.measures.show_choice(self._measure)
        self.periods.show_choice(self._period)
        names = {
            Measure.TOKENS: self.tr("Tokens served"),
            Measure.POINTS: self.tr("Points earned"),
            Measure.HOURS: self.tr("Hours served"),
        }
        self.bars.show_bars(
            names[self._measure],
            bars_of(self._history.days, self._measure, self._period, datetime.date.today()),
            self._measure.in_words,
            self._measure.at_axis,
            least_step=0.0 if self._measure is Measure.POINTS else 1.0,
        )
        self._model.show_days(self._history.days)
        self.table.fit_columns()
        self.table.fit_height(_SHOWN_ROWS)

    def _choose_measure(self, measure: Measure) -> None:
        self._measure = measure
        self.show_days()

    def _choose_period(self, period: Period) -> None:
        self._period = period
        self.show_days()


class DaysView(QTableView):
    """Columns as wide as their words, and what is left over shared out among them."""

    def __init__(self, model: DaysTable, name: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._wanted: list[int] = []
        """Widths of the columns that their words need."""
        self.setModel(model)
        self.setAccessibleName(name)
        read_by_rows(self)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.horizontalHeader().setFocusPolicy(Qt.FocusPolicy.NoFocus)
        # To look through a year of days for the widest would hold the window up.
        self.horizontalHeader().setResizeContentsPrecision(_MEASURED_ROWS)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._share_width()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self.fit_columns()

    def fit_columns(self) -> None:
        header = self.horizontalHeader()
        self._wanted = [
            max(self.sizeHintForColumn(column), header.sectionSizeHint(column)) for column in range(header.count())
        ]
        self._share_width()

    def _share_width(self) -> None:
        spare = max(0, self.viewport().width() - sum(self._wanted)) // max(1, len(self._wanted))
        for column, width in enumerate(self._wanted):
            self.setColumnWidth(column, width + spare)

    def fit_height(self, most_rows: int) -> None:
        """Room for its rows, and for a bar where they are wider than the view."""
        rows = min(self.model().rowCount(), most_rows)
        bar = self.horizontalScrollBar().sizeHint().height()
        self.setFixedHeight(
            self.horizontalHeader().sizeHint().height() + rows * self.verticalHeader().defaultSectionSize() + bar
        )
