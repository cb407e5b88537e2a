"""Linear probe: how much a linear classifier reads out of frozen photo vectors.

scikit-learn's logistic regression with an L2 penalty, as in CLIP's and STAIR's tables. The strength
C is chosen on a validation part of the training photos, then the classifier is fitted to all of
them. Dense vectors are standardised (mean and deviation of the training photos); sparse ones stay
as they are, without the tokens that no training photo has (their coefficients would be 0).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stair_search.errors import UsageError

from .bootstrap import interval, replicates
from .vectors import Vectors, is_sparse, take

STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
ITERATIONS = 300
VALIDATION = 0.25
"""Share of the training photos on which C is chosen."""


class Probe(NamedTuple):
    """right: bool [t], of each test photo; strength: the C that was chosen."""

    right: NDArray[np.bool_]
    train: int
    strength: float
    converged: bool

    @property
    def top_1(self) -> float:
        """Accuracy, percent."""
        return 100 * float(self.right.mean())

    def to_dict(self, seed: int = 0) -> dict[str, Any]:
        """Percent, with a 95 % bootstrap interval over test photos."""
        return {
            "train": self.train,
            "test": len(self.right),
            "C": self.strength,
            "converged": self.converged,
            "top-1": self.top_1,
            "intervals": {
                "top-1": list(interval(replicates(self.right[:, None], seed=seed)[:, 0]))
            },
        }


def split(
    labels: NDArray[np.int64], train_share: float, seed: int = 0
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Places of training and test photos, each class in the same proportion; the seed says which.

    Raises UsageError where there is one class, where a class has a single photo, or where the parts
    are smaller than the classes.
    """
    from sklearn.model_selection import train_test_split

    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise UsageError(
            f"{len(labels)} photos of {len(classes)} classes to learn from: a classifier needs "
            "two classes, each with two photos or more"
        )
    try:
        train, test = train_test_split(
            np.arange(len(labels)), train_size=train_share, random_state=seed, stratify=labels
        )
    except ValueError:
        raise UsageError(
            f"{len(labels)} photos of {len(classes)} classes cannot be split, {train_share:.0%} to "
            "learn from and the others to test: each class needs two photos or more (the smallest "
            f"has {counts.min()}), and both parts as many photos as there are classes"
        ) from None
    return np.sort(train), np.sort(test)


def probe(
    photos: Vectors,
    labels: NDArray[np.int64],
    train: NDArray[np.intp],
    test: NDArray[np.intp],
    seed: int = 0,
) -> Probe:
    """photos: [n, …]; labels: int64 [n]; train, test: their places. Deterministic for a seed."""
    fitted, held = split(labels[train], 1 - VALIDATION, seed)
    scores = []
    for strength in STRENGTHS:
        model = _fit(photos, labels, train[fitted], strength)
        scores.append(
            float(np.mean(model.predict(take(photos, train[held])) == labels[train[held]]))
        )
    best = STRENGTHS[int(np.argmax(scores))]  # of equals the strongest penalty
    model = _fit(photos, labels, train, best)
    return Probe(
        model.predict(take(photos, test)) == labels[test],
        len(train),
        best,
        bool(model.classifier.n_iter_.max() < ITERATIONS),
    )


class _Fitted(NamedTuple):
    classifier: Any
    columns: NDArray[np.intp] | None
    scaler: Any

    def predict(self, photos: Vectors) -> NDArray[np.int64]:
        if self.columns is not None:
            photos = photos[:, self.columns]
        else:
            photos = self.scaler.transform(photos)
        found: NDArray[np.int64] = self.classifier.predict(photos)
        return found


def _fit(
    photos: Vectors, labels: NDArray[np.int64], rows: NDArray[np.intp], strength: float
) -> _Fitted:
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    known = take(photos, rows)
    columns, scaler = None, None
    if is_sparse(known):
        columns = np.unique(known.indices)
        known = known[:, columns]
    else:
        scaler = StandardScaler().fit(known)
        known = scaler.transform(known)
    classifier = LogisticRegression(C=strength, max_iter=ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # told in the result
        classifier.fit(known, labels[rows])
    return _Fitted(classifier, columns, scaler)
