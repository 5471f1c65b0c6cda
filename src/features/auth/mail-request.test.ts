import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import * as scene from '../../../test/account-scene.ts'
import { startTestApp, until, type Account, type Answer, type TestApp } from '../../../test/app.ts'
import { EmailError, type EmailMessage } from '../../providers/email/email.ts'
import { mailRequestJob } from './mail-request.job.ts'

let app: TestApp
before(async () => {
  app = await startTestApp()
})
after(() => app.close())

type Kind = 'confirm' | 'reset'
const paths = { confirm: '/auth/resend-confirmation', reset: '/auth/reset-password-request' }
const mailKinds = { confirm: 'confirm_email', reset: 'reset_password' }
const texts = {
  confirm: 'If an account with that email exists, a confirmation link has been sent.',
  reset: 'If an account with that email exists, a password reset link has been sent.',
}
const kinds: Kind[] = ['confirm', 'reset']

const ask = (kind: Kind, email: unknown, from = app): Promise<Answer> =>
  from.call('POST', paths[kind], { json: { email } })

const assertAccepted = (kind: Kind, answer: Answer): void => {
  assert.deepEqual([answer.status, answer.body], [200, { message: texts[kind] }])
  assert.equal(answer.headers.get('cache-control'), 'no-store')
}

/** Waits until every request so far is answered by its job. */
const allAnswered = () =>
  until(async () => ((await scene.count(app, 'mail_requests')) === 0 ? true : null), 'the jobs')

const mailsTo = (email: string, kind: Kind) =>
  scene.count(app, 'emails where recipient = $1 and kind = $2', [email, mailKinds[kind]])

const prepare: Record<Kind, (account: Account) => Promise<void>> = {
  confirm: ({ id }) => scene.setUser(app, id, 'email_confirmed = false'),
  reset: async () => undefined,
}

for (const kind of kinds)
  describe(paths[kind], () => {
    for (const value of [undefined, null, '', 0, false, []])
      test(`${JSON.stringify(value) ?? 'absent'} is missing`, async () => {
        scene.assertRefused(await ask(kind, value), 400, 'Email is required')
      })

    for (const value of [5, true, { a: 1 }, ['a'], 'a\u0000@b.pl'])
      test(`${JSON.stringify(value)} is refused by name`, async () => {
        scene.assertRefused(await ask(kind, value), 400, 'Invalid value for email.')
      })

    for (const value of ['bez-malpy', 'a@b', `${'a'.repeat(295)}@b.pl`, '   '])
      test(`${value.slice(0, 20)} is no address`, async () => {
        const answer = await ask(kind, value)
        if (kind === 'confirm') assertAccepted(kind, answer)
        else scene.assertRefused(answer, 400, 'Invalid email format')
        assert.equal(await scene.count(app, 'mail_requests where email = $1', [value.trim()]), 0)
      })

    for (const status of ['active', 'pending', 'deactivated'])
      test(`an account that is ${status} gets the mail, in whatever spelling it is asked for`, async () => {
        const account = await scene.createAccount(app)
        await prepare[kind](account)
        await scene.setUser(app, account.id, `status = '${status}'`)
        assertAccepted(kind, await ask(kind, ` ${account.email.toUpperCase()} `))
        const mail = await until(
          async () => (await app.outbox(account.email, mailKinds[kind]))[0],
          'the mail',
        )
        const path = new URL(mail.links[0] ?? '').pathname
        assert.equal((await app.call('GET', path)).status, 200)
        if (kind === 'reset') assert.match(mail.text, /1 godzinę/)
        const [user] = await scene.rows(app, 'select status from users where id = $1', [account.id])
        assert.equal(user?.['status'], status)
      })

    test('an account that is being deleted, and one that does not exist, get none', async () => {
      const account = await scene.createAccount(app)
      await prepare[kind](account)
      await scene.setUser(app, account.id, "status = 'deleting'")
      const unknown = scene.newAddress()
      for (const email of [account.email, unknown]) assertAccepted(kind, await ask(kind, email))
      await allAnswered()
      for (const email of [account.email, unknown]) assert.equal(await mailsTo(email, kind), 0)
    })

    test('three mails an hour; beyond it the same answer, no mail, and the third link lives', async () => {
      const account = await scene.createAccount(app)
      await prepare[kind](account)
      for (let asked = 1; asked <= 5; asked += 1) {
        assertAccepted(kind, await ask(kind, account.email))
        await allAnswered()
      }
      assert.equal(await mailsTo(account.email, kind), 3)
      const live = 'mail_tokens where user_id = $1 and voided_at is null'
      assert.equal(await scene.count(app, live, [account.id]), 1)
      await scene.advanceClock(app, 3601)
      assertAccepted(kind, await ask(kind, account.email))
      await until(async () => ((await mailsTo(account.email, kind)) === 4 ? true : null), 'the fourth mail')
    })

    test('known and unknown accounts are alike: status, body, header names, median time', async () => {
      const account = await scene.createAccount(app)
      await prepare[kind](account)
      const measure = async (): Promise<number> => {
        const times: Record<'known' | 'unknown', number[]> = { known: [], unknown: [] }
        for (let round = 0; round < 100; round += 4)
          await Promise.all(
            Array.from({ length: 4 }, async () => {
              for (const who of ['known', 'unknown'] as const) {
                const email = who === 'known' ? account.email : scene.newAddress()
                const started = performance.now()
                const answer = await ask(kind, email)
                times[who].push(performance.now() - started)
                assertAccepted(kind, answer)
                names[who] = [...answer.headers.keys()].sort().join()
              }
            }),
          )
        const median = (values: number[]) => values.sort((a, b) => a - b)[values.length / 2] ?? 0
        return median(times.known) / median(times.unknown)
      }
      const names = { known: '', unknown: '' }
      let ratio = await measure()
      // A neighbour on this machine may disturb one round; a real difference shows in both.
      if (Math.abs(ratio - 1) > 0.1) ratio = await measure()
      assert.ok(Math.abs(ratio - 1) <= 0.1, `known / unknown = ${ratio.toFixed(3)}`)
      assert.equal(names.known, names.unknown)
      await allAnswered()
    })
  })

