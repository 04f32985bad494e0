// SPDX-License-Identifier: MIT
// It repeats by itself once it is told that POST may be repeated.
import got from "got";
import { all, event, server } from "./lines.mjs";

const json = (await all()).map(event);
const retry = { limit: 30, methods: ["POST"], backoffLimit: 1000 };
await got.post(`${server}/events?once=request`, { json, retry });
