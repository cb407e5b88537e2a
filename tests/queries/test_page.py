"""docs/queries.md: what it shows runs, and finds what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from stair_search.queries import Bool, Boosted, Governed, QueryPolicy, Tokens

PAGE = Path(__file__).parents[2] / "docs" / "queries.md"


def test_the_code_on_the_page() -> None:
    first, *others = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(first, str(PAGE), "exec"), names)
    assert isinstance(names["query"], Boosted)
    assert isinstance(names["query"].query, Bool)
    held = dict(names)
    exec(compile("\n".join(others), str(PAGE), "exec"), held)
    assert isinstance(held["query"], Governed)
    assert held["query"].filter == held["kids"].rules
    asked = names["wanted"]
    assert isinstance(asked, Tokens)
    assert asked.asked and len(asked.asked) < len(asked.weights)  # people are taken away


def test_the_policy_on_the_page(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    file = tmp_path / "kids.toml"
    file.write_text(text)
    policy = QueryPolicy.load(file)
    assert (policy.forbid, policy.most_tokens) == ({"gun": None, "blood": 0.3}, 32)
