"""`volunteer points` as the program is called, on ledgers in real files."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from volunteer.cli import main
from volunteer.points.identity import new_identity
from volunteer.points.ledger import Ledger
from volunteer.points.receipts import Work


def write_ledger(folder: Path) -> None:
    server, client = new_identity(), new_identity()
    work = Work(
        server=server.peer_id,
        client=client.peer_id,
        model="bloom-hf",
        revision="",
        start=0,
        end=8,
        number_format="float32",
        nonce=bytes(16),
        counter=1,
        tokens=256,
        units=2_500_000,
        charged=2_500_000,
        price_milli=1000,
        digest=bytes(32),
    )
    with Ledger(folder / "ledger.sqlite", server) as ours, Ledger(folder / "client.sqlite", client) as theirs:
        ours.settle(theirs.countersign(ours.claim(work), work))
        ours.add_unreceipted("bloom-hf", 10, 1_000_000)


def test_points_are_shown_and_said_to_be_no_money(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_ledger(tmp_path)
    assert main(["--data-dir", str(tmp_path), "points"]) == 0
    text = capsys.readouterr().out
    assert "2.5 today" in text and "not money" in text and "not for sale" in text
    assert main(["--data-dir", str(tmp_path), "points", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["earned_today"], shown["earned_total"], shown["unreceipted_total"]) == (2.5, 2.5, 1.0)
    assert shown["models"]["bloom-hf"]["served_tokens"] == 256


def test_a_folder_without_a_ledger_has_earned_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["points"], ["points", "verify"]):
        assert main(["--data-dir", str(tmp_path), *words]) == 0
    assert list(tmp_path.iterdir()) == []
    assert main(["--data-dir", str(tmp_path), "points", "export"]) == 78
    assert "no receipts" in capsys.readouterr().err


def test_verify_fails_when_something_was_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_ledger(tmp_path)
    assert main(["--data-dir", str(tmp_path), "points", "verify"]) == 0
    assert "2 signatures" in capsys.readouterr().out
    connection = sqlite3.connect(tmp_path / "ledger.sqlite")
    connection.execute("UPDATE total SET earned = 10 * earned")
    connection.commit()
    connection.close()
    assert main(["--data-dir", str(tmp_path), "points", "verify", "--json"]) == 1
    assert "totals" in json.loads(capsys.readouterr().out)["problems"][0]


def test_an_export_that_fails_leaves_no_file_in_the_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_ledger(tmp_path)
    connection = sqlite3.connect(tmp_path / "ledger.sqlite")
    with connection:
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")
        (body,) = connection.execute("SELECT body FROM half WHERE is_claim").fetchone()
        connection.execute("UPDATE half SET body = x'00' WHERE is_claim")
    file = tmp_path / "receipts.jsonl"
    assert main(["--data-dir", str(tmp_path), "points", "export", str(file)]) != 0
    assert "damaged" in capsys.readouterr().err and not file.exists()
    with connection:
        connection.execute("UPDATE half SET body = ? WHERE is_claim", (body,))
    connection.close()
    assert main(["--data-dir", str(tmp_path), "points", "export", str(file)]) == 0


def test_export_writes_a_new_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_ledger(tmp_path)
    file = tmp_path / "receipts.jsonl"
    assert main(["--data-dir", str(tmp_path), "points", "export", str(file)]) == 0
    assert json.loads(file.read_text())["units"] == 2_500_000
    assert main(["--data-dir", str(tmp_path), "points", "export", str(file)]) == 78
    capsys.readouterr()
    assert main(["--data-dir", str(tmp_path), "points", "export"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] == 256
