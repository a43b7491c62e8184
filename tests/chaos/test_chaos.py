"""Half a minute of chaos; the long run is `chaos.py` by hand."""

from __future__ import annotations

from pathlib import Path

import chaos
import pytest

from volunteer.models.embedded import embedded_checkpoint_folder


@pytest.mark.long
@pytest.mark.timeout(600)
def test_no_answer_is_wrong_or_lost_in_chaos(tmp_path: Path) -> None:
    folder = embedded_checkpoint_folder(tmp_path / "models")
    outcome = chaos.run(folder, tmp_path, seconds=30, clients=3, context=32, new_tokens=12, seed=3, interval_s=3.0)
    print(chaos.report("smollm2", outcome))
    assert outcome.lost == []
    assert outcome.wrong == 0
    assert outcome.answers >= 3
    assert outcome.events.total() >= 3
