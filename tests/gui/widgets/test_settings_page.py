import pytest
from PySide6.QtCore import QObject, QPoint, QPointF, Qt
from PySide6.QtGui import QGuiApplication, QWheelEvent
from PySide6.QtWidgets import QApplication, QMenu

from gui import theme
from gui.viewmodels import settings_form as form_module
from gui.viewmodels.about import AboutViewModel
from gui.viewmodels.autostart import AutostartViewModel
from gui.viewmodels.doctor import DoctorViewModel
from gui.viewmodels.endpoint_key import EndpointKeyViewModel
from gui.viewmodels.logs import LogsViewModel
from gui.viewmodels.setting_forms import Choice
from gui.viewmodels.settings import SettingsViewModel
from gui.viewmodels.settings_form import AtHand, SettingsFormViewModel
from gui.viewmodels.worker import WorkerViewModel
from gui.widgets.about_page import AboutPage
from gui.widgets.autostart_part import AutostartPart
from gui.widgets.endpoint_key_part import EndpointKeyPart
from gui.widgets.schedule_grid import ScheduleGrid
from gui.widgets.setting_row import SettingRow
from gui.widgets.settings_page import SettingsPage
from gui.worker_link import Connection
from volunteer.control.messages import SetSetting
from volunteer.hours import WeekHours
from volunteer.service import Kind, Places, file_of
from volunteer.settings import Settings, load_settings, save_settings, set_setting


@pytest.fixture
def owner(qapp):
    parent = QObject()
    yield parent
    parent.deleteLater()


@pytest.fixture
def places(tmp_path):
    return Places(home=tmp_path / "home", config=tmp_path / "home" / ".config", uid=1000)


@pytest.fixture
def make_page(link, owner, places, qtbot, monkeypatch):
    """A page with these settings, in the file and in the window; no worker runs."""
    monkeypatch.setattr(form_module, "_at_hand", lambda _: AtHand(swarms=("lab",)))
    link.become(Connection.OFF)

    def make(**chosen):
        settings = Settings()
        for name, text in chosen.items():
            settings = set_setting(settings, name.replace("__", "."), text)
        save_settings(link.data_dir, settings)
        held = SettingsViewModel(link, settings, owner)
        page = SettingsPage(
            SettingsFormViewModel(held, link, owner, languages=(Choice("en", "English"), Choice("de", "Deutsch"))),
            LogsViewModel(link, owner),
            DoctorViewModel(link, owner),
            AboutViewModel(link, owner),
            AutostartViewModel(link, owner, places=places, system="Linux"),
            EndpointKeyViewModel(link, WorkerViewModel(link, owner), held, owner),
            None,
        )
        qtbot.addWidget(page)
        page.resize(828, 640)
        page.show()
        return page

    return make


def row(page, name):
    (found,) = [each for each in page.findChildren(SettingRow) if each.form.name == name]
    return found


def chosen(link):
    return load_settings(link.data_dir).settings


def test_each_section_has_its_settings(make_page):
    page = make_page()
    for section in page.sections._form.sections:
        page.show_section(section.key)
        QApplication.processEvents()
        shown = [each.form.name for each in page.findChildren(SettingRow) if each.isVisible()]
        assert sorted(shown) == sorted(field.name for field in section.fields)


def test_the_list_leads_to_every_section(make_page):
    page = make_page()
    titles = [page.list.item(place).text() for place in range(page.list.count())]
    assert titles[:3] == ["General", "Serving", "Limits"] and titles[-3:] == ["Logs", "Doctor", "About"]
    page.list.setCurrentRow(len(titles) - 1)
    assert page.findChild(AboutPage).isVisible()


def test_on_a_narrow_page_the_list_is_a_box(make_page):
    page = make_page()
    assert page.list.isVisible() and not page.box.isVisible()
    page.resize(588, 480)
    QApplication.processEvents()
    assert page.box.isVisible() and not page.list.isVisible()
    page.box.activated.emit(2)
    assert row(page, "limits.only_when_idle").isVisible()


def test_a_switch_is_applied_at_once(make_page, link, qtbot):
    page = make_page()
    page.show_section("limits")
    qtbot.mouseClick(row(page, "limits.only_when_idle").control.switch, Qt.MouseButton.LeftButton)
    assert chosen(link).limits.only_when_idle
    assert row(page, "limits.idle_minutes").control.isEnabled()


def test_a_number_is_applied_when_the_hand_rests(make_page, link, qtbot):
    page = make_page(limits__only_when_idle="true")
    page.show_section("limits")
    spin = row(page, "limits.idle_minutes").control.spin
    for _ in range(3):
        spin.stepUp()
    assert chosen(link).limits.idle_minutes == 5
    qtbot.waitUntil(lambda: chosen(link).limits.idle_minutes == 8)


