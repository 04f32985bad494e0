// SPDX-License-Identifier: MIT
//
// data - what a panel shows: its queries, with the dashboard's variables put in,
// asked of Prometheus, or of PostgreSQL through whoever started this, as Grafana's
// data frames with the panel's field options.

import {
  FieldType,
  applyFieldOverrides,
  createDataFrame,
  getFieldMatcher,
  standardTransformers,
  standardTransformersRegistry,
  transformDataFrame,
} from "@grafana/data";
import { firstValueFrom } from "rxjs";

standardTransformersRegistry.setInit(() =>
  [...new Set(Object.values(standardTransformers))].map((transformation) => ({
    id: transformation.id,
    name: transformation.name,
    transformation,
    editor: null,
  })),
);

const SCRAPE_INTERVAL_S = 15;

async function ask(path, parameters) {
  const query = new URLSearchParams(parameters);
  const response = await fetch(`/prometheus/api/v1/${path}?${query}`);
  const answer = await response.json();
  if (answer.status !== "success") {
    throw new Error(answer.error ?? response.statusText);
  }
  return answer.data;
}

// As Grafana does: at least four scrapes, else one step and a scrape.
function rateInterval(step) {
  return Math.max(step + SCRAPE_INTERVAL_S, 4 * SCRAPE_INTERVAL_S);
}

export function makeScope(range, variables, width) {
  const seconds = (range.to.valueOf() - range.from.valueOf()) / 1000;
  const step = Math.max(Math.ceil(seconds / (width / 2)), SCRAPE_INTERVAL_S);
  return {
    range,
    step,
    values: {
      ...variables,
      __interval: `${step}s`,
      __rate_interval: `${rateInterval(step)}s`,
      __range: `${seconds}s`,
      __range_s: String(seconds),
    },
  };
}

export function interpolate(text, values) {
  return text.replace(
    /\$\{(\w+)(?::\w+)?\}|\$(\w+)/g,
    (whole, braced, plain) => values[braced ?? plain] ?? whole,
  );
}

// A variable shows "All": every value, as a regular expression.
export async function readVariables(dashboard) {
  const values = {};
  for (const variable of dashboard.templating?.list ?? []) {
    if (variable.type === "query") {
      values[variable.name] = ".+";
    } else if (variable.type === "datasource") {
      values[variable.name] = "prometheus";
    } else {
      values[variable.name] = String(variable.current?.value ?? "");
    }
  }
  return values;
}

function legend(target, labels) {
  if (target.legendFormat && target.legendFormat !== "__auto") {
    return target.legendFormat.replace(
      /\{\{\s*(\w+)\s*\}\}/g,
      (_, name) => labels[name] ?? "",
    );
  }
  const { __name__: name = "", ...others } = labels;
  const pairs = Object.entries(others).map(([key, value]) => `${key}="${value}"`);
  return pairs.length > 0 ? `${name}{${pairs.join(", ")}}` : name || target.expr;
}

function seriesFrame(target, labels, points) {
  return createDataFrame({
    refId: target.refId,
    name: legend(target, labels),
    fields: [
      {
        name: "Time",
        type: FieldType.time,
        values: points.map(([time]) => time * 1000),
      },
      {
        name: "Value",
        type: FieldType.number,
        labels,
        values: points.map(([, value]) => Number(value)),
        config: { displayNameFromDS: legend(target, labels) },
      },
    ],
  });
}

// Grafana's data source numbers the values when a panel asks for several tables.
function tableFrame(target, result, several) {
  const names = [
    ...new Set(result.flatMap(({ metric }) => Object.keys(metric))),
  ].sort();
  return createDataFrame({
    refId: target.refId,
    fields: [
      {
        name: "Time",
        type: FieldType.time,
        values: result.map(({ value }) => value[0] * 1000),
      },
      ...names.map((name) => ({
        name,
        type: FieldType.string,
        values: result.map(({ metric }) => metric[name] ?? ""),
      })),
      {
        name: several ? `Value #${target.refId}` : "Value",
        type: FieldType.number,
        values: result.map(({ value }) => Number(value[1])),
      },
    ],
  });
}

// Gaps stay gaps: Prometheus leaves steps without a value out.
function withGaps(points, scope) {
  const filled = [];
  for (const point of points) {
    const last = filled.at(-1);
    if (last && point[0] - last[0] > 2 * scope.step) {
      filled.push([last[0] + scope.step, NaN]);
    }
    filled.push(point);
  }
  return filled;
}

