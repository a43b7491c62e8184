import pytest
from PySide6.QtCore import QObject

from gui.viewmodels import settings_form as module
from gui.viewmodels.setting_forms import Choice, Control, number_in_words, shown_text, stored_text
from gui.viewmodels.setting_sections import NOT_SHOWN, sections
from gui.viewmodels.settings import SettingsViewModel
from gui.viewmodels.settings_form import SettingsFormViewModel
from gui.worker_link import Connection
from volunteer.control.messages import SetSetting
from volunteer.hardware import Gpu, Hardware, Memory, Processor
from volunteer.hours import WeekHours
from volunteer.settings import Settings, describe_settings, find_setting, load_settings

FIELDS = {field.name: field for section in sections() for field in section.fields}


@pytest.fixture
def owner(qapp):
    parent = QObject()
    yield parent
    parent.deleteLater()


@pytest.fixture
def form(link, owner):
    link.become(Connection.OFF)
    return SettingsFormViewModel(
        SettingsViewModel(link, Settings(), owner), link, owner, languages=(Choice("de", "Deutsch"),)
    )


def test_every_setting_is_on_the_page_once():
    listed = [field.name for section in sections() for field in section.fields]
    assert sorted(listed) == sorted({each.name for each in describe_settings()} - NOT_SHOWN)


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_suits_its_setting(name):
    form, field = FIELDS[name], find_setting(name)
    kinds = {
        Control.SWITCH: (bool,),
        Control.NUMBER: (int, float),
        Control.CHOICE: (str,),
        Control.SUGGESTED: (str,),
        Control.TEXT: (str,),
        Control.LIST: (tuple,),
        Control.HOURS: (WeekHours,),
    }
    assert field.kind in kinds[form.control]
    assert form.label[0].isupper() and not form.label.endswith(".")
    if form.help:
        assert form.help.endswith(".")
    if form.control is Control.NUMBER:
        assert bool(form.none) == field.optional
        if field.optional:
            assert field.rule.least <= form.suggested <= field.rule.most
        # What can be shown can be stored again.
        assert field.kind is float or (form.decimals == 0 and form.scale == 1)
    if field.rule.choices:
        assert {each.value for each in form.choices} - {None} == set(field.rule.choices)
        assert (None in {each.value for each in form.choices}) == field.optional
    if form.needs is not None:
        assert form.needs in FIELDS


def test_what_is_chosen_is_shown_and_known_from_the_default(form):
    assert form.value("limits.idle_minutes") == 5 and form.is_default("limits.idle_minutes")
    form.set("limits.idle_minutes", 12.0)
    assert form.value("limits.idle_minutes") == 12 and not form.is_default("limits.idle_minutes")
    form.reset("limits.idle_minutes")
    assert form.is_default("limits.idle_minutes")


def test_without_a_worker_the_choice_is_in_the_file(form, tmp_path):
    form.set("limits.disk_gb", 20.0)
    form.set("limits.exclusive_programs", ("steam", "blender"))
    form.set("limits.hours", WeekHours.from_text("mon-fri 22-7"))
    limits = load_settings(tmp_path).settings.limits
    assert (limits.disk_gb, limits.exclusive_programs) == (20.0, ("steam", "blender"))
    assert limits.hours == WeekHours.from_text("mon-fri 22-7")
    form.set("limits.disk_gb", None)
    assert load_settings(tmp_path).settings.limits.disk_gb is None


def test_with_a_worker_the_choice_goes_through_it(form, link):
    link.become(Connection.CONNECTED)
    form.set("serving.num_blocks", 4.0)
    assert link.sent == [SetSetting(name="serving.num_blocks", text="4")]


def test_the_same_choice_again_is_no_change(form, link):
    link.become(Connection.CONNECTED)
    form.set("limits.nice", 10)
    form.set_text("serving.blocks", " ")
    assert link.sent == []


def test_a_refusal_stands_at_its_field_in_words(form, link, qtbot):
    with qtbot.waitSignal(form.problem_changed, check_params_cb=lambda name: name == "serving.blocks"):
        form.set_text("serving.blocks", "some")
    assert form.problem("serving.blocks").startswith("“Which blocks” takes a span of blocks")
    assert form.problem("serving.model") == ""
    form.set_text("serving.blocks", "3-5")
    assert form.problem("serving.blocks") == ""
    assert form.value("serving.blocks") == "3:6"


