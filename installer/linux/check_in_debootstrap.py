"""Installs the .deb in a fresh Debian and lives with it: `sudo python installer/linux/check_in_debootstrap.py --deb X`.

As an owner would: installs an older build, earns points with it, upgrades while it runs, opens the app from its menu
entry, practises without a network, serves, pauses from the tray, quits; removes it, and looks for what was left. Needs
root, debootstrap, Xvfb, trayer, xdotool and ImageMagick. Prints one line a step and keeps pictures of the screen.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
if str(ROOT) not in sys.path:  # started by its file
    sys.path.insert(0, str(ROOT))

from installer.linux.debian_root import CommandFailed, DebianRoot, in_own_namespaces, leave_network  # noqa: E402
from installer.linux.screen import NotSeen, Screen  # noqa: E402

PACKAGE = "petals-volunteer"
PLACE = f"/opt/{PACKAGE}"
TITLE = "Petals Volunteer"
OWNER, NEWCOMER = "owner", "newcomer"
_DATA = f".local/share/{PACKAGE}"
_QUESTION = "What is the capital of France?"
_ANSWER = "Paris"
_START_S = 300.0
_END_S = 90.0
_OLDER_VERSION = "0.0.1"
_UNPACKED = f"/home/{NEWCOMER}/unpacked"
_LOOK_S = 3.0
# Where to click. The first run's buttons stand at the right end of a column of 680 px, whatever the fonts.
_GO_ON = {"right_of_middle_px": 320, "above_foot_px": 28}
_COMPOSER = {"right_of_middle_px": 100, "above_foot_px": 53}
_PRACTISE = {"right_of_middle_px": 190, "above_foot_px": 28}


class Wrong(Exception):
    """Something is not as it should be."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Installs the .deb in a fresh Debian and lives with it.")
    parser.add_argument("--deb", type=Path, required=True)
    parser.add_argument("--older-deb", type=Path, help="to upgrade from (default: the same one under an older number)")
    parser.add_argument("--archive", type=Path, help="also install this .tar.xz for one user, and take it away again")
    parser.add_argument("--suite", default="bookworm", help="of Debian (default: bookworm)")
    parser.add_argument("--kept-root", type=Path, metavar="TAR", help="a fresh root to begin with, made where missing")
    parser.add_argument("--pictures", type=Path, default=ROOT / "build" / "pictures", help="of the screen go there")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("This makes a root of its own, which only the administrator can: use sudo.", file=sys.stderr)
        return 77
    missing = [
        name
        for name in ("debootstrap", "Xvfb", "trayer", "xdotool", "import", "dpkg-deb")
        if shutil.which(name) is None
    ]
    if missing:
        print(f"Missing here: {', '.join(missing)}", file=sys.stderr)
        return 69
    in_own_namespaces(sys.argv)
    with tempfile.TemporaryDirectory(prefix="volunteer-debian-") as scratch:
        deb = options.deb.resolve()
        older = options.older_deb.resolve() if options.older_deb else under_older_number(deb, Path(scratch))
        with DebianRoot(Path(scratch) / "root", options.suite, options.kept_root) as root:
            archive = options.archive.resolve() if options.archive else None
            return 0 if Life(root, deb, older, archive, options.pictures).run() else 1


