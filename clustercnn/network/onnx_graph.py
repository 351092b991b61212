# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Functions of arrays as ONNX graphs for programs without JAX.

What is translated is the trace of the function, operation by operation: a network that is
written in the operations below needs nothing here, and preprocessing and network are
never written a second time.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from clustercnn.exceptions import MissingDependencyError
from clustercnn.network.backend import native_formulations

__all__ = ['make_onnx']

# the oldest that has all operations in use; runtimes since 2023 read it
_OPSET, _IR_VERSION = 18, 9
_BATCH = 'n'
_LAST = np.iinfo(np.int64).max
_BEFORE_FIRST = np.iinfo(np.int64).min

_UNARY = {
    'abs': 'Abs',
    'ceil': 'Ceil',
    'copy': 'Identity',
    'exp': 'Exp',
    'floor': 'Floor',
    'log': 'Log',
    'logistic': 'Sigmoid',
    'neg': 'Neg',
    'not': 'Not',
    'sign': 'Sign',
    'sqrt': 'Sqrt',
    'stop_gradient': 'Identity',
    'tanh': 'Tanh',
}
_BINARY = {
    'add': 'Add',
    'add_any': 'Add',
    'and': 'And',
    'div': 'Div',
    'eq': 'Equal',
    'ge': 'GreaterOrEqual',
    'gt': 'Greater',
    'le': 'LessOrEqual',
    'lt': 'Less',
    'max': 'Max',
    'min': 'Min',
    'mul': 'Mul',
    'or': 'Or',
    'pow': 'Pow',
    'sub': 'Sub',
}
_REDUCTIONS = {
    'reduce_max': 'ReduceMax',
    'reduce_min': 'ReduceMin',
    'reduce_prod': 'ReduceProd',
    'reduce_sum': 'ReduceSum',
}
# primitives that only hold another trace, and the parameter that holds it
_CALLS = {
    'closed_call': 'call_jaxpr',
    'core_call': 'call_jaxpr',
    'custom_jvp_call': 'call_jaxpr',
    'custom_vjp_call': 'call_jaxpr',
    'jit': 'jaxpr',
    'pjit': 'jaxpr',
    'remat': 'jaxpr',
}


def _require_onnx():
    try:
        import onnx
    except ImportError as error:
        msg = "writing ONNX needs the package onnx: pip install 'clustercnn[onnx]'"
        raise MissingDependencyError(msg) from error
    return onnx


class _Tensor:
    """
    A tensor of the graph: its name and the shape it really has.

    It may have sizes of one where the trace has more: they are stretched where that matters only.
    """

    def __init__(self, name, shape):
        self.name = name
        self.shape = tuple(shape)


def _multiple(dimension):
    """
    Return by which factor a size is that of the batch.
    """
    found = re.fullmatch(rf'(?:(\d+)\*)?{_BATCH}', str(dimension))
    if found is None:
        msg = f'a size of {dimension} is no multiple of the batch; the graph cannot be written'
        raise ValueError(msg)
    return int(found[1] or 1)


def _is_fixed(shape):
    return all(isinstance(size, int) for size in shape)


