import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  constantTimeEqual,
  counterKey,
  deriveKeys,
  isRefreshTokenForm,
  keyPurposes,
  mailToken,
  newRefreshToken,
  randomToken,
  sha256,
  tokenChecksum,
} from './crypto.ts'

test('each purpose has its own 32-byte key, the same at every start', () => {
  const keys = deriveKeys('root secret', [])
  const hex = keyPurposes.map((purpose) => Buffer.from(keys[purpose].current).toString('hex'))
  assert.equal(new Set(hex).size, keyPurposes.length)
  assert.ok(hex.every((key) => key.length === 64))
  assert.deepEqual(deriveKeys('root secret', []), keys)
})

test('keys of earlier secrets verify only', () => {
  const old = deriveKeys('old', [])
  const keys = deriveKeys('new', ['old', 'older'])
  assert.deepEqual(keys.access.all, [
    keys.access.current,
    old.access.current,
    deriveKeys('older', []).access.current,
  ])
  assert.notDeepEqual(keys.access.current, old.access.current)
})

test('HKDF agrees with a computation by hand (RFC 5869 with an empty salt)', async () => {
  const { createHmac } = await import('node:crypto')
  const extracted = createHmac('sha256', Buffer.alloc(32)).update('root').digest()
  const expanded = createHmac('sha256', extracted).update('dawnotemu file-link').update(Buffer.of(1)).digest()
  assert.deepEqual(Buffer.from(deriveKeys('root', [])['file-link'].current), expanded)
})

test('random tokens are base64url without padding and differ', () => {
  assert.match(randomToken(32), /^[A-Za-z0-9_-]{43}$/)
  assert.notEqual(randomToken(32), randomToken(32))
})

test('sha256 takes text and bytes alike', () => {
  assert.equal(
    sha256('abc').toString('hex'),
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  )
  assert.deepEqual(sha256(Buffer.from('abc')), sha256('abc'))
})

test('constantTimeEqual compares texts and bytes of any length', () => {
  assert.equal(constantTimeEqual('żółw', Buffer.from('żółw')), true)
  assert.equal(constantTimeEqual('a', 'b'), false)
  assert.equal(constantTimeEqual('a', 'ab'), false)
  assert.equal(constantTimeEqual('', ''), true)
})

test('the checksum is CRC-32 in six base62 digits, zero padded', () => {
  // 0xCBF43926, the check value of CRC-32.
  assert.equal(tokenChecksum('123456789'), '3jZRME')
  assert.equal(tokenChecksum(''), '000000')
})

test('a refresh token has its form and no changed copy of it passes', () => {
  const token = newRefreshToken()
  assert.match(token, /^dtr_[A-Za-z0-9_-]{43}[0-9A-Za-z]{6}$/)
  assert.equal(isRefreshTokenForm(token), true)
  for (let index = 0; index < token.length; index += 1) {
    const other = token[index] === 'A' ? 'B' : 'A'
    assert.equal(
      isRefreshTokenForm(token.slice(0, index) + other + token.slice(index + 1)),
      false,
      `place ${index}`,
    )
  }
  for (const wrong of [
    '',
    'dtr_',
    token.slice(0, -1),
    `${token}0`,
    `${token}\n`,
    ` ${token}`,
    token.toUpperCase(),
  ])
    assert.equal(isRefreshTokenForm(wrong), false)
})

test('a mail token depends on key and salt alone', () => {
  const key = deriveKeys('root', [])['mail-link'].current
  assert.match(mailToken(key, 'salt'), /^[A-Za-z0-9_-]{43}$/)
  assert.equal(mailToken(key, Buffer.from('salt')), mailToken(key, 'salt'))
  assert.notEqual(mailToken(key, 'salt'), mailToken(key, 'tlas'))
  assert.notEqual(mailToken(deriveKeys('other', [])['mail-link'].current, 'salt'), mailToken(key, 'salt'))
})

test('the name of a counter depends on key, kind and value, and hides the value', () => {
  const keyOf = counterKey(deriveKeys('root', []).challenge.current)
  assert.match(keyOf('limit:login:60', '192.0.2.1'), /^limit:login:60:[A-Za-z0-9_-]{22}$/)
  assert.equal(keyOf('a', '192.0.2.1'), keyOf('a', '192.0.2.1'))
  assert.notEqual(keyOf('a', '192.0.2.1'), keyOf('a', '192.0.2.2'))
  assert.notEqual(counterKey(deriveKeys('other', []).challenge.current)('a', 'b'), keyOf('a', 'b'))
})
