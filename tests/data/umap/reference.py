"""Trustworthiness of umap-learn's pictures of the sets that src/analysis/src/umap/tests.rs makes (same numbers, same formulas)."""
import sys
import numpy as np
import umap
from sklearn.manifold import trustworthiness

N, D = 5000, 8
M = np.uint64


def mix(x):
    x = x + M(0x9E3779B97F4A7C15)
    x = (x ^ (x >> M(30))) * M(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> M(27))) * M(0x94D049BB133111EB)
    return x ^ (x >> M(31))


def uniform(count, stream):
    return (mix(np.arange(count, dtype=M) + M(stream << 40)) >> M(11)).astype(np.float64) * 2.0**-53


def normal(count, stream):
    u = uniform(2 * count, stream)
    return np.sqrt(-2 * np.log(1 - u[0::2])) * np.cos(2 * np.pi * u[1::2])


def made(name):
    noise = normal(N * D, 1).reshape(N, D)
    if name == "blobs":
        centres = 4 * normal(6 * D, 2).reshape(6, D)
        label = np.arange(N) % 6
        z = centres[label] + (0.4 + 0.16 * label)[:, None] * noise
    elif name == "curve":
        t = uniform(N, 3)
        z = 0.25 * noise
        z[:, 0] += 3 * np.cos(5 * t)
        z[:, 1] += 3 * np.sin(5 * t)
        z[:, 2] += 6 * t
    else:
        z = noise * np.array([1, 1, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2])
    return z.astype(np.float32)


if __name__ == "__main__":
    for name in ["blobs", "curve", "cloud"]:
        z = made(name)
        for init in ["spectral", "pca"]:
            y = umap.UMAP(n_neighbors=15, min_dist=0.1, random_state=0, init=init).fit_transform(z)
            print(name, init, z[4999, 7], *[round(trustworthiness(z, y, n_neighbors=k), 4) for k in (5, 15, 50)], flush=True)
