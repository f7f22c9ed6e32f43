/** The form of the settings. */
import { byId, make } from "./dom.js";
import {
  allows,
  CANDIDATES,
  readSettings,
  SEED,
  SETTING_NAMES,
  SETTINGS,
  type Setting,
  type Settings,
  wanted,
} from "./settings.js";

/** A field, the words under it, and its error. */
interface Field {
  readonly setting: Setting;
  readonly input: HTMLInputElement;
  readonly words: HTMLElement;
}

/** The form: shows settings and reads them. */
export class SettingsForm {
  private readonly fields = new Map<string, Field>();
  private readonly stop = make("input", {
    id: "set-stop",
    "aria-describedby": "set-stop-words",
    autocomplete: "off",
  });

  /** @param onChange called after each change to a valid value */
  constructor(private readonly onChange: () => void) {
    const form = byId("settings-form");
    form.append(this.numberField("seed", SEED), this.candidatesField());
    for (const name of SETTING_NAMES) form.append(this.numberField(name, SETTINGS[name]));
    form.append(
      this.frame("stop", "Stop before", "Ends before this text. \\n is a line break.", this.stop),
      make("button", { type: "button", id: "defaults" }, "Reset settings"),
    );
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => {
      for (const field of this.fields.values()) this.check(field);
      this.onChange();
    });
  }

  /** The settings; undefined if a field is invalid: it then has the focus, and says what it must be. */
  need(): Settings | undefined {
    const wrong = [...this.fields.values()].find((field) => !this.check(field));
    if (wrong === undefined) return this.settings;
    byId<HTMLDetailsElement>("settings").open = true;
    wrong.input.focus();
    return undefined;
  }

  /** The settings, with the default for each invalid field. */
  get settings(): Settings {
    const numbers = [...this.fields].map(([name, { input }]) => [name, input.valueAsNumber]);
    return readSettings({ ...Object.fromEntries(numbers), stop: this.stop.value });
  }

  write(settings: Settings): void {
    for (const [name, field] of this.fields) {
      field.input.value = String(settings[name as keyof Settings]);
      this.check(field);
    }
    this.stop.value = settings.stop;
  }

  get candidates(): number {
    return Number(document.querySelector<HTMLInputElement>("[name=candidates]:checked")?.value ?? 1);
  }

  set candidates(count: number) {
    for (const input of document.querySelectorAll<HTMLInputElement>("[name=candidates]")) {
      input.checked = input.value === String(count);
    }
  }

  private check({ setting, input, words }: Field): boolean {
    const isGood = allows(setting, input.valueAsNumber);
    input.setAttribute("aria-invalid", String(!isGood));
    words.textContent = isGood ? setting.words : `${wanted(setting)}.`;
    return isGood;
  }

  private numberField(name: string, setting: Setting): HTMLElement {
    const { min, max, step } = setting;
    const input = make("input", {
      ...{ id: `set-${name}`, type: "number", min: String(min), max: String(max), step: String(step) },
      ...{ "aria-describedby": `set-${name}-words`, autocomplete: "off" },
      inputmode: step < 1 ? "decimal" : "numeric",
    });
    const frame = this.frame(name, setting.label, setting.words, input);
    this.fields.set(name, { setting, input, words: frame.lastElementChild as HTMLElement });
    return frame;
  }

  private candidatesField(): HTMLElement {
    const choices = CANDIDATES.map((count) =>
      make(
        "label",
        {},
        make("input", { type: "radio", name: "candidates", value: String(count) }),
        String(count),
      ),
    );
    const words = make("p", {}, "Continuations side by side, to choose from, each with its own seed.");
    return make("fieldset", { class: "field" }, make("legend", {}, "Candidates"), ...choices, words);
  }

  private frame(name: string, label: string, words: string, input: HTMLInputElement): HTMLElement {
    return make(
      "div",
      { class: "field" },
      make("label", { for: `set-${name}` }, label),
      input,
      make("p", { id: `set-${name}-words` }, words),
    );
  }
}
