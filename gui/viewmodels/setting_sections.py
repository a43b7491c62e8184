"""The settings page: each setting once, where somebody would look for it. Here the words for all but serving."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication

from gui.viewmodels.serving_sections import limits, machine, network, serving
from gui.viewmodels.setting_forms import Choice, Control, FieldForm, GroupForm, SectionForm

NOT_SHOWN = frozenset({"app.consented", "app.chat_notice_seen"})
"""What the window was told once."""

translate = QCoreApplication.translate


def sections() -> tuple[SectionForm, ...]:
    """In the language that is spoken now."""
    return (_general(), serving(), limits(), _schedule(), machine(), network(), _endpoint(), _points())


def _general() -> SectionForm:
    appearance = GroupForm(
        translate("Settings", "Appearance"),
        (
            FieldForm(
                "app.theme",
                Control.CHOICE,
                translate("Settings", "Theme"),
                choices=(
                    Choice("system", translate("Settings", "As the desktop")),
                    Choice("light", translate("Settings", "Light")),
                    Choice("dark", translate("Settings", "Dark")),
                ),
                more_words=translate("Settings", "colours dark mode"),
            ),
            FieldForm(
                "app.text_scale",
                Control.NUMBER,
                translate("Settings", "Size of text"),
                unit="%",
                scale=100,
                step=10,
                more_words=translate("Settings", "font zoom larger"),
            ),
            FieldForm(
                "app.language",
                Control.CHOICE,
                translate("Settings", "Language"),
            ),
        ),
    )
    window = GroupForm(
        translate("Settings", "Window"),
        (
            FieldForm(
                "app.close_button",
                Control.CHOICE,
                translate("Settings", "Closing the window"),
                choices=(
                    Choice("ask", translate("Settings", "Asks each time")),
                    Choice("tray", translate("Settings", "Keeps serving in the tray")),
                    Choice("quit", translate("Settings", "Ends everything")),
                ),
            ),
            FieldForm(
                "app.notifications",
                Control.SWITCH,
                translate("Settings", "Notifications"),
                translate("Settings", "One for each cause, while the window is closed."),
            ),
            FieldForm(
                "app.check_for_updates",
                Control.SWITCH,
                translate("Settings", "Look for newer versions"),
                translate("Settings", "You are told, with a link. Nothing is installed by itself."),
            ),
        ),
    )
    start = GroupForm(
        translate("Settings", "Starting with the computer"),
        (),
        extra="autostart",
        extra_words=translate("Settings", "start with the computer login autostart boot"),
    )
    return SectionForm("general", translate("Settings", "General"), "", (appearance, window, start))


def _schedule() -> SectionForm:
    hours = FieldForm(
        "limits.hours",
        Control.HOURS,
        translate("Settings", "Hours of the week in which to serve"),
        more_words=translate("Settings", "schedule time table days night weekend"),
    )
    text = translate("Settings", "By the clock on your wall. Outside of these hours the worker pauses.")
    return SectionForm("schedule", translate("Settings", "Schedule"), text, (GroupForm("", (hours,)),))


def _endpoint() -> SectionForm:
    door = GroupForm(
        "",
        (
            FieldForm(
                "endpoint.enabled",
                Control.SWITCH,
                translate("Settings", "Let programs on this computer chat through the swarm"),
                more_words="OpenAI API server",
            ),
            FieldForm(
                "endpoint.port",
                Control.NUMBER,
                translate("Settings", "Port"),
                translate("Settings", "0 takes any that is free."),
                needs="endpoint.enabled",
            ),
            FieldForm(
                "endpoint.host",
                Control.TEXT,
                translate("Settings", "Address to listen at"),
                translate("Settings", "127.0.0.1 lets in programs of this computer alone, and is a good choice."),
                placeholder="127.0.0.1",
                needs="endpoint.enabled",
            ),
            FieldForm(
                "endpoint.require_key",
                Control.SWITCH,
                translate("Settings", "Answer only programs that give the key"),
                needs="endpoint.enabled",
            ),
        ),
    )
    key = GroupForm(
        translate("Settings", "What a program needs"),
        (),
        extra="key",
        extra_words=translate("Settings", "key API address URL copy"),
    )
    text = translate(
        "Settings", "Any program that speaks OpenAI's API can use it. What is asked this way is not kept anywhere."
    )
    return SectionForm("endpoint", translate("Settings", "Chat endpoint"), text, (door, key))


def _points() -> SectionForm:
    offered = FieldForm(
        "points.offered",
        Control.NUMBER,
        translate("Settings", "Offer for each point of work"),
        translate(
            "Settings", "A server that is full takes those first who offer more, out of what they have earned there."
        ),
        unit=translate("Settings", "points"),
        decimals=1,
        step=0.5,
    )
    text = translate("Settings", "Points are thanks from the swarm. They are not money, and not for sale.")
    return SectionForm("points", translate("Settings", "Points"), text, (GroupForm("", (offered,)),))
