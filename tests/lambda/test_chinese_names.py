"""What the model draws, for people who read Chinese."""

import json

from fakes import ROOT

from routes.chinese_names import in_chinese

DRAWS = json.loads((ROOT / "models/emoji.json").read_text("utf-8"))["draws"]


def test_everything_that_the_embedded_model_draws_has_a_chinese_name() -> None:
    told = in_chinese(DRAWS)
    assert len(told) == len(DRAWS)
    assert [name for name in told if name.isascii()] == []
    assert told[DRAWS.index("panda")] == "熊猫"


def test_what_has_none_stays_as_it_is() -> None:
    assert in_chinese(["xylophone", "cat"]) == ["xylophone", "猫"]
