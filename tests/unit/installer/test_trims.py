from pathlib import Path

import pytest

from installer.trims import keeps_file, keeps_torch_module, keeps_transformers_model, modules_below


@pytest.mark.parametrize(
    "module",
    [
        "transformers.models",
        "transformers.models.auto.modeling_auto",
        "transformers.models.bloom.modeling_bloom",
        "transformers.models.gemma",
        "transformers.models.gemma.configuration_gemma",
        "transformers.models.gemma.tokenization_gemma",
    ],
)
def test_every_configuration_and_tokenizer_goes_in_and_the_layers_of_our_families(module: str) -> None:
    assert keeps_transformers_model(module)


@pytest.mark.parametrize(
    "module", ["transformers.models.gemma.modeling_gemma", "transformers.models.clip.image_processing_clip"]
)
def test_layers_of_other_families_stay_out(module: str) -> None:
    assert not keeps_transformers_model(module)


def test_of_torchs_tests_only_what_torch_itself_imports_goes_in() -> None:
    assert keeps_torch_module("torch.testing")
    assert keeps_torch_module("torch.testing._internal")
    assert keeps_torch_module("torch.testing._internal.logging_tensor")
    assert not keeps_torch_module("torch.testing._internal.common_methods_invocations")


def test_bitsandbytes_brings_the_library_of_torchs_cuda_alone() -> None:
    folder = "bitsandbytes/libbitsandbytes_"
    assert [keeps_file(f"{folder}{name}.so", None) for name in ("cpu", "cuda128", "rocm70")] == [True, False, False]
    assert [keeps_file(f"{folder}{name}.so", "12.8") for name in ("cpu", "cuda128", "cuda118")] == [True, True, False]


def test_libraries_of_the_system_stay_out_and_those_of_wheels_go_in() -> None:
    assert not keeps_file("libstdc++.so.6", None)
    assert not keeps_file("libxcb-cursor.so.0", None)
    assert not keeps_file("libcudart.so.13", "13.0")
    assert keeps_file("libssl.so.3", None)
    assert keeps_file("numpy.libs/libgfortran-040039e1.so.5.0.0", None)
    assert keeps_file("torch/lib/libgomp.so.1", None)


def test_only_the_qt_plugins_of_a_widget_program_go_in() -> None:
    plugins = "PySide6/Qt/plugins/"
    assert keeps_file(f"{plugins}platforms/libqxcb.so", None)
    assert keeps_file(f"{plugins}platforms/libqwayland.so", None)
    assert not keeps_file(f"{plugins}platforms/libqvnc.so", None)
    assert not keeps_file(f"{plugins}platformthemes/libqgtk3.so", None)
    assert not keeps_file(f"{plugins}qmltooling/libqmldbg_server.so", None)


def test_torch_finds_the_helper_that_it_looks_for_and_leaves_its_tests() -> None:
    assert keeps_file("torch/bin/torch_shm_manager", None)
    assert not keeps_file("torch/bin/test_jit", None)
    assert not keeps_file("torch/lib/libjitbackend_test.so", None)


def test_modules_are_named_from_files(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    for name in ("__init__.py", "part/__init__.py", "part/piece.py"):
        (tmp_path / name).touch()
    assert list(modules_below("whole", tmp_path)) == ["whole", "whole.part", "whole.part.piece"]
