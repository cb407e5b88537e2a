"""Texts to the ids of BERT's uncased WordPiece tokens, as a text tower reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from stair_search.errors import ModelError

from .own_tokens import SPECIAL


class Tokeniser:
    """[CLS] text [SEP], cut to `length` tokens, filled with [PAD] to the longest of a batch."""

    def __init__(self, tokens: Sequence[str], length: int) -> None:
        self._tokenizer = _tokenizer(tokens)
        self._tokenizer.enable_truncation(length)
        self._tokenizer.enable_padding(pad_id=tokens.index("[PAD]"), pad_token="[PAD]")

    def __call__(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids int64 [b, t] and mask bool [b, t], True at tokens."""
        # half of a surrogate pair is no text; JSON can carry one
        clean = [text.encode("utf-8", "ignore").decode() for text in texts]
        found = self._tokenizer.encode_batch(clean)
        ids = torch.tensor([one.ids for one in found], dtype=torch.int64)
        mask = torch.tensor([one.attention_mask for one in found], dtype=torch.bool)
        return (ids, mask) if found else (ids.view(0, 2), mask.view(0, 2))


def _tokenizer(tokens: Sequence[str]) -> Any:
    from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import WordPiece

    ids = {token: place for place, token in enumerate(tokens)}
    tokenizer = Tokenizer(WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"])
    )
    return tokenizer


def check_tokens(tokens: Sequence[str]) -> None:
    """Raises ModelError for what is no vocabulary of BERT's uncased WordPiece."""
    known = set(tokens)
    if len(known) < len(tokens):
        twice = next(token for i, token in enumerate(tokens) if token in tokens[:i])
        raise ModelError(f"token {twice!r} stands twice in the vocabulary")
    missing = [token for token in SPECIAL if token not in known]
    if missing:
        raise ModelError(
            f"the vocabulary of {len(tokens)} tokens has no {', '.join(missing)}: it is none of "
            "BERT's WordPiece"
        )
    cased = next((t for t in tokens if t != t.lower() and not _bracketed(t)), None)
    if cased is not None:
        raise ModelError(
            f"token {cased!r} of the vocabulary is not lower-case: texts are lower-cased before "
            "they are cut, so that it could never be met; take an uncased vocabulary"
        )


def _bracketed(token: str) -> bool:
    """[CLS] and its like, which are never cut out of a text."""
    return token.startswith("[") and token.endswith("]")
