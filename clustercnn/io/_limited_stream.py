# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A file of which no more is read than a machine can bear.
"""

from clustercnn.exceptions import ImageReadError

__all__ = ['BLOCK', 'LimitedStream']

_LARGEST_HEADERS = 64 << 20
_LARGEST_REST = 1 << 30
BLOCK = 2880


class LimitedStream:
    """
    A file to read that ends in an error rather than in all our memory or time.

    It moves only when it is read, so that jumping over data costs nothing until what lies
    behind them is asked for.

    Parameters
    ----------
    path : str or path-like
        The file, for messages.
    raw : file object
        What is read, unpacked.
    size : int or None
        Bytes of it, if that is known.

    Attributes
    ----------
    cut_off : bool
        Whether more was asked for than is allowed.
    """

    mode = 'rb'
    most = 4 << 30

    def __init__(self, path, raw, size):
        self._path = path
        self._raw = raw
        self._size = self.most if size is None else size
        self._limit = self.most if size is None else max(size, self.most)
        self._position = 0
        self._header_bytes = 0
        self.cut_off = False
        self.closed = False

    def read(self, size=-1):
        if size is None or size < 0:
            size = self._limit - self._position
        if size <= BLOCK:
            # headers are read block by block; one without an end would go on for ever
            self._header_bytes += size
            if self._header_bytes > _LARGEST_HEADERS:
                reason = f'its headers pass {_LARGEST_HEADERS >> 20} MiB, expected an END keyword'
                raise ImageReadError(self._path, reason)
        if self._position + size > self._limit:
            # what astropy looks for here is a next header: for us the file ends before it
            self.cut_off = True
            return b''
        self._raw.seek(self._position)
        data = self._raw.read(size)
        self._position += len(data)
        return data

    def seek(self, offset, whence=0):
        start = {0: 0, 1: self._position, 2: self._size}[whence]
        self._position = max(start + offset, 0)
        return self._position

    def tell(self):
        return self._position

    def readable(self):
        return True

    def seekable(self):
        return True

    def writable(self):
        return False

    def flush(self):
        pass

    def close(self):
        self.closed = True

    def drain(self):
        """
        Read on to the end, which is where gzip keeps its checksum.
        """
        stop = self._raw.tell() + _LARGEST_REST
        while self._raw.tell() < stop and self._raw.read(1 << 20):
            pass
