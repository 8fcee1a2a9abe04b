"""One module per peer: `about(threads)`, and from (workload, kind) to a `Call` a function for each `work`."""

from typing import NamedTuple


class Peer(NamedTuple):
    """A column of the table."""

    package: str  # what it cannot do without
    suites: tuple[str, ...]  # of which it can do something
    default: bool = True  # whether it is measured without being asked for by --peers


# By module, in the order of the table.  What compiles for many seconds has to be asked for.
PEERS = {
    "wengert": Peer("wengert", ("kernels", "train", "eager", "pinn", "graph", "derivatives", "models")),
    "wengert_eager": Peer("wengert", ("train", "eager")),
    "limit": Peer("wengert", ("kernels", "train")),
    "numpy": Peer("numpy", ("kernels", "train", "eager", "graph")),
    "dispatch": Peer("numpy", ("eager",)),
    "torch": Peer("torch", ("train", "eager", "pinn", "graph", "derivatives")),
    "torch_compile": Peer("torch", ("train",), default=False),
    "jax": Peer("jax", ("train", "eager", "pinn", "graph", "derivatives", "models")),
    "jax_reverse": Peer("jax", ("pinn", "derivatives")),
    "tensorflow": Peer("tensorflow", ("train",)),
    "tensorflow_xla": Peer("tensorflow", ("train",), default=False),
    "sklearn": Peer("sklearn", ("train", "graph")),
    "autograd": Peer("autograd", ("train", "eager")),
}
