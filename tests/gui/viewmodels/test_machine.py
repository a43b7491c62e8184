from gui.viewmodels.machine import MachineViewModel, busy_share
from volunteer.control.readings import CpuTimes


def test_a_machine_tells_its_processor_and_memory(link):
    machine = MachineViewModel(link, link)
    machine.look()
    assert machine.reading is not None
    assert machine.reading.processor
    assert 0 < machine.reading.used_bytes < machine.reading.total_bytes
    assert machine.reading.busy_share is None


def test_how_busy_it_is_is_known_between_two_looks():
    assert busy_share(CpuTimes(100, 10, {}), CpuTimes(110, 14, {})) == 0.4
    assert busy_share(CpuTimes(100, 10, {}), CpuTimes(100, 10, {})) is None
