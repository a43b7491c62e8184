"""What the PyTorch that is installed here can compute on, found out without loading it, which takes seconds."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from contextlib import suppress
from pathlib import Path

from volunteer.hardware import Hardware


def has_cuda() -> bool:
    """Whether it was built for NVIDIA GPUs; true as well where it does not tell, as in a built program."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return True
    with suppress(OSError):
        text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8", errors="replace")
        return re.search(r"^cuda\b.*= None$", text, re.MULTILINE) is None
    return True


def within_reach(hardware: Hardware, *, has_cuda: bool) -> Hardware:
    """With the reason at each NVIDIA GPU that PyTorch cannot use."""
    if has_cuda:
        return hardware
    reason = "The PyTorch that is installed here was built without support for NVIDIA GPUs."
    gpus = tuple(gpu if gpu.problem else dataclasses.replace(gpu, problem=reason) for gpu in hardware.gpus)
    return dataclasses.replace(hardware, gpus=gpus)
