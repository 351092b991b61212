# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Candidates as subjects of a Zooniverse project: a picture each, and a manifest.
"""

import csv
import re
from pathlib import Path

import numpy as np

from clustercnn._utils.files import output_folder
from clustercnn._utils.progress import progress as progress_bar
from clustercnn.report._pictures import contour_paths, optical_levels, xray_levels

__all__ = ['write_subjects']

MANIFEST = 'manifest.csv'
# Panoptes refuses larger pictures
_LARGEST_PICTURE = 1_000_000
_PICTURE = re.compile(r'subject-\d{4,}-[A-Za-z0-9.+_-]*\.png')
_INCHES, _DOTS = 4.2, 120


def write_subjects(stack, folder, *, overwrite=False, quiet=None):
    """
    Write candidates as a subject set that can be uploaded to a Zooniverse project.

    Parameters
    ----------
    stack : CutoutStack
        Cutouts with an X-ray band called ``'xray'``; every other band gets a panel with
        the X-ray contours on it.
    folder : str or path-like
        Folder for the pictures and ``manifest.csv``; it may hold other files.
    overwrite : bool, optional
        Whether existing files of these names may be replaced. Pictures of an earlier subject set
        in the folder, those that its manifest names, are then removed.
    quiet : bool, optional
        Whether to hide the progress bar.

    Returns
    -------
    names : list of str
        Names of the files, the manifest last.

    Raises
    ------
    ValueError
        If the stack has no X-ray band or no cutout.
    OSError
        If files exist or cannot be written; none is left half-written.

    Notes
    -----
    The manifest has a row a subject: ``image``, the name of the picture; ``#candidate``, the
    identifier, hidden from volunteers; ``!ra`` and ``!dec`` (deg), shown to them after they have
    classified. Give ``item='candidate'`` to `~clustercnn.io.read_classifications` to read the
    votes back by identifier.

    North is up and east to the left; a bar is an arcmin long. Panels of optical bands show
    contours of the smoothed X-rays at 3, 6, 12, ... times the noise of the background.

    Examples
    --------
    >>> import tempfile
    >>> from clustercnn.report import write_subjects
    >>> from clustercnn.testing import tiny_stack
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     names = write_subjects(tiny_stack(2), folder, quiet=True)
    >>> names
    ['subject-0001-1.png', 'subject-0002-2.png', 'manifest.csv']
    """
    if 'xray' not in stack.bands:
        msg = f"the cutouts need a band 'xray' for the contours, got {', '.join(stack.band_names)}"
        raise ValueError(msg)
    if not len(stack):
        msg = 'there are no cutouts to write'
        raise ValueError(msg)
    # identifiers may hold what file names must not
    plain = [re.sub(r'[^A-Za-z0-9.+_-]+', '_', name)[:60] for name in stack.ids]
    pictures = [f'subject-{row + 1:04d}-{name}.png' for row, name in enumerate(plain)]
    earlier = _pictures_of(Path(folder) / MANIFEST) if overwrite else []
    with output_folder(folder, [*pictures, MANIFEST], overwrite=overwrite) as temporary:
        rows = progress_bar(
            range(len(stack)), label='draw', quiet=quiet, unit='subjects', total=len(stack)
        )
        for row in rows:
            _draw(stack, row, temporary / pictures[row])
        _write_manifest(stack, pictures, temporary / MANIFEST)
    for name in set(earlier) - set(pictures):
        (Path(folder) / name).unlink(missing_ok=True)
    return [*pictures, MANIFEST]


def _pictures_of(manifest):
    """
    Return the pictures that a manifest names, of those only that are named as ours are.
    """
    try:
        with manifest.open(newline='', encoding='utf-8') as stream:
            names = [row.get('image') or '' for row in csv.DictReader(stream)]
    except (OSError, UnicodeDecodeError, csv.Error):
        # none, or not of ours
        return []
    return [name for name in names if _PICTURE.fullmatch(name)]


def _write_manifest(stack, pictures, path):
    header = ['image', '#candidate']
    if stack.positions is not None:
        header += ['!ra', '!dec']
    with Path(path).open('w', newline='', encoding='utf-8') as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        for row, (picture, name) in enumerate(zip(pictures, stack.ids, strict=True)):
            cells = [picture, name]
            if stack.positions is not None:
                place = stack.positions[row]
                cells += [f'{place.ra.deg:.6f}', f'{place.dec.deg:.6f}']
            writer.writerow(cells)


def _draw(stack, row, path):
    """
    Draw the panels of one candidate; smaller if the picture would be too large.
    """
    from matplotlib.figure import Figure

    names = [*(name for name in stack.band_names if name != 'xray'), 'xray']
    for shrink in (1.0, 0.7, 0.5):
        figure = Figure(
            figsize=(_INCHES * len(names), _INCHES + 0.3), layout='constrained', facecolor='white'
        )
        panels = figure.subplots(1, len(names), squeeze=False)[0]
        for panel, name in zip(panels, names, strict=True):
            _draw_panel(panel, stack, name, row)
        figure.savefig(path, dpi=_DOTS * shrink, metadata={'Software': None})
        if path.stat().st_size <= _LARGEST_PICTURE:
            return


def _draw_panel(panel, stack, name, row):
    from matplotlib import patheffects

    band, xray = stack.band(name), stack.band('xray')
    data, mask = band.data[row], band.mask[row]
    side = _half_side(band)
    view = min(_half_side(stack.band(other)) for other in stack.band_names)
    levels, colours = (xray_levels, 'inferno') if name == 'xray' else (optical_levels, 'gray_r')
    # what is not known is left out, so that the grey behind shows
    picture = np.where(mask, np.nan, levels(data, mask))
    panel.imshow(
        picture, origin='lower', cmap=colours, vmin=0, vmax=1, extent=(-side, side, -side, side)
    )
    panel.set_facecolor('#8a929c')
    if name != 'xray':
        scale = float(xray.pixel_scale.value)
        middle = (xray.data.shape[2] - 1) / 2, (xray.data.shape[1] - 1) / 2
        for line in contour_paths(xray.data[row], xray.mask[row]):
            x, y = ((line[:, axis] - middle[axis]) * scale for axis in (0, 1))
            panel.plot(x, y, color='#c8372d', linewidth=1.1)
    left, bottom = -0.9 * view, -0.9 * view
    # readable upon stars as well as upon the sky
    rim = [patheffects.withStroke(linewidth=4, foreground='black')]
    panel.plot([left, left + 60], [bottom, bottom], color='white', linewidth=2, path_effects=rim)
    panel.text(left, bottom + 0.06 * view, '1 arcmin', color='white', fontsize=11, path_effects=rim)
    panel.set_title('X-rays' if name == 'xray' else f'{name}, with X-ray contours', fontsize=11)
    panel.set(xlim=(-view, view), ylim=(-view, view), xticks=[], yticks=[])
    if mask.all():
        panel.text(0, 0, 'no image here', color='white', ha='center', va='center', fontsize=13)


def _half_side(band):
    return band.data.shape[2] * float(band.pixel_scale.value) / 2
