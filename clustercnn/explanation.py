# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What a classifier's answer hangs on, pixel by pixel: integrated gradients, occlusion and
Grad-CAM, as arrays and as a figure.

All three explain the same number, the logarithm of the odds of the positive classes against
the others, as `~clustercnn.Classifier.predict` calibrates it: of the mean logits of the
ensemble, averaged over flips and turns if the model is, divided by the temperature.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from clustercnn._classifier_data import arrays_of, features_of, missing_bands
from clustercnn._utils.validation import check_whole
from clustercnn.network import make_dataset, take
from clustercnn.network.backend import tracing_in

__all__ = ['Attribution', 'grad_cam', 'integrated_gradients', 'occlusion', 'plot_attributions']

# rows that go through the networks at a time, which bounds the memory
_ROWS = 16


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Attribution:
    """
    What a score hangs on.

    Parameters
    ----------
    kind : {'integrated gradients', 'occlusion', 'Grad-CAM'}
        How it was found out.
    ids : tuple of str
        The cutouts.
    score : 1D `~numpy.ndarray`
        Log-odds of the positive classes, shape ``(n,)``.
    baseline : 1D `~numpy.ndarray`
        The same without what is explained, shape ``(n,)``; NaN where there is no such.
    bands : dict of str to 3D `~numpy.ndarray`
        Contributions to the score by band, shape ``(n, ny, nx)``; the grid may be coarser
        than that of the cutout, and covers what the model sees of it. ``'all'`` where the bands
        share one.
    features : dict of str to 1D `~numpy.ndarray`
        Contributions of the finder's numbers, shape ``(n,)``; empty where not explained.
    field : dict of str to 2-tuple of float, optional
        Height and width in arcsec that the contributions of each band cover; by default those of
        the cutout.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.explanation import Attribution
    >>> attribution = Attribution(
    ...     kind='integrated gradients', ids=('a',), score=np.array([2.0]),
    ...     baseline=np.array([-1.0]), bands={'xray': np.full((1, 2, 2), 0.5)},
    ...     features={'extent': np.array([0.9])})
    >>> round(float(attribution.gap[0]), 6)
    0.1
    """

    kind: str
    ids: tuple
    score: np.ndarray
    baseline: np.ndarray
    bands: dict
    features: dict
    field: dict = dataclasses.field(default_factory=dict)

    @property
    def gap(self):
        """
        What the contributions do not add up to, 1D `~numpy.ndarray`.

        Integrated gradients are complete: the contributions add up to score minus baseline
        (Sundararajan et al. 2017, proposition 1), but for the error of the integration.
        """
        total = sum(values.sum((1, 2), dtype=np.float64) for values in self.bands.values())
        total = total + sum(self.features.values())
        return np.abs(self.score - self.baseline - total)


def _compiled(function):
    """
    Return a compiled function, in float32 on every device: small differences are looked at.
    """
    return jax.jit(tracing_in(function, 'float32'))


class _Explained:
    """
    The planes of cutouts, and the function of planes that is explained.
    """

    def __init__(self, classifier, stack):
        self.network, self.members = classifier.networks
        self.ids = stack.ids
        inputs = self.network.inputs
        finest = min(inputs.bands, key=lambda spec: spec.pixel_scale)
        self.field = {
            name: tuple(size * spec.pixel_scale for size in spec.shape)
            for name, spec in (*((spec.name, spec) for spec in inputs.bands), ('all', finest))
        }
        missing_bands(inputs, stack)
        self.dataset = make_dataset(inputs, arrays_of(stack), features=features_of(stack))
        self.prepare = _compiled(self.network.preprocess)
        self.dihedral = classifier.metadata['dihedral']
        self.temperature = classifier.metadata['temperature']
        positive = np.zeros(classifier.schema.n_classes, bool)
        positive[list(classifier.schema.positive_codes)] = True
        if positive.all() or not positive.any():
            msg = (
                f'there are no odds to explain: of the classes {classifier.schema.classes}, '
                f'{classifier.schema.positive} are positive'
            )
            raise ValueError(msg)
        self.positive = positive

    def planes(self, row):
        """
        Return the planes of one cutout, each of length one.
        """
        return self.prepare(take(self.dataset, [row], 1))

    def odds(self, logits):
        logits = logits / self.temperature
        low = jnp.float32(-jnp.inf)
        return jax.nn.logsumexp(jnp.where(self.positive, logits, low), axis=1) - jax.nn.logsumexp(
            jnp.where(self.positive, low, logits), axis=1
        )

    def score(self, members, planes):
        """
        Return the log-odds, shape ``(n,)``.
        """
        apply = self.network.apply_averaged if self.dihedral else self.network.apply
        return self.odds(sum(apply(params, planes)[0] for params in members) / len(members))


