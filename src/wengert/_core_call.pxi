# Calls of compiled functions: pytrees, guards and the recording that answers.  Part of _core.pyx.

# Methods are called by their class, as Tree.match(tree, ...): else Cython would look for an override in the
# Python class of the object, at every call.

cdef dict nodes = {}  # class -> (take apart, put together), see wengert.pytree.register_pytree_node
NODES = nodes


cdef class Tree:
    """The structure of a pytree; `wengert.pytree.Structure` has the words.

    Taking apart what has a known structure, and putting leaves into one, is on the path of every call.
    """
    cdef readonly object kind
    cdef readonly tuple children, keys, order
    cdef readonly Py_ssize_t n_leaves
    cdef bint flat              # all children are leaves
    cdef Py_hash_t hash

    def __init__(self, kind, tuple children=(), tuple keys=(), tuple order=()):
        self.kind, self.children, self.keys = kind, children, keys
        self.order = keys if order == keys else order
        self.flat = all([child.kind is None for child in children])
        self.n_leaves = 1 if kind is None else sum([child.n_leaves for child in children])
        self.hash = hash((kind, keys, children))

    def __hash__(self):
        return self.hash

    def __eq__(self, other):
        cdef Tree tree
        if self is other:
            return True
        if not isinstance(other, Tree) or self.hash != (<Tree>other).hash:
            return False
        tree = <Tree>other
        return self.kind is tree.kind and self.keys == tree.keys and self.children == tree.children

    cpdef bint match(self, object x, list leaves) except -1:
        """Appends the leaves of x, if it has this structure; else what has been appended is of no use."""
        cdef Tree child
        cdef PyObject *found
        cdef int k = 0
        if self.kind is None:
            if type(x) is not Array and (x is None or isinstance(x, (tuple, list, dict)) or type(x) in nodes):
                return False
            leaves.append(x)
            return True
        if x is None or self.kind is NoneType:
            return x is None and self.kind is NoneType
        if not isinstance(x, self.kind):
            return False
        if self.kind in nodes:
            if type(x) is not self.kind:
                return False
            x, aux = nodes[self.kind][0](x)
            if aux != self.keys[0]:
                return False
        if len(x) != len(self.children):
            return False
        if self.kind is dict:
            for key in self.keys:
                child = <Tree>self.children[k]
                k += 1
                found = PyDict_GetItemWithError(x, key)
                if found == NULL or not Tree.match(child, <object>found, leaves):
                    return False
            return True
        if type(x) is not self.kind and hasattr(x, "_fields"):
            return False
        for key in x:
            child = <Tree>self.children[k]
            k += 1
            if not Tree.match(child, key, leaves):
                return False
        return True

    cpdef object build(self, list leaves):
        """The pytree of this structure with these leaves."""
        cdef int at = 0
        return self.put(leaves, &at)

    cdef object put(self, list leaves, int *at):
        cdef dict by_key
        cdef int k = 0
        if self.kind is None:
            at[0] += 1
            return leaves[at[0] - 1]
        if self.kind is NoneType:
            return None
        if self.kind is dict:
            by_key = {}
            for key in self.keys:
                by_key[key] = Tree.put(<Tree>self.children[k], leaves, at)
                k += 1
            return by_key if self.keys is self.order else {key: by_key[key] for key in self.order}
        cdef list parts = [Tree.put(<Tree>part, leaves, at) for part in self.children]
        if self.kind is list:
            return parts
        if self.kind is tuple:
            return tuple(parts)
        if self.kind in nodes:
            return nodes[self.kind][1](self.keys[0], tuple(parts))
        return self.kind(*parts)


