# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The networks written out in PyTorch, as its users would: what the benchmarks compare with.

Every twin takes the parameters of ours, so that the two can be shown to be the same function.
"""

import torch
from torch import nn
from torch.nn import functional

from clustercnn.network import flatten
from clustercnn.network.fusion import _centre_weight, _ring_weight

__all__ = ['make_twin', 'to_torch']

EPSILON = 1e-5


class CNTwin(nn.Module):
    """
    The paper's network.

    Parameters
    ----------
    network : clustercnn.network.Network
        Ours, whose bands share one grid and have one plane each.
    """

    def __init__(self, network):
        super().__init__()
        params = network.template
        self.n_convolutions = sum(name.startswith('conv') for name in params)
        for number in range(self.n_convolutions):
            _, _, n_in, n_out = params[f'conv{number}']['kernel'].shape
            setattr(self, f'conv{number}', nn.Conv2d(n_in, n_out, 3, padding='same'))
        self.hidden = nn.Linear(*params['hidden']['kernel'].shape)
        self.logits = nn.Linear(*params['logits']['kernel'].shape)
        self.dropout = nn.Dropout(network.config.dropout)
        self.l1 = network.config.l1
        self.bands = network.inputs.band_names

    def forward(self, planes):
        """
        Return logits.
        """
        x = torch.cat([planes[f'pictures.{band}'] for band in self.bands], dim=1)
        for number in range(self.n_convolutions):
            x = functional.relu(functional.max_pool2d(getattr(self, f'conv{number}')(x), 2))
        # in our order, channels last, so that the same weights fit
        x = functional.relu(self.hidden(x.permute(0, 2, 3, 1).flatten(1)))
        return self.logits(self.dropout(x))

    def penalty(self):
        """
        Return the L1 penalty.
        """
        return self.l1 * self.hidden.weight.abs().sum()


class Block(nn.Module):
    """
    An inverted residual.

    Parameters
    ----------
    params : dict
        Shapes of the parameters.
    stride : int
        Of the filters.
    momentum : float
        What is left of the running means after a step.
    """

    def __init__(self, params, stride, momentum):
        super().__init__()
        self.expands = 'expand' in params
        width = params['depthwise']['kernel'].shape[-1]
        _, _, _, n_out = params['project']['kernel'].shape
        if self.expands:
            n_in = params['expand']['kernel'].shape[2]
            self.expand = nn.Conv2d(n_in, width, 1, bias=False)
            self.expand_norm = nn.BatchNorm2d(width, eps=EPSILON, momentum=1 - momentum)
        else:
            n_in = width
        self.depthwise = nn.Conv2d(
            width, width, 3, stride=stride, padding=1, groups=width, bias=False
        )
        self.depthwise_norm = nn.BatchNorm2d(width, eps=EPSILON, momentum=1 - momentum)
        self.project = nn.Conv2d(width, n_out, 1, bias=False)
        self.project_norm = nn.BatchNorm2d(n_out, eps=EPSILON, momentum=1 - momentum)
        self.adds = stride == 1 and n_in == n_out

    def forward(self, x):
        """
        Return maps.
        """
        y = functional.relu6(self.expand_norm(self.expand(x))) if self.expands else x
        y = functional.relu6(self.depthwise_norm(self.depthwise(y)))
        y = self.project_norm(self.project(y))
        return x + y if self.adds else y


class MobileNetTwin(nn.Module):
    """
    MobileNetV2.

    Parameters
    ----------
    network : clustercnn.network.Network
        Ours, with symmetric padding, whose bands share one grid and have one plane each.
    """

    def __init__(self, network):
        super().__init__()
        params, momentum = network.template, network.config.momentum
        _, _, n_in, n_out = params['first']['kernel'].shape
        self.first = nn.Conv2d(n_in, n_out, 3, stride=2, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(n_out, eps=EPSILON, momentum=1 - momentum)
        strides = [
            stride
            for _, _, n_blocks, first in network.config.stages
            for stride in (first, *[1] * (n_blocks - 1))
        ]
        self.n_blocks = len(strides)
        for number, stride in enumerate(strides):
            setattr(self, f'block{number}', Block(params[f'block{number}'], stride, momentum))
        _, _, n_in, n_out = params['last']['kernel'].shape
        self.last = nn.Conv2d(n_in, n_out, 1, bias=False)
        self.last_norm = nn.BatchNorm2d(n_out, eps=EPSILON, momentum=1 - momentum)
        self.logits = nn.Linear(*params['logits']['kernel'].shape)
        self.dropout = nn.Dropout(network.config.dropout)
        self.bands = network.inputs.band_names

    def forward(self, planes):
        """
        Return logits.
        """
        x = torch.cat([planes[f'pictures.{band}'] for band in self.bands], dim=1)
        x = functional.relu6(self.first_norm(self.first(x)))
        for number in range(self.n_blocks):
            x = getattr(self, f'block{number}')(x)
        x = functional.relu6(self.last_norm(self.last(x)))
        return self.logits(self.dropout(x.mean((2, 3))))

    def penalty(self):
        """
        Return no penalty.
        """
        return 0.0


class StemTwin(nn.Module):
    """
    From the planes of one band to a vector.

    Parameters
    ----------
    params : dict
        Shapes of the parameters.
    spec : clustercnn.network.BandSpec
        The band.
    n_planes : int
        Planes of its picture.
    """

    def __init__(self, params, spec, n_planes):
        super().__init__()
        _, _, n_in, n_out = params['embedding']['kernel'].shape
        self.factor = round(((n_in - 1) / n_planes) ** 0.5)
        self.embedding = nn.Conv2d(n_in, n_out, 1)
        self.n_stages = sum(name.startswith('conv') for name in params)
        size = spec.shape[0] // self.factor
        for number in range(self.n_stages):
            _, _, n_in, n_out = params[f'conv{number}']['kernel'].shape
            setattr(self, f'conv{number}', nn.Conv2d(n_in, n_out, 3, padding='same'))
            size = size // 2 if size >= 4 else size
        self.profile = nn.Linear(*params['profile']['kernel'].shape)
        self.register_buffer('rings', torch.from_numpy(_ring_weight(spec.shape)))
        self.register_buffer('centre', torch.from_numpy(_centre_weight((size, size))))

    def forward(self, picture, coverage):
        """
        Return the vector.
        """
        covered = functional.avg_pool2d(coverage, self.factor)
        x = torch.cat([functional.pixel_unshuffle(picture, self.factor), covered], dim=1)
        x = functional.relu(self.embedding(x))
        for number in range(self.n_stages):
            x = getattr(self, f'conv{number}')(x)
            if min(x.shape[2:]) >= 4:
                x = functional.max_pool2d(x, 2)
            x = functional.relu(x)
        planes = torch.cat([picture, coverage], dim=1)
        rings = torch.einsum('ncyx,yxr->nrc', planes, self.rings)
        profile = functional.relu(self.profile(rings.flatten(1)))
        middle = (x * self.centre).sum((2, 3))
        return torch.cat([x.mean((2, 3)), x.amax((2, 3)), middle, profile], dim=1)


class FusionTwin(nn.Module):
    """
    The package's own network.

    Parameters
    ----------
    network : clustercnn.network.Network
        Ours, of square bands.
    """

    def __init__(self, network):
        super().__init__()
        params = network.template
        self.bands = network.inputs.band_names
        for number, spec in enumerate(network.inputs.bands):
            n_planes = network.config.preprocessing.n_planes(spec.kind)
            setattr(self, f'stem{number}', StemTwin(params[f'stem{number}'], spec, n_planes))
        self.numbers = nn.Linear(*params['numbers']['kernel'].shape)
        self.hidden = nn.Linear(*params['hidden']['kernel'].shape)
        self.logits = nn.Linear(*params['logits']['kernel'].shape)
        self.dropout = nn.Dropout(network.config.dropout)

    def forward(self, planes):
        """
        Return logits.
        """
        parts = []
        for number, band in enumerate(self.bands):
            stem = getattr(self, f'stem{number}')
            vector = stem(planes[f'pictures.{band}'], planes[f'coverage.{band}'])
            present = planes[f'present.{band}'][:, None]
            parts += [vector * present, present]
        known = planes['known']
        numbers = torch.cat([planes['features'] * known, known], dim=1)
        parts.append(functional.relu(self.numbers(numbers)))
        x = functional.relu(self.hidden(torch.cat(parts, dim=1)))
        return self.logits(self.dropout(x))

    def penalty(self):
        """
        Return no penalty.
        """
        return 0.0


_TWINS = {'cn': CNTwin, 'mobilenet': MobileNetTwin, 'fusion': FusionTwin}
_NAMES = {'kernel': 'weight', 'scale': 'weight', 'mean': 'running_mean', 'variance': 'running_var'}


def _in_torch_layout(name, array, factors):
    """
    Return one of our arrays as PyTorch keeps it.
    """
    if name.endswith('embedding.kernel'):
        # ours has the pixels of a block outside, the planes inside; theirs the other way round
        factor = factors[name.split('.')[0]]
        folded, covered = array[0, 0, :-1], array[0, 0, -1:]
        folded = folded.reshape(factor**2, -1, array.shape[-1]).swapaxes(0, 1)
        array = torch.cat([folded.reshape(-1, array.shape[-1]), covered])[None, None]
    if not name.endswith('kernel'):
        return array
    return array.permute(3, 2, 0, 1) if array.ndim == 4 else array.T


def make_twin(network, params):
    """
    Return the twin of a network with its parameters.

    Parameters
    ----------
    network : clustercnn.network.Network
        Ours.
    params : dict
        Its parameters.

    Returns
    -------
    twin : torch.nn.Module
        Ready for prediction.
    """
    twin = _TWINS[network.name](network)
    factors = {name: stem.factor for name, stem in twin.named_children() if name[:4] == 'stem'}
    state = twin.state_dict()
    for name, array in flatten(params).items():
        layer, kind = name.rsplit('.', 1)
        tensor = torch.from_numpy(array.__array__().copy())
        state[f'{layer}.{_NAMES.get(kind, kind)}'] = _in_torch_layout(name, tensor, factors)
    # strict: not one of theirs is left as it was, but for buffers that hold no parameter
    twin.load_state_dict({name: value.contiguous() for name, value in state.items()})
    return twin.eval()


def to_torch(planes, *, channels_last):
    """
    Return planes as tensors with channels first, in name at least.

    Parameters
    ----------
    planes : dict
        Ours, nested, channels last.
    channels_last : bool
        Whether they lie in memory as ours.

    Returns
    -------
    planes : dict of torch.Tensor
        Flat.
    """
    tensors = {}
    for name, array in flatten(planes).items():
        tensor = torch.from_numpy(array.__array__().copy())
        if tensor.ndim == 4:
            layout = torch.channels_last if channels_last else torch.contiguous_format
            tensor = tensor.permute(0, 3, 1, 2).contiguous(memory_format=layout)
        tensors[name] = tensor
    return tensors