def test_a_number_that_was_typed_is_applied_with_enter(make_page, link, qtbot):
    page = make_page(limits__only_when_idle="true")
    page.show_section("limits")
    spin = row(page, "limits.idle_minutes").control.spin
    spin.lineEdit().setText("30")
    qtbot.keyClick(spin, Qt.Key.Key_Return)
    assert chosen(link).limits.idle_minutes == 30


def test_no_limit_is_a_word_and_a_switch(make_page, link, qtbot):
    page = make_page()
    page.show_section("machine")
    control = row(page, "limits.disk_gb").control
    assert control.spin.text() == "No limit" and not control.spin.isEnabled()
    qtbot.mouseClick(control.switch, Qt.MouseButton.LeftButton)
    assert chosen(link).limits.disk_gb == 50
    assert control.spin.isEnabled() and control.spin.value() == 50
    qtbot.mouseClick(control.switch, Qt.MouseButton.LeftButton)
    assert chosen(link).limits.disk_gb is None
    assert control.spin.text() == "No limit"


def test_the_size_of_text_is_in_percent(make_page, link, qtbot):
    page = make_page()
    spin = row(page, "app.text_scale").control.spin
    assert (spin.minimum(), spin.value(), spin.maximum()) == (80, 100, 200)
    spin.setValue(150)
    qtbot.waitUntil(lambda: chosen(link).app.text_scale == 1.5)


def test_a_choice_is_applied_at_once(make_page, link):
    page = make_page()
    box = row(page, "app.theme").control.box
    assert [box.itemText(place) for place in range(box.count())] == ["As the desktop", "Light", "Dark"]
    box.activated.emit(2)
    assert chosen(link).app.theme == "dark"


def test_private_swarms_are_offered(make_page, link):
    page = make_page()
    page.show_section("network")
    box = row(page, "serving.private_swarm").control.box
    assert [box.itemText(place) for place in range(box.count())] == ["None: the public swarm", "lab"]


def test_what_is_refused_stays_to_be_mended_with_the_reason_below(make_page, link, qtbot):
    page = make_page()
    page.show_section("serving")
    blocks = row(page, "serving.blocks")
    blocks.control.line.setText("some of them")
    blocks.control.line.editingFinished.emit()
    assert blocks.problem.isVisible() and "takes a span of blocks" in blocks.problem.text()
    assert blocks.control.line.text() == "some of them"
    assert blocks.control.line.property("state") == "bad"
    blocks.control.line.setText("4-7")
    blocks.control.line.editingFinished.emit()
    assert not blocks.problem.isVisible() and blocks.control.line.property("state") == ""
    assert chosen(link).serving.blocks == "4:8"
    assert blocks.control.line.text() == "4–7"


def test_what_the_worker_refuses_goes_back_to_where_it_was(make_page, link, qtbot):
    page = make_page()
    link.become(Connection.CONNECTED)
    page.show_section("endpoint")
    switch = row(page, "endpoint.enabled").control.switch
    qtbot.mouseClick(switch, Qt.MouseButton.LeftButton)
    assert link.sent == [SetSetting(name="endpoint.enabled", text="true")]
    link.refuse("Port 11435 is taken.")
    assert not switch.isChecked()
    assert row(page, "endpoint.enabled").problem.text() == "Port 11435 is taken."


def test_what_is_not_the_default_has_a_way_back(make_page, link):
    page = make_page(limits__nice="19")
    page.show_section("machine")
    nice, disk = row(page, "limits.nice"), row(page, "limits.disk_gb")
    assert nice.reset.isVisible() and not disk.reset.isVisible()
    assert nice.reset.toolTip() == "Back to the default: 10"
    nice.reset.click()
    assert chosen(link).limits.nice == 10 and not nice.reset.isVisible()


@pytest.mark.parametrize(
    ("section", "name", "typed"), [("machine", "limits.nice", ""), ("serving", "serving.public_name", "Ann")]
)
def test_the_way_back_goes_back_from_what_is_being_typed_too(make_page, link, qtbot, section, name, typed):
    page = make_page(limits__nice="15", serving__public_name="Anna")
    page.show_section(section)
    page.activateWindow()
    qtbot.waitUntil(page.isActiveWindow)
    control = row(page, name).control
    field = control.spin.lineEdit() if name == "limits.nice" else control.line
    field.setFocus()
    if typed:
        field.selectAll()
        qtbot.keyClicks(field, typed)
    else:
        control.spin.stepUp()
    qtbot.mouseClick(row(page, name).reset, Qt.MouseButton.LeftButton)
    qtbot.wait(600)  # longer than a hand has to rest
    page.search.setFocus()
    settings = chosen(link)
    assert (settings.limits.nice if section == "machine" else settings.serving.public_name) in (10, None)
    assert field.text() in ("10", "")


