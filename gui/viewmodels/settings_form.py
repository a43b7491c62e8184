"""The form of all settings: what is chosen, what may be, what was refused and why, and what of it is looked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from gui.viewmodels.machine import usable_hardware
from gui.viewmodels.setting_forms import Choice, Control, SectionForm, number_in_words, shown_text, stored_text
from gui.viewmodels.setting_sections import sections
from gui.viewmodels.settings import SettingsViewModel
from gui.viewmodels.week_table import hours_in_words
from gui.worker_link import WorkerLink
from volunteer.hardware import Hardware
from volunteer.model_cards import model_cards
from volunteer.private_swarms import swarm_names
from volunteer.settings import find_setting


@dataclasses.dataclass(frozen=True)
class AtHand:
    """What there is to choose from on this computer."""

    hardware: Hardware | None = None
    swarms: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


class SettingsFormViewModel(QObject):
    changed = Signal()
    problem_changed = Signal(str)
    """Of the setting of this name."""
    choices_changed = Signal()

    def __init__(
        self, settings: SettingsViewModel, link: WorkerLink, parent: QObject, *, languages: Sequence[Choice] = ()
    ) -> None:
        super().__init__(parent)
        self._settings = settings
        self._link = link
        self._languages = tuple(languages)
        self._problems: dict[str, str] = {}
        self._at_hand = AtHand()
        self.sections = sections()
        self._fields = {field.name: field for section in self.sections for field in section.fields}
        settings.changed.connect(self.changed)

    # What is shown

    def found(self, wanted: str) -> tuple[SectionForm, ...]:
        """The sections with what matches, in their order."""
        return tuple(found for section in self.sections if (found := section.found(wanted)) is not None)

    def value(self, name: str) -> Any:
        return self._settings.get(name)

    def text(self, name: str) -> str:
        """Of a text, as people write it."""
        return shown_text(find_setting(name), self.value(name))

    def default(self, name: str) -> Any:
        return find_setting(name).default

    def is_default(self, name: str) -> bool:
        return bool(self.value(name) == self.default(name))

    def default_in_words(self, name: str) -> str:
        form, default = self._fields[name], self.default(name)
        match form.control:
            case Control.SWITCH:
                return self.tr("on") if default else self.tr("off")
            case Control.NUMBER:
                return number_in_words(form, default)
            case Control.CHOICE:
                return next(choice.words for choice in self.choices(name) if choice.value == default)
            case Control.HOURS:
                return hours_in_words(default)
            case Control.LIST:
                return self.tr("none")
        return shown_text(find_setting(name), default) or form.none

    def has_effect(self, name: str) -> bool:
        """Whether that which it needs is there."""
        needs = self._fields[name].needs
        return needs is None or self.value(needs) not in (False, None)

    def bounds(self, name: str) -> tuple[float, float]:
        """Of a number, as it is stored."""
        rule = find_setting(name).rule
        return rule.least, rule.most

    def choices(self, name: str) -> tuple[Choice, ...]:
        """What is chosen now is always among them."""
        match name:
            case "serving.device":
                listed = self._devices()
            case "serving.private_swarm":
                listed = (
                    Choice(None, self.tr("None: the public swarm")),
                    *(Choice(name, name) for name in self._at_hand.swarms),
                )
            case "app.language":
                listed = (Choice(None, self.tr("As the desktop")), *self._languages)
            case "serving.model":
                listed = tuple(Choice(model, model) for model in self._at_hand.models)
            case _:
                listed = self._fields[name].choices
        now = self.value(name)
        if self._fields[name].control is Control.CHOICE and now not in [each.value for each in listed]:
            return (*listed, Choice(now, str(now)))
        return listed

    def problem(self, name: str) -> str:
        """Why the last choice was not taken; empty where it was."""
        return self._problems.get(name, "")

    # What is chosen

    def set(self, name: str, value: Any) -> None:
        """A value as it is stored."""
        field = find_setting(name)
        if field.kind is int and value is not None:
            value = int(value)
        if value == self.value(name):
            self._note_problem(name, "")
            return
        self._send(name, "none" if value is None else field.to_text(value))

    def set_text(self, name: str, typed: str) -> None:
        """A text as it was typed."""
        if typed.strip() == self.text(name):
            self._note_problem(name, "")
            return
        self._send(name, stored_text(find_setting(name), typed))

    def reset(self, name: str) -> None:
        self._send(name, None)

    def look_around(self) -> None:
        """What there is to choose from; some of it takes seconds."""
        data_dir = self._link.data_dir
        self._link.run_aside(lambda: _at_hand(data_dir), self._take_choices)

    def list_programs(self, done: Callable[[list[str]], None]) -> None:
        """What this user runs now, to choose from."""
        self._link.run_aside(own_programs, done)

    def _send(self, name: str, text: str | None) -> None:
        self._note_problem(name, "")
        self._settings.set(name, text, lambda sentence: self._refuse(name, sentence))

    def _refuse(self, name: str, sentence: str) -> None:
        # The dotted name is for the command line.
        self._note_problem(name, sentence.replace(name, f"“{self._fields[name].label}”"))
        self.changed.emit()  # a switch goes back to where it was

    def _note_problem(self, name: str, sentence: str) -> None:
        if self._problems.get(name, "") != sentence:
            self._problems[name] = sentence
            self.problem_changed.emit(name)

    def _take_choices(self, at_hand: AtHand) -> None:
        if at_hand != self._at_hand:
            self._at_hand = at_hand
            self.choices_changed.emit()

    def _devices(self) -> tuple[Choice, ...]:
        hardware = self._at_hand.hardware
        devices = [Choice(None, self.tr("The best there is")), Choice("cpu", self.tr("Processor"))]
        if hardware is not None:
            # CUDA's own numbers: with one card, that is the one that is meant by the name alone.
            devices += [Choice(f"cuda:{gpu.index}", gpu.name) for gpu in hardware.usable_gpus]
            if hardware.apple_gpu is not None:
                devices.append(Choice("mps", hardware.apple_gpu.name))
        return tuple(devices)


def own_programs() -> list[str]:
    """Names of this user's programs; blocks for some milliseconds."""
    import psutil  # only for this

    user = psutil.Process().username()
    processes = psutil.process_iter(["name", "username"])
    names = {process.info["name"] for process in processes if process.info["username"] == user}
    return sorted(filter(None, names), key=str.lower)


def _at_hand(data_dir: Path) -> AtHand:
    models = tuple(card.hub_name for card in model_cards())
    return AtHand(usable_hardware(data_dir), tuple(swarm_names(data_dir)), models)
