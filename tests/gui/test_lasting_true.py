import subprocess
import sys

_PROGRAM = """
from PySide6.QtCore import QObject, Signal
from gui.lasting_true import make_true_last

class Sender(QObject):
    sent = Signal()

make_true_last()
sender = Sender()
for _ in range(20_000):
    sender.sent.emit()
"""


def test_signals_can_be_sent_all_day():
    """In a process of its own: PySide6 6.12.0 aborts it after some hundred signals otherwise."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
