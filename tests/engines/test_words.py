"""Our words are those of the `standard` analyzer, asked of real nodes."""

from __future__ import annotations

import json
import random
import unicodedata
import urllib.request

import pytest

from stair_search.engines.words import words

TEXTS = [
    "don't 3.5 foo_bar café 日本 👍🏽 ไทย",
    "A brown dog runs along the sandy beach.",
    "don’t “smart” quotes—dash e.g. U.S.A. o'clock 'quoted' it's:fine a:b a.b.c 1.a a.1",
    "1,000.50 1;2 1'2 x_y_ _z __ _1 45½ ½ x² ① Ⅳ foo@bar.com http://a.b/c?d=e",
    "1️⃣2️⃣ #️⃣ ℹ️ ©2020 ™ ® ☎️ ★ ☆ ♥ ❤️‍🔥 👨‍👩‍👧‍👦 🇩🇪🇫🇷🇩 👍👍🏽",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f flag",
    "人々 カタカナ ひらがな 한국어 mixed日本text ﾊﾝｶｸ ｶﾞ ー １２３ 𠀋𠀌",
    "שלום צה\"ל ג' x'א' العربية ١٢٣ ٣٫٥ हिन्दी में မြန်မာ ខ្មែរ ລາວ",
    "İstanbul ΣΊΣΥΦΟΣ ß ẞ STRASSE Ǆ ﬁ",
    "a\u200db \u00adsoft\u00adhyphen zero\u200bwidth nbsp\u00a0x\ttab\r\nline",
    "x" * 600 + " " + "𝒳" * 300,
    "... !!",
    "",
]
# no skin tone: behind a letter the two engines differ (Unicode 9 and 12)
COMMON = "abcXYZ019._:;,'\"-_ \u2019\u200d\ufe0f\u20e3👍❤🇩🇪日ひカ한ไא١éİ#*©ℹ"


def random_texts(count: int) -> list[str]:
    """Of characters that matter to the rules, and of any that Unicode 3.2 knew: Lucene's tables are
    of Unicode 9, ours newer."""
    chance = random.Random(3)
    known = [c for c in map(chr, range(0x20, 0x30000)) if _known(c)]
    return ["".join(chance.choices(COMMON, k=60)) for _ in range(count)] + [
        "".join(chance.choice([chance.choice(known), chance.choice(COMMON)]) for _ in range(60))
        for _ in range(count)
    ]


def _known(character: str) -> bool:
    old = unicodedata.ucd_3_2_0.category(character)
    # modifier symbols and the like have changed their class since
    return old not in {"Cn", "Cs", "Co", "Sk"} and not unicodedata.combining(character)


def analyzed(url: str, text: str) -> list[str]:
    body = json.dumps({"analyzer": "standard", "text": text}).encode()
    headers = {"content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/_analyze", body, headers)) as answer:
        return [token["token"] for token in json.load(answer)["tokens"]]


@pytest.fixture(
    params=[
        pytest.param("opensearch", marks=pytest.mark.engines),
        pytest.param("elasticsearch7", marks=pytest.mark.engines),
    ]
)
def node_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


def test_texts_are_split_as_lucene_does(node_url: str) -> None:
    for text in TEXTS:
        assert words(text) == analyzed(node_url, text), ascii(text)


def test_random_texts_are_split_as_lucene_does(node_url: str) -> None:
    texts = random_texts(300)
    assert not [ascii(text) for text in texts if words(text) != analyzed(node_url, text)]
