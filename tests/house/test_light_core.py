"""An application server that only asks questions installs no deep-learning stack."""

import pytest

from tests.house.light import LIGHT, without_the_heavy


@pytest.mark.parametrize("room", LIGHT)
def test_every_module_of_the_room_imports_without_them(room: str) -> None:
    without_the_heavy([room])


def test_the_static_encoder_turns_a_question_into_tokens_without_them() -> None:
    then = """
from stair_search import load_encoder
print(len(load_encoder("starter").encode_text("a dog on the beach")))
"""
    assert int(without_the_heavy([], then)) > 0


def test_the_command_line_starts_without_them() -> None:
    without_the_heavy([], "from stair_search.cli import main")


def test_the_blocker_blocks() -> None:
    with pytest.raises(AssertionError, match="PIL is blocked"):
        without_the_heavy([], "import PIL")
