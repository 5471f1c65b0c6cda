import { brandHero, brandPage, company } from '../../platform/http/brand-page.ts'
import { html, type HtmlValue } from '../../platform/http/html.ts'

export { landingHeaders } from '../../platform/http/brand-page.ts'
export { startPage } from '../../platform/http/start-page.ts'

/** Polish reasons for the error page. */
export const landingErrors = {
  link: 'Link jest nieprawidłowy lub wygasł.',
  taken: 'Ten adres jest już używany.',
  resetLink: 'Link do zmiany hasła jest nieprawidłowy lub wygasł.',
  tooMany: 'Za dużo prób. Spróbuj ponownie za chwilę.',
  request: 'Nie udało się odczytać tego formularza. Otwórz link z wiadomości jeszcze raz.',
  fault: 'Coś poszło nie tak po naszej stronie. Spróbuj ponownie później.',
} as const

/** Polish reasons for the box above the reset form. */
export const resetErrors = {
  missing: 'Nowe hasło i potwierdzenie są wymagane.',
  short: 'Hasło musi mieć co najmniej 8 znaków.',
  long: 'Hasło może mieć najwyżej 128 znaków.',
  differ: 'Hasła nie są takie same.',
  weak: 'To hasło łatwo odgadnąć. Użyj dłuższego zwrotu lub rzadszych słów.',
} as const

const card = (title: string, content: HtmlValue): string =>
  brandPage({
    title,
    main: html`<div class="card">
      ${brandHero()}
      <div class="content">${content}</div>
    </div>`,
  })

const loginLink = html`<a class="button" href="dawnotemu://login">Przejdź do logowania</a>`

/** The page behind a confirmation link. `action` is the path of this very page; only its POST confirms. */
export const confirmPage = (action: string): string =>
  card(
    'Potwierdź adres e-mail',
    html`<h1>Potwierdź swój adres e-mail</h1>
      <p>Jeszcze tylko jeden krok. Naciśnij przycisk, a otworzymy przed Tobą świat bajek. ✨</p>
      <form method="post" action="${action}">
        <button class="button" type="submit">Potwierdź konto</button>
      </form>
      <p class="note">To nie Twoje konto? Zamknij tę stronę, nic się nie zmieni.</p>`,
  )

export const confirmedPage = (): string =>
  card(
    'Adres potwierdzony',
    html`<h1>Twój email został pomyślnie zweryfikowany! ✨</h1>
      <p>Wszystko gotowe. Otwórz aplikację i zaloguj się, bajki już czekają.</p>
      ${loginLink}
      <p class="note">Przycisk otwiera aplikację na telefonie, na którym jest zainstalowana.</p>`,
  )

/** For 400, 409, 429 and faults; `reason` is a sentence of `landingErrors`. */
export const errorPage = (reason: string): string =>
  card(
    'Wystąpił błąd',
    html`<h1>Wystąpił błąd</h1>
      <p class="error">${reason}</p>
      <p>O nowy link możesz poprosić w aplikacji.</p>
      <p class="note">
        Coś nadal nie działa? Napisz: <a href="mailto:${company.support}">${company.support}</a>
      </p>`,
  )

const passwordField = (name: string, label: string): HtmlValue =>
  html`<label for="${name}">${label}</label>
    <input id="${name}" name="${name}" type="password" minlength="8" autocomplete="new-password" required />`

/** `action` is the path of this very page; `error` a sentence of `resetErrors`. */
export const resetFormPage = (form: { action: string; error?: string }): string =>
  card(
    'Resetuj hasło',
    html`<h1>Resetuj hasło</h1>
      ${form.error !== undefined && html`<p class="error" role="alert">${form.error}</p>`}
      <form method="post" action="${form.action}">
        ${passwordField('new_password', 'Nowe hasło')}
        ${passwordField('new_password_confirm', 'Powtórz nowe hasło')}
        <button class="button" type="submit">Zapisz nowe hasło</button>
      </form>
      <p class="note">
        Co najmniej 8 znaków. Najlepiej kilka słów, które tylko Tobie się łączą. Po zmianie wylogujemy
        wszystkie urządzenia.
      </p>`,
  )

export const resetDonePage = (): string =>
  card(
    'Hasło zmienione',
    html`<h1>Gotowe ✨</h1>
      <p>Hasło zostało zresetowane. Możesz się teraz zalogować.</p>
      ${loginLink}`,
  )