def test_a_list_grows_and_shrinks(make_page, link, qtbot):
    page = make_page()
    page.show_section("limits")
    control = row(page, "limits.exclusive_programs").control
    assert not control.add.isEnabled()
    qtbot.keyClicks(control.line, "steam, blender")
    qtbot.keyClick(control.line, Qt.Key.Key_Return)
    assert chosen(link).limits.exclusive_programs == ("steam", "blender")
    assert control.line.text() == ""
    QApplication.processEvents()
    remove = next(each for each in control.findChildren(QObject) if each.property("toolTip") == "Remove steam")
    remove.click()
    assert chosen(link).limits.exclusive_programs == ("blender",)


def test_programs_that_run_can_be_chosen(make_page, link, qtbot, monkeypatch):
    monkeypatch.setattr(form_module, "own_programs", lambda: ["blender", "steam"])
    page = make_page(limits__exclusive_programs="steam")
    page.show_section("limits")
    control = row(page, "limits.exclusive_programs").control
    control.offer.click()
    (menu,) = [each for each in control.offer.findChildren(QMenu) if each.isVisible()]
    assert [action.text() for action in menu.actions()] == ["blender"]
    menu.actions()[0].trigger()
    menu.close()
    assert chosen(link).limits.exclusive_programs == ("steam", "blender")


def test_the_model_may_be_typed(make_page, link):
    page = make_page()
    page.show_section("serving")
    control = row(page, "serving.model").control
    control.box.setEditText("bigscience/bloom")
    control.line.editingFinished.emit()
    assert chosen(link).serving.model == "bigscience/bloom"
    control.box.setEditText("")
    control.line.editingFinished.emit()
    assert chosen(link).serving.model is None


def test_scrolling_over_a_control_does_not_change_it(make_page):
    page = make_page()
    box = row(page, "app.close_button").control.box
    down = QWheelEvent(
        QPointF(5, 5), QPointF(box.mapToGlobal(QPoint(5, 5))), QPoint(0, -120), QPoint(0, -120),
        Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    page.list.setFocus()
    QApplication.sendEvent(box, down)
    assert box.currentIndex() == 0


def test_a_search_shows_what_matches_of_all_sections(make_page, qtbot):
    page = make_page()
    page.search.setText("memory")
    wanted = {"serving.kv_tokens", "serving.quantization", "limits.ram_gb", "limits.vram_gb"}

    def shown():
        return {each.form.name for each in page.findChildren(SettingRow) if each.isVisible()}

    qtbot.waitUntil(lambda: shown() == wanted)
    page.search.setText("no such thing")
    qtbot.waitUntil(page.sections.nothing.isVisible)
    page.search.clear()
    assert row(page, "app.theme").isVisible() and not page.sections.nothing.isVisible()


def test_rows_put_the_control_below_the_words_where_there_is_no_room(make_page):
    page = make_page()
    page.show_section("serving")
    model = row(page, "serving.model")
    QApplication.processEvents()
    assert model.control.y() < model.label.y() + model.label.height() + model.help.height()
    page.resize(440, 480)
    QApplication.processEvents()
    assert model.control.y() >= model.help.y() + model.help.height()


def test_larger_text_gets_wider_controls(make_page, qapp):
    page = make_page()
    page.show_section("machine")
    spin = row(page, "limits.disk_gb").control.spin
    before = spin.minimumWidth()
    theme.apply(qapp, "light", 2.0)
    QApplication.processEvents()
    assert spin.minimumWidth() > 1.5 * before


# The schedule


@pytest.fixture
def grid(make_page):
    page = make_page()
    page.show_section("schedule")
    QApplication.processEvents()
    return page.findChild(ScheduleGrid)


def at(grid, day, hour):
    return grid.visualRect(grid.model().index(day, hour)).center()


def test_a_drag_paints_hours_and_lets_go_once(grid, link, qtbot):
    view = grid.viewport()
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=at(grid, 0, 8))
    qtbot.mouseMove(view, at(grid, 0, 10))
    qtbot.mouseMove(view, at(grid, 2, 10))
    assert chosen(link).limits.hours == WeekHours()
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=at(grid, 2, 10))
    off = [(day, hour) for day in range(7) for hour in range(24) if not chosen(link).limits.hours.days[day] >> hour & 1]
    assert off == [(0, 8), (0, 9), (0, 10), (1, 10), (2, 10)]


