"""What jobs leave behind: logs as a stream, reports as XML. One file a tool, one line in the registry."""

from handlers.ci.logs.junit_xml import ReportRefused, read_report
from handlers.ci.logs.reader import LogReader, read_log

__all__ = ["LogReader", "ReportRefused", "read_log", "read_report"]
