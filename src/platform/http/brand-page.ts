import { html, type Html, type HtmlValue } from './html.ts'

export const company = {
  name: 'DAWNO TEMU App sp. z o.o.',
  address: 'ul. Żywiczna 38A, 03-179 Warszawa',
  registers: 'KRS 0001166594, NIP 5243036294, REGON 541416575',
  support: 'pomoc@dawnotemu.app',
} as const

/** The card's head: logo and name, without a link, so that a page's first link is its own. */
export const brandHero = (): Html =>
  html`<div class="hero">
    <div class="signet"><img alt="DawnoTemu Logo" src="/icons/logo.png" width="64" height="64" /></div>
    <p>DawnoTemu</p>
  </div>`

/** A whole Polish page in the brand's frame: one external stylesheet, no script, nothing from elsewhere. */
export const brandPage = (page: { title: string; isWide?: boolean; main: HtmlValue }): string =>
  html`<!doctype html>
    <html lang="pl">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="robots" content="noindex" />
        <title>${page.title} · DawnoTemu</title>
        <link rel="icon" href="/icons/logo.png" type="image/png" />
        <link rel="stylesheet" href="/static/brand.css" />
      </head>
      <body>
        <main class="${page.isWide === true ? 'wide' : 'narrow'}">${page.main}</main>
        <footer>
          <p>${company.name}</p>
          <p>${company.address}</p>
        </footer>
      </body>
    </html> `.toString()

/** Headers of pages that a mail links to; the address of such a page is a secret. */
export const landingHeaders = {
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-robots-tag': 'noindex',
  'content-security-policy':
    "default-src 'none'; style-src 'self'; font-src 'self'; img-src 'self'; form-action 'self'; " +
    "base-uri 'none'; frame-ancestors 'none'",
} as const
