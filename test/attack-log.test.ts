import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import * as scene from './account-scene.ts'
import { startTestApp, type TestApp } from './app.ts'
import {
  challenged,
  createAttackScene,
  limited,
  logOf,
  prefixOf,
  refusedCredentials,
  sessionOver,
  timed,
} from './attack-scene.ts'
import {
  asApp,
  asBrowser,
  newClient,
  newUser,
  raiseAccountFailures,
  solveProof,
  throttledEnvironment,
} from './throttle-scene.ts'

// A log: each line is what somebody does and what is answered; the last lines of an attack are what the owner sees of it.

let app: TestApp
let act: ReturnType<typeof createAttackScene>
before(async () => {
  app = await startTestApp({ env: throttledEnvironment })
  act = createAttackScene(app)
})
after(() => app.close())

test('credential stuffing: a leaked list of addresses and passwords', async (t) => {
  const line = logOf(t)
  const [home, bot] = [newClient(), newClient()]
  const careful = await newUser(app)
  const careless = await newUser(app)
  const leaked = (email: string) => ({ email, password: scene.newPassword() })
  const strangers = Array.from({ length: 40 }, () => leaked(scene.newAddress()))
  const owner = await act.signIn(careless, home)

  await line(
    'one script tries ten pairs: 401, the same for accounts that exist and that do not',
    async () => {
      const pairs = [...strangers.slice(0, 9), leaked(careful.email)]
      for (const pair of pairs) refusedCredentials(await act.tryToSignIn(pair, asApp(bot)))
    },
  )
  await line('the eleventh within the minute: 429, whatever the pair', async () => {
    limited(await act.tryToSignIn(leaked(scene.newAddress()), asApp(bot)))
    limited(await act.tryToSignIn(careless, asApp(bot)))
  })
  await line(
    'a minute later: a second’s wait for each, or a challenge if it poses as a browser',
    async () => {
      await scene.advanceClock(app, 60)
      challenged(await act.tryToSignIn(careless, asBrowser(bot)))
      const { answer, seconds } = await timed(act.tryToSignIn(leaked(careful.email), asApp(bot)))
      refusedCredentials(answer)
      assert.ok(seconds >= 0.99, `took ${seconds} s`)
    },
  )
  await line('forty machines try a pair each: 401, alike again; nothing is learned', async () => {
    const pairs = strangers.map((pair, index) => (index % 2 ? pair : leaked(careful.email)))
    for (const pair of pairs.slice(0, 3)) refusedCredentials(await act.tryToSignIn(pair, asApp(newClient())))
    const more = await Promise.all(
      strangers.slice(3).map((pair) => act.tryToSignIn(pair, asApp(newClient()))),
    )
    for (const answer of more) refusedCredentials(answer)
  })
  const thiefAt = newClient()
  let thief = { access: '', refresh: '' }
  await line('the pair that somebody used twice opens the account: no server can tell', async () => {
    thief = await act.signIn(careless, thiefAt)
  })
  await line('its owner sees the strange device, signs it out, changes the password', async () => {
    const strange = (await act.devices(owner.access)).find(({ ip_prefix }) => ip_prefix === prefixOf(thiefAt))
    assert.equal(strange?.current, false)
    const ended = await app.call('DELETE', `/auth/sessions/${strange.id}`, { token: owner.access })
    assert.equal(ended.status, 204)
    await act.assertDead([thief.refresh], thiefAt, [thief.access])
    const json = {
      current_password: careless.password,
      new_password: scene.newPassword(),
    }
    const changed = await app.call('PATCH', '/auth/me', {
      token: owner.access,
      json: { ...json, new_password_confirm: json.new_password },
    })
    assert.equal(changed.status, 200, changed.text)
    refusedCredentials(await act.tryToSignIn(careless, asApp(thiefAt)))
    await act.signIn({ ...careless, password: json.new_password }, home)
  })
  await line(
    'in the owner’s events: both sign-ins, the end, the change; a mail about the change',
    async () => {
      const kinds = ['sign_in', 'sign_in', 'session_ended', 'password_changed', 'sign_in']
      assert.deepEqual(await act.events(careless), kinds)
      await act.assertMails(careless.email, ['password_changed'])
    },
  )
  await line('the other account: no event, no mail, its owner signs in', async () => {
    assert.deepEqual(await act.events(careful), [])
    await act.signIn(careful, newClient())
    await act.assertMails(careful.email, [])
  })
})

