"""Optimizers: pure functions from parameters, gradients and state to new parameters and state.

They work on pytrees of arrays and are written in NumPy code, so they compile along with the gradient; plain
arrays are stepped by a compiled program of the optimizer's own.  The formulas are those of `torch.optim`.
"""

from abc import ABC, abstractmethod
from functools import wraps

import numpy as np

from . import numpy as wnp
from ._core import MISSED, is_recorded
from .program import compile
from .pytree import leaf_names, tree_flatten, tree_leaves, tree_map


def _compiled(formula):
    """A method that answers for plain arrays by a compiled program, for everything else by the formula."""

    @wraps(formula)
    def method(self, *trees, **named):
        programs = vars(self).setdefault("_programs", {})
        if formula not in programs:
            programs[formula] = compile(formula.__get__(self))
        answer = MISSED if named else programs[formula].again(*trees)
        if answer is MISSED:
            plain = not is_recorded(tree_leaves((trees, named)))
            answer = (programs[formula] if plain else formula.__get__(self))(*trees, **named)
        return answer

    return method


class _Settled:
    """What is copied and pickled by its settings, of which `lr` alone may change."""

    def __setattr__(self, name, value):
        if name != "lr":
            raise AttributeError(
                f"{type(self).__name__}: only lr may change, not {name}, a constant of compiled steps; "
                f"make a new optimizer"
            )
        super().__setattr__(name, value)

    def __getstate__(self):
        return {k: v for k, v in vars(self).items() if k != "_programs"}  # a copy records anew


class Optimizer(_Settled, ABC):
    """What the optimizers share: the learning rate, which may change between steps.

    The rate lives in arrays, one per dtype, because a compiled function reads captured arrays anew at every
    call: a new rate takes effect without recording again.  All other settings are constants of a recording
    and cannot be changed.
    """

    _rates: dict[np.dtype, np.ndarray]
    momentum: float  # these three of those optimizers that take them
    weight_decay: float
    eps: float

    def __init__(self, lr, **settings):
        checked = {name: _setting(self, name, value) for name, value in settings.items()}
        self.__dict__.update(checked, _rates={np.dtype(t): np.zeros((), t) for t in ("float32", "float64")})
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

    def __repr__(self):
        settings = {"lr": self.lr} | {k: v for k, v in vars(self).items() if k[0] != "_"}
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

    def _velocity(self, direction, state):
        """``v = momentum v + direction``, and the state that keeps it; without momentum the direction."""
        if not self.momentum:
            return direction, {}
        velocity = tree_map(lambda v, d: self.momentum * v + d, state["velocity"], direction)
        return velocity, {"velocity": velocity}

    def _moved(self, params, direction):
        """``p = p - lr direction``."""
        return tree_map(lambda p, d: p - self.rate_for(p) * d, params, direction)

    def _checked(self, params, grads, state):
        """The gradients in the parameters' dtypes; raises where they or the state have other shapes."""
        name, begin = type(self).__name__, "; it begins as opt.init(params)"
        pairs = (("grads", grads, params, ""), ("state", state, self._like(params), begin))
        for what, given, like, hint in pairs:
            (leaves, structure), (expected, wanted) = tree_flatten(given), tree_flatten(like)
            if structure != wanted:
                raise ValueError(f"{name}: {what} has the structure {structure}, expected {wanted}{hint}")
            for k, (x, y) in enumerate(zip(leaves, expected, strict=True)):
                if np.shape(x) != np.shape(y):
                    label = leaf_names(wanted, what)[k]
                    raise ValueError(f"{name}: {label} has shape {np.shape(x)}, expected {np.shape(y)}{hint}")
                if np.iscomplexobj(x):
                    label = leaf_names(wanted, what)[k]
                    raise TypeError(f"{name}: {label} is complex, expected real numbers as in params")
        return tree_map(lambda p, g: wnp.astype(g, self.rate_for(p).dtype, copy=False), params, grads)

    def init(self, params):
        """The state before the first step, a pytree of arrays that are zero."""
        return tree_map(lambda p: np.zeros(np.shape(p), self.rate_for(p).dtype), self._like(params))

    def _like(self, params):
        """What the state is like: `params` wherever it has an array for each of them."""
        return {}

    @abstractmethod
    def step(self, params, grads, state):
        """New parameters and new state; the arguments are left as they are."""


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

    nesterov: bool

    def __init__(self, lr, momentum=0.0, nesterov=False, weight_decay=0.0):
        super().__init__(lr, momentum=momentum, nesterov=bool(nesterov), weight_decay=weight_decay)
        if nesterov and self.momentum == 0:
            raise ValueError("SGD: nesterov=True needs momentum > 0, for example momentum=0.9")

    def _like(self, params):
        return {"velocity": params} if self.momentum else {}

    @_compiled
    def step(self, params, grads, state):
        """``v = momentum v + g``, ``p = p - lr v`` (Nesterov: ``p - lr (g + momentum v)``)."""
        grads = _decayed(self.weight_decay, params, self._checked(params, grads, state))
        direction, state = self._velocity(grads, state)
        if self.nesterov:
            direction = tree_map(lambda g, v: g + self.momentum * v, grads, direction)
        return self._moved(params, direction), state


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

    def __init__(self, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
        try:
            first, second = betas
        except (TypeError, ValueError):
            raise ValueError(
                f"Adam: betas is {betas!r}, expected two numbers, for example (0.9, 0.999)"
            ) from None
        betas = _number(self, "betas[0]", first, 0, 1), _number(self, "betas[1]", second, 0, 1)
        super().__init__(lr, betas=betas, eps=eps)

    def _like(self, params):
        return {"count": np.zeros(()), "mean": params, "square": params}  # the number of steps done

    @_compiled
    def step(self, params, grads, state):
        """``p = p - lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)``."""
        grads = self._checked(params, grads, state)
        beta1, beta2 = self.betas
        count = state["count"] + 1.0
        mean = tree_map(lambda m, g: beta1 * m + (1 - beta1) * g, state["mean"], grads)
        square = tree_map(lambda v, g: (1 - beta2) * (g * g) + beta2 * v, state["square"], grads)
        # float64 until here: 1 - 0.999 ** t loses digits in float32
        # The root is multiplied by the inverse: a division for each parameter takes five times as long.
        correction1, inverse_root = 1 - beta1**count, 1 / np.sqrt(1 - beta2**count)

        def update(p, m, v):
            rate = self.rate_for(p) / correction1.astype(p.dtype)
            return p - rate * (m / (np.sqrt(v) * inverse_root.astype(p.dtype) + self.eps))

        return tree_map(update, params, mean, square), {"count": count, "mean": mean, "square": square}


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019).

    Parameters
    ----------
    lr, betas, eps : as for `Adam`
    weight_decay : float, not negative
        The parameters shrink by ``lr * weight_decay`` of themselves in each step, beside Adam's update.

    Examples
    --------
    >>> import numpy as np
    >>> opt = AdamW(lr=0.1, weight_decay=0.5)
    >>> params, state = opt.step(np.array([1.0]), np.array([0.0]), opt.init(np.array([1.0])))
    >>> params
    array([0.95])
    """

    def __init__(self, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
        super().__init__(lr, betas, eps)
        self.__dict__["weight_decay"] = _setting(self, "weight_decay", weight_decay)

    @_compiled
    def step(self, params, grads, state):
        """``p = p - lr weight_decay p``, then Adam's step."""
        decayed = tree_map(lambda p: p - self.rate_for(p) * self.weight_decay * p, params)
        return super().step(decayed, grads, state)


