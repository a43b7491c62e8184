"""Real files, real loggers; disks that are full are the kernel's /dev/full."""

import contextlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volunteer.errors import ConfigurationError
from volunteer.logs import (
    RECORD_CHARACTERS,
    LogFile,
    LogMemory,
    LogRecord,
    Redactor,
    follow,
    last_records,
    log_path,
    logging_to_files,
    logs_folder,
    own_redactor,
    set_levels,
    topic_of,
)

KEY = "sk-volunteer-Qm4tE7xkq1ZcC0aXy9Lw3v"


@pytest.fixture(autouse=True)
def usual_levels() -> Iterator[None]:
    before = logging.getLogger("volunteer").level
    yield
    set_levels({})
    logging.getLogger("volunteer").setLevel(before)


@pytest.fixture
def redactor() -> Redactor:
    return Redactor(home=Path("/home/ann"), names=("ann", "anns-laptop"))


def own_logger(topic: str = "swarm") -> logging.Logger:
    return logging.getLogger(f"volunteer.{topic}.test")


# What others may read


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"client sent {KEY} twice", "client sent [removed] twice"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: [removed]"),
        ('{"authorization": "Basic YW5uOnB3"}', '{"authorization": "[removed]"}'),
        ("got bearer 0123456789abcdef here", "got bearer [removed] here"),
        ("HF_TOKEN=hunter2hunter2", "HF_TOKEN=[removed]"),
        ("using hf_AbCdEfGhIjKlMnOpQrStUv", "using [removed]"),
        ('{"token": "f00-ba_r", "version": 1}', '{"token": [removed], "version": 1}'),
        ("--api-key swordfish --port 5", "--api-key [removed] --port 5"),
        ("api_key='sword fish' next", "api_key=[removed] next"),
        ("password: 123456", "password: [removed]"),
        ("join petals-volunteer://join/AAAA?x=y now", "join petals-volunteer://[removed] now"),
        ("GET https://ann:secret@hub.example/x", "GET https://[removed]@hub.example/x"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\nabc\n-----END PRIVATE KEY-----\nafter", "[removed]\nafter"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE cut off", "[removed]"),
    ],
)
def test_a_secret_is_kept_nowhere(text: str, kept: str, redactor: Redactor) -> None:
    assert redactor.without_secrets(text) == kept


@pytest.mark.parametrize(
    "text",
    [
        "time to first token: 0.31 s, 12 tokens/s",
        "hf_hub_download of config.json",
        "secrets are kept; a key is not a token",
        "12D3KooWPeer serves blocks 3-7 over /ip4/8.8.8.8/tcp/4001 from /home/ann/data",
        "std::vector at 12:30:45, version 580.65.06, aa:bb:cc:dd:ee:ff",
    ],
)
def test_what_debugging_needs_stays_in_files(text: str, redactor: Redactor) -> None:
    assert redactor.without_secrets(text) == text


@pytest.mark.parametrize(
    ("text", "shared"),
    [
        ("/home/ann/.local/share/x", "~/.local/share/x"),
        ("/home/annabel/x and /Users/Bob/y", "~/x and ~/y"),
        (r"C:\Users\Bob\AppData and C:\\Users\\Bob", "~\\AppData and ~"),
        ("user ann on anns-laptop plans annually", "user [name] on [name] plans annually"),
        ("/ip4/8.8.8.8/tcp/4001 8.8.8.8 9.9.9.9:53", "/ip4/[address 1]/tcp/4001 [address 1] [address 2]:53"),
        ("from 192.168.1.20", "from [private address 1]"),
        ("/ip6/2a00:1450:4001::8a/udp/1 [2a00:1450:4001:0::8a]:80", "/ip6/[address 1]/udp/1 [[address 1]]:80"),
        ("::ffff:8.8.4.4", "[address 1]"),
        ("/dns4/node.ann.example/tcp/1", "/dns4/[host 1]/tcp/1"),
        ("127.0.0.1:5 ::1 0.0.0.0", "127.0.0.1:5 ::1 0.0.0.0"),
        ("std::vector at 12:30:45, 1.2.3, aa:bb:cc:dd:ee:ff", "std::vector at 12:30:45, 1.2.3, aa:bb:cc:dd:ee:ff"),
        (f"key {KEY}", "key [removed]"),
    ],
)
def test_what_is_shared_tells_neither_who_nor_where(text: str, shared: str, redactor: Redactor) -> None:
    assert redactor.shareable(text) == shared


def test_a_known_secret_is_taken_out_wherever_it_stands(redactor: Redactor) -> None:
    redactor.add_secret("correct horse")
    redactor.add_secret("correct horse battery")

    assert redactor.without_secrets("xcorrect horse batteryx correct horse") == "x[removed]x [removed]"


