"""A network's parameters: views into one vector, to which assignment copies."""

import numpy as np

from ._core import Var


class Layer(dict):
    """One layer's views; assigning an entry copies into the view."""

    def __setitem__(self, name, value):
        if name not in self:
            raise KeyError(f"params: a layer has 'weight' and 'bias', not {name!r}")
        if value is not self[name]:
            copy_into(self[name], value, name)

    def __reduce__(self):
        return dict, (), None, None, iter(self.items())


class Layers(list):
    """All layers; assigning one copies into its views."""

    def __setitem__(self, k, value):
        check_layers([self[k]], [value])
        for name, array in value.items():
            self[k][name] = array

    def __reduce__(self):
        return list, (), None, iter(self)


def check_layers(layers, values):
    """Raises unless the arrays given have the layers' names and shapes."""
    for layer, value in zip(layers, values, strict=True):
        if not isinstance(value, dict) or value.keys() != layer.keys():
            given = sorted(map(str, value)) if isinstance(value, dict) else type(value).__name__
            raise ValueError(f"params: a layer is {given}, expected a dict of 'weight' and 'bias'")
        for name, view in layer.items():
            if np.shape(value[name]) != view.shape:
                raise ValueError(f"params: {name} has shape {np.shape(value[name])}, expected {view.shape}")


def copy_into(view, value, name):
    """Overwrites a parameter's memory; nothing broadcasts."""
    if isinstance(value, Var):
        raise TypeError(
            f"{name}: a Var cannot be stored in the network; use net.apply(params, x) to differentiate"
        )
    value = np.asarray(value)
    if value.shape != view.shape:
        raise ValueError(f"{name}: shape {value.shape} was given, expected {view.shape}")
    if value.dtype.kind not in "fiub":
        raise TypeError(f"{name}: dtype {value.dtype} was given, expected real numbers")
    view[...] = value