def _repeated(planes, n_rows):
    return jax.tree.map(lambda x: jnp.repeat(x, n_rows, axis=0), planes)


def _scaled(tree, factors):
    return jax.tree.map(lambda x: factors.reshape(-1, *[1] * (x.ndim - 1)) * x, tree)


def _chunks(arrays):
    """
    Yield rows in groups of a fixed number, the last one filled up with zeros.
    """
    for start in range(0, len(arrays[0]), _ROWS):
        parts = [array[start : start + _ROWS] for array in arrays]
        n_rows = len(parts[0])
        yield (
            n_rows,
            [
                np.concatenate([part, np.zeros((_ROWS - n_rows, *part.shape[1:]), part.dtype)])
                for part in parts
            ],
        )


def integrated_gradients(classifier, stack, *, tolerance=0.01, most_steps=1024):
    """
    Share the score out over pixels and numbers by integrated gradients.

    Parameters
    ----------
    classifier : `~clustercnn.Classifier`
        Trained.
    stack : `~clustercnn.CutoutStack`
        The cutouts.
    tolerance : float, optional
        The nodes of the Gauss-Legendre quadrature along the path, 32 at first, are doubled
        until what the contributions do not add up to is less than this share of the
        change of the score.
    most_steps : int, optional
        Nodes at most; ``gap`` of the result says what is left.

    Returns
    -------
    attribution : Attribution
        With ``baseline``, the score of nothing but background and sky.

    Notes
    -----
    M. Sundararajan, A. Taly & Q. Yan (2017, arXiv:1703.01365): ``x_i`` times the mean of
    ``dF/dx_i`` along the straight path from a baseline to the input ``x``. Inputs are
    the planes that the first layer sees, whose zero is as much as the background or the sky
    and, for the finder's numbers, a typical detection; contributions are added over
    the planes of a band. Coverage and what is known stay as they are.

    Examples
    --------
    >>> from clustercnn import Classifier
    >>> from clustercnn.explanation import integrated_gradients
    >>> from clustercnn.testing import tiny_labels, tiny_stack
    >>> classifier = Classifier(n_epochs=1, validation_fraction=0)
    >>> classifier = classifier.fit(tiny_stack(), tiny_labels())
    >>> attribution = integrated_gradients(classifier, tiny_stack(1))
    >>> change = abs(attribution.score - attribution.baseline)
    >>> bool(attribution.gap[0] <= 0.0101 * change[0])
    True
    """
    most_steps = check_whole('most_steps', most_steps)
    explained = _Explained(classifier, stack)

    @_compiled
    def along(members, planes, fractions, weights):
        varied = {kind: planes[kind] for kind in ('pictures', 'features')}
        fixed = _repeated(planes, _ROWS)

        def total(inputs):
            scores = explained.score(members, fixed | inputs)
            return scores.sum(), scores

        inputs = _scaled(_repeated(varied, _ROWS), fractions)
        gradient, scores = jax.grad(total, has_aux=True)(inputs)
        mean = jax.tree.map(lambda g: jnp.tensordot(weights, g, 1), gradient)
        return jax.tree.map(lambda g, x: g * x[0], mean, varied), scores

    def integral(planes, n_steps):
        nodes, weights = np.polynomial.legendre.leggauss(n_steps)
        # the two ends are looked at as well, without weight
        fractions = np.concatenate([[0], (nodes + 1) / 2, [1]]).astype(np.float32)
        weights = np.concatenate([[0], weights / 2, [0]]).astype(np.float32)
        shares, scores = None, []
        for n_rows, parts in _chunks((fractions, weights)):
            part, found = along(explained.members, planes, *parts)
            shares = part if shares is None else jax.tree.map(jnp.add, shares, part)
            scores += np.asarray(found)[:n_rows].tolist()
        return jax.tree.map(np.asarray, shares), scores[0], scores[-1]

    items, ends = [], []
    for row in range(len(stack)):
        planes, n_steps = explained.planes(row), min(32, most_steps)
        while True:
            shares, start, end = integral(planes, n_steps)
            total = sum(leaf.sum(dtype=np.float64) for leaf in jax.tree.leaves(shares))
            # rectifiers and maxima bend the path's derivative: some cutouts need more nodes
            gap = abs(end - start - total)
            if 2 * n_steps > most_steps or gap <= tolerance * abs(end - start):
                break
            n_steps *= 2
        items.append(shares)
        ends.append((start, end))
    baseline, score = np.array(ends, np.float32).reshape(-1, 2).T
    inputs = explained.network.inputs
    return Attribution(
        kind='integrated gradients',
        ids=stack.ids,
        score=score,
        baseline=baseline,
        bands={
            spec.name: np.array([item['pictures'][spec.name].sum(-1) for item in items]).reshape(
                -1, *spec.shape
            )
            for spec in inputs.bands
        },
        features={
            name: np.array([item['features'][number] for item in items])
            for number, name in enumerate(inputs.features)
        },
        field=explained.field,
    )


