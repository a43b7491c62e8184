"""Tries every role of a built program: `python installer/smoke.py FOLDER`.

FOLDER is what `installer/build.py` made. Everything happens in a data folder that is gone afterwards, on loopback, and
without asking the Hub: what fails here fails for somebody who has just installed the program. Prints one line a step,
and ends with 1 if any failed or a process was left.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

_VERBS = re.compile(r"^_shtab_volunteer_subparsers=\((.*)\)$", re.MULTILINE)
_QUESTION = "What is the capital of France?"
_ANSWER = "Paris"
_VERSION_WITHIN_S = 1.0
_VERB_TIMEOUT_S = 120.0
_WINDOW_WITHIN_S = 30.0
_START_TIMEOUT_S = 300.0
_STOP_TIMEOUT_S = 60.0
_NOT_RUNNING = 3
_USAGE = 2
_BAD_CONFIGURATION = 78
_ALREADY_RUNNING = 97


class Failed(Exception):
    """A step did not do what it should; the text says what it did."""


class Built:
    """The built program, with a data folder of its own."""

    def __init__(self, folder: Path, data_dir: Path) -> None:
        self.program = folder / ("volunteer.exe" if os.name == "nt" else "volunteer")
        self.data_dir = data_dir
        self.serves = any(folder.glob("*/hivemind"))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("VOLUNTEER_", "PYTHON"))}
        self.environment = kept | {
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "VOLUNTEER_DATA_DIR": str(data_dir),
        }

    def run(self, *words: str, code: int = 0, timeout_s: float = _VERB_TIMEOUT_S) -> str:
        """What it prints; it must end with `code`."""
        done = subprocess.run(
            [self.program, *words],
            env=self.environment,
            cwd=self.data_dir.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout_s,
        )
        if done.returncode != code:
            said = (done.stdout + done.stderr)[-2000:]
            raise Failed(f"volunteer {' '.join(words)} ended with {done.returncode}, not {code}:\n{said}")
        return done.stdout

    @contextlib.contextmanager
    def worker(self, *words: str) -> Iterator[Worker]:
        log = self.data_dir.parent / "worker.log"
        with log.open("ab") as errors:
            process = subprocess.Popen(
                # The role comes last: options of serving are the program's own.
                [self.program, "--host-maddrs", "/ip4/127.0.0.1/tcp/0", "--json-events", *words],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        worker = Worker(process, log)
        try:
            yield worker
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()

    def processes(self) -> list[psutil.Process]:
        """Those that run from the program's folder, p2pd among them."""
        folder, found = self.program.parent, []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if Path(process.exe()).is_relative_to(folder) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found


