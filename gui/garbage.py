"""Python's collection of garbage, in the thread of the window alone.

By itself Python collects in whichever thread allocates, and what it finds may hold widgets: Qt ends the process when
one of those dies beside the thread that draws it. What is there from the start is set apart, so that later rounds,
which this thread has to wait for, stay short.
"""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, QTimer

_LOOK_MS = 250


class GarbageCollector(QObject):
    def __init__(self, parent: QObject | None) -> None:
        super().__init__(parent)
        self._thresholds = gc.get_threshold()
        gc.disable()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.look)
        self._timer.start(_LOOK_MS)

    def set_apart(self) -> None:
        """All that there is now is taken to be there until the end."""
        gc.collect()
        gc.freeze()

    def look(self) -> None:
        """Collects where Python itself would have."""
        counts = gc.get_count()
        due = [generation for generation in range(3) if counts[generation] > self._thresholds[generation]]
        if due:
            gc.collect(max(due))

    def stop(self) -> None:
        """At the end of the program: what is left dies with the process.

        Python's last round would delete view-models and their parents in no order, which Qt does not survive.
        """
        self._timer.stop()
        gc.freeze()