test('one account, guessed at from many addresses', async (t) => {
  const line = logOf(t)
  const home = newClient()
  const owner = await newUser(app)
  const phone = await act.signIn(owner, home)
  const guess = () => ({ email: owner.email, password: scene.newPassword() })

  await line('three machines guess: 401', async () => {
    for (let bots = 0; bots < 3; bots += 1)
      refusedCredentials(await act.tryToSignIn(guess(), asApp(newClient())))
  })
  await line('the fourth waits a second, the fifth two; a browser needs a challenge, once each', async () => {
    for (const delay of [1, 2]) {
      const { answer, seconds } = await timed(act.tryToSignIn(guess(), asApp(newClient())))
      refusedCredentials(answer)
      assert.ok(seconds >= delay - 0.01, `${seconds} s`)
    }
    challenged(await act.tryToSignIn(guess(), asBrowser(newClient())))
    const proof = await solveProof(app, 'login')
    refusedCredentials(await act.tryToSignIn(guess(), asBrowser(newClient()), { proof }))
    challenged(await act.tryToSignIn(guess(), asBrowser(newClient()), { proof }))
  })
  await line('ten at once: each waits the longest delay, eight seconds', async () => {
    const burst = Array.from({ length: 10 }, () => timed(act.tryToSignIn(guess(), asApp(newClient()))))
    for (const { answer, seconds } of await Promise.all(burst)) {
      refusedCredentials(answer)
      assert.ok(seconds >= 7.99, `${seconds} s`)
    }
  })
  await line(
    'after fifty within the hour: 429 for strangers, proof or not, right password or not',
    async () => {
      await raiseAccountFailures(app, owner.email, 34)
      limited(await act.tryToSignIn(guess(), asApp(newClient())))
      const proof = await solveProof(app, 'login')
      limited(await act.tryToSignIn(owner, asBrowser(newClient()), { proof }))
    },
  )
  await line('the owner’s phone was never signed out', async () => {
    assert.ok(await act.isSignedIn(phone.access))
    await act.useToken(phone.refresh, home)
  })
  await line('the owner signs in at home, after the app’s eight seconds', async () => {
    const { answer, seconds } = await timed(act.tryToSignIn(owner, asApp(home)))
    assert.equal(answer.status, 200, answer.text)
    assert.ok(seconds >= 7.99 && seconds < 20, `${seconds} s`)
  })
  await line('the owner sees two sign-ins, two devices of one network, no mail', async () => {
    assert.deepEqual(await act.events(owner), ['sign_in', 'sign_in'])
    const prefixes = (await act.devices(phone.access)).map(({ ip_prefix }) => ip_prefix)
    assert.deepEqual(prefixes, [prefixOf(home), prefixOf(home)])
    await act.assertMails(owner.email, [])
  })
})

test('a refresh token stolen from the shipped app', async (t) => {
  const line = logOf(t)
  const [home, elsewhere] = [newClient(), newClient()]
  const owner = await newUser(app)
  const phone = await act.signIn(owner, home)
  const browser = await act.signIn(owner, home)

  await line('the app presents its first token again and again: 200', async () => {
    for (let week = 0; week < 3; week += 1) await act.useToken(phone.refresh, home)
  })
  await line('the thief presents a copy: 200, and is the newest face in the device list', async () => {
    await act.useToken(phone.refresh, elsewhere, 'curl/8')
    const seen = (await act.devices(browser.access)).find(({ user_agent }) => user_agent === 'curl/8')
    assert.equal(seen?.ip_prefix, prefixOf(elsewhere))
  })
  const stolen = await act.useToken(phone.refresh, elsewhere, 'curl/8')
  const further = { access: '', successor: '' }
  await line('the thief goes on with the successor: 200', async () => {
    Object.assign(further, await act.useToken(stolen.successor, elsewhere, 'curl/8'))
  })
  await line(
    'the app presents its token: 401, reuse; now nobody holds a working token of that session',
    async () => {
      scene.assertRefused(await act.refresh(phone.refresh, home), 401, sessionOver)
      await act.assertDead([further.successor, stolen.successor, phone.refresh], elsewhere, [
        phone.access,
        stolen.access,
        further.access,
      ])
    },
  )
  await line(
    'the owner sees one reuse and one mail; the browser lives on; signing in again works',
    async () => {
      assert.deepEqual(await act.events(owner), ['sign_in', 'sign_in', 'reuse'])
      await act.assertMails(owner.email, ['session_closed'])
      await act.useToken(browser.refresh, home)
      await act.signIn(owner, home)
    },
  )
})

test('a refresh token stolen from a client that adopts successors', async (t) => {
  const line = logOf(t)
  const [home, elsewhere] = [newClient(), newClient()]
  for (const [first, second, loser] of [
    ['thief', 'client', 'client'],
    ['client', 'thief', 'thief'],
  ] as const) {
    const owner = await newUser(app)
    const start = await act.signIn(owner, home)
    const shared = await act.useToken(start.refresh, home)
    const own = { client: { access: '', successor: '' }, thief: { access: '', successor: '' } }
    const at = { client: home, thief: elsewhere }
    await line(`both present the stolen token, ${first} first: 200, 200, a successor each`, async () => {
      for (const who of [first, second] as const) own[who] = await act.useToken(shared.successor, at[who])
    })
    await line(`the ${first} presents its successor: 200; the ${loser} its own: 401, reuse`, async () => {
      const next = await act.useToken(own[first].successor, at[first])
      scene.assertRefused(await act.refresh(own[second].successor, at[second]), 401, sessionOver)
      await act.assertDead(
        [next.successor, own[first].successor, own[second].successor, shared.successor, start.refresh],
        home,
        [start.access, shared.access, own.client.access, own.thief.access, next.access],
      )
    })
    await line('the owner sees one reuse and one mail, and signs in again', async () => {
      assert.deepEqual(await act.events(owner), ['sign_in', 'reuse'])
      await act.assertMails(owner.email, ['session_closed'])
      await act.signIn(owner, home)
    })
  }
})
