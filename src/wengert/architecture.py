"""What a dense network computes, as pure functions of parameters and input; `nn.MLP` adds the parameters.

Everything here is written in ops that can be differentiated and compiled: the arguments are arrays or Vars.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from . import numpy as wnp
from .activations import ACTIVATIONS
from .losses import averaged
from .transforms import grad, jvp, vjp


@dataclass(frozen=True)
class Architecture:
    """Widths and activations of a dense network.

    With h[0] = x, layer l computes a[l] = h[l] @ W[l] + b[l] and h[l + 1] = sigma[l](a[l]).
    """

    layers: tuple[int, ...]
    activation: str
    output_activation: str

    @cached_property
    def activations(self):
        """One function per layer."""
        return tuple(ACTIVATIONS[name].function for name in self.names)

    @property
    def names(self):
        """The name of each layer's activation."""
        return (self.activation,) * (len(self.layers) - 2) + (self.output_activation,)

    @property
    def size(self):
        """Number of parameters."""
        return sum((n_in + 1) * n_out for n_in, n_out in pairwise(self.layers))

    def unpack(self, theta):
        """The parameters of each layer as views into a flat vector (as slices of it, where it is a Var)."""
        params, start = [], 0
        for n_in, n_out in pairwise(self.layers):
            middle = start + n_in * n_out
            weight, bias = theta[start:middle].reshape(n_in, n_out), theta[middle : middle + n_out]
            params.append({"weight": weight, "bias": bias})
            start = middle + n_out
        return params

    def apply(self, params, x):
        """Outputs (out,) or (rows, out) for inputs (in,) or (rows, in)."""
        h = cast(x, params[0]["weight"].dtype)
        single = h.ndim == 1  # becomes a row, so that all layers are one region of a program
        h = wnp.reshape(h, (1, -1)) if single else h
        for layer, activation in zip(params, self.activations, strict=True):
            h = activation(wnp.matmul(h, layer["weight"]) + layer["bias"])
        return wnp.reshape(h, (-1,)) if single else h

    def objective(self, loss, where):
        """The function (theta, x, y) -> mean loss over the rows."""

        def objective(theta, x, y):
            return averaged(loss, self.apply(self.unpack(theta), x), y, where)

        return objective

    def slopes(self, params, x):
        """The outputs (rows, out), and sigma'(a) for each layer, (rows, width)."""
        h, slopes = cast(x, params[0]["weight"].dtype), []
        for layer, activation in zip(params, self.activations, strict=True):
            a = wnp.matmul(h, layer["weight"]) + layer["bias"]
            h, slope = jvp(activation, (a,), (wnp.ones_like(a),))
            slopes.append(slope)
        return h, slopes

    def layer_jacobians(self, params, x):
        """J[l][r, j, i] = sigma'(a[l][r, j]) W[l][i, j], the derivative of h[l + 1] by h[l] in row r."""
        _, slopes = self.slopes(params, x)
        return [
            slope[:, :, None] * layer["weight"].T[None] for slope, layer in zip(slopes, params, strict=True)
        ]

    def value_and_jacobian(self, params, x):
        """Outputs (rows, out) and their derivatives by the inputs, (rows, out, in).

        The product of the layers' Jacobians, taken from the narrower end: from the outputs it is reverse
        mode, from the inputs forward mode.  Either way a layer costs one matrix product over all rows.
        """
        y, slopes = self.slopes(params, x)
        weights = [layer["weight"] for layer in params]
        rows, n_in, n_out = x.shape[0], self.layers[0], self.layers[-1]
        if n_out <= n_in:
            back = slopes[-1][:, :, None] * weights[-1].T[None]  # (rows, out, width of the layer below)
            for slope, weight in zip(slopes[-2::-1], weights[-2::-1], strict=True):
                width_in, width_out = weight.shape
                seeds = (back * slope[:, None, :]).reshape(rows * n_out, width_out)
                back = (seeds @ weight.T).reshape(rows, n_out, width_in)
            return y, back
        ahead = slopes[0][:, None, :] * weights[0][None]  # (rows, in, width of the layer above)
        for slope, weight in zip(slopes[1:], weights[1:], strict=True):
            width_in, width_out = weight.shape
            moved = (ahead.reshape(rows * n_in, width_in) @ weight).reshape(rows, n_in, width_out)
            ahead = moved * slope[:, None, :]
        return y, wnp.swapaxes(ahead, 1, 2)

    def layer_adjoints(self, params, x, y, loss, where):
        """dL/dh[l] for l = 0 ... L, each (rows, width): what backpropagation stores on its way down."""
        h, pullbacks = cast(x, params[0]["weight"].dtype), []
        for layer, activation in zip(params, self.activations, strict=True):
            h, pullback = vjp(lambda h, p=layer, f=activation: f(wnp.matmul(h, p["weight"]) + p["bias"]), h)
            pullbacks.append(pullback)
        adjoints = [grad(lambda output: averaged(loss, output, y, where))(h)]
        for pullback in reversed(pullbacks):
            adjoints.append(*pullback(adjoints[-1]))
        return adjoints[::-1]


def cast(x, dtype):
    """`x` in another dtype, itself where it has it already; differentiable where `x` is a Var."""
    return x if x.dtype == dtype else wnp.astype(x, dtype)


def by_rows(f):
    """A function of (params, rows) that takes a single row too, and then returns no row axis."""

    def of_one_or_many(params, x):
        if len(x.shape) == 2:
            return f(params, x)
        results = f(params, x[None])
        return type(results)(result[0] for result in results)

    return of_one_or_many
