"""The real pynvml against a driver library compiled here, whose behaviour the environment chooses."""

import ctypes.util
import dataclasses
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from volunteer import hardware
from volunteer.hardware import AppleGpu, Battery, Disk, Gpu, Hardware, Memory, Processor, describe, detect

GIB = 2**30
GPU_IS_LOST = "error 15"
NOT_FOUND_ANYWHERE = "No NVIDIA driver was found."

Driver = Callable[..., None]
"""Installs the fake driver: `driver(card(), card(name=...), init="crash")`."""


@pytest.fixture(scope="session")
def driver_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if sys.platform != "linux":
        pytest.skip("the fake driver is a Linux library")
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler (cc, gcc or clang) to build the fake NVIDIA driver with")
    folder = tmp_path_factory.mktemp("fake_nvml")
    source = Path(__file__).parent / "fake_nvml" / "nvml.c"
    command = [compiler, "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(folder / "libnvidia-ml.so.1"), str(source)]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture
def driver(driver_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    def install(*cards: dict[str, object], **settings: object) -> None:
        monkeypatch.setenv("LD_LIBRARY_PATH", str(driver_dir))
        monkeypatch.setenv("FAKE_NVML_COUNT", str(len(cards)))
        monkeypatch.setenv("FAKE_NVML_DRIVER", "580.65.06")
        for name, value in settings.items():
            monkeypatch.setenv(f"FAKE_NVML_{name.upper()}", str(value))
        for index, readings in enumerate(cards):
            for name, value in readings.items():
                if value is not None:
                    monkeypatch.setenv(f"FAKE_NVML_{index}_{name.upper()}", str(value))

    return install


def card(**changes: object) -> dict[str, object]:
    """What the fake driver says of a card, in NVML's units; None means not supported."""
    readings: dict[str, object] = {
        "name": "NVIDIA GeForce RTX 3060",
        "uuid": "GPU-0a1b2c3d",
        "total": 12 * GIB,
        "free": 11 * GIB,
        "temperature": 45,
        "power": 30500,
        "limit": 170000,
        "utilisation": 3,
    }
    return readings | changes


def gpu(**changes: Any) -> Gpu:
    """The value of `card()`."""
    plain = Gpu(
        index=0,
        name="NVIDIA GeForce RTX 3060",
        uuid="GPU-0a1b2c3d",
        driver_version="580.65.06",
        total_bytes=12 * GIB,
        free_bytes=11 * GIB,
        temperature_c=45,
        power_w=30.5,
        power_limit_w=170.0,
        utilisation_percent=3,
    )
    return dataclasses.replace(plain, **changes)


def machine(**changes: Any) -> Hardware:
    plain = Hardware(
        processor=Processor("Example 9000", physical_cores=8, logical_cores=16),
        memory=Memory(total_bytes=32 * GIB, available_bytes=20 * GIB),
        disk=Disk(total_bytes=500 * 10**9, free_bytes=123 * 10**9),
    )
    return dataclasses.replace(plain, **changes)


def children() -> set[psutil.Process]:
    """Of this process; other tests may keep swarms running meanwhile."""
    return set(psutil.Process().children(recursive=True))


# GPUs, through the real binding and a real process.


def test_two_cards_are_read_with_their_memory_and_temperature(driver: Driver, tmp_path: Path) -> None:
    driver(card(), card(name="NVIDIA RTX A4000", uuid="GPU-2", total=16 * GIB, free=5 * GIB, temperature=71))
    found = detect(tmp_path)
    assert found.gpus == (
        gpu(),
        gpu(
            index=1,
            name="NVIDIA RTX A4000",
            uuid="GPU-2",
            total_bytes=16 * GIB,
            free_bytes=5 * GIB,
            temperature_c=71,
        ),
    )
    assert found.gpu_problem is None
    assert found.usable_gpus == found.gpus


@pytest.mark.parametrize("reading", ["handle", "total", "free", "temperature", "name"])
def test_a_lost_card_is_listed_with_the_reason_and_costs_only_itself(
    driver: Driver, tmp_path: Path, reading: str
) -> None:
    driver(card(**{reading: GPU_IS_LOST}), card(uuid="GPU-2"))
    lost, good = detect(tmp_path).gpus
    assert lost.index == 0
    assert lost.problem is not None
    assert "GPU is lost" in lost.problem
    assert good == gpu(index=1, uuid="GPU-2")


def test_a_lost_card_keeps_its_name_if_it_still_tells_it(driver: Driver, tmp_path: Path) -> None:
    driver(card(total=GPU_IS_LOST))
    found = detect(tmp_path)
    assert found.gpus[0].name == "NVIDIA GeForce RTX 3060"
    assert found.gpus[0].total_bytes == 0
    assert found.usable_gpus == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"handle": "error 8"}, "power cables"),
        ({"handle": "error 4"}, "may not use"),
        ({"total": "error 16"}, "restart"),
        ({"total": None}, "how much memory"),
        ({"total": "error 999"}, "Unknown Error"),
        ({"total": "error 77"}, "fake error 77"),  # a code newer than the binding: the driver has the words
        ({"total": 512 * 2**20, "free": 400 * 2**20}, "0.5 GB"),
    ],
)
def test_a_card_that_cannot_be_used_says_why(
    driver: Driver, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    driver(card(**changes))
    found = detect(tmp_path)
    assert len(found.gpus) == 1
    assert words in (found.gpus[0].problem or "")
    assert found.usable_gpus == ()


@pytest.mark.parametrize("answer", [None, "error 999", "error 4"])
def test_readings_that_a_card_does_not_give_are_no_problem(driver: Driver, tmp_path: Path, answer: str | None) -> None:
    driver(card(temperature=answer, power=answer, limit=answer, utilisation=answer, uuid=answer))
    missing = {"temperature_c": None, "power_w": None, "power_limit_w": None, "utilisation_percent": None}
    assert detect(tmp_path).gpus == (gpu(uuid=None, **missing),)


def test_a_name_that_is_no_text_does_not_cost_the_card(driver: Driver, tmp_path: Path) -> None:
    driver(card(name="\udcff\udcfe"))
    assert detect(tmp_path).gpus == (gpu(name="NVIDIA GPU"),)


@pytest.mark.parametrize(
    ("init", "words"),
    [
        (9, "No NVIDIA driver is running"),
        (18, "restart the computer"),
        (13, "too old"),
        (4, "may not use"),
        (17, "blocked the request."),
        (999, "Unknown Error"),
    ],
)
def test_a_driver_that_does_not_start_gives_no_gpus_and_a_reason(
    driver: Driver, tmp_path: Path, init: int, words: str
) -> None:
    driver(card(), init=init)
    found = detect(tmp_path)
    assert found.gpus == ()
    assert words in (found.gpu_problem or "")
    assert not (found.gpu_problem or "").endswith("..")


def test_a_driver_without_cards_says_so(driver: Driver, tmp_path: Path) -> None:
    driver()
    found = detect(tmp_path)
    assert (found.gpus, found.gpu_problem) == ((), "The NVIDIA driver finds no GPU.")


@pytest.mark.skipif(ctypes.util.find_library("nvidia-ml") is not None, reason="this machine has an NVIDIA driver")
def test_a_machine_without_the_driver_has_no_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    found = detect(tmp_path)
    assert (found.gpus, found.gpu_problem) == ((), NOT_FOUND_ANYWHERE)


@pytest.mark.skipif(sys.platform != "linux", reason="chooses the library through LD_LIBRARY_PATH")
def test_a_damaged_driver_library_counts_as_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_bytes(b"not a library")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    found = detect(tmp_path)
    assert (found.gpus, found.gpu_problem) == ((), NOT_FOUND_ANYWHERE)


# A driver that breaks its process.


@pytest.mark.parametrize(("init", "name"), [("crash", "SIGSEGV"), ("abort", "SIGABRT")])
def test_a_crashing_driver_harms_nothing(driver: Driver, tmp_path: Path, init: str, name: str) -> None:
    driver(card(), init=init)
    before = children()
    found = detect(tmp_path)
    assert found.gpus == ()
    assert found.gpu_problem == f"The NVIDIA driver crashed when it was asked for GPUs ({name})."
    assert found.memory.total_bytes > 0
    assert children() <= before


def test_a_crash_leaves_no_core_file(driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    monkeypatch.chdir(tmp_path)
    driver(card(), init="crash")
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        detect(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_hanging_driver_is_given_up_after_the_timeout(driver: Driver, tmp_path: Path) -> None:
    driver(card(), init="hang")
    before = children()
    found = detect(tmp_path, timeout_s=0.5)
    assert (found.gpus, found.gpu_problem) == ((), "The NVIDIA driver did not answer within 0.5 seconds.")
    assert children() <= before


def test_a_hung_search_does_not_outlive_the_one_who_asked(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fifo = tmp_path / "hung"
    driver(card(), init="hang", hung_fifo=fifo)  # before the fifo, because this skips where there is none
    os.mkfifo(fifo)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    code = "import pathlib, volunteer.hardware as h; h.detect(pathlib.Path(), timeout_s=60)"
    with subprocess.Popen([sys.executable, "-c", code]) as asker:
        search = os.pidfd_open(int(fifo.read_text()))  # waits until the driver hangs
        asker.send_signal(signal.SIGKILL)
    ended, _, _ = select.select([search], [], [], 30)
    os.close(search)
    assert ended


def test_a_driver_that_prints_does_not_spoil_the_answer(driver: Driver, tmp_path: Path) -> None:
    driver(card(), init="chatter")
    assert detect(tmp_path).gpus == (gpu(),)


def test_a_crash_after_the_answer_does_not_lose_it(driver: Driver, tmp_path: Path) -> None:
    driver(card(), at_exit="crash")
    assert detect(tmp_path).gpus == (gpu(),)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("print('no JSON')", "cannot be read"),
        ("", "cannot be read"),
        ("""print('{"gpus": [{"index": 0}]}')""", "cannot be read"),
        ("""print('{"gpus": [{"index": 0, "name": "x", "free_bytes": -1}]}')""", "cannot be read"),
        ("""print('{"gpus": [{"index": 0, "name": "x", "power_w": NaN}]}')""", "cannot be read"),
        ("import sys; sys.stdout.buffer.write(bytes(range(256)) * 8192)", "cannot be read"),
        ("raise SystemExit(7)", "exit code 7"),
    ],
)
def test_garbage_from_the_search_becomes_no_gpus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, words: str
) -> None:
    monkeypatch.setattr(hardware, "detection_command", lambda: [sys.executable, "-c", code])
    found = detect(tmp_path)
    assert found.gpus == ()
    assert words in (found.gpu_problem or "")


def test_a_search_that_cannot_be_started_becomes_no_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hardware, "detection_command", lambda: [str(tmp_path / "missing")])
    found = detect(tmp_path)
    assert found.gpus == ()
    assert "could not be started" in (found.gpu_problem or "")


