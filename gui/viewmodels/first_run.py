"""The first run: what this computer could do for which model, and the owner's word before anything is done.

Nothing is written, downloaded or started until `consent`; then all that was chosen is saved, and the consent last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from gui import words
from gui.viewmodels.autostart import AutostartViewModel
from gui.viewmodels.first_run_choice import (
    LEAST_SHARE,
    Chosen,
    Way,
    address_problem,
    chosen_before,
    invitation_of,
    save,
)
from gui.viewmodels.first_run_words import (
    Device,
    Option,
    Row,
    devices_of,
    memory_of,
    option_of,
    rows_of,
    unknown_option,
)
from gui.viewmodels.machine import usable_hardware
from gui.viewmodels.settings import SettingsViewModel
from gui.worker_link import WorkerLink
from gui.worker_words import translated
from volunteer.forecast import Forecast, ModelCard, forecast, model_cards
from volunteer.hardware import Hardware

PAGES = 3

Detect = Callable[[Path], Hardware]


@dataclass(frozen=True)
class _Found:
    """What a look at this computer gave; blocking work, done aside."""

    hardware: Hardware
    cards: tuple[ModelCard, ...]


class FirstRunViewModel(QObject):
    """
    Args:
        detect: looks at the hardware; takes seconds.

    Signals:
        consented: all that was chosen is saved.
    """

    changed = Signal()
    consented = Signal()

    def __init__(
        self, link: WorkerLink, settings: SettingsViewModel, parent: QObject, *, detect: Detect = usable_hardware
    ) -> None:
        super().__init__(parent)
        self._link, self._settings, self._detect = link, settings, detect
        self._found: _Found | None = None
        self._is_looking = False
        self._has_told = False
        self._knows_autostart = False
        self.autostart = AutostartViewModel(link, self)
        self.page = 0
        self.chosen = chosen_before(settings.settings)
        self.problem = ""
        """Why the last thing that was asked for could not be done."""
        self.is_saving = False
        settings.changed.connect(self._tell_consent)
        self.autostart.changed.connect(self._take_autostart)

    # Where one is

    def go_on(self) -> None:
        self._go(min(PAGES - 1, self.page + 1))

    def go_back(self) -> None:
        self._go(max(0, self.page - 1))

    def _go(self, page: int) -> None:
        self.page, self.problem = page, ""
        if page == 1 and self._found is None:
            self.look()
        if page == 2 and self.autostart.state is None:
            self.autostart.refresh()
        self.changed.emit()

    @property
    def can_go_on(self) -> bool:
        """From the page that is shown."""
        if self.page == 1:
            return self._found is not None and not self.forecast_problem and not self.way_problem
        return not self.is_saving

    @property
    def hint(self) -> str:
        """What is missing before one can go on."""
        if self.page == 1 and self._found is not None and self.way_problem:
            return self.tr("Say at the end of this page which swarm to join, or begin a new one.")
        return ""

    # What this computer has

    def look(self) -> None:
        if self._is_looking:
            return
        self._is_looking, self.problem = True, ""
        data_dir, detect = self._link.data_dir, self._detect
        self._link.run_aside(lambda: _Found(detect(data_dir), model_cards()), self._take, self._miss)
        self.changed.emit()

    @property
    def is_looking(self) -> bool:
        return self._is_looking

    @property
    def devices(self) -> tuple[Device, ...]:
        """The one that will be used is told what it can hold of the chosen model; the others, why not they."""
        if self._found is None:
            return ()
        return devices_of(self._found.hardware, self._card, self._chosen_forecast)

    @property
    def options(self) -> tuple[Option, ...]:
        if self._found is None:
            return ()
        own = () if self._card is not None else (unknown_option(self.chosen.model),)
        return (*own, *(option_of(card, self._forecast(card)) for card in self._found.cards))

    @property
    def rows(self) -> tuple[Row, ...]:
        """What the choice will cost and give."""
        found = self._chosen_forecast
        return () if found is None or self._found is None else rows_of(found, self._found.hardware)

    @property
    def summary(self) -> str:
        """What happens once the owner agrees."""
        found, card = self._chosen_forecast, self._card
        if found is None or card is None or found.problem is not None:
            return self.tr("When you agree, this computer joins the swarm and serves until you pause it.")
        blocks = self.tr("1 block") if found.num_blocks == 1 else self.tr("{count} blocks")
        what = self.tr("{blocks} of {model}").format(
            blocks=blocks.format(count=words.count(found.num_blocks)), model=card.name
        )
        if not found.download_bytes:
            return self.tr("When you agree, this computer serves {what} until you pause it.").format(what=what)
        return self.tr(
            "When you agree, {size} are downloaded, and then this computer serves {what} until you pause it."
        ).format(size=words.size(found.download_bytes), what=what)

    @property
    def forecast_problem(self) -> str:
        found = self._chosen_forecast
        return "" if found is None else translated(found.problem or "")

    @property
    def memory_in_words(self) -> str:
        """How much of it the share is."""
        memory = self._memory_bytes
        if memory is None:
            return ""
        if self.chosen.share >= 1:
            return self.tr("All that other programs leave free")
        return self.tr("At most {used} of {total}").format(
            used=words.memory(memory * self.chosen.share), total=words.memory(memory)
        )

    @property
    def _card(self) -> ModelCard | None:
        cards = self._found.cards if self._found is not None else ()
        return next((card for card in cards if card.hub_name == self.chosen.model), None)

    @property
    def _chosen_forecast(self) -> Forecast | None:
        return None if self._card is None else self._forecast(self._card, self.chosen.share)

    def _forecast(self, card: ModelCard, share: float = 1.0) -> Forecast:
        if self._found is None:
            raise ValueError("Nobody has looked at this computer yet.")
        return forecast(card, self._found.hardware, share=share, settings=self._settings.settings)

    @property
    def _memory_bytes(self) -> int | None:
        if self._found is None:
            return None
        return memory_of(self._found.hardware)

    def _take(self, found: _Found) -> None:
        self._is_looking = False
        self._found = found
        self.chosen = replace(self.chosen, model=self.chosen.model or self._suggested(found.cards))
        self.changed.emit()

    def _suggested(self, cards: Sequence[ModelCard]) -> str:
        """The first that this computer can hold a part of: they are in the order in which they are recommended."""
        able = (card for card in cards if self._forecast(card).problem is None)
        card = next(able, cards[0] if cards else None)
        return card.hub_name if card is not None else ""

    def _miss(self, problem: str) -> None:
        self._is_looking = False
        self.problem = problem
        self.changed.emit()

    # What is chosen

    def choose_model(self, hub_name: str) -> None:
        self._choose(replace(self.chosen, model=hub_name))

    def choose_share(self, share: float) -> None:
        self._choose(replace(self.chosen, share=min(1.0, max(LEAST_SHARE, share))))

    def choose_way(self, way: Way) -> None:
        self._choose(replace(self.chosen, way=way))

    def type_address(self, address: str) -> None:
        """The model of an invitation is chosen with it: its members serve no other."""
        found = invitation_of(address.strip())
        model = found.model if found is not None and found.model is not None else self.chosen.model
        self._choose(replace(self.chosen, address=address.strip(), model=model))

    def choose_autostart(self, wanted: bool) -> None:
        self._choose(replace(self.chosen, starts_at_login=wanted))

    def _choose(self, chosen: Chosen) -> None:
        if chosen != self.chosen:
            self.chosen = chosen
            self.changed.emit()

    @property
    def way_problem(self) -> str:
        """Why one cannot go this way; empty where one can."""
        return address_problem(self.chosen.address) if self.chosen.way is Way.JOIN else ""

    @property
    def way_note(self) -> str:
        """What the invitation is, once it is pasted whole."""
        found = invitation_of(self.chosen.address) if self.chosen.way is Way.JOIN else None
        if found is None:
            return ""
        if found.model is None:
            return self.tr("An invitation to {name}.").format(name=found.name)
        return self.tr("An invitation to {name}, which serves {model}.").format(
            name=found.name, model=words.model(found.model)
        )

    @property
    def private_swarm(self) -> str:
        """The one that is served already; empty if there is none."""
        return self._settings.settings.serving.private_swarm or ""

    @property
    def is_private(self) -> bool:
        """The swarm is one of people who know each other: nobody else reads along."""
        return self.chosen.way is Way.STAY or (
            self.chosen.way is Way.JOIN and invitation_of(self.chosen.address) is not None
        )

    # The owner's word

    def consent(self) -> None:
        """Saves what was chosen. Autostart is the only thing that may fail without holding up the rest."""
        if self.is_saving:
            return
        self.is_saving, self.problem = True, ""
        self.changed.emit()
        data_dir, chosen, memory_bytes = self._link.data_dir, self.chosen, self._memory_bytes
        has_gpu = self._found is not None and bool(self._found.hardware.usable_gpus)
        self._link.run_aside(
            lambda: save(data_dir, chosen, memory_bytes, has_gpu=has_gpu),
            lambda _: self._saved(chosen),
            self._not_saved,
        )

    def _saved(self, chosen: Chosen) -> None:
        """Now that the consent is written down, the program may start at login too."""
        if self.autostart.state is not None and chosen.starts_at_login != self.autostart.state.is_on:
            self.autostart.switch(chosen.starts_at_login)
        self._settings.reload()

    def _take_autostart(self) -> None:
        state = self.autostart.state
        if state is not None and not self.is_saving and not self._knows_autostart:
            self._knows_autostart = True
            self.chosen = replace(self.chosen, starts_at_login=state.is_on)
        self.changed.emit()

    def _not_saved(self, problem: str) -> None:
        self.is_saving = False
        self.problem = translated(problem)
        self.changed.emit()

    def _tell_consent(self) -> None:
        if self._settings.settings.app.consented and not self._has_told:
            self._has_told, self.is_saving = True, False
            self.consented.emit()
