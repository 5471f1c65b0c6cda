import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError } from '../../platform/errors.ts'
import { createWaitRoom } from './wait-room.ts'

const isFull = (error: unknown): boolean =>
  error instanceof AppError && error.code === 'rate_limited' && Number(error.details.retryAfterSeconds) >= 1

/** Work that ends when told to. */
const heldWork = () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { work: () => promise, finish: () => resolve() }
}

test('holds for the time asked, no more than the limit at once, and has room again afterwards', async () => {
  const room = createWaitRoom(2)
  const started = performance.now()
  const held = [room.wait(100), room.wait(100)]
  await assert.rejects(room.wait(100), isFull)
  await Promise.all(held)
  assert.ok(performance.now() - started >= 98)
  await room.wait(1)
})

test('one key takes turns, first come, first served; another key does not wait', async () => {
  const room = createWaitRoom(10)
  const order: string[] = []
  const first = heldWork()
  const turns = [
    room.inTurn('a', first.work),
    ...['2nd', '3rd', '4th'].map((name) => room.inTurn('a', async () => void order.push(name))),
  ]
  await room.inTurn('b', async () => void order.push('b'))
  assert.deepEqual(order, ['b'])
  first.finish()
  await Promise.all(turns)
  assert.deepEqual(order, ['b', '2nd', '3rd', '4th'])
})

test('a turn that fails does not stop the line, and the failure is its own', async () => {
  const room = createWaitRoom(10)
  const failing = room.inTurn('a', () => Promise.reject(new Error('this one')))
  const next = room.inTurn('a', () => Promise.resolve('next'))
  await assert.rejects(failing, /this one/)
  assert.equal(await next, 'next')
})

test('whoever is turned away from a full line lets nobody past those who stand in it', async () => {
  const room = createWaitRoom(1)
  const first = heldWork()
  const order: string[] = []
  const running = room.inTurn('a', first.work)
  const waiting = room.inTurn('a', async () => void order.push('waiting'))
  await assert.rejects(
    room.inTurn('a', async () => void order.push('turned away')),
    isFull,
  )
  await assert.rejects(
    room.inTurn('a', async () => void order.push('after it')),
    isFull,
  )
  assert.deepEqual(order, [])
  first.finish()
  await Promise.all([running, waiting])
  assert.deepEqual(order, ['waiting'])
  assert.equal(await room.inTurn('a', () => Promise.resolve('later')), 'later')
})
