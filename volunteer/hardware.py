"""What this machine has: GPUs, processor, memory, disk and battery, as one frozen value.

Knows NVML and psutil; does not know torch, nor what blocks need. The NVIDIA driver is asked in a process that is thrown
away, so that a driver that crashes or hangs costs this process nothing.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

if TYPE_CHECKING:
    import pynvml

logger = logging.getLogger(__name__)

DETECTION_TIMEOUT_S = 20.0
"""Without NVIDIA's persistence daemon a driver wakes its cards one after another, a second or two each."""

SMALLEST_GPU_BYTES = 2**30
"""CUDA and its kernels take some 400 MB before the first tensor; a smaller card would hold nothing but them."""

_ANSWER_LIMIT_BYTES = 2**20
_KILLED_WITHIN_S = 2.0

T = TypeVar("T")
Count = Annotated[int, Field(ge=0)]
Watts = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100)]


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU; a reading that the card does not give is None."""

    index: Count
    """NVML's number, in the order of the bus. CUDA counts the fastest first: match cards by `uuid`."""
    name: str
    uuid: str | None = None
    driver_version: str | None = None
    total_bytes: Count = 0
    """0 when it could not be read; `problem` then says why."""
    free_bytes: Count = 0
    temperature_c: int | None = None
    power_w: Watts | None = None
    power_limit_w: Watts | None = None
    utilisation_percent: Count | None = None
    problem: str | None = None
    """Why this GPU cannot be used, in a sentence."""


@dataclass(frozen=True)
class AppleGpu:
    """The GPU of an Apple processor, which has no memory of its own; Metal grants it a part of what is free."""

    name: str
    total_bytes: Count
    free_bytes: Count


@dataclass(frozen=True)
class Processor:
    name: str
    physical_cores: int | None
    """None where the system does not tell, as in some virtual machines."""
    logical_cores: int


@dataclass(frozen=True)
class Memory:
    total_bytes: Count
    available_bytes: Count


@dataclass(frozen=True)
class Disk:
    """The volume that holds the data folder."""

    total_bytes: Count
    free_bytes: Count


@dataclass(frozen=True)
class Battery:
    percent: Percent
    plugged_in: bool | None
    """None when the system cannot tell, as when a full battery rests at its charge limit."""


@dataclass(frozen=True)
class Hardware:
    processor: Processor
    memory: Memory
    gpus: tuple[Gpu, ...] = ()
    gpu_problem: str | None = None
    """Why `gpus` is empty, in a sentence."""
    apple_gpu: AppleGpu | None = None
    disk: Disk | None = None
    battery: Battery | None = None

    @property
    def usable_gpus(self) -> tuple[Gpu, ...]:
        return tuple(gpu for gpu in self.gpus if gpu.problem is None)


@dataclass(frozen=True)
class _NvidiaAnswer:
    """What the throw-away process prints."""

    gpus: tuple[Gpu, ...] = ()
    problem: str | None = None


_HARDWARE = TypeAdapter(Hardware)
_NVIDIA_ANSWER = TypeAdapter(_NvidiaAnswer)


def detect(data_dir: Path, *, timeout_s: float = DETECTION_TIMEOUT_S) -> Hardware:
    """Look at the machine now; blocks for at most about `timeout_s`. The folder `data_dir` need not exist yet."""
    processor, memory = _processor(), _memory()
    apple_gpu = _apple_gpu(platform.system(), platform.machine(), processor, memory)
    # Apple silicon has no NVIDIA driver to ask.
    answer = _NvidiaAnswer() if apple_gpu else _ask_in_other_process(timeout_s)
    return Hardware(
        processor=processor,
        memory=memory,
        gpus=answer.gpus,
        gpu_problem=answer.problem,
        apple_gpu=apple_gpu,
        disk=_disk(data_dir),
        battery=_battery(),
    )


def to_json(hardware: Hardware) -> str:
    return json.dumps(asdict(hardware), ensure_ascii=False)


def from_json(text: str | bytes) -> Hardware:
    """Raises ValueError; fields of a newer version are ignored."""
    return _HARDWARE.validate_json(text, strict=True)


# The parent's side: start the process, wait, read.


