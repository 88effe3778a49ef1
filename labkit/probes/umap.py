"""UMAP in the background: the principal components are there at once, the neighbourhood map when it is ready.

Source: McInnes, Healy & Melville, "UMAP: Uniform Manifold Approximation and Projection for Dimension Reduction", 2018,
by umap-learn. Distances between clusters and their sizes mean nothing in it; who lies beside whom does.
"""

from __future__ import annotations

import hashlib
import threading
import warnings
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from labkit.probes.embedding import Projection, pca
from labkit.probes.inputs import Refused
from labkit.probes.similarity import directions

MOST_AXES = 50
"""UMAP is given the first principal components, no more than this: the rest is noise to it, and costs time."""

REMEMBERED = 32
"""How many results stay in memory, the least recently asked for going first."""

LEAST = 4


@dataclass(frozen=True)
class Embedding:
    """Two pictures of the same vectors.

    pca    there at once
    umap   a Future: `.done()` says whether it is ready, `.result()` waits for the points, `n 2` (no unit), on the CPU.
           It starts from the principal components, so the two pictures lie the same way round
    """

    pca: Projection
    umap: Future[Tensor]


def embed(vectors: Float[Tensor, "n c"], *, neighbours: int = 15, min_dist: float = 0.1, seed: int = 0) -> Embedding:
    """The principal components now, and UMAP in a background thread: the same seed gives the same points.

    neighbours   how many neighbours (cosine) make the neighbourhood; no more than n - 1 are taken
    min_dist     how close points may lie, 0..1

    The first call in a process imports and compiles umap-learn, 5 to 20 seconds; a call with the same vectors and
    settings is answered from memory. Raises Refused for fewer than 4 vectors or settings out of range.
    """
    n, c = vectors.shape
    if n < LEAST:
        raise Refused(f"UMAP needs at least {LEAST} vectors, got {n}: give more pictures, or embed tokens.")
    if neighbours < 2 or not 0 <= min_dist <= 1:
        raise Refused(
            f"neighbours={neighbours}, min_dist={min_dist}: expected 2 or more neighbours, a distance of 0..1."
        )
    settings = (min(neighbours, n - 1), float(min_dist), int(seed))
    shown = pca(vectors, 2)
    # Between directions, Euclidean distance is the cosine's: |a - b|² = 2 - 2 cos.
    reduced = pca(directions(vectors), min(MOST_AXES, n, c)).points
    return Embedding(shown, _remembered(*(one.float().cpu().numpy() for one in (reduced, shown.points)), settings))


_executor: ThreadPoolExecutor | None = None
_known: OrderedDict[str, Future[Tensor]] = OrderedDict()
_lock = threading.Lock()


def _remembered(points: np.ndarray, start: np.ndarray, settings: tuple[int, float, int]) -> Future[Tensor]:
    key = hashlib.sha256(points.tobytes() + start.tobytes() + repr((points.shape, settings)).encode()).hexdigest()
    global _executor
    with _lock:
        if key in _known and not (_known[key].done() and _known[key].exception()):
            _known.move_to_end(key)
            return _known[key]
        # One thread for all: numba's threads must not be entered from two sides at once.
        _executor = _executor or ThreadPoolExecutor(max_workers=1, thread_name_prefix="umap")
        _known[key] = _executor.submit(_fit, points, start, *settings)
        while len(_known) > REMEMBERED:
            _known.popitem(last=False)
        return _known[key]


def _fit(points: np.ndarray, start: np.ndarray, neighbours: int, min_dist: float, seed: int) -> Tensor:
    # umap-learn tells everybody that TensorFlow is missing; nobody here needs it.
    warnings.filterwarnings("ignore", message="Tensorflow not installed", category=ImportWarning)
    from umap import UMAP

    start = 10 * start / (np.abs(start).max() or 1.0)
    # Equal points would never part: a little seeded noise, as umap-learn adds to its own starts.
    start = start + np.random.default_rng(seed).normal(scale=1e-4, size=start.shape)
    reducer = UMAP(
        n_neighbors=neighbours,
        min_dist=min_dist,
        init=start.astype(np.float32),
        random_state=seed,
        n_jobs=1,  # a seed allows no more, and umap-learn would warn
    )
    return torch.from_numpy(np.asarray(reducer.fit_transform(points)))
