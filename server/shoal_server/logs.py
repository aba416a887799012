"""How the log is written: lines for people, or JSON objects for programs."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from shoal_server.application.log_context import noted

#: What stands in a JSON line whatever it is about; a field of the same name does not replace it.
_FIXED = ("time", "level", "logger", "message", "exception")


#: What a terminal takes for an order, or a program for the end of a line, and how it is written instead.
_HARMLESS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"} | {
    ord("\r"): "\\r",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}


class WithContext(logging.Filter):
    """Takes down what a line is about where it is written: formatting may happen elsewhere."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.context = noted()
        return True


class TextLines(logging.Formatter):
    """One line, with what it is about in brackets at its end."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        """The line without a traceback."""
        about = " ".join(f"{name}={value}" for name, value in getattr(record, "context", {}).items())
        line = super().formatMessage(record)
        return f"{line} [{about}]" if about else line

    def format(self, record: logging.LogRecord) -> str:
        """The line, and below it, further right, what else belongs to it."""
        # What somebody sent may stand in a message or in an error and must not look like a line of its own.
        return super().format(record).translate(_HARMLESS).replace("\n", "\n  ")


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, what it is about, and an exception."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields: dict[str, Any] = {**getattr(record, "context", {}), **getattr(record, "fields", {})}
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in fields.items() if name not in _FIXED},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # In ASCII: what standard error cannot encode is written in a way that is Python's and not JSON's.
        return json.dumps(line, default=str)


def set_up(level: str, style: str) -> None:
    """Sends the log of the whole process to standard error.

    Args:
        level: the least that is written.
        style: ``text`` or ``json``.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(WithContext())
    handler.setFormatter(JsonLines() if style == "json" else TextLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
