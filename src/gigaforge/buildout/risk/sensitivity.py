"""What matters: how much of an outcome's variance each uncertain figure explains, from the samples themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gigaforge.buildout.problem import Array

__all__ = ["Sensitivity", "first_order", "sensitivity"]

_PERMUTATIONS = 256
_PENALTIES = (1.0, 5.0, 20.0, 80.0, 320.0)


@dataclass(frozen=True)
class Sensitivity:
    """Shares of an outcome's variance.

    Attributes
    ----------
    first_order : array
        Sobol's first-order index of each input, estimated from the samples as they are (Plischke, Borgonovo and Smith
        2013): the variance of the mean outcome along the input over the whole variance. Shape (D,).
    shapley : array
        Shapley effects (Owen 2014; Owen and Prieur 2017) of a quadratic surrogate: they add up to `explained` and stay
        meaningful where inputs go together. Shape (D,).
    slope : array
        Change of the outcome per standard deviation of the input, the sign included. Shape (D,).
    explained : float
        Share of the variance that the surrogate explains, cross-validated [fraction].

    """

    first_order: Array
    shapley: Array
    slope: Array
    explained: float


def sensitivity(scores: Array, outcome: Array, seed: int = 0) -> Sensitivity:
    """Attribute the variance of an outcome to inputs.

    Parameters
    ----------
    scores : array
        Normal scores of the inputs. Shape (N, D).
    outcome : array
        Shape (N,).
    seed : int
        Of the permutations.

    """
    count, dims = scores.shape
    variance = float(outcome.var())
    zero = np.zeros(dims)
    if variance <= 1e-18 * max(1.0, float(np.abs(outcome).max()) ** 2) or count < 2 * dims + 8:
        return Sensitivity(zero, zero, zero, 0.0)
    centred = (scores - scores.mean(axis=0)) / np.maximum(scores.std(axis=0), 1e-12)
    linear, square, explained = _surrogate(centred, outcome)
    covariance = np.cov(centred, rowvar=False).reshape(dims, dims)
    effects = _linear_shapley(linear, covariance, seed)
    curved = 2 * square**2  # variance of a square of a standard normal is 2
    total = effects.sum() + curved.sum()
    shares = (effects + curved) / total * explained if total > 0 else zero
    return Sensitivity(first_order(centred, outcome), shares, linear, explained)


def first_order(scores: Array, outcome: Array) -> Array:
    """First-order indices from given data: between-class variance along each input, less what chance gives. Shape (D,)."""
    count = len(outcome)
    classes = int(np.clip(round(count ** (1 / 3)), 2, 32))
    out = np.zeros(scores.shape[1])
    for d in range(scores.shape[1]):
        rank = np.argsort(np.argsort(scores[:, d], kind="stable"), kind="stable")
        label = rank * classes // count
        size = np.bincount(label, minlength=classes)
        mean = np.bincount(label, outcome, classes) / size
        between = float((size * (mean - outcome.mean()) ** 2).sum() / count)
        chance = (classes - 1) / (count - 1)
        out[d] = (between / outcome.var() - chance) / (1 - chance)
    return np.clip(out, 0.0, 1.0)


def _surrogate(x: Array, y: Array) -> tuple[Array, Array, float]:
    """Ridge regression on inputs and their squares: slopes, curvatures, cross-validated share explained.

    The penalty, and whether squares are worth having, is what predicts samples best that were left out.
    """
    dims, best = x.shape[1], (-np.inf, 0.0, False)
    whole = np.hstack([x, x**2 - 1])
    for curved in (False, True):
        for penalty in _PENALTIES:
            features = whole if curved else x
            best = max(best, (_left_out(features, y, penalty), penalty, curved))
    explained, penalty, curved = best
    coefficient, _ = _ridge(whole if curved else x, y, penalty)
    square = coefficient[dims:] if curved else np.zeros(dims)
    return coefficient[:dims], square, float(np.clip(explained, 0.0, 1.0))


def _left_out(features: Array, y: Array, penalty: float) -> float:
    """Share of the variance explained in samples left out of the fit, a fifth at a time."""
    folds, predicted = np.arange(len(y)) % 5, np.empty_like(y)
    for fold in range(5):
        train = folds != fold
        coefficient, base = _ridge(features[train], y[train], penalty)
        predicted[~train] = features[~train] @ coefficient + base
    return 1.0 - float(((y - predicted) ** 2).sum() / ((y - y.mean()) ** 2).sum())


def _ridge(features: Array, y: Array, penalty: float) -> tuple[Array, float]:
    mean, base = features.mean(axis=0), float(y.mean())
    a = features - mean
    gram = a.T @ a + penalty * np.eye(a.shape[1])
    coefficient = np.asarray(np.linalg.solve(gram, a.T @ (y - base)))
    return coefficient, base - float(mean @ coefficient)


def _linear_shapley(slope: Array, covariance: Array, seed: int) -> Array:
    """Shapley effects of a linear function of correlated normals, by random orders (Song, Nelson and Staum 2016)."""
    dims = len(slope)
    off = covariance - np.diag(np.diag(covariance))
    if np.abs(off).max(initial=0.0) < 0.12:  # as good as independent: no order matters
        return np.asarray(slope**2 * np.diag(covariance))
    rng = np.random.default_rng(seed)
    out = np.zeros(dims)
    for _ in range(_PERMUTATIONS // 2):
        order = rng.permutation(dims)
        for one in (order, order[::-1]):
            # Variance that each input explains beyond those before it: squares of the slope in Cholesky's coordinates.
            root = np.linalg.cholesky(covariance[np.ix_(one, one)] + 1e-9 * np.eye(dims))
            out[one] += (slope[one] @ root) ** 2
    return out / (2 * (_PERMUTATIONS // 2))