cdef bint unchanged(cnp.ndarray x, cnp.ndarray copy):
    """Whether an array has the shape and the bytes of its copy, which is in C order."""
    cdef size_t size = cnp.PyArray_NBYTES(copy)
    if not cnp.PyArray_SAMESHAPE(x, copy) or <size_t>cnp.PyArray_NBYTES(x) != size:
        return False
    if not cnp.PyArray_IS_C_CONTIGUOUS(x):
        return x.tobytes() == copy.tobytes()
    return memcmp(cnp.PyArray_DATA(x), cnp.PyArray_DATA(copy), size) == 0


cdef bint alone(object x):
    """Whether x is an array that owns its memory, or is the only one that refers to the array that does."""
    cdef PyObject *base
    if type(x) is not Array:
        return False
    base = <PyObject *>cnp.PyArray_BASE(x)
    if base == NULL:
        return True
    return base.ob_refcnt == 1 and type(<object>base) is Array and cnp.PyArray_BASE(<object>base) == NULL


cdef bint means(PyObject *found, object kept):
    """Whether a name stands for the object that it stood for; MISSING: it is not bound."""
    return found == <PyObject *>kept or (found == NULL and kept is MISSING)


cdef class Guards:
    """The objects that names stood for when a function was recorded; `wengert.guards` finds them."""
    cdef public list names, cells, attributes, relied

    cpdef bint hold(self) except -1:
        """Whether every name still means the same object."""
        cdef tuple entry
        for entry in self.names:  # (namespace, name, object)
            if not means(PyDict_GetItemWithError(entry[0], entry[1]), entry[2]):
                return False
        for entry in self.cells:  # (cell, contents)
            if not means(PyCell_GET(entry[0]), entry[1]):
                return False
        for entry in self.relied:  # (array, its contents)
            if not unchanged(entry[0], entry[1]):
                return False
        for entry in self.attributes:  # (function, its defaults, those of its keywords)
            if not means(PyFunction_GetDefaults(entry[0]), MISSING if entry[1] is None else entry[1]):
                return False
            if <dict>entry[2] and entry[0].__kwdefaults__ != entry[2]:
                return False
        return True


cdef class Replay:
    """What it takes to answer a call of a compiled function; `wengert.recording.Trace` fills it in.

    Attributes
    ----------
    plan : Program or None
        None until it is first needed.
    tree, structure : Tree
        Of the arguments (args, or (args, kwargs) where `keywords`), and of the result.
    statics : list of (int, Static)
        The leaves of the arguments that a recording knows by value.
    traced, donated : list of int
        The leaves that are inputs, and those of them that are overwritten.
    hidden : list
        Captured arrays: the inputs behind the traced ones.
    constants : list of (int, object)
        The leaves of the result that are no outputs.
    slots : dict
        By arguments over which `Compiled.loop` has gone: their input slots.
    """
    cdef public Program plan
    cdef public Tree tree, structure
    cdef public bint keywords
    cdef public list statics, traced, donated, hidden, constants
    cdef public Guards guards
    cdef public dict slots

    def serve(self, tuple args, int64_t times, each, watch):
        """The answer to so many calls, as `Program.repeat` gives it; MISSED as in `reply`."""
        return Replay.reply(self, items_of(args), len(args), False, None, times, each, watch)

    cdef reply(self, PyObject **args, Py_ssize_t n, bint keywords, out, int64_t times, each, watch):
        """The answer to a call; MISSED where this recording does not serve it just as it is.

        With keywords its arguments are two: a tuple and a dict.
        """
        cdef bint plain = self.tree.flat and not (self.statics or self.donated or self.hidden)
        cdef list leaves, outputs, targets = None
        cdef Py_ssize_t k
        if self.plan is None or self.keywords != keywords or n != len(self.tree.children):
            return MISSED
        if wg_current != NULL and (<Tape>wg_current).abstract:
            return MISSED
        for k in range(n):
            plain = plain and (type(<object>args[k]) is Array or type(<object>args[k]) is float)
        if not plain:  # else the leaves are the arguments, as they lie there
            leaves = []
            for k in range(n):
                if not Tree.match(<Tree>self.tree.children[k], <object>args[k], leaves):
                    return MISSED
            for k, static in self.statics:
                if not static.holds(leaves[k]):
                    return MISSED
            for k in self.donated:
                if not alone(leaves[k]):  # looked at more closely
                    return MISSED
            leaves = Replay.operands(self, leaves)
            args, n = list_items(leaves), len(leaves)
        if not Guards.hold(self.guards):
            return MISSED
        if out is not None:
            targets = []
            if self.donated or not Tree.match(self.structure, out, targets):
                return MISSED
            for k, _ in reversed(self.constants):
                del targets[k]
        outputs = self.plan.replay(args, n, targets, times, each, watch)
        return MISSED if outputs is None else Replay.assemble(self, outputs)

    cpdef list operands(self, list leaves):
        """One object per input slot: the traced arguments, then what the function captured."""
        if self.statics:
            leaves = [leaves[k] for k in self.traced]
        return leaves + self.hidden if self.hidden else leaves

    cpdef object assemble(self, list outputs):
        """The function's result from its outputs."""
        if self.structure.kind is None and not self.constants:
            return outputs[0]
        for k, leaf in self.constants:
            outputs.insert(k, leaf)
        return Tree.build(self.structure, outputs)


