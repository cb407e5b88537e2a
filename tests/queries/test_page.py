"""docs/queries.md: what it shows runs, and finds what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from stair_search.queries import Bool, Boosted, Tokens

PAGE = Path(__file__).parents[2] / "docs" / "queries.md"


def test_the_code_on_the_page() -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    assert isinstance(names["query"], Boosted)
    assert isinstance(names["query"].query, Bool)
    asked = names["wanted"]
    assert isinstance(asked, Tokens)
    assert asked.asked and len(asked.asked) < len(asked.weights)  # people are taken away
