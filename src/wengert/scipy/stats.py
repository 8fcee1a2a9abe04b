"""scipy.stats: densities and distribution functions of the distributions of HIPS autograd, in NumPy code.

Plain `scipy.stats` cannot be differentiated, for it does not ask its arguments.  Every other name is SciPy's.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import scipy.stats as _stats

from .. import numpy as wnp
from ..protocols.elementwise import where
from ..protocols.movement import reshape
from ..protocols.registry import is_recorded, recorded
from . import special

LOG_2PI = math.log(2 * math.pi)


class _Plain:
    """Wraps a distribution of SciPy's, whose other names it has."""

    def __init__(self, plain: Any):
        self._plain = plain

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    def pdf(self, *args: Any, **kwargs: Any) -> Any:
        return wnp.exp(self.logpdf(*args, **kwargs))


class _Distribution(_Plain, ABC):
    """A distribution with a location and a scale; subclasses give the standard one."""

    @abstractmethod
    def _log(self, z: Any, *shapes: Any) -> Any:
        """The logarithm of its density."""

    @abstractmethod
    def _cumulative(self, z: Any, *shapes: Any) -> Any:
        """Its integral up to z."""

    def _inside(self, z: Any) -> Any:
        return None  # the whole line

    n_shapes = 0

    def _standard(self, x: Any, given: tuple, loc: Any = 0.0, scale: Any = 1.0) -> tuple[Any, tuple, Any]:
        """x on the standard scale, shape parameters, and the scale, which may follow those by position."""
        shapes, rest = given[: self.n_shapes], given[self.n_shapes :]
        loc, scale = (*rest, *(loc, scale)[len(rest) :])
        return (recorded(x) - loc) / scale, shapes, scale

    def logpdf(self, x: Any, *given: Any, **moved: Any) -> Any:
        z, shapes, scale = self._standard(x, given, **moved)
        inside = self._inside(z)
        if inside is None:
            return self._log(z, *shapes) - wnp.log(scale)
        density = self._log(where(inside, z, 0.5), *shapes) - wnp.log(scale)
        return where(inside, density, -np.inf)

    def cdf(self, x: Any, *given: Any, **moved: Any) -> Any:
        z, shapes, _ = self._standard(x, given, **moved)
        inside = self._inside(z)
        if inside is None:
            return self._cumulative(z, *shapes)
        below = self._cumulative(where(inside, z, 0.5), *shapes)
        return where(inside, below, where(z > 0, 1.0, 0.0))

    def sf(self, x: Any, *given: Any, **moved: Any) -> Any:
        return 1.0 - self.cdf(x, *given, **moved)

    def logcdf(self, x: Any, *given: Any, **moved: Any) -> Any:
        return wnp.log(self.cdf(x, *given, **moved))

    def logsf(self, x: Any, *given: Any, **moved: Any) -> Any:
        return wnp.log(self.sf(x, *given, **moved))


class _Norm(_Distribution):
    def _log(self, z):
        return -0.5 * (z * z + LOG_2PI)

    def _cumulative(self, z):
        return special.ndtr(z)

    def sf(self, x: Any, *given: Any, **moved: Any) -> Any:
        return special.ndtr(-self._standard(x, given, **moved)[0])

    def logcdf(self, x: Any, *given: Any, **moved: Any) -> Any:
        return special.log_ndtr(self._standard(x, given, **moved)[0])

    def logsf(self, x: Any, *given: Any, **moved: Any) -> Any:
        return special.log_ndtr(-self._standard(x, given, **moved)[0])


class _T(_Distribution):
    n_shapes = 1

    def _log(self, z, df):
        constant = special.gammaln((df + 1.0) / 2.0) - special.gammaln(df / 2.0) - 0.5 * wnp.log(df * math.pi)
        return constant - (df + 1.0) / 2.0 * wnp.log1p(z * z / df)

    def _cumulative(self, z, df):
        tail = 0.5 * special.betainc(df / 2.0, 0.5, df / (df + z * z))
        return where(z > 0, 1.0 - tail, tail)


class _Positive(_Distribution):
    def _inside(self, z):
        return z >= 0


class _Gamma(_Positive):
    n_shapes = 1

    def _log(self, z, a):
        return special.xlogy(a - 1.0, z) - z - special.gammaln(a)

    def _cumulative(self, z, a):
        return special.gammainc(a, z)


class _Chi2(_Positive):
    n_shapes = 1

    def _log(self, z, df):
        return (
            special.xlogy(df / 2.0 - 1.0, z) - z / 2.0 - special.gammaln(df / 2.0) - df / 2.0 * math.log(2.0)
        )

    def _cumulative(self, z, df):
        return special.gammainc(df / 2.0, z / 2.0)


