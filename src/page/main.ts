/** The page of `gpt2 serve`: you write a text, and the model continues it. */
import { LEVELS, percent } from "../probability-scale.js";
import { showCandidates } from "./candidates.js";
import { Card } from "./card.js";
import { Fault } from "./completions.js";
import { Connection } from "./connection.js";
import { byId, enable, isEnabled, make } from "./dom.js";
import { type Draft, EMPTY, edited, withAlternative } from "./draft.js";
import { Editor } from "./editor.js";
import { History } from "./history.js";
import { copyOrShow, fromFragment, type Linked, toFragment } from "./link.js";
import type { Alternative } from "./pieces.js";
import { visible } from "./rows.js";
import { type Outcome, run, stoppedAfter, summary } from "./run.js";
import { CANDIDATES, INITIAL, type Settings } from "./settings.js";
import { SettingsForm } from "./settings-form.js";
import { type Candidate, FIRST, type Step } from "./step.js";
import { readKept, writeKept } from "./storage.js";

const kept = readKept();
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

/** The requests in progress, if any. */
let running: AbortController | undefined;
/** Settles when they are over. */
let writing = Promise.resolve();
/** What someone who opened a link should know, shown once its text is written. */
let note = "";
const server = new Connection(showFault);
let saveTimer: number | undefined;
let isRenderDue = false;

const isBusy = (): boolean => running !== undefined;

// ---------------------------------------------------------------- rendering

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

/** Renders at the next frame, however much arrives before it. */
function renderSoon(): void {
  if (isRenderDue) return;
  isRenderDue = true;
  requestAnimationFrame(() => {
    isRenderDue = false;
    render();
  });
}

/** The line under the text: the token at the cursor, or why the model may continue badly. */
function showPlace(): void {
  const { draft, candidates } = history.present;
  const here = byId("here");
  const token = isBusy() || candidates ? undefined : draft.tokens[editor.atCursor()];
  if (token !== undefined) {
    const rank = token.alternatives.findIndex(({ text }) => text === token.text);
    const place = ["the likeliest here", "second likeliest here", "third likeliest here"][rank] ?? "";
    here.textContent = `“${visible(token.text)}” ${percent(Math.exp(token.logprob))}${place && `, ${place}`}`;
  } else if (!isBusy() && !candidates && / $/.test(draft.text)) {
    here.textContent = "The text ends in a space. Remove it: the model's tokens bring their own.";
  } else here.textContent = "";
}

/** Puts the seed of the text shown into the settings. */
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

// ---------------------------------------------------------------- actions

function onEdit(text: string): void {
  const { present } = history;
  card.close();
  showFault("");
  history.type({ draft: edited(present.draft, text) }, performance.now());
  render();
  save();
}

/** Lets the model continue the text. */
function go(): void {
  if (isBusy() || history.present.candidates) return;
  const settings = form.need();
  if (settings) start(history.present.draft, settings);
}

/** The same beginning again, with the next seed or the one set since. */
function retry(): void {
  const { made } = history.present;
  const settings = form.need();
  if (isBusy() || made === undefined || settings === undefined) return;
  const seed = settings.seed === made.settings.seed ? made.next : settings.seed;
  form.write({ ...settings, seed });
  start(made.before, { ...settings, seed });
}

/** Replaces a token with an alternative and continues from there. */
function take(index: number, alternative: Alternative): void {
  const settings = form.need();
  if (isBusy() || settings === undefined) return;
  const draft = withAlternative(history.present.draft, index, alternative);
  start(draft, settings);
}

function choose(candidate: Candidate): void {
  const { made } = history.present;
  if (isBusy() || made === undefined) return;
  const settings = { ...stoppedAfter(made.settings, candidate.length), seed: candidate.seed };
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
  say("Cleared. Undo restores the text.");
  render();
  save();
}

async function copyLink(): Promise<void> {
  const settings = form.need();
  if (settings === undefined) return;
  const { draft, made, candidates } = history.present;
  const linked: Linked =
    made && !candidates
      ? { prompt: made.before.text, settings: made.settings, model: server.model }
      : { prompt: draft.text, settings, model: server.model };
  const link = `${location.origin}${location.pathname}${toFragment(linked)}`;
  say(
    (await copyOrShow(link))
      ? "Link copied. It reproduces this text."
      : "Copy the link: it reproduces this text.",
  );
}

// ---------------------------------------------------------------- generation

/** Lets the model continue a draft, as a step of its own. */
function start(before: Draft, settings: Settings): void {
  writing = write(before, settings);
}

async function write(before: Draft, settings: Settings): Promise<void> {
  running = new AbortController();
  card.close();
  showFault("");
  say("Writing…");
  history.push({ draft: before });
  render();
  const outcome = await run(
    before,
    settings,
    form.candidates,
    { key: server.key, signal: running.signal },
    (step) => {
      history.replace(step);
      renderSoon();
      saveSoon();
    },
  );
  running = undefined;
  finish(outcome, () => start(before, settings));
}

/** @param again what to do when the server has its key */
function finish(outcome: Outcome, again: () => void): void {
  const { texts, error, isStopped } = outcome;
  const isEmpty = texts.every((text) => text === "");
  if (isEmpty) history.drop(); // nothing arrived: the text is as it was
  const { shown, aloud } = summary(outcome);
  say(`${shown} ${note}`.trim(), `${note} ${aloud}`.trim());
  note = "";
  if (error instanceof Fault) {
    showFault(error.message);
    if (error.kind === "key") server.askKey(again);
  } else if (error !== undefined) {
    showFault("This page has a bug. Reload it: your text is kept.");
    console.error(error);
  } else if (isEmpty && !isStopped) {
    showFault("The model ends the text here. Write more yourself, or choose another seed.");
  }
  render();
  save();
}

// ---------------------------------------------------------------- storage

function save(): void {
  window.clearTimeout(saveTimer);
  saveTimer = undefined;
  const isKept = writeKept({
    step: history.present,
    past: history.earlier,
    settings: form.settings,
    candidates: form.candidates,
    showsMarks: marks.checked,
  });
  if (!isKept) showFault("This browser stores nothing for this page. Copy your text before you leave.");
}

function saveSoon(): void {
  saveTimer ??= window.setTimeout(save, 500);
}

/** Opens what a link describes; the text that was here is one Undo away. */
async function openLink(): Promise<void> {
  const linked = fromFragment(location.hash);
  if (linked === undefined) return;
  window.history.replaceState(null, "", location.pathname); // so that a reload does not open it again over new text
  stop();
  await writing;
  const hadText = history.present.draft.text !== "";
  history.push({ draft: { ...EMPTY, text: linked.prompt } });
  form.write(linked.settings);
  form.candidates = 1;
  render();
  save();
  await meeting;
  const { model } = server;
  const isOther = linked.model !== "" && model !== "" && linked.model !== model;
  note = [
    isOther ? `The link was made with ${linked.model}; this is ${model}, which writes a different text.` : "",
    hadText ? "Undo twice to get your own text back." : "",
  ].join(" ");
  go();
}

// ---------------------------------------------------------------- events

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
if (isWide) editor.element.focus(); // on a phone the keyboard would cover half of the page
for (const [level, { words }] of LEVELS.entries()) {
  byId("levels").append(make("li", {}, make("span", { class: `token level-${level}` }, words)));
}
render();
const meeting = server.meet();
void openLink();
