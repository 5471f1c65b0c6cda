const escapes: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  '`': '&#96;',
}

/** Escapes text for an element's content and for a quoted attribute value. */
export const escapeHtml = (text: string): string => text.replace(/[&<>"'`]/g, (sign) => escapes[sign] ?? sign)

/** Markup that is safe to put into a page as it is. Made only by `html` and `raw`, told from text by its class. */
export class Html {
  readonly #markup: string

  constructor(markup: string) {
    this.#markup = markup
  }

  toString(): string {
    return this.#markup
  }
}

/** What may stand in a template: text is escaped, nothing at all is written for null, undefined and false. */
export type HtmlValue = Html | string | number | null | undefined | false | readonly HtmlValue[]

const render = (value: HtmlValue): string => {
  if (value === null || value === undefined || value === false) return ''
  if (value instanceof Html) return value.toString()
  if (typeof value === 'string') return escapeHtml(value)
  if (typeof value === 'number') return String(value)
  return value.map(render).join('')
}

/**
 * Template tag that escapes every interpolated value; nested `html` results and `raw` pass unchanged, arrays are
 * joined. Attribute values must be quoted in the template. It does not judge URLs: check a `javascript:` link first.
 *
 *     html`<p title="${title}">${items.map((item) => html`<b>${item}</b>`)}</p>`.toString()
 */
export const html = (strings: TemplateStringsArray, ...values: readonly HtmlValue[]): Html => {
  let markup = strings[0] ?? ''
  for (const [place, value] of values.entries()) markup += render(value) + (strings[place + 1] ?? '')
  return new Html(markup)
}

/** Marks markup of our own as safe. Never for anything a person or another machine wrote. */
export const raw = (markup: string): Html => new Html(markup)
