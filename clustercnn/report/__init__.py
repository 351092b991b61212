# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What people look at: the page of a field, pictures of candidates for volunteers.
"""

from clustercnn.report.page import write_report
from clustercnn.report.subjects import write_subjects

__all__ = ['write_report', 'write_subjects']
