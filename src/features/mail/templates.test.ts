import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isMailKind, mailKinds, renderMail, type RenderedMail } from './templates.ts'
import { maskAddress } from './wording.ts'

const link = 'http://localhost:8000/auth/confirm-email/Ab_-9?x=1&y=2'
const at = new Date('2026-02-03T22:30:00Z')
const settings = { assetBaseUrl: 'https://api.dawnotemu.app', now: at }

const mails: Record<string, RenderedMail> = {
  confirm_email: renderMail('confirm_email', { link }, settings),
  reset_password: renderMail('reset_password', { link }, settings),
  email_confirmed: renderMail('email_confirmed', {}, settings),
  password_changed: renderMail('password_changed', { device: 'Pixel 9', at }, settings),
  session_closed: renderMail('session_closed', { device: 'Pixel 9', at }, settings),
  email_change_requested: renderMail('email_change_requested', { newAddress: 'anna@dom.pl' }, settings),
  email_changed: renderMail('email_changed', { newAddress: 'anna@dom.pl' }, settings),
  account_approved: renderMail('account_approved', {}, settings),
  account_deactivated: renderMail('account_deactivated', {}, settings),
  deletion_started: renderMail('deletion_started', {}, settings),
  deletion_finished: renderMail(
    'deletion_finished',
    { recordings: 2, narrations: 5, providerCopies: 1 },
    settings,
  ),
  data_export_ready: renderMail(
    'data_export_ready',
    { link: 'https://api.dawnotemu.app/app/konto' },
    settings,
  ),
}

test('every kind has a case here', () => assert.deepEqual(Object.keys(mails).sort(), [...mailKinds].sort()))

for (const [kind, mail] of Object.entries(mails)) {
  test(`${kind}: both parts are whole`, () => {
    assert.match(mail.subject, /^\S.{10,70}$/)
    assert.match(mail.html, /<html lang="pl">/)
    for (const part of [mail.html, mail.text]) {
      assert.match(part, /DAWNO TEMU App sp\. z o\.o\./)
      assert.match(part, /ul\. Żywiczna 38A, 03-179 Warszawa/)
      assert.match(part, /pomoc@dawnotemu\.app/)
      assert.match(part, /© 2026 DawnoTemu/)
      assert.doesNotMatch(part, /undefined|null|NaN|\[object|\$\{/)
    }
    assert.doesNotMatch(mail.text, /^[ \t]|[ \t]$|<|&amp;|&#/m)
  })

  test(`${kind}: the text carries the same links`, () => {
    for (const [, href = ''] of mail.html.matchAll(/href="((?:https?|dawnotemu):[^"]*)"/g))
      assert.ok(mail.text.split('\n').includes(href.replaceAll('&amp;', '&')), href)
  })

  test(`${kind}: nothing is loaded but our logo, no script, no form`, () => {
    assert.doesNotMatch(mail.html, /<script|<form|<link|@import|url\(/)
    for (const [, source] of mail.html.matchAll(/src="([^"]*)"/g))
      assert.equal(source, 'https://api.dawnotemu.app/icons/logo.png')
  })

  test(`${kind}: speaks to the reader without gender`, () => {
    assert.doesNotMatch(mail.text, /\p{L}+(?:łeś|łaś|łem|łam)(?!\p{L})|\(a\)|\/a\b|Pani?\b|Państw/u)
  })
}

test('the subjects are those of the list', () => {
  assert.equal(mails['confirm_email']?.subject, 'DawnoTemu: potwierdź swój adres e-mail ✨')
  assert.equal(mails['reset_password']?.subject, 'DawnoTemu: ustaw nowe hasło 🔐')
  assert.equal(mails['session_closed']?.subject, 'Wylogowaliśmy jedno z Twoich urządzeń 🔐')
  assert.equal(mails['account_approved']?.subject, 'Twoje konto DawnoTemu jest już aktywne ✨')
  assert.equal(mails['account_deactivated']?.subject, 'Twoje konto DawnoTemu zostało wyłączone')
  assert.equal(mails['data_export_ready']?.subject, 'Twoje dane z DawnoTemu są gotowe')
})

test('lifetimes are stated', () => {
  assert.match(mails['confirm_email']?.text ?? '', /24 godziny/)
  assert.match(mails['reset_password']?.text ?? '', /1 godzinę/)
  assert.match(mails['data_export_ready']?.text ?? '', /7 dni/)
})

test('markup in a variable shows as text', () => {
  const mail = renderMail('session_closed', { device: '<b>Telefon</b> "A" & \'B\'' })
  assert.match(mail.html, /&lt;b&gt;Telefon&lt;\/b&gt; &quot;A&quot; &amp; &#39;B&#39;/)
  assert.doesNotMatch(mail.html, /<b>/)
  assert.match(mail.text, /^Urządzenie: <b>Telefon<\/b> "A" & 'B'$/m)
})

test('a device name cannot add lines or outgrow the mail', () => {
  const mail = renderMail('session_closed', {
    device: `Telefon\r\n\r\nhttps://zly.example\u202e${'x'.repeat(500)}`,
  })
  const line = mail.text.split('\n').find((row) => row.startsWith('Urządzenie:')) ?? ''
  assert.match(line, /^Urządzenie: Telefon https:\/\/zly\.example x+…$/)
  assert.ok(line.length < 120)
})

test('times are Polish and of Warsaw', () => {
  assert.match(renderMail('password_changed', { at }).text, /^Kiedy: 3 lutego 2026 23:30$/m)
})

test('a link that needs a value is refused without one', () => {
  assert.throws(() => renderMail('confirm_email', { link: '' }))
  assert.throws(() => renderMail('reset_password', { link: 'javascript:alert(1)' }))
  assert.throws(() => renderMail('confirm_email', JSON.parse('{}')))
})

test('a new address is masked', () => {
  assert.equal(maskAddress('anna.nowak@dom-pod-lasem.com.pl'), 'a…@d….pl')
  assert.equal(maskAddress('bez-malpy'), '…')
  assert.doesNotMatch(mails['email_change_requested']?.html ?? '', /anna@dom/)
})

test('without an asset address the mails load nothing', () => {
  assert.doesNotMatch(renderMail('email_confirmed', {}).html, /<img/)
})

test('kinds from the database are told from other text', () => {
  assert.equal(isMailKind('confirm_email'), true)
  assert.equal(isMailKind('toString'), false)
})
