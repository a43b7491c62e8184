import pytest
from PySide6.QtCore import QObject

from gui.viewmodels import doctor as viewmodel
from gui.viewmodels.doctor import DoctorViewModel, findings, title
from volunteer.doctor import Check, State

GOOD = Check("disk", State.GOOD, "90 GB are free.")
LITTLE = Check("open files", State.WARN, "Only 1024 files may be open at once.", "ulimit -Hn 8192")
BROKEN = Check("blocks", State.BAD, "A file is damaged.", "Delete it.")


@pytest.fixture
def owner(qapp):
    parent = QObject()
    yield parent
    parent.deleteLater()


@pytest.fixture
def doctor(link, owner):
    return DoctorViewModel(link, owner)


def find(monkeypatch, *checks):
    asked = []

    def found(data_dir, *, online, worker_answers):
        asked.append(online)
        return list(checks)

    monkeypatch.setattr(viewmodel.doctor, "checks", found)
    return asked


def test_the_gravest_comes_first():
    assert [row.state for row in findings([GOOD, LITTLE, BROKEN])] == [State.BAD, State.WARN, State.GOOD]


def test_a_row_says_all_in_words():
    (row,) = findings([LITTLE])
    assert row.in_words() == "Open files: look at it. Only 1024 files may be open at once. ulimit -Hn 8192"


def test_a_check_of_a_newer_doctor_goes_by_its_own_name():
    assert title("port 31330") == "Port 31330"


@pytest.mark.parametrize(
    ("checks", "said"),
    [
        ((GOOD,), "All is well."),
        ((GOOD, LITTLE), "Nothing is broken; one thing deserves a look."),
        ((LITTLE, LITTLE), "Nothing is broken; 2 things deserve a look."),
        ((BROKEN, LITTLE), "One thing has to be mended."),
        ((BROKEN, BROKEN), "2 things have to be mended."),
    ],
)
def test_the_summary_is_of_the_gravest(doctor, monkeypatch, checks, said):
    find(monkeypatch, *checks)
    doctor.look()
    assert doctor.summary == said
    assert doctor.worst is doctor.found[0].state


def test_the_hub_is_asked_only_when_it_is_wanted(doctor, monkeypatch):
    asked = find(monkeypatch, GOOD)
    doctor.look()
    doctor.asks_hub = True
    doctor.look()
    assert asked == [False, True]


def test_a_report_is_written_for_its_owner_alone(doctor, monkeypatch, tmp_path):
    find(monkeypatch, LITTLE)
    doctor.look()
    path = tmp_path / "report.txt"
    path.write_text("what was there")
    doctor.save_report(path)
    assert doctor.saved == path and not doctor.is_saving
    assert "Only 1024 files" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_report_that_cannot_be_written_is_told(doctor, tmp_path):
    doctor.save_report(tmp_path / "none" / "report.txt")
    assert "cannot be written" in doctor.problem and doctor.saved is None and not doctor.is_saving


def test_a_real_look_finds_something(doctor):
    doctor.look()
    assert {row.title for row in doctor.found} >= {"Python", "Settings", "Worker", "Room on the disk"}