def test_accounts_that_everybody_has_are_words_like_others() -> None:
    assert Redactor(names=("root", "al")).shareable("the root of al") == "the root of al"


def test_this_users_own_names_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "wilhelmina")
    monkeypatch.setenv("HOME", "/srv/people/w")

    assert own_redactor().shareable("/srv/people/w/x of wilhelmina") == "~/x of [name]"


@pytest.mark.parametrize(
    "text",
    [
        "authorization" + " " * 60_000,
        "token" * 12_000,
        "-----BEGIN PRIVATE KEY-----" * 2_000,
        "1:" * 30_000,
        "https://" * 8_000,
        "api_key= " * 7_000,
        "/home/" * 10_000,
        "eyJaaaaaaaa" * 5_000,
        '"' * 60_000,
        "1.1.1." * 10_000,
    ],
)
def test_no_text_of_a_stranger_keeps_the_redactor_busy(text: str, redactor: Redactor) -> None:
    begun = time.process_time()

    redactor.shareable(text)

    assert time.process_time() - begun < 1.0  # measured: 0.02 s at most; what is quadratic takes minutes


@given(st.text())
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    redactor = Redactor(home=Path("/home/ann"), names=("ann",))
    once = redactor.without_secrets(text)
    assert redactor.without_secrets(once) == once


# Files


def test_files_are_private_and_their_size_and_number_bounded(tmp_path: Path, redactor: Redactor) -> None:
    with logging_to_files(tmp_path, redactor=redactor, file_bytes=2_000, num_files=3):
        for number in range(400):
            own_logger().info("record %d of some length", number)

    files = sorted(logs_folder(tmp_path).iterdir())
    assert [file.name for file in files] == ["worker.log", "worker.log.1", "worker.log.2"]
    assert all(file.stat().st_size <= 2_000 for file in files)
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert logs_folder(tmp_path).stat().st_mode & 0o777 == 0o700


def test_a_record_keeps_its_lines_and_nothing_in_it_looks_like_another(tmp_path: Path, redactor: Redactor) -> None:
    forged = "peer\n2026-01-01T00:00:00.000Z ERROR worker: forged\r\x1b[31m\u202etxt\u2028x\x85y"
    with logging_to_files(tmp_path, redactor=redactor) as memory:
        own_logger().warning("From %s", forged)
        try:
            raise ValueError(f"bad key {KEY}")
        except ValueError:
            own_logger().exception("It failed")

    path = log_path(tmp_path)
    first, second = last_records(path, 10)
    assert " WARNING swarm.test: From peer\n    2026-01-01" in first
    assert r"forged\r\x1b[31m\u202etxt\u2028x\x85y" in first
    assert second.splitlines()[1] == "    Traceback (most recent call last):"
    assert "ValueError: bad key [removed]" in second
    assert KEY not in path.read_text()
    assert [record.topic for record in memory.records()] == ["swarm", "swarm"]
    assert KEY not in memory.records()[1].text


def test_a_half_character_of_a_stranger_is_written_in_ascii(tmp_path: Path, redactor: Redactor) -> None:
    with logging_to_files(tmp_path, redactor=redactor):
        own_logger().warning("name %s", "\ud800")

    assert last_records(log_path(tmp_path), 1)[0].endswith(r"name \ud800")


def test_a_long_record_keeps_its_beginning_and_end(tmp_path: Path, redactor: Redactor) -> None:
    with logging_to_files(tmp_path, redactor=redactor):
        own_logger().info("begin%send", "x" * 10_000_000)

    (record,) = last_records(log_path(tmp_path), 1)
    assert len(record) < 1.1 * RECORD_CHARACTERS
    assert "begin" in record
    assert "characters left out" in record
    assert record.endswith("end")


