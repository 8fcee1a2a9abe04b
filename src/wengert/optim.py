"""Optimizers: pure functions from parameters, gradients and state to new parameters and state.

They work on pytrees of arrays and are written in NumPy code, so they compile along with the gradient.  The
formulas are those of `torch.optim`.
"""

import numpy as np

from .pytree import tree_map


class Optimizer:
    """What the optimizers share: the learning rate, which may change between steps.

    The rate lives in arrays, one per dtype, because a compiled function reads captured arrays anew at every
    call: a new rate takes effect without recording again.  All other settings are constants of a recording
    and cannot be changed.
    """

    _rates: dict[np.dtype, np.ndarray]

    def __init__(self, lr, **settings):
        self.__dict__.update(settings, _rates={np.dtype(t): np.zeros((), t) for t in ("float32", "float64")})
        self.lr = lr

    @property
    def lr(self):
        """The learning rate."""
        return float(self._rates[np.dtype("float64")])

    @lr.setter
    def lr(self, value):
        value = _number(self, "lr", value, 0, np.inf)
        for rate in self._rates.values():
            rate[...] = value

    def __setattr__(self, name, value):
        if name != "lr":
            raise AttributeError(
                f"{type(self).__name__}: only lr may change, not {name}, a constant of compiled steps; "
                f"make a new optimizer"
            )
        super().__setattr__(name, value)

    def __repr__(self):
        settings = {"lr": self.lr} | {k: v for k, v in vars(self).items() if k != "_rates"}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in settings.items())})"

    def rate_for(self, parameter):
        """The learning rate as an array of shape () in the parameter's dtype."""
        try:
            return self._rates[np.dtype(parameter.dtype)]
        except (KeyError, AttributeError):
            raise TypeError(
                f"{type(self).__name__}: expected parameters that are float32 or float64 arrays, one is "
                f"{getattr(parameter, 'dtype', type(parameter).__name__)}"
            ) from None

    def init(self, params):
        """The state before the first step, a pytree of arrays that are zero."""
        raise NotImplementedError

    def step(self, params, grads, state):
        """New parameters and new state; the arguments are left as they are."""
        raise NotImplementedError


class SGD(Optimizer):
    """Stochastic gradient descent with momentum (Sutskever et al. 2013 for Nesterov's form).

    Parameters
    ----------
    lr : float
        Learning rate; may be assigned between steps.
    momentum : float, 0 <= momentum < 1
    nesterov : bool
        Look ahead along the momentum; needs momentum > 0.
    weight_decay : float, not negative
        Adds ``weight_decay * params`` to the gradient.

    Examples
    --------
    >>> import numpy as np
    >>> opt = SGD(lr=0.1)
    >>> params = np.array([1.0, 2.0])
    >>> params, state = opt.step(params, np.array([10.0, 0.0]), opt.init(params))
    >>> params
    array([0., 2.])
    """

    momentum: float
    nesterov: bool
    weight_decay: float

    def __init__(self, lr, momentum=0.0, nesterov=False, weight_decay=0.0):
        super().__init__(
            lr,
            momentum=_number(self, "momentum", momentum, 0, 1),
            nesterov=bool(nesterov),
            weight_decay=_number(self, "weight_decay", weight_decay, 0, np.inf),
        )
        if nesterov and self.momentum == 0:
            raise ValueError("SGD: nesterov=True needs momentum > 0, for example momentum=0.9")

    def init(self, params):
        """One velocity per parameter, or nothing without momentum."""
        return {"velocity": _zeros_like(params)} if self.momentum else {}

    def step(self, params, grads, state):
        """``v = momentum v + g``, ``p = p - lr v`` (Nesterov: ``p - lr (g + momentum v)``)."""
        if self.weight_decay:
            grads = tree_map(lambda p, g: g + self.weight_decay * p, params, grads)
        direction = grads
        if self.momentum:
            velocity = tree_map(lambda v, g: self.momentum * v + g, state["velocity"], grads)
            state = {"velocity": velocity}
            direction = velocity
            if self.nesterov:
                direction = tree_map(lambda g, v: g + self.momentum * v, grads, velocity)
        return tree_map(lambda p, d: p - self.rate_for(p) * d, params, direction), state


class Adam(Optimizer):
    """Adam with bias correction (Kingma & Ba 2015).

    Parameters
    ----------
    lr : float
        Learning rate; may be assigned between steps.
    betas : two floats, 0 <= beta < 1
        Decay of the running means of the gradient and of its square.
    eps : float, positive
        Added to the root of the mean square.

    Examples
    --------
    >>> import numpy as np
    >>> opt = Adam(lr=0.1)
    >>> params = {"w": np.array([1.0, 2.0])}
    >>> params, state = opt.step(params, {"w": np.array([5.0, -5.0])}, opt.init(params))
    >>> params["w"].round(6)                                # the first step has length lr
    array([0.9, 2.1])
    """

    betas: tuple[float, float]
    eps: float

    def __init__(self, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
        try:
            first, second = betas
        except (TypeError, ValueError):
            raise ValueError(
                f"Adam: betas is {betas!r}, expected two numbers, for example (0.9, 0.999)"
            ) from None
        betas = _number(self, "betas[0]", first, 0, 1), _number(self, "betas[1]", second, 0, 1)
        eps = _number(self, "eps", eps, 0, np.inf)
        if eps == 0:
            raise ValueError("Adam: eps is 0, expected a positive number, for example 1e-8")
        super().__init__(lr, betas=betas, eps=eps)

    def init(self, params):
        """The number of steps done and both running means."""
        return {"count": np.zeros(()), "mean": _zeros_like(params), "square": _zeros_like(params)}

    def step(self, params, grads, state):
        """``p = p - lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)``."""
        beta1, beta2 = self.betas
        count = state["count"] + 1.0
        mean = tree_map(lambda m, g: beta1 * m + (1 - beta1) * g, state["mean"], grads)
        square = tree_map(lambda v, g: beta2 * v + (1 - beta2) * (g * g), state["square"], grads)
        # float64 until here: 1 - 0.999 ** t loses digits in float32
        correction1, root_correction2 = 1 - beta1**count, np.sqrt(1 - beta2**count)

        def update(p, m, v):
            rate = self.rate_for(p) / correction1.astype(p.dtype)
            return p - rate * (m / (np.sqrt(v) / root_correction2.astype(p.dtype) + self.eps))

        return tree_map(update, params, mean, square), {"count": count, "mean": mean, "square": square}


OPTIMIZERS = {"adam": Adam, "sgd": SGD}


def _zeros_like(params):
    return tree_map(lambda p: np.zeros(p.shape, p.dtype), params)


def _number(optimizer, name, value, low, high):
    """`value` as a float in [low, high)."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not low <= number < high:
        bound = f"in [{low}, {high})" if high < np.inf else "a finite number that is not negative"
        raise ValueError(f"{type(optimizer).__name__}: {name} is {value!r}, expected {bound}")
    return number
