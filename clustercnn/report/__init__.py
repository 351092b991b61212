# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The report of one field: a single page that needs nothing but a browser.
"""

from clustercnn.report.page import write_report

__all__ = ['write_report']
