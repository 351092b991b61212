# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
MobileNetV2: the paper's numbers, what its channels show, and weights as others publish them.
"""

import h5py
import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from clustercnn.exceptions import ModelFileError
from clustercnn.io import read_weights
from clustercnn.network import BandSpec, InputSpec, build_network, flatten, import_mobilenet
from clustercnn.network.layers import BatchNorm
from clustercnn.network.mobilenet import _filters

EPSILONS = {'torchvision': 1e-5, 'Keras': 1e-3}
PADDINGS = {'torchvision': 'symmetric', 'Keras': 'same'}

# expansion, filters, repetitions, stride: table 2 of arXiv:1801.04381
SETTINGS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def spec(*names, shape=(32, 32), pixel_scale=1.0):
    return InputSpec(
        bands=tuple(
            BandSpec(name=name, kind='optical', shape=shape, pixel_scale=pixel_scale)
            for name in names
        )
    )


def planes_of(pictures):
    """
    Return planes of bands that are all there, from pictures by name, shape (n, ny, nx).
    """
    any_of_them = next(iter(pictures.values()))
    n_items = len(any_of_them)
    empty = np.zeros((n_items, 0), np.float32)
    return {
        'pictures': {name: x[..., None] for name, x in pictures.items()},
        'coverage': {name: np.ones((*x.shape, 1), np.float32) for name, x in pictures.items()},
        'present': {name: np.ones(n_items, np.float32) for name in pictures},
        'features': empty,
        'known': empty,
    }


# -- the published definition, written out with the layers of torch ------------------------


@pytest.fixture(scope='module')
def torch():
    return pytest.importorskip('torch', reason='compares with PyTorch: tox -e test-torch')


def torch_network(torch, *, width, source, seed=1):
    """
    Return MobileNetV2 with torchvision's names, and random weights and statistics.
    """
    nn = torch.nn
    epsilon = EPSILONS[source]

    class Unit(nn.Sequential):
        def __init__(self, n_in, n_out, size=3, stride=1, groups=1):
            self.size, self.stride = size, stride
            padding = size // 2 if source == 'torchvision' else 0
            super().__init__(
                nn.Conv2d(n_in, n_out, size, stride, padding, groups=groups, bias=False),
                nn.BatchNorm2d(n_out, eps=epsilon),
                nn.ReLU6(),
            )

        def forward(self, x):
            if source == 'Keras' and self.size == 3:
                # keras.src.applications.imagenet_utils.correct_pad, and 'same' for stride one
                before = [
                    1 - (1 - n % 2) if self.stride == 2 else 1 for n in (x.shape[3], x.shape[2])
                ]
                x = nn.functional.pad(x, (before[0], 1, before[1], 1))
            return super().forward(x)

    class Block(nn.Module):
        def __init__(self, n_in, n_out, stride, expansion):
            super().__init__()
            hidden = n_in * expansion
            layers = [] if expansion == 1 else [Unit(n_in, hidden, size=1)]
            layers += [
                Unit(hidden, hidden, stride=stride, groups=hidden),
                nn.Conv2d(hidden, n_out, 1, bias=False),
                nn.BatchNorm2d(n_out, eps=epsilon),
            ]
            self.conv = nn.Sequential(*layers)
            self.adds = stride == 1 and n_in == n_out

        def forward(self, x):
            return x + self.conv(x) if self.adds else self.conv(x)

    class MobileNetV2(nn.Module):
        def __init__(self):
            super().__init__()
            n_in = _filters(32, width)
            layers = [Unit(3, n_in, stride=2)]
            for expansion, n_filters, repetitions, first in SETTINGS:
                n_out = _filters(n_filters, width)
                for number in range(repetitions):
                    layers.append(Block(n_in, n_out, first if number == 0 else 1, expansion))
                    n_in = n_out
            n_last = _filters(1280, max(1.0, width))
            layers.append(Unit(n_in, n_last, size=1))
            self.features = nn.Sequential(*layers)
            self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(n_last, 1000))

        def forward(self, x):
            return self.features(x).mean((2, 3))

    torch.manual_seed(seed)
    network = MobileNetV2().eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.3, 2)
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
    return network


def write_keras(path, torch_model, *, top):
    """
    Write the weights of a torch network as Keras applications are published.
    """
    state = {name: value.numpy() for name, value in torch_model.state_dict().items()}
    convolutions = [
        name.removesuffix('.weight')
        for name, value in state.items()
        if name.startswith('features') and value.ndim == 4
    ]
    with h5py.File(path, 'w') as stream:
        layers = []

        def put(layer, arrays):
            group = stream.create_group(layer)
            names = [f'{layer}/{name}:0' for name in arrays]
            group.attrs['weight_names'] = [name.encode() for name in names]
            for name, array in zip(names, arrays.values(), strict=True):
                group.create_dataset(name, data=array)
            layers.append(layer.encode())

        for number, name in enumerate(convolutions):
            kernel = state[f'{name}.weight'].transpose(2, 3, 1, 0)
            is_depthwise = kernel.shape[:3] == (3, 3, 1)
            kind = 'depthwise_kernel' if is_depthwise else 'kernel'
            put(f'conv_{number}', {kind: kernel.swapaxes(2, 3) if is_depthwise else kernel})
            head, _, last = name.rpartition('.')
            norm = f'{head}.{int(last) + 1}'
            put(
                f'conv_{number}_BN',
                {
                    'gamma': state[f'{norm}.weight'],
                    'beta': state[f'{norm}.bias'],
                    'moving_mean': state[f'{norm}.running_mean'],
                    'moving_variance': state[f'{norm}.running_var'],
                },
            )
            put(f'conv_{number}_relu', {})
        if top:
            put(
                'predictions',
                {
                    'kernel': state['classifier.1.weight'].T,
                    'bias': state['classifier.1.bias'],
                },
            )
        stream.attrs['layer_names'] = layers


def write_weights(path, torch_model, source, *, top=True):
    if source == 'Keras':
        write_keras(path, torch_model, top=top)
    else:
        save_file({name: value.numpy() for name, value in torch_model.state_dict().items()}, path)


@pytest.mark.parametrize(
    ('source', 'name', 'width', 'shape', 'top'),
    [
        ('torchvision', 'w.safetensors', 1.0, (64, 64), True),
        ('torchvision', 'w.safetensors', 0.35, (45, 64), True),
        ('Keras', 'w.h5', 1.0, (64, 64), True),
        ('Keras', 'w.h5', 0.5, (45, 64), False),
    ],
)
def test_published_weights_give_the_published_function(
    torch, source, name, width, shape, top, tmp_path
):
    reference = torch_network(torch, width=width, source=source)
    write_weights(tmp_path / name, reference, source, top=top)
    network = build_network(
        'mobilenet',
        spec('r', 'g', 'b', shape=shape),
        n_classes=2,
        options={'width': width, 'padding': PADDINGS[source]},
    )
    start = network.init(5)
    params = import_mobilenet(network, start, read_weights(tmp_path / name))
    np.testing.assert_array_equal(params['logits']['kernel'], start['logits']['kernel'])
    x = np.random.default_rng(2).normal(size=(3, *shape, 3)).astype(np.float32)
    planes = planes_of({band: x[..., n] for n, band in enumerate('rgb')})
    _, features = jax.jit(network.apply)(params, planes)
    with torch.no_grad():
        expected = reference(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()
    assert expected.std() > 0.05
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4)


def test_the_other_padding_is_another_function(torch, tmp_path):
    reference = torch_network(torch, width=0.35, source='torchvision')
    path = tmp_path / 'w.safetensors'
    write_weights(path, reference, 'torchvision')
    arrays = read_weights(path)
    results = []
    for padding in ('symmetric', 'same'):
        network = build_network(
            'mobilenet',
            spec('r', 'g', 'b'),
            n_classes=2,
            options={'width': 0.35, 'padding': padding},
        )
        if padding == 'same':
            with pytest.raises(ValueError, match="need network_options={'padding': 'symmetric'}"):
                import_mobilenet(network, network.init(0), arrays)
        else:
            params = import_mobilenet(network, network.init(0), arrays)
        x = np.random.default_rng(2).normal(size=(2, 32, 32)).astype(np.float32)
        planes = planes_of(dict.fromkeys('rgb', x))
        results.append(jax.jit(network.apply)(params, planes)[1])
    assert abs(results[0] - results[1]).max() > 1e-3


def test_statistics_of_a_batch_are_those_of_torch(torch):
    rng = np.random.default_rng(3)
    x = rng.normal(2, 3, (5, 4, 6, 7)).astype(np.float32)
    ours = BatchNorm(7, momentum=0.9)
    theirs = torch.nn.BatchNorm2d(7, momentum=0.1).train()
    # the sixth row is padding
    padded = np.concatenate([x, np.full((1, 4, 6, 7), 99, np.float32)])
    mask = np.array([1, 1, 1, 1, 1, 0], np.float32)
    for _ in range(2):
        y = ours(padded, mask=mask)[:5]
        with torch.no_grad():
            expected = theirs(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))
    np.testing.assert_allclose(y, expected.numpy().transpose(0, 2, 3, 1), atol=1e-5)
    np.testing.assert_allclose(ours.mean[...], theirs.running_mean.numpy(), rtol=1e-5)
    np.testing.assert_allclose(ours.variance[...], theirs.running_var.numpy(), rtol=1e-5)
    with torch.no_grad():
        expected = theirs.eval()(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))
    np.testing.assert_allclose(ours(x), expected.numpy().transpose(0, 2, 3, 1), atol=1e-5)


# -- the paper's numbers --------------------------------------------------------------------


def test_size_is_the_papers():
    network = build_network('mobilenet', spec('g', shape=(224, 224)), n_classes=1000 % 127)
    # 3 504 872 in Keras and torchvision, 1 281 000 of which are the classes of ImageNet
    assert network.n_parameters - 1281 * network.n_classes == 3_504_872 - 1_281_000
    assert len(network.statistics_names) == 2 * 52


@pytest.mark.parametrize(('width', 'n_without_classes'), [(0.35, 410_208), (1.4, 4_363_712)])
def test_width_multiplies_as_published(width, n_without_classes):
    # the counts of parameters, statistics included, that Keras states without the classes
    network = build_network('mobilenet', spec('g'), n_classes=2, options={'width': width})
    arrays = flatten(network.template)
    n_values = sum(np.prod(a.shape) for n, a in arrays.items() if not n.startswith('logits'))
    assert n_values == n_without_classes


@pytest.mark.parametrize('shape', [(16, 16), (33, 40), (128, 128)])
@pytest.mark.parametrize('resolution', [0.5, 1.0, 2.0])
def test_any_resolution(shape, resolution):
    network = build_network(
        'mobilenet', spec('g', shape=shape), n_classes=2, options={'resolution': resolution}
    )
    planes = planes_of({'g': np.ones((2, *shape), np.float32)})
    logits, features = jax.eval_shape(network.apply, network.template, planes)
    assert logits.shape == (2, 2) and features.shape == (2, 1280)


# -- what the channels show -------------------------------------------------------------------


def first_layer_of(channels, pictures, **options):
    inputs = spec(*pictures)
    network = build_network(
        'mobilenet',
        inputs,
        n_classes=2,
        options={'width': 0.35, 'channels': channels} | options,
    )
    params = network.init(1)
    return params['first']['kernel'].shape[2], np.array(
        jax.jit(network.apply)(params, planes_of(pictures))[0]
    )


def test_channels_are_bands_and_empty_ones():
    rng = np.random.default_rng(1)
    one, two = (rng.normal(size=(2, 32, 32)).astype(np.float32) for _ in range(2))
    n_channels, default = first_layer_of((), {'a': one, 'b': two})
    assert n_channels == 3
    _, named = first_layer_of(('a', 'b', 'empty'), {'a': one, 'b': two})
    np.testing.assert_array_equal(named, default)
    _, swapped = first_layer_of(('b', 'a', 'empty'), {'a': one, 'b': two})
    _, other = first_layer_of(('a', 'b', 'empty'), {'a': two, 'b': one})
    np.testing.assert_array_equal(swapped, other)
    assert abs(swapped - named).max() > 1e-4
    assert first_layer_of(('a', 'a', 'b', 'b'), {'a': one, 'b': two})[0] == 4


@pytest.mark.parametrize(
    ('channels', 'options', 'message'),
    [
        (('a', 'infrared'), {}, "must name bands, of which there are .'a',."),
        (('empty',), {}, 'must name bands'),
    ],
)
def test_channels_that_there_are_not(channels, options, message):
    with pytest.raises(ValueError, match=message):
        first_layer_of(channels, {'a': np.zeros((1, 32, 32), np.float32)}, **options)


def test_channels_need_one_plane_a_band():
    inputs = InputSpec(bands=(BandSpec(name='xray', kind='xray', shape=(32, 32), pixel_scale=4.0),))
    options = {'channels': ('xray',), 'preprocessing': {'xray_scales': [0.0, 8.0]}}
    with pytest.raises(ValueError, match='makes several planes of one'):
        build_network('mobilenet', inputs, n_classes=2, options=options).init(0)


# -- files that do not fit --------------------------------------------------------------------


def test_weights_that_do_not_fit(torch, tmp_path):
    reference = torch_network(torch, width=0.35, source='Keras')
    write_keras(tmp_path / 'w.h5', reference, top=True)
    arrays = read_weights(tmp_path / 'w.h5')
    inputs = spec('r', 'g', 'b')

    def attempt(arrays, **options):
        network = build_network('mobilenet', inputs, n_classes=2, options=options)
        import_mobilenet(network, network.init(0), arrays)

    with pytest.raises(ValueError, match=r"'first.kernel' has shape .*; its width is 1.0"):
        attempt(arrays)
    with pytest.raises(ValueError, match='must have three input channels'):
        attempt(arrays, width=0.35, channels=('r', 'g'))
    short = dict(list(arrays.items())[:30])
    with pytest.raises(ValueError, match="the file ends where a 'kernel' should be"):
        attempt(short, width=0.35)
    names = list(arrays)
    mixed = {name: arrays[name] for name in [names[1], names[0], *names[2:]]}
    with pytest.raises(ValueError, match="stands where a 'kernel' should be"):
        attempt(mixed, width=0.35)
    with pytest.raises(ValueError, match='follows the last layer'):
        attempt(arrays | {'one/kernel:0': 1, 'two/kernel:0': 2}, width=0.35)
    with pytest.raises(ValueError, match="torchvision lack 'features.0.1.weight'"):
        attempt({'features.0.0.weight': np.zeros((16, 3, 3, 3))}, width=0.35, padding='symmetric')
    network = build_network('cn', inputs, n_classes=2)
    with pytest.raises(ValueError, match="only 'mobilenet' starts from published weights"):
        import_mobilenet(network, network.init(0), arrays)


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('w.pth', b'', 'is a pickle, which could execute anything; convert it once'),
        ('w.h5', b'nothing', 'cannot be read as .h5'),
        ('w.safetensors', b'nothing', 'cannot be read as .safetensors'),
        ('w.npz', b'nothing', 'cannot be read as .npz'),
        ('w.txt', b'', "not '.txt'"),
    ],
)
def test_files_that_are_no_weights(name, content, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=message) as caught:
        read_weights(path)
    assert name in str(caught.value)


def test_files_of_weights_that_are_odd(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none\.h5: there is no such file'):
        read_weights(tmp_path / 'none.h5')
    with h5py.File(tmp_path / 'other.h5', 'w') as stream:
        stream['x'] = 1
    with pytest.raises(ModelFileError, match="there is no attribute 'layer_names'"):
        read_weights(tmp_path / 'other.h5')
    with h5py.File(tmp_path / 'large.h5', 'w') as stream:
        group = stream.create_group('a')
        # nothing is stored, but reading it would ask for terabytes
        group.create_dataset('k', shape=(10**6, 10**6), chunks=(1000, 1000), dtype='f4')
        group.attrs['weight_names'] = [b'k']
        stream.attrs['layer_names'] = [b'a']
    with pytest.raises(ModelFileError, match='at most 500000000 are read'):
        read_weights(tmp_path / 'large.h5')
    np.savez(tmp_path / 'p.npz', a=np.array([{}], object))
    with pytest.raises(ModelFileError, match=r'cannot be read as \.npz'):
        read_weights(tmp_path / 'p.npz')
