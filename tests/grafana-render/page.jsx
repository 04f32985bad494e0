// SPDX-License-Identifier: MIT
//
// page - the dashboard as one page: rows and panels where the JSON puts them.
// When all is drawn, window.panels tells what each panel had to show.

import { EventBusSrv, ThemeContext, createTheme, dateTime } from "@grafana/data";
import { GlobalStyles, PanelChrome, PanelContextProvider } from "@grafana/ui";
import { Component } from "react";
import { createRoot } from "react-dom/client";

import { interpolate, makeScope, readPanel, readVariables } from "./data.js";
import { PanelBody, canDraw, countSeries } from "./panels.jsx";

const COLUMNS = 24;
const ROW_HEIGHT = 30;
const GAP = 8;
const MARGIN = 16;
const HEADER = 48;

const theme = createTheme({ colors: { mode: "dark" } });
const events = new EventBusSrv();

// The panels in collapsed rows are drawn too, below their row.
function unfold(panels) {
  const flat = [];
  let shift = 0;
  for (const panel of panels) {
    const { gridPos } = panel;
    flat.push({ ...panel, gridPos: { ...gridPos, y: gridPos.y + shift } });
    if (panel.type !== "row" || !panel.collapsed) {
      continue;
    }
    const inner = panel.panels ?? [];
    const top = gridPos.y + 1;
    inner.forEach((child) =>
      flat.push({
        ...child,
        gridPos: { ...child.gridPos, y: child.gridPos.y + shift },
      }),
    );
    const bottom = Math.max(
      top,
      ...inner.map((child) => child.gridPos.y + child.gridPos.h),
    );
    shift += bottom - top;
  }
  return flat;
}

function place({ x, y, w, h }, width) {
  const column = (width - 2 * MARGIN + GAP) / COLUMNS;
  return {
    position: "absolute",
    left: MARGIN + x * column,
    top: HEADER + y * (ROW_HEIGHT + GAP),
    width: w * column - GAP,
    height: h * ROW_HEIGHT + (h - 1) * GAP,
  };
}

class Fence extends Component {
  state = {};
  static getDerivedStateFromError(error) {
    return { error };
  }
  componentDidCatch(error) {
    this.props.report(String(error));
  }
  render() {
    return this.state.error ? String(this.state.error) : this.props.children;
  }
}

function Row({ panel, style }) {
  return (
    <div style={{ ...style, color: theme.colors.text.primary, fontSize: 16 }}>
      <b>⌄ {panel.title}</b>
    </div>
  );
}

function Panel({ shown, style, scope }) {
  const { panel, frames, told } = shown;
  return (
    <div style={style}>
      <PanelChrome
        title={interpolate(panel.title ?? "", scope.values)}
        description={panel.description}
        width={style.width}
        height={style.height}
        padding="md"
      >
        {(width, height) =>
          told.error || (told.series === 0 && panel.type !== "text") ? (
            <div style={{ textAlign: "center", paddingTop: height / 3 }}>
              {told.error ?? "No data"}
            </div>
          ) : (
            <Fence report={(error) => (told.error = error)}>
              <PanelBody
                panel={panel}
                frames={frames}
                scope={scope}
                width={width}
                height={height}
                theme={theme}
              />
            </Fence>
          )
        }
      </PanelChrome>
    </div>
  );
}

async function read(panel, scope) {
  const told = { title: panel.title, type: panel.type, series: 0 };
  let frames = [];
  try {
    if (!canDraw(panel)) {
      throw new Error(`a panel of type "${panel.type}" cannot be drawn here`);
    }
    frames = await readPanel(panel, scope, theme);
    told.series = panel.type === "text" ? 1 : countSeries(panel, frames);
  } catch (error) {
    told.error = String(error);
  }
  return { panel, frames, told };
}

async function main() {
  const minutes = Number(new URLSearchParams(location.search).get("minutes"));
  const to = dateTime();
  const from = dateTime(to.valueOf() - minutes * 60000);
  const range = { from, to, raw: { from, to } };
  const dashboard = await (await fetch("/dashboard.json")).json();
  const width = document.documentElement.clientWidth;
  const scope = makeScope(range, await readVariables(dashboard), width / 2);
  const all = unfold(dashboard.panels);
  const shown = await Promise.all(
    all.filter(({ type }) => type !== "row").map((panel) => read(panel, scope)),
  );

  const bottom = Math.max(...all.map(({ gridPos }) => gridPos.y + gridPos.h));
  const page = {
    background: theme.colors.background.canvas,
    color: theme.colors.text.primary,
    height: HEADER + bottom * (ROW_HEIGHT + GAP) + MARGIN,
    position: "relative",
  };
  createRoot(document.getElementById("root")).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <PanelContextProvider
        value={{ eventsScope: "page", eventBus: events, app: "dashboard" }}
      >
        <div style={page}>
          <h2 style={{ position: "absolute", left: MARGIN, top: 10 }}>
            {dashboard.title}
          </h2>
          {all
            .filter(({ type }) => type === "row")
            .map((panel) => (
              <Row
                key={panel.id}
                panel={panel}
                style={place(panel.gridPos, width)}
              />
            ))}
          {shown.map((each) => (
            <Panel
              key={each.panel.id}
              shown={each}
              scope={scope}
              style={place(each.panel.gridPos, width)}
            />
          ))}
        </div>
      </PanelContextProvider>
    </ThemeContext.Provider>,
  );
  // Effects run after the first paint; a failure is then in "told".
  await new Promise((done) => setTimeout(done, 1000));
  window.panels = shown.map(({ told }) => told);
}

main();
