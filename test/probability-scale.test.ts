import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { LEVELS, levelOf, levelStyles, percent } from "../src/probability-scale.js";

/** The relative luminance of #rrggbb, as https://www.w3.org/TR/WCAG22/#dfn-relative-luminance defines it. */
function luminance(hex: string): number {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const share = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

const contrast = (a: string, b: string): number => {
  const [dark, light] = [luminance(a), luminance(b)].sort((one, other) => one - other);
  return (light + 0.05) / (dark + 0.05);
};

/** #rrggbb of xterm's colours 16 to 255: a cube of six steps, and greys. */
function xterm(number: number): string {
  const steps = [0, 95, 135, 175, 215, 255];
  const cube = number - 16;
  const grey = 8 + 10 * (number - 232);
  const rgb =
    number >= 232
      ? [grey, grey, grey]
      : [steps[Math.floor(cube / 36)], steps[Math.floor(cube / 6) % 6], steps[cube % 6]];
  return `#${rgb.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}

describe("the colours of probabilities", () => {
  const themes = {
    light: { ink: "#22211f", paper: "#ffffff" },
    dark: { ink: "#e9e5dd", paper: "#1e1d1a" },
  } as const;
  for (const [theme, { ink, paper }] of Object.entries(themes)) {
    const colours = LEVELS.map((level) => level[theme as keyof typeof themes] ?? paper);
    test(`${theme}: every level can be read, and is told from the next in grey`, () => {
      for (const colour of colours)
        assert.ok(contrast(colour, ink) >= 4.5, `${colour}: ${contrast(colour, ink)}`);
      for (let i = 1; i < colours.length; i++) {
        const step = contrast(colours[i - 1], colours[i]);
        assert.ok(step >= 1.08, `${colours[i - 1]} to ${colours[i]}: ${step}`);
        const isFurther = contrast(colours[i], paper) > contrast(colours[i - 1], paper);
        assert.ok(isFurther, `${colours[i]} is nearer to the paper than ${colours[i - 1]}`);
      }
    });
  }
  test("a terminal: the same of xterm's 256 colours, from dark to light", () => {
    const grounds = LEVELS.map(({ terminal }) => xterm(terminal.ground));
    for (const [i, { terminal }] of LEVELS.entries())
      assert.ok(contrast(xterm(terminal.ink), grounds[i]) >= 4.5, `level ${i}`);
    for (let i = 1; i < grounds.length; i++) {
      assert.ok(luminance(grounds[i]) > luminance(grounds[i - 1]));
      assert.ok(contrast(grounds[i], grounds[i - 1]) >= 1.08, `level ${i}`);
    }
  });
  test("without colours, no two levels have the same line", () => {
    assert.equal(new Set(LEVELS.map(({ line }) => line)).size, LEVELS.length);
  });
  test("a class for each", () => {
    for (let i = 0; i < LEVELS.length; i++) assert.ok(levelStyles().includes(`.level-${i}{`));
  });
});

test("a probability's level", () => {
  const probabilities = [1, 0.5, 0.499, 0.2, 0.05, 0.01, 0.001, 0.0009, 0];
  assert.deepEqual(probabilities.map(levelOf), [0, 0, 1, 1, 2, 3, 4, 5, 5]);
});

test("a probability in two digits, never 100% for what is not certain", () => {
  const probabilities = [1, 0.9999, 0.996, 0.994, 0.3456, 0.0996, 0.034, 0.00999, 0.0034, 0.0001, 0.00009, 0];
  assert.deepEqual(probabilities.map(percent), [
    ...["100%", "99.9%", "99.6%", "99%", "35%", "10%", "3.4%", "1.0%", "0.34%", "0.01%"],
    ...["under 0.01%", "under 0.01%"],
  ]);
});
