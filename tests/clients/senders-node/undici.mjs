// SPDX-License-Identifier: MIT
import { request } from "undici";
import { all, event, repeat, server } from "./lines.mjs";

const body = JSON.stringify((await all()).map(event));
const status = await repeat(async () => {
  const headers = { "content-type": "application/json" };
  const answer = await request(`${server}/events?once=request`, { method: "POST", headers, body });
  await answer.body.text();
  return answer.statusCode;
});
if (status !== 202) throw new Error(`status ${status}`);
