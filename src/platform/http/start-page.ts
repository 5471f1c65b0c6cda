import { brandHero, brandPage, landingHeaders } from './brand-page.ts'
import { html } from './html.ts'

/** The page at `/`: what runs here and where to look. The outbox is there in development and test only. */
export const startPage = (server: {
  isDevelopment: boolean
}): { html: string; headers: typeof landingHeaders } => ({
  headers: landingHeaders,
  html: brandPage({
    title: 'Serwer działa',
    main: html`<div class="card">
      ${brandHero()}
      <div class="content">
        <h1>Serwer działa</h1>
        <p>Bajki na dobranoc czytane głosem rodzica. To jest serwer aplikacji DawnoTemu.</p>
        <ul class="links">
          <li><a href="/docs">Opis API</a><span class="note">wszystkie adresy, z przykładami</span></li>
          ${
            server.isDevelopment &&
            html`<li>
              <a href="/dev/outbox">Skrzynka nadawcza</a
              ><span class="note">wysłane wiadomości, tylko podczas prac nad aplikacją</span>
            </li>`
          }
          <li><a href="/health/ready">Stan serwera</a><span class="note">gotowość i zależności</span></li>
        </ul>
      </div>
    </div>`,
  }),
})