class Worker:
    """A running worker, followed by its events."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None  # noqa: S101 (it is a pipe)
        for line in self.process.stdout:
            self._events.put(json.loads(line))
        self._events.put(None)

    def wait_for(self, name: str, timeout_s: float = _START_TIMEOUT_S) -> dict[str, Any]:
        ends = time.monotonic() + timeout_s
        while True:
            try:
                event = self._events.get(timeout=max(0.01, ends - time.monotonic()))
            except queue.Empty:
                raise Failed(f"The worker was not {name} within {timeout_s:.0f} s. {self._last_words()}") from None
            if event is None:
                raise Failed(f"The worker ended with {self.process.wait()} before it was {name}. {self._last_words()}")
            if event["event"] == name:
                return event

    def wait(self) -> int:
        return self.process.wait(_STOP_TIMEOUT_S)

    def _last_words(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-2000:]


def expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise Failed(otherwise)


# The steps


def version(built: Built) -> str:
    fastest = float("inf")
    for _ in range(3):  # the first start reads the program from the disk
        began = time.monotonic()
        text = built.run("--version").strip()
        fastest = min(fastest, time.monotonic() - began)
    expect(fastest < _VERSION_WITHIN_S, f"--version took {fastest:.2f} s.")
    return f"{text} in {fastest:.2f} s"


def help_of_every_verb(built: Built) -> str:
    verbs = _VERBS.search(built.run("completion", "bash"))
    if verbs is None:
        raise Failed("The completion for bash names no verbs.")
    for verb in verbs[1].split():
        expect("usage:" in built.run(verb, "--help"), f"{verb} --help has no usage.")
    return f"{len(verbs[1].split())} verbs"


def looking_without_a_worker(built: Built) -> None:
    built.run("status", code=_NOT_RUNNING)
    json.loads(built.run("gpus", "--json"))
    json.loads(built.run("forecast", "--json"))
    json.loads(built.run("points", "--json"))
    built.run("points", "verify")
    built.run("blocks", "list")
    built.run("logs")
    built.run("swarm", code=_BAD_CONFIGURATION)
    built.run("quit")
    for verb in (["pause"], ["resume"], ["finish"], ["mode", "auto"]):
        built.run(*verb, code=_NOT_RUNNING)
    built.run("pause", "--for", "soon", code=_USAGE)


def doctor(built: Built) -> None:
    # Only on Windows is nothing amiss with a build that cannot serve.
    state, code = ("good", 0) if built.serves or sys.platform == "win32" else ("bad", 1)
    checks = json.loads(built.run("doctor", "--json", code=code))
    found = {check["name"]: check["state"] for check in checks}
    expect(found.get("network daemon") == state, f"The doctor says of the network daemon: {found}")
    untold = [check for check in checks if "Error" in json.dumps(check)]
    expect(not untold, f"The doctor stumbled: {untold}")
    report = built.data_dir.parent / "report.txt"
    built.run("doctor", "--report", str(report), code=code)
    torch = "torch 2" if built.serves else "torch is not installed"
    expect(torch in report.read_text(encoding="utf-8"), f"The report does not say: {torch}")


def settings(built: Built) -> None:
    built.run("config", "set", "limits.nice", "5")
    expect(built.run("config", "get", "limits.nice").strip() == "5", "A setting was not kept.")
    expect("limits.nice = 5" in built.run("config", "list"), "A setting is not listed.")
    built.run("config", "reset", "limits.nice")
    built.run("config", "set", "limits.nice", "much", code=_USAGE)


def completion(built: Built) -> None:
    for shell in ("bash", "zsh", "fish"):
        expect("volunteer" in built.run("completion", shell), f"There is no completion for {shell}.")


def service(built: Built) -> None:
    shown = built.run("service", "install", code=_USAGE)
    expect(str(built.program) in shown, f"The service would not start this program:\n{shown}")


def window(built: Built) -> str:
    """Opens where nobody sees it, is raised by a second start, and ends when it is asked to."""
    environment = {**built.environment, "QT_QPA_PLATFORM": "offscreen"}
    began = time.monotonic()
    process = subprocess.Popen([built.program], env=environment, stdin=subprocess.DEVNULL)
    try:
        _until((built.data_dir / "run" / "window.sock").exists, "open", _WINDOW_WITHIN_S)
        opened_s = time.monotonic() - began
        raised = subprocess.run([built.program], env=environment, timeout=_VERB_TIMEOUT_S).returncode
        expect(raised == 0, f"A second start ended with {raised}.")
        process.send_signal(signal.SIGTERM)
        code = process.wait(_STOP_TIMEOUT_S)
    finally:
        process.kill()
        process.wait()
    expect(code == 0, f"The window ended with {code}.")
    return f"open after {opened_s:.1f} s"


def private_swarm(built: Built) -> None:
    built.run("swarm", "create", "smoke")
    expect("petals-volunteer://" in built.run("swarm", "invite", "smoke"), "There is no invitation.")
    expect("smoke" in built.run("swarm", "list"), "The swarm is not listed.")
    built.run("swarm", "leave", "smoke")


def update_check(built: Built) -> str:
    """Nobody is asked in a build without a publisher, and no network is there in one with."""
    done = subprocess.run(
        [built.program, "update-check"],
        env=built.environment | {"https_proxy": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=_VERB_TIMEOUT_S,
    )
    said = done.stdout + done.stderr
    expect(done.returncode in (0, 69, _BAD_CONFIGURATION) and "Traceback" not in said, said)
    return said.strip()


def what_it_cannot_do_is_said(built: Built) -> None:
    for words in (("--no-gui",), ("demo",), ("chat", _QUESTION)):
        built.run(*words, code=_BAD_CONFIGURATION)


def practice(built: Built) -> str:
    said = built.run("demo", timeout_s=_START_TIMEOUT_S)
    expect(_ANSWER in said, f"Practice mode answered:\n{said}")
    return next(line.strip() for line in said.splitlines() if "tokens/s" in line)


def serving(built: Built) -> str:
    """Chat, endpoint, pause, resume, finish, and what can be seen of a worker."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    built.run("config", "set", "endpoint.port", str(port))
    built.run("config", "set", "endpoint.enabled", "true")
    with built.worker("--no-gui", "--new-swarm") as worker:
        worker.wait_for("ready")
        built.run("--no-gui", "--new-swarm", code=_ALREADY_RUNNING)
        status = json.loads(built.run("status", "--json"))
        expect(status["state"] == "serving", f"The worker is {status['state']}.")
        said = built.run("chat", "--temperature", "0", _QUESTION)
        expect(_ANSWER in said, f"The chat answered: {said}")
        expect("All 30 blocks are served" in built.run("swarm"), "Blocks are missing in the swarm.")
        expect("SmolLM2" in _ask_endpoint(port, "models", None, built), "The endpoint does not name the model.")
        question = {"messages": [{"role": "user", "content": _QUESTION}], "temperature": 0, "max_tokens": 12}
        for is_streamed in (False, True):
            body = {"model": "SmolLM2-135M-Instruct", "stream": is_streamed, **question}
            answer = _ask_endpoint(port, "chat/completions", body, built)
            expect(_ANSWER in answer, f"The endpoint answered: {answer}")
        _pause_and_resume(built, worker)
        _look_from_elsewhere(built)
        built.run("logs", "-n", "5")
        built.run("blocks", "verify")
        built.run("finish")
        worker.wait_for("paused")
        built.run("resume")  # what the owner asked for outlives the worker
        worker.wait_for("ready")
        built.run("quit")
        code = worker.wait()
    expect(code == 0, f"The worker ended with {code} when it was told to quit.")
    return next(line for line in said.splitlines() if _ANSWER in line)


