"""The one program and its roles. Imports torch and hivemind only inside the role that needs them."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.metadata
import json
import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volunteer.bench.options import BENCHMARKS, BLOOM_560M_SHAPE, SMOLLM2, BenchOptions, Outputs, judged
from volunteer.completion import SHELLS
from volunteer.errors import ConfigurationError, ExitCode, TryLater, Unavailable, UsageError, UserError
from volunteer.settings import DATA_DIR_VARIABLE, default_data_dir, load_settings, peers_file

if TYPE_CHECKING:
    from volunteer.client.chat import Answer, Chat, Sampling
    from volunteer.client.routing import NoRoute
    from volunteer.client.speculation import Speculation
    from volunteer.events import Event
    from volunteer.swarm.peer_lists import PeerLists
    from volunteer.swarm.swarm_key import Invitation
    from volunteer.swarm_model import SwarmModel

_ENVIRONMENT_PREFIX = "VOLUNTEER_"
_SWARM_ACTIONS = ("servers", "create", "join", "invite", "rekey", "leave", "list")
_CHAT_PATIENCE_S = 3600.0
"""How long a chat waits for blocks that nobody serves: whoever is tired of it presses Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the role that the arguments name; returns the exit code."""
    try:
        options = _parser().parse_args(arguments)
        if options.data_dir is not None:
            os.environ[DATA_DIR_VARIABLE] = options.data_dir
        _set_up_logging(options.verbose, is_supervised=options.command == "worker")
        return _run(options, sys.argv[1:] if arguments is None else arguments)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except PermissionError as error:
        if error.filename is None:
            raise
        print(f"This user may not use {error.filename}.", file=sys.stderr)
        return ExitCode.NO_PERMISSION
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILURE


def _run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    match options.command:
        case None if options.no_gui:
            return _serve(options)
        case "worker":
            return _serve(options, waits_when_failed=True)
        case None:
            return _open_window(options, arguments)
        case "hardware":
            from volunteer.hardware import main as ask_driver

            return ask_driver()
        case "demo":
            return _demo(options)
        case "bench":
            return _bench(options)
        case "chat":
            return _chat(options)
        case "swarm":
            return _swarm(options)
        case "gpus":
            return _gpus(options)
        case "forecast":
            return _forecast(options)
        case "status":
            return _status(options)
        case "pause" | "resume" | "finish" | "quit" | "mode":
            return _verb(options)
        case "config":
            return _config(options)
        case "blocks":
            return _blocks(options)
        case "points":
            return _points(options)
        case "service":
            return _service(options)
        case "logs":
            return _logs(options)
        case "doctor":
            return _doctor(options)
        case "completion":
            return _completion(options)
        case "update-check":
            return _update_check(options)
        case "connect":
            return _connect(options)
        case "bridge":
            return _bridge()
    raise AssertionError(f"no role for {options.command}")


# Options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="volunteer",
        description="Donate a graphics card, or a processor, to run large language models together.",
        epilog="Every option of serving can also be given as an environment variable: --num-blocks as "
        "VOLUNTEER_NUM_BLOCKS.",
    )
    parser.add_argument("--version", action="version", version=importlib.metadata.version("petals-volunteer"))
    parser.add_argument("--no-gui", action="store_true", help="serve blocks in the foreground, with logs")
    parser.add_argument("--hidden", action="store_true", help="start the app in the tray, as at login")
    _add_common(parser)
    serving = parser.add_argument_group("serving")
    _add_model(serving)
    serving.add_argument("--blocks", metavar="START:END", help="serve these blocks, the end not included")
    serving.add_argument("--num-blocks", type=int, metavar="N", help="serve N blocks, those the swarm needs most")
    serving.add_argument("--new-swarm", action="store_true", help="start a swarm instead of joining one")
    serving.add_argument("--host-maddrs", nargs="+", metavar="MADDR", help="where to listen (default: all addresses)")
    serving.add_argument("--announce-maddrs", nargs="+", metavar="MADDR", help="how others reach this machine")
    serving.add_argument("--identity", type=Path, metavar="FILE", help="private key of this peer, made if missing")
    serving.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: the best there is)")
    serving.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], help="of activations and weights")
    serving.add_argument("--quantization", choices=["none", "int8", "nf4"], help="of the weights")
    serving.add_argument("--kv-tokens", type=int, metavar="N", help="room for N tokens of all sessions together")
    serving.add_argument(
        "--session-idle", type=float, metavar="SECONDS", help="a session silent for so long gives its room back"
    )
    serving.add_argument("--public-name", metavar="NAME", help="shown to others in lists of servers")
    serving.add_argument("--json-events", action="store_true", help="print one JSON object a line on standard output")
    # How a private swarm of this machine starts its workers, which must not outlive it.
    serving.add_argument("--ends-with-input", action="store_true", help=argparse.SUPPRESS)

    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    demo = commands.add_parser("demo", help="practice mode: a private swarm on this machine answers one question")
    demo.add_argument("question", nargs="?", metavar="QUESTION")
    chat = commands.add_parser("chat", help="chat through a swarm; with a prompt, answer and exit")
    chat.add_argument("prompt", nargs="?", metavar="PROMPT")
    _add_model(chat)
    chat.add_argument("--peers", nargs="+", metavar="PEER", help="ask these servers alone, by their peer ids")
    chat.add_argument("--max-new-tokens", type=int, default=256, metavar="N")
    chat.add_argument("--temperature", type=float, default=0.7, metavar="T", help="0 for greedy")
    chat.add_argument("--top-p", type=float, default=0.95, metavar="P")
    chat.add_argument("--seed", type=int, metavar="N")
    chat.add_argument(
        "--points",
        type=_points_offered,
        metavar="P",
        help="points offered for each point of work, 1 to 10 (default: as you chose)",
    )
    chat.add_argument("--system", metavar="TEXT", help="system prompt")
    chat.add_argument(
        "--speculate",
        choices=["none", "lookup", "draft"],
        help="let the swarm check several drafted tokens at once: what followed the same words earlier in the text "
        "(lookup), or the words of a small model on this machine (draft). Busy servers get no drafts. (default: none)",
    )
    chat.add_argument("--draft-model", metavar="NAME", help="Hub name or local folder; same vocabulary, much smaller")
    chat.add_argument("--raw", action="store_true", help="continue the prompt as it stands, without a chat template")
    swarm = commands.add_parser(
        "swarm", help="who serves which blocks of a model; and private swarms: create, join, invite, rekey, leave, list"
    )
    swarm.add_argument("action", nargs="?", choices=_SWARM_ACTIONS, default=_SWARM_ACTIONS[0])
    swarm.add_argument("name", nargs="?", metavar="NAME", help="of a private swarm; for join the invitation, or -")
    _add_model(swarm)
    swarm.add_argument("--json", action="store_true")
    gpus = commands.add_parser("gpus", help="what this machine could serve with")
    gpus.add_argument("--json", action="store_true")
    foresee = commands.add_parser("forecast", help="what this machine could hold of which model, and what that costs")
    foresee.add_argument("--model", help="Hub name (default: all that are known)")
    foresee.add_argument("--json", action="store_true")
    bench = _add_bench(commands)
    # How a supervisor starts this program: as --no-gui, but what its owner can mend is waited for.
    worker = commands.add_parser("worker")
    # How `volunteer.hardware` asks a driver in a process that may crash, where there is no Python to start.
    commands.add_parser("hardware")
    for command in (demo, chat, swarm, gpus, foresee, bench, worker, *_add_verbs(commands)):
        _add_common(command, suppress=True)
    _take_environment(parser)
    for command in (chat, swarm):
        _take_environment(command)
    return parser


def _add_verbs(commands: Any) -> list[argparse.ArgumentParser]:
    status = commands.add_parser("status", help="what the running worker does, and why")
    status.add_argument("--watch", action="store_true", help="go on showing it")
    pause = commands.add_parser("pause", help="free the memory now, and stay away until resumed")
    mode = commands.add_parser("mode", help="serve always, never, or when the limits allow it (auto)")
    mode.add_argument("mode", choices=["always", "auto", "never"])
    for command in (pause, mode):
        command.add_argument("--for", dest="for_s", metavar="TIME", help="for 90s, 5m, 1h30m or 2d; then auto again")
    resume = commands.add_parser("resume", help="serve again when the limits allow it")
    finish = commands.add_parser("finish", help="let running sessions end, then pause")
    quit_parser = commands.add_parser("quit", help="say goodbye and end the worker")
    config = commands.add_parser("config", help="what you chose: list, get, set, reset")
    config.add_argument("action", nargs="?", choices=["list", "get", "set", "reset"], default="list")
    config.add_argument("name", nargs="?", metavar="NAME", help="as in limits.only_when_idle")
    config.add_argument("value", nargs="?", metavar="VALUE")
    for command in (status, pause, mode, resume, finish, config):
        command.add_argument("--json", action="store_true")
    blocks = commands.add_parser("blocks", help="the blocks on this disk: list, verify, or prune those not in use")
    blocks.add_argument("action", nargs="?", choices=["list", "verify", "prune"], default="list")
    blocks.add_argument("--json", action="store_true")
    points = commands.add_parser(
        "points", help="what this computer has earned and spent: show, verify every signature, or export the receipts"
    )
    points.add_argument("action", nargs="?", choices=["show", "verify", "export"], default="show")
    points.add_argument("file", nargs="?", type=Path, metavar="FILE", help="of export (default: standard output)")
    points.add_argument("--json", action="store_true")
    service = commands.add_parser("service", help="start with the computer: shows what it will write, and asks")
    service.add_argument("action", choices=["install", "remove"])
    service.add_argument("--kind", choices=["user", "system", "launchd", "autostart"], help="(default: what fits here)")
    service.add_argument("--yes", action="store_true", help="do not ask")
    logs = commands.add_parser("logs", help="what the worker has logged")
    logs.add_argument("-f", "--follow", action="store_true", help="go on showing it")
    logs.add_argument("-n", "--lines", type=_count, default=50, metavar="N")
    doctor = commands.add_parser("doctor", help="checks this computer, and says what to do")
    doctor.add_argument("--json", action="store_true")
    doctor.add_argument("--online", action="store_true", help="also try to reach the model hub")
    doctor.add_argument(
        "--report", type=Path, metavar="FILE", help="write all of it, without secrets, to be shown to others"
    )
    completion = commands.add_parser("completion", help="a script that completes commands in your shell")
    completion.add_argument("shell", choices=SHELLS)
    connect = commands.add_parser(
        "connect", help="show and steer the worker of another computer, through a command such as ssh"
    )
    connect.add_argument("--here", action="store_true", help="back to the worker of this computer")
    connect.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        metavar="COMMAND",
        help="as in: ssh lab volunteer bridge (or wsl.exe --exec volunteer bridge); without one, shows what is set",
    )
    bridge = commands.add_parser("bridge", help="joins the worker of this computer to a `connect` of another one")
    update_check = _add_update_check(commands)
    looking = [status, config, blocks, points, logs, doctor, completion, update_check]
    return [*looking, pause, mode, resume, finish, quit_parser, service, connect, bridge]


def _add_update_check(commands: Any) -> argparse.ArgumentParser:
    update_check: argparse.ArgumentParser = commands.add_parser(
        "update-check", help="asks the publisher for a newer version, and tells where it is; downloads nothing"
    )
    update_check.add_argument("--json", action="store_true")
    # For whoever publishes builds: a look at a manifest before the world sees it.
    update_check.add_argument("--address", metavar="URL", help="ask there instead (a publisher's trial)")
    update_check.add_argument("--key", action="append", metavar="HEX", help="believe this public key instead")
    return update_check


def _add_bench(commands: Any) -> argparse.ArgumentParser:
    bench: argparse.ArgumentParser = commands.add_parser(
        "bench", help="measured comparison with the same model run by transformers in one process"
    )
    # Not `choices`: argparse would not take the empty list then.
    bench.add_argument(
        "benchmarks", nargs="*", type=_benchmark, metavar="NAME", help=f"{', '.join(BENCHMARKS)} (default: all)"
    )
    bench.add_argument(
        "--all", action="store_true", help="those runs of them that this project has goals for, each with its model"
    )
    defaults = BenchOptions(data_dir=Path())
    bench.add_argument(
        "--model",
        default=defaults.model,
        help=f"{BLOOM_560M_SHAPE} (random weights, the default), {SMOLLM2} (the embedded one), a folder or a Hub name",
    )
    bench.add_argument("--revision", help="of the Hub repository")
    bench.add_argument(
        "--quantization", choices=["none", "int8", "nf4"], default=defaults.quantization, help="of the workers' weights"
    )
    servers = ", ".join(f"{name} {servers}" for name, servers in BENCHMARKS.items())
    bench.add_argument("--servers", type=_count, metavar="N", help=f"on loopback (default: {servers})")
    bench.add_argument("--chats", type=_count, nargs="+", metavar="N", help="at once, in concurrent (default: 8 16)")
    for name, what in (
        ("rounds", "after a warm-up"),
        ("new-tokens", "in an answer"),
        ("prompt-tokens", "in a question"),
        ("prefill-tokens", "in the long prompt of prefill"),
        ("lookup-tokens", "drafted at a time in speculation"),
        ("kv-tokens", "of KV room in kv"),
    ):
        default = getattr(defaults, name.replace("-", "_"))
        bench.add_argument(f"--{name}", type=_count, metavar="N", default=default, help=f"{what} (default: {default})")
    bench.add_argument(
        "--one-way-ms",
        type=float,
        metavar="MS",
        default=1000 * defaults.one_way_s,
        help="between all peers, in delay and speculation (default: 50)",
    )
    bench.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    bench.add_argument("--plot", type=Path, metavar="FILE", help="draw them there, as PNG")
    bench.add_argument("--out", type=Path, metavar="DIR", help="write results.txt, results.json and results.png there")
    # How bench starts itself again as the processes that it needs beside it.
    bench.add_argument("--reference", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    bench.add_argument("--relay", action="store_true", help=argparse.SUPPRESS)
    return bench


def _benchmark(name: str) -> str:
    if name not in BENCHMARKS:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(BENCHMARKS)}")
    return name


def _points_offered(text: str) -> float:
    try:
        points = float(text)
    except ValueError:
        points = 0.0
    if not 1 <= points <= 10:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 10")
    return points


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _add_common(parser: argparse.ArgumentParser, *, suppress: bool = False) -> None:
    # A default in a subparser would overwrite what was given before the command.
    missing = argparse.SUPPRESS if suppress else None
    parser.add_argument("--data-dir", metavar="DIR", default=missing, help="where this program keeps its files")
    parser.add_argument("-v", "--verbose", action="store_true", default=missing or False, help="log more")


def _add_model(parser: Any) -> None:
    parser.add_argument("--model", help="Hub name or local folder (default: the embedded model)")
    parser.add_argument("--revision", help="of the Hub repository")
    parser.add_argument("--dht-prefix", metavar="PREFIX", help="under which the model's blocks are announced")
    parser.add_argument("--initial-peers", nargs="+", metavar="MADDR", help="peers of the swarm to join")
    parser.add_argument("--private-swarm", metavar="NAME", help="of those this computer is in (default: as you chose)")


def _take_environment(parser: argparse.ArgumentParser) -> None:
    """Lets `VOLUNTEER_NUM_BLOCKS` and the like stand in for options that are not given."""
    for action in parser._actions:
        if not action.option_strings or action.dest in ("help", "version", "no_gui", "hidden", "data_dir"):
            continue
        text = os.environ.get(_ENVIRONMENT_PREFIX + action.dest.upper())
        if not text:
            continue
        if isinstance(action, argparse._StoreTrueAction):
            action.default = text.lower() not in ("0", "no", "false", "off")
        elif action.nargs == "+":
            action.default = text.split()
        else:
            # argparse converts a text default itself, where no option took its place.
            action.default = _FromEnvironment(text)
            action.type = _converter(action)


class _FromEnvironment(str):
    """The text of a variable that stands in for an option."""


def _converter(action: argparse.Action) -> Callable[[str], Any]:
    """The type of an option, which tells a variable of the environment that is wrong from words that are."""
    convert: Callable[[str], Any] = action.type if callable(action.type) else str

    def converted(text: str) -> Any:
        if not isinstance(text, _FromEnvironment):
            return convert(text)
        try:
            value = convert(text)
        except (ValueError, argparse.ArgumentTypeError):
            value = None
        if value is None or (action.choices is not None and value not in action.choices):
            name = _ENVIRONMENT_PREFIX + action.dest.upper()
            raise ConfigurationError(f"{name} cannot be {text[:80]!r}: `volunteer --help` says what it takes.")
        return value

    converted.__name__ = getattr(convert, "__name__", "value")  # in what argparse says of wrong words
    return converted


def _set_up_logging(verbose: bool, *, is_supervised: bool = False) -> None:
    handler = logging.StreamHandler()
    if is_supervised and not verbose:
        # A supervisor keeps this for as long as the worker runs, for its last words; the log has files of its own.
        handler.setLevel(logging.WARNING)
    logging.basicConfig(
        handlers=[handler],
        level=logging.DEBUG if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    if not verbose:
        logging.getLogger("volunteer").setLevel(logging.INFO)
    # Read when the libraries are imported; their own messages are for developers.
    os.environ.setdefault("HIVEMIND_LOGLEVEL", "DEBUG" if verbose else "ERROR")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "info" if verbose else "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "0" if verbose else "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("BITSANDBYTES_NOWELCOME", "1")


# Roles


def _open_window(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    try:
        from gui.application import run
    except ImportError as error:  # Qt loads libraries of the system, which a server may not have
        raise Unavailable(
            f"The window cannot be opened here ({error}): use `volunteer --no-gui` to serve, or try `volunteer demo`."
        ) from error
    # Options of serving are meant for the worker that the window starts.
    worker_options = [argument for argument in arguments if argument != "--hidden"]
    return run(default_data_dir(), hidden=options.hidden, worker_options=worker_options)


def _serve(options: argparse.Namespace, *, waits_when_failed: bool = False) -> int:
    _check_worker_is_here()
    _check_can_join()
    from volunteer.own_process import end_with_input
    from volunteer.worker import run_worker

    if options.ends_with_input:
        end_with_input()
    given = {
        "model": options.model,
        "revision": options.revision,
        "dht_prefix": options.dht_prefix,
        "blocks": options.blocks,
        "num_blocks": options.num_blocks,
        "initial_peers": tuple(options.initial_peers) if options.initial_peers else None,
        "new_swarm": options.new_swarm or None,
        "private_swarm": options.private_swarm,
        "host_maddrs": tuple(options.host_maddrs) if options.host_maddrs else None,
        "announce_maddrs": tuple(options.announce_maddrs) if options.announce_maddrs else None,
        "identity_file": options.identity,
        "device": options.device,
        "dtype": options.dtype,
        "quantization": options.quantization,
        "kv_tokens": options.kv_tokens,
        "session_idle_s": options.session_idle,
        "public_name": options.public_name,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    on_event = _print_json if options.json_events else _print_event
    return asyncio.run(run_worker(default_data_dir(), chosen, on_event, waits_when_failed=waits_when_failed))


def _check_worker_is_here() -> None:
    """Raises ConfigurationError: this folder is for a worker of another computer."""
    from volunteer.control.elsewhere import command_elsewhere, in_words

    if command := command_elsewhere(default_data_dir()):
        raise ConfigurationError(
            f"The worker of this folder is the one behind `{in_words(command)}`. `volunteer connect --here` ends that."
        )


def _say_which_computer() -> None:
    """For what shows the files of this computer, wherever the worker is."""
    from volunteer.control.elsewhere import command_elsewhere, in_words

    with contextlib.suppress(ConfigurationError):
        if command := command_elsewhere(default_data_dir()):
            print(
                f"The worker is the one behind `{in_words(command)}`; what this shows is of this computer alone.",
                file=sys.stderr,
                flush=True,
            )


def _check_can_join() -> None:
    """Raises ConfigurationError where the program was built without what a peer of a swarm needs, as on Windows."""
    import importlib.util

    if importlib.util.find_spec("hivemind") is None:
        raise ConfigurationError(
            "Windows itself cannot be part of a swarm: the peer-to-peer program that this needs (p2pd of hivemind) is "
            "not made for Windows. Here the app shows and steers a worker elsewhere: `volunteer connect ssh NAME "
            "volunteer bridge` for another computer, `volunteer connect wsl.exe --exec volunteer bridge` for one in "
            "WSL2, which is a beta."
        )


def _print_json(event: Event) -> None:
    print(event.to_json(), flush=True)


def _print_event(event: Event) -> None:
    from volunteer.events import Download, Failed, Listening, Paused, Reachable, Ready, SteppedDown, Stopped

    match event:
        case Listening(maddrs=maddrs):
            print("Others can join with --initial-peers and any of", flush=True)
            for address in maddrs:
                print(f"  {address}", flush=True)
        case Download(done_bytes=done, total_bytes=total, bytes_per_s=rate):
            print(f"Downloaded {done / 1e6:.0f} of {total / 1e6:.0f} MB, {rate / 1e6:.1f} MB/s", flush=True)
        case Ready(model=model, blocks=(start, end), reason=reason):
            print(f"Serving blocks {start}-{end - 1} of {model} {reason}. Ctrl-C to finish.", flush=True)
        case Reachable(advice=advice):
            print(advice, flush=True)
        case Paused(reason=reason):
            print(f"{reason}. `volunteer resume` goes on.", flush=True)
        case SteppedDown(blocks=(start, end), reason=reason):
            print(f"{reason} Trying blocks {start}-{end - 1}.", flush=True)
        case Failed(message=message):
            print(message, file=sys.stderr, flush=True)
        case Stopped(served_tokens=tokens, served_sessions=sessions):
            print(f"Stopped. Served {tokens} tokens in {sessions} sessions.", flush=True)


def _demo(options: argparse.Namespace) -> int:
    _check_can_join()
    from volunteer.demo import QUESTION, run_demo

    with _terminated_like_interrupted():
        return run_demo(options.question or QUESTION, out=sys.stdout)


def _bench(options: argparse.Namespace) -> int:
    if options.reference is not None:
        from volunteer.bench.reference import serve_reference

        serve_reference(options.reference)
        return ExitCode.OK

    if options.relay:
        from volunteer.bench.relay import serve_relays

        serve_relays()
        return ExitCode.OK

    _check_can_join()
    from volunteer.bench.run import run_bench

    bench_options = BenchOptions(
        data_dir=default_data_dir(),
        benchmarks=tuple(name for name in BENCHMARKS if name in (options.benchmarks or BENCHMARKS)),
        model=options.model,
        revision=options.revision,
        quantization=options.quantization,
        rounds=options.rounds,
        new_tokens=options.new_tokens,
        prompt_tokens=options.prompt_tokens,
        servers=options.servers,
        chats=tuple(options.chats or BenchOptions.chats),
        prefill_tokens=options.prefill_tokens,
        one_way_s=options.one_way_ms / 1000,
        lookup_tokens=options.lookup_tokens,
        kv_tokens=options.kv_tokens,
    )
    folder = options.out
    outputs = Outputs(
        text=folder / "results.txt" if folder else None,
        json=options.json or (folder / "results.json" if folder else None),
        plot=options.plot or (folder / "results.png" if folder else None),
    )
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    runs = judged(bench_options) if options.all else [bench_options]
    with _terminated_like_interrupted():
        return run_bench(runs, outputs, out=sys.stdout, messages=sys.stderr)


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Lets SIGTERM clean up as Ctrl-C does; the program then ends with that signal's code."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _open_model(options: argparse.Namespace, swarm: Invitation | None = None) -> SwarmModel:
    from volunteer.models.embedded import EMBEDDED_MODEL
    from volunteer.swarm_model import open_swarm_model

    return open_swarm_model(
        options.model or (swarm.model if swarm else None) or EMBEDDED_MODEL,
        models_dir=default_data_dir() / "models",
        revision=options.revision or (swarm.revision if swarm else None),
        dht_prefix=options.dht_prefix or (swarm.dht_prefix if swarm else None),
    )


def _private_swarm(options: argparse.Namespace) -> Invitation | None:
    """The private swarm that is meant: the one that is named, else the one that is served; None for public ones."""
    name = options.private_swarm
    if name is None and not options.initial_peers:
        name = load_settings(default_data_dir()).settings.serving.private_swarm
    if name is None:
        return None
    from volunteer.private_swarms import load_swarm

    return load_swarm(default_data_dir(), name)


def _chat(options: argparse.Namespace) -> int:
    _check_can_join()
    from volunteer.client.account import Account, Offer
    from volunteer.client.chat import Chat, Sampling, load_tokenizer
    from volunteer.client.model import SwarmForCausalLM
    from volunteer.points.wallet import Wallet

    sampling = Sampling(
        max_new_tokens=options.max_new_tokens,
        temperature=options.temperature,
        top_p=options.top_p,
        seed=options.seed,
        points=options.points,
        shrink_to_fit=True,
    )
    swarm = _private_swarm(options)
    opened = _open_model(options, swarm)
    speculation = _speculation(options, opened)
    remembered = peers_file(default_data_dir(), swarm.peers_name if swarm else opened.dht_prefix)
    peers = options.initial_peers or _own_worker() or (swarm.addresses if swarm else ())
    key = swarm.key if swarm else None
    offered = load_settings(default_data_dir()).settings.points.offered
    with (
        Wallet(default_data_dir()) as wallet,
        SwarmForCausalLM.join(
            opened,
            initial_peers=peers,
            peers_file=remembered,
            swarm_key=key,
            account=Account(wallet.open().identity, wallet.open().ledger, lambda: Offer.of(offered)),
        ) as model,
    ):
        model.connection.servers.patience_s = _CHAT_PATIENCE_S
        model.connection.servers.peers = _chosen_peers(options)
        model.connection.servers.on_no_route = _NoRouteNotice()
        chat = Chat(model, load_tokenizer(opened.checkpoint.folder), speculation)
        system = [{"role": "system", "content": options.system}] if options.system else []
        if options.prompt is not None:
            messages = [*system, {"role": "user", "content": options.prompt}]
            answer = _answer(chat, messages, sampling, raw=options.raw)
            # Half an answer must not look like one to whoever goes by the code.
            return 128 + signal.SIGINT if answer.finish_reason == "cancelled" else ExitCode.OK
        return _converse(chat, system, sampling, raw=options.raw)


def _chosen_peers(options: argparse.Namespace) -> PeerLists:
    from volunteer.swarm.peer_lists import PeerLists

    lists = load_settings(default_data_dir()).settings.swarm
    return PeerLists(frozenset(options.peers or lists.allow_peers), frozenset(lists.deny_peers))


def _own_worker() -> tuple[str, ...]:
    """The addresses of the worker that runs on this data folder: through it the swarm is found, too."""
    from volunteer.verbs import find_worker

    worker = find_worker(default_data_dir())
    return () if worker is None else worker.maddrs


class _NoRouteNotice:
    """Says once which blocks are missing, and once that the answer goes on."""

    def __init__(self) -> None:
        self._said = ""

    def __call__(self, error: NoRoute | None) -> None:
        text = "The route is back." if error is None else f"{error} Trying again until they return; Ctrl-C stops."
        if text != self._said:
            print(f"\n[{text}]", file=sys.stderr, flush=True)
        self._said = text


def _speculation(options: argparse.Namespace, target: SwarmModel) -> Speculation | None:
    from volunteer.client.speculation import PromptLookup, load_draft
    from volunteer.swarm_model import open_swarm_model

    match options.speculate or ("draft" if options.draft_model else "none"):
        case "lookup":
            return PromptLookup()
        case "draft":
            if not options.draft_model:
                raise UsageError("Say which model drafts with --draft-model.")
            draft = open_swarm_model(options.draft_model, models_dir=default_data_dir() / "models")
            return load_draft(draft, target)
    return None


def _answer(chat: Chat, messages: list[dict[str, str]], sampling: Sampling, *, raw: bool) -> Answer:
    """Shows an answer as it grows; Ctrl-C ends it, and not the program."""
    stop = threading.Event()
    previous = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        answer = chat.answer(
            chat.prompt(messages, raw=raw),
            sampling,
            on_text=lambda text: print(text, end="", flush=True),
            stop=stop,
        )
    finally:
        signal.signal(signal.SIGINT, previous)
    print(flush=True)
    hops = " -> ".join(f"{hop.peer_id[-6:]} {hop.start}-{hop.end - 1}" for hop in answer.route)
    drafts = (
        f", {len(answer.token_ids) / answer.passes:.1f} tokens a pass" if chat.speculation and answer.passes else ""
    )
    spent = f", {answer.spent_points:.3g} points spent" if answer.spent_points else ""
    print(
        f"[{len(answer.token_ids)} tokens, {answer.tokens_per_s:.1f} tokens/s{drafts}, first token after "
        f"{answer.first_token_s:.2f} s{spent}, route: you -> {hops}]",
        file=sys.stderr,
        flush=True,
    )
    return answer


def _converse(chat: Chat, system: list[dict[str, str]], sampling: Sampling, *, raw: bool) -> int:
    print(
        "Peers that compute your answer can recover its text. An empty line or Ctrl-D ends the chat.", file=sys.stderr
    )
    messages = list(system)
    while True:
        try:
            text = input("> ").strip()
        except EOFError:
            return ExitCode.OK
        if not text:
            return ExitCode.OK
        messages.append({"role": "user", "content": text})
        messages.append({"role": "assistant", "content": _answer(chat, messages, sampling, raw=raw).text})


def _swarm(options: argparse.Namespace) -> int:
    if options.action != _SWARM_ACTIONS[0]:
        return _swarm_verb(options)
    _check_can_join()
    from volunteer.client.connection import Connection
    from volunteer.server.block_selection import missing_blocks
    from volunteer.swarm.records import blocks_in_words

    swarm = _private_swarm(options)
    initial_peers = options.initial_peers or _own_worker() or (swarm.addresses if swarm else ())
    if not initial_peers:
        raise ConfigurationError("No worker is running; say which swarm to look at with --initial-peers.")
    model = _open_model(options, swarm)
    num_blocks = model.family.num_blocks
    key = swarm.key if swarm else None
    with Connection(initial_peers, model.dht_prefix, num_blocks, swarm_key=key) as connection:
        connection.run(connection.servers.refresh())
        servers = connection.servers.servers
        pings = connection.servers.pings_s
    missing = missing_blocks(servers, num_blocks)
    if options.json:
        rows = [
            {
                "peer_id": server.peer_id,
                "blocks": [server.start, server.end],
                "ping_s": pings.get(server.peer_id),
                **server.record.model_dump(mode="json", exclude={"next_pings"}),
            }
            for server in servers.values()
        ]
        summary = {
            "dht_prefix": model.dht_prefix,
            "num_blocks": num_blocks,
            "missing": [[gap.start, gap.stop] for gap in missing],
            "servers": rows,
        }
        print(json.dumps(summary, allow_nan=False, default=str))
        return ExitCode.OK
    for server in sorted(servers.values(), key=lambda each: (each.start, each.peer_id)):
        name = server.record.public_name or ""
        ping = pings.get(server.peer_id, float("inf"))
        print(
            f"{server.start:>4}-{server.end - 1:<4} {server.record.state.name.lower():<8} "
            f"{server.record.throughput:>8.1f} tokens/s {ping * 1000:>6.0f} ms  {server.peer_id}  {name}"
        )
    print(f"Nobody serves {blocks_in_words(missing)}." if missing else f"All {num_blocks} blocks are served.")
    return ExitCode.OK


def _swarm_verb(options: argparse.Namespace) -> int:
    from volunteer.swarm_verbs import run_swarm_verb

    return run_swarm_verb(
        options.action,
        options.name,
        default_data_dir(),
        model=options.model,
        revision=options.revision,
        dht_prefix=options.dht_prefix,
        out=_print,
    )


def _status(options: argparse.Namespace) -> int:
    from volunteer.verbs import show_status, watch_status

    show = watch_status if options.watch else show_status
    return show(default_data_dir(), as_json=options.json, out=_print)


def _verb(options: argparse.Namespace) -> int:
    from volunteer.control.lifecycle import Mode
    from volunteer.verbs import parse_duration, run_verb

    for_s = getattr(options, "for_s", None)
    mode = getattr(options, "mode", None)
    return run_verb(
        options.command,
        default_data_dir(),
        for_s=None if for_s is None else parse_duration(for_s),
        mode=None if mode is None else Mode(mode),
        as_json=getattr(options, "json", False),
        out=_print,
    )


def _config(options: argparse.Namespace) -> int:
    from volunteer.verbs import change_setting, list_settings, show_setting

    data_dir = default_data_dir()
    match (options.action, options.name, options.value):
        case ("list", None, None):
            return list_settings(data_dir, as_json=options.json, out=_print)
        case ("get", str(name), None):
            return show_setting(data_dir, name, as_json=options.json, out=_print)
        case ("set", str(name), str(value)):
            return change_setting(data_dir, name, value, out=_print)
        case ("reset", str(name), None):
            return change_setting(data_dir, name, None, out=_print)
    raise UsageError("Write config list, config get NAME, config set NAME VALUE or config reset NAME.")


def _blocks(options: argparse.Namespace) -> int:
    from volunteer.models.stored_parts import stored_parts

    _say_which_computer()
    stored = stored_parts(default_data_dir() / "models")
    bad = [part for part in stored if options.action == "verify" and part.is_whole and not part.file.is_unchanged()]
    if options.action == "prune":
        with _blocks_in_use() as used_since_s:
            stored = [part for part in stored if part.used_s < used_since_s]
            for part in stored:
                part.file.delete()
    if options.json:
        rows = [
            {
                "model": part.model,
                "revision": part.folder.name,
                "part": part.part,
                "bytes": part.num_bytes,
                "is_whole": part.is_whole and part not in bad,
            }
            for part in stored
        ]
        _print(json.dumps(rows))
        return ExitCode.FAILURE if bad else ExitCode.OK
    for part in stored:
        state = "changed on the disk" if part in bad else "" if part.is_whole else "in part"
        _print(f"{part.model}  {part.part:<12} {part.num_bytes / 1e6:>8.1f} MB  {state}".rstrip())
    did = "freed" if options.action == "prune" else "on this disk"
    _print(f"{len(stored)} parts, {sum(part.num_bytes for part in stored) / 1e9:.2f} GB {did}")
    return ExitCode.FAILURE if bad else ExitCode.OK


@contextlib.contextmanager
def _blocks_in_use() -> Iterator[float]:
    """Since when the worker of this computer has used blocks, as Unix time; no worker starts where none runs.

    Raises:
        TryLater: a worker runs and does not say since when.
    """
    from volunteer.control.elsewhere import command_elsewhere
    from volunteer.own_process import AlreadyRunning, only_worker
    from volunteer.verbs import find_worker

    data_dir = default_data_dir()
    worker = None if command_elsewhere(data_dir) else find_worker(data_dir)
    if worker is not None:
        yield worker.started_s
        return
    with contextlib.ExitStack() as alone:
        try:
            alone.enter_context(only_worker(data_dir))
        except AlreadyRunning as error:
            raise TryLater(
                "A worker runs here and does not answer, so nothing was deleted: nobody knows which blocks it uses. "
                "Try again later."
            ) from error
        yield math.inf


def _points(options: argparse.Namespace) -> int:
    from volunteer.points_verbs import export_points, show_points, verify_points

    if options.file is not None and options.action != "export":
        raise UsageError("A file is named only with points export.")
    _say_which_computer()
    match options.action:
        case "export":
            return export_points(default_data_dir(), options.file, out=_print)
        case "verify":
            return verify_points(default_data_dir(), as_json=options.json, out=_print)
    return show_points(default_data_dir(), as_json=options.json, out=_print)


def _service(options: argparse.Namespace) -> int:
    from volunteer.service import Kind, default_kind, install, remove

    kind = Kind(options.kind) if options.kind else default_kind()
    ask = input if sys.stdin.isatty() else None
    if options.action == "remove":
        return remove(kind, consent=options.yes, out=sys.stdout, ask=ask)
    data_dir = Path(options.data_dir) if options.data_dir else None
    return install(kind, data_dir=data_dir, consent=options.yes, out=sys.stdout, ask=ask)


def _logs(options: argparse.Namespace) -> int:
    from volunteer.logs import follow, log_path

    _say_which_computer()
    for line in follow(log_path(default_data_dir()), options.lines, None if options.follow else lambda: False):
        _print(line)
    return ExitCode.OK


def _doctor(options: argparse.Namespace) -> int:
    from volunteer.doctor import run
    from volunteer.verbs import find_worker

    data_dir = default_data_dir()
    return run(
        data_dir,
        out=sys.stdout,
        online=options.online,
        as_json=options.json,
        report_file=options.report,
        worker_answers=lambda: find_worker(data_dir) is not None,
    )


def _update_check(options: argparse.Namespace) -> int:
    from volunteer.update_notice import run_update_check

    return run_update_check(
        default_data_dir(), address=options.address, keys=options.key, as_json=options.json, out=_print
    )


def _connect(options: argparse.Namespace) -> int:
    from volunteer.control.elsewhere import command_elsewhere, in_words, set_elsewhere
    from volunteer.verbs import show_status

    data_dir = default_data_dir()
    if options.here and options.words:
        raise UsageError("Say either --here or a command.")
    if options.here or options.words:
        set_elsewhere(data_dir, options.words[1:] if options.words[:1] == ["--"] else options.words)
    command = command_elsewhere(data_dir)
    if not command:
        _print("The worker is the one of this computer.")
        return ExitCode.OK
    _print(f"The worker is the one behind: {in_words(command)}")
    return show_status(data_dir, as_json=False, out=_print)


def _bridge() -> int:
    from volunteer.control.bridge import run_bridge

    return run_bridge(default_data_dir())


def _completion(options: argparse.Namespace) -> int:
    from volunteer.completion import completion_script

    _print(completion_script(_parser(), options.shell))
    return ExitCode.OK


def _print(text: str) -> None:
    print(text, flush=True)


def _forecast(options: argparse.Namespace) -> int:
    from volunteer.forecast_verb import show_forecast

    return show_forecast(default_data_dir(), options.model, as_json=options.json, out=print)


def _gpus(options: argparse.Namespace) -> int:
    from volunteer.hardware import describe, detect, to_json

    hardware = detect(default_data_dir())
    print(to_json(hardware) if options.json else describe(hardware))
    return ExitCode.OK
