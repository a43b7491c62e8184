"""Fixtures that tests in several folders share."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hub_server import HubServer


def _import_beside(name: str) -> ModuleType:
    # By its path: with --import-mode=importlib no folder of tests is on sys.path.
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        if spec is None or spec.loader is None:
            raise ImportError(name)
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """An empty Hugging Face Hub on loopback; its address is `hub.endpoint`."""
    with _import_beside("hub_server").HubServer() as server:
        yield server