@pytest.mark.parametrize(
    ("typed", "stored", "shown"),
    [("0-11", "0:12", "0–11"), ("3 – 5", "3:6", "3–5"), ("4", "4:5", "4"), ("2:6", "2:6", "2–5"), ("", "none", "")],
)
def test_spans_are_written_with_both_ends(typed, stored, shown):
    field = find_setting("serving.blocks")
    assert stored_text(field, typed) == stored
    assert shown_text(field, field.from_text(stored)) == shown


def test_a_text_that_must_be_is_the_default_when_it_is_emptied():
    assert stored_text(find_setting("endpoint.host"), " ") is None


def test_numbers_are_shown_with_their_unit_or_in_words():
    assert number_in_words(FIELDS["app.text_scale"], 1.5) == "150\u202f%"
    assert number_in_words(FIELDS["limits.disk_gb"], None) == "No limit"
    assert number_in_words(FIELDS["limits.threads"], 4) == "4"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("limits.only_when_idle", "off"),
        ("limits.disk_gb", "No limit"),
        ("limits.nice", "10"),
        ("app.theme", "As the desktop"),
        ("limits.hours", "Always"),
        ("swarm.deny_peers", "none"),
        ("endpoint.host", "127.0.0.1"),
        ("serving.blocks", "Where the swarm is weakest"),
    ],
)
def test_the_default_is_told_in_words(form, name, words):
    assert form.default_in_words(name) == words


def test_programs_to_choose_from_are_those_that_run(form):
    found = []
    form.list_programs(found.extend)
    assert any("python" in name or "pytest" in name for name in found)


def test_a_setting_has_no_effect_without_the_one_that_it_needs(form):
    assert not form.has_effect("limits.idle_minutes")
    form.set("limits.only_when_idle", True)
    assert form.has_effect("limits.idle_minutes")
    assert form.has_effect("limits.gpu_cooling_c")
    form.set("limits.max_gpu_temperature_c", None)
    assert not form.has_effect("limits.gpu_cooling_c")


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("battery", "limits.serve_on_battery"),
        ("dark", "app.theme"),
        ("VRAM", "limits.vram_gb"),
        ("kv_tokens", "serving.kv_tokens"),
        ("upload day", "limits.upload_gb_per_day"),
    ],
)
def test_settings_are_found_by_any_of_their_words(form, wanted, name):
    assert name in [field.name for section in form.found(wanted) for field in section.fields]


def test_a_search_keeps_what_is_no_setting_too(form):
    assert [group.extra for section in form.found("autostart") for group in section.groups] == ["autostart"]
    assert form.found("no such thing at all") == ()
    assert form.found("  ") == form.sections


def test_devices_are_those_of_this_computer(form, monkeypatch, qtbot):
    gpus = (
        Gpu(index=0, name="NVIDIA RTX 3060"),
        Gpu(index=1, name="NVIDIA GT 710", problem="too little memory"),
    )
    hardware = Hardware(processor=Processor("CPU", 4, 8), memory=Memory(1, 1), gpus=gpus)
    monkeypatch.setattr(module, "usable_hardware", lambda _: hardware)
    assert [each.value for each in form.choices("serving.device")] == [None, "cpu"]
    with qtbot.waitSignal(form.choices_changed):
        form.look_around()
    assert [(each.value, each.words) for each in form.choices("serving.device")][2:] == [("cuda:0", "NVIDIA RTX 3060")]
    assert Choice("bigscience/bloom", "bigscience/bloom") in form.choices("serving.model")


def test_what_is_chosen_is_among_the_choices_even_where_nobody_offers_it(form):
    form.set("serving.device", "cuda:7")
    assert form.choices("serving.device")[-1] == Choice("cuda:7", "cuda:7")


def test_languages_are_those_that_there_are_words_in(form):
    assert [each.value for each in form.choices("app.language")] == [None, "de"]
