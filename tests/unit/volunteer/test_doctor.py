"""Real files, locks, ports, processes and a Hub on loopback; what no test can have, such as a card, is passed in."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import filelock
import pytest

from volunteer import doctor, hardware
from volunteer.control.elsewhere import set_elsewhere
from volunteer.doctor import Check, State, checks, describe, exit_code, make_report, run, to_json, write_report
from volunteer.errors import ConfigurationError, ExitCode
from volunteer.hardware import AppleGpu, Disk, Gpu, Hardware, Memory, Processor
from volunteer.logs import Redactor, log_path
from volunteer.models.safetensors_index import TensorEntry, build_header

COMMIT = "0123456789abcdef0123456789abcdef01234567"
KEY = "sk-volunteer-3kQm4tE7xkq1ZcC0aXy9Lw3v"


@pytest.fixture(autouse=True)
def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for one has its own tests, and takes a process."""
    monkeypatch.setattr(hardware, "detect", lambda *_, **__: machine())


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return folder


def machine(**changes: object) -> Hardware:
    fields = {"gpu_problem": "No NVIDIA driver was found.", "disk": Disk(10**12, 10**11)} | changes
    return Hardware(Processor("Abacus", 2, 4), Memory(2**34, 2**33), **fields)  # type: ignore[arg-type]


def finding(data_dir: Path, name: str, **options: object) -> Check:
    return next(check for check in checks(data_dir, **options) if check.name == name)  # type: ignore[arg-type]


def block(folder: Path, number: int, *, num_items: int = 4) -> Path:
    """As the store leaves it."""
    name = f"h.{number}.weight"
    entry = TensorEntry(name, "F32", (num_items,), 4 * num_items, "model.safetensors", 0)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"block-{number}.safetensors"
    path.write_bytes(build_header([entry]) + bytes(4 * num_items))
    path.with_name(f"{path.name}.sha256").write_text("0" * 64)
    return path


@pytest.fixture
def model(data_dir: Path) -> Path:
    folder = data_dir / "models" / "bigscience--bloom-560m" / COMMIT
    for number in range(3):
        block(folder, number)
    entries = [TensorEntry(f"h.{number}.weight", "F32", (4,), 16, "model.safetensors", 0) for number in range(3)]
    header = build_header(entries)
    shard = {
        "file": "model.safetensors",
        "num_bytes": len(header) + 48,
        "sha256": None,
        "header": header[8:].decode(),
    }
    saved = {"format": 1, "is_sharded": False, "shards": [shard]}
    (folder / "shard-headers.json").write_text(json.dumps(saved))
    return folder


# The whole


def test_a_sound_computer_has_nothing_bad(data_dir: Path, model: Path) -> None:
    found = checks(data_dir)

    assert [check for check in found if check.state is State.BAD] == []
    assert {check.name: check.state for check in found}["clock"] is State.UNKNOWN
    assert exit_code(found) == ExitCode.OK


def test_a_folder_that_is_not_there_yet_is_no_fault_and_is_not_made(tmp_path: Path) -> None:
    assert exit_code(checks(tmp_path / "data")) == ExitCode.OK
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_changed(data_dir: Path, model: Path) -> None:
    (data_dir / "settings.json").write_text("{broken")
    (data_dir / "control.json").write_text("{}")
    before = {path: (path.stat().st_mtime_ns, path.stat().st_mode) for path in data_dir.rglob("*")}

    checks(data_dir)

    assert {path: (path.stat().st_mtime_ns, path.stat().st_mode) for path in data_dir.rglob("*")} == before


def test_one_bad_thing_is_the_exit_code(data_dir: Path) -> None:
    (data_dir / "identity.key").write_bytes(b"key")
    (data_dir / "identity.key").chmod(0o644)
    out = io.StringIO()

    assert run(data_dir, out=out, as_json=True) == ExitCode.FAILURE
    told = {check["name"]: check for check in json.loads(out.getvalue())}
    assert told["identity"]["state"] == "bad"
    assert told["identity"]["advice"] == f"chmod 600 {data_dir / 'identity.key'}"


