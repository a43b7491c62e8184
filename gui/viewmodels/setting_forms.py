"""What a form of settings is made of: sections of groups of fields, each with words of its own. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from gui import words
from volunteer.setting_fields import SettingField


class Control(StrEnum):
    """By what a setting is chosen."""

    SWITCH = "switch"
    NUMBER = "number"
    CHOICE = "choice"
    SUGGESTED = "suggested"
    """Text, with some that are at hand."""
    TEXT = "text"
    LIST = "list"
    HOURS = "hours"


@dataclass(frozen=True)
class Choice:
    value: str | None
    words: str


@dataclass(frozen=True)
class FieldForm:
    """One setting.

    Attributes:
        help: what it does, in a sentence or two; empty where the label says it all.
        unit: after a number.
        none: what no value is called: no limit, chosen by the worker; the setting has to be optional.
        suggested: a number to begin with when one is wanted for the first time, as it is stored.
        step: of a number, as it is shown.
        scale: a stored 1 is shown as so much.
        placeholder: how such a text looks.
        needs: another setting; without it, or with it off, this one does nothing.
        more_words: what it is searched by, besides what is shown.
    """

    name: str
    control: Control
    label: str
    help: str = ""
    unit: str = ""
    none: str = ""
    suggested: float | None = None
    step: float = 1
    decimals: int = 0
    scale: float = 1
    choices: tuple[Choice, ...] = ()
    placeholder: str = ""
    needs: str | None = None
    more_words: str = ""

    def matches(self, wanted: str) -> bool:
        said = f"{self.label} {self.help} {self.name} {self.more_words} {' '.join(each.words for each in self.choices)}"
        return all(word in said.lower() for word in wanted.lower().split())


@dataclass(frozen=True)
class GroupForm:
    """What stands together on a card."""

    title: str
    fields: tuple[FieldForm, ...]
    text: str = ""
    extra: str = ""
    """A part that is no setting: `autostart` or `key`."""
    extra_words: str = ""
    """What that is searched by."""

    def found(self, wanted: str) -> GroupForm | None:
        """With the fields that match alone; all of them where the title does. None where nothing matches."""
        if all(word in self.title.lower() for word in wanted.lower().split()):
            return self
        fields = tuple(field for field in self.fields if field.matches(wanted))
        has_extra = bool(self.extra) and all(word in self.extra_words.lower() for word in wanted.lower().split())
        if not fields and not has_extra:
            return None
        return replace(self, fields=fields, extra=self.extra if has_extra else "")


@dataclass(frozen=True)
class SectionForm:
    key: str
    title: str
    text: str
    groups: tuple[GroupForm, ...]

    @property
    def fields(self) -> Iterator[FieldForm]:
        for group in self.groups:
            yield from group.fields

    def found(self, wanted: str) -> SectionForm | None:
        if not wanted.strip():
            return self
        groups = tuple(found for group in self.groups if (found := group.found(wanted)) is not None)
        return replace(self, groups=groups) if groups else None


_SPAN = re.compile(r"\s*(\d{1,9})\s*[-–]\s*(\d{1,9})\s*")


def shown_text(field: SettingField, value: Any) -> str:
    """Of a text as people write it: spans with both ends, none as nothing."""
    if value is None:
        return ""
    text = field.to_text(value)
    if field.rule.is_span:
        start, _, end = text.partition(":")
        return f"{start}–{int(end) - 1}" if int(end) - int(start) > 1 else start
    return text


def stored_text(field: SettingField, typed: str) -> str | None:
    """What a typed text is called in the settings; None for the default."""
    typed = typed.strip()
    if not typed:
        return "none" if field.optional else None
    if field.rule.is_span:
        if typed.isdecimal():
            return f"{typed}:{int(typed) + 1}"
        if found := _SPAN.fullmatch(typed):
            return f"{found[1]}:{int(found[2]) + 1}"
    return typed


def number_in_words(form: FieldForm, value: float | None) -> str:
    if value is None:
        return form.none
    number = words.decimal(value * form.scale, form.decimals)
    return words.unit(number, form.unit) if form.unit else number