test('a confirmed account gets no confirmation mail', async () => {
  const account = await scene.createAccount(app)
  assertAccepted('confirm', await ask('confirm', account.email))
  await allAnswered()
  assert.equal(await mailsTo(account.email, 'confirm'), 0)
})

test('after a register 409 a resend makes a new link; the old one is dead', async () => {
  const fields = scene.registration()
  const email = String(fields['email'])
  assert.equal((await app.call('POST', '/auth/register', { json: fields })).status, 201)
  const linkOf = (count: number) =>
    until(async () => {
      const mails = await app.outbox(email, 'confirm_email')
      return mails.length === count ? mails[0]?.links[0] : null
    }, 'the mail')
  const older = await linkOf(1)
  assert.equal((await app.call('POST', '/auth/register', { json: fields })).status, 409)
  assertAccepted('confirm', await ask('confirm', email))
  const newer = await linkOf(2)
  assert.equal((await app.call('POST', older)).status, 400)
  assert.equal((await app.call('POST', newer)).status, 200)
})

test('the request stores one row and one job; a second run of the job does nothing', async () => {
  const idle = await startTestApp({ work: false })
  try {
    const account = await scene.createAccount(idle)
    assertAccepted('reset', await ask('reset', account.email, idle))
    assert.deepEqual(await scene.rows(idle, 'select kind, email from mail_requests'), [
      { kind: 'reset', email: account.email },
    ])
    const [job] = await scene.rows<{ data: { request_id: number } }>(
      idle,
      `select data from pgboss.job where name = '${mailRequestJob.name}'`,
    )
    assert.deepEqual(Object.keys(job?.data ?? {}), ['request_id'])
    assert.equal(await scene.count(idle, 'mail_tokens'), 0)
    const answer = idle.app.auth.jobs.find(({ type }) => type.name === mailRequestJob.name)
    const context = { jobId: 'x', retryCount: 0, signal: new AbortController().signal }
    await Promise.all([answer?.run(job?.data, context), answer?.run(job?.data, context)])
    assert.equal(await scene.count(idle, 'mail_requests'), 0)
    assert.equal(await scene.count(idle, 'mail_tokens'), 1)
    assert.equal(await scene.count(idle, 'emails'), 1)
  } finally {
    await idle.close()
  }
})

test('with the mail provider hanging everything answers as usual; the same link goes out later', async () => {
  const tried: EmailMessage[] = []
  const provider = Promise.withResolvers<undefined>()
  let isUp = false
  const emailTransport = {
    name: 'smtp' as const,
    send: async (message: EmailMessage) => {
      tried.push(message)
      if (isUp) return
      await provider.promise
      throw new EmailError('transient', 'no answer')
    },
  }
  const down = await startTestApp({ overrides: { emailTransport } })
  down.expectErrors()
  try {
    const account = await scene.createAccount(down)
    const password = scene.newPassword()
    const registered = await down.call('POST', '/auth/register', { json: scene.registration() })
    assert.equal(registered.status, 201)
    const first = await until(async () => tried.find(({ kind }) => kind === 'confirm_email'), 'a try')
    assertAccepted('reset', await ask('reset', account.email, down))
    assertAccepted('confirm', await ask('confirm', account.email, down))
    const patched = await down.call('PATCH', '/auth/me', {
      token: account.accessToken,
      json: {
        current_password: account.password,
        email: scene.newAddress(),
        new_password: password,
        new_password_confirm: password,
      },
    })
    assert.equal(patched.status, 200)
    for (const { text } of [registered, patched]) assert.doesNotMatch(text, /email_confirmation_error/)
    assert.equal(tried.filter(({ id }) => id === first.id).length, 1, 'the provider still hangs')

    isUp = true
    provider.resolve(undefined)
    await until(async () => {
      // Not to wait for the delay between two tries.
      await scene.rows(down, "update pgboss.job set start_after = now() where name = 'mail.send'")
      return tried.filter(({ id }) => id === first.id).length > 1 ? true : null
    }, 'the next try')
    assert.equal(tried.findLast(({ id }) => id === first.id)?.text, first.text, 'the same link')
  } finally {
    await down.close()
  }
})
