# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A network as a configuration and pure functions of its parameters.

Modules are defined with flax.nnx and taken apart at once: what travels through
jit is a dictionary of arrays, nothing else.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from clustercnn.network.augment import dihedral
from clustercnn.network.config import InputSpec, from_dict, registered, to_dict
from clustercnn.network.tiles import items_per_tile
from clustercnn.network.transforms import make_planes

__all__ = ['Network', 'build_network', 'flatten', 'unflatten']


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """
    A network without its parameters.

    Parameters
    ----------
    name : str
        Registered name.
    config : object
        Options of that network.
    inputs : InputSpec
        What it sees.
    n_classes : int
        Number of logits.

    Raises
    ------
    ValueError
        If there is no such network, or the pictures are too small for it.

    Examples
    --------
    >>> from clustercnn.network import BandSpec, InputSpec, build_network
    >>> band = BandSpec(name='g', kind='optical', shape=(32, 32), pixel_scale=1.0)
    >>> network = build_network('cn', InputSpec(bands=(band,)), n_classes=2)
    >>> network.n_parameters
    65058
    """

    name: str
    config: object
    inputs: InputSpec
    n_classes: int

    def __post_init__(self):
        config_class, _, _ = registered(self.name)
        if not isinstance(self.config, config_class):
            msg = f"'{self.name}' needs a {config_class.__name__}, got {self.config!r}"
            raise TypeError(msg)
        if not 2 <= self.n_classes <= 127:
            msg = f"'n_classes' must be between 2 and 127, got {self.n_classes}"
            raise ValueError(msg)

    def __getstate__(self):
        # compiled functions stay in their process
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def _module(self, rng):
        _, module_class, _ = registered(self.name)
        return module_class(self.config, self.inputs, self.n_classes, rng=rng)

    @functools.cached_property
    def _split(self):
        # shapes only: nothing is allocated, whatever a file may ask for
        module = nnx.eval_shape(lambda: self._module(None))
        definition, trained, statistics = nnx.split(module, nnx.Param, nnx.BatchStat)
        return definition, nnx.to_pure_dict(trained), nnx.to_pure_dict(statistics)

    @property
    def template(self):
        """
        Shapes and types of the parameters, nested dict of `~jax.ShapeDtypeStruct`.

        Running statistics, where a network has any, are among them.
        """
        return _joined(*self._split[1:])

    @property
    def n_parameters(self):
        """
        Number of trained values.
        """
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(self._split[1]))

    @property
    def statistics_names(self):
        """
        Names of the arrays that are measured in training rather than trained, tuple of str.
        """
        return tuple(flatten(self._split[2]))

    @property
    def head_names(self):
        """
        Names of the layers after the last maps, tuple of str.
        """
        return registered(self.name)[1].HEAD

    @property
    def dihedral(self):
        """
        Whether predictions are averaged over flips and turns by default.
        """
        return registered(self.name)[2]

    @functools.cached_property
    def tile(self):
        """
        How many items a CPU should look at at a time, see ``clustercnn.network.tiles``.
        """
        return items_per_tile(self.apply, self.template, self._planes_of_one)

    def most_at_once(self, *, averaged):
        """
        Return how many items a GPU may predict at a time.

        Parameters
        ----------
        averaged : bool
            Whether by `apply_averaged`.

        Returns
        -------
        n_items : int
            A power of two up to 1024; the largest map of all of them has at most 1 GiB in
            float32.
        """
        function = self.apply_averaged if averaged else self.apply
        return items_per_tile(
            function, self.template, self._planes_of_one, largest_map=1 << 30, most=1024
        )

    @property
    def _planes_of_one(self):
        def shape(*sizes):
            return jax.ShapeDtypeStruct((1, *sizes), jnp.float32)

        bands, n_features = self.inputs.bands, len(self.inputs.features)
        n_planes = self.config.preprocessing.n_planes
        return {
            'pictures': {spec.name: shape(*spec.shape, n_planes(spec.kind)) for spec in bands},
            'coverage': {spec.name: shape(*spec.shape, 1) for spec in bands},
            'present': {spec.name: shape() for spec in bands},
            'features': shape(n_features),
            'known': shape(n_features),
        }

    @property
    def n_views(self):
        """
        How many flips and turns of the pictures there are: 8, or 4 if any is not square.
        """
        return 8 if all(spec.shape[0] == spec.shape[1] for spec in self.inputs.bands) else 4

    def init(self, seed):
        """
        Return initial parameters.

        Parameters
        ----------
        seed : int
            For the draw.

        Returns
        -------
        params : dict
            Nested, of float32 arrays.
        """
        module = self._module(np.random.default_rng(seed))
        return nnx.to_pure_dict(nnx.split(module, (nnx.Param, nnx.BatchStat))[1])

    def divide(self, params):
        """
        Tell what is trained from what is measured in training.

        Parameters
        ----------
        params : dict
            Parameters.

        Returns
        -------
        trained, statistics : dict
            The second is empty for a network that normalises nothing by its batch.
        """
        flat = flatten(params)
        return tuple(unflatten(template, flat) for template in self._split[1:])

    def preprocess(self, batch):
        """
        Turn a batch into planes.

        Parameters
        ----------
        batch : dict
            From `~clustercnn.network.take`.

        Returns
        -------
        planes : dict
            See `~clustercnn.network.make_planes`.
        """
        return make_planes(batch, self.inputs, self.config.preprocessing)

    def join(self, trained, statistics):
        """
        Put together what `divide` took apart.

        Parameters
        ----------
        trained, statistics : dict
            Nested.

        Returns
        -------
        params : dict
            Parameters.
        """
        return _joined(trained, statistics)

    def apply(self, params, planes, *, key=None):
        """
        Compute logits.

        Parameters
        ----------
        params : dict
            From `init` or a file.
        planes : dict
            From `preprocess`.
        key : `~jax.Array`, optional
            Random key for dropout in training; none is dropped without.

        Returns
        -------
        logits : 2D `~jax.Array`
            Shape ``(n, n_classes)``.
        features : 2D `~jax.Array`
            What the last layer saw, shape ``(n, n_hidden)``.
        """
        return nnx.merge(self._split[0], params)(planes, key=key)

    def maps(self, params, planes):
        """
        Compute the last maps of features, before they are summarised.

        Parameters
        ----------
        params : dict
            Parameters.
        planes : dict
            From `preprocess`.

        Returns
        -------
        maps : dict of str to 4D `~jax.Array`
            By band, or ``'all'`` where the bands share one; shape ``(n, ny, nx, n_channels)``.
        """
        return nnx.merge(self._split[0], params).maps(planes)

    def head(self, params, maps, planes):
        """
        Compute logits from the last maps.

        Parameters
        ----------
        params : dict
            Parameters.
        maps : dict
            From `maps`.
        planes : dict
            What they were made of.

        Returns
        -------
        logits : 2D `~jax.Array`
            Shape ``(n, n_classes)``, as of `apply`.
        """
        return nnx.merge(self._split[0], params).head(maps, planes)[0]

    def apply_training(self, trained, statistics, planes, *, key, mask):
        """
        Compute logits as in training, and what they do to the running statistics.

        Parameters
        ----------
        trained, statistics : dict
            From `divide`.
        planes : dict
            From `preprocess`.
        key : `~jax.Array`
            Random key for dropout.
        mask : 1D `~jax.Array`
            1 for the rows of the batch that count, 0 for padding.

        Returns
        -------
        logits : 2D `~jax.Array`
            Shape ``(n, n_classes)``.
        statistics : dict
            The new ones.
        """
        module = nnx.merge(self._split[0], _joined(trained, statistics))
        logits, _ = module(planes, key=key, mask=mask)
        return logits, nnx.to_pure_dict(nnx.split(module, nnx.Param, nnx.BatchStat)[2])

    def penalty(self, params):
        """
        Return what is added to the loss for the size of the parameters.

        Parameters
        ----------
        params : dict
            Parameters.

        Returns
        -------
        penalty : `~jax.Array`
            Scalar.
        """
        return nnx.merge(self._split[0], params).penalty()

    def apply_averaged(self, params, planes):
        """
        Compute logits averaged over flips and quarter turns of the pictures.

        Parameters
        ----------
        params : dict
            Parameters.
        planes : dict
            From `preprocess`.

        Returns
        -------
        logits, features : 2D `~jax.Array`
            As `apply`. Pictures that are not square are flipped only.
        """
        n_turns = self.n_views

        def turn(value, kind):
            if kind not in ('pictures', 'coverage'):
                return jax.tree.map(lambda x: jnp.concatenate([x] * n_turns), value)
            return {
                name: jnp.concatenate([dihedral(x, index) for index in range(n_turns)])
                for name, x in value.items()
            }

        # one large batch, settled in memory first: else every convolution gathers it anew
        turned = jax.lax.optimization_barrier(
            {kind: turn(value, kind) for kind, value in planes.items()}
        )
        return tuple(
            x.reshape(n_turns, -1, x.shape[-1]).mean(0) for x in self.apply(params, turned)
        )

    def to_dict(self):
        """
        Return all of this as plain values.

        Returns
        -------
        values : dict
            For `from_dict`.
        """
        return {
            'name': self.name,
            'config': to_dict(self.config),
            'inputs': to_dict(self.inputs),
            'n_classes': self.n_classes,
        }

    @classmethod
    def from_dict(cls, values):
        """
        Return a network from plain values.

        Parameters
        ----------
        values : dict
            As from `to_dict`, nothing more and nothing less.

        Returns
        -------
        network : Network
            Without parameters.
        """
        wanted = {'name', 'config', 'inputs', 'n_classes'}
        if not isinstance(values, dict) or set(values) != wanted:
            got = sorted(values) if isinstance(values, dict) else type(values).__name__
            msg = f'a network is described by {sorted(wanted)}, got {got}'
            raise ValueError(msg)
        config_class, _, _ = registered(values['name'])
        if isinstance(values['n_classes'], bool) or not isinstance(values['n_classes'], int):
            msg = f"'n_classes' must be a whole number, got {values['n_classes']!r}"
            raise TypeError(msg)
        return cls(
            name=values['name'],
            config=from_dict(config_class, values['config']),
            inputs=from_dict(InputSpec, values['inputs']),
            n_classes=values['n_classes'],
        )


