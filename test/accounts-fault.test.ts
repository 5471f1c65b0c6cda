import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startTestApp } from './app.ts'
import * as scene from './account-scene.ts'

const password = scene.newPassword()
const bodies: Record<string, unknown> = {
  '/auth/register': scene.registration(),
  '/auth/login': { email: scene.newAddress(), password },
  '/auth/resend-confirmation': { email: scene.newAddress() },
  '/auth/reset-password-request': { email: scene.newAddress() },
  '/auth/reset-password/{token}': { new_password: password, new_password_confirm: password },
}

test('A-L5: a forced fault in any route of the accounts tells nothing of its cause', async () => {
  const app = await startTestApp({ work: false })
  app.expectErrors()
  try {
    const account = await scene.createAccount(app)
    for (const table of ['users', 'mail_tokens', 'mail_requests', 'refresh_tokens'])
      await scene.rows(app, `alter table ${table} rename to ${table}_gone`)
    const document: { paths: Record<string, Record<string, unknown>> } = JSON.parse(
      (await app.call('GET', '/openapi.json')).text,
    )
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      /^\/(auth|tasks)\b/.test(path) ? Object.keys(methods).map((method) => ({ path, method })) : [],
    )
    const faults: string[] = []
    for (const { path, method } of operations) {
      const target = path.replace('{token}', 'A'.repeat(43)).replace(/\{\w+\}/, '1')
      const query = path === '/auth/challenge' ? '?purpose=login' : ''
      const token = bodies[path] === undefined ? { token: account.accessToken } : {}
      const json =
        path === '/auth/refresh' || path === '/auth/logout'
          ? { refresh_token: account.refreshToken }
          : (bodies[path] ?? { current_password: account.password })
      const answer = await app.call(method.toUpperCase(), target + query, {
        ...token,
        ...(method === 'get' ? {} : { json }),
      })
      const everything = answer.text + JSON.stringify([...answer.headers])
      assert.doesNotMatch(everything, /_gone|relation|select |Error:|\.ts\b|argon2|42P01|at \w+ \(/i)
      if (answer.status < 500) continue
      faults.push(`${method} ${path}`)
      assert.equal(answer.body['request_id'], answer.headers.get('x-request-id'))
      assert.equal(answer.body['error'], 'Something went wrong. Please try again later.')
    }
    const untouched = operations
      .map(({ path, method }) => `${method} ${path}`)
      .filter((name) => !faults.includes(name))
    assert.deepEqual(untouched, ['get /auth/challenge'], 'every other route met the fault')
  } finally {
    await app.close()
  }
})
