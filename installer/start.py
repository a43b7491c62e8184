"""Where the built program begins: puts the environment right, then is `volunteer/__main__.py`.

PyInstaller's loader starts this with its own folder as the place of libraries. This process has read that already; the
programs it starts, which are the system's, have to get what the user's environment says, or `xdg-open` and the like
load our libraries and fail.
"""

import os
import sys


def restore_environment() -> None:
    before = os.environ.pop("LD_LIBRARY_PATH_ORIG", None)
    if before is not None:
        os.environ["LD_LIBRARY_PATH"] = before
    elif "LD_LIBRARY_PATH" in os.environ:
        del os.environ["LD_LIBRARY_PATH"]
    # By these the loader knows its own children, which have no need to be known: each finds its libraries again.
    for name in [name for name in os.environ if name.startswith("_PYI_")]:
        del os.environ[name]
    # Set by PyInstaller's hook for PySide6. Qt finds its plugins without; another Qt program must not find ours.
    for name in ("QT_PLUGIN_PATH", "QML2_IMPORT_PATH"):
        if os.environ.get(name, "").startswith(sys._MEIPASS):  # type: ignore[attr-defined]
            del os.environ[name]


if __name__ == "__main__":
    restore_environment()
    # hivemind compiles a function with TorchScript when it is imported, which takes a second and wants its source.
    os.environ.setdefault("PYTORCH_JIT", "0")

    from multiprocessing import freeze_support

    from volunteer.cli import main

    freeze_support()
    raise SystemExit(main())
