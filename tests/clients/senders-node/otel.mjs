// SPDX-License-Identifier: MIT
// The batch processor of the SDK, and the exporter that the second argument names.
import { SeverityNumber } from "@opentelemetry/api-logs";
import { OTLPLogExporter as Json } from "@opentelemetry/exporter-logs-otlp-http";
import { OTLPLogExporter as Proto } from "@opentelemetry/exporter-logs-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";
import { lines, server } from "./lines.mjs";

const exporters = { json: Json, proto: Proto };
const exporter = new exporters[process.argv[3]]({ url: `${server}/v1/logs` });
const provider = new LoggerProvider({
  resource: resourceFromAttributes({ "service.name": "checkout" }),
  processors: [new BatchLogRecordProcessor({ exporter })],
});
const logger = provider.getLogger("test");
for await (const { text, n } of lines()) {
  logger.emit({
    body: text,
    severityNumber: SeverityNumber.INFO,
    severityText: "INFO",
    attributes: { n, ratio: 0.5, list: ["a", "b"] },
  });
}
await provider.shutdown();
