"""Advice for prompts without any name that a small model knows."""

from pathlib import Path

import pytest

from generation.vocabulary import Vocabulary
from model_folder import ModelFolderError, read_vocabulary

VOCABULARY = Vocabulary(
    (
        ("panda", "panda bear", "熊猫"),
        ("cat", "kitten", "猫"),
        ("bus", "巴士"),
        ("steam train", "locomotive", "蒸汽火车"),
        ("key",),
        ("owl",),
        ("ox",),
    )
)


@pytest.mark.parametrize(
    "prompt", ["panda", "A cute PANDA is sitting", "two cats", "buses, please", "一只可爱的熊猫坐在沙发上", "kitten."]
)
def test_a_known_name_needs_no_advice(prompt: str) -> None:
    assert VOCABULARY.advice([prompt]) == []


@pytest.mark.parametrize("prompt", ["a xylophone", "monkey", "catastrophe", "木琴", "the Eiffel tower at night", ""])
def test_a_prompt_without_known_names_gets_advice_without_guesses(prompt: str) -> None:
    (warning,) = VOCABULARY.advice([prompt])
    assert warning == "This model knows 7 subjects and found none of them in the prompt."


@pytest.mark.parametrize(
    ("prompt", "nearest"),
    [
        ("a long train in the mountains", "steam train"),
        ("fast Trains!", "steam train"),
        ("一列绿色的火车", "蒸汽火车"),
        ("pandda", ""),
        ("stream", ""),
        ("steam", ""),
    ],
)
def test_the_nearest_subject_shares_a_whole_word_and_the_script(prompt: str, nearest: str) -> None:
    (warning,) = VOCABULARY.advice([prompt])
    assert warning.partition("nearest: ")[2].rstrip(".") == nearest


def test_several_prompts_get_one_warning() -> None:
    (warning,) = VOCABULARY.advice(["木琴", "cat", "harp"])
    assert "2 of the prompts" in warning


def test_a_model_without_a_vocabulary_gives_no_advice(tmp_path: Path) -> None:
    assert Vocabulary(read_vocabulary(tmp_path)).advice(["木琴"]) == []


@pytest.mark.parametrize(
    "text", ["{", "[1]", '{"panda": ["熊猫"]}', '["panda"]', "[[]]", '[["panda", 1]]', "null", "[" * 100_000, "\x00"]
)
def test_a_malformed_vocabulary_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "vocabulary.json").write_text(text)
    with pytest.raises(ModelFolderError) as caught:
        read_vocabulary(tmp_path)
    assert "vocabulary.json" in caught.value.message
    assert "[[" in caught.value.hint