class _Expon(_Positive):
    def _log(self, z):
        return -z

    def _cumulative(self, z):
        return -wnp.expm1(-z)


class _Beta(_Distribution):
    n_shapes = 2

    def _inside(self, z):
        return wnp.logical_and(z >= 0, z <= 1)

    def _log(self, z, a, b):
        return special.xlogy(a - 1.0, z) + special.xlog1py(b - 1.0, -z) - special.betaln(a, b)

    def _cumulative(self, z, a, b):
        return special.betainc(a, b, z)


class _Poisson(_Plain):
    def logpmf(self, k: Any, mu: Any, loc: Any = 0) -> Any:
        k = recorded(k) - loc
        return special.xlogy(k, mu) - mu - special.gammaln(k + 1.0)

    def pmf(self, k: Any, mu: Any, loc: Any = 0) -> Any:
        return wnp.exp(self.logpmf(k, mu, loc))

    def cdf(self, k: Any, mu: Any, loc: Any = 0) -> Any:
        if not is_recorded((k, mu, loc)):
            return self._plain.cdf(k, mu, loc)
        k = wnp.floor(wnp.stop_gradient(recorded(k) - loc))
        below = special.PRIMITIVES["gammaincc"](wnp.maximum(k, 0.0) + 1.0, recorded(mu))
        return where(k < 0, 0.0, below)


class _MultivariateNormal(_Plain):
    def logpdf(self, x: Any, mean: Any = None, cov: Any = 1, allow_singular: bool = False) -> Any:
        x = recorded(x)
        n = x.shape[-1] if x.ndim else 1
        mean = np.zeros(n) if mean is None else mean
        cov = recorded(cov)
        cov = cov * np.eye(n) if cov.ndim < 2 else cov
        apart = x - mean
        cov, rank, outside = self._confined(apart, cov) if allow_singular else (cov, n, False)
        factor = wnp.linalg.cholesky(cov)
        z = wnp.linalg.solve(factor, reshape(wnp.transpose(reshape(apart, (-1, n))), (n, -1)))
        total = wnp.sum(z * z, 0) + 2.0 * wnp.sum(wnp.log(wnp.diagonal(factor))) + rank * LOG_2PI
        return wnp.where(outside, -np.inf, reshape(-0.5 * total, x.shape[:-1]))

    def _confined(self, apart: Any, cov: Any) -> Any:
        """`cov` with variance 1 where it has none, its rank, and what is beside the space that it spans.

        There the quadratic form, the product of the eigenvalues and their derivatives stay.  SciPy's bounds.
        """
        w, v = wnp.linalg.eigh(wnp.stop_gradient(cov))
        least = 1e6 * np.finfo(w.dtype).eps * wnp.max(wnp.abs(w))
        beside = v * (w <= least)
        outside = wnp.linalg.norm(wnp.stop_gradient(apart) @ beside, axis=-1) >= 1e3 * least
        return cov + beside @ beside.T, wnp.sum(w > least), outside

    def entropy(self, mean: Any = None, cov: Any = 1) -> Any:
        """As SciPy's: of a number for `cov` in as many dimensions as the mean has."""
        n = 1 if mean is None else np.size(mean)
        cov = recorded(cov)
        cov = cov * np.eye(n) if cov.ndim < 2 else cov
        return 0.5 * (cov.shape[-1] * (LOG_2PI + 1.0) + wnp.linalg.slogdet(cov)[1])


class _Dirichlet(_Plain):
    def logpdf(self, x: Any, alpha: Any) -> Any:
        x, alpha = recorded(x), recorded(alpha)
        weights = reshape(alpha - 1.0, (-1,) + (1,) * (x.ndim - 1))
        constant = special.gammaln(wnp.sum(alpha)) - wnp.sum(special.gammaln(alpha))
        return constant + wnp.sum(special.xlogy(weights, x), 0)


norm, t, gamma, chi2 = _Norm(_stats.norm), _T(_stats.t), _Gamma(_stats.gamma), _Chi2(_stats.chi2)
expon, beta, poisson = _Expon(_stats.expon), _Beta(_stats.beta), _Poisson(_stats.poisson)
multivariate_normal = _MultivariateNormal(_stats.multivariate_normal)
dirichlet = _Dirichlet(_stats.dirichlet)
# HIPS autograd's are modules: `import wengert.scipy.stats.norm as norm`.
for _name in "norm t gamma chi2 expon beta poisson multivariate_normal dirichlet".split():
    sys.modules[f"{__name__}.{_name}"] = globals()[_name]


def __getattr__(name: str) -> Any:
    return getattr(_stats, name)
