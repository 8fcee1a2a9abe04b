"""JAX with reverse mode over reverse mode, as one first writes a residual."""

from ..workloads import Call, Pinn
from . import jax as forward_jax
from .jax import about

__all__ = ["about", "pinn"]


def pinn(workload: Pinn, kind: str) -> Call:
    """As forward over forward, with grad of grad."""
    return forward_jax.pinn(workload, kind, reverse=True)
