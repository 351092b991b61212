# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Networks as pure functions over arrays: what they see, how it is prepared, and
how they are made. Everything with units stays outside.
"""

from clustercnn.network.augment import Augmentation, augment, dihedral, thin_counts
from clustercnn.network.batch import (
    FEATURES,
    BandArrays,
    Feature,
    make_dataset,
    n_rows,
    regrid,
    take,
)
from clustercnn.network.cn import CN
from clustercnn.network.config import (
    BandSpec,
    CNConfig,
    FusionConfig,
    InputSpec,
    Preprocessing,
    from_dict,
    network_names,
    to_dict,
)
from clustercnn.network.fusion import Fusion
from clustercnn.network.mobilenet import MobileNet, MobileNetConfig
from clustercnn.network.mobilenet_weights import import_mobilenet
from clustercnn.network.model import Network, build_network, flatten, unflatten
from clustercnn.network.onnx_graph import make_onnx
from clustercnn.network.transforms import make_planes

__all__ = [
    'CN',
    'FEATURES',
    'Augmentation',
    'BandArrays',
    'BandSpec',
    'CNConfig',
    'Feature',
    'Fusion',
    'FusionConfig',
    'InputSpec',
    'MobileNet',
    'MobileNetConfig',
    'Network',
    'Preprocessing',
    'augment',
    'build_network',
    'dihedral',
    'flatten',
    'from_dict',
    'import_mobilenet',
    'make_dataset',
    'make_onnx',
    'make_planes',
    'n_rows',
    'network_names',
    'regrid',
    'take',
    'thin_counts',
    'to_dict',
    'unflatten',
]
