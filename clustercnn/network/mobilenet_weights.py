# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Weights of MobileNetV2 from the layouts in which Keras and torchvision publish them.
"""

import numpy as np

from clustercnn.network.layers import EPSILON
from clustercnn.network.mobilenet import MobileNetConfig
from clustercnn.network.model import flatten, unflatten

__all__ = ['import_mobilenet']

# what the two normalise with; ours is torchvision's
_KERAS_EPSILON = 1e-3

_NORM = ('scale', 'bias', 'mean', 'variance')
_TORCH_NORM = ('weight', 'bias', 'running_mean', 'running_var')
_KERAS_NORM = ('gamma', 'beta', 'moving_mean', 'moving_variance')


def _layers(params):
    """
    List convolutions as (path, of the torchvision layer, of its normalisation), in order.
    """
    n_blocks = sum(name.startswith('block') for name in params)
    layers = [('first', 'features.0.0', 'features.0.1')]
    for number in range(n_blocks):
        block = params[f'block{number}']
        steps = [name for name in ('expand', 'depthwise', 'project') if name in block]
        for place, step in enumerate(steps):
            prefix = f'features.{number + 1}.conv.{place}'
            inner = (prefix, f'features.{number + 1}.conv.{place + 1}')
            if step != 'project':
                inner = (f'{prefix}.0', f'{prefix}.1')
            layers.append((f'block{number}.{step}', *inner))
    last = f'features.{n_blocks + 1}'
    return [*layers, ('last', f'{last}.0', f'{last}.1')]


def _from_torchvision(arrays, params):
    found = {}
    for path, layer, norm in _layers(params):
        # filters, channels, height, width; a filter a channel is one of one channel
        found[f'{path}.kernel'] = arrays[f'{layer}.weight'].transpose(2, 3, 1, 0)
        for ours, theirs in zip(_NORM, _TORCH_NORM, strict=True):
            found[f'{path}_norm.{ours}'] = arrays[f'{norm}.{theirs}']
    return found


def _from_keras(arrays, params):
    found, queue = {}, list(arrays.items())

    def pop(wanted):
        if not queue:
            msg = f"the file ends where a '{wanted}' should be"
            raise ValueError(msg)
        name, array = queue.pop(0)
        if name.rpartition('/')[2].partition(':')[0] != wanted:
            msg = f"'{name}' stands where a '{wanted}' should be"
            raise ValueError(msg)
        return array

    for path, _, _ in _layers(params):
        depthwise = path.endswith('.depthwise')
        kernel = pop('depthwise_kernel' if depthwise else 'kernel')
        found[f'{path}.kernel'] = kernel.swapaxes(2, 3) if depthwise else kernel
        for ours, theirs in zip(_NORM, _KERAS_NORM, strict=True):
            found[f'{path}_norm.{ours}'] = pop(theirs)
        # the same function with another small number under the root
        found[f'{path}_norm.variance'] = found[f'{path}_norm.variance'] + np.float32(
            _KERAS_EPSILON - EPSILON
        )
    if len(queue) not in (0, 2):
        msg = f"'{queue[0][0]}' follows the last layer, where only the classes of ImageNet may"
        raise ValueError(msg)
    return found


def import_mobilenet(network, params, arrays):
    """
    Put published weights into a MobileNetV2, all but those of its classes.

    Parameters
    ----------
    network : Network
        A ``'mobilenet'`` of the same width, with three input channels.
    params : dict
        Its parameters, from `Network.init`.
    arrays : dict of str to `~numpy.ndarray`
        From `~clustercnn.io.read_weights`: the names of torchvision's state, or the
        layers of Keras in their order, with the classes of ImageNet or without.

    Returns
    -------
    params : dict
        New parameters and running statistics; the last layer is as it was.

    Raises
    ------
    ValueError
        If an array is missing or has another shape, or the network pads in another way
        than the one that the weights are from.

    Notes
    -----
    Keras adds 0.001 to variances and torchvision 0.00001, as this network does; the
    difference is added to variances from Keras, so that the function is theirs.

    Examples
    --------
    >>> from clustercnn.network import BandSpec, InputSpec, build_network, import_mobilenet
    >>> band = BandSpec(name='g', kind='optical', shape=(32, 32), pixel_scale=1.0)
    >>> network = build_network('mobilenet', InputSpec(bands=(band,)), n_classes=2)
    >>> import_mobilenet(network, network.init(1), {'features.0.0.weight': None})
    Traceback (most recent call last):
        ...
    ValueError: weights of torchvision need network_options={'padding': 'symmetric'}, ...
    """
    if not isinstance(network.config, MobileNetConfig):
        msg = f"only 'mobilenet' starts from published weights, not '{network.name}'"
        raise ValueError(msg)  # noqa: TRY004 - the type is an inner matter
    torchvision = 'features.0.0.weight' in arrays
    source, padding = ('torchvision', 'symmetric') if torchvision else ('Keras', 'same')
    if network.config.padding != padding:
        msg = (
            f"weights of {source} need network_options={{'padding': '{padding}'}}, the network "
            f"has '{network.config.padding}'"
        )
        raise ValueError(msg)
    try:
        found = (_from_torchvision if torchvision else _from_keras)(arrays, params)
    except KeyError as error:
        msg = f'the weights of {source} lack {error}'
        raise ValueError(msg) from error
    flat = flatten(params)
    for name, array in found.items():
        if array.shape != flat[name].shape:
            msg = (
                f"'{name}' has shape {array.shape} in the weights of {source}, {flat[name].shape} "
                f'in the network; its width is {network.config.width}, and it must have three '
                'input channels'
            )
            raise ValueError(msg)
        flat[name] = np.ascontiguousarray(array, np.float32)
    return unflatten(params, flat)
