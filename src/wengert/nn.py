"""Dense networks: `MLP`."""

import sys
from collections.abc import Iterable
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from . import _core, checks
from . import numpy as wnp
from .activations import ACTIVATIONS, INITIALISERS
from .architecture import Architecture, by_rows
from .io import weights
from .losses import resolve
from .parameters import Layer, Layers, check_layers, copy_into
from .program import compile
from .transforms import value_and_grad

# Rows are predicted in blocks of about this many numbers per layer, so that memory stays bounded.
BLOCK_ELEMENTS = 1 << 22


class MLP(_core.Applied):
    """A multilayer perceptron: dense layers with an activation after each.

    Parameters
    ----------
    layers : sequence of int
        Widths from the inputs to the outputs, at least two.
    activation : str
        After each layer but the last: relu, leaky_relu, elu, gelu, silu, tanh, sigmoid, softplus, sin or
        identity.
    dtype : "float32" or "float64"
    seed : int, optional
        Fixes the initial weights and everything that `fit` draws.
    output_activation : str
        After the last layer; the default leaves the outputs as they are.
    init : "he", "glorot" or "lecun", optional
        Initial weights; by default what suits the activation.  Biases start at 0.

    Attributes
    ----------
    theta : ndarray (n_parameters,)
        All parameters; assigning copies in place.
    params : list of {"weight": (in, out), "bias": (out,)}
        Views into theta; assigning a list, a layer or an array copies in place.

    Raises
    ------
    TypeError, ValueError
        Naming the argument that does not fit.

    Examples
    --------
    >>> net = MLP([30, 64, 2], seed=0)
    >>> net
    MLP(30-64-2, relu, float32, 2,114 parameters)
    >>> net.params[0]["weight"].shape
    (30, 64)
    """

    def __init__(
        self,
        layers,
        activation="relu",
        dtype="float32",
        seed=None,
        *,
        output_activation="identity",
        init=None,
    ):
        if not isinstance(layers, Iterable) or isinstance(layers, str):
            raise TypeError(f"MLP: layers is {layers!r}, expected a sequence of widths such as [4, 16, 1]")
        widths = tuple(checks.count("MLP", f"layers[{k}]", n) for k, n in enumerate(layers))
        if len(widths) < 2:
            raise ValueError(
                f"MLP: layers is {list(widths)}, expected at least two widths, inputs and outputs"
            )
        architecture = Architecture(
            widths,
            checks.choice("MLP", "activation", activation, ACTIVATIONS),
            checks.choice("MLP", "output_activation", output_activation, ACTIVATIONS),
        )
        if init is not None:
            checks.choice("MLP", "init", init, INITIALISERS)
        dtype = _float_dtype(dtype)
        need = f"MLP: layers {'-'.join(map(str, widths))} need {architecture.size:,} parameters"
        if architecture.size > sys.maxsize // dtype.itemsize:
            raise ValueError(f"{need}, more than memory can address")
        rng = checks.generator("MLP", seed)
        try:
            self._adopt(architecture, np.zeros(architecture.size, dtype), rng)
            self._draw_weights(init)
        except MemoryError:
            raise MemoryError(f"{need}, more than there is memory for; choose narrower layers") from None

    def _draw_weights(self, init):
        """Overwrites the weights with random ones; the biases stay as they are."""
        for layer, name in zip(self._params, self._architecture.names, strict=True):
            draw = INITIALISERS[init or ACTIVATIONS[name].init]
            layer["weight"][...] = draw(self.generator, *layer["weight"].shape)

    def _adopt(self, architecture, theta, rng):
        """Takes its state; everything else is derived from it."""
        self._architecture, self._theta, self.generator = architecture, theta, rng
        self._params = Layers(Layer(layer) for layer in architecture.unpack(theta))
        self._forward = _compiled(architecture.apply, architecture)

    # ---- parameters -------------------------------------------------------------------------------------

    @property
    def layers(self):
        """Widths from the inputs to the outputs."""
        return list(self._architecture.layers)

    @property
    def activation(self):
        """Name of the activation after each layer but the last."""
        return self._architecture.activation

    @property
    def output_activation(self):
        """Name of the activation after the last layer."""
        return self._architecture.output_activation

    @property
    def dtype(self):
        """The parameters' dtype."""
        return self._theta.dtype

    @property
    def theta(self):
        """All parameters as one vector, in the order weight, bias, weight, bias ..."""
        return self._theta

    @theta.setter
    def theta(self, value):
        if value is not self._theta:
            copy_into(self._theta, value, "theta")

    @property
    def params(self):
        """One {"weight": (in, out), "bias": (out,)} per layer, views into theta."""
        return self._params

    @params.setter
    def params(self, value):
        value = list(value)
        if len(value) != len(self._params):
            raise ValueError(f"params: {len(value)} layers were given, expected {len(self._params)}")
        check_layers(self._params, value)
        for k, layer in enumerate(value):
            self._params[k] = layer

    def __repr__(self):
        widths = "-".join(map(str, self.layers))
        tail = "" if self.output_activation == "identity" else f" then {self.output_activation}"
        return f"MLP({widths}, {self.activation}{tail}, {self.dtype}, {self._theta.size:,} parameters)"

    # ---- evaluation -------------------------------------------------------------------------------------

    def apply(self, params, x):
        """Outputs for given parameters: a pure function of both arguments, to be differentiated and compiled.

        Parameters
        ----------
        params : as `MLP.params`, arrays or Vars
        x : array or Var, (in,) or (rows, in); cast to the parameters' dtype

        Returns
        -------
        (out,) or (rows, out), a Var where an argument holds one
        """
        return self._apply("apply", params, x)

    def _call(self, x):  # net(x), where that is no call like the last ones
        """Outputs (out,) or (rows, out); a Var where `x` is one or where a function is being recorded."""
        if _core.is_recorded((x,)):
            return self._apply("net", self._params, x)
        return self._predict("net", "x", x)

    _call.__qualname__ = "MLP.__call__"  # what an error about its arguments names

    def predict(self, X):
        """Raw outputs as an ndarray: (in,) -> (out,), (rows, in) -> (rows, out)."""
        return self._predict("predict", "X", X)

    def _apply(self, where, params, x):
        x = x if isinstance(x, _core.Var) else checks.unmasked(where, "x", x)
        self._check_input(where, "x", x.shape)
        return self._architecture.apply(params, x)

    def _predict(self, where, name, x):
        x = self._read(where, name, x)
        block = max(1, BLOCK_ELEMENTS // max(self.layers))
        if x.ndim == 1 or len(x) <= block:
            return self._forward(self._theta, x)
        bounds = pairwise([0, *range(block, len(x) - 1, block), len(x)])  # one row alone has sums of its own
        return np.concatenate([self._forward(self._theta, x[start:stop]) for start, stop in bounds])

    def predict_proba(self, X):
        """Probabilities of the classes: the softmax of the outputs; of a single output the sigmoid.

        Raises ValueError where an output activation has already changed the logits.
        """
        if self.output_activation != "identity":
            raise ValueError(
                f"predict_proba: outputs pass through {self.output_activation} and are no logits; use predict"
            )
        logits = self._predict("predict_proba", "X", X)
        if self.layers[-1] == 1:
            return wnp.sigmoid(logits)
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)

    def _read(self, where, name, x):
        """An input as an array of the parameters' dtype, of a shape that fits."""
        x = checks.unmasked(where, name, x)
        if x.dtype.kind not in "fiub":
            raise TypeError(f"{where}: {name} has dtype {x.dtype}, expected real numbers")
        self._check_input(where, name, x.shape)
        return x.astype(self.dtype, copy=False)

    def _check_input(self, where, name, shape):
        n_in = self.layers[0]
        if len(shape) not in (1, 2) or shape[-1] != n_in:
            raise ValueError(f"{where}: {name} has shape {shape}, expected ({n_in},) or (rows, {n_in})")

    # ---- derivatives ------------------------------------------------------------------------------------

    def value_and_grad(self, X, y, loss="squared_error"):
        """The mean loss over the rows and its gradient by the parameters.

        Parameters
        ----------
        X : array (rows, in)
        y : array, as for `fit`
        loss : "squared_error", "cross_entropy" or callable(output, target)

        Returns
        -------
        value : NumPy scalar
        gradient : list of {"weight": (in, out), "bias": (out,)}, views into one vector laid out as theta
        """
        x, y, loss = self._batch("value_and_grad", "X", X, y, loss)
        value, gradient = self._gradient_of(loss)(self._theta, x, y)
        return value, self._architecture.unpack(gradient)

    def jacobian(self, x):
        """Derivatives of the outputs by the inputs, (out, in), or (rows, out, in) row by row."""
        return self._of_rows(self._jacobian, "jacobian", x)

    def value_and_jacobian(self, x):
        """Outputs and their derivatives by the inputs, (out,) and (out, in), or row by row."""
        return self._of_rows(self._value_and_jacobian, "value_and_jacobian", x)

    def layer_jacobians(self, x):
        """Each layer's derivative by its own input, first layer first.

        ``J[l][j, i] = sigma'(a_j) W[i, j]``, of shape (width l + 1, width l), or (rows, ...) row by row;
        ``J[-1] @ ... @ J[0]`` is `jacobian`.
        """
        return self._of_rows(self._layer_jacobians, "layer_jacobians", x)

    def layer_adjoints(self, x, y, loss="squared_error"):
        """The loss's derivative by every layer's value: what backpropagation stores on its way down.

        Parameters
        ----------
        x : array (in,) or (rows, in)
        y : one target, or one per row, as for `fit`
        loss : "squared_error", "cross_entropy" or callable(output, target)

        Returns
        -------
        list of ndarray
            One per width: [0] is dL/dx, [-1] dL/doutput; each has the shape of its layer's value.  A mean
            over rows carries its factor 1 / rows.
        """
        x = checks.unmasked("layer_adjoints", "x", x)
        if x.ndim != 1:
            x, y, loss = self._batch("layer_adjoints", "x", x, y, loss)
            return self._architecture.layer_adjoints(self._params, x, y, loss, "layer_adjoints")
        rows = self.layer_adjoints(x[None], np.asarray(y)[None], loss)
        return [adjoint[0] for adjoint in rows]

    def objective(self, loss, where="objective"):
        """The mean loss as a pure function of (theta, x, y), to be differentiated and compiled."""
        return self._architecture.objective(resolve(loss, where), where)

    def _batch(self, where, name, x, y, loss):
        """Checked inputs, targets and loss function."""
        loss = resolve(loss, where)
        x = checks.features(where, name, x, self.layers[0], self.dtype)
        return x, checks.targets(where, "y", y, len(x), self.layers[-1], loss, self.dtype), loss

    def _of_rows(self, function, where, x):
        """The results of a compiled function of (theta, x)."""
        answer = function.again(self._theta, x)  # a call like the last one
        return function(self._theta, self._read(where, "x", x)) if answer is _core.MISSED else answer

    @cached_property
    def _value_and_jacobian(self):
        return _compiled(by_rows(self._architecture.value_and_jacobian), self._architecture)

    @cached_property
    def _jacobian(self):
        both = by_rows(self._architecture.value_and_jacobian)
        return _compiled(lambda params, x: both(params, x)[1], self._architecture)

    @cached_property
    def _layer_jacobians(self):
        return _compiled(by_rows(self._architecture.layer_jacobians), self._architecture)

    @cached_property
    def _gradient_of(self):
        objective = self._architecture.objective
        return lru_cache(8)(lambda loss: compile(value_and_grad(objective(loss, "value_and_grad"))))

    # ---- training ---------------------------------------------------------------------------------------

    def fit(
        self,
        X,
        y,
        *,
        loss="squared_error",
        optimizer=None,
        epochs=100,
        batch_size=None,
        shuffle=True,
        validation=None,
        seed=None,
        callbacks=(),
        verbose=False,
    ):
        """Minimises the mean loss over minibatches, from the current weights on, with fresh optimizer state.

        Parameters
        ----------
        X : array (rows, in), finite
        y : array
            Targets (rows, out) for squared error, (rows,) where out = 1; integer labels (rows,) or one-hot
            (rows, out) for cross-entropy; anything with `rows` rows for a callable.
        loss : "squared_error", "cross_entropy" or callable(output, target)
            A callable returns one number or one value per row, which is averaged.
        optimizer : with `init` and `step` as in `wengert.optim`; default Adam(1e-3)
        epochs : int
        batch_size : int
            Rows per step, by default min(200, rows); the last step of an epoch takes what is left.
        shuffle : bool
            Whether each epoch takes the rows in a new random order.
        validation : fraction of the rows to hold out, or (X, y)
        seed : int, optional
            For the held-out rows and the order; by default the net's own generator is used.
        callbacks : sequence of callable(epoch, history, net)
            Called after each epoch, epoch = 1, 2 ...; training ends when one returns True.  One that has a
            method `progress(epoch, done)` hears within long epochs which fraction of the rows is done, 25
            times a second at most.
        verbose : bool
            Whether to print a line after each epoch.

        Returns
        -------
        History

        Raises
        ------
        TypeError, ValueError
            Where an argument does not fit; the weights have not changed then.  (A loss or an optimizer shows
            it in the first step, when the net's generator has drawn already.)
        FloatingPointError
            Where the loss stops being finite; the net has the weights from the start of that epoch.

        Notes
        -----
        The whole batches of an epoch are one C call, which takes its rows from `X` and `y` where they lie,
        also in a memory map.  An interrupt (Ctrl-C) acts within 100 ms and leaves the weights of the last
        whole step.

        Examples
        --------
        >>> import numpy as np
        >>> X = np.linspace(-1, 1, 64).reshape(-1, 1)
        >>> net = MLP([1, 16, 1], activation="tanh", seed=0)
        >>> history = net.fit(X, X**2, epochs=50)
        >>> history.loss[-1] < history.loss[0]
        True
        """
        from .training import fit  # training stands above nets; it is loaded when first used

        return fit(
            self, X, y, loss=loss, optimizer=optimizer, epochs=epochs, batch_size=batch_size, shuffle=shuffle,
            validation=validation, seed=seed, callbacks=callbacks, verbose=verbose,
        )  # fmt: skip

    # ---- copies and files -------------------------------------------------------------------------------

    def copy(self):
        """An independent network with the same parameters and the same state of its generator."""
        twin = type(self).__new__(type(self))
        twin.__setstate__(self.__getstate__())
        return twin

    __copy__ = copy

    def __deepcopy__(self, memo):
        return self.copy()

    def __getstate__(self):
        return {
            "header": self.header(),
            "theta": self._theta,
            "generator": self.generator.bit_generator.state,
        }

    def __setstate__(self, state):
        rng = np.random.Generator(np.random.Philox())
        rng.bit_generator.state = state["generator"]
        layers, *activations = (state["header"][key] for key in ("layers", "activation", "output_activation"))
        self._adopt(Architecture(tuple(layers), *activations), np.array(state["theta"]), rng)

    def header(self):
        """What a file says about the network beside its parameters, as JSON can hold it."""
        return {
            "layers": self.layers,
            "activation": self.activation,
            "output_activation": self.output_activation,
            "dtype": str(self.dtype),
        }

    def save(self, path, **extra):
        """Writes the network as `.npz` (with a JSON header, no pickle) or, by extension, as `.safetensors`.

        Parameters
        ----------
        path : str or path
        extra
            Further entries of the header, anything that JSON can hold.

        Raises
        ------
        ValueError
            For another extension.
        OSError
            Where the file cannot be written; a file that stood there before is then still whole.
        """
        arrays = {
            f"layers.{k}.{name}": value
            for k, layer in enumerate(self._params)
            for name, value in layer.items()
        }
        weights.save(path, self.header() | extra, arrays)

    @classmethod
    def load(cls, path):
        """The network that `save` wrote, with a new generator.

        Raises
        ------
        OSError
            Where the file cannot be read.
        ValueError
            Where it does not hold a network or is damaged.
        """
        header, arrays = weights.load(path)
        try:
            net = cls(**{key: header[key] for key in ("layers", "activation", "output_activation", "dtype")})
            net.params = [
                {name: arrays[f"layers.{k}.{name}"] for name in ("weight", "bias")}
                for k in range(len(net.params))
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"load: {Path(path)} does not hold a network: {error}") from error
        return net


def _float_dtype(dtype):
    """float32 or float64 as a dtype in native byte order."""
    try:
        resolved = np.dtype(dtype)
    except TypeError:
        resolved = None
    if resolved not in (np.float32, np.float64):
        raise ValueError(f"MLP: dtype is {dtype!r}, expected 'float32' or 'float64'")
    return resolved.newbyteorder("=")


def _compiled(method, architecture):
    """A function of (params, x) as a compiled function of (theta, x)."""
    return compile(lambda theta, x: method(architecture.unpack(theta), x))