class _Builder:
    """
    Collects nodes and constants while a trace is walked through.
    """

    def __init__(self, onnx):
        self.onnx = onnx
        self.nodes, self.constants = [], {}
        self.batch = None

    def constant(self, value):
        name = f'c{len(self.constants)}'
        self.constants[name] = np.asarray(value)
        return name

    def name_of(self, value):
        return self.constant(value) if isinstance(value, np.ndarray) else value.name

    def node(self, kind, inputs, shape, **attributes):
        name = f't{len(self.nodes)}'
        names = [x if isinstance(x, str) else self.name_of(x) for x in inputs]
        self.nodes.append(self.onnx.helper.make_node(kind, names, [name], **attributes))
        return _Tensor(name, shape)

    def integers(self, values):
        return self.constant(np.asarray(values, np.int64))

    def full(self, value, shape):
        """
        Return a value stretched to the shape that the trace says it has.
        """
        have = value.shape
        if tuple(have) == tuple(shape):
            return value
        # a size that is there already may be stretched by one
        sizes = [1 if h == s else s for h, s in zip(have, shape, strict=True)]
        if _is_fixed(sizes):
            wanted = self.integers(sizes)
        else:
            parts = [
                self.integers([s])
                if isinstance(s, int)
                else self.node('Mul', [self.batch, self.integers([_multiple(s)])], (1,))
                for s in sizes
            ]
            wanted = self.node('Concat', parts, (len(parts),), axis=0)
        return self.node('Expand', [value, wanted], shape)

    # -- the trace ------------------------------------------------------------------

    def run(self, jaxpr, constants, arguments):
        """
        Translate a trace and return what it returns.
        """
        values = dict(zip(jaxpr.constvars, map(np.asarray, constants), strict=True))
        values |= dict(zip(jaxpr.invars, arguments, strict=True))

        def read(atom):
            return np.asarray(atom.val, atom.aval.dtype) if hasattr(atom, 'val') else values[atom]

        for equation in jaxpr.eqns:
            results = self.equation(equation, [read(atom) for atom in equation.invars])
            values |= dict(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def equation(self, equation, values):
        name, out = equation.primitive.name, equation.outvars[0].aval
        shapes = [atom.aval.shape for atom in equation.invars]
        if name in _CALLS:
            inner = equation.params[_CALLS[name]]
            return self.run(inner.jaxpr, inner.consts, values)
        if name == 'optimization_barrier':
            return values
        is_known = all(
            isinstance(value, np.ndarray) and value.shape == tuple(shape)
            for value, shape in zip(values, shapes, strict=True)
        )
        if is_known and _is_fixed(out.shape):
            # nothing of the input in it: computed here and now
            results = equation.primitive.bind(*map(jnp.asarray, values), **equation.params)
            results = results if equation.primitive.multiple_results else [results]
            return [np.asarray(result) for result in results]
        if name in _ELEMENTWISE:
            shape = np.broadcast_shapes(
                *([1 if s == 1 else 2 for s in value.shape] for value in values)
            )
            sizes = [
                1 if size == 1 else whole for size, whole in zip(shape, out.shape, strict=True)
            ]
            return [_ELEMENTWISE[name](self, values, sizes, equation.params)]
        if name not in _OPERATIONS:
            msg = f"the operation '{name}' has no translation to ONNX in network/onnx_graph.py"
            raise ValueError(msg)
        if name != 'broadcast_in_dim':
            values = [self.full(v, s) for v, s in zip(values, shapes, strict=True)]
        results = _OPERATIONS[name](self, values, out.shape, equation.params)
        return results if isinstance(results, list) else [results]


# -- elementwise, where sizes of one are stretched by the runtime ----------------------------


def _plain(kind):
    return lambda graph, values, shape, params: graph.node(kind, values, shape)


def _cast(graph, values, shape, params):
    kind = graph.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(params['new_dtype']))
    return graph.node('Cast', values, shape, to=kind)


def _select(graph, values, shape, params):
    which, otherwise, chosen = values
    return graph.node('Where', [which, chosen, otherwise], shape)


def _clamp(graph, values, shape, params):
    low, x, high = values
    return graph.node('Min', [graph.node('Max', [x, low], shape), high], shape)


def _rsqrt(graph, values, shape, params):
    return graph.node('Reciprocal', [graph.node('Sqrt', values, shape)], shape)


def _square(graph, values, shape, params):
    return graph.node('Mul', [values[0], values[0]], shape)


def _power(graph, values, shape, params):
    if params['y'] == 2:
        return _square(graph, values, shape, params)
    return graph.node('Pow', [values[0], graph.constant(np.float32(params['y']))], shape)


def _log1p(graph, values, shape, params):
    one = graph.constant(np.float32(1))
    return graph.node('Log', [graph.node('Add', [values[0], one], shape)], shape)


