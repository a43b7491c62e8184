"""Pictures of every page, light and dark, of the real window with a real swarm of two workers on this computer.

    python tests/gui/take_pictures.py FOLDER [--language de] [--text-scale 1.5]

Takes about three minutes. Needs Xvfb and trayer.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from desktop import desktop, missing_programs

BESIDE = Path(__file__).parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--language", help="as in the settings: de, en")
    parser.add_argument("--text-scale", default="1", help="how much larger text is")
    given = parser.parse_args()
    if missing := missing_programs():
        print(f"Not installed: {', '.join(missing)}.", file=sys.stderr)
        return 1
    given.folder.mkdir(parents=True, exist_ok=True)
    with desktop() as environment, tempfile.TemporaryDirectory(prefix="volunteer-pictures-") as data_dir:
        command = (str(BESIDE / "driven_window.py"), "every_page", data_dir, "--pictures", str(given.folder))
        return subprocess.run(
            [sys.executable, *command],
            env={
                **environment,
                "PYTHONPATH": os.pathsep.join((str(BESIDE.parent.parent), os.environ.get("PYTHONPATH", ""))),
                "OMP_NUM_THREADS": "1",
                "VOLUNTEER_PICTURES_LANGUAGE": given.language or "",
                "VOLUNTEER_PICTURES_TEXT_SCALE": given.text_scale,
            },
            check=False,
        ).returncode


if __name__ == "__main__":
    raise SystemExit(main())
