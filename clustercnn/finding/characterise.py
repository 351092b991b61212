# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
From positions to candidates: likelihoods, extent, counts, flags.
"""

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from clustercnn.core import CandidateCatalog, CandidateFlag
from clustercnn.core.columns import FINDER_COLUMNS
from clustercnn.finding._fitter import closest_distance
from clustercnn.finding._objects import cores_of, flanks_of, merged, parts_of, without_cores
from clustercnn.finding._planes import Expected, valid_counts
from clustercnn.finding._profiles import tail_likelihood
from clustercnn.finding._psf_image import source_fitter

__all__ = ['characterise']

_SATURATED_COUNTS = 60_000
_MOST_ROUNDS = 6
# so many widths from each other two sources share photons that matter
_REACH = 2.0
# point sources with less can hide nothing that could be told
_BRIGHT_GAIN = 80.0
_IN_CORE = 'detections that are the core of an extended source'
_IS_PART = 'detections that are part of a brighter extended source'
_ON_FLANK = 'detections on the flank of a brighter extended source, without a peak of their own'


def characterise(
    image,
    x,
    y,
    significance,
    background,
    *,
    psf_fwhm=None,
    psf=None,
    fits=None,
    fitter=None,
    meta=None,
    refine=None,
):
    """
    Fit a point source and beta models near given positions and make a catalogue.

    Sources are fitted in the order of significance, each over the models of those before
    it, then over the models of all others until none changes. Those whose fit ends on a more
    significant source, or finds fewer counts than their error, are left out and counted in
    the catalogue's ``meta['dropped']``, and so are extended ones that are the core or a part of
    another, whose counts go to that, and whose significance, too, if it is higher. Where two
    point sources describe the photons better than one extended source, the catalogue has a row
    for each, with the significance of the one.

    Parameters
    ----------
    image : XrayImage
        The image.
    x, y : 1D `~numpy.ndarray`
        Positions in pixels, where the fit of the position starts.
    significance : 1D `~numpy.ndarray`
        Of the detection, in sigma.
    background : 2D `~numpy.ndarray`
        Expected background counts per pixel.
    psf_fwhm : float, optional
        On axis, in arcsec; not needed, and not used, with ``psf``.
    psf : PsfImage, optional
        The PSF itself; by default a King profile.
    fits : list, optional
        First fits of the sources, as from `SourceFitter.fit`, made here if not given.
    fitter : SourceFitter, optional
        That of the first fits, whose models need not be made again.
    meta : dict, optional
        Provenance.
    refine : callable, optional
        Takes the counts of all models and the background, and returns a better background,
        over which all sources are fitted again.

    Returns
    -------
    catalog : CandidateCatalog
        In the order of significance.

    Raises
    ------
    ValueError
        If positions and significances are not of one length, a position is not finite or not on
        the image, or the background is not of its shape or not finite.

    Notes
    -----
    The image is taken in its own pixels, unlike by the finders, which bin very fine ones.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.finding import characterise, estimate_background
    >>> from clustercnn.testing import tiny_image
    >>> image = tiny_image()
    >>> catalog = characterise(image, np.array([31.5]), np.array([31.5]), np.array([9.0]),
    ...                        estimate_background(image, psf_pixels=2.0), psf_fwhm=8.0)
    >>> len(catalog), catalog['counts'].unit
    (1, Unit("ct"))
    """
    _check_places(image, x, y, significance, background)
    if len(x) == 0:
        return _nothing(meta)
    order = np.argsort(-np.asarray(significance), kind='stable')
    x, y, significance = (np.asarray(values)[order] for values in (x, y, significance))
    scale = image.pixel_scale.value
    if fitter is None:
        fitter = source_fitter(image, psf_fwhm=psf_fwhm, psf=psf)
    psf_fwhm = psf_fwhm if psf is None else float(psf.fwhm.value)
    counts = valid_counts(image)
    model = np.zeros(image.shape, np.float32)
    rest = Expected(background, model)
    first = None if fits is None else [fits[number] for number in order]
    fits = []
    for number, at in enumerate(zip(x, y, strict=True)):
        made = None if first is None else first[number]
        fits.append(fitter.fit(counts, rest, *at) if made is None else made)
        fitter.paint(model, fits[-1])
    _fit_together(fitter, fits, counts, rest)
    if refine is not None:
        rest.background = background = refine(model, background)
        _fit_together(fitter, fits, counts, rest)
    fits, parents, reasons = _keep_distinct(fitter, fits, counts, rest)
    significance = significance[parents]
    fits, significance = merged(fits, significance, cores_of(fits), _IN_CORE, reasons)
    fits, parents = _resolve(fitter, fits, counts, rest)
    significance = significance[parents]
    fits, parents, more = _keep_distinct(fitter, fits, counts, rest)
    significance = significance[parents]
    reasons = {name: reasons.get(name, 0) + more.get(name, 0) for name in {**reasons, **more}}
    # fitted again, two may have come closer
    fits, significance = merged(fits, significance, cores_of(fits), _IN_CORE, reasons)
    fits, significance = merged(fits, significance, parts_of(fits), _IS_PART, reasons)
    on_flanks = flanks_of(fits, fitter, counts, rest.background)
    fits, significance = without_cores(fits, significance, on_flanks, fitter, counts, rest)
    fits, significance = merged(
        fits, significance, on_flanks, _ON_FLANK, reasons, response=fitter.response
    )
    # a source is as significant as the best of what it is made of
    order = np.argsort(-significance, kind='stable')
    fits, significance = [fits[number] for number in order], significance[order]
    meta = dict(meta or {})
    meta['dropped'] = {**meta.get('dropped', {}), **reasons}
    if not fits:
        return _nothing(meta)
    columns = {
        name: np.array([getattr(fit, name) for fit in fits])
        for name in ('x', 'y', 'pos_err', 'counts', 'counts_err', 'gain', 'core_counts')
    }
    columns['counts'] += [fit.merged for fit in fits]
    columns['counts_err'] = np.hypot(columns['counts_err'], [fit.merged_err for fit in fits])
    extent_gain = np.array([fit.extent_gain - fit.extent_loss for fit in fits])
    x, y = columns['x'], columns['y']
    radius = np.array([fit.radius for fit in fits]) * scale
    extended = radius > 0
    ix = np.clip(np.rint(x).astype(int), 0, image.shape[1] - 1)
    iy = np.clip(np.rint(y).astype(int), 0, image.shape[0] - 1)
    positions = image.pixel_to_sky(x, y)
    shapes = [fitter.shape_of(counts, rest, fit) for fit in fits]
    size = np.hypot(np.array([fit.fwhm for fit in fits]) / 2.3548, radius / scale)
    exposure = np.full(len(x), np.nan)
    if image.exposure is not None and image.exposure_unit.to_string() == 's':
        exposure = image.exposure[iy, ix]
    return CandidateCatalog.from_columns(
        ra=positions.ra,
        dec=positions.dec,
        pos_err=columns['pos_err'] * scale,
        x=x,
        y=y,
        counts=columns['counts'],
        counts_err=columns['counts_err'],
        background=background[iy, ix] / scale**2,
        exposure=exposure,
        significance=significance,
        # amplitude and position, and the core radius where there is one
        det_like=tail_likelihood(columns['gain'], 3 + extended),
        extent=radius,
        extent_err=np.array([fit.radius_err for fit in fits]) * scale,
        # the radius is at the edge of what is allowed for a point source, hence half the tail
        # (Chernoff 1954, Ann. Math. Stat. 25, 573)
        ext_like=np.where(extended, tail_likelihood(extent_gain, 1) + np.log(2), 0.0),
        flags=_flags(
            image,
            x,
            y,
            ix,
            iy,
            size,
            [f.at_limit for f in fits],
            columns['counts'],
            psf_fwhm / scale,
        ),
        meta=meta,
        pair_like=np.array([fit.pair_gain for fit in fits]) / 2,
        core_like=np.array([fit.core_gain for fit in fits]) / 2,
        core_counts=columns['core_counts'],
        # at the place of the source, which may be far off axis
        psf_fwhm=np.array([fit.fwhm for fit in fits]) * scale,
        ellipticity=np.array([shape.ellipticity for shape in shapes]),
        ellipticity_err=np.array([shape.ellipticity_err for shape in shapes]),
        position_angle=_position_angles(image, x, y, [shape.angle for shape in shapes]),
    )


def _position_angles(image, x, y, angles):
    """
    Return where directions in pixels point on the sky, from 0 to 180 deg, from north to east.
    """
    angles = np.asarray(angles, float)
    there = np.isfinite(angles)
    turned = np.full(len(x), np.nan)
    if there.any():
        x, y, angles = x[there], y[there], angles[there]
        beside = image.pixel_to_sky(x + np.cos(angles), y + np.sin(angles))
        turned[there] = image.pixel_to_sky(x, y).position_angle(beside).deg % 180
    return turned


def _check_places(image, x, y, significance, background):
    columns = {'x': x, 'y': y, 'significance': significance}
    columns = {name: np.atleast_1d(np.asarray(values, float)) for name, values in columns.items()}
    shapes = {name: values.shape for name, values in columns.items()}
    if len(set(shapes.values())) > 1 or columns['x'].ndim != 1:
        msg = f"'x', 'y' and 'significance' must be columns of one length, got shapes {shapes}"
        raise ValueError(msg)
    # the outermost pixels reach half a pixel further than their centres
    for name, size in (('x', image.shape[1]), ('y', image.shape[0])):
        wrong = ~((columns[name] >= -0.5) & (columns[name] <= size - 0.5))
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            msg = (
                f"'{name}' must be on the image, from -0.5 to {size - 0.5}, got "
                f'{columns[name][row]} in row {row} ({int(wrong.sum())} such in all)'
            )
            raise ValueError(msg)
    if not np.isfinite(columns['significance']).all():
        msg = "'significance' must be finite"
        raise ValueError(msg)
    if np.shape(background) != image.shape or not np.isfinite(background).all():
        msg = (
            f"'background' must be finite and of the image's shape {image.shape}, got shape "
            f'{np.shape(background)}, {int((~np.isfinite(background)).sum())} values not finite'
        )
        raise ValueError(msg)


def _nothing(meta):
    """
    Return a catalogue without rows, with the columns that one with rows has.
    """
    none = np.zeros(0)
    columns = {definition.name: none for definition in FINDER_COLUMNS}
    return CandidateCatalog.from_columns(ra=none, dec=none, meta=meta, **columns)


def _fit_together(fitter, fits, counts, rest, *, moving=None):
    """
    Fit every source again over the models of all others, until none changes; in place.

    ``moving`` are the numbers of those to begin with, all by default.

    The first fit of one of two neighbours takes in some of the other, and the two share
    their photons out between them in the course of several rounds.
    """
    moving = range(len(fits)) if moving is None else moving
    for _ in range(_MOST_ROUNDS):
        changed = []
        for number in moving:
            before = fits[number]
            fitter.paint(rest.model, before, factor=-1)
            after = fitter.fit(
                counts,
                rest,
                before.x,
                before.y,
                point_only=before.point_only,
                around=before.model,
            )
            after = after.keeping(before)
            if before.core is not None:
                after = fitter.with_core(counts, rest, after)
            fitter.paint(rest.model, after)
            fits[number] = after
            if abs(after.counts - before.counts) > 0.2 * after.counts_err:
                changed.append(number)
        # those that stand still are looked at again only beside one that moves
        place = np.array([(fit.x, fit.y) for fit in fits])
        reach = np.array([_REACH * (fit.fwhm + fit.radius) for fit in fits])
        moving = set()
        for number in changed:
            distance = np.hypot(*(place - place[number]).T)
            moving.update(np.flatnonzero(distance < reach + reach[number]).tolist())
        moving = sorted(moving)
        if not moving:
            break


def _distinct(fits):
    """
    Return which fits stand for sources of their own, and why the others do not.

    Where the PSF is not quite that of the image, what a bright source leaves behind can be
    significant; its fit ends upon the source, or on nothing.
    """
    kept, n_merged, n_nothing = set(), 0, 0
    place = np.array([(fit.x, fit.y) for fit in fits])
    closest = np.array([closest_distance(fit.fwhm) for fit in fits])
    near = cKDTree(place).query_ball_point(place, closest.max())
    for number, fit in enumerate(fits):
        if any(
            np.hypot(*(place[number] - place[other])) < closest[other]
            for other in kept.intersection(near[number])
        ):
            n_merged += 1
        elif fit.counts < fit.counts_err:
            n_nothing += 1
        else:
            kept.add(number)
    reasons = {
        'detections whose fit ended on a more significant source': n_merged,
        'detections whose fit found fewer counts than their error': n_nothing,
    }
    return sorted(kept), {reason: n for reason, n in reasons.items() if n}


def _keep_distinct(fitter, fits, counts, rest):
    """
    Leave out fits that stand for no source of their own, and fit the others again.

    Returns the fits, the number each had, and why how many were left out.
    """
    if not fits:
        return [], [], {}
    kept, reasons = _distinct(fits)
    if reasons:
        # what they took goes back to whom it belongs to
        for number in set(range(len(fits))) - set(kept):
            fitter.paint(rest.model, fits[number], factor=-1)
        fits = [fits[number] for number in kept]
        _fit_together(fitter, fits, counts, rest)
    return fits, kept, reasons


def _resolve(fitter, fits, counts, rest):
    """
    Compare each source with two point sources and with a cluster round a point source.

    Two point sources take its place where they describe the photons better. Returns the fits
    and, for each, the number of the one it comes from.
    """
    made, parents, split = [], [], []
    for number, fit in enumerate(fits):
        extended = fit.radius > 0
        if not extended and fit.gain < _BRIGHT_GAIN:
            made.append(fit)
            parents.append(number)
            continue
        fitter.paint(rest.model, fit, factor=-1)
        fit, pair = fitter.compare(counts, rest, fit)
        if pair is None:
            fitter.paint(rest.model, fit)
            if fit.core is not None:
                split.append(len(made))
            made.append(fit)
            parents.append(number)
            continue
        for one in pair:
            fitter.paint(rest.model, one)
            split.append(len(made))
            made.append(one)
            parents.append(number)
    if split:
        _fit_together(fitter, made, counts, rest, moving=split)
    return made, parents


def _flags(image, x, y, ix, iy, radius, at_limit, amplitude, psf_pixels):
    """
    Return the quality bits of each source.
    """
    flags = np.full(len(x), image.flags, dtype=np.int32)
    valid = image.valid
    filled = ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(valid, 12), iterations=8))
    filled = filled[12:-12, 12:-12]
    reach = np.maximum(2 * psf_pixels, radius)
    edge = _touches(np.pad(~filled, 1, constant_values=True), ix + 1, iy + 1, 2 * psf_pixels)
    flags |= np.where(edge, int(CandidateFlag.EDGE), 0)
    flags |= np.where(_touches(filled & ~valid, ix, iy, reach), int(CandidateFlag.GAP), 0)
    ny, nx = image.shape
    peak = np.max(
        [
            image.counts[np.clip(iy + dy, 0, ny - 1), np.clip(ix + dx, 0, nx - 1)]
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
        ],
        axis=0,
    )
    flags |= np.where(peak > _SATURATED_COUNTS, int(CandidateFlag.SATURATED), 0)
    if image.exposure is None:
        flags |= int(CandidateFlag.NO_EXPOSURE)
    flags |= np.where(at_limit, int(CandidateFlag.EXTENT_AT_LIMIT), 0)
    for number in range(len(x)):
        distance = np.hypot(x - x[number], y - y[number])
        distance[number] = np.inf
        if (distance < reach[number] + reach).any():
            flags[number] |= int(CandidateFlag.BLENDED)
        if ((distance < 6 * reach) & (amplitude > 30 * amplitude[number])).any():
            flags[number] |= int(CandidateFlag.NEAR_BRIGHT)
    return flags


def _touches(mask, ix, iy, reach):
    """
    Return which pixels have one of a mask nearer than a distance.
    """
    touches = np.zeros(len(ix), bool)
    for number, far in enumerate(np.broadcast_to(reach, len(ix))):
        half = int(np.ceil(far))
        top, left = max(iy[number] - half, 0), max(ix[number] - half, 0)
        window = mask[top : iy[number] + half + 1, left : ix[number] + half + 1]
        rows, columns = np.nonzero(window)
        distance = np.hypot(rows + top - iy[number], columns + left - ix[number])
        touches[number] = (distance < far).any()
    return touches
