"""Best unbiased decoding, straightforwardly: SPEC section 10 in NumPy."""

import numpy as np


def mask_law(p):
    """All masks (k, 2^k) of independent workers and their probabilities."""
    k = len(p)
    masks = ((np.arange(1 << k) >> np.arange(k)[:, None]) & 1).astype(bool)
    return masks, np.where(masks, 1 - p[:, None], p[:, None]).prod(axis=0)


def best_unbiased(matrix, gram, masks, probability):
    """u, and E‖g − ĝ‖² = 1ᵀλ − 1ᵀG1."""
    k, n = matrix.shape
    kernel = matrix @ gram @ matrix.T
    q = np.zeros((k, k))
    for mask, weight in zip(masks.T, probability, strict=True):
        inside = np.ix_(mask, mask)
        q[inside] += weight * np.linalg.pinv(kernel[inside], hermitian=True)
    response = matrix.T @ q @ matrix
    multipliers = np.linalg.lstsq(response, np.ones(n), rcond=1e-12)[0]
    assert np.allclose(response @ multipliers, 1)
    return matrix @ multipliers, multipliers.sum() - gram.sum()


def weights(matrix, gram, tilt, masks):
    """K_I⁺ u_I, a mask at a time."""
    kernel = matrix @ gram @ matrix.T
    result = np.zeros(masks.shape)
    for t, mask in enumerate(masks.T):
        inside = np.linalg.pinv(kernel[np.ix_(mask, mask)], hermitian=True)
        result[mask, t] = inside @ tilt[mask]
    return result