cdef class Caller(Vectorcall):
    """Calls are answered by the recordings used last, where those can; else by the method `call`."""
    cdef public tuple recent, statics

    def __cinit__(self):
        self.recent, self.statics, self.vectorcall = (), (), called

    def again(self, *args):
        """The answer to a call like the last ones; MISSED to any other."""
        return self.answer(items_of(args), len(args), None, None)

    cdef object answer(self, PyObject **args, Py_ssize_t n, dict kwargs, object out):
        cdef tuple given, recent = self.recent  # another thread may set it meanwhile
        cdef object result, replay
        if watching:
            return MISSED
        if self.statics or kwargs:
            given = self.wrap(tuple_of(args, n))
            given = (given, kwargs) if kwargs else given
            args, n = items_of(given), len(given)
        for replay in recent:
            result = Replay.reply(<Replay>replay, args, n, bool(kwargs), out, -1, (), None)
            if result is not MISSED:
                if replay is not recent[0]:
                    self.recent = (replay, *[other for other in recent if other is not replay])
                return result
        return MISSED


cdef object called(object caller, PyObject *const *args, size_t nargsf, PyObject *names):
    """What a Caller is called with, as the vectorcall protocol has it."""
    cdef Py_ssize_t n = PyVectorcall_NARGS(nargsf)
    cdef dict kwargs = None
    if names != NULL:
        kwargs = {name: <object>args[n + k] for k, name in enumerate(<tuple>names)}
    out = kwargs.pop("out", None) if kwargs else None
    answer = Caller.answer(<Caller>caller, <PyObject **>args, n, kwargs, out)
    return caller.call(tuple_of(<PyObject **>args, n), kwargs or {}, out) if answer is MISSED else answer


cdef tuple tuple_of(PyObject **items, Py_ssize_t n):
    return tuple([<object>items[k] for k in range(n)])


cdef class Applied(Vectorcall):
    """What is called with one argument: as `_forward` with parameters in front, if a recording serves; else
    as the method `_call`."""
    cdef public Caller _forward
    cdef public object _theta

    def __cinit__(self):
        self.vectorcall = applied


cdef object applied(object function, PyObject *const *args, size_t nargsf, PyObject *names):
    """What an Applied is called with, as the vectorcall protocol has it."""
    cdef Applied f = <Applied>function
    cdef PyObject *operands[2]
    theta = f._theta  # held while the program runs without the GIL
    if PyVectorcall_NARGS(nargsf) == 1 and names == NULL and f._forward is not None:
        operands[0], operands[1] = <PyObject *>theta, args[0]
        found = Caller.answer(f._forward, operands, 2, None, None)
        if found is not MISSED:
            return found
    return PyObject_Vectorcall(function._call, args, nargsf, names)
