// SPDX-License-Identifier: MIT
// Its transport repeats nothing; an event with a timestamp of its own.
import winston from "winston";
import { all, server } from "./lines.mjs";

const { hostname: host, port } = new URL(server);
const path = "/events?lenient=true&accepted_status=200&once=request";
const logger = winston.createLogger({
  defaultMeta: { service: "checkout" },
  format: winston.format.combine(winston.format.timestamp(), winston.format.json()),
  transports: [new winston.transports.Http({ host, port, path })],
});
for (const { text, n } of await all()) logger.info(text, { n });
logger.end();
