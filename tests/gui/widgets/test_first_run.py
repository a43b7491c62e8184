from dataclasses import replace
from pathlib import Path

import pytest
from fake_link import FakeLink
from PySide6.QtCore import Qt

from gui.viewmodels.autostart import Autostart
from gui.viewmodels.first_run import FirstRunViewModel
from gui.viewmodels.first_run_choice import Way
from gui.viewmodels.settings import SettingsViewModel
from gui.widgets.first_run import FirstRun
from gui.worker_link import Connection
from volunteer.errors import UserError
from volunteer.hardware import Disk, Gpu, Hardware, Memory, Processor
from volunteer.settings import Settings, load_settings

GIB = 2**30
ADDRESS = "/ip4/203.0.113.7/tcp/31337/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
FOUND = Hardware(
    Processor("Ryzen", 8, 16),
    Memory(32 * GIB, 20 * GIB),
    gpus=(Gpu(0, "RTX 3060", total_bytes=12 * GIB, free_bytes=11 * GIB),),
    disk=Disk(10**12, 2 * 10**11),
)


@pytest.fixture
def off(tmp_path: Path, qapp) -> FakeLink:
    return FakeLink(tmp_path / "data", connection=Connection.OFF)


@pytest.fixture
def first_run(off: FakeLink) -> FirstRunViewModel:
    return FirstRunViewModel(off, SettingsViewModel(off, Settings(), off), off, detect=lambda data_dir: FOUND)


@pytest.fixture
def page(qtbot, first_run: FirstRunViewModel) -> FirstRun:
    page = FirstRun(first_run)
    qtbot.addWidget(page)
    page.resize(960, 640)
    page.show()
    return page


def _click(qtbot, button) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_the_first_page_says_what_it_does_and_costs(page):
    assert page.title.text() == "Welcome to Petals Volunteer"
    assert page.step.text() == "1 of 3"
    assert page.welcome.isVisible()
    assert not page.back.isEnabled()
    assert page.forward.text() == "Continue"


def test_practice_is_offered_on_every_page(page, first_run, qtbot):
    for _ in range(3):
        assert page.practice.isVisible()
        with qtbot.waitSignal(page.practice_wanted):
            _click(qtbot, page.practice)
        first_run.choose_way(Way.NEW)
        first_run.go_on()
    assert not load_settings(page._first_run._link.data_dir).settings.app.consented


def test_hardware_and_forecast(page, qtbot):
    _click(qtbot, page.forward)
    assert page.hardware.devices.rows[0].name.text().startswith("RTX 3060")
    assert page.hardware.models.rows["bigscience/bloom"].button.isChecked()
    assert page.hardware.models.rows["bigscience/bloom"].about.isVisible()
    assert not page.hardware.models.rows["bigscience/bloomz"].about.isVisible()
    labels = [line[0].text() for line in page.hardware.forecast.lines]
    assert labels[:4] == ["Blocks", "Memory", "Download", "Disk"]


def test_another_model_and_share_change_the_forecast(page, first_run, qtbot):
    _click(qtbot, page.forward)
    page.hardware.models.rows["bigscience/bloom-7b1"].button.click()
    assert first_run.chosen.model == "bigscience/bloom-7b1"
    before = page.hardware.forecast.lines[0][1].text()
    page.hardware.share.slider.setValue(10)
    assert first_run.chosen.share == pytest.approx(0.5)
    assert page.hardware.forecast.lines[0][1].text() != before
    page.hardware.share.slider.setValue(2)
    page.hardware.models.rows["bigscience/bloom"].button.click()
    assert page.hardware.forecast.problem.isVisible()
    assert not page.forward.isEnabled()


def test_the_swarm_is_asked_for_before_one_can_go_on(page, qtbot):
    _click(qtbot, page.forward)
    assert not page.forward.isEnabled()
    assert page.hint.isVisible()
    qtbot.keyClicks(page.hardware.swarm.address, "hello")
    assert page.hardware.swarm.note.isVisible()
    page.hardware.swarm.address.clear()
    qtbot.keyClicks(page.hardware.swarm.address, ADDRESS)
    assert page.forward.isEnabled()
    assert not page.hint.isVisible()


