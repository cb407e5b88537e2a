"""The nouns of captions, by a part-of-speech tagger.

TextBlob's PatternTagger: a lexicon with Brill's rules, inside the package, so that nothing is
downloaded and the same captions always give the same nouns. Kept are common nouns (NN, NNS) that
its lexicon or rules tag as such in the sentence, of letters alone, without words that name the
picture or a place in it and not a thing ("photo", "front", "top").

A noun must be said by at least `least` captions of the photo (two of Flickr's five, where one
person's slip or the tagger's is not the photo's fault); of photos with fewer captions, by one.
"""

from __future__ import annotations

from collections import Counter

from .pairs import Pairs

NO_THINGS = frozenset(
    """
    photo photograph picture image view shot close background foreground front back top bottom
    middle side left right end edge center centre corner lot group bunch couple pair set number
    piece part kind type way something someone day time area
    """.split()  # noqa: SIM905 - reads better as words
)


def nouns(caption: str) -> list[str]:
    """Lower case, each once, in their order.

    >>> nouns("Two brown dogs running on the wet sand, a dog behind")
    ['dogs', 'sand', 'dog']
    """
    from textblob.en.taggers import PatternTagger

    tagged = PatternTagger().tag(caption.lower())
    words = [word for word, tag in tagged if tag in ("NN", "NNS")]
    return list(
        dict.fromkeys(w for w in words if w.isalpha() and len(w) > 1 and w not in NO_THINGS)
    )


def nouns_of(pairs: Pairs, least: int = 2) -> list[list[str]]:
    """For each photo the nouns that at least `least` of its captions say (one, if it has fewer)."""
    counts: list[Counter[str]] = [Counter() for _ in pairs.photos]
    captions = [0] * len(pairs.photos)
    for caption, photo in zip(pairs.captions, pairs.owner, strict=True):
        counts[photo].update(nouns(caption))
        captions[photo] += 1
    return [
        _often(counted, least if n >= least else 1)
        for counted, n in zip(counts, captions, strict=True)
    ]


def _often(counted: Counter[str], least: int) -> list[str]:
    return [word for word, count in counted.items() if count >= least]
