/** The server's model, and the key it may ask for. */
import { Fault, modelName } from "./completions.js";
import { byId } from "./dom.js";
import { readKey, writeKey } from "./storage.js";

/** Shows an error; "" clears it. */
type ShowFault = (message: string) => void;

/** Knows the model's name and the key. */
export class Connection {
  key = readKey();
  /** "" until the server has answered. */
  model = "";
  /** What to do once the server has its key. */
  #afterKey: (() => void) | undefined;

  constructor(private readonly showFault: ShowFault) {
    byId("key-form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#useKey();
    });
  }

  /** Learns the model's name, or asks for the key. */
  async meet(): Promise<void> {
    try {
      this.#show(await modelName({ key: this.key }));
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.showFault(error.message);
      if (error.kind === "key") this.askKey(() => {});
    }
  }

  askKey(then: () => void): void {
    this.#afterKey = then;
    byId("key-form").hidden = false;
    byId("key").focus();
  }

  async #useKey(): Promise<void> {
    this.key = byId<HTMLInputElement>("key").value.trim();
    try {
      this.#show(await modelName({ key: this.key }));
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.showFault(error.kind === "key" ? "That is not this server's key." : error.message);
      return;
    }
    writeKey(this.key);
    byId("key-form").hidden = true;
    this.showFault("");
    byId("text").focus();
    this.#afterKey?.();
    this.#afterKey = undefined;
  }

  #show(model: string): void {
    this.model = model;
    byId("model").textContent = model;
  }
}
