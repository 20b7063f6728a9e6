"""A little about latents that windows show; what counts is computed by the program."""

import numpy as np

#: Rounds of k-means: for a look at how many clusters there may be, few are enough.
ROUNDS = 25
#: Particles that the look takes.
SAMPLE = 5000


def principal_axes(z):
    """Mean and principal axes (a row each, the longest first) of latents, one row a particle."""
    mean = z.mean(axis=0)
    return mean, np.linalg.svd(z - mean, full_matrices=False)[2]


def clusters_at_a_glance(z, counts, seed=0):
    """For every number of clusters: how much of the variance lies between them, and the share of the smallest."""
    random = np.random.default_rng(seed)
    sample = z[random.permutation(len(z))[:SAMPLE]].astype(np.float64)
    total = np.square(sample - sample.mean(axis=0)).sum()
    rows = []
    for k in counts:
        if k > len(sample):
            break
        centres = _spread_out(sample, k, random)
        for _ in range(ROUNDS):
            labels = _nearest(sample, centres)
            filled = np.unique(labels)
            centres[filled] = [sample[labels == label].mean(axis=0) for label in filled]
        labels = _nearest(sample, centres)
        within = np.square(sample - centres[labels]).sum()
        rows.append((k, 1 - within / total if total > 0 else 0.0, np.bincount(labels, minlength=k).min() / len(sample)))
    return rows


def _nearest(points, centres):
    return np.argmin(np.square(points[:, None, :] - centres[None, :, :]).sum(axis=2), axis=1)


def _spread_out(points, k, random):
    """Centres to begin with: each far from those before, as k-means++ draws them."""
    centres = [points[random.integers(len(points))]]
    while len(centres) < k:
        distance = np.square(points[:, None, :] - np.array(centres)[None]).sum(axis=2).min(axis=1)
        weight = distance / distance.sum() if distance.sum() > 0 else None
        centres.append(points[random.choice(len(points), p=weight)])
    return np.array(centres)
