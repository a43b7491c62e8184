"""What one setting takes: how it is read from JSON and from text, written, and described. Knows no setting by name."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from volunteer.hours import WeekHours

_MOST_TEXT = 1000
_MOST_ITEMS = 1000


@dataclass(frozen=True)
class Rule:
    """What a setting takes beyond its type, and what it is for."""

    help: str
    least: float = 0
    most: float = 0
    choices: tuple[str, ...] = ()
    is_span: bool = False


def setting(default: Any, help: str, **rule: Any) -> Any:
    """A field of a frozen dataclass that is a group of settings; numbers need `least` and `most`."""
    return dataclasses.field(default=default, metadata={"rule": Rule(help, **rule)})


@dataclass(frozen=True)
class SettingField:
    group: str
    key: str
    kind: type
    """One of bool, int, float, str, tuple (of str) and WeekHours."""
    optional: bool
    default: Any
    rule: Rule

    @property
    def name(self) -> str:
        return f"{self.group}.{self.key}"

    @property
    def type_in_words(self) -> str:
        words = self._kind_in_words()
        return f"{words}, or none" if self.optional else words

    def refusal(self, given: str, error: ValueError) -> str:
        """A sentence for a value that is not taken."""
        reason = f" ({error})" if str(error) else ""
        return f"{self.name} takes {self.type_in_words}, not {given[:80]!r}{reason}."

    def from_text(self, text: str) -> Any:
        """Raises ValueError."""
        if text.lower() == "none" and (self.optional or self.kind is tuple):
            return () if self.kind is tuple else None
        if self.kind is bool:
            return _BOOLS[text.lower()] if text.lower() in _BOOLS else _refuse()
        if self.kind is tuple:
            return self._checked(tuple(item.strip() for item in text.split(",") if item.strip()))
        if self.kind in (int, float):
            try:
                return self._checked(self.kind(text))
            except ValueError:
                _refuse()  # Python's own words are for programmers
        return self._checked(WeekHours.from_text(text) if self.kind is WeekHours else text)

    def from_json(self, value: object) -> Any:
        """Raises ValueError."""
        if value is None and self.optional:
            return None
        if self.kind is WeekHours:
            return WeekHours.from_text(value) if isinstance(value, str) else _refuse()
        if self.kind is tuple:
            return self._checked(tuple(value) if isinstance(value, list) else _refuse())
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            return self._checked(float(value) if abs(value) < 2**53 else _refuse())
        return self._checked(value if type(value) is self.kind else _refuse())

    def to_text(self, value: Any) -> str:
        if value is None or value == ():
            return "none"
        if self.kind is bool:
            return "true" if value else "false"
        if self.kind is tuple:
            return ", ".join(value)
        if self.kind is float:
            return _number(value)
        return str(value)

    def to_json(self, value: Any) -> Any:
        return str(value) if isinstance(value, WeekHours) else value

    def _checked(self, value: Any) -> Any:
        rule = self.rule
        if isinstance(value, int | float) and not isinstance(value, bool):
            if not rule.least <= value <= rule.most:  # nor is it for NaN
                _refuse()
        elif isinstance(value, tuple):
            if len(value) > _MOST_ITEMS or not all(isinstance(item, str) and _is_item(item) for item in value):
                _refuse()
        elif isinstance(value, str):
            if not _is_plain(value) or (rule.choices and value not in rule.choices):
                _refuse()
            if rule.is_span:
                _check_span(value)
        return value

    def _kind_in_words(self) -> str:
        rule = self.rule
        if self.kind is bool:
            return "true or false"
        if self.kind in (int, float):
            number = "a whole number" if self.kind is int else "a number"
            return f"{number} from {_number(rule.least)} to {_number(rule.most)}"
        if self.kind is tuple:
            return "a list separated by commas, or none"
        if self.kind is WeekHours:
            return "hours of the week, such as 'mon-fri 22-7, sat-sun 0-24'"
        if rule.is_span:
            return "a span of blocks, such as 0:12"
        return f"one of {', '.join(rule.choices)}" if rule.choices else "text"


_BOOLS: Mapping[str, bool] = {
    "true": True, "yes": True, "on": True, "1": True,
    "false": False, "no": False, "off": False, "0": False,
}  # fmt: skip


def _refuse() -> typing.NoReturn:
    raise ValueError


def _is_plain(text: str) -> bool:
    return 0 < len(text) <= _MOST_TEXT and text.isprintable()


def _is_item(text: str) -> bool:
    return _is_plain(text) and "," not in text and text == text.strip()


def _check_span(text: str) -> None:
    found = re.fullmatch(r"([0-9]{1,9}):([0-9]{1,9})", text)
    if found is None:
        _refuse()
    if int(found[1]) >= int(found[2]):
        raise ValueError("the end is not part of a span, so it must be above the start")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def fields_of(group: str, group_class: type) -> Iterator[SettingField]:
    """All settings of a group, by the types of its fields."""
    hints = typing.get_type_hints(group_class)
    for field in dataclasses.fields(group_class):
        hint = hints[field.name]
        members = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        kind = next(member for member in members if member is not types.NoneType)
        yield SettingField(
            group=group,
            key=field.name,
            kind=typing.get_origin(kind) or kind,
            optional=types.NoneType in members,
            default=field.default,
            rule=field.metadata["rule"],
        )
