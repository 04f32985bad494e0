# SPDX-License-Identifier: MIT
"""The batch processor of OpenTelemetry's SDK: each line of standard input is logged,
as the variables OTEL_* say."""

import json
import logging
import sys

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

provider = LoggerProvider()
provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
logger = logging.getLogger("test")
logger.setLevel(logging.INFO)
logger.addHandler(LoggingHandler(logger_provider=provider))
logger.propagate = False
for line in sys.stdin:
    one = json.loads(line)
    logger.info(one["text"], extra={"n": one["n"], "ratio": 0.5, "list": ["a", "b"]})
provider.shutdown()
