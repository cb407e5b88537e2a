"""BM25 as Lucene computes it, to the last bit of its float32 arithmetic.

Sources: org.apache.lucene.search.similarities.BM25Similarity and org.apache.lucene.util.SmallFloat.
Lucene keeps a document's length in one byte, so long documents share lengths.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
K1 = np.float32(1.2)
B = np.float32(0.75)
_ONE = np.float32(1)
_EXACT = 24  # lengths below are kept exactly


def length_byte(length: int) -> int:
    """SmallFloat.intToByte4: exact up to 40, then 4 significant bits.

    >>> length_byte(7), length_byte(1000), length_of(length_byte(1000))
    (7, 87, 984)
    """
    if length < _EXACT:
        return length
    return _EXACT + _long_to_int4(length - _EXACT)


def length_of(byte: int) -> int:
    """SmallFloat.byte4ToInt."""
    return byte if byte < _EXACT else _EXACT + _int4_to_long(byte - _EXACT)


def idf(documents: int, holding: int) -> np.float32:
    """documents: how many have the field; holding: how many of them have the word."""
    return np.float32(np.log(1 + (documents - holding + 0.5) / (holding + 0.5)))


def scores(
    boost: float, idf: np.float32, frequencies: NDArray[np.uint16], lengths: NDArray[np.uint16],
    average: float,
) -> Floats:  # fmt: skip
    """One word's score in each document that holds it, without the factor k1 + 1.

    frequencies, lengths (as bytes of `length_byte`): one per document; average: words per document.
    """
    table = (_ONE / (K1 * ((_ONE - B) + B * _LENGTHS / np.float32(average)))).astype(np.float32)
    weight = np.float32(boost) * idf
    norm = frequencies.astype(np.float32) * table[lengths]
    return (weight - weight / (_ONE + norm)).astype(np.float32)


def _long_to_int4(value: int) -> int:
    bits = value.bit_length()
    if bits < 4:
        return value
    shift = bits - 4
    return (value >> shift) & 0x07 | (shift + 1) << 3


def _int4_to_long(value: int) -> int:
    mantissa, shift = value & 0x07, (value >> 3) - 1
    return mantissa if shift < 0 else (mantissa | 0x08) << shift


_LENGTHS = np.array([length_of(byte) for byte in range(256)], np.float32)
