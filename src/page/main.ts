/** The page that `gpt2 serve` shows: a text in which one writes and lets the model go on. */
import { LEVELS, percent } from "../probability-scale.js";
import { showCandidates } from "./candidates.js";
import { Card, visible } from "./card.js";
import { complete, Fault, modelName } from "./completions.js";
import { byId, enable, isEnabled, make } from "./dom.js";
import { Continuation, type Draft, EMPTY, edited, withAlternative } from "./draft.js";
import { Editor } from "./editor.js";
import { History } from "./history.js";
import { fromFragment, type Linked, toFragment } from "./link.js";
import { type Alternative, PieceReader } from "./pieces.js";
import { CANDIDATES, INITIAL, type Settings } from "./settings.js";
import { SettingsForm } from "./settings-form.js";
import { type Candidate, FIRST, keep, type Made, restore, type Step } from "./step.js";

const KEPT = "gpt2-page";
const KEY = "gpt2-key";

/** Something that browsers may forbid: reading and writing what is kept. */
function perhaps<Value>(act: () => Value): Value | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}

const kept = restore(
  perhaps(() => sessionStorage.getItem(KEPT)) ?? perhaps(() => localStorage.getItem(KEPT)) ?? null,
);
const history = new History<Step>(kept?.step ?? FIRST, kept?.past);
const form = new SettingsForm(() => save());
const editor = new Editor(onEdit);
const card = new Card(
  editor,
  () => (isBusy() || history.present.candidates ? undefined : history.present.draft),
  take,
);
const marks = byId<HTMLInputElement>("marks");
const button = {
  go: byId("go"),
  stop: byId("stop"),
  retry: byId("retry"),
  undo: byId("undo"),
  redo: byId("redo"),
  clear: byId("clear"),
  link: byId("link"),
};

/** The calls that run now; undefined: none. */
let running: AbortController | undefined;
/** Settles when they are over. */
let writing = Promise.resolve();
let model = "";
/** What a link's reader should know, said when its text is there. */
let note = "";
let key = perhaps(() => sessionStorage.getItem(KEY)) ?? "";
/** What to do once the server has its key. */
let afterKey: (() => void) | undefined;
let saveTimer: number | undefined;
let isRenderDue = false;

const isBusy = (): boolean => running !== undefined;

// ---------------------------------------------------------------- what is shown

function render(): void {
  const { draft, made, candidates } = history.present;
  editor.show(draft, isBusy() || candidates !== undefined);
  showCandidates(candidates, draft, isBusy(), choose);
  enable(button.go, !isBusy() && candidates === undefined);
  enable(button.stop, isBusy());
  enable(button.retry, !isBusy() && made !== undefined);
  enable(button.undo, !isBusy() && history.canUndo);
  enable(button.redo, !isBusy() && history.canRedo);
  enable(button.clear, !isBusy() && draft.text !== "");
  showPlace();
}

/** At the next frame, however much comes before it. */
function renderSoon(): void {
  if (isRenderDue) return;
  isRenderDue = true;
  requestAnimationFrame(() => {
    isRenderDue = false;
    render();
  });
}

/** The line under the text: the token at the cursor, or what would make the text go on better. */
function showPlace(): void {
  const { draft, candidates } = history.present;
  const here = byId("here");
  const token = isBusy() || candidates ? undefined : draft.tokens[editor.atCursor()];
  if (token !== undefined) {
    const rank = token.alternatives.findIndex(({ text }) => text === token.text);
    const place = ["the likeliest here", "second likeliest here", "third likeliest here"][rank] ?? "";
    here.textContent = `“${visible(token.text)}” ${percent(Math.exp(token.logprob))}${place && `, ${place}`}`;
  } else if (!isBusy() && !candidates && / $/.test(draft.text)) {
    here.textContent = "The text ends in a space. Remove it: the model's words begin with their own.";
  } else here.textContent = "";
}

/** The seed of the text that is shown, in the settings. */
function showSeed(): void {
  const { made } = history.present;
  if (made) form.write({ ...form.settings, seed: made.settings.seed });
}

