"""What a model that knows few words says to one that it does not know."""

from pathlib import Path

import pytest

from contract import EaselError
from generation.vocabulary import OFFERED, Vocabulary, read

THINGS = Vocabulary(
    (("panda", "panda bear", "熊猫"), ("cat", "kitten", "猫"), ("bus", "巴士"), ("key",), ("owl",), ("ox",))
)


@pytest.mark.parametrize(
    "prompt", ["panda", "A cute PANDA is sitting", "two cats", "buses, please", "一只可爱的熊猫坐在沙发上", "kitten."]
)
def test_a_known_word_needs_no_advice(prompt: str) -> None:
    assert THINGS.advice([prompt]) == []


@pytest.mark.parametrize("prompt", ["a xylophone", "monkey", "catastrophe", "木琴", ""])
def test_an_unknown_word_is_told_with_names_to_try(prompt: str) -> None:
    (told,) = THINGS.advice([prompt])
    assert told.startswith("This model draws 6 things and found none of them in the prompt. Try for instance ")
    assert prompt not in told or not prompt


def test_a_slip_of_the_pen_gets_the_name_that_was_meant_first() -> None:
    (told,) = THINGS.advice(["a pandda"])
    assert "instance panda, " in told
    assert told.count(",") == OFFERED - 1


def test_who_writes_chinese_is_offered_chinese() -> None:
    (told,) = THINGS.advice(["一架木琴"])
    assert "instance 熊猫, 猫, 巴士, key, owl; " in told


def test_several_prompts_are_told_of_once() -> None:
    (told,) = THINGS.advice(["木琴", "cat", "harp"])
    assert "2 of the prompts" in told


def test_a_model_that_draws_anything_advises_nothing(tmp_path: Path) -> None:
    assert read(tmp_path).advice(["木琴"]) == []


@pytest.mark.parametrize(
    "text", ["{", "[1]", '{"panda": ["熊猫"]}', '["panda"]', "[[]]", '[["panda", 1]]', "null", "[" * 100_000, "\x00"]
)
def test_a_vocabulary_that_cannot_be_read_refuses_the_folder(tmp_path: Path, text: str) -> None:
    (tmp_path / "vocabulary.json").write_text(text)
    with pytest.raises(EaselError) as caught:
        read(tmp_path)
    error = caught.value
    assert (error.code, error.message) == ("config_error", "vocabulary.json is no list of lists of names")
    assert "[[" in error.hint