def _unequal(graph, values, shape, params):
    return graph.node('Not', [graph.node('Equal', values, shape)], shape)


def _is_finite(graph, values, shape, params):
    odd = [graph.node(kind, values, shape) for kind in ('IsNaN', 'IsInf')]
    return graph.node('Not', [graph.node('Or', odd, shape)], shape)


_ELEMENTWISE = {name: _plain(kind) for name, kind in (_UNARY | _BINARY).items()} | {
    'clamp': _clamp,
    'convert_element_type': _cast,
    'integer_pow': _power,
    'is_finite': _is_finite,
    'log1p': _log1p,
    'ne': _unequal,
    'rsqrt': _rsqrt,
    'select_n': _select,
    'square': _square,
}


# -- everything else --------------------------------------------------------------------------


def _resized(graph, value, sizes, shape):
    """
    Reshape; at most one size depends on the batch, and the runtime finds it out.
    """
    wanted = graph.integers([size if isinstance(size, int) else -1 for size in sizes])
    return graph.node('Reshape', [value, wanted], shape)


def _broadcast(graph, values, shape, params):
    (value,) = values
    sizes = [1] * len(shape)
    for axis, size in zip(params['broadcast_dimensions'], value.shape, strict=True):
        sizes[axis] = size
    if isinstance(value, np.ndarray):
        return value.reshape(sizes)
    return _resized(graph, value, sizes, sizes)


def _reshape(graph, values, shape, params):
    return _resized(graph, values[0], shape, shape)


def _squeeze(graph, values, shape, params):
    return graph.node('Squeeze', [values[0], graph.integers(params['dimensions'])], shape)


def _transpose(graph, values, shape, params):
    return graph.node('Transpose', values, shape, perm=list(params['permutation']))


def _concatenate(graph, values, shape, params):
    return graph.node('Concat', values, shape, axis=params['dimension'])


def _stack(graph, values, shape, params):
    axis = params['axis']
    single = [*shape[:axis], 1, *shape[axis + 1 :]]
    parts = [graph.node('Unsqueeze', [v, graph.integers([axis])], single) for v in values]
    return graph.node('Concat', parts, shape, axis=axis)


def _sliced(graph, value, rows, shape):
    """
    Cut out, by (axis, start, stop, step).
    """
    axes, starts, stops, steps = (graph.integers(column) for column in zip(*rows, strict=True))
    return graph.node('Slice', [value, starts, stops, axes, steps], shape)


def _slice(graph, values, shape, params):
    strides = params['strides'] or (1,) * len(shape)
    # a stop that is no number is that of the batch, of which all is taken
    rows = [
        (axis, start, stop if isinstance(stop, int) else _LAST, step)
        for axis, (start, stop, step) in enumerate(
            zip(params['start_indices'], params['limit_indices'], strides, strict=True)
        )
    ]
    return _sliced(graph, values[0], rows, shape)


def _reverse(graph, values, shape, params):
    rows = [(axis, -1, _BEFORE_FIRST, -1) for axis in params['dimensions']]
    return _sliced(graph, values[0], rows, shape)


def _pad(graph, values, shape, params):
    config = params['padding_config']
    if any(inner for _, _, inner in config) or any(min(low, high) < 0 for low, high, _ in config):
        msg = f'padding of {config} has no translation to ONNX'
        raise ValueError(msg)
    pads = [low for low, _, _ in config] + [high for _, high, _ in config]
    return graph.node('Pad', [values[0], graph.integers(pads), values[1]], shape)


def _reduce(kind):
    def translate(graph, values, shape, params):
        axes = graph.integers(params['axes'])
        return graph.node(kind, [values[0], axes], shape, keepdims=0)

    return translate


def _reduce_truth(kind):
    def translate(graph, values, shape, params):
        onnx = graph.onnx.TensorProto
        number = graph.node('Cast', values, values[0].shape, to=onnx.INT32)
        axes = graph.integers(params['axes'])
        return graph.node(
            'Cast', [graph.node(kind, [number, axes], shape, keepdims=0)], shape, to=onnx.BOOL
        )

    return translate