def test_keys_choose_hours(grid, link, qtbot):
    grid.setFocus()
    grid.setCurrentIndex(grid.model().index(0, 0))
    qtbot.keyClick(grid, Qt.Key.Key_Space)
    assert not chosen(link).limits.hours.days[0] & 1
    qtbot.keyClick(grid, Qt.Key.Key_Right)
    qtbot.keyClick(grid, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClick(grid, Qt.Key.Key_Space)
    days = chosen(link).limits.hours.days
    assert not days[0] & 2 and not days[1] & 2 and days[2] & 2


def test_a_press_on_a_day_or_an_hour_takes_all_of_it(grid, link):
    grid.verticalHeader().sectionClicked.emit(6)
    assert chosen(link).limits.hours.days[6] == 0
    grid.horizontalHeader().sectionClicked.emit(0)
    assert chosen(link).limits.hours.days[6] == 1


def test_weeks_to_begin_with_are_said_in_words(make_page, link):
    page = make_page()
    page.show_section("schedule")
    control = row(page, "limits.hours").control
    nights = next(each for each in control.findChildren(QObject) if each.property("text") == "Nights")
    nights.click()
    assert chosen(link).limits.hours == WeekHours.from_text("daily 22-7")
    assert control.said.text() == "Mon–Sun 0–7, 22–24 (63 of 168 hours)"
    row(page, "limits.hours").reset.click()
    assert control.said.text() == "Always"


# Parts that are no settings


def test_autostart_shows_what_it_will_write_before_it_does(make_page, places, qtbot):
    page = make_page()
    part = page.findChild(AutostartPart)
    assert not part.plan.isVisible()
    qtbot.mouseClick(part.switch, Qt.MouseButton.LeftButton)
    assert "petals-volunteer.desktop" in part.plan_text.toPlainText()
    assert not file_of(Kind.AUTOSTART, places).exists()
    part.cancel.click()
    assert not part.plan.isVisible() and not part.switch.isChecked()
    qtbot.mouseClick(part.switch, Qt.MouseButton.LeftButton)
    part.do.click()
    assert file_of(Kind.AUTOSTART, places).exists() and part.switch.isChecked() and not part.plan.isVisible()


def test_who_presses_the_switch_of_autostart_again_thinks_better_of_it(make_page, places, qtbot):
    part = make_page().findChild(AutostartPart)
    for is_asked in (True, False, True):
        qtbot.mouseClick(part.switch, Qt.MouseButton.LeftButton)
        assert part.plan.isVisible() is is_asked and part.switch.isChecked() is is_asked
    assert not file_of(Kind.AUTOSTART, places).exists()


def test_the_key_is_hidden_shown_copied_and_renewed(make_page, qtbot):
    page = make_page(endpoint__enabled="true")
    page.show_section("endpoint")
    part = page.findChild(EndpointKeyPart)
    assert set(part.key.text()) == {"•"}
    part.copy_key.click()
    copied = QGuiApplication.clipboard().text()
    assert copied.startswith("sk-") and set(part.key.text()) == {"•"}
    part.show_key.click()
    assert part.key.text() == copied
    part.renew.click()
    assert part.question.isVisible()
    part.keep.click()
    assert part.key.text() == copied
    part.renew.click()
    part.confirm.click()
    assert part.key.text() != copied and "new key" in part.said.text()


def test_the_address_of_an_open_endpoint_is_copied(make_page, link):
    page = make_page(endpoint__enabled="true")
    page.show_section("endpoint")
    part = page.findChild(EndpointKeyPart)
    assert part.why.isVisible() and "does not run" in part.why.text()
    link.become(Connection.CONNECTED)
    link.say(endpoint="http://127.0.0.1:11435/v1")
    assert part.address.isVisible() and not part.why.isVisible()
    part.copy_address.click()
    assert QGuiApplication.clipboard().text() == "http://127.0.0.1:11435/v1"


def test_the_about_page_says_what_this_is(make_page):
    page = make_page()
    page.show_section("about")
    about = page.findChild(AboutPage)
    assert "0.1.0" in about.changelog.text() and "MIT License" in about.own_licence.text()
    assert "arxiv.org/abs/2209.01188" in about.origin.text()
    labels = [label.text() for label in about.findChildren(type(about.changelog))]
    assert "Nobody else" in labels
    about.parts.click()
    labels = [label.text() for label in about.findChildren(type(about.changelog))]
    assert "hivemind" in labels
