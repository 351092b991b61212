# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The rows of a Panoptes export, CSV with JSON in its cells, what may be wrong with them, and the
columns that they become.
"""

import array
import bz2
import codecs
import collections
import csv
import gzip
import hashlib
import json
import typing
import warnings
import zlib
from pathlib import Path

import numpy as np
from astropy.table import Table

from clustercnn._utils.progress import progress as progress_bar
from clustercnn.exceptions import DataQualityWarning, TableReadError

__all__ = ['Rows', 'Votes', 'is_number']

# what no honest row reaches; drawings of hundreds of strokes stay far below
_LARGEST_ROW = 32 * 2**20
# times that a row of several lines is taken to be complete and is not
_MOST_TRIES = 10
# a question is told by its beginning
_QUESTION_LENGTH = 80
# what the handler of bytes that are not UTF-8 is registered as
_LATIN_1 = 'clustercnn.latin-1'
# bytes of a column of texts of fixed width
_LARGEST_COLUMN = 32 * 2**20
_TRUE = frozenset({'true', 't', '1', 'yes'})


class Rows:
    """
    Rows of an export as dictionaries, damaged ones counted instead.

    Parameters
    ----------
    path : str or path-like
        The file.
    needed : tuple of str
        Columns without which it is no such export.
    what : str
        What the rows are, for messages.
    quiet : bool or None
        Whether to hide the progress bar.
    is_whole : callable, optional
        Tells of a row at which the file ends, without a line break, whether it is all there; by
        default it is not.

    Notes
    -----
    Cells may hold line breaks, as CSV allows. Where a quote stays open and the next line is
    a row by itself, the quote is a stray one: what it opened is left out, and counted, and the
    rest of the file is not swallowed.
    """

    def __init__(self, path, needed, *, what, quiet, is_whole=None):
        self.path = Path(path)
        self.needed, self.what, self.quiet = needed, what, quiet
        self.is_whole = is_whole
        self.n_rows = 0
        self.place = 'the header'
        self._n_lines = self.n_recoded = self.first_recoded = 0
        self.dropped, self.dropped_answers = collections.Counter(), collections.Counter()
        self.damaged, self.first_damaged = collections.Counter(), {}

    def __enter__(self):
        try:
            size = self.path.stat().st_size
            self._binary = self.path.open('rb')
        except OSError as error:
            reason = f'cannot be opened: {error.strerror or error}'
            raise TableReadError(self.path, reason) from error
        self._bar = progress_bar(total=size, label='read', quiet=self.quiet, unit='B')
        self._bar.__enter__()
        return self

    def __exit__(self, *exception):
        self._bar.__exit__(*exception)
        self._binary.close()
        if exception[0] is None:
            self._warn()

    def _lines(self):
        """
        Yield decoded lines; bytes that are not UTF-8 are taken for Latin-1, and counted.

        Of a line that is too long only the beginning is given.
        """
        start = self._binary.peek(2)[:2]
        if start in (b'\xff\xfe', b'\xfe\xff'):
            raise TableReadError(self.path, 'is text in UTF-16; save it as CSV in UTF-8')
        opener = {b'\x1f\x8b': gzip.open, b'BZ': bz2.open}.get(start)
        stream = self._binary if opener is None else opener(self._binary)
        seen = 0
        # no more at once than a row may have, so that a file without line breaks is no trap
        while line := stream.readline(_LARGEST_ROW):
            self._n_lines += 1
            if self._n_lines == 1:
                line = line.removeprefix(b'\xef\xbb\xbf')
            place = self._binary.tell()
            self._bar.update(place - seen)
            seen = place
            try:
                text = line.decode('utf-8')
            except UnicodeDecodeError:
                self.n_recoded += 1
                self.first_recoded = self.first_recoded or self._n_lines
                text = line.decode('utf-8', _LATIN_1)
            yield text
            while len(line) >= _LARGEST_ROW and not line.endswith(b'\n'):
                line = stream.readline(_LARGEST_ROW)

    def __iter__(self):
        before = csv.field_size_limit(2 * _LARGEST_ROW + 2)
        try:
            yield from self._records()
        except TableReadError:
            raise
        except (OSError, EOFError, zlib.error) as error:
            # a compressed file that ends early
            self._count_damaged(f'after which the file cannot be read ({error})')
        finally:
            csv.field_size_limit(before)

    def _records(self):
        lines = self._lines()
        header = self._header(lines)
        self.place = 'row 1'
        for line in self._rows(lines, header):
            if line.error:
                self._count_damaged(f'that are no CSV ({line.error})')
            elif len(line.text) >= _LARGEST_ROW:
                column = header[min(len(line.cells), len(header)) - 1]
                size = f'{_LARGEST_ROW >> 20} MB'
                self._count_damaged(f"larger than {size}, which ends in the column '{column}'")
            elif line.is_open:
                self._count_damaged('with a quote that is not closed')
            elif len(line.cells) < len(header):
                self._count_damaged(
                    f'cut short, with {len(line.cells)} of {len(header)} columns or fewer'
                )
            elif any(line.cells[len(header) :]):
                self._count_damaged(f'with more than the {len(header)} columns of the header')
            else:
                named = zip(header, line.cells, strict=False)
                row = {name: cell.strip() for name, cell in named if name}
                if line.text.endswith('\n') or (self.is_whole and self.is_whole(row)):
                    yield row
                else:
                    self._count_damaged('at which the file ends, maybe within a cell')

    def _rows(self, lines, header):
        """
        Yield rows of one line or several, and keep count of them and of their places.
        """
        place = header.index(self.needed[0])
        held, begin, n_tries = [], 0, 0
        for text in lines:
            line = _split(text)
            if held and line.is_row(len(header), place):
                # what came before was opened by a stray quote
                yield self._row(held, begin)
                held = []
            if not held:
                if not text.strip(', \t\r\n'):
                    continue
                begin, length, n_quotes, n_tries = self._n_lines, 0, 0, 0
            held.append(text)
            length, n_quotes = length + len(text), n_quotes + text.count('"')
            if len(held) > 1 and n_quotes % 2 == 0:
                # all quotes that were opened seem to be closed
                line, n_tries = _split(''.join(held)), n_tries + 1
            elif len(held) > 1:
                line = None
            if line is not None and not line.is_open:
                yield self._row(held, begin, line)
                held = []
            elif length >= _LARGEST_ROW or n_tries >= _MOST_TRIES:
                yield self._row(held, begin)
                held = []
        if held:
            yield self._row(held, begin)

    def _row(self, lines, begin, line=None):
        self.n_rows += 1
        more = f' to {begin + len(lines) - 1}' if len(lines) > 1 else ''
        self.place = f'row {self.n_rows} (line {begin}{more})'
        return _split(''.join(lines)) if line is None else line

    def _header(self, lines):
        try:
            header = [name.strip() for name in _split(next(lines, '')).cells]
        except (OSError, EOFError, zlib.error) as error:
            raise TableReadError(self.path, f'is no CSV file: {error}') from error
        missing = [name for name in self.needed if name not in header]
        if missing:
            there = ', '.join(header[:20]) or 'none'
            reason = (
                f'is no Zooniverse export of {self.what}: it lacks the columns '
                f'{", ".join(missing)}; there are {there[:300]}'
            )
            raise TableReadError(self.path, reason)
        double = [name for name, n in collections.Counter(header).items() if n > 1 and name]
        if double:
            raise TableReadError(self.path, f"has the column '{double[0]}' more than once")
        return header

    def json(self, row, column, kind):
        """
        Return what a cell of JSON holds, or None, counted, if it is damaged.
        """
        try:
            value = json.loads(row.get(column) or 'null')
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, kind):
            return value
        expected = {list: 'a list', dict: 'an object'}[kind]
        self._count_damaged(f"whose column '{column}' does not hold {expected} in JSON")
        return None

    def drop(self, reason):
        """
        Count a row that is left out.
        """
        self.dropped[reason] += 1

    def drop_answers(self, reason, number=1):
        """
        Count answers that are left out, beside which there may be others in their row.
        """
        if number:
            self.dropped_answers[reason] += number

    def _count_damaged(self, reason, place=None):
        self.damaged[reason] += 1
        self.first_damaged.setdefault(reason, place or self.place)

    def facts(self):
        """
        Return how many rows there were, and what became of them.
        """
        damaged = {f'rows {reason}': n for reason, n in self.damaged.items()}
        rows = {f'rows {reason}': n for reason, n in self.dropped.items()}
        answers = {f'answers: {reason}': n for reason, n in self.dropped_answers.items()}
        return {
            'path': str(self.path),
            'n_rows': self.n_rows,
            'n_recoded': self.n_recoded,
            'dropped': {**damaged, **rows, **answers},
        }

    def _warn(self):
        if self.n_recoded:
            warnings.warn(
                f'{self.path}: {self.n_recoded} line(s) not all in UTF-8, the rest read as '
                f'Latin-1, the first line {self.first_recoded}',
                DataQualityWarning,
                stacklevel=5,
            )
        for reason, number in self.damaged.items():
            warnings.warn(
                f'{self.path}: {number} row(s) {reason}, the first {self.first_damaged[reason]}',
                DataQualityWarning,
                stacklevel=5,
            )


class _Line(typing.NamedTuple):
    """
    A line or several, its cells, whether the last lacks the quote that closes it, and an error.
    """

    text: str
    cells: list
    is_open: bool
    error: str

    def is_row(self, n_columns, place):
        """
        Return whether this is a row by itself, with its number in its place.
        """
        whole = not self.is_open and len(self.cells) == n_columns
        return whole and is_number(self.cells[place].strip())


def _split(text):
    # an open cell goes on to the end of the text, a closed one never holds its line break
    ended = text if text.endswith('\n') else f'{text}\n'
    try:
        cells = next(csv.reader([ended]), [])
    except csv.Error as error:
        return _Line(text, [], False, str(error))
    return _Line(text, cells, bool(cells) and cells[-1].endswith('\n'), '')


def _as_latin_1(error):
    return error.object[error.start : error.end].decode('latin-1'), error.end


codecs.register_error(_LATIN_1, _as_latin_1)


def is_number(text):
    """
    Return whether a text is a whole number from 0 that 64 bits hold.

    Parameters
    ----------
    text : str
        The text.

    Returns
    -------
    number : bool
        False for superscripts and other digits that are no ASCII.
    """
    return text.isascii() and text.isdigit() and len(text) < 19


class _Names:
    """
    Texts and their numbers, each kept once.
    """

    def __init__(self):
        self.code = {}
        self.column = array.array('q')

    def add(self, text):
        self.column.append(self.code.setdefault(text, len(self.code)))

    def values(self):
        """
        Return the texts, and forget them.

        Of fixed width as is usual, unless that would take too much: names of users are long.
        """
        codes = np.frombuffer(self.column, np.int64) if len(self.column) else np.zeros(0, np.int64)
        texts = np.array([*self.code, ''], dtype=str)
        if texts.itemsize * len(codes) > _LARGEST_COLUMN:
            # each text once, and as many references
            texts = texts.astype(object)
        self.column, self.code = array.array('q'), {}
        return texts[codes]


class Votes:
    """
    The columns of the votes while they are read.
    """

    _TEXTS = ('item', 'annotator', 'workflow_id', 'workflow_version', 'task', 'label', 'created_at')

    def __init__(self, *, hash_names):
        self.hash_names = hash_names
        self.number = array.array('q')
        self.gold = array.array('b')
        self.texts = {name: _Names() for name in (*self._TEXTS, 'expert')}
        self.questions = collections.defaultdict(collections.Counter)

    def add(self, row, item, task, question, label):
        number = row['classification_id']
        self.number.append(int(number) if is_number(number) else -1)
        self.gold.append(row.get('gold_standard', '').lower() in _TRUE)
        annotator = row['user_name']
        if self.hash_names:
            annotator = hashlib.sha256(annotator.encode()).hexdigest()[:16]
        values = {
            'item': item,
            'annotator': annotator,
            'workflow_id': row['workflow_id'],
            'workflow_version': row.get('workflow_version', ''),
            'task': task,
            'label': label,
            'created_at': row.get('created_at', ''),
            'expert': row.get('expert', ''),
        }
        for name, value in values.items():
            self.texts[name].add(value)
        key = f'{row["workflow_id"]} {task}'.strip()
        self.questions[key][question[:_QUESTION_LENGTH]] += 1

    def table(self, rows):
        table = Table()
        table['classification_id'] = np.array(self.number, np.int64)
        for name in self._TEXTS:
            table[name] = self.texts[name].values()
        table['gold'] = np.array(self.gold, np.int8)
        table['expert'] = self.texts['expert'].values()
        table.meta = rows.facts() | {
            'n_answers': len(table),
            'questions': {key: dict(texts) for key, texts in sorted(self.questions.items())},
        }
        return table