def _dot(graph, values, shape, params):
    (left, right), (left_batch, right_batch) = params['dimension_numbers']
    x, y = values
    is_product = (tuple(left), tuple(right)) == ((len(x.shape) - 1,), (0,))
    if is_product and not left_batch and len(y.shape) == 2:
        return graph.node('MatMul', values, shape)
    letters = iter('abcdefghijklmnopqrstuvwxyz')
    of_x = [next(letters) for _ in x.shape]
    of_y = [next(letters) for _ in y.shape]
    for pairs in (zip(left, right, strict=True), zip(left_batch, right_batch, strict=True)):
        for one, other in pairs:
            of_y[other] = of_x[one]
    # as jax orders them: shared ones, then what is left of either
    result = [of_x[axis] for axis in left_batch]
    result += [c for axis, c in enumerate(of_x) if axis not in {*left, *left_batch}]
    result += [c for axis, c in enumerate(of_y) if axis not in {*right, *right_batch}]
    text = f'{"".join(of_x)},{"".join(of_y)}->{"".join(result)}'
    return graph.node('Einsum', values, shape, equation=text)


def _to_order(graph, value, order):
    """
    Exchange axes, at once where the values are known.
    """
    if isinstance(value, np.ndarray):
        return value.transpose(order)
    return graph.node('Transpose', [value], [value.shape[n] for n in order], perm=list(order))


def _convolve(graph, values, shape, params):
    numbers = params['dimension_numbers']
    if set(params['lhs_dilation']) != {1} or params['batch_group_count'] != 1:
        msg = 'a transposed convolution has no translation to ONNX'
        raise ValueError(msg)
    x = _to_order(graph, values[0], numbers.lhs_spec)
    kernel = _to_order(graph, values[1], numbers.rhs_spec)
    pads = [low for low, _ in params['padding']] + [high for _, high in params['padding']]
    y = graph.node(
        'Conv',
        [x, kernel],
        [shape[n] for n in numbers.out_spec],
        strides=list(params['window_strides']),
        pads=pads,
        dilations=list(params['rhs_dilation']),
        group=params['feature_group_count'],
    )
    return _to_order(graph, y, np.argsort(numbers.out_spec).tolist())


def _window_maximum(graph, values, shape, params):
    window, strides = params['window_dimensions'], params['window_strides']
    if (window[0], window[3]) != (1, 1) or any(map(any, params['padding'])):
        msg = f'a maximum over windows of {window} has no translation to ONNX'
        raise ValueError(msg)
    x = _to_order(graph, values[0], (0, 3, 1, 2))
    y = graph.node(
        'MaxPool',
        [x],
        [shape[n] for n in (0, 3, 1, 2)],
        kernel_shape=list(window[1:3]),
        strides=list(strides[1:3]),
    )
    return _to_order(graph, y, (0, 2, 3, 1))


def _scan(graph, values, shape, params):
    """
    Write a loop of known length out.
    """
    inner = params['jaxpr'].jaxpr
    # what is carried comes last and comes out; slices would have lost an axis within. The
    # parameters that say so have other names in each version of jax
    n_constants = len(values) - len(inner.outvars)
    wanted = [atom.aval.shape for atom in inner.invars]
    carried_out = [atom.aval.shape for atom in inner.outvars]
    if [tuple(v.shape) for v in values] != wanted or wanted[n_constants:] != carried_out:
        msg = 'a loop over slices has no translation to ONNX'
        raise ValueError(msg)
    constants, carried = values[:n_constants], values[n_constants:]
    for _ in range(params['length']):
        carried = graph.run(inner, params['jaxpr'].consts, [*constants, *carried])
        carried = [
            graph.full(value, size) for value, size in zip(carried, carried_out, strict=True)
        ]
    return carried


