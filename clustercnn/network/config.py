# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What a network is made of, as frozen values that can be written to a file and
read back: bands, preprocessing, architecture. Unknown or absurd values fail here,
before any array is allocated.
"""

import dataclasses
import math
import numbers

__all__ = [
    'BAND_KINDS',
    'BandSpec',
    'CNConfig',
    'FusionConfig',
    'InputSpec',
    'Preprocessing',
    'from_dict',
    'network_names',
    'register_network',
    'registered',
    'to_dict',
]

BAND_KINDS = ('xray', 'optical')

# limits that no real model comes near; a hostile file must not make us allocate gigabytes
_MAX_SIZE = 4096
_MAX_WIDTH = 4096

_REGISTRY = {}


def _check_integer(name, value, *, low=1, high=_MAX_WIDTH):
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        msg = f"'{name}' must be a whole number, got {value!r}"
        raise TypeError(msg)
    if not low <= value <= high:
        msg = f"'{name}' must be between {low} and {high}, got {value}"
        raise ValueError(msg)
    return int(value)


def _check_number(name, value, *, low, high, open_low=False):
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        msg = f"'{name}' must be a number, got {value!r}"
        raise TypeError(msg)
    value = float(value)
    if not (math.isfinite(value) and low <= value <= high) or (open_low and value == low):
        msg = f"'{name}' must be between {low} and {high}, got {value}"
        raise ValueError(msg)
    return value


def _check_widths(name, values):
    values = tuple(values)
    if not 1 <= len(values) <= 16:
        msg = f"'{name}' must hold 1 to 16 numbers, got {len(values)}"
        raise ValueError(msg)
    return tuple(_check_integer(name, value) for value in values)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BandSpec:
    """
    One band as a network expects it.

    Parameters
    ----------
    name : str
        Name of the band.
    kind : {'xray', 'optical'}
        Counts with exposure and background, or any other picture.
    shape : 2-tuple of int
        ``(ny, nx)`` in pixels.
    pixel_scale : float
        Side of a pixel in arcsec.

    Raises
    ------
    ValueError
        If a value is out of range.

    Examples
    --------
    >>> from clustercnn.network import BandSpec
    >>> BandSpec(name='xray', kind='xray', shape=(64, 64), pixel_scale=4.0).shape
    (64, 64)
    """

    name: str
    kind: str
    shape: tuple
    pixel_scale: float

    def __post_init__(self):
        put = object.__setattr__
        if not isinstance(self.name, str) or not self.name:
            msg = f"'name' of a band must be a text, got {self.name!r}"
            raise ValueError(msg)
        if self.kind not in BAND_KINDS:
            msg = f"'kind' of band '{self.name}' must be one of {BAND_KINDS}, got {self.kind!r}"
            raise ValueError(msg)
        shape = tuple(self.shape)
        if len(shape) != 2:
            msg = f"'shape' of band '{self.name}' must be (ny, nx), got {shape}"
            raise ValueError(msg)
        put(
            self,
            'shape',
            tuple(_check_integer(f'shape of {self.name}', n, high=_MAX_SIZE) for n in shape),
        )
        put(
            self,
            'pixel_scale',
            _check_number(
                f'pixel_scale of {self.name}', self.pixel_scale, low=0, high=1e5, open_low=True
            ),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputSpec:
    """
    All that a network sees of a candidate.

    Parameters
    ----------
    bands : tuple of BandSpec
        At least one, with different names.
    features : tuple of str
        Names of the finder's numbers, see `~clustercnn.network.FEATURES`; may be empty.

    Raises
    ------
    ValueError
        If there is no band, or a name occurs twice.

    Examples
    --------
    >>> from clustercnn.network import BandSpec, InputSpec
    >>> band = BandSpec(name='g', kind='optical', shape=(32, 32), pixel_scale=1.0)
    >>> InputSpec(bands=(band,)).band_names
    ('g',)
    """

    bands: tuple
    features: tuple = ()

    def __post_init__(self):
        put = object.__setattr__
        bands = tuple(
            from_dict(BandSpec, band) if isinstance(band, dict) else band for band in self.bands
        )
        if not bands or len(bands) > 64 or not all(isinstance(b, BandSpec) for b in bands):
            msg = f"'bands' must hold 1 to 64 BandSpec objects, got {self.bands!r}"
            raise ValueError(msg)
        features = tuple(str(name) for name in self.features)
        for what, names in (('bands', [b.name for b in bands]), ('features', features)):
            if len(set(names)) != len(names):
                msg = f'{what} must have different names, got {names}'
                raise ValueError(msg)
        put(self, 'bands', bands)
        put(self, 'features', features)

    @property
    def band_names(self):
        """
        Names of the bands, tuple of str.
        """
        return tuple(band.name for band in self.bands)

    def band(self, name):
        """
        Return a band by name.

        Parameters
        ----------
        name : str
            Name of the band.

        Returns
        -------
        band : BandSpec
            The band.
        """
        return self.bands[self.band_names.index(name)]

    @property
    def has_xray(self):
        """
        Whether any band holds X-ray counts.
        """
        return any(band.kind == 'xray' for band in self.bands)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """
    How raw planes become what the first layer sees; see `~clustercnn.network.make_planes`.

    Parameters
    ----------
    xray_scales : tuple of float
        Widths (Gaussian sigma, arcsec) of the smoothed count planes; 0 is not smoothed.
    xray_softening : float
        A deviation of this many sigma is where the planes turn from linear to
        logarithmic.
    xray_shape_scale : float
        Width (arcsec) of an additional plane from which the brightness is divided
        out, so that only the shape is left; 0 for none.
    background_cap : float
        A background map may exceed its own level in the outskirts of the cutout
        by this factor at most: maps made by smoothing contain the clusters.
    optical_softening : float
        As ``xray_softening``, in units of the robust scatter of the sky.
    optical_shape : bool
        Whether every other band has an additional plane, too, from which the brightness is
        divided out.
    clip : float
        Largest absolute value of a plane.

    Examples
    --------
    >>> from clustercnn.network import Preprocessing
    >>> Preprocessing().n_planes('xray'), Preprocessing().n_planes('optical')
    (6, 1)
    """

    xray_scales: tuple = (0.0, 4.0, 8.0, 16.0, 32.0)
    xray_softening: float = 2.0
    xray_shape_scale: float = 6.0
    background_cap: float = 1.25
    optical_softening: float = 3.0
    optical_shape: bool = False
    clip: float = 8.0

    def __post_init__(self):
        put = object.__setattr__
        scales = tuple(self.xray_scales)
        if not 1 <= len(scales) <= 16:
            msg = f"'xray_scales' must hold 1 to 16 widths, got {len(scales)}"
            raise ValueError(msg)
        put(
            self,
            'xray_scales',
            tuple(_check_number('xray_scales', s, low=0, high=1e4) for s in scales),
        )
        put(
            self,
            'xray_shape_scale',
            _check_number('xray_shape_scale', self.xray_shape_scale, low=0, high=1e4),
        )
        if not isinstance(self.optical_shape, bool):
            msg = f"'optical_shape' must be True or False, got {self.optical_shape!r}"
            raise TypeError(msg)
        for name in ('xray_softening', 'background_cap', 'optical_softening', 'clip'):
            value = _check_number(name, getattr(self, name), low=0, high=1e6, open_low=True)
            put(self, name, value)

    def n_planes(self, kind):
        """
        Return the number of planes a band of a kind is turned into.

        Parameters
        ----------
        kind : {'xray', 'optical'}
            Kind of the band.

        Returns
        -------
        n_planes : int
            Coverage not counted.
        """
        if kind == 'xray':
            return len(self.xray_scales) + (self.xray_shape_scale > 0)
        return 1 + self.optical_shape


def _picture():
    """
    One plane a band, as in the paper's pictures.
    """
    return Preprocessing(xray_scales=(4.0,), xray_shape_scale=0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CNConfig:
    """
    The custom network of Kosiba et al. (2020), and how it is fed.

    Parameters
    ----------
    first_width : int
        Filters of the first convolution.
    width : int
        Filters of the others.
    n_stages : int
        Number of convolutions after the first, each followed by pooling.
    dense_width : int
        Units of the hidden dense layer.
    dropout : float
        Share of hidden units dropped in training.
    l1 : float
        Strength of the L1 penalty on the dense kernel.
    padding : {'auto', 'valid', 'same'}
        Padding of the convolutions. ``'auto'`` takes ``'valid'``, as the paper's
        images allow, unless a map would become smaller than a filter.
    preprocessing : Preprocessing
        One plane a band by default.

    Notes
    -----
    Widths, number of stages, dropout and penalty are those of the paper's
    network as far as they are known (MNRAS 496, 4141).

    Examples
    --------
    >>> from clustercnn.network import CNConfig
    >>> CNConfig().dropout
    0.65
    """

    first_width: int = 64
    width: int = 32
    n_stages: int = 5
    dense_width: int = 256
    dropout: float = 0.65
    l1: float = 1e-4
    padding: str = 'auto'
    preprocessing: Preprocessing = dataclasses.field(default_factory=_picture)

    def __post_init__(self):
        put = object.__setattr__
        for name in ('first_width', 'width', 'dense_width'):
            put(self, name, _check_integer(name, getattr(self, name)))
        put(self, 'n_stages', _check_integer('n_stages', self.n_stages, low=0, high=16))
        put(self, 'dropout', _check_number('dropout', self.dropout, low=0, high=0.99))
        put(self, 'l1', _check_number('l1', self.l1, low=0, high=1e3))
        if self.padding not in ('auto', 'valid', 'same'):
            msg = f"'padding' must be 'auto', 'valid' or 'same', got {self.padding!r}"
            raise ValueError(msg)
        _nested(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FusionConfig:
    """
    The package's own network: a stem a band, fused late, with the finder's numbers.

    Parameters
    ----------
    embedding : int
        Channels into which blocks of pixels are embedded at the entrance of a stem.
    widths : tuple of int
        Filters of the stages of each stem; a stage is a 3 x 3 convolution and pooling.
        Multiples of 16 are much faster on a CPU.
    stem_size : int
        Blocks are such, by powers of two, that their map is about this wide.
    batch_norm : bool
        Whether maps are normalised by the statistics of the batch (Ioffe & Szegedy 2015,
        arXiv:1502.03167). With the 1430 to 2733 labels of :ref:`paper-again`, on a simulated
        sky, it made fewer errors. Cutouts without a band count as empty maps of it.
    feature_width : int
        Hidden units for the finder's numbers.
    dense_width : int
        Units of the fused layer.
    dropout : float
        Share of fused units dropped in training.
    preprocessing : Preprocessing
        Planes of each band; see ``usual`` for where there are no X-rays.

    Examples
    --------
    >>> from clustercnn.network import FusionConfig
    >>> FusionConfig().widths
    (32, 48, 64)
    """

    embedding: int = 16
    widths: tuple = (32, 48, 64)
    stem_size: int = 32
    batch_norm: bool = False
    feature_width: int = 32
    dense_width: int = 128
    dropout: float = 0.3
    preprocessing: Preprocessing = dataclasses.field(default_factory=Preprocessing)

    def __post_init__(self):
        put = object.__setattr__
        put(self, 'widths', _check_widths('widths', self.widths))
        for name in ('embedding', 'stem_size', 'feature_width', 'dense_width'):
            put(self, name, _check_integer(name, getattr(self, name)))
        if not isinstance(self.batch_norm, bool):
            msg = f"'batch_norm' must be True or False, got {self.batch_norm!r}"
            raise TypeError(msg)
        put(self, 'dropout', _check_number('dropout', self.dropout, low=0, high=0.99))
        _nested(self)

    @staticmethod
    def usual(inputs, options):
        """
        Return options with what is usual for some inputs where they do not say otherwise.

        Parameters
        ----------
        inputs : InputSpec
            What the network sees.
        options : dict
            Some options.

        Returns
        -------
        options : dict
            Without X-rays, where all is in the pictures, ``optical_shape`` is True.

        Examples
        --------
        >>> from clustercnn.network import BandSpec, FusionConfig, InputSpec
        >>> band = BandSpec(name='g', kind='optical', shape=(64, 64), pixel_scale=1.0)
        >>> FusionConfig.usual(InputSpec(bands=(band,)), {'dropout': 0.5})
        {'dropout': 0.5, 'preprocessing': {'optical_shape': True}}
        """
        stated = options.get('preprocessing', {})
        if any(band.kind == 'xray' for band in inputs.bands) or not isinstance(stated, dict):
            return options
        return options | {'preprocessing': {'optical_shape': True} | stated}


def _nested(config):
    value = config.preprocessing
    if isinstance(value, dict):
        value = from_dict(Preprocessing, value)
    if not isinstance(value, Preprocessing):
        msg = f"'preprocessing' must be a Preprocessing, got {type(value).__name__}"
        raise TypeError(msg)
    object.__setattr__(config, 'preprocessing', value)


def to_dict(config):
    """
    Return a configuration as plain values for JSON.

    Parameters
    ----------
    config : dataclass
        Any of this module's.

    Returns
    -------
    values : dict
        Nested, with lists for tuples.

    Examples
    --------
    >>> from clustercnn.network import BandSpec, to_dict
    >>> to_dict(BandSpec(name='g', kind='optical', shape=(8, 8), pixel_scale=1))['shape']
    [8, 8]
    """

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        return value

    return plain(dataclasses.asdict(config))


def from_dict(config_class, values):
    """
    Return a configuration from plain values.

    Parameters
    ----------
    config_class : type
        A dataclass of this module.
    values : dict
        Values by name; absent ones take their defaults.

    Returns
    -------
    config : object
        Of the class asked for.

    Raises
    ------
    ValueError
        If a name is not known, so that a misspelt option is never ignored.

    Examples
    --------
    >>> from clustercnn.network import CNConfig, from_dict
    >>> from_dict(CNConfig, {'dropuot': 0.5})
    Traceback (most recent call last):
        ...
    ValueError: CNConfig has no option 'dropuot'; the options are dense_width, ...
    """
    if not isinstance(values, dict):
        msg = f'{config_class.__name__} is made from a dictionary, got {type(values).__name__}'
        raise TypeError(msg)
    known = {field.name for field in dataclasses.fields(config_class)}
    for name in values:
        if name not in known:
            msg = (
                f'{config_class.__name__} has no option {name!r}; the options are '
                f'{", ".join(sorted(known))}'
            )
            raise ValueError(msg)
    return config_class(
        **{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    )


def register_network(name, config_class, *, dihedral):
    """
    Return a decorator that makes a module known by name.

    Parameters
    ----------
    name : str
        Name for users.
    config_class : type
        Dataclass with the module's options.
    dihedral : bool
        Whether predictions are averaged over flips and quarter turns unless
        the user decides otherwise.

    Returns
    -------
    decorator : callable
        Registers a class and returns it.
    """

    def decorate(module_class):
        _REGISTRY[name] = (config_class, module_class, dihedral)
        return module_class

    return decorate


def network_names():
    """
    Return the names of the networks there are.

    Returns
    -------
    names : tuple of str
        Sorted.

    Examples
    --------
    >>> from clustercnn.network import network_names
    >>> network_names()
    ('cn', 'fusion', 'mobilenet')
    """
    return tuple(sorted(_REGISTRY))


def registered(name):
    """
    Return what is registered under a name.

    Parameters
    ----------
    name : str
        Name of a network.

    Returns
    -------
    config_class, module_class : type
        Options and module.
    dihedral : bool
        Whether predictions are averaged over flips and turns by default.

    Raises
    ------
    ValueError
        If there is no such network.

    Examples
    --------
    >>> from clustercnn.network.config import registered
    >>> registered('cn')[0].__name__
    'CNConfig'
    """
    if name not in _REGISTRY:
        msg = f'there is no network {name!r}; there are {", ".join(network_names())}'
        raise ValueError(msg)
    return _REGISTRY[name]
