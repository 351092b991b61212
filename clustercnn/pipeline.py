# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The verbs strung together: from an X-ray image to a ranked catalogue.

Every function here is what one command of the command line does.
"""

import contextlib
import dataclasses
import json
import time
import warnings
from pathlib import Path

import numpy as np

from clustercnn import provenance
from clustercnn._pipeline_labels import (
    export_subjects,
    label_export,
    label_votes,
    measure_agreement,
)
from clustercnn._pipeline_record import (
    absent_notes,
    account,
    missing_notes,
    noted,
    unknown_notes,
)
from clustercnn._pipeline_training import train_classifier
from clustercnn._utils.files import check_output, output_folder
from clustercnn.classifier import Classifier
from clustercnn.core import CandidateCatalog, CutoutStack, PredictionSet, XrayImage
from clustercnn.core.connect import guess_format
from clustercnn.cutouts import CutoutMaker, coverage_flags
from clustercnn.exceptions import DataQualityWarning
from clustercnn.finding import SegmentationFinder, WaveletFinder
from clustercnn.io import read_image, read_optical, read_psf
from clustercnn.report import write_report

__all__ = [
    'FieldResult',
    'catalog_of',
    'classify_cutouts',
    'export_subjects',
    'find_sources',
    'label_export',
    'label_votes',
    'make_cutouts',
    'measure_agreement',
    'rank_candidates',
    'run_field',
    'train_classifier',
]

_FINDERS = {'wavelet': WaveletFinder, 'segmentation': SegmentationFinder}
_CATALOG_FILES = ('catalog.ecsv', 'catalog.fits', 'catalog.vot', 'candidates.reg')
_FILES = (*_CATALOG_FILES, 'cutouts.h5', 'report.html', 'run.json')


@dataclasses.dataclass(frozen=True, kw_only=True)
class FieldResult:
    """
    What became of one field.

    Parameters
    ----------
    image : XrayImage
        The image as read.
    catalog : CandidateCatalog
        Candidates ranked by ``p_cluster``.
    stack : CutoutStack
        Their cutouts.
    record : dict
        Inputs, versions, options, timings, counts in and out: what ``run.json`` holds.
    files : dict of str to `~pathlib.Path`
        What was written.

    Examples
    --------
    >>> from clustercnn.pipeline import FieldResult
    >>> [field.name for field in __import__('dataclasses').fields(FieldResult)]
    ['image', 'catalog', 'stack', 'record', 'files']
    """

    image: XrayImage
    catalog: CandidateCatalog
    stack: CutoutStack
    record: dict
    files: dict


def _make_finder(method, *, psf_fwhm, psf, threshold, false_alarms):
    options = {'psf_fwhm': psf_fwhm, 'psf': psf}
    if threshold is not None:
        options['threshold'] = threshold
    if false_alarms is not None:
        options['false_alarms'] = false_alarms
    return _FINDERS[method](**options)


def _psf_image(psf):
    return read_psf(psf) if isinstance(psf, (str, Path)) else psf


def _check_file(data_class, output, overwrite):
    """
    Refuse a file that cannot be written, or whose name gives no format, before long work.
    """
    if output is not None:
        check_output(output, overwrite=overwrite)
        guess_format(data_class, output)


def find_sources(
    xray,
    *,
    exposure=None,
    background=None,
    psf_fwhm=None,
    psf=None,
    method='wavelet',
    threshold=None,
    false_alarms=None,
    allow_flux=False,
    prefix=None,
    output=None,
    overwrite=False,
):
    """
    Find the sources of an X-ray image.

    Parameters
    ----------
    xray : str, path-like or XrayImage
        The image.
    exposure, background : str or path-like, optional
        Maps on the same grid.
    psf_fwhm : `~astropy.units.Quantity`, optional
        Width of the point spread function; that of the mission by default.
    psf : str, path-like or PsfImage, optional
        Its image, in place of the width.
    method : {'wavelet', 'segmentation'}, optional
        The finder.
    threshold : float, optional
        Detection threshold in equivalent Gaussian sigma.
    false_alarms : float, optional
        Expected number of spurious sources in the field, instead of a threshold.
    allow_flux : bool, optional
        Whether an image that does not hold counts may be used all the same.
    prefix : str, optional
        What identifiers begin with, such as the name of the field: candidates are PREFIX-1,
        PREFIX-2, ... instead of 1, 2, ..., which every field has.
    output : str or path-like, optional
        Where to write the catalogue; the name gives the format.
    overwrite : bool, optional
        Whether existing files may be replaced.

    Returns
    -------
    catalog : CandidateCatalog
        In the order of significance.

    Examples
    --------
    >>> from clustercnn.pipeline import find_sources
    >>> from clustercnn.testing import tiny_image
    >>> len(find_sources(tiny_image()))
    1
    """
    _check_file(CandidateCatalog, output, overwrite)
    image = xray
    if not isinstance(xray, XrayImage):
        image = read_image(xray, exposure=exposure, background=background, allow_flux=allow_flux)
    finder = _make_finder(
        method,
        psf_fwhm=psf_fwhm,
        psf=_psf_image(psf),
        threshold=threshold,
        false_alarms=false_alarms,
    )
    catalog = _with_prefix(finder(image), prefix)
    if output is not None:
        catalog.write(output, overwrite=overwrite)
    return catalog


def _with_prefix(catalog, prefix):
    if prefix is None:
        return catalog
    return catalog.with_columns(id=[f'{prefix}-{name}' for name in catalog.ids])


def _read_bands(bands, *, exposure=None, background=None, allow_flux=False):
    """
    Read the images of several bands; the X-ray one with what belongs to it.
    """
    images = {}
    for name, source in bands.items():
        if not isinstance(source, (str, Path)):
            images[name] = source
        elif name == 'xray':
            images[name] = read_image(
                source, exposure=exposure, background=background, allow_flux=allow_flux
            )
        else:
            images[name] = read_optical(source)
    return images


def make_cutouts(
    candidates,
    bands,
    *,
    exposure=None,
    background=None,
    allow_flux=False,
    geometry=None,
    output=None,
    overwrite=False,
    quiet=None,
):
    """
    Cut the candidates out of the images of several bands.

    Parameters
    ----------
    candidates : str, path-like or CandidateCatalog
        What to cut out.
    bands : dict of str to str, path-like, XrayImage or `~astropy.nddata.CCDData`
        Image of each band; the X-ray band is called ``'xray'``.
    exposure, background : str or path-like, optional
        Maps of the X-ray band.
    allow_flux : bool, optional
        Whether an X-ray image that does not hold counts may be used all the same.
    geometry : dict, optional
        See `~clustercnn.CutoutMaker`.
    output : str or path-like, optional
        HDF5 file to write.
    overwrite : bool, optional
        Whether an existing file may be replaced.
    quiet : bool, optional
        Whether to hide the progress bar.

    Returns
    -------
    stack : CutoutStack
        One cutout a candidate, in their order.

    Examples
    --------
    >>> from clustercnn.pipeline import make_cutouts
    >>> from clustercnn.testing import tiny_catalog, tiny_image
    >>> make_cutouts(tiny_catalog(), {'xray': tiny_image()}).band_names
    ('xray',)
    """
    _check_file(CutoutStack, output, overwrite)
    if not isinstance(candidates, CandidateCatalog):
        candidates = CandidateCatalog.read(candidates)
    images = _read_bands(bands, exposure=exposure, background=background, allow_flux=allow_flux)
    progress = None if quiet is None else not quiet
    stack = CutoutMaker(geometry=geometry)(images, candidates, progress=progress)
    for note in absent_notes(stack):
        warnings.warn(note, DataQualityWarning, stacklevel=2)
    if output is not None:
        stack.write(output, overwrite=overwrite)
    return stack


def _load_model(model):
    if isinstance(model, Classifier):
        return model
    path = Path(model)
    if path.suffix == '.safetensors' or path.is_file():
        return Classifier.load(path)
    return Classifier.from_pretrained(str(model))


def rank_candidates(catalog, prediction, *, flags=0):
    """
    Join predictions to a catalogue and rank it.

    Parameters
    ----------
    catalog : CandidateCatalog
        The candidates.
    prediction : PredictionSet
        Predictions for the same identifiers.
    flags : 1D `~numpy.ndarray` of int, optional
        Further bits, in the order of the catalogue.

    Returns
    -------
    catalog : CandidateCatalog
        With the columns of the predictions and ``rank``, from 1 for the highest
        ``p_cluster``; equal ones in the order of their significance. What the predictions say
        of themselves, such as the prior they hold at, is added to ``meta``.

    Examples
    --------
    >>> from clustercnn.pipeline import rank_candidates
    >>> from clustercnn.testing import tiny_catalog, tiny_prediction
    >>> ranked = rank_candidates(tiny_catalog(), tiny_prediction())
    >>> ranked['rank'].tolist()
    [1, 2, 3, 4, 5, 6]
    """
    columns = prediction.select(catalog.ids).columns()
    bits = np.asarray(catalog['flags']) | np.asarray(flags, dtype=np.int32)
    table = catalog.with_columns(flags=bits, **columns).table
    catalog = CandidateCatalog(table, meta={**catalog.meta, **prediction.meta})
    catalog = catalog.sort_by('significance', descending=True)
    catalog = catalog.sort_by('p_cluster', descending=True)
    return catalog.with_columns(rank=np.arange(1, len(catalog) + 1))


def catalog_of(stack):
    """
    Return the catalogue that a stack of cutouts was made from.

    Parameters
    ----------
    stack : CutoutStack
        Must have positions; its features become columns.

    Returns
    -------
    catalog : CandidateCatalog
        One row a cutout.

    Examples
    --------
    >>> from clustercnn.pipeline import catalog_of
    >>> from clustercnn.testing import tiny_stack
    >>> catalog_of(tiny_stack())['counts'].unit
    Unit("ct")
    """
    features = {name: np.array(values) for name, values in stack.features.items()}
    if 'flags' in features:
        features['flags'] = np.nan_to_num(features['flags']).astype(np.int32)
    return CandidateCatalog.from_columns(
        id=list(stack.ids), ra=stack.positions.ra, dec=stack.positions.dec, **features
    )


def classify_cutouts(
    cutouts,
    *,
    model='default',
    backend='jax',
    prior=None,
    output=None,
    overwrite=False,
    quiet=True,
):
    """
    Classify cutouts and rank them.

    Parameters
    ----------
    cutouts : str, path-like or CutoutStack
        The cutouts.
    model : str, path-like or Classifier, optional
        A model, its file, or the name of a shipped one.
    backend : {'jax', 'onnxruntime'}, optional
        What computes the networks.
    prior : float, optional
        Share of clusters among these candidates; by default that of the model's training.
        See `PredictionSet.at_prior`.
    output : str or path-like, optional
        Where to write the catalogue; the name gives the format.
    overwrite : bool, optional
        Whether an existing file may be replaced.
    quiet : bool, optional
        Whether to hide the progress bar; None: unless on a terminal.

    Returns
    -------
    catalog : CandidateCatalog or PredictionSet
        Ranked; the bare predictions where the cutouts have no sky positions.

    Examples
    --------
    >>> from clustercnn import Classifier
    >>> from clustercnn.pipeline import classify_cutouts
    >>> from clustercnn.testing import tiny_labels, tiny_stack
    >>> classifier = Classifier(n_epochs=1, validation_fraction=0)
    >>> classifier = classifier.fit(tiny_stack(), tiny_labels())
    >>> catalog = classify_cutouts(tiny_stack(), model=classifier)
    >>> catalog['rank'].tolist()
    [1, 2, 3, 4, 5, 6]
    """
    stack = cutouts if isinstance(cutouts, CutoutStack) else CutoutStack.read(cutouts)
    kind = PredictionSet if stack.positions is None else CandidateCatalog
    _check_file(kind, output, overwrite)
    progress = None if quiet is None else not quiet
    classifier = _load_model(model)
    for note in unknown_notes(stack, classifier):
        warnings.warn(note, DataQualityWarning, stacklevel=2)
    prediction = classifier.predict(stack, backend=backend, progress=progress)
    if prior is not None:
        prediction = prediction.at_prior(prior)
    result = prediction
    if stack.positions is not None:
        flags = coverage_flags(stack, bands=classifier.inputs.band_names)
        result = rank_candidates(catalog_of(stack), prediction, flags=flags)
    if output is not None:
        result.write(output, overwrite=overwrite)
    return result


def run_field(
    xray,
    *,
    exposure=None,
    background=None,
    optical=None,
    bands=None,
    psf_fwhm=None,
    psf=None,
    model='default',
    method='wavelet',
    threshold=None,
    false_alarms=None,
    allow_flux=False,
    prefix=None,
    output=None,
    overwrite=False,
    seed=0,
    quiet=None,
):
    """
    Go from an X-ray image, and optical ones if there are any, to a ranked catalogue.

    Parameters
    ----------
    xray : str or path-like
        The X-ray image.
    exposure, background : str or path-like, optional
        Maps on the same grid.
    optical : str or path-like, optional
        Image of the band ``'optical'``.
    bands : dict of str to str or path-like, optional
        Images of further bands.
    psf_fwhm : `~astropy.units.Quantity`, optional
        Width of the point spread function; that of the mission by default.
    psf : str, path-like or PsfImage, optional
        Its image, in place of the width.
    model : str, path-like or Classifier, optional
        A model, its file, or the name of a shipped one.
    method : {'wavelet', 'segmentation'}, optional
        The finder.
    threshold : float, optional
        Detection threshold in equivalent Gaussian sigma.
    false_alarms : float, optional
        Expected number of spurious sources in the field, instead of a threshold.
    allow_flux : bool, optional
        Whether an image that does not hold counts may be used all the same.
    prefix : str, optional
        What identifiers begin with, such as the name of the field: candidates are PREFIX-1,
        PREFIX-2, ... instead of 1, 2, ..., which every field has.
    output : str or path-like, optional
        Folder to write to.
    overwrite : bool, optional
        Whether files there may be replaced.
    seed : int, optional
        Written to the record; nothing in this chain is random.
    quiet : bool, optional
        Whether to hide progress bars.

    Returns
    -------
    result : FieldResult
        Catalogue, cutouts and record.

    Raises
    ------
    ImageReadError
        If an input cannot be used.
    ImageMismatchError
        If maps do not fit the image.
    ValueError
        If a further band has the name of another input, or files cannot hold the prefix.
    OSError
        If the output cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from astropy.io import fits
    >>> from clustercnn.pipeline import run_field
    >>> from clustercnn.testing import tiny_image
    >>> image = tiny_image()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'image.fits'
    ...     fits.writeto(path, image.counts, image.wcs.to_header())
    ...     result = run_field(path, output=Path(folder) / 'field', quiet=True)
    >>> 'catalog.fits' in result.files, 'p_cluster' in result.catalog
    (True, True)
    """
    started = time.perf_counter()
    clock = provenance.Stopwatch()
    sources = {'xray': xray, 'exposure': exposure, 'background': background, 'optical': optical}
    sources |= {} if psf is None else {'psf': psf}
    for name in bands or ():
        if name in ('xray', 'exposure', 'background') or sources.get(name) is not None:
            msg = f"band '{name}': has an argument of its own; give it once or choose another name"
            raise ValueError(msg)
    sources |= dict(bands or {})
    if output is not None and not str(prefix).isascii():
        msg = (
            f"'prefix' must be plain ASCII text, since catalog.fits holds no other, got {prefix!r}"
        )
        raise ValueError(msg)
    with contextlib.ExitStack() as stack_of_contexts:
        folder = None
        if output is not None:
            folder = stack_of_contexts.enter_context(
                output_folder(output, _FILES, overwrite=overwrite)
            )
        classifier = _load_model(model)
        with clock('read'):
            names = {'xray': xray} | ({'optical': optical} if optical is not None else {})
            images = _read_bands(
                names | dict(bands or {}),
                exposure=exposure,
                background=background,
                allow_flux=allow_flux,
            )
            psf = _psf_image(psf)
        image = images['xray']
        with clock('find'):
            finder = _make_finder(
                method,
                psf_fwhm=psf_fwhm,
                psf=psf,
                threshold=threshold,
                false_alarms=false_alarms,
            )
            with noted(finder_notes := []):
                found = _with_prefix(finder(image), prefix)
        # also where nothing is found: files that others read have their columns all the same
        with clock('cut'):
            progress = None if quiet is None else not quiet
            stack = CutoutMaker()(images, found, progress=progress)
        with clock('classify'):
            prediction = classifier.predict(stack)
            flags = coverage_flags(stack, bands=classifier.inputs.band_names)
            catalog = rank_candidates(found, prediction, flags=flags)
        stack = stack.select(catalog.ids)
        record = provenance.make_record(
            inputs={name: path for name, path in sources.items() if path is not None},
            options={
                'psf_fwhm': None if psf_fwhm is None else str(psf_fwhm),
                'model': str(model),
                'method': method,
                'threshold': threshold,
                'false_alarms': false_alarms,
                'allow_flux': allow_flux,
                'prefix': prefix,
            },
            seed=seed,
            timings=clock.seconds,
            counts=account(image, found, catalog, stack),
            notes=[
                *image.meta.get('notes', ()),
                *([] if psf is None else psf.meta.get('notes', ())),
                *finder_notes,
                *missing_notes(stack, classifier),
            ],
        )
        files = {}
        if folder is not None:
            with clock('write'):
                for name in _CATALOG_FILES:
                    catalog.write(folder / name)
                stack.write(folder / 'cutouts.h5')
                write_report(
                    folder / 'report.html',
                    catalog=catalog,
                    stack=stack,
                    image=image,
                    optical=images.get('optical'),
                    meta=record,
                )
            record['timings'] = clock.seconds
            record['seconds'] = round(time.perf_counter() - started, 3)
            (folder / 'run.json').write_text(json.dumps(record, indent=2) + '\n')
            files = {item.name: Path(output) / item.name for item in sorted(folder.iterdir())}
    return FieldResult(image=image, catalog=catalog, stack=stack, record=record, files=files)