def test_a_check_that_fails_itself_costs_no_other(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("no pulse")

    monkeypatch.setattr(doctor, "_open_files", fail)

    check = finding(data_dir, "open files")
    assert (check.state, check.text) == (State.UNKNOWN, "This cannot be told: RuntimeError: no pulse.")


def test_words_and_json_say_the_same(data_dir: Path) -> None:
    found = [Check("disk", State.BAD, "It is full.", "Make room."), Check("a", State.GOOD, "Fine.")]

    assert describe(found).splitlines() == [
        "bad      disk  It is full.",
        "               -> Make room.",
        "good     a     Fine.",
    ]
    assert json.loads(to_json(found))[0] == {
        "name": "disk",
        "state": "bad",
        "text": "It is full.",
        "advice": "Make room.",
    }


def test_it_takes_less_than_three_seconds_and_loads_nothing_heavy(data_dir: Path, model: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from volunteer import doctor, service, completion, logs\n"
        f"doctor.run(Path({str(data_dir)!r}), out=sys.stderr, report_file=Path({str(data_dir / 'r.txt')!r}))\n"
        "print({'torch', 'hivemind', 'transformers', 'PySide6'} & set(sys.modules))"
    )
    begun = time.monotonic()

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert done.stdout == "set()\n", done.stderr
    assert time.monotonic() - begun < 3.0  # measured: 0.7 s, a third of it the search for graphics cards


# One by one


@pytest.mark.parametrize("mode", [0o750, 0o705])
def test_a_folder_that_others_can_look_into_is_told(data_dir: Path, mode: int) -> None:
    data_dir.chmod(mode)

    assert finding(data_dir, "data folder") == Check(
        "data folder",
        State.WARN,
        f"Other users of this computer can look into {data_dir}.",
        f"chmod 700 {data_dir}",
    )


@pytest.mark.parametrize("name", ["api_key", "control.json", "endpoint.key", "conversations.sqlite3", "control/token"])
def test_a_secret_that_others_can_read_is_told_by_its_name(data_dir: Path, name: str) -> None:
    path = data_dir / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("x")
    path.chmod(0o600)
    assert finding(data_dir, "secret files").state is State.GOOD

    path.chmod(0o640)

    check = finding(data_dir, "secret files")
    assert check.state is State.BAD
    assert path.name in check.text


def test_an_identity_elsewhere_is_looked_at_there(data_dir: Path, tmp_path: Path) -> None:
    identity = tmp_path / "elsewhere"
    identity.touch(mode=0o600)

    check = finding(data_dir, "identity", identity_file=identity)

    assert check.state is State.BAD
    assert "empty" in check.text


@pytest.mark.parametrize(
    ("content", "state"), [(None, State.GOOD), ("{}", None), ("{broken", State.BAD), ("\xff", State.BAD)]
)
def test_damaged_settings_are_told(data_dir: Path, content: str | None, state: State | None) -> None:
    if content is not None:
        (data_dir / "settings.json").write_text(content, encoding="latin-1")

    found = finding(data_dir, "settings").state

    assert found is state if state is not None else found is not State.BAD


def test_a_worker_is_known_by_its_lock_and_the_lock_is_left_alone(data_dir: Path) -> None:
    if not Path("/proc/locks").exists():
        pytest.skip("this system does not list its locks")
    lock = data_dir / "worker.lock"
    lock.touch()  # a killed worker leaves the file
    assert finding(data_dir, "worker").text == "No worker is running here."

    with _locked_by_other_process(lock) as pid:
        assert finding(data_dir, "worker").text == f"A worker is running here (process {pid})."
        assert finding(data_dir, "worker", worker_answers=lambda: True).state is State.GOOD
        silent = finding(data_dir, "worker", worker_answers=lambda: False)
        assert (silent.state, silent.advice) == (State.BAD, f"End it: kill {pid}")


@contextlib.contextmanager
def _locked_by_other_process(lock: Path) -> Iterator[int]:
    script = f"import filelock, sys\nwith filelock.FileLock({str(lock)!r}):\n  print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid


def test_looking_never_keeps_a_worker_from_starting(data_dir: Path) -> None:
    end = threading.Event()

    def look() -> None:
        while not end.is_set():
            doctor._worker(data_dir, None)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(300):
            with filelock.FileLock(data_dir / "worker.lock", timeout=0):
                pass
    finally:
        end.set()
        looker.join()


@pytest.mark.parametrize(("answers", "state"), [(True, State.GOOD), (False, State.WARN), (None, State.GOOD)])
def test_a_worker_elsewhere_is_not_told_as_one_of_this_computer(
    data_dir: Path, answers: bool | None, state: State
) -> None:
    set_elsewhere(data_dir, ["ssh", "lab", "volunteer", "bridge"])

    check = finding(data_dir, "worker", worker_answers=None if answers is None else lambda: answers)

    assert check.state is state
    assert check.text.startswith("The worker is the one behind `ssh lab volunteer bridge`")
    assert ("does not answer" in check.text) == (answers is False)


def test_a_connection_that_makes_no_sense_is_told(data_dir: Path) -> None:
    (data_dir / "elsewhere.json").write_text("{")

    check = finding(data_dir, "worker", worker_answers=lambda: pytest.fail("whom?"))

    assert check.state is State.BAD
    assert "run `volunteer connect` anew" in check.text


def test_what_a_killed_worker_has_left_is_told(data_dir: Path) -> None:
    (data_dir / "control.json").touch(mode=0o600)

    check = finding(data_dir, "worker", worker_answers=lambda: False)

    assert check.state is State.WARN
    assert "control.json" in check.text


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (None, 0, "missing"),
        (b"#!/bin/sh\n", 0o644, "may not be started"),
        (b"\x7fELF of another processor", 0o755, "cannot be started"),
        (b"#!/bin/sh\nexit 3\n", 0o755, "can be started"),
    ],
)
def test_a_network_daemon_that_cannot_be_started_is_told(
    tmp_path: Path, content: bytes | None, mode: int, words: str
) -> None:
    path = tmp_path / "p2pd"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)

    state, text, *_ = doctor._daemon(path)

    assert words in text
    assert (state is State.GOOD) == (words == "can be started")


