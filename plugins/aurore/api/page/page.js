"use strict";
// What the server wrote is brought up to date every few seconds; text is put
// into the page as text alone. Without this script the page shows the figures of
// the moment.
(() => {
  const EVERY_MS = 5000;
  const CHART_EVERY = 12; // of those
  const byId = (id) => document.getElementById(id);
  let turn = 0;

  function show(id, text) {
    const element = byId(id);
    if (element && element.textContent !== text) element.textContent = text;
  }

  const count = (value) => Math.round(value).toLocaleString("en");
  const rate = (value) => Number(value).toFixed(Number(value) < 10 ? 2 : 0);
  const percent = (value) => `${Number(value).toFixed(2)} %`;

  function span(seconds) {
    if (seconds === null || seconds === undefined) return "never";
    const steps = [["d", 86400], ["h", 3600], ["min", 60]];
    for (const [unit, size] of steps)
      if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${unit}`;
    return `${seconds < 10 ? seconds.toFixed(1) : Math.floor(seconds)} s`;
  }

  const ago = (seconds) =>
    seconds === null || seconds === undefined ? "never" : `${span(seconds)} ago`;

  async function ask(path, type) {
    // The address of the page may have the password in it; fetch refuses that.
    const answer = await fetch(location.origin + path, {
      headers: { Accept: type },
      cache: "no-store",
      credentials: "same-origin",
      signal: AbortSignal.timeout(10000),
    });
    // What is critical is told with 503, and has a body all the same.
    if (!answer.ok && answer.status !== 503)
      throw new Error(`status ${answer.status}`);
    return answer;
  }

  const read = async (path) => (await ask(path, "application/json")).json();

  function showVerdict(status) {
    const element = byId("verdict");
    if (element.textContent === status) return;
    element.textContent = status;
    element.className = `verdict ${status}`;
    document.title = `Aurore: ${status}`;
  }

  function showReasons(reasons) {
    const list = byId("reasons");
    const have = [...list.children].map((item) => item.textContent);
    if (have.join("\n") === reasons.join("\n")) return;
    list.replaceChildren(
      ...reasons.map((reason) => {
        const item = document.createElement("li");
        item.textContent = reason;
        return item;
      }),
    );
    byId("why").hidden = reasons.length === 0;
  }

  function showLanes(lanes) {
    const rows = lanes.map((lane) => {
      const error = lane.lastError ? lane.lastError.message : "none";
      const row = document.createElement("tr");
      const cells = [
        String(lane.lane), lane.state, count(lane.waiting),
        span(lane.oldestAgeSeconds), ago(lane.lastStoredSeconds), error,
      ];
      cells.forEach((text, index) => {
        const cell = document.createElement(index === 0 ? "th" : "td");
        if (index === 0) cell.scope = "row";
        if (index === 1 || index === 5) cell.className = "words";
        cell.textContent = text;
        row.append(cell);
      });
      if (lane.lastError) {
        const at = document.createElement("span");
        at.className = "whole";
        at.textContent = `(${lane.lastError.at})`;
        row.lastChild.append(" ", at);
      }
      return row;
    });
    byId("lanes").replaceChildren(...rows);
  }

  function showMetrics(metrics) {
    show("throughput", rate(metrics.metrics.throughput_events_per_second));
    show("drop-rate", percent(metrics.metrics.drop_rate_percent));
    show("accepted", count(metrics.metrics.total_enqueued));
    show("dropped", count(metrics.metrics.total_dropped));
    show("enqueued-ago", ago(metrics.time_since_last_enqueue_seconds));
    show("drained-ago", ago(metrics.time_since_last_drain_seconds));
    show("buffer-size", count(metrics.buffer_size));
    show("buffer-capacity", count(metrics.buffer_capacity));
    show("utilization", percent(metrics.buffer_utilization_percent));
    byId("utilization-meter").value = Number(metrics.buffer_utilization_percent);
    show("uptime", span(metrics.uptime_seconds));
  }

  function showDetailed(detailed) {
    const database = detailed.database;
    const error = database.lastError;
    show("ready", detailed.server.message);
    show("database", database.database);
    show("latency", database.queryLatencyMs === undefined
      ? "none" : `${count(database.queryLatencyMs)} ms`);
    const pool = database.connectionPool;
    show("pool", `${pool.active} / ${pool.idle} / ${pool.waiting}`);
    show("breaker", detailed.circuitBreaker.state);
    show("breaker-failures", count(detailed.circuitBreaker.failureCount));
    show("last-error", error ? error.message : "none");
    show("last-error-at", error ? error.at : "never");
    show("stored", detailed.business ? count(detailed.business.totalEvents) : "unknown");
    show("memory", `${(detailed.memory.rss / 1048576).toFixed(1)} MiB`);
  }

  // --- the last hour -------------------------------------------------------

  // The server draws it; this takes it from there.
  function showHour(text) {
    const drawn = new DOMParser().parseFromString(text, "text/html");
    const fresh = drawn.getElementById("hour");
    fresh.querySelector("details").open = byId("hour-table").open;
    byId("hour").replaceWith(document.adoptNode(fresh));
  }

  // --- every few seconds ---------------------------------------------------

  async function update() {
    try {
      const [detailed, metrics, overview] = await Promise.all(
        ["/health/detailed", "/metrics", "/"].map(read),
      );
      showVerdict(overview.status);
      showReasons(overview.reasons);
      showLanes(overview.lanes);
      show("dead-letters", count(overview.deadLettersPending));
      showMetrics(metrics);
      showDetailed(detailed);
      if (turn++ % CHART_EVERY === 0)
        showHour(await (await ask("/metrics/history", "text/html")).text());
      show("as-of", detailed.timestamp);
      byId("silent").hidden = true;
    } catch (error) {
      show("silent-why", error.message);
      byId("silent").hidden = false;
    }
    setTimeout(update, EVERY_MS);
  }

  byId("live").hidden = false;
  update();
})();
