# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The fit of one source over the models of all others, and what it adds to the image.
"""

import dataclasses
import math

import numpy as np

from clustercnn.finding._alternatives import (
    LEAST_PROMISE,
    Blend,
    PointShape,
    Stamp,
    fit_blend,
    fit_core,
    fit_pair,
    is_round,
    promise,
)
from clustercnn.finding._likelihood import add_template, moved_template
from clustercnn.finding._planes import relative_exposure
from clustercnn.finding._profiles import (
    OUTER_RADIUS,
    Window,
    amplitude_error,
    fit_amplitudes,
    position_step,
    refined,
    template_bank,
)
from clustercnn.finding._psf import point_spread_of
from clustercnn.finding._shape import Shape, measure_shape
from clustercnn.finding._vignetting import axis_of, profile_of, reach_of

__all__ = ['SourceFit', 'SourceFitter', 'closest_distance']

# in units of the FWHM of the PSF: below a third nothing can be told from a point
_RADII = np.array([0.0, 0.3, 0.45, 0.65, 0.95, 1.35, 1.9, 2.7, 3.8, 5.4, 7.6, 10.8, 15.2, 21.5])
_LARGEST_RADIUS = 120.0  # arcsec; what is larger does not fit on a stamp
# half the side of stamps: so many arcsec, in at least and at most so many pixels
_HALF_STAMP = 150.0
_STAMP_PIXELS = 12, 45
# where King profiles end, in arcsec, if that is not on a stamp: their wings are known to there
_OUTER_PSF = 300.0
# a fit goes on to the models on either side of the best
_MODELS_BESIDE = 2
_MOST_PLACES = 6
# wings of fewer counts are not drawn beyond the stamp
_FEW_COUNTS = 3.0
# how much more than one source two must gain in the statistic, so that chance rarely does:
# three for each parameter more than a beta model has, and what a detection needs over a point
_PAIR_GAIN = {True: 6.0, False: 25.0}
_CORE_GAIN = {True: 12.0, False: 25.0}
# number of the narrowest model that can be told from the PSF upon which it lies
_LEAST_HALO = 4
# an extended source of less than this share may be the wings of the point source
_LEAST_SHARE = 0.15


def closest_distance(fwhm):
    """
    Return how close two sources can be and still be two.

    Parameters
    ----------
    fwhm : float
        Of the PSF in pixels.

    Returns
    -------
    distance : float
        In pixels; half a pixel of width is what the grid itself adds.
    """
    return 0.7 * max(fwhm, 1.5)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceFit:
    """
    What a fit found.

    Parameters
    ----------
    x, y, pos_err : float
        Position and its error along an axis, in pixels.
    model : int
        Number of the model in the bank, 0 for a point.
    psf_step : int
        Which bank: how much the PSF has grown.
    fwhm : float
        Of the PSF there, in pixels.
    amplitude : float
        Counts for the best exposure of the image.
    counts, counts_err : float
        As they are on the detector.
    radius, radius_err : float
        Core radius in pixels, 0 for a point.
    gain : float
        Improvement of the Cash statistic over background alone.
    extent_gain : float
        Improvement over a point source.
    at_limit : bool
        Whether the model is the widest there is.
    point_only : bool
        Whether a point source is the only model.
    pair_gain, core_gain : float
        Improvement by two point sources, and by a point source in the middle; NaN where not
        compared.
    core : tuple of float or None
        Column, row and amplitude of the point source in the middle.
    core_counts : float
        Its counts on the detector, among ``counts``.
    extent_loss : float
        What ``extent_gain`` loses against a point source with the true shape of the PSF.
    merged, merged_err : float
        Counts of sources that were taken for part of this one, not among ``counts``.
    spread : float
        How far apart its parts are, root mean square in pixels, where they lie on its flanks.
    """

    x: float
    y: float
    pos_err: float
    model: int
    psf_step: int
    fwhm: float
    amplitude: float
    counts: float
    counts_err: float
    radius: float
    radius_err: float
    gain: float
    extent_gain: float
    at_limit: bool
    point_only: bool = False
    pair_gain: float = np.nan
    core_gain: float = np.nan
    core: tuple | None = None
    core_counts: float = 0.0
    extent_loss: float = 0.0
    merged: float = 0.0
    merged_err: float = 0.0
    spread: float = 0.0

    def keeping(self, before):
        """
        Return this fit with what was learnt from earlier ones of the same source.
        """
        names = ('pair_gain', 'core_gain', 'extent_loss', 'merged', 'merged_err')
        return dataclasses.replace(self, **{name: getattr(before, name) for name in names})


class SourceFitter:
    """
    Fits one source after another and keeps what the models add to the image.

    Parameters
    ----------
    image : XrayImage
        Gives exposure, pixel size and mission.
    psf_fwhm : float
        On axis, in arcsec.
    """

    def __init__(self, image, *, psf_fwhm):
        scale = image.pixel_scale.value
        self.half = int(np.clip(round(_HALF_STAMP / scale), *_STAMP_PIXELS))
        self.response = relative_exposure(image)
        self.axis = axis_of(self.response)
        # without an exposure map dark corners may count as exposed
        known = 0.5 if image.exposure is None else 1.0
        self.psf = point_spread_of(
            image.mission,
            psf_fwhm,
            scale,
            pointed=profile_of(self.response, self.axis) is not None,
            reach=known * reach_of(self.response, self.axis),
        )
        self.largest = _LARGEST_RADIUS / scale
        self.outer = max(_OUTER_PSF / scale, 2.0 * self.half + 1)
        self._banks = {}

    def _step(self, x, y):
        """
        Return how much the PSF has grown at a place, in steps of a tenth.
        """
        growth = self.psf.growth(math.hypot(x - self.axis[0], y - self.axis[1]))
        return round(math.log(growth) / math.log(1.1))

    def _bank(self, step):
        """
        Return the models for a growth of the PSF, their core radii, and its FWHM.
        """
        if step not in self._banks:
            growth = 1.1**step
            # half a pixel of width is what the grid itself adds
            unit = max(self.psf.fwhm * growth, 1.5)
            radii = self._radii(unit)
            bank = template_bank(
                tuple(radii.tolist()),
                float(self.psf.core_radius * growth),
                self.psf.slope,
                2 * self.half,
                self.outer,
            )
            self._banks[step] = bank, radii, self.psf.fwhm * growth
        return self._banks[step]

    def _radii(self, unit):
        """
        Return the core radii of the models for a width of the PSF, to the widest there may be.
        """
        radii = _RADII * unit
        return radii[radii <= min(self.largest, self.half)]

    def _overlap(self, x, y, half):
        """
        Return the slices of image and stamp that lie over each other.
        """
        pairs = []
        for centre, size in zip((y, x), self.response.shape, strict=True):
            start = round(centre) - half
            low, high = max(start, 0), min(start + 2 * half + 1, size)
            pairs.append((slice(low, high), slice(low - start, high - start)))
        return tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)

    @staticmethod
    def _stamps(bank, models, x, y, there, half):
        """
        Return models at a position on that part of a stamp that the image covers.
        """
        inner = slice(bank.half - half, bank.half + half + 1)
        return bank.at(*_phases(bank, x, y))[:, inner, inner][:, there[0], there[1]][models]

    @staticmethod
    def _with_slopes(bank, x, y, there, model, half):
        """
        Return a model on that part, and how it changes as it moves along x and y.
        """
        corner = (bank.half - half + part.start for part in there)
        planes = np.empty((3, *(part.stop - part.start for part in there)), np.float32)
        around = bank.around(*_phases(bank, x, y))
        moved_template(around, model, *corner, 0.0, 0.0, bank.step, planes)
        return planes

    def fit(self, counts, background, x, y, *, point_only=False, around=None):
        """
        Fit all models near a position.

        Parameters
        ----------
        counts, background : 2D `~numpy.ndarray` or `Expected`
            Counts, and what is expected without this source.
        x, y : float
            Where to start, in pixels.
        point_only : bool, optional
            Whether a point source is the only model.
        around : int, optional
            Number of the model that fitted before, so that only those like it are tried.

        Returns
        -------
        fit : object
            Position, model, counts and what the models gained.
        """
        # numbers of Python's own are several times faster than those of an array
        x, y = float(x), float(y)
        # that of the start, so that one fit compares models of one PSF
        psf_step = self._step(x, y)
        bank, radii, fwhm = self._bank(psf_step)
        start = x, y
        models = np.arange(1 if point_only else len(radii))
        if around is not None and not point_only:
            models = _near(models, around)
        # of each model so far
        known = None
        for _ in range(_MOST_PLACES):
            # wide enough for the widest of the models
            half = min(int(np.ceil(4 * fwhm + 3 * radii[models[-1]])), self.half)
            here, there = self._overlap(x, y, half)
            window = Window(counts[here], background[here], self.response[here])
            templates = self._stamps(bank, models, x, y, there, half)
            begin = None if known is None else known[models]
            statistic, amplitude, error = fit_amplitudes(window, templates, start=begin)
            top = int(np.argmax(statistic))
            best = int(models[top])
            known = np.full(len(radii), amplitude[top]) if known is None else known
            known[models] = amplitude
            planes = self._with_slopes(bank, x, y, there, best, half)
            steps, information = position_step(window, planes, amplitude[top])
            tried, models = models, models if point_only else _near(np.arange(len(radii)), best)
            # no further away than the source is wide, and not out of the image
            reach = max(0.5 * fwhm + 0.5 * radii[best], 1.0)
            before, moved = _grid_place(bank, x, y), []
            for middle, step, first, size in zip(
                before, steps, start, self.response.shape[::-1], strict=True
            ):
                at = middle + min(max(step, -1), 1)
                at = min(max(at, first - reach), first + reach)
                moved.append(float(min(max(at, 0), size - 1)))
            x, y = moved
            if _grid_place(bank, x, y) == before and set(models) <= set(tried):
                break
        seen = self._seen(bank, x, y, best)
        error = amplitude_error(radii[tried], statistic, amplitude, error, top)
        radius, radius_err, total = refined(radii, tried, statistic, amplitude, top)
        return SourceFit(
            x=x,
            y=y,
            pos_err=float(np.sqrt(sum(0.5 / max(value, 1e-6) for value in information))),
            model=best,
            psf_step=psf_step,
            fwhm=fwhm,
            amplitude=float(amplitude[top]),
            counts=total * seen,
            counts_err=error * seen,
            radius=radius,
            radius_err=radius_err,
            gain=float(statistic[top]),
            extent_gain=float(statistic[top] - statistic[0]),
            at_limit=0 < best == len(radii) - 1,
            point_only=point_only,
        )

    def _seen(self, bank, x, y, model):
        """
        Return which part of a model's photons the exposure lets through.
        """
        here, there = self._overlap(x, y, 2 * self.half)
        template = bank.at(*_phases(bank, x, y))[model]
        # beyond the stamp the exposure is taken to be what it is on it
        return float((template[there] * self.response[here]).sum() / bank.share[model])

    def radius_of(self, fit):
        """
        Return the core radius of the model of a fit, in pixels.
        """
        return self._bank(fit.psf_step)[1][fit.model]

    def shape_of(self, counts, background, fit):
        """
        Measure how much longer than wide an extended source is.

        Parameters
        ----------
        counts, background : 2D `~numpy.ndarray` or `Expected`
            Counts, and what is expected with this source and all others.
        fit : object
            From `fit`.

        Returns
        -------
        shape : Shape
            NaN of a point source, and of one that several models describe together.
        """
        if fit.radius <= 0 or fit.spread > 0:
            return Shape()
        bank, radii, fwhm = self._bank(fit.psf_step)
        half = min(math.ceil(4 * fwhm + 3 * radii[fit.model]), self.half)
        here, there = self._overlap(fit.x, fit.y, half)
        inner = slice(bank.half - half, bank.half + half + 1)
        planes = bank.sheared(fit.model, *_phases(bank, fit.x, fit.y))[:, inner, inner]
        response = self.response[here]
        planes = planes[:, there[0], there[1]] * (fit.amplitude * response)
        return measure_shape(counts[here], background[here], response, planes)

    def compare(self, counts, background, fit):
        """
        Compare one source with two point sources and with a cluster round a point source.

        Parameters
        ----------
        counts, background : 2D `~numpy.ndarray` or `Expected`
            Counts, and what is expected without this source.
        fit : object
            From `fit`.

        Returns
        -------
        fit : object
            With what the others gain; the third itself where it describes the photons best.
        pair : tuple of object or None
            The two sources that take its place, if the second does.
        """
        fwhm = fit.fwhm
        if fit.core is not None:
            # begin without it
            fit = self.fit(counts, background, fit.x, fit.y).keeping(fit)
        extended = fit.radius > 0
        stamp = self.stamp(counts, background, fit)
        reach = min(fwhm, self.half - 1.0)
        start = [fit.x], [fit.y], [fit.amplitude]
        single = point = fit_blend(stamp, (0,), *start, reach=reach)
        if extended:
            single = fit_blend(stamp, (fit.model,), *start, reach=reach)
            # off axis the PSF is longer than wide, which the models of the fit are not
            loss = max(fit.extent_gain - (single.statistic - point.statistic), 0.0)
            fit = dataclasses.replace(fit, extent_loss=loss)
            if loss >= fit.extent_gain:
                single, extended = point, False
                alone = self.fit(counts, background, fit.x, fit.y, point_only=True)
                fit = dataclasses.replace(alone.keeping(fit), extent_loss=0.0)
        radius = self.radius_of(fit)
        if is_round(stamp, single, max(fwhm, radius)):
            return self.with_core(counts, background, dataclasses.replace(fit, pair_gain=0.0)), None
        pair, elongation = fit_pair(stamp, fit.x, fit.y, fit.amplitude, radius=radius, fwhm=fwhm)
        pair_gain = min(pair.statistic - single.statistic, elongation)
        fit = dataclasses.replace(fit, pair_gain=pair_gain)
        cored = self.with_core(counts, background, fit)
        apart = float(np.hypot(*np.diff([pair.x, pair.y])[:, 0]))
        if pair_gain > max(_PAIR_GAIN[extended], cored.core_gain - 6) and (
            apart > closest_distance(fwhm)
        ):
            points = zip(pair.x.tolist(), pair.y.tolist(), pair.amplitude.tolist(), strict=True)
            # two sources now, of which nothing else has been asked
            one = dataclasses.replace(
                fit,
                model=0,
                radius=0.0,
                point_only=True,
                at_limit=False,
                core_gain=np.nan,
                extent_loss=0.0,
            )
            first, second = (
                dataclasses.replace(one, x=x, y=y, amplitude=amplitude)
                for x, y, amplitude in points
            )
            return fit, (first, dataclasses.replace(second, merged=0.0, merged_err=0.0))
        if pair_gain > cored.core_gain:
            cored = dataclasses.replace(fit, core_gain=cored.core_gain)
        return cored, None

    def with_core(self, counts, background, fit):
        """
        Fit a cluster round a point source, and take it where it describes the photons better.

        Parameters
        ----------
        counts, background : 2D `~numpy.ndarray` or `Expected`
            Counts, and what is expected without this source.
        fit : object
            From `fit`.

        Returns
        -------
        fit : object
            With what the point source gains; with a point source if that is enough.
        """
        bank, radii, fwhm = self._bank(fit.psf_step)
        if len(radii) < 2:
            return fit
        extended = fit.radius > 0
        reach = min(fwhm, self.half - 1.0)
        stamp = self.stamp(counts, background, fit, half=self.half)
        total = fit.amplitude
        start = [fit.x], [fit.y], [total]
        as_fitted = Blend(
            models=(fit.model,), x=start[0], y=start[1], amplitude=start[2], statistic=fit.gain
        )
        # round a point source only what is wider than the PSF can be told
        models = [0] if extended else range(min(_LEAST_HALO, len(radii) - 1), len(radii))
        promised = promise(stamp, as_fitted, models)
        if max(promised) < LEAST_PROMISE:
            return dataclasses.replace(fit, core_gain=max(promised))
        # a point source in the middle leaves the rest wider than it was taken for
        first = fit.model if extended else models[int(np.argmax(promised))]
        single = fit_blend(stamp, (fit.model,), *start, reach=reach)
        models = range(fit.model if extended else models[0], len(radii))
        blend, tried = fit_core(stamp, fit.x, fit.y, total, models, first=first, fwhm=reach)
        gain = blend.statistic - single.statistic
        share = blend.amplitude[0] / blend.amplitude.sum()
        if gain < _CORE_GAIN[extended] or share < _LEAST_SHARE:
            return dataclasses.replace(fit, core_gain=gain)
        point = single
        if extended:
            point = fit_blend(stamp, (0,), *start, reach=reach)
        model, _ = blend.models
        x, y, amplitude = (values.tolist() for values in (blend.x, blend.y, blend.amplitude))
        radius, radius_err, total = refined(
            radii,
            np.arange(len(radii)),
            np.array([tried[k].statistic if k in tried else -np.inf for k in range(len(radii))]),
            np.array([tried[k].amplitude[0] if k in tried else np.nan for k in range(len(radii))]),
            model,
        )
        core_counts = amplitude[1] * self._seen(bank, x[1], y[1], 0)
        counts = total * self._seen(bank, x[0], y[0], model)
        return dataclasses.replace(
            fit,
            x=x[0],
            y=y[0],
            model=model,
            amplitude=amplitude[0],
            core=(x[1], y[1], amplitude[1]),
            core_counts=core_counts,
            counts=counts + core_counts,
            counts_err=max(fit.counts_err, float(np.sqrt(counts + core_counts))),
            radius=radius,
            radius_err=radius_err,
            gain=blend.statistic,
            extent_gain=blend.statistic - point.statistic,
            extent_loss=0.0,
            core_gain=gain,
            at_limit=model == len(radii) - 1,
        )

    def stamp(self, counts, background, fit, *, half=None):
        """
        Return the part of the image on which the models of one source are compared.
        """
        if half is None:
            half = int(np.clip(np.ceil(4 * fit.fwhm + 2 * self.radius_of(fit)), 6, self.half))
        here, _ = self._overlap(fit.x, fit.y, half)
        planes = counts[here], background[here], self.response[here]
        bank = self._bank(fit.psf_step)[0]
        return Stamp(planes, bank, (here[1].start, here[0].start), self._point(fit.x, fit.y))

    def _point(self, x, y):
        """
        Return the PSF at a place.
        """
        dx, dy = x - self.axis[0], y - self.axis[1]
        # as narrow as the bank's at least
        radial, tangential = (
            max(factor * self.psf.core_radius, 0.15) for factor in self.psf.axes(np.hypot(dx, dy))
        )
        return PointShape(
            radial=radial,
            tangential=tangential,
            slope=self.psf.slope,
            angle=float(np.arctan2(dy, dx)),
            reach=self.outer,
        )

    def paint(self, model, fit, *, factor=1.0):
        """
        Add a fitted source to the image of all models, or take it away.

        Parameters
        ----------
        model : 2D `~numpy.ndarray`
            Changed in place.
        fit : object
            From `fit`.
        factor : float, optional
            -1 takes it away.
        """
        bank = self._bank(fit.psf_step)[0]
        self._add(model, bank, fit.model, fit.x, fit.y, factor * fit.amplitude)
        if fit.core is not None:
            x, y, amplitude = fit.core
            self._add(model, bank, 0, x, y, factor * amplitude)

    def _add(self, model, bank, number, x, y, amplitude):
        """
        Add a model, and its wings beyond the template if there are some to see.
        """
        template = bank.at(*_phases(bank, x, y))[number]
        top, left = round(y) - 2 * self.half, round(x) - 2 * self.half
        add_template(model, top, left, template, self.response, float(amplitude))
        if abs(amplitude) * (1 - bank.share[number]) <= _FEW_COUNTS:
            return
        radius = float(bank.radii[number])
        end = OUTER_RADIUS * radius if radius > 0 else bank.outer
        here, _ = self._overlap(x, y, math.ceil(end))
        rows, columns = (np.arange(part.start, part.stop) for part in here)
        squared = (rows[:, None] - y) ** 2 + (columns - x) ** 2
        wings = bank.wings(number, squared) * self.response[here]
        model[here] = np.maximum(model[here] + amplitude * wings, 0)


def _phases(bank, x, y):
    return bank.phase(x - round(x)), bank.phase(y - round(y))


def _grid_place(bank, x, y):
    """
    Return where the models nearest to a position are centred.
    """
    phase_x, phase_y = _phases(bank, x, y)
    return round(x) + phase_x * bank.step, round(y) + phase_y * bank.step


def _near(models, best):
    """
    Return the point source and the models next to one, two on either side.
    """
    return models[(models == 0) | (np.abs(models - best) <= _MODELS_BESIDE)]
