# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Training side by side with PyTorch, same architecture, batch, precision and optimiser::

    python benchmarks/bench_train.py [--json FILE] [--rounds 5] [--batch 32]

A step is loss, gradient, limit on its norm and AdamW, with dropout and penalty as in our training;
planes are ready on both sides. PyTorch runs as it is and compiled, each with channels first and
last; the fastest of the four is the peer. Sides take turns in one process on all cores it may use;
the first call, which compiles, is told apart. Logits of a training step without dropout are first
shown to be the same. The last rows are our whole step, from raw cutouts, with augmentation.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
from contest import (
    INPUTS,
    N_CLASSES,
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

from clustercnn.network import FEATURES, BandArrays, build_network, make_dataset, take
from clustercnn.training import Steps, TrainingConfig

WANTED = {'cn': (1.0, 1.5), 'mobilenet': (0.7, 1.2), 'fusion': (1.0, 1.5)}
CONFIG = TrainingConfig(batch_size=32)
N_STEPS = 1000
N_MEMBERS = 4


def make_batch(planes, codes):
    """
    Return a batch whose planes are ready, so that none of it is augmented.
    """
    ones = jnp.ones(len(codes))
    return {
        'planes': jax.tree.map(jnp.asarray, planes),
        'target': jax.nn.one_hot(codes, N_CLASSES),
        'weight': ones,
        '_mask': ones,
    }


class Ours:
    """
    Steps of our network, one after the other.

    Parameters
    ----------
    network : clustercnn.network.Network
        The network.
    params : dict
        Its parameters.
    planes : dict
        Ready.
    codes : 1D numpy.ndarray
        Classes.
    """

    def __init__(self, network, params, planes, codes):
        self.steps = Steps(network, config=CONFIG)
        self.batch = make_batch(planes, codes)

        @jax.jit
        def logits(trained, statistics, batch):
            return network.apply_training(
                trained, statistics, batch['planes'], key=None, mask=batch['_mask']
            )[0]

        trained, statistics = network.divide(jax.tree.map(jnp.asarray, params))
        self.logits = np.asarray(logits(trained, statistics, self.batch))
        self.state = self.steps.initial_state(1, initial=params)

    def __call__(self):
        self.state, metrics = self.steps.train(self.state, self.batch, N_STEPS)
        return float(metrics['loss'])


def torch_sides(network, params, planes, codes, logits):
    """
    Return a contestant for each way to run PyTorch, after comparing the logits.
    """
    torch = optional('torch')
    if torch is None:
        return []
    from torch_networks import make_twin, to_torch

    torch.set_num_threads(n_cores())
    sides = []
    for channels_last in (False, True):
        for compiled in (False, True):
            twin = make_twin(network, params).train()
            if channels_last:
                twin = twin.to(memory_format=torch.channels_last)
            given = to_torch(planes, channels_last=channels_last)
            layout = 'channels last' if channels_last else 'channels first'
            name = f'PyTorch, {layout}, {"compiled" if compiled else "eager"}'
            twin.dropout.eval()
            with torch.no_grad():
                theirs = twin(given).numpy()
            np.testing.assert_allclose(theirs, logits, rtol=2e-3, atol=1e-3, err_msg=name)
            twin.dropout.train()
            model = torch.compile(twin) if compiled else twin
            kernels = [p for p in twin.parameters() if p.ndim > 1]
            others = [p for p in twin.parameters() if p.ndim <= 1]
            groups = [
                {'params': kernels, 'weight_decay': CONFIG.weight_decay},
                {'params': others, 'weight_decay': 0.0},
            ]
            optimizer = torch.optim.AdamW(groups, lr=CONFIG.learning_rate, fused=True)
            wanted = torch.from_numpy(codes)

            def call(model=model, twin=twin, optimizer=optimizer, given=given, wanted=wanted):
                optimizer.zero_grad(set_to_none=True)
                loss = torch.nn.functional.cross_entropy(model(given), wanted) + twin.penalty()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(twin.parameters(), CONFIG.clip_norm)
                optimizer.step()
                return loss.item()

            sides.append(Contestant(name, call))
    return sides


def rows_of(name, options):
    """
    Return the rows of one network.
    """
    network, case = make_case(name)
    params, (planes, codes) = make_params(network), make_planes(network, options.batch)
    ours = Ours(network, params, planes, codes)
    peers = torch_sides(network, params, planes, codes, ours.logits)
    ours = Contestant('ours', ours)
    contest([ours, *peers], n_rounds=options.rounds, seconds=options.seconds)
    wanted, aim = WANTED[name]
    row = compared(
        f'{case}, training', ours, fastest(peers), amount=options.batch, wanted=wanted, aim=aim
    )
    row['others'] = {one.name: one.rates(options.batch) for one in peers}
    return [row]


def make_data(n_items):
    """
    Return a labelled data set of noise on the default geometry.
    """
    rng = np.random.default_rng(1)
    made = make_dataset(
        INPUTS,
        {
            'xray': BandArrays(
                data=rng.poisson(0.3, (n_items, 64, 64)).astype(np.float32), pixel_scale=4.0
            ),
            'optical': BandArrays(
                data=rng.normal(1000, 10, (n_items, 128, 128)).astype(np.float32),
                pixel_scale=2.0,
            ),
        },
        features={name: rng.uniform(1, 100, n_items) for name in FEATURES},
    )
    target = np.eye(N_CLASSES, dtype=np.float32)[rng.integers(0, N_CLASSES, n_items)]
    return made | {'target': target, 'weight': np.ones(n_items, np.float32)}


class WholeStep:
    """
    Steps of our training from raw cutouts: batch, augmentation, planes, network.

    Parameters
    ----------
    name : str
        The network.
    batch_size : int
        Cutouts a step.
    """

    def __init__(self, name, batch_size):
        network = build_network(name, INPUTS, n_classes=N_CLASSES)
        self.steps = Steps(network, config=CONFIG)
        self.state = self.steps.initial_state(1)
        self.dataset, self.batch_size = make_data(2 * batch_size), batch_size
        self.rng = np.random.default_rng(1)

    def __call__(self):
        rows = self.rng.permutation(2 * self.batch_size)[: self.batch_size]
        batch = take(self.dataset, rows, self.batch_size)
        self.state, metrics = self.steps.train(self.state, batch, N_STEPS)
        return float(metrics['loss'])


class Members:
    """
    Steps of several members of an ensemble, each with its own parameters.

    Parameters
    ----------
    name : str
        The network.
    batch_size : int
        Cutouts a step of each.
    together : bool
        Whether one call does all of them, over an axis of seeds, or one call each.
    """

    def __init__(self, name, batch_size, *, together):
        network, _ = make_case(name)
        steps = Steps(network, config=CONFIG)
        trained = [network.divide(network.init(seed))[0] for seed in range(N_MEMBERS)]
        statistics = network.divide(network.init(0))[1]
        batch = make_batch(*make_planes(network, batch_size))
        key = jax.random.key(1)

        def gradient(trained):
            return steps.gradient(trained, statistics, batch, key)[3]

        if together:
            every = jax.tree.map(lambda *leaves: jnp.stack(leaves), *trained)
            function = jax.jit(jax.vmap(gradient))
            self.call = lambda: jax.block_until_ready(function(every))
        else:
            function = jax.jit(gradient)
            self.call = lambda: [jax.block_until_ready(function(one)) for one in trained]

    def __call__(self):
        return self.call()


def members_row(name, options):
    """
    Return the row of an ensemble whose members learn in one call, against one call each.
    """
    together, each = (
        Contestant(label, Members(name, options.batch, together=way))
        for label, way in (('one call', True), ('a call each', False))
    )
    contest([together, each], n_rounds=options.rounds, seconds=options.seconds)
    case = f'{name}, gradients of {N_MEMBERS} members in one call over an axis of seeds'
    return compared(case, together, each, amount=N_MEMBERS * options.batch)


def whole_row(name, options):
    """
    Return the row of the whole step of one network.
    """
    ours = Contestant('ours', WholeStep(name, options.batch))
    contest([ours], n_rounds=options.rounds, seconds=options.seconds)
    return compared(f'{name}, whole step from raw cutouts', ours, None, amount=options.batch)


def main():
    """
    Run the benchmark.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    add_options(parser, networks=WANTED)
    options = parser.parse_args()
    keep_to(options.cores)
    rows = [row for name in options.networks for row in rows_of(name, options)]
    rows += [whole_row(name, options) for name in options.networks if name != 'mobilenet']
    rows += [members_row(name, options) for name in options.networks if name == 'fusion']
    print_rows(rows)
    if options.json:
        write(options.json, 'train', rows, batch=options.batch, rounds=options.rounds)


if __name__ == '__main__':
    main()