const SQL_TYPES = {
  number: FieldType.number,
  text: FieldType.string,
  time: FieldType.time,
};

function sqlFrame(target, columns, rows) {
  return createDataFrame({
    refId: target.refId,
    fields: columns.map(({ name, type }, i) => ({
      name,
      type: SQL_TYPES[type],
      values: rows.map((row) => row[i]),
    })),
  });
}

// A series for each value of the column of text, or for each column of numbers.
function sqlSeries(target, columns, rows) {
  const [time] = columns.keys();
  const label = columns.findIndex(({ type }) => type === "text");
  const frames = [];
  columns.forEach(({ name, type }, i) => {
    if (type !== "number") return;
    const lines = Map.groupBy(rows, (row) => (label < 0 ? name : row[label]));
    for (const [title, points] of lines) {
      const given = points.map((row) => [row[time] / 1000, row[i]]);
      frames.push(seriesFrame({ ...target, legendFormat: title }, {}, given));
    }
  });
  return frames;
}

async function readSql(target, scope) {
  const asked = {
    sql: target.rawSql,
    from: scope.range.from.valueOf(),
    to: scope.range.to.valueOf(),
    step: scope.step,
  };
  const body = JSON.stringify(asked);
  const response = await fetch("/sql", { method: "POST", body });
  const { error, columns, rows } = await response.json();
  if (error) {
    throw new Error(error);
  }
  return target.format === "time_series"
    ? sqlSeries(target, columns, rows)
    : [sqlFrame(target, columns, rows)];
}

async function readTarget(target, scope, several) {
  if (target.rawSql !== undefined) {
    return readSql(target, scope);
  }
  const query = interpolate(target.expr, scope.values);
  const to = scope.range.to.valueOf() / 1000;
  if (target.instant) {
    const { resultType, result } = await ask("query", { query, time: to });
    const rows =
      resultType === "scalar" ? [{ metric: {}, value: result }] : result;
    if (target.format === "table") {
      return rows.length > 0 ? [tableFrame(target, rows, several)] : [];
    }
    return rows.map(({ metric, value }) => seriesFrame(target, metric, [value]));
  }
  const { result } = await ask("query_range", {
    query,
    start: scope.range.from.valueOf() / 1000,
    end: to,
    step: scope.step,
  });
  return result.map(({ metric, values }) =>
    seriesFrame(target, metric, withGaps(values, scope)),
  );
}

function setProperty(config, id, value) {
  const path = id.split(".");
  const last = path.pop();
  let place = config;
  for (const part of path) {
    place[part] = { ...place[part] };
    place = place[part];
  }
  place[last] = value;
}

// As Grafana has it for a panel that sets none.
const NO_THRESHOLDS = { mode: "absolute", steps: [{ color: "green" }] };

// JSON has no minus infinity: the first step has the value null.
function setThresholds(config) {
  const { mode, steps } = config.thresholds ?? NO_THRESHOLDS;
  config.thresholds = {
    mode,
    steps: steps.map((step) => ({ ...step, value: step.value ?? -Infinity })),
  };
}

// The defaults of the panel, then its overrides.
function setOptions(frames, fieldConfig) {
  const rules = (fieldConfig?.overrides ?? []).map(({ matcher, properties }) => ({
    matches: getFieldMatcher(matcher),
    properties,
  }));
  for (const frame of frames) {
    for (const field of frame.fields) {
      const defaults = structuredClone(fieldConfig?.defaults ?? {});
      field.config = { ...defaults, ...field.config };
      for (const { matches, properties } of rules) {
        if (matches(field, frame, frames)) {
          properties.forEach(({ id, value }) =>
            setProperty(field.config, id, value),
          );
        }
      }
      setThresholds(field.config);
    }
  }
}

export async function readPanel(panel, scope, theme) {
  const targets = (panel.targets ?? []).filter((target) => !target.hide);
  const answers = await Promise.all(
    targets.map((target) => readTarget(target, scope, targets.length > 1)),
  );
  const series = answers.flat();
  const transformations = panel.transformations ?? [];
  const frames =
    transformations.length > 0
      ? await firstValueFrom(transformDataFrame(transformations, series))
      : series;
  setOptions(frames, panel.fieldConfig);
  return applyFieldOverrides({
    data: frames,
    fieldConfig: { defaults: {}, overrides: [] },
    replaceVariables: (text) => interpolate(text, scope.values),
    theme,
    timeZone: "utc",
  });
}
