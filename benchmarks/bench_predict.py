# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Prediction side by side with PyTorch and ONNX Runtime, same weights, batch and precision::

    python benchmarks/bench_predict.py [--json FILE] [--rounds 5] [--batch 32]

PyTorch runs as it is and compiled, each with channels first and last; the fastest of the four is
the peer. Sides take turns in one process on all cores it may use; ours gives each core a part of
the batch. Planes are ready on both sides;
the first call, which compiles, is told apart. All sides are first shown to give the same logits.
"""

import argparse
import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
from contest import (
    Contestant,
    add_options,
    compared,
    contest,
    fastest,
    keep_to,
    make_case,
    make_params,
    make_planes,
    n_cores,
    optional,
    print_rows,
    write,
)

from clustercnn.network import flatten, make_onnx
from clustercnn.network.tiles import in_tiles

# at least and aimed at, against PyTorch and against ONNX Runtime
WANTED = {'cn': (2.0, 3.0), 'mobilenet': (1.0, 2.0), 'fusion': (1.5, 3.0)}
WANTED_RUNTIME = {'cn': (0.5, 1.0), 'fusion': (0.5, 1.0), 'mobilenet': (None, None)}
WANTED_PEAK = (0.4, 0.6)
MATRIX = 2048


def ours_of(network, params, planes):
    """
    Return the call of ours and what it gives.
    """

    @jax.jit
    def function(params, planes):
        return in_tiles(lambda tile: network.apply(params, tile)[0], planes, network.tile)

    params = jax.tree.map(jax.numpy.asarray, params)
    # a part a core, as predictions are made
    n_items = len(jax.tree.leaves(planes)[0])
    bounds = np.linspace(0, n_items, min(n_cores(), n_items) + 1).astype(int)
    parts = [
        jax.tree.map(lambda leaf, low=low, high=high: jax.numpy.asarray(leaf[low:high]), planes)
        for low, high in itertools.pairwise(bounds)
    ]
    pool = ThreadPoolExecutor(len(parts))

    def call():
        done = pool.map(lambda part: np.asarray(function(params, part)), parts)
        return np.concatenate(list(done))

    return call


def torch_sides(network, params, planes):
    """
    Return a contestant for each way to run PyTorch.
    """
    torch = optional('torch')
    if torch is None:
        return []
    from torch_networks import make_twin, to_torch

    torch.set_num_threads(n_cores())
    sides = []
    for channels_last in (False, True):
        twin = make_twin(network, params)
        if channels_last:
            twin = twin.to(memory_format=torch.channels_last)
        given = to_torch(planes, channels_last=channels_last)
        for compiled in (False, True):
            model = torch.compile(twin) if compiled else twin

            @torch.inference_mode()
            def call(model=model, given=given):
                return model(given).numpy()

            layout = 'channels last' if channels_last else 'channels first'
            name = f'PyTorch, {layout}, {"compiled" if compiled else "eager"}'
            sides.append(Contestant(name, call))
    return sides


def runtime_of(network, params, planes):
    """
    Return the call of ONNX Runtime on the same weights.
    """
    onnxruntime = optional('onnxruntime')
    if onnxruntime is None:
        return None
    flat = flatten(planes)

    def nested(tree, arrays, prefix=''):
        return {
            name: nested(value, arrays, f'{prefix}{name}.')
            if isinstance(value, dict)
            else arrays[prefix + name]
            for name, value in tree.items()
        }

    content = make_onnx(
        lambda arrays: {'logits': network.apply(params, nested(planes, arrays))[0]},
        {name: value.shape[1:] for name, value in flat.items()},
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_cores()
    session = onnxruntime.InferenceSession(content, options, providers=['CPUExecutionProvider'])
    given = {one.name: flat[one.name] for one in session.get_inputs()}
    return lambda: session.run(['logits'], given)[0]


def n_operations(network):
    """
    Return the floating-point operations of the paper's network for a cutout.

    Multiplications and additions of convolutions, as if none fell outside of a map, and of dense
    layers; pooling and rectifiers are not counted.
    """
    params = network.template
    height, width = network.inputs.bands[0].shape
    total, number = 0, 0
    while f'conv{number}' in params:
        total += 2 * height * width * math.prod(params[f'conv{number}']['kernel'].shape)
        height, width, number = height // 2, width // 2, number + 1
    return total + sum(2 * math.prod(params[n]['kernel'].shape) for n in ('hidden', 'logits'))


def matrix_product():
    """
    Return the call of a large product in float32 by jax and by PyTorch.
    """
    rng = np.random.default_rng(3)
    a, b = (rng.normal(size=(MATRIX, MATRIX)).astype(np.float32) for _ in range(2))
    device = jax.numpy.asarray(a), jax.numpy.asarray(b)
    product = jax.jit(lambda a, b: a @ b)
    sides = [Contestant('jax', lambda: product(*device).block_until_ready())]
    torch = optional('torch')
    if torch is not None:
        theirs = torch.from_numpy(a), torch.from_numpy(b)
        sides.append(Contestant('PyTorch', lambda: theirs[0] @ theirs[1]))
    return sides


def check(case, results):
    """
    Raise unless all sides say the same.
    """
    first = next(iter(results.values()))
    for name, logits in results.items():
        np.testing.assert_allclose(logits, first, rtol=1e-3, atol=2e-4, err_msg=f'{case}: {name}')


def rows_of(name, options):
    """
    Return the rows of one network.
    """
    network, case = make_case(name)
    params, (planes, _) = make_params(network), make_planes(network, options.batch)
    ours = Contestant('ours', ours_of(network, params, planes))
    peers = torch_sides(network, params, planes)
    call = runtime_of(network, params, planes)
    runtimes = [] if call is None else [Contestant('ONNX Runtime', call)]
    products = matrix_product() if name == 'cn' else []
    everyone = [ours, *peers, *runtimes]
    check(case, {one.name: one.call() for one in everyone})
    contest([*everyone, *products], n_rounds=options.rounds, seconds=options.seconds)
    wanted = WANTED[name], WANTED_RUNTIME[name]
    case = f'{case}, prediction'
    rows = [
        compared(case, ours, peer, amount=options.batch, wanted=limits[0], aim=limits[1])
        for peer, limits in zip((fastest(peers), fastest(runtimes)), wanted, strict=True)
    ]
    rows[0]['others'] = {one.name: one.rates(options.batch) for one in peers}
    if products:
        product = fastest(products)
        operations = n_operations(network) * options.batch / 1e9
        row = compared(
            f'{case}, share of the roof',
            ours,
            None,
            amount=operations,
            unit='GFLOP/s',
            wanted=WANTED_PEAK[0],
            aim=WANTED_PEAK[1],
        )
        shares = operations / (2 * MATRIX**3 / 1e9) * np.array(product.seconds) / ours.seconds
        busy = operations / (2 * MATRIX**3 / 1e9) * np.array(product.processor) / ours.processor
        low, middle, high = product.rates(2 * MATRIX**3 / 1e9)
        rows.append(
            row
            | {
                'peer_name': f'float32 product of {MATRIX} x {MATRIX} ({product.name})',
                'peer': middle,
                'peer_min_max': [low, high],
                'ratio': round(float(np.median(shares)), 3),
                'ratio_min_max': [round(float(shares.min()), 3), round(float(shares.max()), 3)],
                'processor_ratio': round(float(np.median(busy)), 3),
            }
        )
    return rows


def main():
    """
    Run the benchmark.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    add_options(parser, networks=WANTED)
    options = parser.parse_args()
    keep_to(options.cores)
    rows = [row for name in options.networks for row in rows_of(name, options)]
    print_rows(rows)
    if options.json:
        write(options.json, 'predict', rows, batch=options.batch, rounds=options.rounds)


if __name__ == '__main__':
    main()
