import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import * as scene from './account-scene.ts'
import type { TestApp } from './app.ts'
import { newClient, newUser, startThrottledApp } from './throttle-scene.ts'

let app: TestApp
const startWith = (hops: string) => async () => {
  app = await startThrottledApp({ work: false, env: { TRUSTED_PROXY_HOPS: hops } })
}

/** What is left of the 30 challenges a minute after one more request with this header. */
const leftAfter = async (forwardedFor?: string): Promise<number> => {
  const headers = forwardedFor === undefined ? {} : { 'x-forwarded-for': forwardedFor }
  const answer = await app.call('GET', '/auth/challenge?purpose=mail', { headers })
  return Number(/r=(\d+)/.exec(answer.headers.get('ratelimit') ?? '')?.[1])
}

const prefixAfterLogin = async (forwardedFor: string): Promise<unknown> => {
  const { id, email, password } = await newUser(app)
  const headers = { 'x-forwarded-for': forwardedFor }
  assert.equal((await app.call('POST', '/auth/login', { json: { email, password }, headers })).status, 200)
  return (await scene.rows(app, 'select ip_prefix from sessions where user_id = $1', [id]))[0]?.['ip_prefix']
}

describe('A-L7: no trusted proxy', () => {
  before(startWith('0'))
  after(() => app.close())

  test('a forged X-Forwarded-For changes nothing: one quota, 429 at its end, the socket’s prefix', async () => {
    for (let left = 29; left >= 0; left -= 1)
      assert.equal(await leftAfter(left % 3 === 0 ? undefined : newClient()), left)
    const headers = { 'x-forwarded-for': newClient() }
    assert.equal((await app.call('GET', '/auth/challenge?purpose=mail', { headers })).status, 429)
    assert.equal(await prefixAfterLogin('203.0.113.9'), '127.0.0.0/24')
  })
})

describe('A-L7: one trusted proxy', () => {
  before(startWith('1'))
  after(() => app.close())

  test('two clients behind it have quotas of their own', async () => {
    const [one, other] = [newClient(), newClient()]
    assert.deepEqual([await leftAfter(one), await leftAfter(one), await leftAfter(other)], [29, 28, 29])
  })

  test('an entry that the client prepended is ignored, however many', async () => {
    const client = newClient()
    assert.equal(await leftAfter(client), 29)
    assert.equal(await leftAfter(`${newClient()}, ${client}`), 28)
    assert.equal(await leftAfter(`a, ${newClient()}, 2001:db8::1,${client}`), 27)
    assert.equal(await prefixAfterLogin('203.0.113.9, 198.51.100.7'), '198.51.100.0/24')
  })

  test('no entry, or none that is an address: the socket’s own', async () => {
    const first = await leftAfter()
    for (const [step, header] of ['', 'unknown', '999.1.2.3', 'a, '].entries())
      assert.equal(await leftAfter(header), first - step - 1, header)
  })

  test('IPv6 counts per /64, an IPv4-mapped address as its IPv4', async () => {
    assert.equal(await leftAfter('2001:db8:1:2::1'), 29)
    assert.equal(await leftAfter('2001:DB8:1:2:ffff:ffff:ffff:ffff'), 28)
    assert.equal(await leftAfter('2001:0db8:0001:0002:0000:0000:0000:0009'), 27)
    assert.equal(await leftAfter('2001:db8:1:3::1'), 29)
    const client = newClient()
    assert.equal(await leftAfter(client), 29)
    assert.equal(await leftAfter(`::ffff:${client}`), 28)
    assert.equal(await leftAfter(`::FFFF:${client}`), 27)
    assert.equal(await prefixAfterLogin('2001:db8:1:2::1'), '2001:db8:1::/48')
  })
})

describe('A-L7: two trusted proxies', () => {
  before(startWith('2'))
  after(() => app.close())

  test('the second entry from the right; with fewer the socket’s address', async () => {
    const client = newClient()
    assert.equal(await leftAfter(`${client}, 10.0.0.1`), 29)
    assert.equal(await leftAfter(`${newClient()}, ${client}, 10.0.0.2`), 28)
    assert.equal(await leftAfter(client), 29, 'the socket')
    assert.equal(await leftAfter(newClient()), 28, 'the socket')
  })
})
