"""What an owner does with the window, for `driven_window.py`. Each step says what is waited for."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from functools import partial

from driven_window import Condition, Player, Scenario
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLineEdit, QPlainTextEdit, QRadioButton, QTextEdit

from gui import theme
from gui.widgets.chat.chat_page import ChatPage
from gui.widgets.chat.route_strip import RouteStrip
from gui.widgets.first_run import FirstRun
from gui.widgets.server_view import ServerView
from gui.widgets.settings_page import SettingsPage
from gui.widgets.swarm_page import SwarmPage
from volunteer.local_swarm import program_command

Steps = Iterator[tuple[str, Condition]]

QUESTION = "What is the capital of France?"
UNDERSTOOD, STOP = "I understand, send my question", "Stop the answer (Esc)"
GUESTS_QUESTIONS = ("How do bees find flowers?", "What is a petal?", "Write about a garden in spring.")
MODEL, NEIGHBOUR = "VOLUNTEER_TEST_MODEL", "VOLUNTEER_TEST_NEIGHBOUR"
"""Environment variables: the Hub name of a model, and the address of a worker that serves its other blocks."""


def _go(player: Player, page: str) -> None:
    player.click(page)


def _question_fields(player: Player) -> list[QTextEdit | QPlainTextEdit]:
    fields = [*player.all_of(QPlainTextEdit), *player.all_of(QTextEdit)]
    return [field for field in fields if field.accessibleName() == "Question" and field.isEnabled()]


def _ask(player: Player, question: str) -> Steps:
    _go(player, "Chat")
    yield "a place to ask", lambda: _question_fields(player)
    player.type_text(_question_fields(player)[0], question)
    yield "leave to send it", lambda: player.button("Send (Enter)")
    player.press_return(_question_fields(player)[0])
    yield "the notice, or an answer", lambda: player.button(UNDERSTOOD) or player.button(STOP)
    if player.button(UNDERSTOOD):
        player.picture("chat-notice")
        player.click(UNDERSTOOD)
    yield "an answer", lambda: player.button(STOP)
    yield "its route", lambda: any("here" in each for each in _route_words(player)) or not player.button(STOP)
    player.picture("chat-answering")


def _answered(player: Player) -> Steps:
    yield "the whole answer", lambda: player.button(STOP) is None


def _route_words(player: Player) -> list[str]:
    return [strip.accessibleName() + strip.accessibleDescription() for strip in player.all_of(RouteStrip)]


def _choice(player: Player, words: str) -> list[QRadioButton]:
    return [each for each in player.all_of(QRadioButton) if words in each.text()]


def _start_serving(player: Player) -> Steps:
    """The first run, with the model of the program and a swarm that begins here."""
    yield "the first page", lambda: player.button("Continue")
    player.picture("first-run-1")
    if player.status is not None:
        raise AssertionError("a worker was started before its owner agreed")
    player.click("Continue")
    yield "the models", lambda: _choice(player, "SmolLM2")
    for words in ("SmolLM2", "Begin a new one"):
        for choice in _choice(player, words):
            choice.click()
    yield "leave to go on", lambda: player.button("Continue")
    player.picture("first-run-2")
    player.click("Continue")
    yield "the question", lambda: player.button("Agree and start")
    player.picture("first-run-3")
    player.click("Agree and start")
    yield "serving", lambda: player.state() == "serving"
    player.picture("home-serving")


def practice(player: Player) -> Steps:
    """From the first page to an answer, and back."""
    yield "the first page", lambda: player.button("Practise on this computer alone")
    player.click("Practise on this computer alone")
    yield "a worker that serves", lambda: player.state() == "serving"
    player.picture("practice-home")
    yield from _ask(player, QUESTION)
    yield from _answered(player)
    player.picture("practice-answer")
    if "Paris" not in player.answers():
        chosen = player.all_of(ChatPage)[0]._chat.options
        raise AssertionError(f"the answer makes no sense: {player.answers()}; made with {chosen}")
    _go(player, "Swarm")
    yield "two servers", lambda: len(player.desk.workspace.swarm.servers) == 2
    player.picture("practice-swarm")
    player.click("Leave practice mode")
    yield "the first page again", lambda: player.button("Practise on this computer alone")
    player.desk.quit()


def life(player: Player) -> Steps:
    """First run, download, serve, chat, pause from the tray, resume, a crash of the worker, quit."""
    yield from _start_serving(player)
    settings = player.desk.workspace.settings
    settings.set("serving.new_swarm", "false")
    settings.set("serving.initial_peers", os.environ[NEIGHBOUR])
    settings.set("serving.model", os.environ[MODEL])
    yield "a download", lambda: player.state() == "downloading" and player.status and player.status.download
    player.picture("home-downloading")
    yield "serving again", lambda: player.state() == "serving"
    yield from _ask(player, QUESTION)
    yield from _answered(player)
    player.picture("chat-answered")
    _go(player, "Home")
    yield from _pause_from_tray(player)
    player.picture("home-paused")
    player.click("Resume")
    yield "serving after the pause", lambda: player.state() == "serving"
    crashed = player.status.pid if player.status else 0
    os.kill(crashed, 9)
    yield "word of the crash", lambda: "The worker ended" in player.words()
    player.picture("home-crashed")
    yield (
        "serving after the crash",
        lambda: player.state() == "serving" and player.status is not None and player.status.pid != crashed,
    )
    _go(player, "History")
    yield "history", lambda: "Tokens a second" in player.words()
    player.picture("history")
    if player.desk.tray is not None:
        player.desk.tray.quit.trigger()


def _pause_from_tray(player: Player) -> Steps:
    """With the pointer where the panel has drawn the flower."""
    tray = player.desk.tray
    if tray is None or not tray.is_there():
        raise AssertionError("there is no tray")
    yield "the flower in the panel", lambda: tray.icon.geometry().width() > 0
    place = tray.icon.geometry().center()
    subprocess.run(["xdotool", "mousemove", str(place.x()), str(place.y()), "click", "3"], check=True)
    yield "the menu of the tray", lambda: tray.icon.contextMenu().isVisible()
    if player.pictures is not None:
        tray.icon.contextMenu().grab().save(str(player.pictures / "tray-menu.png"))
    where = tray.icon.contextMenu().mapToGlobal(tray.icon.contextMenu().actionGeometry(tray.pause).center())
    subprocess.run(["xdotool", "mousemove", str(where.x()), str(where.y()), "click", "1"], check=True)
    yield "the pause", lambda: player.state() == "paused"


def ask_and_be_killed(player: Player) -> Steps:
    """Waits for its end in the midst of a long answer."""
    yield "serving", lambda: player.state() == "serving"
    yield from _ask(player, "Tell me a long story about a garden and its flowers.")
    print("KILL ME", flush=True)
    yield "the end", lambda: False


def come_back(player: Player) -> Steps:
    """After a kill of the window: the worker is the same, and the answer is there, whole."""
    yield "the worker", lambda: player.state() == "serving"
    print(f"worker {player.status.pid if player.status else 0}", flush=True)
    _go(player, "Chat")
    yield "the chats", lambda: player.all_of(QLineEdit)
    yield from _answered(player)
    player.picture("chat-after-kill")
    QTest.keyClick(player.desk.window, Qt.Key.Key_Escape)
    player.desk.quit()


def every_page(player: Player) -> Steps:
    """Each page in both themes, in practice mode, where there is something to see on all of them."""
    workspace = player.desk.workspace
    yield "the first page", lambda: player.all_of(FirstRun)
    for theme_name in ("light", "dark"):
        yield from _wear(player, theme_name)
        for page in (1, 2, 3):
            yield from _settled()
            if page == 2:
                yield "the models", lambda: _choice(player, "BLOOM")
                _choice(player, "BLOOM")[0].click()
                player.all_of(FirstRun)[0].hardware.swarm.new.click()  # whatever language it speaks
                yield from _settled()
            player.picture(f"first-run-{page}-{theme_name}")
            first_run = player.all_of(FirstRun)[0]
            (first_run.forward if page < 3 else first_run.back).click()
        player.all_of(FirstRun)[0].back.click()
    player.all_of(FirstRun)[0].practice.click()
    yield "a worker that serves", lambda: player.desk.workspace is not workspace and player.state() == "serving"
    yield from _wear(player, "light")
    player.go("chat")
    yield from _ask_at_once(player, QUESTION)
    yield "two servers", lambda: len(player.desk.workspace.swarm.servers) == 2
    yield from _serve_guests(player)
    for theme_name in ("light", "dark"):
        yield from _wear(player, theme_name)
        for page in ("home", "chat", "swarm", "history", "settings"):
            player.go(page)
            yield from _settled()
            player.picture(f"{page}-{theme_name}")
        player.go("chat")
        player.all_of(ChatPage)[0].head.sheet.click()
        yield from _settled()
        player.picture(f"chat-options-{theme_name}")
        player.all_of(ChatPage)[0].sheet.close_button.click()
        player.go("swarm")
        player.all_of(ServerView)[0].selectRow(0)
        yield from _settled()
        player.picture(f"swarm-details-{theme_name}")
        player.all_of(SwarmPage)[0].parts.buttons["private"].click()
        yield from _settled()
        player.picture(f"private-swarms-{theme_name}")
        player.all_of(SwarmPage)[0].parts.buttons["map"].click()
        player.go("settings")
        settings = player.all_of(SettingsPage)[0]
        for key in settings._keys:
            settings.show_section(key)
            yield from _settled()
            player.picture(f"settings-{key}-{theme_name}")
    player.desk.quit()


def _wear(player: Player, theme_name: str) -> Steps:
    settings = player.desk.workspace.settings
    for name, text in (
        ("app.theme", theme_name),
        ("app.language", os.environ.get("VOLUNTEER_PICTURES_LANGUAGE") or "none"),
        ("app.text_scale", os.environ.get("VOLUNTEER_PICTURES_TEXT_SCALE", "1")),
    ):
        settings.set(name, text)
    yield f"the {theme_name} theme", lambda: theme.current().name == theme_name
    yield from _settled()


def _ask_at_once(player: Player, question: str) -> Steps:
    yield "a place to ask", lambda: player.all_of(ChatPage) and player.all_of(ChatPage)[0].composer.isVisible()
    composer = player.all_of(ChatPage)[0].composer
    yield "leave to ask", lambda: player.desk.workspace.worker.is_connected
    yield from _settled()
    player.type_text(composer.field, question)
    yield from _settled()
    player.press_return(composer.field)
    yield "an answer", lambda: player.answers()
    yield "all of it", lambda: not player.all_of(ChatPage)[0]._chat.is_answering
    yield from _settled()


def _serve_guests(player: Player) -> Steps:
    """Somebody else's chats, one after the other, so that there is something to count and to plot."""
    status, data_dir = player.status, player.desk.workspace.link.data_dir.parent / "guest"
    assert status is not None
    swarm = ["--dht-prefix", "practice", "--initial-peers", *status.maddrs]
    for question in GUESTS_QUESTIONS:
        chat = ["chat", "--data-dir", str(data_dir), *swarm, "--temperature", "0", question]
        guest = subprocess.Popen([*program_command(), *chat], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        yield "a guest's answer", partial(_has_ended, guest)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is not None


def _settled() -> Steps:
    """Layouts and fades have come to rest."""
    yield "a rest", _after(0.4)


def _after(seconds: float) -> Condition:
    until = time.monotonic() + seconds
    return lambda: time.monotonic() > until


SCENARIOS: dict[str, Scenario] = {
    "every_page": every_page,
    "practice": practice,
    "life": life,
    "ask_and_be_killed": ask_and_be_killed,
    "come_back": come_back,
}
