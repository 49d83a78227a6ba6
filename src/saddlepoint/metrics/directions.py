"""The direction of every score by name; imports no metric, and hence no torch."""

from __future__ import annotations

from saddlepoint.errors import UserError, suggestion

LOWER_IS_BETTER: dict[str, bool | None] = {
    # of sets of samples
    "fid": True,
    "fid_infinity": True,
    "is": False,
    "kid": True,
    "precision": False,
    "recall": False,
    "density": False,
    "coverage": False,
    "nearest_train": False,
    "memorised": True,
    "authenticity": False,
    "data_copying": None,  # below 0 for copies, above 0 for samples far from the data
    "fld": True,
    "duplicates": True,
    "support": False,
    "class_support": False,
    "sharpness_gap": True,
    "spectrum": True,
    "class_kl": True,
    "modes": False,
    "mode_kl": True,
    "class_agreement": False,
    "cas": False,
    "intra_fid": True,
    # of points on a known mixture
    "high_quality": False,
    "reverse_kl": True,
    "mixture_kl": True,
    # of pairs of images
    "l1": True,
    "psnr": False,
    "ssim": False,
    "ms_ssim": False,
    "lpips": True,
    "features": True,  # of images and their reconstructions
    # of likelihoods: log-likelihood bounds, and their negatives in nats and in bits per dimension
    "elbo": False,
    "parzen_log_likelihood": False,  # of pixels under kernels around samples
    "nll": True,
    "bits_per_dim": True,
    # of codes and latents
    "code_accuracy": False,
    "nearest_neighbour_accuracy": False,
    "code_energy_distance": True,
}
"""The direction of every score by name, None if values near 0 are better; :func:`register_score` adds to it."""

PREFIX = "reconstruction_"
"""The prefix of scores of reconstructions, such as ``reconstruction_psnr``."""


def register_score(name: str, lower_is_better: bool) -> None:
    """Add a score to those that :func:`lower_is_better` knows.

    Args:
        name: without a suffix such as ``_classifier`` or ``_a_to_b``, which any score may have, and without the prefix
            ``reconstruction_``.
        lower_is_better: the score's direction.

    Raises:
        ValueError: the score is known with the other direction.
    """
    if LOWER_IS_BETTER.setdefault(name, lower_is_better) != lower_is_better:
        raise ValueError(f"score '{name}' is already registered with lower_is_better={not lower_is_better}")


def lower_is_better(score: str) -> bool | None:
    """Return the direction of a score, given its full name; None if values near 0 are better.

    >>> lower_is_better("fid_classifier"), lower_is_better("is"), lower_is_better("duplicates_pixels")
    (True, False, True)
    >>> lower_is_better("l1_a_to_b"), lower_is_better("reconstruction_psnr")
    (True, False)

    Raises:
        UserError: the score is unknown.
    """
    plain = score.removeprefix(PREFIX)
    # A score's name may begin with that of another: the longest match counts.
    for name, lower in sorted(LOWER_IS_BETTER.items(), key=lambda pair: -len(pair[0])):
        if plain == name or plain.startswith(f"{name}_"):
            return lower
    remedy = suggestion(plain, LOWER_IS_BETTER) or f"choose from {', '.join(LOWER_IS_BETTER)}"
    raise UserError(f"unknown score '{score}'", None, remedy)


def improves(score: str, value: float, best: float) -> bool:
    """Return whether ``value`` is better than ``best``.

    >>> improves("fid", 10.0, 12.0), improves("is", 10.0, 12.0), improves("data_copying", 1.0, -2.0)
    (True, False, True)

    Raises:
        UserError: the score is unknown.
    """
    lower = lower_is_better(score)
    if lower is None:
        return abs(value) < abs(best)
    return value < best if lower else value > best