def occlusion(classifier, stack, *, n_blocks=8):
    """
    Measure by how much the score falls when a part of one band is covered with sky.

    Parameters
    ----------
    classifier : `~clustercnn.Classifier`
        Trained.
    stack : `~clustercnn.CutoutStack`
        The cutouts.
    n_blocks : int, optional
        Parts along each side of a cutout.

    Returns
    -------
    attribution : Attribution
        On a grid of ``n_blocks`` by ``n_blocks``.

    Notes
    -----
    M. D. Zeiler & R. Fergus (2014, arXiv:1311.2901). Covered are the planes: zero is as
    much as the background or the sky. Parts of a source that say the same can stand in
    for each other, so that the falls do not add up to the score.

    Examples
    --------
    >>> from clustercnn import Classifier
    >>> from clustercnn.explanation import occlusion
    >>> from clustercnn.testing import tiny_labels, tiny_stack
    >>> classifier = Classifier(n_epochs=1, validation_fraction=0)
    >>> classifier = classifier.fit(tiny_stack(), tiny_labels())
    >>> occlusion(classifier, tiny_stack(2), n_blocks=4).bands['xray'].shape
    (2, 4, 4)
    """
    explained = _Explained(classifier, stack)
    inputs = explained.network.inputs

    @_compiled
    def of_all(members, planes):
        return explained.score(members, planes)[0]

    def covered(name):
        @_compiled
        def function(members, planes, cover):
            rows = _repeated(planes, _ROWS)
            picture = rows['pictures'][name] * (1 - cover[..., None])
            pictures = rows['pictures'] | {name: picture}
            return explained.score(members, rows | {'pictures': pictures})

        return function

    functions = {name: covered(name) for name in inputs.band_names}
    scores, bands = [], {name: [] for name in inputs.band_names}
    for row in range(len(stack)):
        planes = explained.planes(row)
        whole = float(of_all(explained.members, planes))
        scores.append(whole)
        for spec in inputs.bands:
            falls = []
            for n_rows, parts in _chunks((_covers(spec.shape, n_blocks),)):
                found = functions[spec.name](explained.members, planes, *parts)
                falls += (whole - np.asarray(found)[:n_rows]).tolist()
            bands[spec.name].append(falls)
    return Attribution(
        kind='occlusion',
        ids=stack.ids,
        score=np.array(scores, np.float32),
        baseline=np.full(len(stack), np.nan, np.float32),
        bands={
            name: np.array(falls, np.float32).reshape(-1, n_blocks, n_blocks)
            for name, falls in bands.items()
        },
        features={},
        field=explained.field,
    )