def detection_command() -> list[str]:
    if getattr(sys, "frozen", False):
        return [sys.executable, "hardware"]
    # By its file and without the script's folder on the path, so that it is the same code from whatever folder.
    return [sys.executable, "-P", str(Path(__file__).resolve())]


def _ask_in_other_process(timeout_s: float) -> _NvidiaAnswer:
    try:
        # Files, not pipes: a helper that the driver started may keep a pipe open long after the process is dead.
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            returncode = _run_detection(output.fileno(), errors.fileno(), timeout_s)
            output.seek(0)
            answer = output.read(_ANSWER_LIMIT_BYTES)
            errors.seek(0)
            complaint = errors.read(_ANSWER_LIMIT_BYTES).decode(errors="replace").strip()
    except OSError as error:
        return _NvidiaAnswer(problem=f"The search for GPUs could not be started: {error}.")
    try:
        # A driver that fails while the process is leaving has answered all the same.
        return _NVIDIA_ANSWER.validate_json(answer, strict=True)
    except ValidationError as error:
        logger.warning("The search for GPUs ended with %s: %s\n%s", returncode, error, complaint)
    return _NvidiaAnswer(problem=_why_no_answer(returncode, timeout_s))


def _run_detection(output_fd: int, errors_fd: int, timeout_s: float) -> int | None:
    """The process's return code, or None if it had to be killed."""
    process = subprocess.Popen(
        detection_command(),
        stdin=subprocess.PIPE,  # stays open as long as this process lives: see `_end_with_parent`
        stdout=output_fd,
        stderr=errors_fd,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        process.kill()
        # A process that hangs inside the kernel part of a driver cannot be killed: it is left behind, not waited for.
        with suppress(subprocess.TimeoutExpired):
            process.wait(_KILLED_WITHIN_S)
        if process.stdin is not None:
            process.stdin.close()


def _why_no_answer(returncode: int | None, timeout_s: float) -> str:
    if returncode is None:
        return f"The NVIDIA driver did not answer within {timeout_s:g} seconds."
    if returncode < 0:
        name = signal.Signals(-returncode).name if -returncode in set(signal.Signals) else f"signal {-returncode}"
        return f"The NVIDIA driver crashed when it was asked for GPUs ({name})."
    if returncode >= 0xC0000000:  # how Windows reports a crash
        return f"The NVIDIA driver crashed when it was asked for GPUs (0x{returncode:X})."
    if returncode > 0:
        return f"The search for GPUs failed (exit code {returncode}); the log says more."
    return "The search for GPUs gave an answer that cannot be read."


# The throw-away process: everything that touches the driver.


def main() -> int:
    """Ask the driver, print one line of JSON, end."""
    _crash_quietly()
    if sys.platform != "win32":  # where a pending read of standard input can block the loading of libraries
        threading.Thread(target=_end_with_parent, daemon=True).start()
    # What the driver itself prints goes to standard error, also what C buffers until the exit.
    answer_fd = os.dup(1)
    os.dup2(2, 1)
    answer = _ask_nvml()
    with os.fdopen(answer_fd, "wb") as output:
        output.write(json.dumps(asdict(answer)).encode() + b"\n")
    return 0


def _crash_quietly() -> None:
    """No core file and no error window: a crash here is expected and reported in words."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.SetErrorMode(msvcrt.SEM_FAILCRITICALERRORS | msvcrt.SEM_NOGPFAULTERRORBOX)
    else:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end_with_parent() -> None:
    """Nobody waits for the answer once standard input is closed; a hung driver must not outlive the one who asked."""
    with suppress(OSError):
        while os.read(0, 1):
            pass
        os._exit(1)


def _ask_nvml() -> _NvidiaAnswer:
    import pynvml

    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError as error:
        return _NvidiaAnswer(problem=_driver_problem(error))
    if count == 0:
        return _NvidiaAnswer(problem="The NVIDIA driver finds no GPU.")
    # No nvmlShutdown: the process ends with the answer, and what a broken driver does then harms nobody.
    driver_version = None
    with suppress(pynvml.NVMLError, UnicodeDecodeError):
        driver_version = pynvml.nvmlSystemGetDriverVersion()
    return _NvidiaAnswer(gpus=tuple(_ask_gpu(index, driver_version) for index in range(count)))


def _ask_gpu(index: int, driver_version: str | None) -> Gpu:
    import pynvml

    name, uuid, total_bytes, free_bytes = "NVIDIA GPU", None, 0, 0
    temperature_c = power_mw = limit_mw = utilisation = problem = None
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        name = _reading(lambda: pynvml.nvmlDeviceGetName(handle)) or name
        uuid = _reading(lambda: pynvml.nvmlDeviceGetUUID(handle))
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        total_bytes, free_bytes = memory.total, memory.free
        temperature_c = _reading(lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))
        power_mw = _reading(lambda: pynvml.nvmlDeviceGetPowerUsage(handle))
        limit_mw = _reading(lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(handle))
        utilisation = _reading(lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        if total_bytes < SMALLEST_GPU_BYTES:
            problem = f"This GPU has {_memory_gb(total_bytes)} GB of memory, too little to hold blocks."
    except pynvml.NVMLError as error:
        problem = _gpu_problem(error)
    return Gpu(
        index=index,
        name=name,
        uuid=uuid,
        driver_version=driver_version,
        total_bytes=total_bytes,
        free_bytes=free_bytes,
        temperature_c=temperature_c,
        power_w=None if power_mw is None else power_mw / 1000,
        power_limit_w=None if limit_mw is None else limit_mw / 1000,
        utilisation_percent=utilisation,
        problem=problem,
    )


def _reading(read: Callable[[], T]) -> T | None:
    """None for a reading that a card does not give; a card that is gone raises.

    Not only NOT_SUPPORTED means None: under WSL and on some laptops, cards that compute well answer UNKNOWN.
    """
    import pynvml

    try:
        return read()
    except UnicodeDecodeError:  # a damaged name
        return None
    except pynvml.NVMLError as error:
        if error.value in (pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED):
            raise
        return None


def _driver_problem(error: pynvml.NVMLError) -> str:
    import pynvml

    match error.value:
        case pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
            return "No NVIDIA driver was found."
        case pynvml.NVML_ERROR_DRIVER_NOT_LOADED:
            return "No NVIDIA driver is running, although its library is installed."
        case pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
            return "The NVIDIA driver was updated; restart the computer to use its GPUs."
        case pynvml.NVML_ERROR_FUNCTION_NOT_FOUND:
            return "The NVIDIA driver is too old to be asked for its GPUs."
        case pynvml.NVML_ERROR_NO_PERMISSION:
            return "This user may not use the NVIDIA driver."
        case _:
            return f"The NVIDIA driver reports: {_words(error)}."


def _gpu_problem(error: pynvml.NVMLError) -> str:
    import pynvml

    match error.value:
        case pynvml.NVML_ERROR_GPU_IS_LOST:
            return "GPU is lost: the driver cannot reach it; restarting the computer usually brings it back."
        case pynvml.NVML_ERROR_RESET_REQUIRED:
            return "This GPU has to be reset; restart the computer."
        case pynvml.NVML_ERROR_INSUFFICIENT_POWER:
            return "This GPU gets too little power; check its power cables."
        case pynvml.NVML_ERROR_NO_PERMISSION:
            return "This user may not use this GPU."
        case pynvml.NVML_ERROR_NOT_SUPPORTED:
            return "The driver does not tell how much memory this GPU has."
        case _:
            return f"The driver reports for this GPU: {_words(error)}."


def _words(error: pynvml.NVMLError) -> str:
    return str(error).rstrip(".")


# What is read in this process.


def _processor() -> Processor:
    import psutil

    logical_cores = psutil.cpu_count() or 1
    return Processor(name=processor_name(), physical_cores=psutil.cpu_count(logical=False), logical_cores=logical_cores)


def processor_name() -> str:
    """As its maker calls it; `platform.processor()` knows only the architecture on most systems."""
    with suppress(OSError, subprocess.SubprocessError):
        if sys.platform == "win32":
            import winreg

            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"HARDWARE\DESCRIPTION\System\CentralProcessor\0") as key:
                return str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
        if sys.platform == "darwin":
            sysctl = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(sysctl, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()
    return platform.machine() or "unknown processor"


def _memory() -> Memory:
    import psutil

    memory = psutil.virtual_memory()
    return Memory(total_bytes=memory.total, available_bytes=memory.available)


def _disk(data_dir: Path) -> Disk | None:
    import psutil

    data_dir = data_dir.absolute()
    for folder in (data_dir, *data_dir.parents):  # before the first start only a parent exists
        with suppress(OSError):
            usage = psutil.disk_usage(str(folder))
            return Disk(total_bytes=usage.total, free_bytes=usage.free)
    return None


def _battery(power_supplies: Path = Path("/sys/class/power_supply")) -> Battery | None:
    import psutil

    if only_devices_have_batteries(power_supplies):
        return None
    # psutil has no such function on some systems, and raises where the system hides its power supplies.
    with suppress(AttributeError, OSError, RuntimeError):
        battery = psutil.sensors_battery()
        if battery is not None:
            percent = min(100.0, max(0.0, float(battery.percent)))
            return Battery(percent=percent, plugged_in=battery.power_plugged)
    return None


def only_devices_have_batteries(power_supplies: Path) -> bool:
    """Linux lists the battery of a wireless mouse like a laptop's, and psutil then reports a desktop as unplugged."""
    scopes = []
    for kind in power_supplies.glob("*/type"):
        with suppress(OSError):
            if kind.read_text().strip() == "Battery":
                scope = kind.with_name("scope")
                scopes.append(scope.read_text().strip() if scope.exists() else "System")
    return bool(scopes) and all(scope == "Device" for scope in scopes)


def _apple_gpu(system: str, machine: str, processor: Processor, memory: Memory) -> AppleGpu | None:
    if (system, machine) != ("Darwin", "arm64"):
        return None
    return AppleGpu(processor.name, total_bytes=memory.total_bytes, free_bytes=memory.available_bytes)


# In words.


def describe(hardware: Hardware) -> str:
    """For a person, one line for each thing."""
    lines = [_describe_gpu(gpu) for gpu in hardware.gpus]
    if (apple_gpu := hardware.apple_gpu) is not None:
        free = f"{_memory_gb(apple_gpu.free_bytes)} of {_memory_gb(apple_gpu.total_bytes)} GB free"
        lines.append(f"{apple_gpu.name} GPU: {free}, shared with the processor")
    elif not hardware.usable_gpus:
        reason = "None of the GPUs can be used." if hardware.gpus else hardware.gpu_problem or "There is no GPU."
        lines.append(f"{reason} This machine runs on the processor.")
    lines.append(_describe_processor(hardware.processor))
    memory = hardware.memory
    lines.append(f"Memory: {_memory_gb(memory.available_bytes)} of {_memory_gb(memory.total_bytes)} GB available")
    if (disk := hardware.disk) is not None:
        lines.append(f"Disk: {disk.free_bytes / 1e9:.0f} of {disk.total_bytes / 1e9:.0f} GB free")
    if (battery := hardware.battery) is not None:
        state = {True: ", plugged in", False: ", not plugged in", None: ""}[battery.plugged_in]
        lines.append(f"Battery: {battery.percent:.0f} %{state}")
    return "\n".join(lines)


def _describe_gpu(gpu: Gpu) -> str:
    title = f"{gpu.name} (GPU {gpu.index})"
    if gpu.problem is not None:
        return f"{title}: cannot be used. {gpu.problem}"
    facts = [f"{_memory_gb(gpu.free_bytes)} of {_memory_gb(gpu.total_bytes)} GB free"]
    if gpu.temperature_c is not None:
        facts.append(f"{gpu.temperature_c} °C")
    if gpu.power_w is not None:
        limit = "" if gpu.power_limit_w is None else f" of {gpu.power_limit_w:.0f}"
        facts.append(f"{gpu.power_w:.0f}{limit} W")
    if gpu.utilisation_percent is not None:
        facts.append(f"{gpu.utilisation_percent:.0f} % busy")
    if gpu.driver_version is not None:
        facts.append(f"driver {gpu.driver_version}")
    return f"{title}: {', '.join(facts)}"


def _describe_processor(processor: Processor) -> str:
    if processor.physical_cores is None:
        return f"Processor: {processor.name}, {processor.logical_cores} threads"
    return f"Processor: {processor.name}, {processor.physical_cores} cores, {processor.logical_cores} threads"


def _memory_gb(num_bytes: int) -> str:
    """Memory is sold in powers of two under the name GB, disks in powers of ten."""
    return f"{num_bytes / 2**30:.1f}"


if __name__ == "__main__":
    raise SystemExit(main())
