# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What a run says of itself: counts in and out, and which bands were missing.
"""

import contextlib
import threading
import warnings

import numpy as np

from clustercnn.exceptions import DataQualityWarning

__all__ = ['absent_notes', 'account', 'missing_notes', 'noted', 'unknown_notes']

_NOTING = threading.RLock()


def account(image, found, catalog, stack):
    """
    Count what went in and came out, and why anything was lost.
    """
    return {
        'pixels': int(image.counts.size),
        'pixels_masked': int(image.mask.sum()),
        'pixels_exposed': int(image.valid.sum()),
        'counts_in_image': round(image.n_counts),
        'found': len(found),
        'cut_out': len(stack),
        'classified': len(catalog),
        'p_cluster_above_0.5': int((np.asarray(catalog['p_cluster']) > 0.5).sum()),
        'without_optical': int(catalog.flagged('NO_OPTICAL').sum()),
        'dropped': dict(found.meta.get('dropped', {})),
    }


def missing_notes(stack, classifier):
    """
    Say in words which bands the model knows and this field lacks, and the reverse.
    """
    notes = [
        f"band '{name}' is not there: the model judged without it"
        for name in classifier.inputs.band_names
        if name not in stack.bands
    ]
    return [*notes, *absent_notes(stack), *unknown_notes(stack, classifier)]


def unknown_notes(stack, classifier):
    """
    Say in words which bands of a stack the model does not look at.
    """
    known = classifier.inputs.band_names
    return [
        f"band '{name}' was cut out but the model does not know it; it knows {', '.join(known)}"
        for name in stack.bands
        if name not in known
    ]


def absent_notes(stack):
    """
    Say in words which bands of a stack show nothing.
    """
    return [
        f"band '{name}' has no pixel at any candidate: is it an image of this field?"
        for name, band in stack.bands.items()
        if len(stack) and not (band.coverage > 0).any()
    ]


@contextlib.contextmanager
def noted(notes):
    """
    Keep the text of warnings of data, besides giving them.
    """
    caught = []
    # what is done with warnings is done for the whole process, hence one at a time
    with _NOTING:
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter('always', DataQualityWarning)
                yield
        finally:
            for warning in caught:
                text = str(warning.message)
                if issubclass(warning.category, DataQualityWarning) and text not in notes:
                    notes.append(text)
                where = warning.filename, warning.lineno
                warnings.warn_explicit(warning.message, warning.category, *where)
