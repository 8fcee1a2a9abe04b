"""JAX with reverse mode over reverse mode, or forward over reverse, as one first writes a residual."""

from ..workloads import Call, Field, Pinn
from . import jax as forward_jax
from .jax import about

__all__ = ["about", "field", "pinn"]


def pinn(workload: Pinn, kind: str) -> Call:
    """As forward over forward, with grad of grad."""
    return forward_jax.pinn(workload, kind, reverse=True)


def field(workload: Field, kind: str) -> Call:
    """The Laplacian by jvp of grad."""
    return forward_jax.field(workload, kind, reverse=True)
