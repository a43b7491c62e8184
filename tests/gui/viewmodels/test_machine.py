from gui.viewmodels.machine import MachineViewModel, busy_share, usable_hardware
from volunteer.control.readings import CpuTimes
from volunteer.hardware import Gpu, Hardware, Memory, Processor


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


def test_a_gpu_that_pytorch_was_not_built_for_is_not_to_be_used(monkeypatch, tmp_path):
    found = Hardware(Processor("CPU", 4, 8), Memory(1, 1), gpus=(Gpu(0, "RTX 3060"),))
    monkeypatch.setattr("gui.viewmodels.machine.detect", lambda data_dir: found)
    monkeypatch.setattr("gui.viewmodels.machine.has_cuda", lambda: True)
    assert usable_hardware(tmp_path).usable_gpus == found.gpus
    monkeypatch.setattr("gui.viewmodels.machine.has_cuda", lambda: False)
    assert usable_hardware(tmp_path).usable_gpus == ()
