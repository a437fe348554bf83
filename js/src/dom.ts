type Attributes = Record<string, string>;

/** A new element with attributes and content; text is never read as HTML. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...content: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...content);
  return made;
}

/** A button that does one thing. */
export function button(text: string, label: string, onClick: () => void): HTMLButtonElement {
  const made = element("button", { type: "button", "aria-label": label, title: label }, text);
  made.addEventListener("click", onClick);
  return made;
}

/** Open what a button opens, or close it. */
export function unfold(opener: HTMLElement, opened: HTMLElement): void {
  opened.hidden = !opened.hidden;
  opener.setAttribute("aria-expanded", String(!opened.hidden));
}

/** A field whose Enter does one thing and whose Escape empties it; the page hears of neither. */
export function onEnter(input: HTMLInputElement, act: () => void): void {
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") act();
    else if (event.key === "Escape") input.value = "";
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}

/** What has the focus in the page or shadow root of an element. */
export const focused = (near: HTMLElement): Element | null =>
  (near.getRootNode() as Partial<Document>).activeElement ?? null;
