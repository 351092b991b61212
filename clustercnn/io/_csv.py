# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Tables as spreadsheets write them, cell by cell.
"""

import codecs
import csv
import threading

import numpy as np
from astropy.table import Table

from clustercnn.exceptions import TableReadError

__all__ = ['read_csv']

# what is longer is no cell of a table of votes, but maybe what follows a stray quote
_LONGEST_CELL = 100_000
# every cell of a column takes as much memory as its longest: from which length on that may be too
# much, and how many characters a column of such may hold
_LONG_CELL, _MOST_CHARACTERS = 1000, 100_000_000
# the limit of the module csv is that of all threads
_LIMIT = threading.Lock()


def read_csv(path):
    """
    Read a table of comma-separated values, all of them text.

    Parameters
    ----------
    path : str or path-like
        The file, with a header, in UTF-8 with or without a byte-order mark; bytes that are no
        UTF-8 are read as Latin-1.

    Returns
    -------
    table : `~astropy.table.Table`
        Cells that are missing at the end of a row are empty.

    Raises
    ------
    TableReadError
        If a row has more cells than the header, a quote is not closed, a cell is huge or has a
        NUL character, or a name of a column is there twice, those of unnamed ones included, which
        are called by their number (``column 2``); names row and column, rows counted from 1
        without the header.
    """
    with open(path, 'rb') as stream:
        begin = stream.read(2)
    if begin in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise TableReadError(path, 'is text in UTF-16; save it as UTF-8')
    with _LIMIT:
        before = csv.field_size_limit(1 << 30)
        try:
            with open(path, 'rb') as stream:
                return _table_of(path, csv.reader(map(_decoded, stream), strict=True))
        finally:
            csv.field_size_limit(before)


def _decoded(line):
    try:
        return line.decode('utf-8-sig' if line.startswith(codecs.BOM_UTF8) else 'utf-8')
    except UnicodeDecodeError:
        return line.decode('latin-1')


def _table_of(path, reader):
    header, rows = None, []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = _names_of(path, cells)
                continue
            _check_row(path, header, cells, len(rows) + 1)
            rows.append(cells)
    except csv.Error as error:
        place = 'the header' if header is None else f'row {len(rows) + 1}'
        reason = f'is no CSV from {place} on, which ends in line {reader.line_num} ({error})'
        raise TableReadError(path, f'{reason}; a quote may not be closed') from error
    if header is None:
        raise TableReadError(path, 'has no header; expected names of columns in the first line')
    texts = {}
    for place, name in enumerate(header):
        column = [cells[place] if place < len(cells) else '' for cells in rows]
        _check_size(path, name, column)
        texts[name] = np.array(column, dtype=str if column else 'U1')
    return Table(texts)


def _check_size(path, name, column):
    longest = max(map(len, column), default=0)
    if longest > _LONG_CELL and longest * len(column) > _MOST_CHARACTERS:
        most = max(_LONG_CELL, _MOST_CHARACTERS // len(column))
        number = next(row for row, cell in enumerate(column, start=1) if len(cell) == longest)
        reason = (
            f"row {number} has a cell of {longest} characters in the column '{name}', too many for "
            f'a table of {len(column)} rows; expected at most {most}, shorten it or leave the '
            'column out'
        )
        raise TableReadError(path, reason)


def _names_of(path, cells):
    header = [cell.strip() for cell in cells]
    damaged = [number for number, name in enumerate(header, start=1) if '\x00' in name]
    if damaged:
        reason = f'has a NUL character in the name of column {damaged[0]}'
        raise TableReadError(path, f'{reason}; it is damaged, or text in UTF-16: save it as UTF-8')
    if len(header) == 1 and any(sign in header[0] for sign in ';\t'):
        reason = f'has one column, {header[0]!r}: separate the cells by commas'
        raise TableReadError(path, reason)
    named = [name or f'column {number}' for number, name in enumerate(header, start=1)]
    double = [name for name in named if named.count(name) > 1]
    if double:
        unnamed = '' if header.count(double[0]) > 1 else ', once for a column without a name'
        reason = f"has the column '{double[0]}' more than once{unnamed}; rename one"
        raise TableReadError(path, reason)
    return named


def _check_row(path, header, cells, number):
    if len(cells) > len(header):
        if any(cells[len(header) :]):
            reason = f'row {number} has {len(cells)} cells, the header {len(header)}'
            raise TableReadError(path, reason)
        del cells[len(header) :]
    if max(map(len, cells)) > _LONGEST_CELL:
        place = int(np.argmax([len(cell) for cell in cells]))
        reason = (
            f'row {number} has a cell of {len(cells[place])} characters in the column '
            f"'{header[place]}'; expected at most {_LONGEST_CELL}, a quote may not be closed"
        )
        raise TableReadError(path, reason)
    for place, cell in enumerate(cells):
        if '\x00' in cell:
            reason = f"row {number} has a NUL character in the column '{header[place]}'"
            raise TableReadError(path, f'{reason}; the file is damaged, save it anew')