class RMSprop(Optimizer):
    """Steps divided by a running root mean square of the gradient (Tieleman & Hinton 2012).

    Parameters
    ----------
    lr : float
        Learning rate; may be assigned between steps.
    alpha : float, 0 <= alpha < 1
        Decay of the running mean of squares.
    eps : float, positive
        Added to its root.
    momentum : float, 0 <= momentum < 1
    weight_decay : float, not negative
        Adds ``weight_decay * params`` to the gradient.

    Examples
    --------
    >>> import numpy as np
    >>> opt = RMSprop(lr=0.1, alpha=0.75)
    >>> params, state = opt.step(np.array([1.0]), np.array([3.0]), opt.init(np.array([1.0])))
    >>> params.round(6)
    array([0.8])
    """

    alpha: float

    def __init__(self, lr=1e-2, alpha=0.99, eps=1e-8, momentum=0.0, weight_decay=0.0):
        super().__init__(lr, alpha=alpha, eps=eps, momentum=momentum, weight_decay=weight_decay)

    def _like(self, params):
        return {"square": params} | ({"velocity": params} if self.momentum else {})

    @_compiled
    def step(self, params, grads, state):
        """``s = alpha s + (1 - alpha) g^2``, ``v = momentum v + g / (sqrt(s) + eps)``, ``p = p - lr v``."""
        grads = _decayed(self.weight_decay, params, self._checked(params, grads, state))
        square = tree_map(lambda s, g: self.alpha * s + (1 - self.alpha) * (g * g), state["square"], grads)
        scaled = tree_map(lambda g, s: g / (np.sqrt(s) + self.eps), grads, square)
        direction, velocity = self._velocity(scaled, state)
        return self._moved(params, direction), {"square": square} | velocity


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of all squared gradients (Duchi, Hazan & Singer 2011).

    Parameters
    ----------
    lr : float
        Learning rate; may be assigned between steps.
    eps : float, positive
        Added to the root.
    weight_decay : float, not negative
        Adds ``weight_decay * params`` to the gradient.

    Examples
    --------
    >>> import numpy as np
    >>> opt = Adagrad(lr=0.1)
    >>> params, state = opt.step(np.array([1.0]), np.array([3.0]), opt.init(np.array([1.0])))
    >>> params.round(6)
    array([0.9])
    """

    def __init__(self, lr=1e-2, eps=1e-10, weight_decay=0.0):
        super().__init__(lr, eps=_positive(self, "eps", eps, 1e-10), weight_decay=weight_decay)

    def _like(self, params):
        return {"square": params}

    @_compiled
    def step(self, params, grads, state):
        """``s = s + g^2``, ``p = p - lr g / (sqrt(s) + eps)``."""
        grads = _decayed(self.weight_decay, params, self._checked(params, grads, state))
        square = tree_map(lambda s, g: s + g * g, state["square"], grads)
        direction = tree_map(lambda g, s: g / (np.sqrt(s) + self.eps), grads, square)
        return self._moved(params, direction), {"square": square}


class Clipped(_Settled):
    """An optimizer whose gradients are clipped first: each number by `value`, then all together by `norm`.

    Parameters
    ----------
    optimizer : with `init` and `step`
    norm : float, positive, optional
        Gradients whose Euclidean norm over all parameters is larger are scaled down to it.
    value : float, positive, optional
        Each number of the gradient is brought into [-value, value].

    Examples
    --------
    >>> import numpy as np
    >>> opt = Clipped(SGD(lr=1.0), norm=1.0)
    >>> params, state = opt.step(np.zeros(2), np.array([30.0, 40.0]), opt.init(np.zeros(2)))
    >>> params.round(6)
    array([-0.6, -0.8])
    """

    optimizer: Optimizer
    norm: float | None
    value: float | None

    def __init__(self, optimizer, norm=None, value=None):
        if norm is None and value is None:
            raise ValueError("Clipped: give norm or value, for example norm=1.0")
        norm = None if norm is None else _positive(self, "norm", norm, 1.0)
        value = None if value is None else _positive(self, "value", value, 1.0)
        self.__dict__.update(optimizer=optimizer, norm=norm, value=value)

    @property
    def lr(self):
        """The learning rate of the optimizer within."""
        return self.optimizer.lr

    @lr.setter
    def lr(self, value):
        self.optimizer.lr = value

    def __repr__(self):
        limits = [f"{k}={v}" for k, v in (("norm", self.norm), ("value", self.value)) if v is not None]
        return f"Clipped({', '.join([repr(self.optimizer), *limits])})"

    def init(self, params):
        """The state of the optimizer within."""
        return self.optimizer.init(params)

    def step(self, params, grads, state):
        """The step of the optimizer within, from clipped gradients."""
        return self.optimizer.step(params, self._clip(grads), state)

    @_compiled
    def _clip(self, grads):
        if self.value is not None:
            grads = clip_by_value(grads, self.value)
        return grads if self.norm is None else clip_by_norm(grads, self.norm)


def clip_by_value(grads, limit):
    """A tree of gradients with each number in [-limit, limit].

    Examples
    --------
    >>> import numpy as np
    >>> clip_by_value({"w": np.array([-3.0, 0.5])}, 1.0)
    {'w': array([-1. ,  0.5])}
    """
    return tree_map(lambda g: np.clip(g, -limit, limit), grads)


def clip_by_norm(grads, limit):
    """A tree of gradients, scaled so that the Euclidean norm over all of it is at most `limit`.

    As `torch.nn.utils.clip_grad_norm_` it adds 1e-6 to the norm before dividing by it.

    Examples
    --------
    >>> import numpy as np
    >>> clip_by_norm([np.array([3.0]), np.array([4.0])], 1.0)[1].round(6)
    array([0.8])
    """
    total = sum(np.sum(g * g) for g in tree_leaves(grads))
    scale = np.minimum(limit / (np.sqrt(total) + 1e-6), 1.0)
    return tree_map(lambda g: g * scale.astype(g.dtype), grads)


OPTIMIZERS = {"adagrad": Adagrad, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "sgd": SGD}


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


def _positive(optimizer, name, value, example):
    """`value` as a finite float above 0."""
    number = _number(optimizer, name, value, 0, np.inf)
    if number == 0:
        raise ValueError(
            f"{type(optimizer).__name__}: {name} is 0, expected a positive number, for example {example:g}"
        )
    return number


def _setting(optimizer, name, value):
    """The value of a setting, once it is known to be allowed."""
    if name == "eps":
        return _positive(optimizer, name, value, 1e-8)
    below = {"momentum": 1, "alpha": 1, "weight_decay": np.inf}
    return _number(optimizer, name, value, 0, below[name]) if name in below else value


def _decayed(weight_decay, params, grads):
    """The gradient of the loss and of half the squared parameters, times `weight_decay`."""
    return tree_map(lambda p, g: g + weight_decay * p, params, grads) if weight_decay else grads
