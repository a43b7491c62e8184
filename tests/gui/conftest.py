"""Widgets are tested offscreen, wherever the tests run, in English and in the light theme."""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest
from PySide6.QtCore import QEvent, QLocale
from PySide6.QtWidgets import QApplication

from gui import theme

if TYPE_CHECKING:
    from fake_link import FakeLink


def _import_beside(name: str) -> ModuleType:
    # By its path: with --import-mode=importlib no folder of tests is on sys.path. Tests then import it by its name.
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        if spec is None or spec.loader is None:
            raise ImportError(name)
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


_fake_link = _import_beside("fake_link")
_import_beside("played_worker")


@pytest.fixture(autouse=True, scope="package")
def no_garbage_in_other_threads() -> Iterator[None]:
    """As in the program (`gui.garbage`): a thread of another test must not delete widgets of this one."""
    gc.collect()
    gc.freeze()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


@pytest.fixture(autouse=True)
def collect_garbage() -> Iterator[None]:
    """The young: what outlives a test is left until the end, for a full round takes a third of a second."""
    yield
    gc.collect(1)


@pytest.fixture(autouse=True)
def light_theme(request: pytest.FixtureRequest) -> None:
    if {"qtbot", "qapp"} & set(request.fixturenames):
        app = request.getfixturevalue("qapp")
        assert isinstance(app, QApplication)
        # What earlier tests have finished with: it would be dressed again with every change of theme.
        app.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        theme.apply(app, "light", 1.0)


@pytest.fixture(autouse=True)
def english() -> None:
    QLocale.setDefault(QLocale(QLocale.Language.English, QLocale.Country.UnitedStates))


@pytest.fixture
def link(qapp: QApplication, tmp_path: Path) -> FakeLink:
    """Connected to a worker that a test speaks for."""
    made: FakeLink = _fake_link.FakeLink(tmp_path)
    return made
