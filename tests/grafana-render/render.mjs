// SPDX-License-Identifier: MIT
//
// render - a picture of the dashboard, drawn with Grafana's own components.
//
//   npm ci
//   node render.mjs --prometheus http://127.0.0.1:9090 \
//     --dashboard ../../grafana/dashboards/aurore-dashboard.json \
//     --output dashboard.png
//
// A dashboard over PostgreSQL has --sql in the place of --prometheus: the address
// to which its queries are posted, as JSON, and which answers with columns and rows
// (tests/integration/test_dashboard.py).
//
// A Grafana server is not needed: page.jsx draws the panels of the dashboard's
// JSON, a small server here hands it out and passes the queries on to Prometheus,
// and Chromium takes the picture. Printed is one line of JSON for each panel. The
// exit status is 1 when a panel failed or has no data.

import { createReadStream, existsSync, readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import * as esbuild from "esbuild";
import { chromium } from "playwright-core";

const here = dirname(fileURLToPath(import.meta.url));
const modules = join(here, "node_modules");

const { values: options } = parseArgs({
  options: {
    prometheus: { type: "string" },
    sql: { type: "string" },
    dashboard: {
      type: "string",
      default: join(here, "../../grafana/dashboards/aurore-dashboard.json"),
    },
    output: { type: "string", default: "dashboard.png" },
    minutes: { type: "string", default: "15" },
    width: { type: "string", default: "1600" },
    chromium: { type: "string", default: "/usr/bin/chromium" },
    "may-be-empty": { type: "string", multiple: true, default: [] },
  },
});
if (!options.prometheus && !options.sql) {
  console.error("render: --prometheus URL or --sql URL is missing");
  process.exit(2);
}

async function bundle() {
  const built = await esbuild.build({
    absWorkingDir: here,
    entryPoints: ["page.jsx"],
    bundle: true,
    write: false,
    outdir: "out",
    format: "iife",
    jsx: "automatic",
    logLevel: "error",
    loader: { ".svg": "dataurl", ".png": "dataurl", ".woff2": "dataurl" },
    define: {
      "process.env.NODE_ENV": '"production"',
      global: "globalThis",
    },
    // The code editor is not drawn, and is as large as all the rest.
    plugins: [
      {
        name: "no-editor",
        setup(build) {
          const name = /^(monaco-editor|react-monaco-editor|@monaco-editor)/;
          build.onResolve({ filter: name }, (found) => ({
            path: found.path,
            namespace: "empty",
          }));
          build.onLoad({ filter: /.*/, namespace: "empty" }, () => ({
            contents: "module.exports = {};",
          }));
        },
      },
    ],
  });
  const text = (end) =>
    built.outputFiles.find((file) => file.path.endsWith(end))?.text ?? "";
  return { script: text(".js"), style: text(".css") };
}

const PAGE = `<!doctype html><html><head><meta charset="utf-8">
<style>html{font-size:14px}body{margin:0}</style>
<link rel="stylesheet" href="/page.css"></head>
<body><div id="root"></div><div id="grafana-portal-container"></div>
<script src="/page.js"></script></body></html>`;

const TYPES = { ".svg": "image/svg+xml", ".woff2": "font/woff2" };

// Icons and fonts lie in the packages.
function sendFile(path, response) {
  const wanted = normalize(path).replace(/^.*\/public\//, "");
  const file = join(modules, "@grafana/ui/dist/public", wanted);
  if (wanted.startsWith("..") || !existsSync(file)) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, { "Content-Type": TYPES[extname(file)] ?? "" });
  createReadStream(file).pipe(response);
}

function passOn(from, target, response) {
  const length = from.headers["content-length"];
  const headers = length === undefined ? {} : { "Content-Length": length };
  const asked = request(target, { method: from.method, headers }, (answer) => {
    response.writeHead(answer.statusCode, {
      "Content-Type": answer.headers["content-type"] ?? "application/json",
    });
    answer.pipe(response);
  });
  asked.on("error", (error) => response.writeHead(502).end(String(error)));
  from.pipe(asked);
}

async function serve(parts) {
  const fixed = {
    "/": ["text/html", PAGE],
    "/page.js": ["text/javascript", parts.script],
    "/page.css": ["text/css", parts.style],
    "/dashboard.json": [
      "application/json",
      readFileSync(options.dashboard, "utf8"),
    ],
  };
  const server = createServer((from, response) => {
    const path = from.url.split("?")[0];
    if (path.startsWith("/prometheus/")) {
      const asked = from.url.slice("/prometheus".length);
      passOn(from, new URL(asked, options.prometheus), response);
    } else if (path === "/sql") {
      passOn(from, new URL(options.sql), response);
    } else if (path in fixed) {
      response.writeHead(200, { "Content-Type": fixed[path][0] });
      response.end(fixed[path][1]);
    } else {
      sendFile(path, response);
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return server;
}

async function draw(url) {
  const browser = await chromium.launch({
    executablePath: options.chromium,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  try {
    const width = Number(options.width);
    const page = await browser.newPage({ viewport: { width, height: 900 } });
    const complaints = [];
    page.on("pageerror", (error) => complaints.push(String(error)));
    await page.goto(`${url}/?minutes=${options.minutes}`);
    await page
      .waitForFunction(() => window.panels !== undefined, { timeout: 240000 })
      .catch(() => {
        throw new Error(`nothing was drawn: ${complaints.join("; ")}`);
      });
    await page.waitForTimeout(1500); // canvases are painted after the layout
    await page.screenshot({ path: options.output, fullPage: true });
    const panels = await page.evaluate(() => window.panels);
    return { panels, complaints };
  } finally {
    await browser.close();
  }
}

const server = await serve(await bundle());
let failed = false;
try {
  const { port } = server.address();
  const { panels, complaints } = await draw(`http://127.0.0.1:${port}`);
  for (const panel of panels) {
    const isEmpty =
      panel.series === 0 && !options["may-be-empty"].includes(panel.title);
    failed ||= panel.error !== undefined || isEmpty;
    console.log(JSON.stringify(panel));
  }
  for (const complaint of complaints) {
    failed = true;
    console.log(JSON.stringify({ complaint }));
  }
  failed ||= panels.length === 0;
} finally {
  server.close();
  server.closeAllConnections();
}
process.exit(failed ? 1 : 0);
