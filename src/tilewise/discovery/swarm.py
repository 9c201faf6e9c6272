"""Particle-swarm optimization."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

INERTIA, ATTRACTION = 0.7298, 1.49618
"""The constriction of Clerc and Kennedy (2002); the attraction is the same to a particle's own best and to all's."""


def maximize(
    score: Callable[[npt.NDArray[np.float64]], float],
    low: npt.NDArray[np.float64],
    high: npt.NDArray[np.float64],
    *,
    particles: int,
    steps: int,
    seed: tuple[int, ...],
    start: npt.NDArray[np.float64] | None = None,
    on_step: Callable[[], None] = lambda: None,
) -> tuple[float, npt.NDArray[np.float64]]:
    """Find the position in a box whose score is highest.

    Parameters
    ----------
    score : callable
        Score of a position, a vector of as many numbers as ``low`` has.
    low, high : arrays
        The box.
    particles, steps : int
        How many search, and how often each moves after its first place.
    seed : tuple of int
        Of the random places and moves.
    start : array, optional
        First place of one particle.
    on_step : callable
        Called after each step.

    Returns
    -------
    (float, array)
        The highest score met, and its position.

    References
    ----------
    Kennedy and Eberhart, "Particle Swarm Optimization", ICNN 1995; Clerc and Kennedy, "The Particle Swarm: Explosion,
    Stability, and Convergence in a Multidimensional Complex Space", IEEE TEC 2002.
    """
    rng = np.random.default_rng(seed)
    shape = (particles, len(low))
    position = rng.uniform(low, high, shape)
    if start is not None:
        position[0] = start
    velocity = rng.uniform(-1, 1, shape) * (high - low) / 4
    own, own_score = position.copy(), np.full(particles, -np.inf)
    for step in range(steps + 1):
        scores = np.array([score(x) for x in position])
        better = scores > own_score
        own[better], own_score[better] = position[better], scores[better]
        on_step()
        if step < steps:
            pulls = rng.uniform(0, ATTRACTION, (2, *shape))
            velocity = (
                INERTIA * velocity + pulls[0] * (own - position) + pulls[1] * (own[own_score.argmax()] - position)
            )
            moved = np.clip(position + velocity, low, high)
            velocity = np.where(moved == position + velocity, velocity, 0)  # who meets the wall stops there
            position = moved
    best = own_score.argmax()
    return float(own_score[best]), own[best]