/** Says something on the page, and to a screen reader. */
function say(text: string, aloud = text): void {
  byId("status").textContent = text;
  byId("said").textContent = aloud;
}

function showFault(message: string): void {
  byId("fault").textContent = message;
}

// ---------------------------------------------------------------- what one does

function onEdit(text: string): void {
  const { present } = history;
  card.close();
  showFault("");
  history.type({ draft: edited(present.draft, text) }, performance.now());
  render();
  save();
}

/** Lets the model go on from the end of the text. */
function go(): void {
  if (isBusy() || history.present.candidates) return;
  const settings = form.need();
  if (settings) run(history.present.draft, settings);
}

/** The same beginning, with the next seed or with the one that was set since. */
function retry(): void {
  const { made } = history.present;
  const settings = form.need();
  if (isBusy() || made === undefined || settings === undefined) return;
  const seed = settings.seed === made.settings.seed ? made.next : settings.seed;
  form.write({ ...settings, seed });
  run(made.before, { ...settings, seed });
}

/** Another token in the place of one, and on from there. */
function take(index: number, alternative: Alternative): void {
  const settings = form.need();
  if (isBusy() || settings === undefined) return;
  const draft = withAlternative(history.present.draft, index, alternative);
  run(draft, settings);
}

function choose(candidate: Candidate): void {
  const { made } = history.present;
  if (isBusy() || made === undefined) return;
  const settings = {
    ...made.settings,
    seed: candidate.seed,
    max_tokens: candidate.length ?? made.settings.max_tokens,
  };
  history.push({ draft: candidate.draft, made: { ...made, settings } });
  showSeed();
  editor.element.focus();
  say(`Taken: seed ${candidate.seed}.`);
  render();
  save();
}

function stop(): void {
  running?.abort();
}

function travel(isBack: boolean): void {
  if (isBusy() || !(isBack ? history.canUndo : history.canRedo)) return;
  card.close();
  showFault("");
  if (isBack) history.undo();
  else history.redo();
  showSeed();
  say(isBack ? "Undone." : "Redone.");
  render();
  save();
}

function clear(): void {
  if (isBusy() || history.present.draft.text === "") return;
  card.close();
  history.push(FIRST);
  editor.element.focus();
  say("Cleared. Undo brings the text back.");
  render();
  save();
}

async function copyLink(): Promise<void> {
  const settings = form.need();
  if (settings === undefined) return;
  const { draft, made, candidates } = history.present;
  const linked: Linked =
    made && !candidates
      ? { prompt: made.before.text, settings: made.settings, model }
      : { prompt: draft.text, settings, model };
  const link = `${location.origin}${location.pathname}${toFragment(linked)}`;
  const line = byId("link-line");
  try {
    await navigator.clipboard.writeText(link);
    line.hidden = true;
    say("Link copied. It makes this text again.");
  } catch {
    line.hidden = false; // the clipboard is for https and this machine only
    const field = byId<HTMLInputElement>("link-text");
    field.value = link;
    field.focus();
    field.select();
    say("Copy the link: it makes this text again.");
  }
}

// ---------------------------------------------------------------- the model writes

/** Asks for one continuation, or for candidates, and shows them as they come, in a step of their own. */
function run(before: Draft, settings: Settings): void {
  writing = write(before, settings);
}

