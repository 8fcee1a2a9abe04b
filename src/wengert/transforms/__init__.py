"""Derivatives of functions: grad, vjp, jvp and what is made of them.

Every transform works in the same way.  It binds the inputs to fresh `copy` nodes on the current tape, calls
the function, and appends a reverse or a forward sweep that follows only nodes that depend on those copies.
So transforms nest in any order, forward and reverse alike.  The outermost one owns the tape: it reads the
results into fresh arrays and pops its nodes.
"""

from .batching import vmap
from .costs import cost
from .custom import custom_jvp, custom_vjp
from .first import elementwise_grad, grad, jvp, stop_gradient, value_and_grad, vjp
from .implicit import implicit_root
from .jacobians import hessian, hessian_diagonal, hvp, jacfwd, jacobian, jacrev
from .jets import jet
from .loops import checkpoint, cond, scan, while_loop
from .second import gauss_newton, laplacian
from .sparse import sparse_hessian, sparse_jacobian, sparsity

__all__ = [
    "checkpoint", "cond", "cost", "custom_jvp", "custom_vjp", "elementwise_grad", "gauss_newton", "grad",
    "hessian", "hessian_diagonal", "hvp", "implicit_root", "jacfwd", "jacobian", "jacrev", "jet", "jvp",
    "laplacian", "scan", "sparse_hessian", "sparse_jacobian", "sparsity", "stop_gradient",
    "value_and_grad", "vjp", "vmap", "while_loop",
]  # fmt: skip
