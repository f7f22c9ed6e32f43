/** Helpers for elements, shared by the whole page. */

/** The element of index.html with this id. */
export function byId<Type extends HTMLElement = HTMLElement>(id: string): Type {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`index.html has no #${id}`);
  return element as Type;
}

/** A new element with attributes and children. */
export function make<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Readonly<Record<string, string>> = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
  element.append(...children);
  return element;
}

/** Enables or disables a button. A disabled one keeps the focus, and screen readers announce its state. */
export function enable(button: HTMLElement, isUsable: boolean): void {
  button.setAttribute("aria-disabled", String(!isUsable));
}

export const isEnabled = (button: HTMLElement): boolean => button.getAttribute("aria-disabled") !== "true";
