"""hivemind brings the libp2p daemon as a program among its modules, and imports address codecs by their names."""

from pathlib import Path

from PyInstaller.utils.hooks import collect_submodules, get_package_paths

_FOLDER = Path(get_package_paths("hivemind")[1])

hiddenimports = collect_submodules("hivemind")
# As a library, so that it keeps its run bit, and on macOS is signed with the rest.
binaries = [(str(path), "hivemind/hivemind_cli") for path in (_FOLDER / "hivemind_cli").glob("p2pd*")]