def under_older_number(deb: Path, scratch: Path) -> Path:
    tree, older = scratch / "older", scratch / f"{PACKAGE}_{_OLDER_VERSION}_older.deb"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub("^Version: .*", f"Version: {_OLDER_VERSION}", control.read_text(), flags=re.MULTILINE))
    subprocess.run(["dpkg-deb", "-Zgzip", "-z1", "--build", tree, older], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    return older


class Life:
    """Of the package in the root, step by step."""

    def __init__(self, root: DebianRoot, deb: Path, older: Path, archive: Path | None, pictures: Path) -> None:
        self._root = root
        self._deb, self._older, self._archive = deb, older, archive
        self._pictures = pictures

    def run(self) -> bool:
        """Whether all went well; ends at the first thing that did not, on which the rest would build."""
        try:
            self._live()
        except Wrong:
            return False
        print("All steps passed.")
        return True

    def _live(self) -> None:
        root = self._root
        with self._step("a fresh system with two ordinary users"):
            root.apt("update")
            root.apt("install", "xz-utils")  # as on every desktop, for the archive
            for user in (OWNER, NEWCOMER):
                root.run("useradd", "--create-home", "--shell", "/bin/bash", user)
            for name, deb in (("older.deb", self._older), ("new.deb", self._deb)):
                shutil.copy(deb, root.folder / "root" / name)
            before = root.files()
        with self._step("apt install ./older.deb brings what it needs"):
            root.apt("install", "/root/older.deb")
            root.apt("install", "--download-only", "/root/new.deb")  # it may need what the older one did not
            self._expect("volunteer" in root.run("which", "volunteer", user=OWNER), "The command is not on the path.")
        leave_network()
        with self._step("a user serves, chats and changes a setting with the older build"):
            worker = self._start_worker()
            self._volunteer("config", "set", "limits.nice", "7")
            said = self._volunteer("chat", "--temperature", "0", _QUESTION)
            self._expect(_ANSWER in said, f"The chat answered: {said}")
            kept = self._what_is_kept()
        with self._step("apt install ./new.deb upgrades it, and ends what ran from the old files"):
            said = root.apt("install", "/root/new.deb")
            self._expect("is being ended" in said, f"The running worker was not mentioned:\n{said}")
            self._until(lambda: worker.poll() is not None, "the old worker has ended", _END_S)
            self._nothing_runs()
        with self._step("settings, points and blocks are those of before"):
            now = self._what_is_kept()
            self._expect(now == kept, f"Kept {now}, not {kept}.")
            self._volunteer("points", "verify")
            self._volunteer("blocks", "verify")
        with Screen(self._pictures) as screen:
            try:
                self._with_a_screen(screen)
            except Wrong:
                screen.picture("failed")
                raise
        self._removal(before)
        if self._archive is not None:
            self._for_one_user(self._archive)

    def _with_a_screen(self, screen: Screen) -> None:
        with self._step("the menu entry opens the first page"):
            app = self._open_app(screen, NEWCOMER)
            window = screen.window(TITLE)
            time.sleep(_LOOK_S)
            screen.picture("first-page")
        with self._step("practice mode answers without a network"):
            screen.click(window, **_PRACTISE)
            practice = screen.window("Practice mode")
            folder = f"/home/{NEWCOMER}/{_DATA}/practice/first"
            self._until(lambda: self._state(NEWCOMER, folder) == "serving", "practice is ready", _START_S)
            screen.picture("practice")
            screen.press(practice, "Down", "Return")  # from Home to Chat
            screen.click(practice, **_COMPOSER)
            screen.write(practice, _QUESTION)
            screen.press(practice, "Return")
            self._until(lambda: bool(self._answer_kept_in(folder)), "the question is answered in the window", _END_S)
            time.sleep(_LOOK_S)
            screen.picture("practice-chat")
            # The window lets the model vary its words; the same swarm's most likely ones are always the same.
            asking = ["chat", "--temperature", "0", "--data-dir", folder, "--dht-prefix", "practice", _QUESTION]
            said = self._volunteer(*asking, user=NEWCOMER)
            self._expect(_ANSWER in said, f"Practice mode answered: {said}")
            screen.press(practice, "ctrl+q")
            self._until(lambda: app.poll() is not None, "the app has ended", _END_S)
            self._nothing_runs()
            said = self._volunteer("demo", user=NEWCOMER)
            self._expect(_ANSWER in said, f"volunteer demo answered: {said}")
        with self._step("the app serves after consent"):
            for name, value in (("serving.new_swarm", "true"), ("serving.model", "SmolLM2-135M-Instruct")):
                self._volunteer("config", "set", name, value, user=NEWCOMER)
            app = self._open_app(screen, NEWCOMER)
            window = screen.window(TITLE)
            for page in ("welcome", "hardware", "consent"):
                time.sleep(_LOOK_S)
                screen.picture(page)
                screen.click(window, **_GO_ON)
            self._until(lambda: self._state(NEWCOMER) == "serving", "the worker serves", _START_S)
            time.sleep(_LOOK_S)
            screen.picture("serving")
        with self._step("the tray's menu pauses it"):
            screen.choose_in_tray("Down", "Return")
            self._until(lambda: self._state(NEWCOMER) == "paused", "the worker is paused", _END_S)
            screen.picture("paused")
        with self._step("the menu entry's actions resume and pause it"):
            for action, state in (("Resume", "serving"), ("Pause", "paused")):
                self._root.run(*self._exec_of(f"Desktop Action {action}"), user=NEWCOMER)
                self._until(lambda: self._state(NEWCOMER) == state, f"the worker is {state}", _START_S)  # noqa: B023
        with self._step("it quits, and no process is left"):
            screen.press(screen.window(TITLE), "ctrl+q")
            self._until(lambda: app.poll() is not None, "the app has ended", _END_S)
            self._expect(app.poll() == 0, f"The app ended with {app.poll()}.")
            self._nothing_runs()

    def _removal(self, before: set[str]) -> None:
        root = self._root
        service_data = root.folder / "var/lib" / PACKAGE
        with self._step("removal ends what runs and leaves the users' data alone"):
            self._start_worker()
            kept = self._what_is_kept()
            root.apt("remove", PACKAGE)
            self._nothing_runs()
            self._expect(not (root.folder / PLACE[1:]).exists(), f"{PLACE} is still there.")
            self._expect(not (root.folder / "usr/bin/volunteer").is_symlink(), "The command is still there.")
        with self._step("purge keeps blocks and points unless it is told otherwise, and says so"):
            service_data.mkdir()
            said = root.apt("purge", PACKAGE)
            self._expect(f"stay in /home/{OWNER}/{_DATA}" in said, f"Nothing was said of the data at home:\n{said}")
            self._expect("stay in /var/lib" in said and service_data.is_dir(), "The service's data did not stay.")
            left = sorted(path for path in root.files() - before if _is_ours(path))
            self._expect(not left, f"Left behind: {left}")
        with self._step("purge deletes the service's data when it is told to"):
            root.apt("install", "/root/new.deb")
            self._expect(self._what_is_kept() == kept, "A new installation does not find what the old one left.")
            answer = f"{PACKAGE} {PACKAGE}/delete-data boolean true"
            root.run("sh", "-c", f"echo {answer} | debconf-set-selections")
            root.apt("purge", PACKAGE)
            self._expect(not service_data.exists(), "The service's data is still there.")
            self._expect((root.folder / f"home/{OWNER}/{_DATA}/ledger.sqlite").is_file(), "A user's points are gone.")

    def _for_one_user(self, archive: Path) -> None:
        root, home = self._root, self._root.folder / "home" / NEWCOMER
        install = f"/home/{NEWCOMER}/.local/opt/{PACKAGE}/install.sh"

        def files() -> set[str]:
            return {
                str(path) for path in home.rglob("*") if not path.is_dir() and not path.is_relative_to(home / _DATA)
            }

        with self._step("a user installs the archive without an administrator, and practises"):
            before = files()
            root.run("mkdir", _UNPACKED, user=NEWCOMER)
            shutil.copy(archive, root.folder / "archive.tar.xz")
            root.run("tar", "-xf", "/archive.tar.xz", "-C", _UNPACKED, "--strip-components=1", user=NEWCOMER)
            root.run(f"{_UNPACKED}/install.sh", user=NEWCOMER)
            said = root.run(f"/home/{NEWCOMER}/.local/bin/volunteer", "demo", user=NEWCOMER)
            self._expect(_ANSWER in said, f"volunteer demo answered: {said}")
        with self._step("and takes it away again, all but the data"):
            root.run(install, "--uninstall", user=NEWCOMER)
            shutil.rmtree(root.folder / _UNPACKED[1:])
            self._expect(files() == before, f"Left behind: {sorted(files() - before)}")
            self._expect((home / _DATA).is_dir(), "The data is gone.")

    # Parts of steps

    def _start_worker(self) -> subprocess.Popen[bytes]:
        command = ("volunteer", "--no-gui", "--new-swarm", "--host-maddrs", "/ip4/127.0.0.1/tcp/0")
        log = (self._pictures.parent / "worker.log").open("ab")
        worker = subprocess.Popen(self._root.command(*command, user=OWNER), stdout=log, stderr=log)
        self._until(lambda: self._state(OWNER) == "serving", "the worker serves", _START_S)
        return worker

    def _open_app(self, screen: Screen, user: str) -> subprocess.Popen[bytes]:
        log = (self._pictures.parent / "app.log").open("ab")
        command = self._root.command(*self._exec_of("Desktop Entry"), user=user, DISPLAY=screen.display)
        return subprocess.Popen(command, stdout=log, stderr=log)

    def _exec_of(self, group: str) -> list[str]:
        entry = (self._root.folder / f"usr/share/applications/{PACKAGE}.desktop").read_text(encoding="utf-8")
        part = entry.partition(f"[{group}]\n")[2].partition("\n[")[0]
        found = re.search(r"^Exec=(.*)$", part, re.MULTILINE)
        if found is None:
            raise Wrong(f"The menu entry has no {group}.")
        return shlex.split(found[1])

    def _what_is_kept(self) -> dict[str, object]:
        data = self._root.folder / f"home/{OWNER}/{_DATA}"
        points = json.loads(self._volunteer("points", "--json"))
        return {
            "nice": self._volunteer("config", "get", "limits.nice").strip(),
            "identity": (data / "identity.key").read_bytes(),
            "spent": points.get("spent"),
            "blocks": self._volunteer("blocks", "list"),
            "demo model": (data / "models/SmolLM2-135M-Instruct/model.safetensors").stat().st_size,
        }

    def _volunteer(self, *words: str, user: str = OWNER) -> str:
        return self._root.run("volunteer", *words, user=user)

    def _state(self, user: str, data_dir: str | None = None) -> str | None:
        state: str | None = self._status(user, data_dir).get("state")
        return state

    def _answer_kept_in(self, data_dir: str) -> str:
        """What the model has said, as the window keeps it; nothing before it has said all of it."""
        file = self._root.folder / data_dir[1:] / "conversations.sqlite"
        if not file.exists():
            return ""
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT text FROM message WHERE role = 'assistant' AND state = 'complete'")
            return "".join(text for (text,) in rows)

    def _status(self, user: str, data_dir: str | None) -> dict[str, Any]:
        """Empty where no worker runs."""
        where = ("--data-dir", data_dir) if data_dir else ()
        said = self._root.run("volunteer", "status", "--json", *where, user=user, code=None)
        try:
            status: dict[str, Any] = json.loads(said)
        except ValueError:
            return {}
        return status

    def _nothing_runs(self) -> None:
        self._until(lambda: not self._root.processes(PLACE), "nothing of the program runs", _END_S)

    def _until(self, is_so: Callable[[], bool], what: str, timeout_s: float) -> None:
        ends = time.monotonic() + timeout_s
        while not is_so():
            if time.monotonic() > ends:
                raise Wrong(f"Not within {timeout_s:.0f} s: {what}.")
            time.sleep(0.5)

    def _expect(self, condition: bool, otherwise: str) -> None:
        if not condition:
            raise Wrong(otherwise)

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        except (Wrong, CommandFailed, NotSeen, OSError, subprocess.SubprocessError, LookupError, ValueError) as error:
            print(f"FAILED {name}: {error}", flush=True)
            raise Wrong(name) from error
        else:
            print(f"ok     {name} ({time.monotonic() - began:.0f} s)", flush=True)


def _is_ours(path: str) -> bool:
    """Whether somebody would take it for a piece of the program; the package manager's own notes and logs are not."""
    if path.startswith(("/home/", "/root/", "/var/log/", "/var/cache/", "/var/lib/dpkg/", "/var/lib/apt/")):
        return False
    return PACKAGE in path and not path.startswith(f"/var/lib/{PACKAGE}")


if __name__ == "__main__":
    sys.exit(main())
