import pytest

from volunteer.server.reachability import Reach, advice, reach_of
from volunteer.swarm.dial_back import Dialled

DIRECT, RELAYED, LOST = Dialled(True), Dialled(False, over_relay=True), Dialled(False)


@pytest.mark.parametrize(
    ("answers", "reach"),
    [
        ([], Reach.UNKNOWN),
        ([None, None], Reach.UNKNOWN),
        ([DIRECT], Reach.DIRECT),
        ([DIRECT, LOST, None], Reach.DIRECT),
        ([DIRECT, LOST, LOST], Reach.UNREACHABLE),
        ([RELAYED], Reach.RELAYED),
        ([DIRECT, DIRECT, RELAYED, LOST], Reach.DIRECT),
        ([DIRECT, RELAYED, RELAYED], Reach.RELAYED),
        ([RELAYED, LOST, LOST], Reach.UNREACHABLE),
    ],
)
def test_half_of_those_who_tried_must_have_come_through(answers: list[Dialled | None], reach: Reach) -> None:
    assert reach_of(answers) is reach


@pytest.mark.parametrize("reach", list(Reach))
def test_there_is_a_sentence_for_each(reach: Reach) -> None:
    sentence = advice(reach, [4001])
    assert sentence.endswith(".")
    assert ("4001" in sentence) == (reach in (Reach.RELAYED, Reach.UNREACHABLE))
