import assert from 'node:assert/strict'
import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { test } from 'node:test'
import { addressPrefix, clientAddress } from './client-address.ts'

const request = (remoteAddress: string | undefined, forwarded?: string | string[]): IncomingMessage => {
  const socket = new Socket()
  Object.defineProperty(socket, 'remoteAddress', { value: remoteAddress })
  const message = new IncomingMessage(socket)
  if (forwarded !== undefined) Reflect.set(message.headers, 'x-forwarded-for', forwarded)
  return message
}

const cases: [
  name: string,
  hops: number,
  socket: string | undefined,
  forwarded: string | undefined,
  want: string,
][] = [
  ['no proxy: the header changes nothing', 0, '198.51.100.7', '203.0.113.9', '198.51.100.7'],
  ['no proxy: a mapped address is its IPv4 address', 0, '::ffff:198.51.100.7', undefined, '198.51.100.7'],
  ['no proxy: IPv6 in lower case', 0, '2001:DB8::1', undefined, '2001:db8::1'],
  ['no socket address', 0, undefined, undefined, ''],
  ['one proxy: the last entry', 1, '10.0.0.1', '203.0.113.9', '203.0.113.9'],
  ['one proxy: a prepended entry is ignored', 1, '10.0.0.1', '6.6.6.6, 203.0.113.9', '203.0.113.9'],
  ['two proxies: the second from the right', 2, '10.0.0.1', '6.6.6.6, 203.0.113.9, 10.0.0.2', '203.0.113.9'],
  ['fewer entries than proxies', 3, '10.0.0.1', '203.0.113.9, 10.0.0.2', '10.0.0.1'],
  ['no header', 1, '10.0.0.1', undefined, '10.0.0.1'],
  ['an empty header', 1, '10.0.0.1', '', '10.0.0.1'],
  ['a trailing comma', 1, '10.0.0.1', '203.0.113.9,', '10.0.0.1'],
  ['no whitespace', 2, '10.0.0.1', '203.0.113.9,10.0.0.2', '203.0.113.9'],
  ['a mapped entry', 1, '10.0.0.1', '::FFFF:203.0.113.9', '203.0.113.9'],
  ['an IPv6 entry', 1, '10.0.0.1', '2001:DB8::9', '2001:db8::9'],
  ['text', 1, '10.0.0.1', 'unknown', '10.0.0.1'],
  ['an address with a port', 1, '10.0.0.1', '203.0.113.9:4711', '10.0.0.1'],
  ['a number out of range', 1, '10.0.0.1', '203.0.113.999', '10.0.0.1'],
  ['an injected line', 1, '10.0.0.1', "203.0.113.9'; drop table", '10.0.0.1'],
]
for (const [name, hops, socket, forwarded, want] of cases)
  test(`client address: ${name}`, () => {
    assert.equal(clientAddress(request(socket, forwarded), hops), want)
  })

test('client address: several headers count as one list', () => {
  assert.equal(clientAddress(request('10.0.0.1', ['6.6.6.6', '203.0.113.9']), 1), '203.0.113.9')
})

const prefixes: [address: string, prefix: string][] = [
  ['203.0.113.9', '203.0.113.0/24'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1::/48'],
  ['2001:db8::1', '2001:db8:0::/48'],
  ['2001:0db8:00ff::', '2001:db8:ff::/48'],
  ['::1', '0:0:0::/48'],
  ['fe80::1%eth0', 'fe80:0:0::/48'],
  ['', ''],
  ['unknown', ''],
]
for (const [address, prefix] of prefixes)
  test(`prefix of ${address || 'nothing'}`, () => {
    assert.equal(addressPrefix(address), prefix)
  })
