"""In place of the hook that comes with PyInstaller, which collects torch whole, its sources too (45 MB).

The program switches TorchScript off (`installer/start.py`), which reads sources at run time. What still does are a few
modules when they are imported: of settings, for comments in their own text, and of functions with overloads.
"""

from pathlib import Path

from PyInstaller.utils.hooks import PY_DYLIB_PATTERNS, collect_dynamic_libs, get_package_paths

from installer.trims import NEVER_LOADED, keeps_torch_module, modules_below

_FOLDER = Path(get_package_paths("torch")[1])


def _reads_itself(module: str) -> bool:
    path = _FOLDER.joinpath(*module.split(".")[1:]).with_suffix(".py")
    if not path.is_file():
        path = path.with_suffix("") / "__init__.py"
    text = path.read_text(encoding="utf-8")
    return "install_config_module(sys.modules[__name__])" in text or ("_jit_internal" in text and "_overload" in text)


def _is_wanted(module: str) -> bool:
    return keeps_torch_module(module) and not any(
        module == name or module.startswith(f"{name}.") for name in NEVER_LOADED
    )


hiddenimports = [module for module in modules_below("torch", _FOLDER) if _is_wanted(module)]
warn_on_missing_hiddenimports = False
# Those that are loaded by name, such as CUDA's; `trims.keeps_file` leaves out the ones of its tests.
binaries = collect_dynamic_libs("torch", search_patterns=[*PY_DYLIB_PATTERNS, "*.so.*"])
binaries += [(str(path), "torch/bin") for path in (_FOLDER / "bin").glob("torch_shm_manager*")]
# A torch with CUDA takes NVIDIA's libraries from packages of their own, below one folder, and looks for them there.
_NVIDIA = _FOLDER.parent / "nvidia"
binaries += [(str(path), str(path.parent.relative_to(_FOLDER.parent))) for path in sorted(_NVIDIA.rglob("*.so*"))]
# Links to them beside the program would mislead torch about where it lies.
bindepend_symlink_suppression = ["**/torch/lib/*.so*"]
module_collection_mode = {"torch": "pyz"} | {name: "pyz+py" for name in hiddenimports if _reads_itself(name)}