@pytest.mark.parametrize(("system", "state"), [("win32", State.GOOD), ("linux", State.BAD)])
def test_only_on_windows_a_network_daemon_is_not_missed(
    monkeypatch: pytest.MonkeyPatch, system: str, state: State
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert doctor._daemon(None)[0] is state


def test_the_real_network_daemon_is_found_without_loading_its_package() -> None:
    assert doctor._daemon(doctor._daemon_path())[0] is State.GOOD


def test_a_low_limit_of_open_files_is_told(data_dir: Path) -> None:
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))\n"
        "from volunteer import doctor; print(doctor._open_files()[0])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "bad\n"


def test_whole_blocks_are_counted(data_dir: Path, model: Path) -> None:
    (model / "block-7.safetensors.partial").touch()
    (model / "block-7.safetensors.sha256").touch()  # killed in the very last step of a download

    assert finding(data_dir, "blocks").text == "3 files of blocks, 0.0 GB, are whole, 1 more in part."


def test_blocks_that_are_not_whole_are_told_each(data_dir: Path, model: Path) -> None:
    with (model / "block-0.safetensors").open("r+b") as file:
        file.truncate(50)
    (model / "block-1.safetensors").write_bytes(b"")
    block(model, 2, num_items=5)  # whole, but of another model
    block(model, 3)
    (model / "block-3.safetensors.sha256").unlink()

    check = finding(data_dir, "blocks")

    assert check.state is State.BAD
    for number in range(4):
        assert f"block-{number}.safetensors" in check.text
    assert "which is not one of this model" in check.text
    assert "has lost its checksum" in check.text