def test_back_keeps_what_was_chosen(page, first_run, qtbot):
    _click(qtbot, page.forward)
    qtbot.keyClicks(page.hardware.swarm.address, ADDRESS)
    _click(qtbot, page.forward)
    assert page.step.text() == "3 of 3"
    _click(qtbot, page.back)
    assert page.hardware.swarm.address.text() == ADDRESS
    _click(qtbot, page.back)
    assert page.step.text() == "1 of 3"


def test_consent_is_one_button_that_says_so(page, first_run, qtbot):
    first_run.go_on()
    first_run.choose_way(Way.NEW)
    first_run.go_on()
    assert page.forward.text() == "Agree and start"
    assert page.consent.readers.title.text() == "Others can read along"
    assert "BLOOM" in page.consent.summary.text()
    with qtbot.waitSignal(page.consented):
        _click(qtbot, page.forward)
    assert load_settings(page._first_run._link.data_dir).settings.app.consented


def test_a_choice_that_cannot_be_saved_says_why(page, first_run, qtbot, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise UserError("The disk is full.")

    monkeypatch.setattr("gui.viewmodels.first_run.save", refuse)
    first_run.go_on()
    first_run.choose_way(Way.NEW)
    first_run.go_on()
    with qtbot.assertNotEmitted(page.consented):
        _click(qtbot, page.forward)
    assert page.problem.isVisible()
    assert page.problem.text() == "The disk is full."
    assert page.forward.isEnabled()


def test_autostart_is_off_and_shows_what_it_would_write(page, first_run, qtbot):
    first_run.go_on()
    first_run.go_on()
    card = page.consent.autostart
    assert not card.switch.isChecked()
    first_run.autostart.state = Autostart(plan="Write: petals-volunteer.desktop")
    first_run.autostart.changed.emit()
    assert not card.plan.isVisible()
    _click(qtbot, card.show_plan)
    assert card.plan.isVisible()
    assert card.plan.toPlainText() == "Write: petals-volunteer.desktop"
    _click(qtbot, card.switch)
    assert first_run.chosen.starts_at_login
    assert card.switch.isChecked()


def test_where_it_cannot_start_by_itself_the_switch_says_why(page, first_run):
    first_run.go_on()
    first_run.go_on()
    first_run.autostart.state = Autostart(problem="This version cannot start itself on Windows.")
    first_run.autostart.changed.emit()
    card = page.consent.autostart
    assert not card.switch.isEnabled()
    assert card.about.text() == "This version cannot start itself on Windows."
    assert not card.show_plan.isVisible()


def test_a_look_that_failed_can_be_repeated(qtbot, off):
    answers = [UserError("The disk does not answer."), FOUND]

    def detect(data_dir: Path) -> Hardware:
        answer = answers.pop(0)
        if isinstance(answer, UserError):
            raise answer
        return answer

    first_run = FirstRunViewModel(off, SettingsViewModel(off, Settings(), off), off, detect=detect)
    page = FirstRun(first_run)
    qtbot.addWidget(page)
    page.show()
    _click(qtbot, page.forward)
    assert page.problem.text() == "The disk does not answer."
    assert not page.hardware.devices.isVisible()
    _click(qtbot, page.hardware.look_again)
    assert page.hardware.devices.isVisible()


def test_someone_in_a_private_swarm_may_stay_there(qtbot, off):
    serving = replace(Settings().serving, private_swarm="lab", model="bigscience/bloom")
    settings = SettingsViewModel(off, replace(Settings(), serving=serving), off)
    page = FirstRun(FirstRunViewModel(off, settings, off, detect=lambda data_dir: FOUND))
    qtbot.addWidget(page)
    page.show()
    _click(qtbot, page.forward)
    assert page.hardware.swarm.stay.isVisible()
    assert page.hardware.swarm.stay.isChecked()
    assert not page.hardware.swarm.address.isVisible()
    assert page.forward.isEnabled()
    _click(qtbot, page.forward)
    assert page.consent.readers.title.text() == "Members can read along"


def test_the_keyboard_leads_through_it(page, first_run, qtbot):
    assert page.forward.hasFocus()
    qtbot.keyClick(page.forward, Qt.Key.Key_Space)
    first_run.choose_way(Way.NEW)
    assert first_run.page == 1
    page.forward.setFocus()
    qtbot.keyClick(page.forward, Qt.Key.Key_Space)
    assert first_run.page == 2
