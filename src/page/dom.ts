/** What every part of the page does with elements. */

/** The element of index.html with this id. */
export function byId<Type extends HTMLElement = HTMLElement>(id: string): Type {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`index.html has no #${id}`);
  return element as Type;
}

/** A new element with attributes and what is in it. */
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

/** A button that cannot be used now keeps the focus, and says so to a screen reader. */
export function enable(button: HTMLElement, isUsable: boolean): void {
  button.setAttribute("aria-disabled", String(!isUsable));
}

export const isEnabled = (button: HTMLElement): boolean => button.getAttribute("aria-disabled") !== "true";
