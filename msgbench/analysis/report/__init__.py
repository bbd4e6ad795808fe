"""The report: a folder of pages that open from disk, without network, complete without scripts and better with them.

Everything the pages link to lies below the same results folder, linked relatively, so that the folder can be zipped,
moved and opened elsewhere. A page is data first (index.py, run_pages.py, dataset_pages.py, further_pages.py);
templates/ lays it out and escapes every text.
"""

from msgbench.analysis.report.archive import zip_results
from msgbench.analysis.report.write import make_report

__all__ = ["make_report", "zip_results"]