_OPERATIONS = {name: _reduce(kind) for name, kind in _REDUCTIONS.items()} | {
    'broadcast_in_dim': _broadcast,
    'concatenate': _concatenate,
    'conv_general_dilated': _convolve,
    'dot_general': _dot,
    'pad': _pad,
    'reduce_and': _reduce_truth('ReduceMin'),
    'reduce_or': _reduce_truth('ReduceMax'),
    'reduce_window_max': _window_maximum,
    'reshape': _reshape,
    'rev': _reverse,
    'scan': _scan,
    'slice': _slice,
    'squeeze': _squeeze,
    'stack': _stack,
    'transpose': _transpose,
}


def _needed(nodes, outputs):
    """
    Return the nodes that the outputs depend on, and the names they use.
    """
    used, kept = set(outputs), []
    for node in reversed(nodes):
        if used & set(node.output):
            kept.append(node)
            used |= set(node.input)
    return kept[::-1], used


def make_onnx(function, inputs, *, documentation=None, metadata=None, name='clustercnn'):
    """
    Return a function of arrays as an ONNX model.

    Parameters
    ----------
    function : callable
        From a dictionary of float32 arrays to a dictionary of them, in the operations of
        `jax`; the first axis of each array runs over the items of a batch.
    inputs : dict of str to tuple of int
        Shapes without that axis.
    documentation : dict of str to str, optional
        What inputs and outputs are, by name.
    metadata : dict of str to str, optional
        Kept in the model.
    name : str, optional
        Name of the graph.

    Returns
    -------
    model : bytes
        The file's contents; equal functions give equal bytes. An input that nothing
        depends on is left out. Any number of items can be given.

    Raises
    ------
    MissingDependencyError
        If onnx is not installed.
    ValueError
        If ONNX has nothing for an operation of the function, or this module does not know it.

    Examples
    --------
    >>> import onnx
    >>> from clustercnn.network import make_onnx
    >>> content = make_onnx(lambda x: {'double': 2 * x['single']}, {'single': (3,)})
    >>> [node.op_type for node in onnx.load_from_string(content).graph.node]
    ['Mul', 'Identity']
    """
    onnx = _require_onnx()
    documentation = documentation or {}
    (batch,) = export.symbolic_shape(_BATCH)
    shapes = {
        key: jax.ShapeDtypeStruct((batch, *shape), jnp.float32) for key, shape in inputs.items()
    }
    with native_formulations():
        closed, out_shapes = jax.make_jaxpr(function, return_shape=True)(shapes)
    graph = _Builder(onnx)
    # dictionaries are taken apart in the order of their sorted names
    arguments = [_Tensor(key, shapes[key].shape) for key in sorted(shapes)]
    whole = graph.node('Shape', [arguments[0]], (len(arguments[0].shape),))
    graph.batch = graph.node('Slice', [whole, *map(graph.integers, ([0], [1]))], (1,))
    results = graph.run(closed.jaxpr, closed.consts, arguments)
    for key, value in zip(sorted(out_shapes), results, strict=True):
        value = graph.full(value, out_shapes[key].shape)
        graph.nodes.append(onnx.helper.make_node('Identity', [graph.name_of(value)], [key]))
    nodes, used = _needed(graph.nodes, set(out_shapes))

    def described(key, shape):
        sizes = [size if isinstance(size, int) else _BATCH for size in shape]
        kind = onnx.TensorProto.FLOAT
        return onnx.helper.make_tensor_value_info(
            key, kind, sizes, doc_string=documentation.get(key, '')
        )

    made = onnx.helper.make_graph(
        nodes,
        name,
        [described(key, shapes[key].shape) for key in shapes if key in used],
        [described(key, out_shapes[key].shape) for key in sorted(out_shapes)],
        [
            onnx.numpy_helper.from_array(value, key)
            for key, value in graph.constants.items()
            if key in used
        ],
    )
    model = onnx.helper.make_model(
        made,
        producer_name='clustercnn',
        opset_imports=[onnx.helper.make_opsetid('', _OPSET)],
        ir_version=_IR_VERSION,
    )
    onnx.helper.set_model_props(model, metadata or {})
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)