def _joined(one, other):
    """
    Merge two nested dictionaries that share no leaf.
    """
    both = one | other
    for name in one.keys() & other.keys():
        both[name] = _joined(one[name], other[name])
    return both


def build_network(name, inputs, *, n_classes, options=None):
    """
    Return a network by name.

    Parameters
    ----------
    name : str
        One of `~clustercnn.network.network_names`.
    inputs : InputSpec
        What it sees.
    n_classes : int
        Number of classes.
    options : dict or dataclass, optional
        Options of that network; names that it does not have are refused. A dictionary is
        completed by what is usual for the inputs, see ``usual`` of
        `~clustercnn.network.FusionConfig`.

    Returns
    -------
    network : Network
        Without parameters; `Network.init` makes them.

    Examples
    --------
    >>> from clustercnn.network import BandSpec, InputSpec, build_network
    >>> band = BandSpec(name='g', kind='optical', shape=(64, 64), pixel_scale=1.0)
    >>> build_network('fusion', InputSpec(bands=(band,)), n_classes=3).n_classes
    3
    """
    config_class, _, _ = registered(name)
    config = options
    if config is None or isinstance(config, dict):
        usual = getattr(config_class, 'usual', lambda _, options: options)
        config = from_dict(config_class, usual(inputs, config or {}))
    return Network(name=name, config=config, inputs=inputs, n_classes=n_classes)


