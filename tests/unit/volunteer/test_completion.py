"""Real shells, at a terminal of their own, in which somebody presses Tab."""

import argparse
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from volunteer.completion import SHELLS, Shell, completion_script

_TIMEOUT_S = 30.0

_STARTS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
_SET_UP = {
    "bash": "volunteer() {{ printf '<%s>' \"$@\"; echo e''nd; }}; source {script}",
    "zsh": "autoload -U compinit; compinit -u -D; volunteer() {{ printf '<%s>' \"$@\"; echo e''nd; }}; "
    'eval "$(cat {script})"',
    "fish": "function volunteer; printf '<%s>' $argv; echo e''nd; end; source {script}",
}

Complete = Callable[[Shell, str], list[str]]
"""The words that a command line has become after Tab and Enter."""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="volunteer")
    parser.add_argument("--data-dir", metavar="DIR")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    pause = commands.add_parser("pause", help="pauses the worker's serving: it's `free` for $you, 100%%")
    pause.add_argument("--for", dest="seconds", metavar="TIME", help='such as "1h"')
    bench = commands.add_parser("bench", help="measures")
    bench.add_argument("--quantization", choices=["none", "int8", "nf4"])
    bench.add_argument("--report", metavar="FILE")
    bench.add_argument("--inner", help=argparse.SUPPRESS)
    service = commands.add_parser("service", help="at login").add_subparsers(dest="verb")
    service.add_parser("install", help="shows, asks, writes")
    service.add_parser("remove", help="undoes it")
    return parser


@pytest.fixture
def complete(tmp_path: Path) -> Complete:
    def run(shell: Shell, line: str) -> list[str]:
        if shutil.which(shell) is None:
            pytest.skip(f"{shell} is not installed")
        script = tmp_path / f"volunteer.{shell}"
        script.write_text(completion_script(parser(), shell))
        return _at_a_terminal(shell, [_SET_UP[shell].format(script=script), "echo rea''dy", f"{line}\t"], tmp_path)

    return run


def _at_a_terminal(shell: Shell, lines: list[str], folder: Path) -> list[str]:
    ours, theirs = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "dumb", "PS1": "$ ", "LC_ALL": "C.UTF-8"}
    process = subprocess.Popen(
        ["setsid", "--ctty", *_STARTS[shell]], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=folder
    )
    os.close(theirs)
    try:
        for line in lines[:-1]:
            os.write(ours, line.encode() + b"\n")
        _read_until(ours, b"ready\r\n")
        os.write(ours, lines[-1].encode() + b"\n")
        output = _read_until(ours, b"end\r\n")
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    told = output.decode(errors="replace").split("end\r\n")[-2].splitlines()[-1]
    return re.findall("<([^<>]*)>", told)


def _read_until(terminal: int, end: bytes) -> bytes:
    output, deadline = b"", time.monotonic() + _TIMEOUT_S
    while end not in output:
        readable, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            pytest.fail(f"no {end!r} in {output!r}")
        output += os.read(terminal, 65536)
    return output


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_a_command(shell: Shell, complete: Complete) -> None:
    assert complete(shell, "volunteer pau") == ["pause"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_the_verb_of_a_command(shell: Shell, complete: Complete) -> None:
    assert complete(shell, "volunteer service rem") == ["service", "remove"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_options_choices_and_files(shell: Shell, complete: Complete, tmp_path: Path) -> None:
    (tmp_path / "numbers.json").touch()
    (tmp_path / "notes").mkdir()

    assert complete(shell, "volunteer bench --quant") == ["bench", "--quantization"]
    assert complete(shell, "volunteer bench --quantization nf") == ["bench", "--quantization", "nf4"]
    assert complete(shell, "volunteer bench --report num") == ["bench", "--report", "numbers.json"]
    # zsh takes the slash away again when the line ends there.
    option, folder = complete(shell, "volunteer --data-dir no")
    assert (option, folder.rstrip("/")) == ("--data-dir", "notes")


@pytest.mark.parametrize("shell", SHELLS)
def test_what_the_help_hides_is_not_offered(shell: Shell) -> None:
    assert "--inner" not in completion_script(parser(), shell)


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_and_option_of_the_program_is_known_to_the_shell(shell: Shell, tmp_path: Path) -> None:
    from volunteer.cli import _parser

    script = tmp_path / "script"
    script.write_text(completion_script(_parser(), shell))

    for name in ("demo", "chat", "swarm", "gpus", "bench", "initial-peers", "quantization", "data-dir"):
        assert name in script.read_text()
    if shutil.which(shell):
        subprocess.run([shell, "-n", str(script)], check=True)


def test_no_library_is_loaded_before_a_script_is_asked_for() -> None:
    check = "import sys, volunteer.completion; print({'shtab', 'torch', 'hivemind', 'transformers'} & set(sys.modules))"

    loaded = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)

    assert loaded.stdout == "set()\n"
