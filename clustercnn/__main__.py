# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Lets ``python -m clustercnn`` do what the command does.
"""

import sys

from clustercnn.cli import main

__all__ = []

if __name__ == '__main__':
    sys.exit(main())