def test_a_model_that_was_made_here_has_no_checksums_and_is_checked_all_the_same(data_dir: Path) -> None:
    path = block(data_dir / "models" / "SmolLM2", 0)
    path.with_name(f"{path.name}.sha256").unlink()
    assert finding(data_dir, "blocks").state is State.GOOD

    path.write_bytes(path.read_bytes()[:-1])
    assert finding(data_dir, "blocks").state is State.BAD


def test_a_damaged_index_does_not_condemn_the_blocks(data_dir: Path, model: Path) -> None:
    (model / "shard-headers.json").write_text('{"shards": [{"header": 5}]}')

    assert finding(data_dir, "blocks").state is State.GOOD


def test_a_port_in_use_is_told_with_its_owner(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        check = finding(data_dir, f"port {port}", ports=[port])
        assert check.state is State.BAD
        assert f"process {os.getpid()}" in check.text

        with filelock.FileLock(data_dir / "worker.lock"):  # as if this process were the worker
            assert finding(data_dir, f"port {port}", ports=[port]).state is State.GOOD

    assert finding(data_dir, f"port {port}", ports=[port]).state is State.GOOD


@pytest.mark.parametrize(
    ("free", "needed", "state"),
    [(10**11, 0, State.GOOD), (3 * 10**9, 0, State.WARN), (3 * 10**9, 3 * 10**9, State.BAD), (10**8, 0, State.BAD)],
)
def test_room_on_the_disk_is_compared_with_what_is_needed(free: int, needed: int, state: State) -> None:
    assert doctor._disk(machine(disk=Disk(10**12, free)), needed)[0] is state


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (machine(), State.GOOD),
        (machine(gpus=(Gpu(0, "RTX"),)), State.GOOD),
        (machine(gpus=(Gpu(0, "RTX", problem="GPU is lost."),)), State.BAD),
        (machine(gpus=(Gpu(0, "RTX"), Gpu(1, "GT", problem="Too little."))), State.GOOD),
        (machine(apple_gpu=AppleGpu("M4", 1, 1)), State.GOOD),
    ],
)
def test_a_card_that_cannot_be_used_is_told_and_none_is_no_fault(found: Hardware, state: State, tmp_path: Path) -> None:
    assert doctor._gpu(found, pci=tmp_path)[0] is state


def test_a_card_without_a_driver_is_told(tmp_path: Path) -> None:
    device = tmp_path / "0000:01:00.0"
    device.mkdir()
    (device / "vendor").write_text("0x10de\n")
    (device / "class").write_text("0x030000\n")

    state, text, _ = doctor._gpu(machine(), pci=tmp_path)

    assert state is State.WARN
    assert "No NVIDIA driver was found." in text


# Online


class _Hub(BaseHTTPRequestHandler):
    ahead_s = 0.0
    code = 200

    def do_HEAD(self) -> None:
        self.send_response_only(self.code)
        self.send_header("Date", self.date_time_string(int(time.time() + self.ahead_s)))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Hub]]:
    handler = type("Hub", (_Hub,), {})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield handler
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("code", [200, 404])
def test_the_hub_is_asked_when_asked_for_and_tells_the_time(data_dir: Path, hub: type[_Hub], code: int) -> None:
    hub.code = code
    found = {check.name: check for check in checks(data_dir, online=True)}

    assert found["Hub"].state is State.GOOD
    assert found["clock"].state is State.GOOD


@pytest.mark.parametrize(("ahead_s", "words"), [(-3600, "3600 s ahead"), (3600, "3600 s behind")])
def test_a_wrong_clock_is_told_with_how_wrong_it_is(
    data_dir: Path, hub: type[_Hub], ahead_s: float, words: str
) -> None:
    hub.ahead_s = ahead_s

    check = finding(data_dir, "clock", online=True)

    assert check.state is State.BAD
    assert abs(int(check.text.split()[3]) - 3600) <= 2
    assert words.split()[-1] in check.text


