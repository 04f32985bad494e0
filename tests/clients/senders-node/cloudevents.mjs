// SPDX-License-Identifier: MIT
// In the mode that the second argument names.
import { CloudEvent, emitterFor, HTTP, httpTransport, Mode } from "cloudevents";
import { all, repeat, server } from "./lines.mjs";

const mode = process.argv[3];
// What is not ASCII is in the data: in binary mode the package writes the attributes
// into headers as they are.
const made = (await all()).map(
  ({ id, text, n }) =>
    new CloudEvent({ id, source: "checkout", type: "logged", data: { n, text }, extra: 7 }),
);

// The package has no batches for its emitter: they are what it makes of each event.
async function postBatch() {
  const headers = { "content-type": "application/cloudevents-batch+json; charset=utf-8" };
  const body = `[${made.map((one) => HTTP.structured(one).body).join(",")}]`;
  const answer = await fetch(`${server}/events`, { method: "POST", headers, body });
  await answer.text();
  return answer.status;
}

const emit = emitterFor(httpTransport(`${server}/events`), {
  mode: mode === "binary" ? Mode.BINARY : Mode.STRUCTURED,
});

// It tells no status: an answer without an event_id is none.
async function postOne(one) {
  const answer = await emit(one);
  return JSON.parse(answer.body).event_id === undefined ? 503 : 202;
}

if (mode === "batch") {
  const status = await repeat(postBatch);
  if (status !== 202) throw new Error(`status ${status}`);
} else {
  for (const one of made) await repeat(() => postOne(one));
}
