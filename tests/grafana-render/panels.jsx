// SPDX-License-Identifier: MIT
//
// panels - what Grafana's panels are made of, put together as Grafana does.

import {
  FieldType,
  formattedValueToString,
  getActiveThreshold,
  getDisplayValueAlignmentFactors,
  getFieldDisplayValues,
} from "@grafana/data";
import {
  BarGauge,
  BigValue,
  Table,
  TimeSeries,
  VizRepeater,
} from "@grafana/ui";

const NO_LEGEND = {
  showLegend: false,
  displayMode: "list",
  placement: "bottom",
  calcs: [],
};

function TimeSeriesPanel({ panel, frames, scope, width, height }) {
  const legend = { ...NO_LEGEND, showLegend: true, ...panel.options?.legend };
  return (
    <TimeSeries
      frames={frames}
      timeRange={scope.range}
      timeZone="utc"
      width={width}
      height={height}
      legend={legend}
    />
  );
}

// One figure for each series, side by side.
function Figures({ panel, frames, width, height, theme, sparkline, draw }) {
  const { options = {} } = panel;
  const values = getFieldDisplayValues({
    data: frames,
    fieldConfig: { defaults: {}, overrides: [] },
    reduceOptions: { calcs: ["lastNotNull"], ...options.reduceOptions },
    replaceVariables: (text) => text,
    sparkline,
    theme,
    timeZone: "utc",
  });
  const factors = getDisplayValueAlignmentFactors(values);
  const isWide = width > height * 1.2;
  return (
    <VizRepeater
      width={width}
      height={height}
      source={values}
      itemSpacing={3}
      autoGrid={true}
      orientation={
        options.orientation && options.orientation !== "auto"
          ? options.orientation
          : isWide
            ? "vertical"
            : "horizontal"
      }
      getValues={() => values}
      renderCounter={0}
      renderValue={(item) => draw(item, factors, values.length)}
    />
  );
}

function StatPanel(properties) {
  const { options = {} } = properties.panel;
  const { theme } = properties;
  return (
    <Figures
      {...properties}
      sparkline={options.graphMode !== "none"}
      draw={({ value, width, height }, factors, count) => (
        <BigValue
          value={value.display}
          sparkline={value.sparkline}
          count={count}
          width={width}
          height={height}
          colorMode={options.colorMode ?? "value"}
          graphMode={options.graphMode ?? "area"}
          justifyMode={options.justifyMode ?? "auto"}
          textMode={
            options.textMode && options.textMode !== "auto"
              ? options.textMode
              : count > 1
                ? "value_and_name"
                : "value"
          }
          alignmentFactors={factors}
          theme={theme}
        />
      )}
    />
  );
}

const START = -210; // degrees; the dial is open at the bottom
const SPAN = 240;

// The part of a circle from "from" to "to", each 0 to 1 of the dial.
function arc(from, to, radius) {
  const point = (share) => {
    const angle = ((START + SPAN * share) * Math.PI) / 180;
    return `${radius * Math.cos(angle)} ${radius * Math.sin(angle)}`;
  };
  const large = SPAN * (to - from) > 180 ? 1 : 0;
  return `M ${point(from)} A ${radius} ${radius} 0 ${large} 1 ${point(to)}`;
}

// Grafana's Gauge needs a part of the server's page that is in no package: the
// arcs are drawn here, from the same value, range, thresholds and colours.
function Dial({ value, width, height, theme, title }) {
  const { display, field } = value;
  const { min = 0, max = 100, thresholds } = field;
  const share = (number) =>
    Math.min(Math.max((number - min) / (max - min), 0), 1);
  const ends = [...thresholds.steps.slice(1).map((step) => step.value), max];
  const colour = (number) =>
    theme.visualization.getColorByName(
      getActiveThreshold(number, thresholds.steps).color,
    );
  return (
    <svg width={width} height={height} viewBox="-110 -110 220 175">
      {ends.map((end, i) => {
        const begin = i === 0 ? min : ends[i - 1];
        return (
          <path
            key={end}
            d={arc(share(begin), share(end), 100)}
            stroke={colour(begin)}
            strokeWidth={5}
            fill="none"
          />
        );
      })}
      <path
        d={arc(0, 1, 84)}
        stroke={theme.colors.background.secondary}
        strokeWidth={22}
        fill="none"
      />
      <path
        d={arc(0, share(display.numeric), 84)}
        stroke={display.color}
        strokeWidth={22}
        fill="none"
      />
      <text y={12} fontSize={34} textAnchor="middle" fill={display.color}>
        {formattedValueToString(display)}
      </text>
      <text
        y={58}
        fontSize={16}
        textAnchor="middle"
        fill={theme.colors.text.primary}
      >
        {title}
      </text>
    </svg>
  );
}

function GaugePanel(properties) {
  const { theme } = properties;
  return (
    <Figures
      {...properties}
      sparkline={false}
      draw={({ value, width, height }, _factors, count) => (
        <Dial
          value={value}
          width={width}
          height={height}
          theme={theme}
          title={count > 1 ? value.display.title : ""}
        />
      )}
    />
  );
}

function BarGaugePanel(properties) {
  const { options = {} } = properties.panel;
  const { theme } = properties;
  const orientation = options.orientation ?? "horizontal";
  const panel = { ...properties.panel, options: { ...options, orientation } };
  return (
    <Figures
      {...properties}
      panel={panel}
      sparkline={false}
      draw={({ value, width, height }, factors) => (
        <BarGauge
          value={value.display}
          field={value.field}
          width={width}
          height={height}
          orientation={orientation}
          displayMode={options.displayMode ?? "gradient"}
          showUnfilled={options.showUnfilled ?? true}
          text={options.text}
          display={value.view?.getFieldDisplayProcessor(value.colIndex)}
          alignmentFactors={factors}
          itemSpacing={8}
          lcdCellWidth={12}
          theme={theme}
        />
      )}
    />
  );
}

function TablePanel({ frames, width, height }) {
  return <Table data={frames[0]} width={width} height={height} />;
}

function TextPanel({ panel }) {
  return (
    <div style={{ padding: 8, whiteSpace: "pre-wrap" }}>
      {panel.options?.content}
    </div>
  );
}

const DRAWN = {
  bargauge: BarGaugePanel,
  gauge: GaugePanel,
  stat: StatPanel,
  table: TablePanel,
  text: TextPanel,
  timeseries: TimeSeriesPanel,
};

// The series that have a value to show; of a table its columns.
export function countSeries(panel, frames) {
  const isShown = ({ type, values }) =>
    type === FieldType.number
      ? values.some(Number.isFinite)
      : panel.type === "table" && values.some((value) => value);
  return frames.flatMap(({ fields }) => fields).filter(isShown).length;
}

export function canDraw(panel) {
  return panel.type in DRAWN;
}

export function PanelBody(properties) {
  const Drawn = DRAWN[properties.panel.type];
  return <Drawn {...properties} />;
}