def test_a_full_disk_costs_records_and_nothing_else(
    tmp_path: Path, redactor: Redactor, capsys: pytest.CaptureFixture[str]
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    path = tmp_path / "worker.log"
    path.symlink_to("/dev/full")
    handler = LogFile(path, redactor)
    record = logging.LogRecord("volunteer.swarm", logging.INFO, "", 0, "hello", None, None)

    handler.handle(record)
    handler.handle(record)
    path.unlink()
    with contextlib.suppress(OSError):  # closed, although what it holds cannot be written
        handler.stream.close()
    handler.stream = handler._open()
    handler.handle(record)
    handler.close()

    assert capsys.readouterr().err == ""
    assert "swarm: hello" in path.read_text()
    assert "2 records before this one could not be written" in path.read_text()


def test_a_folder_that_cannot_be_made_costs_only_the_files(tmp_path: Path, redactor: Redactor) -> None:
    logs_folder(tmp_path).touch()

    with logging_to_files(tmp_path, redactor=redactor) as memory:
        own_logger().info("still here")

    assert [record.text for record in memory.records()] == ["still here"]


def test_each_topic_has_its_level_and_the_next_settings_take_it_back(tmp_path: Path, redactor: Redactor) -> None:
    with logging_to_files(tmp_path, redactor=redactor, levels={"swarm": "debug", "server": "error"}) as memory:
        own_logger("swarm").debug("1")
        own_logger("server").warning("2")
        own_logger("client").info("3")
        set_levels({"all": "WARNING"})
        own_logger("swarm").debug("4")
        own_logger("server").warning("5")
        own_logger("client").info("6")

    assert [record.text for record in memory.records()] == ["1", "3", "5"]


@pytest.mark.parametrize("levels", [{"swarm": "loud"}, {"": "INFO"}, {"../x": "INFO"}])
def test_levels_that_make_no_sense_are_refused_whole(levels: dict[str, str]) -> None:
    logging.getLogger("volunteer.client").setLevel(logging.DEBUG)

    with pytest.raises(ConfigurationError):
        set_levels({"client": "ERROR"} | levels)

    assert logging.getLogger("volunteer.client").level == logging.DEBUG


def test_topics_are_the_first_names_of_our_packages() -> None:
    names = ("volunteer.swarm.node", "volunteer.worker", "volunteer", "hivemind.p2p")
    assert [topic_of(name) for name in names] == ["swarm", "worker", "volunteer", "hivemind"]


# Memory


def test_a_client_that_comes_late_gets_what_was_before_and_every_record_once(redactor: Redactor) -> None:
    memory = LogMemory(redactor, num_records=3)
    for number in range(5):
        memory.handle(_record(number))
    heard: list[LogRecord] = []

    with memory.listening(heard.append) as remembered:
        memory.handle(_record(5))
    memory.handle(_record(6))

    assert [record.text for record in remembered] == ["2", "3", "4"]
    assert [record.text for record in heard] == ["5"]
    assert [record.number for record in memory.records(after=5)] == [6, 7]


def test_a_client_that_fails_costs_no_other_its_records(redactor: Redactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    memory = LogMemory(redactor)
    heard: list[LogRecord] = []

    def fail(_: LogRecord) -> None:
        raise RuntimeError

    with memory.listening(fail), memory.listening(heard.append):
        memory.handle(_record(1))

    assert len(heard) == len(memory.records()) == 1


def _record(number: int) -> logging.LogRecord:
    return logging.LogRecord("volunteer.swarm", logging.INFO, "", 0, "%d", (number,), None)


# Following


def _numbers(lines: list[str]) -> list[int]:
    return [int(line.rsplit(" ", 1)[1]) for line in lines]


@pytest.mark.parametrize("per_pause", [1, 7, 60])
def test_a_follower_misses_nothing_and_repeats_nothing_through_rotations(
    tmp_path: Path, redactor: Redactor, per_pause: int
) -> None:
    path = log_path(tmp_path)
    written = 0

    def write(num_records: int) -> None:
        nonlocal written
        for _ in range(num_records):
            own_logger().info("number %d", written)
            written += 1

    pauses = iter(range(12))

    def wait() -> bool:
        write(per_pause)
        return next(pauses, None) is not None

    with logging_to_files(tmp_path, redactor=redactor, file_bytes=1_500, num_files=5):  # 26 records a file
        write(20)
        lines = list(follow(path, 3, wait))

    assert (logs_folder(tmp_path) / "worker.log.1").exists()
    assert _numbers(lines) == list(range(17, written - per_pause))


def test_a_follower_waits_for_a_file_that_is_not_there_and_for_the_end_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    parts = iter([b"first\nsec", "ond ö".encode()[:-1], "ö".encode()[1:] + b"\n"])

    def wait() -> bool:
        part = next(parts, None)
        if part is None:
            return False
        with path.open("ab") as file:
            file.write(part)
        return True

    assert list(follow(path, 10, wait)) == ["first", "second ö"]


def test_a_follower_begins_again_where_somebody_emptied_the_file(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    path.write_text("one\ntwo\n")
    steps = iter([lambda: os.truncate(path, 0), lambda: path.write_text("three\n")])

    def wait() -> bool:
        step = next(steps, None)
        if step is None:
            return False
        step()
        return True

    assert list(follow(path, 1, wait)) == ["two", "three"]


def test_records_and_not_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    path.write_text("a\n    a2\nb\n    b2\n    b3\nc\n")

    assert last_records(path, 2) == ["b\n    b2\n    b3", "c"]
    assert list(follow(path, 2, lambda: False)) == ["b", "    b2", "    b3", "c"]
    assert last_records(path, 0) == []
    assert last_records(tmp_path / "none.log", 5) == []


def test_nothing_heavy_is_loaded() -> None:
    check = "import sys, volunteer.logs; print({'torch', 'hivemind', 'transformers', 'pydantic'} & set(sys.modules))"

    loaded = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)

    assert loaded.stdout == "set()\n"
