# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The picture of the whole field with its candidates, and the chart of the scores.
"""

import html

import astropy.units as u
import numpy as np

from clustercnn.report._pictures import xray_picture

__all__ = ['field_figure', 'histogram', 'scale_bar']

_LARGEST = 900  # pixels of the picture along its longer side
_LABELLED = 25  # candidates with a number on the picture; more would cover each other
_NICE = (5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18000, 36000)


def _binned(image):
    """
    Return counts and mask of the exposed part, in pixels of a picture, with its origin.
    """
    valid = image.valid
    if not valid.any():
        valid = np.ones(image.shape, bool)
    rows, columns = np.flatnonzero(valid.any(axis=1)), np.flatnonzero(valid.any(axis=0))
    margin = 4
    y0, x0 = max(rows[0] - margin, 0), max(columns[0] - margin, 0)
    y1 = min(rows[-1] + margin + 1, image.shape[0])
    x1 = min(columns[-1] + margin + 1, image.shape[1])
    counts, good = image.counts[y0:y1, x0:x1], image.valid[y0:y1, x0:x1]
    block = max(1, int(np.ceil(max(counts.shape) / _LARGEST)))
    ny, nx = (-(-size // block) for size in counts.shape)
    pad = ((0, ny * block - counts.shape[0]), (0, nx * block - counts.shape[1]))
    counts = np.pad(counts, pad).reshape(ny, block, nx, block).sum(axis=(1, 3))
    good = np.pad(good, pad).reshape(ny, block, nx, block).mean(axis=(1, 3)) >= 0.5
    return counts, ~good, (x0, y0), block


def scale_bar(width, height, seconds_a_pixel, *, fraction=0.25, color='#ffffff', size=None):
    """
    Return a bar of a round length, in the lower left corner.

    Parameters
    ----------
    width, height : float
        Of the drawing.
    seconds_a_pixel : float
        Arcseconds a unit of the drawing.
    fraction : float, optional
        Largest share of the width.
    color : str, optional
        Colour.
    size : float, optional
        Height of the text.

    Returns
    -------
    svg : str
        Elements for inside an ``svg``.
    """
    fitting = [length for length in _NICE if length <= fraction * width * seconds_a_pixel]
    length = fitting[-1] if fitting else _NICE[0]
    if length < 60:
        text = f'{length}&Prime;'
    elif length < 3600:
        text = f'{length // 60}&prime;'
    else:
        text = f'{length // 3600}°'
    size = size or 0.045 * height
    x, y, pixels = 0.04 * width, 0.955 * height, length / seconds_a_pixel
    halo = '#ffffff' if color == '#000000' else '#000000'
    shadow = f'stroke="{halo}" stroke-opacity=".65" stroke-width="{0.16 * size:.2f}"'
    return (
        f'<path d="M{x:.1f} {y:.1f}h{pixels:.1f}" stroke="{halo}" stroke-opacity=".65" '
        f'stroke-width="{0.42 * size:.2f}"/>'
        f'<path d="M{x:.1f} {y:.1f}h{pixels:.1f}" stroke="{color}" '
        f'stroke-width="{0.2 * size:.2f}"/>'
        f'<text x="{x:.1f}" y="{y - 0.5 * size:.1f}" font-size="{size:.1f}" fill="{color}" '
        f'{shadow} paint-order="stroke">{text}</text>'
    )


def _compass(image, width, size):
    """
    Return arrows to north and east in the lower right corner.
    """
    center = image.center
    step = 20 * image.pixel_scale
    x0, y0 = image.sky_to_pixel(center)
    parts = []
    reach = 3.2 * size
    corner_x, corner_y = width - 2 * size, 5.8 * size
    for name, angle in (('N', 0 * u.deg), ('E', 90 * u.deg)):
        x1, y1 = image.sky_to_pixel(center.directional_offset_by(angle, step))
        dx, dy = float(x1 - x0), float(y1 - y0)
        length = np.hypot(dx, dy)
        if not length > 0:
            continue
        dx, dy = dx / length * reach, -dy / length * reach
        parts.append(
            f'<path d="M{corner_x:.1f} {corner_y:.1f}l{dx:.1f} {dy:.1f}" stroke="#fff" '
            f'stroke-width="{0.13 * size:.2f}"/>'
            f'<text x="{corner_x + 1.28 * dx:.1f}" y="{corner_y + 1.28 * dy + 0.35 * size:.1f}" '
            f'font-size="{size:.1f}" text-anchor="middle" fill="#fff">{name}</text>'
        )
    return ''.join(parts)


def field_figure(image, catalog, *, ranks, shown):
    """
    Return the picture of the field with a circle for each candidate.

    Parameters
    ----------
    image : XrayImage
        The field.
    catalog : CandidateCatalog
        The candidates.
    ranks : iterable of int
        Number written at each.
    shown : int
        So many of the first lead to their stamp.

    Returns
    -------
    markup : str
        An HTML ``figure``.
    """
    counts, mask, (x0, y0), block = _binned(image)
    ny, nx = counts.shape
    uri = xray_picture(counts, mask, sigma=max(1.0, 2.0 / block))
    seconds = image.pixel_scale.value * block
    size = 0.019 * max(nx, ny)
    extended = catalog.extended()
    extents = np.nan_to_num(np.asarray(catalog['extent'].value))
    columns, rows = image.sky_to_pixel(catalog.positions) if len(catalog) else ((), ())
    parts = []
    for number, (x, y, rank) in enumerate(zip(columns, rows, ranks, strict=True)):
        # the drawing has its origin in the upper left corner of the picture
        left = (float(x) - x0 + 0.5) / block
        top = ny - (float(y) - y0 + 0.5) / block
        if not (np.isfinite(left) and np.isfinite(top)):
            continue
        radius = max(0.6 * size, 1.5 * extents[number] / seconds if extended[number] else 0.0)
        radius = min(radius, 4 * size)
        color = '#3ddc6b' if extended[number] else '#ff5a5a'
        dash = '' if extended[number] else f' stroke-dasharray="{0.3 * size:.1f}"'
        title = html.escape(f'{rank}: {catalog["name"][number]}')
        ring = f'cx="{left:.1f}" cy="{top:.1f}" r="{radius:.1f}" fill="none"'
        # a dark ring under the coloured one shows it on bright sources, too
        circle = (
            f'<circle {ring} stroke="#000" stroke-opacity=".6" stroke-width="{0.3 * size:.2f}"/>'
            f'<circle {ring} '
            f'stroke="{color}" stroke-width="{0.13 * size:.2f}"{dash} pointer-events="all">'
            f'<title>{title}</title></circle>'
        )
        if number < shown:
            circle = f'<a href="#c{number + 1}">{circle}</a>'
        if number < _LABELLED:
            # labels move inwards at the right edge
            inside = left + radius + 2 * size < nx
            shift = radius + 0.2 * size
            anchor, shift = ('start', shift) if inside else ('end', -shift)
            circle += (
                f'<text x="{left + shift:.1f}" '
                f'y="{top + 0.35 * size:.1f}" font-size="{size:.1f}" text-anchor="{anchor}" '
                f'fill="{color}" stroke="#000" stroke-opacity=".75" '
                f'stroke-width="{0.16 * size:.2f}" paint-order="stroke">{rank}</text>'
            )
        parts.append(circle)
    n_extended = int(extended.sum())
    where = image.center.to_string('hmsdms', precision=0)
    band = ''
    if image.energy_band is not None:
        band = f', {image.energy_band[0].value:g} to {image.energy_band[1].value:g} keV'
    alternative = (
        f'Smoothed X-ray counts of the field centred on {where}{band}, with '
        f'{len(catalog)} candidates marked: {n_extended} extended, '
        f'{len(catalog) - n_extended} point-like'
    )
    overlay = ''.join(parts) + scale_bar(nx, ny, seconds, fraction=0.2, size=size)
    return (
        '<figure><div class="picture">'
        f'<img src="{uri}" width="{nx}" height="{ny}" alt="{html.escape(alternative)}">'
        f'<svg viewBox="0 0 {nx} {ny}" role="group" aria-label="candidates">{overlay}'
        f'{_compass(image, nx, size)}</svg></div>'
        f'<figcaption>Counts{html.escape(band)}, smoothed, asinh stretch; grey is not exposed '
        'or masked. <span class="key"></span>extended (an extent, and ext_like '
        'of 3 or more), radius 1.5 core radii '
        '<span class="key point"></span>point-like. Numbers are ranks; circles lead '
        'to the cutouts.</figcaption></figure>'
    )


def histogram(values, *, limits, n_bins, title, x_label):
    """
    Return a bar chart.

    Parameters
    ----------
    values : 1D `~numpy.ndarray`
        What to count; values that are not finite are left out.
    limits : 2-tuple of float
        Range.
    n_bins : int
        Number of bars.
    title, x_label : str
        For the reader.

    Returns
    -------
    markup : str
        An HTML ``figure``.
    """
    values = np.asarray(values, float)
    numbers, edges = np.histogram(values[np.isfinite(values)], bins=n_bins, range=limits)
    left, bottom, width, height = 46, 210, 440, 180
    largest = max(int(numbers.max()), 1)
    steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000]
    step = next((s for s in steps if largest / s <= 5), 20000)
    top = int(np.ceil(largest / step)) * step
    parts = []
    for tick in range(0, top + 1, step):
        y = bottom - height * tick / top
        parts.append(
            f'<path class="axis" stroke-opacity=".25" d="M{left} {y:.1f}h{width}"/>'
            f'<text class="label" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{tick}</text>'
        )
    for number, (count, edge) in enumerate(zip(numbers, edges, strict=False)):
        x = left + width * number / n_bins
        tall = height * count / top
        tip = f'{count} from {edge:.3g} to {edges[number + 1]:.3g}'
        parts.append(
            f'<rect class="bar" x="{x + 1:.1f}" y="{bottom - tall:.1f}" '
            f'width="{width / n_bins - 2:.1f}" height="{tall:.1f}"><title>{tip}</title></rect>'
        )
    parts.append(f'<path class="axis" d="M{left} {bottom}h{width}"/>')
    for share in (0, 0.25, 0.5, 0.75, 1):
        value = limits[0] + share * (limits[1] - limits[0])
        parts.append(
            f'<text class="label" x="{left + width * share:.1f}" y="{bottom + 17}" '
            f'text-anchor="middle">{value:.3g}</text>'
        )
    parts.append(
        f'<text class="label" x="{left + width / 2}" y="{bottom + 36}" '
        f'text-anchor="middle">{html.escape(x_label)}</text>'
    )
    alternative = f'{title}: ' + ', '.join(
        f'{count} from {edges[i]:.2g} to {edges[i + 1]:.2g}'
        for i, count in enumerate(numbers)
        if count
    )
    return (
        f'<figure><svg class="chart" viewBox="0 0 510 252" role="img" '
        f'aria-label="{html.escape(alternative)}">{"".join(parts)}</svg>'
        f'<figcaption>{html.escape(title)}</figcaption></figure>'
    )
