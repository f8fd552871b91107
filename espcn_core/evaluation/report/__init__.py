"""The report of a measurement: one page that needs nothing beside it, and its numbers as CSV and JSON."""

from espcn_core.evaluation.report.write import report

__all__ = ["report"]
