import type { Draw } from "./draw.js";

/** A value in a JSON text; numbers count all values of the text from its beginning, in order. */
interface Node {
  readonly number: number;
  /** The number of the last value inside it, or its own. */
  readonly last: number;
  readonly kind: "object" | "array" | "plain";
  /** The whole value's text. */
  readonly text: string;
  readonly entries: readonly { readonly key: string; readonly node: Node }[];
}

/** What happens to one value when the text is written again. */
type Edit = (key: string, text: () => string) => readonly { key: string; text: string }[];

const NUMBERS = ["0", "-0", "-1", "1", "2", "0.5", "-1.5", "1e999", "-1e999", "1e308", "1e-400"].concat(
  ["2147483647", "2147483648", "4294967295", "4294967296", "10000000", "10000001", "1e15", "1e20"],
  ["9007199254740991", "9007199254740992", "9007199254740993", "-9007199254740991", "12345678901234567890"],
);
const NO_JSON = [
  "NaN",
  "Infinity",
  "-Infinity",
  "undefined",
  "nul",
  "0x10",
  "01",
  ".5",
  "+1",
  "1.",
  "'a'",
].concat(['"', '"\\x"', '"\\u12"', "", "}", "]", "/**/1", '"a\nb"', '"\u001b[31mred"', "\ufeff1", "\u2028"]);
const NASTY_TEXTS = [
  "",
  "a",
  " ",
  "__proto__",
  "constructor",
  "toString",
  "length",
  "hasOwnProperty",
  "null",
].concat(
  [
    "\u001b[2J\u001b[31mred",
    "\u009b31mred",
    "two\nlines",
    "two\r\nlines",
    "\u0085",
    "\u2028\u2029",
    "\u202eevil",
  ],
  [
    "\0",
    "\ud800",
    "\udc00x",
    "\u{1f600}",
    "0",
    "-1",
    "1e3",
    "NaN",
    "\u007f",
    "\ufeff",
    "%s%n",
    "float32",
    "F32",
  ],
  ["x".repeat(300), "x".repeat(5000), "\u001b".repeat(700), "\\".repeat(600), "é".repeat(900)],
);
const STRUCTURES = [
  "null",
  "true",
  "false",
  "[]",
  "{}",
  "[[]]",
  "[null]",
  "[{}]",
  '{"a":1}',
  "[1.5]",
  "[-1,-1]",
].concat(
  [
    '["1"]',
    '{"toString":1}',
    '{"toString":null,"valueOf":null}',
    '{"__proto__":null}',
    '{"__proto__":{"x":1}}',
  ],
  ['{"length":-1}', '{"length":1e9}', '{"0":1,"length":1}', '{"constructor":{"name":1}}', '{"toJSON":1}'],
  [
    "[0,1000000000000000,1000000000000000]",
    "[9007199254740991,2]",
    "[4294967296,4294967296]",
    "[65536,65536]",
  ],
);
/** Too long to be written out here. */
const LARGE: readonly (() => string)[] = [
  () => "[".repeat(4000) + "]".repeat(4000),
  () => '{"a":'.repeat(4000) + "1" + "}".repeat(4000),
  () => "[".repeat(10_000) + "]".repeat(10_000),
  () => '{"a":'.repeat(10_000) + "1" + "}".repeat(10_000),
  () => "[".repeat(10_000),
  () => `[${"0,".repeat(20_000)}0]`,
  () => `[${Array(40).fill("100000").join(",")}]`,
  () => `[${Array(400).fill("1").join(",")}]`,
  () => JSON.stringify("y".repeat(300_000)),
  () => `{${Array.from({ length: 5000 }, (_, i) => `"k${i}":${i}`).join(",")}}`,
];

/** What most readers that do not look are caught by. */
const SHARP: readonly (() => string)[] = [
  () => '{"toString":1}',
  () => '[{"toString":1},{"toString":1}]',
  () => `"${"z".repeat(3000)}"`,
  () => '"\\u001b[2J\\n\u009b31m\u202e"',
  () => "-1",
  () => "0.5",
  () => "null",
  () => (LARGE[2] as () => string)(),
];

/** Whole numbers in a list. */
function isShape({ kind, text }: Node): boolean {
  return kind === "array" && /^\[\d+(,\d+)*\]$/.test(text);
}

/** A JSON text that is taken apart once and written again and again with other things in it. */
export class JsonMutator {
  readonly #root: Node;
  readonly #nodes: Node[] = [];

  /** @param texts further texts that may take a value's place, e.g. hostile paths */
  constructor(
    text: string,
    readonly texts: readonly string[] = [],
  ) {
    this.#root = this.#take(JSON.parse(text) as unknown);
  }