def flatten(tree, *, prefix=''):
    """
    Return a nested dictionary as a flat one.

    Parameters
    ----------
    tree : dict
        Nested.
    prefix : str, optional
        Put before every name.

    Returns
    -------
    flat : dict
        Names joined by dots, sorted.

    Examples
    --------
    >>> from clustercnn.network import flatten
    >>> flatten({'b': {'y': 1, 'x': 2}, 'a': 3})
    {'a': 3, 'b.x': 2, 'b.y': 1}
    """
    flat = {}
    for name in sorted(tree):
        value = tree[name]
        if isinstance(value, dict):
            flat |= flatten(value, prefix=f'{prefix}{name}.')
        else:
            flat[f'{prefix}{name}'] = value
    return flat


def unflatten(template, flat, *, prefix=''):
    """
    Fill a nested dictionary from a flat one, checking every array.

    Parameters
    ----------
    template : dict
        Nested, of objects with ``shape`` and ``dtype``.
    flat : dict of str to array
        As from `flatten`; names that the template lacks are ignored.
    prefix : str, optional
        Put before every name.

    Returns
    -------
    tree : dict
        Of the template's structure.

    Raises
    ------
    ValueError
        If an array is missing or has another shape or type; names it.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.network import unflatten
    >>> unflatten({'a': {'b': np.zeros(2)}}, {'a.b': np.ones(2)})
    {'a': {'b': array([1., 1.])}}
    """
    tree = {}
    for name, value in template.items():
        path = f'{prefix}{name}'
        if isinstance(value, dict):
            tree[name] = unflatten(value, flat, prefix=f'{path}.')
            continue
        if path not in flat:
            msg = f"the array '{path}' is missing"
            raise ValueError(msg)
        array = flat[path]
        wanted, got = (value.shape, jnp.dtype(value.dtype)), (array.shape, array.dtype)
        if wanted != got:
            msg = f"the array '{path}' must be {wanted[1]} {wanted[0]}, is {got[1]} {got[0]}"
            raise ValueError(msg)
        tree[name] = array
    return tree