def _look_from_elsewhere(built: Built) -> None:
    """As from another computer, but for the network between."""
    here = ("--data-dir", str(built.data_dir.with_name("elsewhere")))
    bridge = [str(built.program), "--data-dir", str(built.data_dir), "bridge"]
    expect("Serving blocks" in built.run(*here, "connect", *bridge), "The worker is not seen through the bridge.")
    expect("Serving blocks" in built.run(*here, "status"), "The worker is not seen through the bridge again.")
    built.run(*here, "connect", "--here")
    built.run(*here, "status", code=_NOT_RUNNING)


def _pause_and_resume(built: Built, worker: Worker) -> None:
    built.run("pause")
    worker.wait_for("paused")
    expect("Paused" in built.run("status"), "The worker does not say that it is paused.")
    built.run("resume")
    worker.wait_for("ready")


def _ask_endpoint(port: int, path: str, body: dict[str, Any] | None, built: Built) -> str:
    key = (built.data_dir / "endpoint.key").read_text(encoding="utf-8").strip()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=_VERB_TIMEOUT_S) as answer:  # noqa: S310 (loopback)
        text: str = answer.read().decode()
    return text


def killed_worker(built: Built) -> None:
    """Killed without a word, it leaves no daemon behind, and the next one starts on what it left."""
    with built.worker("--no-gui", "--new-swarm") as worker:
        worker.wait_for("ready")
        before = built.run("points", "--json")
        worker.process.kill()
        worker.wait()
    with built.worker("--new-swarm", "worker") as worker:
        worker.wait_for("ready")
        built.run("points", "verify")
        expect(built.run("points", "--json") == before, "Points changed over a kill.")
        worker.process.send_signal(signal.SIGTERM)
        code = worker.wait()
    expect(code == 128 + signal.SIGTERM, f"The worker ended with {code} after SIGTERM.")


def supervised_worker(built: Built) -> None:
    """As the window keeps it: the program starts itself as a worker, and again when it dies."""
    worker_command = [str(built.program), "--host-maddrs", "/ip4/127.0.0.1/tcp/0", "--new-swarm", "worker"]
    for _ in range(2):
        process = subprocess.Popen(
            worker_command,
            env=built.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        _until(lambda: _state(built) == "serving", "serving", _START_TIMEOUT_S)
        process.kill()
        process.wait()
    built.run("status", code=_NOT_RUNNING)


def _state(built: Built) -> str | None:
    done = subprocess.run([built.program, "status", "--json"], env=built.environment, capture_output=True, text=True)
    return json.loads(done.stdout)["state"] if done.returncode == 0 else None


def bench(built: Built) -> str:
    options = "single --model SmolLM2-135M-Instruct --rounds 1 --new-tokens 8 --prompt-tokens 8 --servers 2"
    said = built.run("bench", *options.split(), timeout_s=2 * _START_TIMEOUT_S)
    return next((line.strip() for line in said.splitlines() if "tokens/s" in line), "")


def no_process_is_left(built: Built) -> None:
    _until(lambda: not built.processes(), "gone, all of the program's processes", _STOP_TIMEOUT_S)


def _until(is_so: Callable[[], bool], what: str, timeout_s: float) -> None:
    ends = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > ends:
            raise Failed(f"Not {what} within {timeout_s:.0f} s.")
        time.sleep(0.2)


STEPS: tuple[Callable[[Built], str | None], ...] = (
    version,
    help_of_every_verb,
    looking_without_a_worker,
    doctor,
    settings,
    completion,
    service,
    window,
    private_swarm,
    update_check,
    practice,
    no_process_is_left,
    serving,
    no_process_is_left,
    killed_worker,
    supervised_worker,
    bench,
    no_process_is_left,
)
WITHOUT_SERVING = (
    version,
    help_of_every_verb,
    doctor,
    settings,
    completion,
    update_check,
    what_it_cannot_do_is_said,
    no_process_is_left,
)
"""What there is on Windows."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Tries every role of a built program.")
    parser.add_argument("folder", type=Path, help="the program's folder")
    options = parser.parse_args(arguments)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="volunteer-smoke-") as scratch:
        built = Built(options.folder.resolve(), Path(scratch) / "data")
        steps = STEPS if built.serves else WITHOUT_SERVING
        for step in steps:
            began, name = time.monotonic(), step.__name__.replace("_", " ")
            try:
                result = step(built) or ""
            except (Failed, OSError, subprocess.SubprocessError, ValueError, LookupError) as error:
                failed += 1
                print(f"FAILED {name}: {error}", flush=True)
            else:
                print(f"ok     {name} ({time.monotonic() - began:.1f} s) {result}".rstrip(), flush=True)
        for process in built.processes():
            process.kill()
    print(f"{len(steps) - failed} of {len(steps)} steps passed.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