async function write(before: Draft, settings: Settings): Promise<void> {
  const count = form.candidates;
  const seeds = Array.from({ length: count }, (_, i) => settings.seed + i);
  const made: Made = { before, settings, next: settings.seed + count };
  const drafts: Candidate[] = seeds.map((seed) => ({ seed, draft: before }));
  const controller = new AbortController();
  const step = (): Step =>
    count === 1
      ? { draft: drafts[0].draft, made: { ...made, settings: lengthOf(settings, drafts[0]) } }
      : { draft: before, made, candidates: [...drafts] };
  running = controller;
  card.close();
  showFault("");
  say("Writing…");
  history.push(step());
  render();

  const one = async (seed: number, i: number): Promise<Ending> => {
    const continuation = new Continuation(before);
    const reader = new PieceReader();
    let tokens = 0;
    const show = (): void => {
      drafts[i] = { seed, draft: continuation.draft, length: tokens };
      history.replace(step());
      renderSoon();
      saveSoon();
    };
    try {
      const call = { key, signal: controller.signal };
      const { read } = await complete(before.text, { ...settings, seed }, call, ({ text, logprobs }) => {
        tokens += logprobs?.tokens.length ?? 0;
        continuation.push(text, logprobs ? reader.push(logprobs) : []);
        show();
      });
      continuation.push("", reader.end());
      show();
      drafts[i] = { seed, draft: continuation.draft }; // it has the length that was asked for
      history.replace(step());
      return { tokens, read };
    } catch (error) {
      return { tokens, error };
    }
  };
  const endings = await Promise.all(seeds.map(one));
  running = undefined;
  finish(endings, drafts, before, () => run(before, settings));
}

/** How a continuation ended. */
interface Ending {
  readonly tokens: number;
  /** How much of the text before it the model has read; see complete(). */
  readonly read?: number;
  readonly error?: unknown;
}

/** The settings that make a continuation again that was stopped. */
function lengthOf(settings: Settings, { length }: Candidate): Settings {
  return length ? { ...settings, max_tokens: length } : settings;
}

function finish(
  endings: readonly Ending[],
  drafts: readonly Candidate[],
  before: Draft,
  again: () => void,
): void {
  const fault = endings.map(({ error }) => error).find((error) => error instanceof Fault);
  const other = endings.map(({ error }) => error).find((error) => error !== undefined && !isAbort(error));
  const tokens = endings.reduce((sum, ending) => sum + ending.tokens, 0);
  const texts = drafts.map(({ draft }) => draft.text.slice(before.text.length));
  if (texts.every((text) => text === "")) history.drop(); // nothing came: the text is as it was
  const seeds = drafts.map(({ seed }) => seed).join(", ");
  const read = Math.min(...endings.map((ending) => ending.read ?? before.text.length));
  if (read < before.text.length)
    note += ` The model read the last ${read} characters: its context ends there.`;
  const noted = note;
  note = "";
  if (tokens > 0) {
    const choices = drafts.length > 1 ? `${drafts.length} candidates: take one. ` : "";
    const label = drafts.length > 1 ? "seeds" : "seed";
    const aloud =
      drafts.length > 1 ? `${choices}${texts.map((text, i) => `${i + 1}: ${text}`).join(". ")}` : texts[0];
    say(
      `${choices}${tokens} ${tokens === 1 ? "token" : "tokens"}, ${label} ${seeds}. ${noted}`,
      `${noted} ${aloud}`,
    );
  } else say("");
  if (fault !== undefined) {
    showFault(fault.message);
    if (fault.kind === "key") askKey(again);
  } else if (other !== undefined) {
    showFault("The page has a fault of its own. Reload it: your text is kept.");
    console.error(other);
  } else if (tokens > 0 && texts.every((text) => text === "") && !endings.some(({ error }) => error)) {
    showFault("The model ended the text here. Write on, or try again.");
  }
  render();
  save();
}

const isAbort = (error: unknown): boolean => error instanceof DOMException && error.name === "AbortError";

// ---------------------------------------------------------------- the server's key and name

function askKey(then: () => void): void {
  afterKey = then;
  byId("key-form").hidden = false;
  byId("key").focus();
}

async function meet(): Promise<void> {
  try {
    model = await modelName({ key });
    byId("model").textContent = model;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    showFault(error.message);
    if (error.kind === "key") askKey(() => {});
  }
}

async function useKey(): Promise<void> {
  key = byId<HTMLInputElement>("key").value.trim();
  try {
    model = await modelName({ key });
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    showFault(error.kind === "key" ? "That is not this server's key." : error.message);
    return;
  }
  perhaps(() => sessionStorage.setItem(KEY, key));
  byId("model").textContent = model;
  byId("key-form").hidden = true;
  showFault("");
  editor.element.focus();
  afterKey?.();
  afterKey = undefined;
}