def _covers(shape, n_blocks):
    """
    Return a mask for each part, row by row, shape ``(n_blocks**2, ny, nx)``.
    """
    if not 1 <= n_blocks <= min(shape):
        msg = f"'n_blocks' must be between 1 and the {min(shape)} pixels of a side, got {n_blocks}"
        raise ValueError(msg)
    y, x = (np.arange(size) * n_blocks // size for size in shape)
    part = y[:, None] * n_blocks + x
    return (part == np.arange(n_blocks**2)[:, None, None]).astype(np.float32)


def grad_cam(classifier, stack):
    """
    Show where the last map of features speaks for the positive classes (Grad-CAM).

    Parameters
    ----------
    classifier : `~clustercnn.Classifier`
        Trained.
    stack : `~clustercnn.CutoutStack`
        The cutouts.

    Returns
    -------
    attribution : Attribution
        On the grid of the last map, some pixels a side; never below zero. Its unit has no
        meaning of its own.

    Notes
    -----
    R. R. Selvaraju et al. (2017, arXiv:1610.02391), equations 1 and 2: the rectified sum
    of the channels, each weighted by the mean over its pixels of the derivative of the
    score. The mean over the ensemble, of the sky as it is: flips and turns do not enter.

    Examples
    --------
    >>> from clustercnn import Classifier
    >>> from clustercnn.explanation import grad_cam
    >>> from clustercnn.testing import tiny_labels, tiny_stack
    >>> classifier = Classifier(network='fusion', n_epochs=1, validation_fraction=0)
    >>> classifier = classifier.fit(tiny_stack(), tiny_labels())
    >>> sorted(grad_cam(classifier, tiny_stack(2)).bands)
    ['optical', 'xray']
    """
    explained = _Explained(classifier, stack)
    network = explained.network

    @_compiled
    def heat(params, planes):
        maps = network.maps(params, planes)

        def score(maps):
            return explained.odds(network.head(params, maps, planes))[0]

        gradient = jax.grad(score)(maps)
        return {
            name: jax.nn.relu((gradient[name].mean((1, 2), keepdims=True) * x).sum(-1))[0]
            for name, x in maps.items()
        }

    of_all = _compiled(explained.score)
    scores, items = [], []
    for row in range(len(stack)):
        planes = explained.planes(row)
        each = [jax.tree.map(np.asarray, heat(params, planes)) for params in explained.members]
        items.append({name: np.mean([maps[name] for maps in each], axis=0) for name in each[0]})
        scores.append(float(of_all(explained.members, planes)[0]))
    return Attribution(
        kind='Grad-CAM',
        ids=stack.ids,
        score=np.array(scores, np.float32),
        baseline=np.full(len(stack), np.nan, np.float32),
        bands={name: np.array([item[name] for item in items]) for name in (items or [{}])[0]},
        features={},
        field=explained.field,
    )


def plot_attributions(stack, attributions, *, row=0, title=None):
    """
    Draw one cutout and what its score hangs on, a row a band.

    Parameters
    ----------
    stack : `~clustercnn.CutoutStack`
        The cutouts that were explained.
    attributions : sequence of Attribution
        Of the same cutouts, a column each.
    row : int, optional
        Which cutout.
    title : str, optional
        Title of the figure; the cutout and its score by default.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
        Red speaks for the positive classes, blue against them. Each panel has its own
        scale, beyond which lies a two-hundredth of its pixels. Contributions of the
        finder's numbers are written below.

    Raises
    ------
    ValueError
        If there is no attribution, or one is of other cutouts.
    IndexError
        If there is no such cutout.

    Examples
    --------
    >>> from clustercnn import Classifier
    >>> from clustercnn.explanation import occlusion, plot_attributions
    >>> from clustercnn.testing import tiny_labels, tiny_stack
    >>> classifier = Classifier(n_epochs=1, validation_fraction=0)
    >>> stack = tiny_stack()
    >>> classifier = classifier.fit(stack, tiny_labels())
    >>> figure = plot_attributions(stack, [occlusion(classifier, stack, n_blocks=4)])
    >>> len(figure.axes)
    4
    """
    from matplotlib.figure import Figure

    from clustercnn.report._pictures import optical_levels, xray_levels

    attributions = list(attributions)
    if not attributions:
        msg = 'there is no attribution to draw; give those of integrated_gradients, for example'
        raise ValueError(msg)
    for attribution in attributions:
        if tuple(attribution.ids) != tuple(stack.ids):
            msg = (
                f'{attribution.kind} is of {len(attribution.ids)} cutouts, first '
                f'{next(iter(attribution.ids), None)!r}, but the stack has {len(stack)}, first '
                f'{next(iter(stack.ids), None)!r}; give the stack that was explained'
            )
            raise ValueError(msg)
    if not -len(stack) <= row < len(stack):
        msg = f"'row' {row} is not there: {len(stack)} cutouts were explained, counted from 0"
        raise IndexError(msg)
    first = attributions[0]
    known = {name for attribution in attributions for name in attribution.bands}
    # one map for all bands is of those that the model looks at
    shared = [a for a in attributions if 'all' in a.bands]
    looked_at = {name for a in shared for name in (a.field or stack.bands)}
    bands = [name for name in stack.band_names if name in known | looked_at]
    n_columns = 1 + len(attributions)
    figure = Figure(figsize=(2.3 * n_columns, 2.5 * len(bands) + 0.8), layout='constrained')
    axes = figure.subplots(len(bands), n_columns, squeeze=False)
    for panels, name in zip(axes, bands, strict=True):
        band = stack.band(name)
        is_xray = name == 'xray'
        levels = (xray_levels if is_xray else optical_levels)(band.data[row], band.mask[row])
        panels[0].imshow(levels, origin='lower', cmap='inferno' if is_xray else 'gray_r')
        panels[0].set_ylabel(name)
        height, width = levels.shape
        scale = band.pixel_scale.value
        for axis, attribution in zip(panels[1:], attributions, strict=True):
            key = name if name in attribution.bands else 'all'
            if key not in attribution.bands or name not in (attribution.field or stack.bands):
                continue
            values = attribution.bands[key][row]
            # about the middle of the cutout, as the model looks at it
            tall, wide = attribution.field.get(key, (height * scale, width * scale))
            up, across = tall / scale / 2, wide / scale / 2
            middle = (width - 1) / 2, (height - 1) / 2
            # one bright pixel must not hide the rest
            limit = max(float(np.percentile(np.abs(values), 99.5)), 1e-12)
            axis.imshow(
                values,
                origin='lower',
                cmap='RdBu_r',
                vmin=-limit,
                vmax=limit,
                extent=(
                    middle[0] - across,
                    middle[0] + across,
                    middle[1] - up,
                    middle[1] + up,
                ),
            )
            axis.set(xlim=(-0.5, width - 0.5), ylim=(-0.5, height - 0.5))
            axis.set_xlabel(f'colours end at {limit:.2g}', fontsize='small')
    for axis, text in zip(axes[0], ['cutout', *(a.kind for a in attributions)], strict=True):
        axis.set_title(text, fontsize='medium')
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    name = first.ids[row]
    figure.suptitle(title or f'{name}: log-odds {first.score[row]:+.2f}')
    numbers = [
        f'{feature} {values[row]:+.2f}'
        for a in attributions
        for feature, values in a.features.items()
    ]
    if numbers:
        lines = [', '.join(numbers[n : n + 5]) for n in range(0, len(numbers), 5)]
        figure.supxlabel('\n'.join(lines), fontsize='small')
    return figure