@pytest.mark.parametrize(
    ("returncode", "words"), [(0xC0000005, "crashed"), (-63, "signal 63"), (None, "did not answer")]
)
def test_every_way_to_end_has_words(returncode: int | None, words: str) -> None:
    assert words in hardware._why_no_answer(returncode, timeout_s=20)


def test_an_installed_build_starts_itself_in_the_role(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert hardware.detection_command() == [sys.executable, "hardware"]


def test_the_program_knows_the_role_that_an_installed_build_starts(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(card())
    monkeypatch.setattr(hardware, "detection_command", lambda: [sys.executable, "-m", "volunteer", "hardware"])
    assert detect(tmp_path).gpus == (gpu(),)


def test_the_search_runs_this_code_from_any_folder(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pynvml.py").write_text("raise SystemExit('not the binding')")
    monkeypatch.chdir(tmp_path)
    driver(card())
    assert detect(tmp_path).gpus == (gpu(),)


def test_the_module_loads_neither_torch_nor_the_driver() -> None:
    code = "import sys, volunteer.hardware; print(*{'torch', 'pynvml', 'psutil', 'hivemind'} & set(sys.modules))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# The rest of the machine.


def test_memory_cores_and_disk_of_this_machine_are_plausible(tmp_path: Path) -> None:
    found = detect(tmp_path)
    assert 0 < found.memory.available_bytes <= found.memory.total_bytes
    assert found.processor.logical_cores >= 1
    assert found.processor.name.strip() == found.processor.name != ""
    assert found.disk is not None
    assert found.disk.total_bytes == shutil.disk_usage(tmp_path).total
    assert 0 <= found.disk.free_bytes <= found.disk.total_bytes


def test_a_data_folder_that_does_not_exist_yet_is_on_the_volume_of_its_parent(tmp_path: Path) -> None:
    disk = detect(tmp_path / "not" / "yet").disk
    assert disk is not None
    assert disk.total_bytes == shutil.disk_usage(tmp_path).total


class FakePsutilBattery:
    """The fields of psutil's own answer that are read."""

    def __init__(self, percent: float, power_plugged: bool | None) -> None:
        self.percent = percent
        self.power_plugged = power_plugged


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        (None, None),
        (FakePsutilBattery(80, False), Battery(80.0, plugged_in=False)),
        (FakePsutilBattery(100.7, None), Battery(100.0, plugged_in=None)),
    ],
)
def test_a_battery_is_read_or_absent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reported: FakePsutilBattery | None, expected: Battery | None
) -> None:
    monkeypatch.setattr(psutil, "sensors_battery", lambda: reported, raising=False)
    assert hardware._battery(tmp_path) == expected


