"""The man page: commands and options as the program's own parser has them, the rest as written here."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping

_ABOUT = """\
Large language models are too big for most computers. With this program many people run one together: each computer
holds some of the model's layers (its blocks), and a question travels from one computer to the next until the answer is
there.
.PP
Without a command the app opens; a second start brings its window to the front. With
.B \\-\\-no\\-gui
the same worker runs in the foreground, for computers without a screen.
.PP
In a public swarm other people's computers can read your text and could change the answer."""

_EXIT_CODES: dict[int | str, str] = {
    0: "all is well",
    1: "it failed",
    2: "wrong usage",
    3: "no worker is running",
    69: "no network, or no route through the swarm",
    75: "try again later",
    77: "no permission",
    78: "bad configuration",
    97: "it is running already",
    "128+N": "ended by signal N",
}

_SIGNALS = """\
SIGTERM says goodbye to the swarm and lets running sessions end within the time-out. SIGINT once finishes and then ends,
twice stops now, three times exits at once."""

_FILES = {
    "~/.local/share/petals\\-volunteer": "settings, identity, points (ledger.sqlite), chats, logs and downloaded "
    "blocks; moved as a whole by \\-\\-data\\-dir or VOLUNTEER_DATA_DIR",
    "/var/lib/petals\\-volunteer": "the same, of the service of the whole computer",
    "petals\\-volunteer.service": "units for systemd, shipped and not enabled: "
    "systemctl \\-\\-user enable \\-\\-now petals\\-volunteer starts it with your logins, "
    "sudo systemctl enable \\-\\-now petals\\-volunteer with the computer",
}

_EXAMPLES = {
    "volunteer demo": "shows a whole swarm on this computer, without a network",
    "volunteer chat \\(dqWhat is a petal?\\(dq": "asks the swarm that your worker is in",
    "volunteer pause \\-\\-for 1h": "gives all memory back for an hour",
    "volunteer config set limits.hours \\(dqmon\\-fri 18:00\\-23:00\\(dq": "serves in the evenings",
}


def manual(parser: argparse.ArgumentParser, version: str, date: str) -> str:
    """For section 1, in man(7) macros.

    Args:
        date: of the release, as in 2026-11-27.
    """
    lines = [f'.TH VOLUNTEER 1 "{date}" "Petals Volunteer {version}" "User Commands"']
    lines += [".SH NAME", "volunteer \\- run large language models together with others"]
    lines += [".SH SYNOPSIS", ".B volunteer", "[\\fIOPTION\\fR]... [\\fICOMMAND\\fR ...]"]
    lines += [".SH DESCRIPTION", _ABOUT]
    lines += [".SH COMMANDS", "Each explains its own options with \\fB\\-\\-help\\fR."]
    for name, words in _commands(parser):
        lines += [".TP", f".B {_roff(name)}", _sentence(words)]
    lines += [".SH OPTIONS", *_options(parser)]
    lines += [".SH ENVIRONMENT", _roff(parser.epilog or "")]
    lines += [".SH EXIT STATUS", *_table(_EXIT_CODES)]
    lines += [".SH SIGNALS", _SIGNALS, ".SH FILES", *_table(_FILES), ".SH EXAMPLES", *_table(_EXAMPLES)]
    lines += [".SH SEE ALSO", ".BR systemctl (1)", ".PP"]
    lines.append("Licences of everything inside: /opt/petals\\-volunteer/_internal/licences, or beside the program.")
    return "\n".join(lines) + "\n"


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            # Those that the program starts itself in have no help.
            for choice in action._choices_actions:
                yield choice.dest, choice.help or ""


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if not action.option_strings or action.help == argparse.SUPPRESS:
            continue
        names = ", ".join(f"\\fB{_roff(name)}\\fR" for name in action.option_strings)
        yield from (".TP", f"{names}{_value(action)}", _sentence(action.help or ""))


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    word = action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    return f" \\fI{_roff(str(word))}\\fR" + (" ..." if action.nargs == "+" else "")


def _table(rows: Mapping[int | str, str] | Mapping[str, str]) -> Iterator[str]:
    for name, words in rows.items():
        yield from (".TP", f".B {name}", words)


def _sentence(words: str) -> str:
    text = words.replace("%(default)s", "as you chose").replace("%%", "%")
    return _roff(text[:1].upper() + text[1:])


def _roff(text: str) -> str:
    """As plain text: a hyphen would be typeset as one, and a line that begins with a dot taken for a macro."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped
