/** One line of a chart. */
export interface Series {
  name: string;
  /** Both greater than 0: the axes are logarithmic. */
  points: readonly { x: number; y: number }[];
}

/** One diagram of a chart. */
export interface Panel {
  title: string;
  series: readonly Series[];
}

const PANEL = { width: 400, height: 260 };
const MARGIN = { left: 56, right: 20, top: 44, bottom: 40 };
const LEGEND_HEIGHT = 28;
/** A letter of the legend, on average, in a wide font. */
const LETTER_WIDTH = 7.5;
/** Of the lines, on white and on black: told apart by those who see few colours too, and by their marks. */
const COLORS = [
  { light: "#0b62d6", dark: "#6cb0ff" },
  { light: "#c2410c", dark: "#ff9b63" },
  { light: "#15803d", dark: "#5fd38a" },
  { light: "#7e22ce", dark: "#c99bff" },
];

/**
 * Draws panels side by side as SVG, for light and dark pages. All series of a chart have the same names in the same order,
 * at most as many as there are colours.
 *
 * @param x what the horizontal axis counts
 */
export function chart(x: string, panels: readonly Panel[]): string {
  const width = panels.length * PANEL.width;
  const height = PANEL.height + LEGEND_HEIGHT;
  const names = panels[0]?.series.map(({ name }) => name) ?? [];
  const title = panels.map((panel) => panel.title).join("; ");
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `<title>${escaped(title)}, by ${escaped(x)}</title>`,
    `<style>${styles()}</style>`,
    `<rect class="page" width="${width}" height="${height}"/>`,
    ...panels.map((panel, position) => drawPanel(panel, position * PANEL.width, x)),
    ...drawLegend(names),
    "</svg>",
  ].join("\n")}\n`;
}

function drawPanel({ title, series }: Panel, left: number, x: string): string {
  const points = series.flatMap((one) => one.points);
  const toX = scale(
    points.map((point) => point.x),
    MARGIN.left,
    PANEL.width - MARGIN.right,
  );
  const toY = scale(
    points.map((point) => point.y),
    PANEL.height - MARGIN.bottom,
    MARGIN.top,
  );
  const bottom = PANEL.height - MARGIN.bottom;
  return [
    `<g transform="translate(${left} 0)">`,
    text(title, MARGIN.left, 24, "title"),
    ...toY.ticks.flatMap((tick) => [
      `<path class="grid" d="M${MARGIN.left} ${toY.at(tick)}H${PANEL.width - MARGIN.right}"/>`,
      text(short(tick), MARGIN.left - 6, toY.at(tick) + 4, "end"),
    ]),
    ...toX.ticks.map((tick) => text(short(tick), toX.at(tick), bottom + 16, "middle")),
    text(x, (MARGIN.left + PANEL.width - MARGIN.right) / 2, bottom + 32, "middle"),
    ...series.map((one, color) => {
      const places = one.points.map((point) => [toX.at(point.x), toY.at(point.y)] as const);
      const line = places.map(([px, py]) => `${px} ${py}`).join("L");
      return `<path class="line c${color}" d="M${line}"/>${places.map((place) => mark(color, ...place)).join("")}`;
    }),
    "</g>",
  ].join("\n");
}

function drawLegend(names: readonly string[]): string[] {
  const middle = PANEL.height + LEGEND_HEIGHT / 2;
  let left = MARGIN.left;
  return names.map((name, position) => {
    const here = left;
    left += name.length * LETTER_WIDTH + 40;
    return `${mark(position, here, middle - 4)}${text(name, here + 10, middle, "start")}`;
  });
}

/** Each line has a mark of its own form: a circle, a square, a diamond, a triangle. */
function mark(color: number, x: number, y: number): string {
  const forms = [
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0",
    "M-3.5-3.5h7v7h-7z",
    "M0-5L5 0L0 5L-5 0z",
    "M0-5L4.5 4h-9z",
  ];
  return `<path class="mark c${color}" transform="translate(${x} ${y})" d="${forms[color % forms.length]}"/>`;
}

/** Logarithmic, over whole powers of ten; these are the ticks, with some between them when they are few. */
function scale(values: readonly number[], from: number, to: number) {
  const first = Math.floor(Math.log10(Math.min(...values)));
  const last = Math.max(first + 1, Math.ceil(Math.log10(Math.max(...values))));
  const powers = Array.from({ length: last - first + 1 }, (_, position) => 10 ** (first + position));
  const between = last - first > 1 ? [] : [2 * 10 ** first, 5 * 10 ** first];
  return {
    at: (value: number) =>
      Math.round((from + ((Math.log10(value) - first) / (last - first)) * (to - from)) * 10) / 10,
    ticks: [...powers, ...between],
  };
}

function short(value: number): string {
  return value >= 1e6 ? `${value / 1e6}M` : value >= 1e3 ? `${value / 1e3}k` : String(value);
}

function text(content: string, x: number, y: number, kind: string): string {
  return `<text class="${kind}" x="${x}" y="${y}">${escaped(content)}</text>`;
}

function styles(): string {
  const colors = (page: "light" | "dark") =>
    COLORS.map((color, position) => `.c${position}{--c:${color[page]}}`).join("");
  return (
    "text{font:12px system-ui,sans-serif;fill:#333}.title{font-size:14px;font-weight:600}.end{text-anchor:end}" +
    ".middle{text-anchor:middle}.grid{stroke:#ddd}.page{fill:#fff}.line{fill:none;stroke:var(--c);stroke-width:2}" +
    `.mark{fill:var(--c)}${colors("light")}@media(prefers-color-scheme:dark){text{fill:#ddd}.grid{stroke:#3a3a3a}` +
    `.page{fill:#111}${colors("dark")}}`
  );
}

function escaped(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
