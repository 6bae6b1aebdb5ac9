"""Chinese names of the embedded model's subjects."""

import json

from fakes import ROOT

from routes.chinese_names import in_chinese

SUBJECTS = json.loads((ROOT / "models/emoji.json").read_text("utf-8"))["subjects"]


def test_every_subject_of_the_embedded_model_has_a_chinese_name() -> None:
    names = in_chinese(SUBJECTS)
    assert len(names) == len(SUBJECTS)
    assert [name for name in names if name.isascii()] == []
    assert names[SUBJECTS.index("panda")] == "熊猫"


def test_an_unknown_name_stays_unchanged() -> None:
    assert in_chinese(["xylophone", "cat"]) == ["xylophone", "猫"]
