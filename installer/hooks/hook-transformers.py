"""In place of the hook that comes with PyInstaller: the layers of those model families alone that the program can hold.

transformers finds its models by reading the sources in its folder `models`, so sources go in beside the compiled
modules, and what is left out there is, for it, not installed.
"""

from pathlib import Path

from PyInstaller.utils.hooks import get_package_paths

from installer.trims import keeps_transformers_model, modules_below

_FOLDER = Path(get_package_paths("transformers")[1])

hiddenimports = [
    # Most are imported by name, when the first thing in them is asked for.
    *(name for name in modules_below("transformers.models", _FOLDER / "models") if keeps_transformers_model(name)),
    *modules_below("transformers.integrations", _FOLDER / "integrations"),
    *modules_below("transformers.quantizers", _FOLDER / "quantizers"),
    *modules_below("transformers.generation", _FOLDER / "generation"),
    *modules_below("transformers.utils", _FOLDER / "utils"),
]
warn_on_missing_hiddenimports = False
module_collection_mode = "pyz+py"
