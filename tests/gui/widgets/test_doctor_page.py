import pytest
from PySide6.QtCore import QObject
from PySide6.QtWidgets import QApplication, QLabel

from gui.viewmodels import doctor as viewmodel
from gui.viewmodels.doctor import DoctorViewModel
from gui.widgets.doctor_page import DoctorPage, FindingRow
from volunteer.doctor import Check, State

GOOD = Check("disk", State.GOOD, "90 GB are free.")
BROKEN = Check("blocks", State.BAD, "A file is damaged.", "Delete it; what is missing is downloaded again.")


@pytest.fixture
def asked(monkeypatch):
    """What the doctor was asked; it finds two things."""
    looks = []

    def found(data_dir, *, online, worker_answers):
        looks.append(online)
        return [GOOD, BROKEN]

    monkeypatch.setattr(viewmodel.doctor, "checks", found)
    return looks


@pytest.fixture
def page(link, asked, qtbot, qapp):
    owner = QObject()
    made = DoctorPage(DoctorViewModel(link, owner), None)
    qtbot.addWidget(made)
    made.resize(600, 400)
    made.show()
    QApplication.processEvents()
    yield made
    owner.deleteLater()


def rows(page):
    QApplication.processEvents()
    return [row for row in page.findChildren(FindingRow) if row.isVisible()]


def test_the_first_look_is_taken_by_itself_and_asks_nobody(page, asked):
    assert asked == [False]
    page.hide()
    page.show()
    assert asked == [False]


def test_each_check_has_a_row_with_word_and_advice(page):
    first, second = rows(page)
    assert first.accessibleName().startswith("Blocks on the disk: mend it.")
    said = [label.text() for label in first.findChildren(QLabel)]
    assert said == ["Blocks on the disk", "mend it", "A file is damaged.", BROKEN.advice]
    assert second.accessibleName().startswith("Room on the disk: good.")
    assert page.summary.text() == "One thing has to be mended."


def test_looking_again_replaces_the_rows(page, asked):
    page.look.click()
    assert asked == [False, False] and len(rows(page)) == 2


def test_the_hub_is_asked_when_it_is_switched_on(page, asked):
    page.asks_hub.click()
    assert asked == [False, True]


def test_a_report_is_saved_and_its_place_told(page, tmp_path):
    page.save_to(tmp_path / "report.txt")
    assert (tmp_path / "report.txt").exists()
    assert page.banner.isVisible() and "report.txt" in page.banner.text.text()


def test_a_report_that_cannot_be_saved_says_why(page, tmp_path):
    page.save_to(tmp_path / "none" / "report.txt")
    assert page.banner.isVisible() and "cannot be written" in page.banner.text.text()
