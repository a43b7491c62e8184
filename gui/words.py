"""Numbers, sizes, times and dates as people read them: by the locale, units SI with a thin space. QtCore only."""

from __future__ import annotations

import datetime
import math
from pathlib import PurePath

from PySide6.QtCore import QCoreApplication, QDate, QDateTime, QLocale

translate = QCoreApplication.translate

THIN_SPACE = "\u202f"
"""Narrow and not broken at the end of a line."""
_SIZES = ("B", "kB", "MB", "GB", "TB", "PB")
_LEAST_SHORT = 0.01
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def unit(number: str, name: str) -> str:
    """A number that is words already, with its unit."""
    return f"{number}{THIN_SPACE}{name}"


def count(number: int) -> str:
    """182,400."""
    return QLocale().toString(number)


def decimal(number: float, digits: int = 1) -> str:
    """41.3; always with so many digits, so that a number that moves keeps its width."""
    return QLocale().toString(float(number), "f", digits)


def short_number(number: float) -> str:
    """Three figures at most before the point that matters: 0.04, 8.2, 310, 182,400; what is there is never nothing."""
    size = abs(number)
    if 0 < number < _LEAST_SHORT:
        return f"<{THIN_SPACE}{decimal(_LEAST_SHORT, 2)}"
    if size >= 100 or number == 0:
        return count(round(number))
    return decimal(number, 1 if size >= 1 else 2)


def size(num_bytes: float) -> str:
    """9.1 GB, of 10^9 bytes as on disks and downloads."""
    power = 0
    value = float(num_bytes)
    while abs(value) >= 999.5 and power < len(_SIZES) - 1:
        value /= 1000
        power += 1
    whole = power == 0 or abs(value) >= 99.5
    return unit(decimal(value, 0 if whole else 1), _SIZES[power])


def memory(num_bytes: float) -> str:
    """9.1 GB, of 2^30 bytes as everybody counts memory."""
    return unit(decimal(num_bytes / 2**30, 1), "GB")


def rate(bytes_per_s: float) -> str:
    """4.2 MB/s."""
    return f"{size(bytes_per_s)}/s"


def percent(share: float) -> str:
    """43 %, of 0 to 1."""
    return unit(decimal(share * 100, 0), "%")


def temperature(celsius: float) -> str:
    return unit(decimal(celsius, 0), "°C")


def power(watts: float) -> str:
    return unit(decimal(watts, 0), "W")


def tokens_per_s(number: float) -> str:
    return translate("words", "{number} tokens/s").format(number=decimal(number, 1))


def duration(seconds: float) -> str:
    """As people say it: the two greatest units at most."""
    if not math.isfinite(seconds):
        return translate("words", "unknown time")
    if seconds < 10 and seconds != int(seconds):
        return unit(decimal(seconds, 1), "s")
    if seconds < _MINUTE_S:
        return unit(count(round(seconds)), "s")
    if seconds < 10 * _MINUTE_S:
        return _two_units(seconds, _MINUTE_S, "min", 1, "s")
    if seconds < _HOUR_S:
        return unit(count(round(seconds / _MINUTE_S)), "min")
    if seconds < _DAY_S:
        return _two_units(seconds, _HOUR_S, "h", _MINUTE_S, "min")
    return _two_units(seconds, _DAY_S, "d", _HOUR_S, "h")


def _two_units(seconds: float, greater_s: int, greater: str, smaller_s: int, smaller: str) -> str:
    many, rest = divmod(round(seconds / smaller_s), greater_s // smaller_s)
    said = unit(count(many), greater)
    return f"{said} {unit(count(rest), smaller)}" if rest else said


def rough_duration(seconds: float) -> str:
    """One unit, for what is not known better: 40 s, 12 min, 3 h, 2 d."""
    for length_s, name in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= 1.5 * length_s or (name == "min" and seconds >= length_s):
            return unit(count(round(seconds / length_s)), name)
    return unit(count(max(0, round(seconds))), "s")


def ago(then_s: float, now_s: float) -> str:
    """3 s ago; of times since the epoch. A clock that was set back makes it now."""
    passed_s = max(0.0, now_s - then_s)
    if passed_s < 1.5:
        return translate("words", "just now")
    return translate("words", "{duration} ago").format(duration=rough_duration(passed_s))


def until(then_s: float, now_s: float) -> str:
    """The end of something: its time of day, with the day where it is another one."""
    then = datetime.datetime.fromtimestamp(then_s)
    if then.date() == datetime.datetime.fromtimestamp(now_s).date():
        return time_of_day(then_s)
    return date_and_time(then_s)


def time_of_day(when_s: float) -> str:
    return QLocale().toString(_at(when_s).time(), QLocale.FormatType.ShortFormat)


def date(when_s: float) -> str:
    return QLocale().toString(_at(when_s).date(), QLocale.FormatType.ShortFormat)


def date_and_time(when_s: float) -> str:
    return QLocale().toString(_at(when_s), QLocale.FormatType.ShortFormat)


def day(iso_date: str) -> str:
    """A date as in 2026-11-27, written by the locale; what is no date stays as it is."""
    found = QDate.fromString(iso_date, "yyyy-MM-dd")
    return QLocale().toString(found, QLocale.FormatType.ShortFormat) if found.isValid() else iso_date


def _at(when_s: float) -> QDateTime:
    return QDateTime.fromSecsSinceEpoch(round(when_s))


def blocks(start: int, end: int) -> str:
    """ "blocks 12–15" of the span 12:16, whose end is not part of it."""
    if end - start == 1:
        return translate("words", "block {first}").format(first=start)
    return translate("words", "blocks {first}–{last}").format(first=start, last=end - 1)


def model(name: str) -> str:
    """A model's own name, without the one who published it or the folder it lies in."""
    return PurePath(name).name or name


def peer(peer_id: str) -> str:
    """The end of a peer id: the part in which two of them differ."""
    return f"…{peer_id[-6:]}" if len(peer_id) > 8 else peer_id
