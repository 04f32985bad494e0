// SPDX-License-Identifier: MIT
// What the senders of this folder have in common: each gets the address of the
// server, and on standard input what to log, a JSON object a line: {id, text, n}.
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";

export const server = process.argv[2];

export async function* lines() {
  for await (const line of createInterface({ input: process.stdin })) yield JSON.parse(line);
}

export async function all() {
  const found = [];
  for await (const one of lines()) found.push(one);
  return found;
}

// What an event of our own shape is made of.
export function event({ text, n }) {
  return { timestamp: new Date(), service: "checkout", message: text, metadata: { n } };
}

// Calls post until it gives a status that is final.
export async function repeat(post) {
  for (;;) {
    try {
      const status = await post();
      if (status < 500 && status !== 429) return status;
    } catch {
      // no answer
    }
    await pause(100);
  }
}
