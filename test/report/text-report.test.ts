/** What no model says can become part of a page; test/page/report.test.ts opens pages in a browser. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { textReport } from "../../dist/src/report/text-report.js";
import type { TokenLogprob } from "../../src/sampling/logprobs.js";

const HOSTILE = '</script><!--<script>"&';

/** A token of some bytes with a likelier one. */
function tokenOf(bytes: Uint8Array): TokenLogprob {
  const token = { id: 1, text: Buffer.from(bytes).toString("utf8"), bytes: [...bytes], logprob: -1 };
  return { ...token, rank: 2, top: [{ ...token, id: 2 }] };
}

test("a page of one hostile token: all of it is text, and the page loads and runs nothing but its own", () => {
  const token = tokenOf(Buffer.from(HOSTILE));
  const pieces = [{ text: HOSTILE, logprob: -1, tokens: [token] }];
  const page = textReport({
    title: HOSTILE,
    summary: HOSTILE,
    texts: [{ heading: HOSTILE, prompt: HOSTILE, pieces }],
  });
  const escaped = "&lt;/script&gt;&lt;!--&lt;script&gt;&quot;&amp;";
  for (const tag of ["title", "h1", "h2"]) assert.ok(page.includes(`<${tag}>${escaped}</${tag}>`), tag);
  assert.ok(
    page.includes(`<span class="prompt">${escaped}</span><span class="token level-1">${escaped}</span>`),
  );
  assert.equal(page.match(/<\/script/g)?.length, 2, "the ends of its own two scripts");
  assert.ok(!page.includes("<!--"));
  const [, data] = /id="data">(.*)<\/script>/.exec(page) ?? [];
  assert.equal(JSON.parse(data)[0][0].text, HOSTILE);
  const hash = "'sha256-[A-Za-z0-9+/]{43}='";
  const policy = new RegExp(
    `content="default-src 'none'; script-src ${hash}; style-src ${hash}; base-uri 'none'; form-action 'none'"`,
  );
  assert.match(page, policy);
});

test("the curve: a bar a piece, as high as its surprise; the mean is that of tokens", () => {
  const [a, b] = [0xc3, 0xa9].map((byte) => tokenOf(Uint8Array.of(byte)));
  const bits = (n: number): number => -n * Math.LN2;
  const page = textReport({
    title: "",
    summary: "",
    texts: [
      {
        pieces: [
          { text: "é", logprob: bits(6), tokens: [a, b] },
          { text: "x", logprob: bits(1.5), tokens: [tokenOf(Buffer.from("x"))] },
        ],
      },
    ],
  });
  assert.ok(page.includes('viewBox="0 0 2 6"'));
  assert.ok(page.includes('<path d="M0 6v-6.00h1V6zM1 6v-1.50h1V6z"/>'));
  assert.ok(page.includes("<figcaption>Surprise, bits a token: 2.50 on average, 6.0 at most</figcaption>"));
  const [, data] = /id="data">(.*)<\/script>/.exec(page) ?? [];
  const [[joined, single]] = JSON.parse(data) as { alternatives: { isText: boolean }[] }[][];
  assert.deepEqual(
    [joined, single].map(({ alternatives }) => alternatives.map(({ isText }) => isText)),
    [[false], [true]],
  );
});
