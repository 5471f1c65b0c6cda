import { company } from '../../platform/http/brand-page.ts'
import { brand, dark, displayFontStack, fontStack, light } from '../../platform/http/brand-tokens.ts'
import { html, raw, type Html } from '../../platform/http/html.ts'
import type { Wording } from './wording.ts'

export interface MailSettings {
  /** Where the logo is served, e.g. `https://api.dawnotemu.app`; without it the mails show the name as text. */
  assetBaseUrl?: string
  /** For the year in the footer; without it the footer names none. */
  now?: Date
}

// Mail programs that know no style sheet (Gmail's app, Outlook) see the inline light colours; the others get these.
const sheet = raw(`<style>
      @media (max-width: 600px) {
        .card { width: 100% !important; border-radius: 0 !important; }
        .pad { padding: 24px 16px !important; }
        .title { font-size: 24px !important; }
        .button { display: block !important; }
      }
      @media (prefers-color-scheme: dark) {
        .outer { background: ${dark.background} !important; }
        .card { background: ${dark.surface} !important; }
        .text, .title { color: ${dark.text} !important; }
        .quiet { color: ${dark.textSecondary} !important; }
        .link { color: ${dark.link} !important; }
        .footer { background: ${dark.background} !important; }
      }
    </style>`)

// Attributes hold double-quoted styles, so font names with blanks stand in single quotes there; the tag escapes them.
const textStyle = `margin:0 0 16px;font-family:${fontStack};font-size:18px;line-height:1.5;color:${light.text}`
const quietStyle = `margin:0 0 16px;font-family:${fontStack};font-size:14px;line-height:1.5;color:${light.textSecondary}`
const titleStyle = `margin:0 0 16px;font-family:${displayFontStack};font-size:32px;line-height:1.2;color:${light.text}`
const buttonStyle =
  `display:inline-block;padding:16px 32px;border-radius:32px;background:${brand.lavender};color:${brand.navy};` +
  `font-family:${fontStack};font-size:16px;font-weight:700;text-align:center;text-decoration:none`
const heroStyle = `padding:32px;text-align:center;background:${brand.lavenderSoft};background-image:linear-gradient(120deg,${brand.lavenderSoft},${brand.lavender})`

// On white, because the signet's gradient would drown in the hero's.
const logo = (settings: MailSettings): Html | null =>
  settings.assetBaseUrl === undefined
    ? null
    : html`<img
        src="${settings.assetBaseUrl}/icons/logo.png"
        alt="DawnoTemu"
        width="72"
        height="72"
        style="display:block;margin:0 auto 8px;padding:12px;border:0;border-radius:24px;background:${brand.white}"
      />`

const hero = (wording: Wording, settings: MailSettings): Html =>
  html`<tr>
    <td class="pad" align="center" bgcolor="${brand.lavenderSoft}" style="${heroStyle}">
      ${logo(settings)}
      <p
        style="margin:0 0 16px;font-family:${displayFontStack};font-size:18px;font-weight:700;letter-spacing:0.025em;color:${brand.navy}"
      >
        DawnoTemu
      </p>
      <h1
        style="margin:0 0 8px;font-family:${displayFontStack};font-size:26px;line-height:1.2;color:${brand.navy}"
      >
        ${wording.headline}
      </h1>
      <p style="margin:0;font-family:${fontStack};font-size:16px;line-height:1.5;color:${brand.navy}">
        ${wording.subline}
      </p>
    </td>
  </tr>`

const facts = (wording: Wording): Html[] =>
  (wording.facts ?? []).map(
    ([label, value]) => html`<p class="text" style="${textStyle}"><strong>${label}:</strong> ${value}</p>`,
  )

const button = ({ button }: Wording): Html | null =>
  button === undefined
    ? null
    : html`<p style="margin:0 0 16px">
          <a class="button" href="${button.link}" style="${buttonStyle}">${button.label}</a>
        </p>
        <p class="quiet" style="${quietStyle};word-break:break-all">
          Przycisk nie działa? Otwórz ten link:<br />
          <a class="link" href="${button.link}" style="color:${light.link}">${button.link}</a>
        </p>`

const footer = (settings: MailSettings): Html => {
  const style = `margin:0;font-family:${fontStack};font-size:14px;line-height:1.5;color:${brand.white}`
  const year = settings.now === undefined ? '' : ` ${settings.now.getUTCFullYear()}`
  return html`<tr>
    <td
      class="pad footer"
      align="center"
      bgcolor="${brand.navy}"
      style="padding:32px;text-align:center;background:${brand.navy}"
    >
      <p style="${style}">
        ${company.name}<br />${company.address}<br />${company.registers.split(', ').map((number) => html`<span style="white-space:nowrap">${number}</span> `)}
      </p>
      <p style="${style};padding-top:8px">
        <a href="mailto:${company.support}" style="color:${brand.lavender}">${company.support}</a>
      </p>
      <p style="${style};padding-top:8px">©${year} DawnoTemu</p>
    </td>
  </tr>`
}

/** The one layout of all mails: tables of 600 px, readable without styles and without images. */
export const mailHtml = (wording: Wording, settings: MailSettings): string =>
  html`<!doctype html>
    <html lang="pl">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="supported-color-schemes" content="light dark" />
        <title>${wording.subject}</title>
        ${sheet}
      </head>
      <body class="outer" style="margin:0;padding:0;background:${light.background}">
        <div style="display:none;max-height:0;overflow:hidden">${wording.preheader}</div>
        <table
          class="outer"
          role="presentation"
          width="100%"
          cellpadding="0"
          cellspacing="0"
          border="0"
          bgcolor="${light.background}"
          style="background:${light.background}"
        >
          <tr>
            <td align="center" style="padding:24px 0">
              <table
                class="card"
                role="presentation"
                width="600"
                cellpadding="0"
                cellspacing="0"
                border="0"
                bgcolor="${light.surface}"
                style="width:600px;max-width:100%;overflow:hidden;border-radius:24px;background:${light.surface};box-shadow:0 10px 20px rgba(45,48,71,0.08)"
              >
                ${hero(wording, settings)}
                <tr>
                  <td class="pad" style="padding:32px">
                    <h2 class="title" style="${titleStyle}">${wording.title}</h2>
                    ${wording.paragraphs.map((text) => html`<p class="text" style="${textStyle}">${text}</p>`)}
                    ${facts(wording)} ${button(wording)}
                    ${wording.notes.map((text) => html`<p class="quiet" style="${quietStyle}">${text}</p>`)}
                  </td>
                </tr>
                ${footer(settings)}
              </table>
            </td>
          </tr>
        </table>
      </body>
    </html> `.toString()

/** The same content as plain text; no line begins with a blank. */
export const mailText = (wording: Wording, settings: MailSettings): string => {
  const blocks = [
    wording.title,
    ...wording.paragraphs,
    ...(wording.facts?.length
      ? [wording.facts.map(([label, value]) => `${label}: ${value}`).join('\n')]
      : []),
    ...(wording.button === undefined ? [] : [`${wording.button.label}:\n${wording.button.link}`]),
    ...wording.notes,
    [
      '--',
      `©${settings.now === undefined ? '' : ` ${settings.now.getUTCFullYear()}`} DawnoTemu`,
      company.name,
      company.address,
      company.registers,
      company.support,
    ].join('\n'),
  ]
  return `${blocks.join('\n\n')}\n`
}
