"""No recursion over the graph: a chain of a million nodes on a stack of 256 kB."""

import subprocess
import sys

import pytest

# 1/(1/x) and (x + x)/2 are x: the chain's value stays 0.7 and its slope 1, up to a million roundings of each.
CHAIN = """
import numpy as np
from wengert import _core

LENGTH = 1_000_000
CODES = {op.name: op.code for op in _core.ops()}

def chain(x):
    for _ in range(LENGTH // 4):
        x = _core.record(CODES["reciprocal"], (x,))
        x = _core.record(CODES["reciprocal"], (x,))
        x = _core.record(CODES["add"], (x, x))
        x = _core.record(CODES["mul"], (x, 0.5))
    return x

def check(found, expected):
    assert abs(found - expected) <= LENGTH * np.finfo(float).eps, (found, expected)
"""

EAGER = """
tape = _core.Tape()
x, one = tape.leaf(np.array(0.7)), tape.leaf(np.array(1.0))
y = chain(x)
assert len(tape) >= LENGTH
(adjoint,) = tape.vjp([y], [one], [x])
(tangent,) = tape.jvp([x], [one], [y])
for found, expected in ((y, 0.7), (adjoint, 1), (tangent, 1)):
    check(found.value, expected)
tape.verify()
del x, one, y, adjoint, tangent, found, tape
"""

COMPILED = """
tape = _core.Tape(abstract=True)
x = tape.input(np.dtype("float64"), ())
y = chain(x)
(adjoint,) = tape.vjp([y], [tape.full(1.0, "float64", ())], [x])
tape.set_outputs([y, adjoint])
program = _core.Program(tape)
for found, expected in zip(program.run([np.array(0.7)]), (0.7, 1)):
    check(found, expected)
del x, y, adjoint, tape, program
"""


@pytest.mark.skipif(sys.platform == "win32", reason="ulimit is a POSIX shell's")
@pytest.mark.parametrize("script", [EAGER, COMPILED], ids=["eager", "compiled"])
def test_a_chain_of_a_million_nodes(script):
    command = [
        "/bin/sh",
        "-c",
        'ulimit -s 256 && exec "$0" -c "$1"',
        sys.executable,
        CHAIN + script + 'print("done")',
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
