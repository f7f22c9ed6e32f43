import { scaleLinear } from "d3-scale";
import { line } from "d3-shape";
import asciiPlot from "simple-ascii-chart";
import type { Losses } from "./losses.js";

/** The curve's file in a run's folder. */
export const CURVE_FILE = "loss.svg";

type Point = [x: number, y: number];

/** What is drawn: mean losses over up to `most` ranges of steps, and the held-out part's. */
interface Curves {
  readonly loss: readonly Point[];
  readonly average: readonly Point[];
  readonly validation: readonly Point[];
}

/** Thins to one point per range of equal length: its last step, the mean of its values. */
function thin(steps: readonly number[], values: readonly number[], most: number): Point[] {
  const stride = Math.max(1, Math.ceil(steps.length / most));
  const points: Point[] = [];
  for (let start = 0; start < steps.length; start += stride) {
    const part = values.slice(start, start + stride).filter(Number.isFinite);
    if (part.length === 0) continue; // a training that diverged
    const last = Math.min(steps.length, start + stride) - 1;
    points.push([steps[last], part.reduce((sum, value) => sum + value, 0) / part.length]);
  }
  return points;
}

function curvesOf({ steps, losses, averages, validations }: Losses, most: number): Curves {
  const x = validations.map(({ step }) => step);
  const y = validations.map(({ loss }) => loss);
  return {
    loss: thin(steps, losses, most),
    average: thin(steps, averages, most),
    validation: thin(x, y, most),
  };
}

/** The least and the greatest of some numbers, moved apart if they are equal. */
function extent(values: readonly number[]): [number, number] {
  const low = values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const high = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}

/**
 * The loss curve in characters: the training's as a line, the held-out part's as dots.
 * @param columns of the terminal
 * @returns lines, each ending in a newline; "" before there are two steps
 */
export function drawCurve(losses: Losses, columns: number): string {
  const width = Math.max(20, Math.min(columns, 100) - 12);
  const { loss, validation } = curvesOf(losses, width);
  if (loss.length < 2) return "";
  const [low, high] = extent([...loss, ...validation].map(([, y]) => y));
  const y = scaleLinear([low, high], [0, 1]).nice(6);
  const x = extent([...loss, ...validation].map(([step]) => step));
  const chart = asciiPlot([...loss], {
    width,
    height: 12,
    yRange: y.domain() as Point,
    points: validation.map(([px, py]) => ({ x: px, y: py })),
    customYAxisTicks: y.ticks(6),
    customXAxisTicks: scaleLinear(x, [0, 1])
      .ticks(Math.max(2, Math.floor(width / 14)))
      .filter(Number.isInteger),
    formatter: (value, { axis }) => (axis === "y" ? y.tickFormat(6)(value) : String(value)),
  });
  const lines = chart.split("\n").map((row) => row.trimEnd());
  const key = validation.length > 0 ? "━ training  ● validation" : "━ training";
  return `${lines.filter((row) => row !== "").join("\n")}\n  loss by step: ${key}\n`;
}

const XML_NAMES: Readonly<Record<string, string>> = {
  "&": "amp",
  "<": "lt",
  ">": "gt",
  '"': "quot",
  "'": "apos",
};

/** Text for XML: special characters escaped, those that XML 1.0 cannot hold replaced. */
function escapeXml(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  const held = text.replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g, "\ufffd");
  return held.replace(/[&<>"']/g, (character) => `&${XML_NAMES[character]};`);
}

const WIDTH = 800;
const HEIGHT = 450;
const MARGIN = { top: 44, right: 24, bottom: 48, left: 64 };
const COLOURS = { loss: "#b8cbe0", average: "#2b6cb0", validation: "#c05621" };

/** The loss curve as a standalone SVG file: each step's loss, its moving average, and the held-out part's loss. */
export function svgCurve(title: string, losses: Losses): string {
  const { loss, average, validation } = curvesOf(losses, 1000);
  const all = [...loss, ...validation];
  const x = scaleLinear(all.length > 0 ? extent(all.map(([step]) => step)) : [0, 1], [
    MARGIN.left,
    WIDTH - MARGIN.right,
  ]);
  const y = scaleLinear(all.length > 0 ? extent(all.map(([, value]) => value)) : [0, 1], [
    HEIGHT - MARGIN.bottom,
    MARGIN.top,
  ]).nice(6);
  const path = line<Point>(
    ([step]) => x(step),
    ([, value]) => y(value),
  ).digits(1);
  const draw = (points: readonly Point[], colour: string, width: number): string =>
    points.length > 1
      ? `<path d="${path(points)}" fill="none" stroke="${colour}" stroke-width="${width}" stroke-linejoin="round"/>`
      : "";
  const at = (n: number): string => String(Math.round(n * 10) / 10);
  const text = (tx: number, ty: number, anchor: string, content: string, more = ""): string =>
    `<text x="${at(tx)}" y="${at(ty)}" text-anchor="${anchor}"${more}>${escapeXml(content)}</text>`;
  const rows = y
    .ticks(6)
    .flatMap((value) => [
      `<line x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${at(y(value))}" y2="${at(y(value))}" stroke="#e2e8f0"/>`,
      text(MARGIN.left - 8, y(value) + 4, "end", y.tickFormat(6)(value)),
    ]);
  const bottom = HEIGHT - MARGIN.bottom;
  const columns = x
    .ticks(8)
    .filter(Number.isInteger)
    .flatMap((step) => [
      `<line x1="${at(x(step))}" x2="${at(x(step))}" y1="${bottom}" y2="${bottom + 5}" stroke="#4a5568"/>`,
      text(x(step), bottom + 20, "middle", x.tickFormat(8)(step)),
    ]);
  const legend = [
    ["training", COLOURS.loss],
    ["moving average", COLOURS.average],
    ...(validation.length > 0 ? [["validation", COLOURS.validation]] : []),
  ].flatMap(([name, colour], i) => {
    const left = WIDTH - MARGIN.right - 130;
    const top = MARGIN.top + 8 + 18 * i;
    return [
      `<line x1="${left}" x2="${left + 22}" y1="${top}" y2="${top}" stroke="${colour}" stroke-width="3"/>`,
      text(left + 28, top + 4, "start", name),
    ];
  });
  return `${[
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="sans-serif" font-size="12" fill="#2d3748">`,
    `<title>${escapeXml(title)}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    text(WIDTH / 2, 26, "middle", title, ' font-size="16"'),
    ...rows,
    ...columns,
    `<line x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${bottom}" y2="${bottom}" stroke="#4a5568"/>`,
    text((MARGIN.left + WIDTH - MARGIN.right) / 2, HEIGHT - 10, "middle", "step"),
    `<text x="16" y="${HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 16 ${HEIGHT / 2})">loss (nats a token)</text>`,
    draw(loss, COLOURS.loss, 1),
    draw(average, COLOURS.average, 2),
    draw(validation, COLOURS.validation, 2),
    ...validation.map(
      ([step, value]) =>
        `<circle cx="${at(x(step))}" cy="${at(y(value))}" r="3" fill="${COLOURS.validation}"/>`,
    ),
    ...legend,
    "</svg>",
  ]
    .filter((part) => part !== "")
    .join("\n")}\n`;
}