def test_a_clock_before_the_installation_of_a_built_program_is_behind(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "volunteer"
    program.touch()
    os.utime(program, (time.time() + 7 * 86400,) * 2)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(program))

    assert "before this program was installed" in finding(data_dir, "clock").text


def test_a_hub_that_cannot_be_reached_is_told_and_leaves_the_clock_unknown(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    found = {check.name: check for check in checks(data_dir, online=True)}

    assert found["Hub"].state is State.BAD
    assert found["clock"].state is State.UNKNOWN


def test_nobody_is_asked_without_being_told_to(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_hub_date", lambda: pytest.fail("asked"))

    assert "Hub" not in {check.name for check in checks(data_dir)}


# The report


def test_a_report_holds_what_helps_and_nothing_that_is_nobodys_business(data_dir: Path) -> None:
    (data_dir / "api_key").write_text(KEY + "\n")
    drawn = "b2Zm8TCeJx0wq7Rk4HvL1sPdYi6uNgAo"
    (data_dir / "control.json").write_text(json.dumps({"address": f"unix:{data_dir}/control.sock", "token": drawn}))
    settings = {
        "version": 1,
        "serving": {"public_name": "Ann's PC", "initial_peers": ["/ip4/8.8.8.8/tcp/1/p2p/12D3Koo"]},
        "limits": {"exclusive_programs": ["solitaire"], "threads": 3},
    }
    (data_dir / "settings.json").write_text(json.dumps(settings))
    log = log_path(data_dir)
    log.parent.mkdir()
    lines = [f"2026 INFO swarm: x{drawn}y said {KEY}", "2026 INFO swarm: 8.8.8.8 joins /home/ann/x as ann", "last line"]
    log.write_text("\n".join(lines) + "\n")

    report = make_report(data_dir, checks(data_dir), Redactor(home=Path("/home/ann"), names=("ann",)))

    titles = [title for title, _ in report.sections]
    assert titles == ["Checks", "Versions", "Hardware", "Settings", "Log of worker"]
    for secret in (KEY, drawn, "8.8.8.8", "/home/ann", " ann", "Ann's PC", "solitaire"):
        assert secret not in report.text
    for helpful in ("torch ", "hivemind ", "last line", '"threads": 3', "Abacus", "secret files", "12D3Koo"):
        assert helpful in report.text
    # The same peer in settings and log.
    assert report.text.count("[address 1]") == 2
    assert "  Log of worker: 3 lines" in report.contents().splitlines()


def test_only_the_end_of_a_long_log_is_in_the_report(data_dir: Path) -> None:
    log = log_path(data_dir)
    log.parent.mkdir()
    log.write_text("".join(f"record {number}\n" for number in range(5000)))

    report = make_report(data_dir, [], Redactor())

    assert report.sections[-1][1].splitlines()[0] == "record 4500"


def test_a_report_is_its_owners_and_replaces_no_file(data_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    out = io.StringIO()

    assert run(data_dir, out=out, report_file=path) == ExitCode.OK

    assert path.stat().st_mode & 0o777 == 0o600
    assert "The report holds" in out.getvalue()
    with pytest.raises(ConfigurationError, match="there already"):
        write_report(make_report(data_dir, []), path)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_report(make_report(data_dir, []), tmp_path / "none" / "report.txt")
    write_report(make_report(data_dir, []), path, replace=True)
    assert "== Checks" in path.read_text() and path.stat().st_mode & 0o777 == 0o600


def test_damaged_settings_do_not_keep_a_report_from_being_made(data_dir: Path) -> None:
    (data_dir / "settings.json").write_text("[1, {")

    assert "cannot be read" in dict(make_report(data_dir, []).sections)["Settings"]
