"""The smoke suite's step with the doctor, which finds other things where the built program cannot serve."""

from __future__ import annotations

import importlib.metadata
import io
import sys
from pathlib import Path

import pytest

from installer import smoke
from volunteer import doctor


class OfThisTree(smoke.Built):
    """No built program: asks this tree's doctor, of the network daemon alone."""

    def run(self, *words: str, code: int = 0, timeout_s: float = 0.0) -> str:
        out = io.StringIO()
        report = Path(words[-1]) if "--report" in words else None
        ended = doctor.run(self.data_dir, out=out, as_json="--json" in words, report_file=report)
        if ended != code:
            raise smoke.Failed(f"doctor ended with {ended}, not {code}")
        return out.getvalue()


@pytest.fixture
def without_swarm(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where neither hivemind nor torch is packed."""
    version = importlib.metadata.version

    def packed(name: str) -> str:
        if name == "torch":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    def checks(*_: object, **__: object) -> list[doctor.Check]:
        return [doctor.Check("network daemon", *doctor._daemon(None))]

    monkeypatch.setattr(importlib.metadata, "version", packed)
    monkeypatch.setattr(doctor, "checks", checks)
    monkeypatch.setattr("volunteer.hardware.processor_name", lambda: "")  # asks Windows of itself


@pytest.mark.usefixtures("without_swarm")
@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_a_build_that_cannot_serve_is_asked_what_a_doctor_says_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    assert smoke.doctor in smoke.WITHOUT_SERVING
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(sys, "platform", platform)
        smoke.doctor(OfThisTree(tmp_path / "program", tmp_path / "data"))


@pytest.mark.usefixtures("without_swarm")
def test_a_build_that_serves_needs_its_daemon(tmp_path: Path) -> None:
    (tmp_path / "program" / "_internal" / "hivemind").mkdir(parents=True)
    with pytest.raises(smoke.Failed):
        smoke.doctor(OfThisTree(tmp_path / "program", tmp_path / "data"))