def test_a_system_that_hides_its_power_supplies_has_no_battery(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse() -> None:
        raise FileNotFoundError

    monkeypatch.setattr(psutil, "sensors_battery", refuse, raising=False)
    assert hardware._battery(tmp_path) is None
    monkeypatch.delattr(psutil, "sensors_battery")
    assert hardware._battery(tmp_path) is None


@pytest.mark.parametrize(("with_laptop_battery", "expected"), [(False, None), (True, Battery(55.0, plugged_in=False))])
def test_the_battery_of_a_wireless_mouse_is_not_the_machine_s(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, with_laptop_battery: bool, expected: Battery | None
) -> None:
    def supply(name: str, **files: str) -> None:
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file).write_text(text + "\n")

    supply("AC", type="Mains")
    supply("hidpp_battery_0", type="Battery", scope="Device")
    if with_laptop_battery:
        supply("BAT0", type="Battery")
    monkeypatch.setattr(psutil, "sensors_battery", lambda: FakePsutilBattery(55, False), raising=False)
    assert hardware._battery(tmp_path) == expected


@pytest.mark.parametrize(("system", "machine_name"), [("Linux", "aarch64"), ("Darwin", "x86_64"), ("Windows", "ARM64")])
def test_other_systems_have_no_apple_gpu(system: str, machine_name: str) -> None:
    assert hardware._apple_gpu(system, machine_name, machine().processor, machine().memory) is None


