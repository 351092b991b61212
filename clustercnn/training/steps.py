# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The jitted functions: one step of training, evaluation, prediction. Each is pure,
traced once, and counts its traces. A step of training on a CPU is made of three, of which the
one that makes the gradient is called for several parts of the batch at a time.
"""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from clustercnn.network import augment
from clustercnn.network.backend import tracing_in
from clustercnn.network.layers import FEW_ITEMS
from clustercnn.network.tiles import in_parts, in_tiles, number_of_parts, sum_over_tiles
from clustercnn.training.devices import in_threads
from clustercnn.training.losses import label_loss

__all__ = ['Steps', 'make_optimizer']

# on a CPU, where each core takes a batch
_PREDICTION_BATCH = 32


def make_optimizer(config, n_steps):
    """
    Return the optimiser of a training.

    Parameters
    ----------
    config : TrainingConfig
        Settings.
    n_steps : int or `~jax.Array`
        Number of steps of the whole training, for the schedule.

    Returns
    -------
    optimizer : `~optax.GradientTransformation`
        AdamW behind a limit on the gradient. Its state does not depend on the number of steps.

    Examples
    --------
    >>> from clustercnn.training import TrainingConfig, make_optimizer
    >>> state = make_optimizer(TrainingConfig(), 10).init({'kernel': 0.0})
    >>> len(state)
    4
    """
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        # AdamW in its parts; one long vector compiles and runs faster than many arrays
        optax.flatten(optax.scale_by_adam()),
        optax.add_decayed_weights(
            config.weight_decay,
            # biases are one-dimensional
            mask=lambda params: jax.tree.map(lambda leaf: jnp.ndim(leaf) > 1, params),
        ),
        optax.scale_by_learning_rate(functools.partial(_learning_rate, config, n_steps)),
    )


def _learning_rate(config, n_steps, step):
    """
    Return the learning rate of a step, the first of which is 0.

    Linear to its highest, then half a cosine to nothing (Loshchilov & Hutter 2017, equation 5,
    without restarts; Goyal et al. 2017, section 2.2). Optax has the same, but for a step where the
    rise is a whole number of them, for numbers of steps that are known when it is compiled.
    """
    rising = jnp.maximum(1, jnp.int32(config.warmup * n_steps))
    falling = jnp.maximum(2, n_steps) - rising
    gone = jnp.clip((step - rising) / falling, 0, 1)
    share = jnp.where(step < rising, step / rising, 0.5 * (1 + jnp.cos(jnp.pi * gone)))
    return config.learning_rate * share


class Steps:
    """
    Jitted functions of one network.

    Parameters
    ----------
    network : Network
        The network.
    config : TrainingConfig, optional
        Settings, needed for training.
    dihedral : bool, optional
        Whether `predict` averages over flips and quarter turns; as the network
        has it by default.
    precision : {'auto', 'float32', 'bfloat16'}, optional
        What maps are computed in where there is no ``config``, which says it itself.

    Attributes
    ----------
    dihedral : bool
        Whether `predict` averages.
    n_traces : `~collections.Counter`
        How often each function was traced; more than once means that shapes change.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.network import (BandArrays, BandSpec, InputSpec, build_network,
    ...                                 make_dataset, take)
    >>> from clustercnn.training import Steps
    >>> spec = BandSpec(name='g', kind='optical', shape=(16, 16), pixel_scale=1.0)
    >>> network = build_network('cn', InputSpec(bands=(spec,)), n_classes=2)
    >>> picture = np.random.default_rng(1).normal(size=(5, 16, 16))
    >>> data = make_dataset(network.inputs, {'g': BandArrays(data=picture, pixel_scale=1.0)})
    >>> steps = Steps(network)
    >>> logits, _ = steps.predict(network.init(0), take(data, np.arange(5), 8))
    >>> logits.shape, steps.n_traces['predict']
    ((8, 2), 1)
    """

    def __init__(self, network, *, config=None, dihedral=None, precision='auto'):
        self.network = network
        self.config = config
        self.n_traces = collections.Counter()
        self.dihedral = network.dihedral if dihedral is None else dihedral
        self.precision = precision if config is None else config.precision
        if config is not None:
            self._whole = jax.jit(self._computing(self._train), donate_argnums=0)
            self._prepared = jax.jit(self._computing(self._prepare), static_argnames='n_parts')
            self._part = jax.jit(self._computing(self._gradient_of_part), static_argnames='n_items')
            self._updated = jax.jit(self._computing(self._update), donate_argnums=0)
        self.evaluate = jax.jit(self._computing(self._evaluate))
        self.predict = jax.jit(self._computing(self._predict))

    def _computing(self, function):
        return tracing_in(function, self.precision)

    @functools.cached_property
    def prediction_batch(self):
        """
        How many cutouts to predict at a time: always as many, so that none depends on the others.
        """
        if jax.default_backend() == 'cpu':
            return _PREDICTION_BATCH
        return self.network.most_at_once(averaged=self.dihedral)

    def initial_state(self, seed, *, initial=None):
        """
        Return the state a training starts from.

        Parameters
        ----------
        seed : int
            For initial parameters, dropout and augmentation.
        initial : dict, optional
            Parameters to start from instead.

        Returns
        -------
        state : dict
            Parameters, state of the optimiser, number of steps done, random key.
        """
        params = self.network.init(seed) if initial is None else jax.tree.map(jnp.array, initial)
        return {
            'params': params,
            # whose state is the same for any number of steps
            'optimizer': make_optimizer(self.config, 1).init(self.network.divide(params)[0]),
            'step': jnp.zeros((), jnp.int32),
            'key': jax.random.key_data(jax.random.key(seed)),
        }

    def _on_frozen(self, tree, function):
        """
        Apply a function to what keeps its parameters.
        """
        if self.config.frozen is None:
            return tree
        head = self.network.head_names
        return {
            name: value if name in head else jax.tree.map(function, value)
            for name, value in tree.items()
        }

    def _measures(self, statistics):
        """
        Tell whether batches are normalised by themselves; frozen layers are as in prediction.
        """
        return bool(statistics) and self.config.frozen is None

    def _tile(self, n_items, statistics):
        """
        Return how many items at a time a gradient is made of.
        """
        # the library's gradient of a convolution is tens of times slower within a loop, so that
        # tiles are small enough for the other; what is normalised by its batch needs all of it
        if self._measures(statistics):
            return n_items
        return min(self.network.tile, FEW_ITEMS // 2)

    def _sums(self, trained, statistics, batch, key, n_items):
        """
        Return the sum of the losses with its gradient over ``n_items``, and new statistics.
        """
        network, measures = self.network, self._measures(statistics)

        def of_tile(number, tile):
            # what is made from data alone is settled once, not repeated in the gradient
            planes = tile.get('planes') or jax.lax.optimization_barrier(network.preprocess(tile))
            weight = tile['weight'] * tile['_mask']

            def objective(trained):
                trained = self._on_frozen(trained, jax.lax.stop_gradient)
                logits, measured = network.apply_training(
                    trained,
                    statistics,
                    planes,
                    key=jax.random.fold_in(key, number),
                    mask=tile['_mask'] if measures else None,
                )
                total = (weight * label_loss(logits, tile, self.config)).sum()
                return total / n_items, (total, measured)

            (_, rest), gradient = jax.value_and_grad(objective, has_aux=True)(trained)
            return rest, gradient

        size = self._tile(len(batch['_mask']), statistics)
        (total, measured), gradient = sum_over_tiles(of_tile, batch, size)
        # otherwise the same in every tile, and not to be summed
        return (total, gradient), measured if measures else statistics

    def _with_penalty(self, trained, statistics, total, gradient, n_items):
        """
        Return the objective and its gradient.
        """
        penalty, of_penalty = jax.value_and_grad(
            lambda trained: jnp.asarray(
                self.network.penalty(self.network.join(trained, statistics))
            )
        )(trained)
        return total / n_items + penalty, jax.tree.map(jnp.add, gradient, of_penalty)

    def gradient(self, trained, statistics, batch, key):
        """
        Return what a step of training is made of, as one function to be compiled.

        Parameters
        ----------
        trained, statistics : dict
            From `~clustercnn.network.Network.divide`.
        batch : dict
            From `~clustercnn.network.take`; with ``'planes'`` where they are ready.
        key : `~jax.Array`
            Random key of the dropout.

        Returns
        -------
        value : `~jax.Array`
            The objective: mean weighted loss and penalty.
        total : `~jax.Array`
            Sum of the weighted losses.
        statistics : dict
            The new ones.
        gradient : dict
            Of the objective, as ``trained``.
        """
        n_items = len(batch['_mask'])
        (total, gradient), measured = self._sums(trained, statistics, batch, key, n_items)
        value, gradient = self._with_penalty(trained, statistics, total, gradient, n_items)
        return value, total, measured, gradient

    def train(self, state, batch, n_steps):
        """
        Do one step; a batch whose loss or gradient is not finite leaves the state alone.

        Parameters
        ----------
        state : dict
            From `initial_state` or the step before, whose arrays are given away.
        batch : dict
            From `~clustercnn.network.take`; with ``'planes'`` where they are ready, which are
            not augmented.
        n_steps : int
            Number of steps of the whole training, for the schedule. Trainings that differ in
            nothing else share what is compiled.

        Returns
        -------
        state : dict
            The next one.
        metrics : dict
            ``'loss'`` and ``'weight'``, sums over the batch, and ``'finite'``.

        Notes
        -----
        XLA runs the loop over tiles, and most of its convolutions, on one core. Here it gets parts
        of the batch in threads; their number and the order in which they are summed are fixed.
        """
        n_items = len(batch['_mask'])
        _, statistics = self.network.divide(state['params'])
        n_parts = number_of_parts(n_items, self._tile(n_items, statistics))
        n_steps = np.int32(n_steps)
        if n_parts == 1:
            return self._whole(state, batch, n_steps)
        key, parts = self._prepared(state, batch, n_parts=n_parts)

        def of_part(numbered):
            result = self._part(state['params'], key, *numbered, n_items=n_items)
            return jax.block_until_ready(result)

        results = in_threads(
            of_part, list(enumerate(parts)), compiled=self.n_traces['gradient'] > 0
        )
        # where batches are normalised by themselves, they are not divided
        sums = [sums for _, (sums, _) in results]
        return self._updated(state, batch, sums, n_steps, statistics=None)

    def _train(self, state, batch, n_steps):
        """
        One step on all of a batch at once.
        """
        self.n_traces['train'] += 1
        key, (batch,) = self._prepare(state, batch, n_parts=1)
        sums, statistics = self._gradient_of_part(
            state['params'], key, 0, batch, n_items=len(batch['_mask'])
        )
        return self._update(state, batch, [sums], n_steps, statistics)

    def _prepare(self, state, batch, *, n_parts):
        """
        Return the key of the dropout and the parts of the augmented batch.
        """
        self.n_traces['prepare'] += 1
        key = jax.random.fold_in(jax.random.wrap_key_data(state['key']), state['step'])
        key_augment, key_dropout = jax.random.split(key)
        if 'planes' not in batch:
            batch = augment(key_augment, batch, self.network.inputs, self.config.augmentation)
        return key_dropout, in_parts(batch, n_parts)

    def _gradient_of_part(self, params, key, number, part, *, n_items):
        """
        Return what is summed over the parts of a batch, and the new statistics.
        """
        self.n_traces['gradient'] += 1
        trained, statistics = self.network.divide(params)
        key = jax.random.fold_in(key, number)
        return self._sums(trained, statistics, part, key, n_items)

    def _update(self, state, batch, sums, n_steps, statistics):
        """
        Return the next state and the metrics; no statistics are those of the state.
        """
        self.n_traces['update'] += 1
        # one after the other, in the order of the parts
        total, gradient = jax.tree.map(lambda *parts: sum(parts[1:], parts[0]), *sums)
        trained, unchanged = self.network.divide(state['params'])
        statistics = unchanged if statistics is None else statistics
        value, gradient = self._with_penalty(
            trained, statistics, total, gradient, len(batch['_mask'])
        )
        optimizer = make_optimizer(self.config, n_steps)
        updates, optimizer = optimizer.update(gradient, state['optimizer'], trained)
        # weights do not decay either where they are frozen
        updates = self._on_frozen(updates, jnp.zeros_like)
        params = self.network.join(optax.apply_updates(trained, updates), statistics)
        finite = jnp.isfinite(value) & jnp.isfinite(optax.tree.norm(gradient))
        new = {
            'params': params,
            'optimizer': optimizer,
            'step': state['step'] + 1,
            'key': state['key'],
        }
        new = jax.lax.cond(finite, lambda: new, lambda: state)
        weight = (batch['weight'] * batch['_mask']).sum()
        return new, {'loss': total, 'weight': weight, 'finite': finite}

    def _evaluate(self, params, batch):
        """
        Sum of the weighted loss, sum of the weights, and logits.
        """
        self.n_traces['evaluate'] += 1
        logits, _ = in_tiles(
            lambda tile: self.network.apply(params, self.network.preprocess(tile)),
            batch,
            self.network.tile,
        )
        weight = batch['weight'] * batch['_mask']
        each = label_loss(logits, batch, self.config)
        return {
            'loss': jnp.where(weight > 0, weight * each, 0).sum(),
            'weight': weight.sum(),
            'logits': logits,
        }

    def _predict(self, params, batch):
        """
        Logits and what the last layer saw.
        """
        self.n_traces['predict'] += 1
        network = self.network
        apply, size = network.apply, network.tile
        if self.dihedral:
            apply, size = network.apply_averaged, max(1, size // network.n_views)

        def of_tile(tile):
            return apply(params, jax.lax.optimization_barrier(network.preprocess(tile)))

        return in_tiles(of_tile, batch, size)
