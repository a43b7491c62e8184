"""`volunteer points`: what this computer has earned and spent, straight from the ledger's file, without a worker."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import sys
from collections.abc import Callable
from pathlib import Path

from volunteer.errors import ConfigurationError, ExitCode
from volunteer.points.audit import export_receipts, find_problems
from volunteer.points.ledger_file import LEDGER_FILE, own_peer_id, read_ledger_file
from volunteer.points.totals import PointsSummary, Total, points_of, read_days, read_models, read_peers, read_points

_SHOWN_ROWS = 10
_WHAT_THEY_ARE = "Points are the swarm's thanks: not money, and not for sale. One is 10^12 computing operations."

Out = Callable[[str], None]


def show_points(data_dir: Path, *, as_json: bool, out: Out) -> int:
    """Today, in total, and not signed for yet; by day, model and peer. Raises ConfigurationError, LedgerFailed."""
    path = data_dir / LEDGER_FILE
    account, summary = "", PointsSummary()
    tables: dict[str, dict[str, Total]] = {"days": {}, "models": {}, "peers": {}}
    if path.exists():
        with read_ledger_file(path) as connection:
            account = own_peer_id(connection)
            summary = read_points(connection, datetime.date.today())
            tables = {
                "days": read_days(connection),
                "models": read_models(connection),
                "peers": read_peers(connection),
            }
    if as_json:
        out(json.dumps({"account": account, **_in_points(summary), **_tables_in_points(tables)}))
        return ExitCode.OK
    out("\n".join(describe_points(summary, tables["days"])))
    return ExitCode.OK


def verify_points(data_dir: Path, *, as_json: bool, out: Out) -> int:
    """Looks at every signature, chain and sum again. Raises ConfigurationError, LedgerFailed."""
    path = data_dir / LEDGER_FILE
    problems: list[str] = []
    count = 0
    if path.exists():
        with read_ledger_file(path) as connection:
            problems = find_problems(connection)
            count = 0 if problems else connection.execute("SELECT count(*) FROM half").fetchone()[0]
    if as_json:
        out(json.dumps({"problems": problems, "signatures": count}))
    elif problems:
        out("\n".join(problems))
    else:
        out(f"{count} signatures, their chains and all sums are right.")
    return ExitCode.FAILURE if problems else ExitCode.OK


def export_points(data_dir: Path, file: Path | None, *, out: Out) -> int:
    """All receipts, a line of JSON each, to the file or to standard output. Raises ConfigurationError, LedgerFailed."""
    path = data_dir / LEDGER_FILE
    if not path.exists():
        raise ConfigurationError("There are no receipts yet.")
    with read_ledger_file(path) as connection:
        if file is None:
            export_receipts(connection, sys.stdout)
            return ExitCode.OK
        try:
            with contextlib.ExitStack() as undo:
                with file.open("x", encoding="utf-8") as lines:
                    undo.callback(file.unlink, missing_ok=True)
                    count = export_receipts(connection, lines)
                undo.pop_all()
        except OSError as error:
            raise ConfigurationError(f"{file} cannot be written: {error.strerror}.") from error
    out(f"{count} receipts are in {file}.")
    return ExitCode.OK


def describe_points(summary: PointsSummary, days: dict[str, Total]) -> list[str]:
    """A few lines for people."""
    lines = [
        f"{name:<12}{_number(today):>12} today{_number(total):>12} in total"
        for name, today, total in (
            ("earned", summary.earned_today, summary.earned_total),
            ("spent", summary.spent_today, summary.spent_total),
            ("for guests", summary.unreceipted_today, summary.unreceipted_total),
        )
    ]
    lines.append(f"{'pending':<12}{_number(summary.pending):>12}, which clients have not signed for yet")
    if days:
        lines.append("")
        lines.append("day           earned       spent   for guests")
        for day in list(days)[-_SHOWN_ROWS:]:
            total = days[day]
            columns = (total.earned, total.spent, total.unreceipted)
            lines.append(f"{day}" + "".join(f"{_number(each):>12}" for each in columns))
    return [*lines, "", _WHAT_THEY_ARE]


def _number(units: int) -> str:
    """Three digits say enough of small ones."""
    points = points_of(units)
    return f"{points:,.0f}" if points >= 1000 else f"{points:.3g}"


def _in_points(values: PointsSummary | Total) -> dict[str, float]:
    return {
        name: value if name.endswith("_tokens") else points_of(value)
        for name, value in dataclasses.asdict(values).items()
    }


def _tables_in_points(tables: dict[str, dict[str, Total]]) -> dict[str, dict[str, dict[str, float]]]:
    return {name: {key: _in_points(total) for key, total in table.items()} for name, table in tables.items()}
