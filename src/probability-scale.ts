/** How likely a token was, as colour and as a line under it: terminals and pages show the same six levels. */

/** Tokens from one probability down to the next. */
export interface Level {
  /** The least probability of the level. */
  readonly from: number;
  /** For a legend. */
  readonly words: string;
  /** What lies behind a token on paper and on a dark page; undefined: nothing. */
  readonly light?: string;
  readonly dark?: string;
  /** Its letters and what lies behind them on a terminal: numbers of xterm's 256 colours. */
  readonly terminal: { readonly ink: number; readonly ground: number };
  /** The line under it, as CSS has it, for those who see no colours or print without; undefined: none. */
  readonly line?: string;
}

/**
 * From expected to surprising. The hues are those of ColorBrewer's YlOrBr, which colour-blind people read too: each level
 * is darker than the one before on paper, lighter on a dark page, so that the order holds in grey. A terminal's are those
 * of a dark page; the first has a ground, too, as nobody knows the terminal's own.
 */
export const LEVELS: readonly Level[] = [
  { from: 0.5, words: "50% or more", terminal: { ink: 253, ground: 234 } },
  {
    from: 0.2,
    words: "20%",
    light: "#fff3c9",
    dark: "#2f2917",
    terminal: { ink: 231, ground: 58 },
    line: "dotted 1px",
  },
  {
    from: 0.05,
    words: "5%",
    light: "#fee29b",
    dark: "#46351a",
    terminal: { ink: 231, ground: 94 },
    line: "dashed 1px",
  },
  {
    from: 0.01,
    words: "1%",
    light: "#fdcb74",
    dark: "#603f1b",
    terminal: { ink: 231, ground: 130 },
    line: "solid 1px",
  },
  {
    from: 0.001,
    words: "0.1%",
    light: "#fbac57",
    dark: "#7c471c",
    terminal: { ink: 16, ground: 172 },
    line: "solid 2.5px",
  },
  {
    from: 0,
    words: "less",
    light: "#f18b46",
    dark: "#9b4d1c",
    terminal: { ink: 16, ground: 214 },
    line: "double 1.5px",
  },
];

/** A style sheet for the classes level-0 to level-5, on paper and on dark pages; --line is the colour of the lines. */
export function levelStyles(): string {
  const classes = (style: (level: Level) => string): string =>
    LEVELS.map((level, i) => `.level-${i}{${style(level)}}`).join("");
  const lines = classes(({ line }) => (line ? `text-decoration:underline ${line} var(--line)` : ""));
  const light = classes((level) => (level.light ? `background:${level.light}` : ""));
  const dark = classes((level) => (level.dark ? `background:${level.dark}` : ""));
  return `${lines}${light}@media (prefers-color-scheme:dark){${dark}}`;
}

/** The number of a probability's level in LEVELS. */
export function levelOf(probability: number): number {
  const level = LEVELS.findIndex(({ from }) => probability >= from);
  return level < 0 ? LEVELS.length - 1 : level;
}

/** A probability in two digits, as one reads it: 34%, 3.4%, 0.34%, under 0.01%. */
export function percent(probability: number): string {
  const share = probability * 100;
  if (share < 0.01) return "under 0.01%";
  if (share >= 99.5) return share > 99.995 ? "100%" : `${floored(share, 1)}%`;
  return `${share.toFixed(share >= 9.95 ? 0 : share >= 0.995 ? 1 : 2)}%`;
}

/** So many decimals, rounded down: 99.97 must not be read as certain. */
function floored(value: number, decimals: number): string {
  const scale = 10 ** decimals;
  return (Math.floor(value * scale) / scale).toFixed(decimals);
}