// ---------------------------------------------------------------- what is kept

function save(): void {
  window.clearTimeout(saveTimer);
  saveTimer = undefined;
  const text = keep({
    step: history.present,
    past: history.earlier,
    settings: form.settings,
    candidates: form.candidates,
    showsMarks: marks.checked,
  });
  const isKept = [() => sessionStorage.setItem(KEPT, text), () => localStorage.setItem(KEPT, text)].map(
    (act) =>
      perhaps(() => {
        act();
        return true;
      }),
  );
  if (!isKept.some(Boolean))
    showFault("This browser keeps nothing for this page. Copy your text before you leave.");
}

function saveSoon(): void {
  saveTimer ??= window.setTimeout(save, 500);
}

/** Opens what a link says; the text that was here is one Undo away. */
async function openLink(): Promise<void> {
  const linked = fromFragment(location.hash);
  if (linked === undefined) return;
  window.history.replaceState(null, "", location.pathname); // a reload must not open it again over what was written
  stop();
  await writing;
  const hadText = history.present.draft.text !== "";
  history.push({ draft: { ...EMPTY, text: linked.prompt } });
  form.write(linked.settings);
  form.candidates = 1;
  render();
  save();
  await meeting;
  const isOther = linked.model !== "" && model !== "" && linked.model !== model;
  note = [
    isOther ? `The link was made with ${linked.model}; here is ${model}, which writes another text.` : "",
    hadText ? "Undo twice brings your own text back." : "",
  ].join(" ");
  go();
}

// ---------------------------------------------------------------- all together

function press(element: HTMLElement, act: () => void): void {
  element.addEventListener("click", () => {
    if (isEnabled(element)) act();
  });
}

press(button.go, go);
press(button.stop, stop);
press(button.retry, retry);
press(button.undo, () => travel(true));
press(button.redo, () => travel(false));
press(button.clear, clear);
press(button.link, () => void copyLink());
byId("defaults").addEventListener("click", () => {
  form.write({ ...INITIAL });
  form.candidates = 1;
  save();
});
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  void useKey();
});
marks.addEventListener("change", () => {
  document.body.classList.toggle("unmarked", !marks.checked);
  save();
});
document.addEventListener("keydown", (event) => {
  if (event.isComposing) return;
  const isCommand = event.ctrlKey || event.metaKey;
  const inText = event.target === editor.element;
  const candidate = history.present.candidates?.[Number(event.key) - 1];
  if (isCommand && event.key === "Enter") go();
  else if (event.key === "Escape" && isBusy()) stop();
  else if (event.key === "Escape" && card.isOpen) card.close();
  else if (inText && event.altKey && event.key === "ArrowDown") card.openAtCursor();
  else if (inText && isCommand && event.key.toLowerCase() === "z") travel(!event.shiftKey);
  else if (inText && isCommand && event.key.toLowerCase() === "y") travel(false);
  else if (inText && candidate && !isCommand && !event.altKey) choose(candidate);
  else return;
  event.preventDefault();
});
editor.element.addEventListener("beforeinput", (event) => {
  const isBack = event.inputType === "historyUndo";
  if (!isBack && event.inputType !== "historyRedo") return;
  event.preventDefault();
  travel(isBack);
});
document.addEventListener("selectionchange", () => showPlace());
window.addEventListener("pagehide", save);
window.addEventListener("hashchange", () => void openLink());

form.write(kept?.settings ?? INITIAL);
form.candidates = CANDIDATES.find((count) => count === kept?.candidates) ?? 1;
marks.checked = kept?.showsMarks ?? true;
document.body.classList.toggle("unmarked", !marks.checked);
const isWide = window.matchMedia("(min-width: 60rem)").matches; // as in page.css
byId<HTMLDetailsElement>("settings").open = isWide;
if (isWide) editor.element.focus(); // on a phone it would bring up the keyboard over half of the page
for (const [level, { words }] of LEVELS.entries()) {
  byId("levels").append(make("li", {}, make("span", { class: `token level-${level}` }, words)));
}
render();
const meeting = meet();
void openLink();
