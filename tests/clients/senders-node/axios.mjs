// SPDX-License-Identifier: MIT
import axios from "axios";
import { all, event, repeat, server } from "./lines.mjs";

const events = (await all()).map(event);
const status = await repeat(async () => {
  const options = { validateStatus: () => true };
  return (await axios.post(`${server}/events?once=request`, events, options)).status;
});
if (status !== 202) throw new Error(`status ${status}`);
