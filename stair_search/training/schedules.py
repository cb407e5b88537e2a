"""How a weight or a rate moves over a stage's steps."""

from __future__ import annotations


def quadratic_growth(step: int, until: int) -> float:
    """The share of lambda at a step: (step / until)², then 1 (SPLADE, arXiv 2107.05720).

    A sparsity loss at full strength from the first step kills tokens before they mean anything.

    >>> [quadratic_growth(step, 10) for step in (0, 5, 10, 99)]
    [0.0, 0.25, 1.0, 1.0]
    """
    return min(1.0, step / until) ** 2 if until > 0 else 1.0