def test_apple_silicon_shares_its_memory_with_the_gpu() -> None:
    memory = Memory(total_bytes=16 * GIB, available_bytes=10 * GIB)
    found = hardware._apple_gpu("Darwin", "arm64", Processor("Apple M2", 8, 8), memory)
    assert found == AppleGpu("Apple M2", total_bytes=16 * GIB, free_bytes=10 * GIB)


# JSON.


@pytest.mark.parametrize(
    "value",
    [
        machine(gpu_problem=NOT_FOUND_ANYWHERE),
        machine(gpus=(gpu(), gpu(index=1, temperature_c=None, problem="GPU is lost.")), battery=Battery(80.0, True)),
        machine(disk=None, apple_gpu=AppleGpu("Apple M2", 16 * GIB, 10 * GIB), battery=Battery(1.0, None)),
    ],
)
def test_json_gives_back_the_same_value(value: Hardware) -> None:
    assert hardware.from_json(hardware.to_json(value)) == value


def test_json_is_one_line_of_plain_names() -> None:
    text = hardware.to_json(machine(gpus=(gpu(),)))
    assert "\n" not in text
    assert json.loads(text)["gpus"][0]["free_bytes"] == 11 * GIB


def test_json_of_a_newer_version_is_read() -> None:
    value = json.loads(hardware.to_json(machine()))
    value["npus"] = [1]
    value["memory"]["speed"] = 6400
    assert hardware.from_json(json.dumps(value)) == machine()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"processor": 1, "memory": 2}', hardware.to_json(machine()).replace("8", '"8"', 1)]
)
def test_json_that_is_not_hardware_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        hardware.from_json(text)


