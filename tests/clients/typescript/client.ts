// SPDX-License-Identifier: MIT
// A client whose types are openapi-typescript's: posts one event and several, lists
// them, reads the dead letters, and prints what it was told.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Event = components["schemas"]["Event"];
type Taken = components["schemas"]["Taken"];

const [baseUrl, service] = process.argv.slice(2) as [string, string];
const client = createClient<paths>({ baseUrl });

function event(message: string, timestamp: string | number): Event {
  return { timestamp, service, message, metadata: { from: "typescript", nested: { n: 1 } } };
}

async function post(body: Event | Event[]): Promise<Taken> {
  const { data, error, response } = await client.POST("/events", {
    params: { header: { Prefer: "wait=20" } },
    body,
  });
  if (error !== undefined || response.status !== 201) throw new Error(JSON.stringify(error ?? data));
  return data as Taken;
}

const one = await post(event("one", "2026-11-24T08:24:26.123Z"));
const many = await post([event("two", 1795508667), event("three", 1795508668.5)]);

const { data: page } = await client.GET("/events", {
  params: { query: { service, from: "2026-11-24", to: "2026-11-25", sortOrder: "ASC" } },
});
if (page === undefined) throw new Error("no page");

const { data: letters } = await client.GET("/dlq", { params: { query: { limit: 10 } } });
const first = letters?.events[0];
if (first === undefined) throw new Error("no dead letter");
const { data: letter } = await client.GET("/dlq/{id}", { params: { path: { id: first.id } } });

const { error: missing } = await client.GET("/dlq/{id}", {
  params: { path: { id: "01936b6e-0f5a-4d3e-8a1b-0123456789ab" } },
});

const ids: (string | null)[] = many.event_ids ?? [];
console.log(
  JSON.stringify({
    one: one.event_id,
    many: ids,
    listed: page.items.map((item) => [item.eventId, item.message, item.metadata?.from]),
    dead: [first.eventId, first.sqlState, letter?.originalEvent?.message],
    missing: missing?.errorCode,
  }),
);