  #take(value: unknown): Node {
    const number = this.#nodes.length;
    this.#nodes.push(undefined as unknown as Node);
    const isObject = typeof value === "object" && value !== null;
    const entries = isObject
      ? Object.entries(value).map(([key, each]) => ({ key, node: this.#take(each as unknown) }))
      : [];
    const kind = !isObject ? "plain" : Array.isArray(value) ? "array" : "object";
    const last = this.#nodes.length - 1;
    const node = { number, last, kind, text: JSON.stringify(value), entries } as const;
    this.#nodes[number] = node;
    return node;
  }

  /** The text with one to three changes. */
  mutate(draw: Draw): Buffer {
    const edits = new Map<number, Edit>();
    for (let n = draw.once(3) ? 1 + draw.below(2) : 0; n >= 0; n--) {
      const node = draw.once(3) ? draw.pick(this.#nodes) : this.#descend(draw);
      edits.set(node.number, this.#edit(node, draw));
    }
    const written = this.#write({ key: "", node: this.#root }, edits);
    return Buffer.from(written.map(({ text }) => text).join(","));
  }

  /** A value found from above, so that a few settings get their turn beside a thousand tokens. */
  #descend(draw: Draw): Node {
    let node = this.#root;
    while (node.entries.length > 0 && !draw.once(5)) node = draw.pick(node.entries).node;
    return node;
  }

  #edit(node: Node, draw: Draw): Edit {
    const value = this.#hostile(node, draw);
    const other = draw.pick(this.#nodes);
    const name = draw.pick([...NASTY_TEXTS, ...this.texts]);
    return draw.weighted<Edit>([
      [10, () => (key) => [{ key, text: value }]],
      [3, () => () => []],
      [
        2,
        () => (key, text) => [
          { key, text: text() },
          { key, text: text() },
        ],
      ],
      [
        2,
        () => (key, text) => [
          { key, text: text() },
          { key, text: value },
        ],
      ],
      [2, () => (_key, text) => [{ key: name, text: text() }]],
      [2, () => (key) => [{ key, text: this.#write({ key, node: other }, new Map())[0]?.text ?? "0" }]],
    ]);
  }

  #hostile(node: Node, draw: Draw): string {
    if (isShape(node) && draw.once(2)) return this.#near(node, draw);
    return draw.weighted([
      [6, () => draw.pick(NUMBERS)],
      [2, () => draw.pick(NO_JSON)],
      [5, () => JSON.stringify(draw.pick(NASTY_TEXTS))],
      [4, () => draw.pick(STRUCTURES)],
      [5, () => draw.pick(SHARP)()],
      [1, () => (draw.once(2) ? draw.pick(LARGE)() : draw.pick(STRUCTURES))],
      [this.texts.length > 0 ? 5 : 0, () => JSON.stringify(draw.pick(this.texts))],
      [4, () => this.#near(node, draw)],
    ]);
  }

  /** Something like the value itself. */
  #near(node: Node, draw: Draw): string {
    const { kind, text } = node;
    if (isShape(node)) {
      // As many values in another shape.
      const sizes = (JSON.parse(text) as number[]).map(Number);
      const [first = 1, ...rest] = sizes;
      const same = [
        sizes.map((n, axis) => (axis < 2 ? -n : n)),
        [1, ...sizes],
        [...sizes].reverse(),
        [first / 2, 2, ...rest],
        [first * 2, 0.5, ...rest],
      ];
      return JSON.stringify(
        draw.pick([...same, [sizes.reduce((product, n) => product * n, 1)], [0, ...sizes]]),
      );
    }
    if (kind !== "plain") return draw.pick(['"[object Object]"', "[0]", '{"0":0}']);
    if (/^-?\d/.test(text)) {
      const n = Number(text);
      return String(draw.pick([n + 1, n - 1, n * 2, n / 2, -n, n * 10, n + 0.5, `"${n}"`]));
    }
    const inside = text.slice(1, -1);
    return draw.pick([
      `"${inside}x"`,
      `"${inside}${inside}"`,
      `"${inside.slice(1)}"`,
      `"\\u0000${inside}"`,
      `[${text}]`,
    ]);
  }

  #write(
    { key, node }: Node["entries"][number],
    edits: ReadonlyMap<number, Edit>,
  ): readonly { key: string; text: string }[] {
    const text = (): string => {
      let isWhole = true;
      for (const number of edits.keys()) if (number > node.number && number <= node.last) isWhole = false;
      if (isWhole) return node.text;
      const parts = node.entries.flatMap((entry) => this.#write(entry, edits));
      if (node.kind === "array") return `[${parts.map((part) => part.text).join(",")}]`;
      return `{${parts.map((part) => `${JSON.stringify(part.key)}:${part.text}`).join(",")}}`;
    };
    return edits.get(node.number)?.(key, text) ?? [{ key, text: text() }];
  }
}

/** Paths that lead out of a folder, or do so on some system, or are none at all. */
export function hostilePaths(folder: string, name: string): string[] {
  const outside = `${folder}/../outside/${name}`;
  return [`../outside/${name}`, outside, `..\\outside\\${name}`, `sub/../../outside/${name}`].concat(
    [
      `sub/../${name}`,
      `./${name}`,
      `sub/./${name}`,
      `/${name}`,
      `${name}/`,
      `sub//${name}`,
      `//server/share/${name}`,
    ],
    [
      `\\\\server\\share\\${name}`,
      `\\\\?\\C:\\${name}`,
      `C:\\${name}`,
      `C:${name}`,
      `c:/${name}`,
      `${name}:stream`,
    ],
    [
      `../outside/${name}\0.bin`,
      `\0../outside/${name}`,
      ".",
      "..",
      "...",
      "~",
      `~/${name}`,
      "sub",
      `.. /outside/${name}`,
    ],
    [
      `%2e%2e/outside/${name}`,
      `file://${outside}`,
      "/etc/passwd",
      "/dev/zero",
      "CON",
      "nul",
      "aux.bin",
      "sub/NUL",
      "x.",
    ],
    [
      `${"../".repeat(30)}etc/passwd`,
      "n".repeat(255),
      "n".repeat(256),
      `${"s".repeat(255)}/${"n".repeat(255)}`,
      `${"/".repeat(4000)}x`,
    ],
  );
}
