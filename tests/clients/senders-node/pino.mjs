// SPDX-License-Identifier: MIT
// Its output goes through the program pino-http-send.
import pino from "pino";
import { lines } from "./lines.mjs";

const logger = pino({ name: "checkout" });
for await (const { text, n } of lines()) logger.info({ n }, text);
