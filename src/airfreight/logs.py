"""The log: one line per event on standard error, `key=value`, control characters escaped."""

import logging
import sys

import structlog


def set_up(level: str) -> None:
    """Configure structlog, and the standard library's logging for what others log."""
    number = getattr(logging, level.upper())
    logging.basicConfig(
        stream=sys.stderr, level=max(number, logging.WARNING), format="%(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # a broken form is the client's, and answered
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
