# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What else a source may be: two point sources, or a cluster round a point source.

Faccioli et al. 2018 (A&A 620, A9) fit the same alternatives. All parameters of a model are
fitted jointly by Fisher scoring on the Cash statistic (Cash 1979, ApJ 228, 939). Plain arrays.
"""

import dataclasses
import math

import numpy as np
from scipy.linalg import lapack

from clustercnn.finding._likelihood import (
    moved_template,
    normal_equations,
    point_image,
    score_test,
    summed,
)
from clustercnn.finding._profiles import Window

__all__ = [
    'LEAST_PROMISE',
    'Blend',
    'PointShape',
    'Stamp',
    'fit_blend',
    'fit_core',
    'fit_pair',
    'is_round',
    'promise',
]

_MOST_STEPS = 25
_ELONGATION_SIGMA = 3.0
_START_ANGLES = np.deg2rad([0.0, 60.0, 120.0])


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Blend:
    """
    Several components fitted together.

    Parameters
    ----------
    models : tuple of int
        Number of each one's model in the bank; 0 is a point.
    x, y, amplitude : 1D `~numpy.ndarray`
        Positions in pixels and counts for the best exposure.
    statistic : float
        Improvement of the Cash statistic over background alone.
    """

    models: tuple
    x: np.ndarray
    y: np.ndarray
    amplitude: np.ndarray
    statistic: float


# core radius in pixels below which two points across a pixel are not enough, and to what distance
# from the source; from the other on the middle of a pixel and the curvature there do. Both are
# right to 5e-4 from there on
_NARROW, _NEAR = 0.9, 3.5
_FAR = 5.5
_NODES = {n: np.polynomial.legendre.leggauss(n) for n in (2, 8)}
# what a component must promise by its first derivative before it is fitted
LEAST_PROMISE = 2.0
# of a quadrupole, in chi-square of two degrees of freedom: that of one round source in seven
_LEAST_QUADRUPOLE = 4.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class PointShape:
    """
    The PSF at one place: a King profile with a radial and a tangential width.

    Parameters
    ----------
    radial, tangential : float
        Core radii towards the optical axis and across, in pixels.
    slope : float
        Of the King profile.
    angle : float
        Of the direction from the axis, in rad.
    reach : float
        Where the profile ends, in pixels.
    """

    radial: float
    tangential: float
    slope: float
    angle: float
    reach: float

    def image(self, dx, dy, response):
        """
        Return what pixels see of a point source of one count, and its slopes.

        Parameters
        ----------
        dx : 1D `~numpy.ndarray`
            Columns, from the source.
        dy : 1D `~numpy.ndarray`
            Rows, from the source.
        response : 2D `~numpy.ndarray`
            Relative exposure of these pixels.

        Returns
        -------
        planes : 3D `~numpy.ndarray`
            The image, and its change as the source moves along x and along y.
        """
        # on a small stamp there is little to save
        far = _FAR if len(dx) > 4 * _FAR else np.inf
        near = _NEAR if min(self.radial, self.tangential) < _NARROW else 0.0
        planes = np.empty((3, len(dy), len(dx)))
        shape = self.radial, self.tangential, self.slope
        direction = math.cos(self.angle), math.sin(self.angle)
        point_image(
            np.asarray(dx, float),
            np.asarray(dy, float),
            (*shape, *direction, self._norm()),
            far,
            near,
            *_NODES[2],
            *_NODES[8],
            response,
            planes,
        )
        return planes

    def _norm(self):
        """
        Return the sum of the profile where it is one in the middle.
        """
        area = self.radial * self.tangential
        inside = (1 + self.reach**2 / area) ** (1 - self.slope)
        return math.pi * area / (self.slope - 1) * (1 - inside)


class Stamp:
    """
    A part of the image, and components upon it.

    Parameters
    ----------
    planes : tuple of 2D `~numpy.ndarray`
        Counts, background, response.
    bank : TemplateBank
        Gives all components but points.
    corner : tuple of int
        Column and row of the first pixel.
    point : PointShape
        Gives points.
    """

    def __init__(self, planes, bank, corner, point):
        self.window = Window(*planes)
        self.counts = planes[0]
        self.background = np.maximum(planes[1], 1e-6)
        self.response = np.ascontiguousarray(planes[2])
        self.bank = bank
        self.corner = corner
        self.point = point

    def component(self, model, x, y):
        """
        Return a component of unit amplitude and its slopes, each times the response.

        Parameters
        ----------
        model : int
            Its number in the bank; 0 is a point.
        x, y : float
            Where it is, in pixels of the image.

        Returns
        -------
        planes : 3D `~numpy.ndarray`
            The component, its change along x and along y.
        """
        if model == 0:
            rows, columns = self.counts.shape
            dx, dy = (
                np.arange(columns) + (self.corner[0] - x),
                np.arange(rows) + (self.corner[1] - y),
            )
            return self.point.image(dx, dy, self.response)
        return self._extended(model, x, y) * self.response

    def promised(self, source, amplitude, models, x, y):
        """
        Return what one more component would gain, by the score test.

        Parameters
        ----------
        source : 1D `~numpy.ndarray`
            A source that is there, of unit amplitude.
        amplitude : float
            Its counts.
        models : sequence of int
            Numbers of the component's models in the bank: 0 alone, or others, which are shifted
            to the next step of its grid only.
        x, y : float
            Where the component is, in pixels of the image.

        Returns
        -------
        gain : 1D `~numpy.ndarray` of float64
            Of the Cash statistic, by each model.
        """
        window = self.window
        known = source, amplitude, window.counts, window.background
        if models[0] == 0:
            flat = np.ones_like(self.response)
            return score_test(*known, flat, self.component(0, x, y)[:1], 0, 0)
        phase, _, (rows, columns) = self._cut(x, y)
        templates = self.bank.at(*phase)[models[0] : models[-1] + 1]
        return score_test(*known, self.response, templates, rows.start, columns.start)

    def _cut(self, x, y):
        """
        Return the steps of the bank's grid next to a place, what is left, and the pixels.
        """
        phase, rest, place = [], [], []
        for at, corner, size in zip((x, y), self.corner, self.counts.shape[::-1], strict=True):
            middle = round(at)
            phase.append(self.bank.phase(at - middle))
            rest.append(float(at - middle - phase[-1] * self.bank.step))
            start = self.bank.half - (middle - corner)
            place.insert(0, slice(start, start + size))
        return phase, rest, place

    def _extended(self, model, x, y):
        phase, shift, (rows, columns) = self._cut(x, y)
        planes = np.empty((3, *self.response.shape), np.float32)
        corner = rows.start, columns.start
        moved_template(self.bank.around(*phase), model, *corner, *shift, self.bank.step, planes)
        return planes

    def source(self, blend):
        """
        Return what is expected of all components of a blend.
        """
        return sum(
            amplitude * self.component(model, x, y)[0]
            for model, x, y, amplitude in zip(
                blend.models, blend.x, blend.y, blend.amplitude, strict=True
            )
        )

    def summed(self, parts, amplitude):
        """
        Return what components make together, and how it improves the Cash statistic.

        Parameters
        ----------
        parts : 3D `~numpy.ndarray`
            Shape ``(n, 3, n_pixels)``: the planes of each component.
        amplitude : 1D `~numpy.ndarray`
            Of each component.

        Returns
        -------
        source : 1D `~numpy.ndarray`
            Expected counts of all components.
        gain : float
            Over background alone.
        """
        return summed(parts, amplitude, self.window.lit, self.window.photons, self.window.dark)


def fit_blend(stamp, models, x, y, amplitude, *, reach):
    """
    Fit positions and amplitudes of several components together.

    Parameters
    ----------
    stamp : object
        Where, from `SourceFitter.stamp`.
    models : tuple of int
        Number of each one's model in the bank.
    x, y, amplitude : 1D array-like
        Where to start.
    reach : float
        How far from its start a component may go, in pixels.

    Returns
    -------
    blend : Blend
        The fit.
    """
    start = np.array([x, y], float)
    n = len(models)
    place, amplitude = start.copy(), np.array(amplitude, float)
    least = 1e-3 * max(amplitude.sum(), 1.0)
    low = np.array(stamp.corner, float)[:, None]
    high = low + np.array(stamp.counts.shape[::-1])[:, None] - 1
    # where both ask for another place, the stamp is what counts
    lowest = np.minimum(np.maximum(start - reach, low), high)
    highest = np.minimum(np.maximum(start + reach, low), high)
    window = stamp.window
    parts = _components(stamp, models, place)
    source, value = stamp.summed(parts, amplitude)
    diagonal = np.diag_indices(3 * n)
    for _ in range(_MOST_STEPS):
        information, score = normal_equations(
            parts, amplitude, source, window.counts, window.background
        )
        # close components are nearly degenerate
        information[diagonal] = information[diagonal] * (1 + 1e-3) + 1e-9
        # as numpy.linalg.solve does, which takes longer to begin than to solve so few
        step = lapack.dgesv(information, score)[2]
        step[n:] = np.minimum(np.maximum(step[n:], -1), 1)
        for factor in (1.0, 0.5, 0.25, 0.0625):
            amplitude_next = np.maximum(amplitude + factor * step[:n], least)
            place_next = place + factor * step[n:].reshape(2, n)
            place_next = np.minimum(np.maximum(place_next, lowest), highest)
            parts_next = _components(stamp, models, place_next)
            source_next, value_next = stamp.summed(parts_next, amplitude_next)
            if value_next > value:
                break
        gain = value_next - value
        if not gain > 0:
            break
        amplitude, place, parts = amplitude_next, place_next, parts_next
        source, value = source_next, value_next
        if gain < 0.02:
            break
    return Blend(models=tuple(models), x=place[0], y=place[1], amplitude=amplitude, statistic=value)


def _components(stamp, models, place):
    """
    Return components and their slopes, of shape ``(n, 3, n_pixels)``.
    """
    parts = np.empty((len(models), 3, stamp.counts.size))
    for number, one in enumerate(zip(models, *place.tolist(), strict=True)):
        parts[number] = stamp.component(*one).reshape(3, -1)
    return parts


def _long_axis(stamp, x, y, width):
    """
    Return the angle of the long axis of the excess within a Gaussian window.
    """
    rows, columns = np.indices(stamp.counts.shape)
    dx, dy = columns + stamp.corner[0] - x, rows + stamp.corner[1] - y
    excess = (stamp.counts - stamp.background) * np.exp(-0.5 * (dx**2 + dy**2) / width**2)
    return 0.5 * np.arctan2(2 * (excess * dx * dy).sum(), (excess * (dx**2 - dy**2)).sum())


def is_round(stamp, blend, width):
    """
    Return whether what a model leaves has no quadrupole that chance would not make.

    Parameters
    ----------
    stamp : object
        Where, from `SourceFitter.stamp`.
    blend : Blend
        The model of one source, whose own shape is allowed for.
    width : float
        Of the Gaussian window, in pixels.

    Returns
    -------
    round : bool
        True where nothing asks for two sources.
    """
    n_rows, n_columns = stamp.counts.shape
    dx = np.arange(n_columns) + (stamp.corner[0] - blend.x[0])
    dy = (np.arange(n_rows) + (stamp.corner[1] - blend.y[0]))[:, None]
    window = np.exp(-0.5 * (dx**2 + dy**2) / width**2)
    rest = stamp.counts - stamp.background - stamp.source(blend)
    chi_square = 0.0
    for moment in (dx**2 - dy**2, 2 * dx * dy):
        weight = window * moment
        chi_square += (rest * weight).sum() ** 2 / max((stamp.counts * weight**2).sum(), 1e-12)
    return chi_square < _LEAST_QUADRUPOLE


def promise(stamp, blend, models):
    """
    Return what one more component in the middle would gain, by the score test.

    Rao 1948: the square of the likelihood's slope over its information, with the amplitude of
    the source left free.

    Parameters
    ----------
    stamp : object
        Where, from `SourceFitter.stamp`.
    blend : Blend
        One source, fitted.
    models : sequence of int
        Numbers of the further component's models in the bank, one after the other.

    Returns
    -------
    gain : list of float
        Of the Cash statistic, by each; 0 where the component would be negative.
    """
    place = float(blend.x[0]), float(blend.y[0])
    source = stamp.component(blend.models[0], *place)[0].ravel()
    return stamp.promised(source, float(blend.amplitude[0]), models, *place).tolist()


def fit_pair(stamp, x, y, amplitude, *, radius, fwhm):
    """
    Fit two point sources in place of one extended source.

    Parameters
    ----------
    stamp : object
        Where, from `SourceFitter.stamp`.
    x, y, amplitude : float
        Of the extended source.
    radius, fwhm : float
        Its core radius and the width of the PSF in pixels.

    Returns
    -------
    blend : Blend
        The best of several starts.
    elongation : float
        How much better the statistic is than that of the same two turned by a right angle,
        less half of what two point sources would make of it, or three times what chance makes
        of a round source whose profile is not that of the models: below zero for such a one.
    """
    separation = np.clip(1.6 * radius, 0.8 * fwhm, 3 * fwhm)
    axis = _long_axis(stamp, x, y, max(fwhm, radius))
    fits = []
    for angle in axis + _START_ANGLES:
        dx, dy = 0.5 * separation * np.cos(angle), 0.5 * separation * np.sin(angle)
        fits.append(
            fit_blend(
                stamp,
                (0, 0),
                [x - dx, x + dx],
                [y - dy, y + dy],
                [amplitude / 2, amplitude / 2],
                reach=separation + 0.5 * fwhm,
            )
        )
    best = max(fits, key=lambda fit: fit.statistic)
    share = best.amplitude / best.amplitude.sum()
    middle_x, middle_y = (share * best.x).sum(), (share * best.y).sum()
    turned_x, turned_y = middle_x - (best.y - middle_y), middle_y + (best.x - middle_x)
    along = stamp.background + stamp.source(best)
    across = stamp.background + stamp.source(dataclasses.replace(best, x=turned_x, y=turned_y))
    ratio = np.log(along / across)
    made = 2 * float((stamp.counts * ratio - (along - across)).sum())
    expected = 2 * float((along * ratio - (along - across)).sum())
    scatter = 2 * float(np.sqrt((stamp.counts * ratio**2).sum()))
    return best, made - max(expected / 2, _ELONGATION_SIGMA * scatter)


def fit_core(stamp, x, y, amplitude, models, *, first, fwhm):
    """
    Fit a point source in the middle of an extended one.

    The two stay together, so that they do not stand for two point sources.

    Parameters
    ----------
    stamp : object
        Where, from `SourceFitter.stamp`.
    x, y, amplitude : float
        Of the source.
    models : range
        Numbers of the extended models that may be tried.
    first : int
        The one to begin with; from it to wider ones, and if these are worse to narrower
        ones, until the fits get worse.
    fwhm : float
        Width of the PSF in pixels.

    Returns
    -------
    blend : Blend
        The extended source, then the point source.
    tried : dict of int to Blend
        By the model of the extended source.
    """

    def fit(model):
        start = [x, x], [y, y], [0.7 * amplitude, 0.3 * amplitude]
        return fit_blend(stamp, (model, 0), *start, reach=0.4 * fwhm)

    best = fit(first)
    tried = {first: best}
    for direction in (1, -1):
        model = best.models[0] + direction
        while model in models and model not in tried:
            blend = fit(model)
            tried[model] = blend
            if blend.statistic < best.statistic:
                break
            best, model = blend, model + direction
    return best, tried