# In words.


def test_the_description_of_a_gpu_tells_memory_heat_and_power() -> None:
    first, processor, memory, disk = describe(machine(gpus=(gpu(),))).splitlines()
    assert first == (
        "NVIDIA GeForce RTX 3060 (GPU 0): 11.0 of 12.0 GB free, 45 °C, 30 of 170 W, 3 % busy, driver 580.65.06"
    )
    assert processor == "Processor: Example 9000, 8 cores, 16 threads"
    assert memory == "Memory: 20.0 of 32.0 GB available"
    assert disk == "Disk: 123 of 500 GB free"


def test_the_description_leaves_out_what_a_card_does_not_tell() -> None:
    silent = gpu(temperature_c=None, power_w=None, utilisation_percent=None, driver_version=None)
    assert describe(machine(gpus=(silent,))).splitlines()[0] == (
        "NVIDIA GeForce RTX 3060 (GPU 0): 11.0 of 12.0 GB free"
    )


def test_the_description_tells_power_without_a_limit() -> None:
    assert "45 °C, 30 W, 3 % busy" in describe(machine(gpus=(gpu(power_limit_w=None),)))


def test_the_description_names_the_card_that_cannot_be_used_and_why() -> None:
    lost = gpu(index=1, name="NVIDIA RTX A4000", total_bytes=0, free_bytes=0, problem="GPU is lost.")
    text = describe(machine(gpus=(gpu(), lost)))
    assert "NVIDIA RTX A4000 (GPU 1): cannot be used. GPU is lost." in text.splitlines()
    assert "runs on the processor" not in text


def test_the_description_says_when_no_card_can_be_used() -> None:
    text = describe(machine(gpus=(gpu(problem="GPU is lost."),)))
    assert "None of the GPUs can be used. This machine runs on the processor." in text.splitlines()


def test_the_description_without_a_gpu_gives_the_reason_and_the_processor() -> None:
    lines = describe(machine(gpu_problem=NOT_FOUND_ANYWHERE)).splitlines()
    assert lines[0] == "No NVIDIA driver was found. This machine runs on the processor."
    assert lines[1] == "Processor: Example 9000, 8 cores, 16 threads"
    assert lines[2] == "Memory: 20.0 of 32.0 GB available"


def test_the_description_of_apple_silicon_tells_of_shared_memory() -> None:
    text = describe(machine(apple_gpu=AppleGpu("Apple M2", 16 * GIB, 10 * GIB)))
    assert text.splitlines()[0] == "Apple M2 GPU: 10.0 of 16.0 GB free, shared with the processor"
    assert "runs on the processor" not in text


def test_the_description_works_where_cores_and_disk_are_unknown() -> None:
    unknown = machine(processor=Processor("riscv64", physical_cores=None, logical_cores=4), disk=None)
    text = describe(unknown)
    assert "Processor: riscv64, 4 threads" in text.splitlines()
    assert "Disk" not in text


@pytest.mark.parametrize(
    ("plugged_in", "line"),
    [(True, "Battery: 80 %, plugged in"), (False, "Battery: 80 %, not plugged in"), (None, "Battery: 80 %")],
)
def test_the_description_tells_of_a_battery(plugged_in: bool | None, line: str) -> None:
    assert describe(machine(battery=Battery(80.0, plugged_in))).splitlines()[-1] == line
