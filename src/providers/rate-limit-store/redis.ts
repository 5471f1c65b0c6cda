import { createHash } from 'node:crypto'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import type { Counter, RateLimitStore } from './rate-limit-store.ts'
import { createRedisConnection } from './redis-connection.ts'

const keyPrefix = 'dawnotemu:'

/**
 * KEYS: counters. ARGV: now, then the window of each, ms; a window of 0 only reads. Answers count and end of each.
 * Windows end by the `now` of the caller. The key's own expiry is only cleaning up, a minute late because clocks differ.
 */
const script = `
local now = tonumber(ARGV[1])
local answer = {}
for index, key in ipairs(KEYS) do
  local window = tonumber(ARGV[index + 1])
  local state = redis.call('HMGET', key, 'count', 'ends')
  local count, ends = tonumber(state[1]) or 0, tonumber(state[2]) or 0
  if ends <= now then count, ends = 0, now + window end
  if window > 0 then
    count = count + 1
    redis.call('HSET', key, 'count', count, 'ends', ends)
    if count == 1 then redis.call('PEXPIRE', key, window + 60000) end
  end
  answer[2 * index - 1], answer[2 * index] = count, ends
end
return answer`
const scriptDigest = createHash('sha1').update(script).digest('hex')

const replySchema = Type.Array(Type.Integer({ minimum: 0 }))

export interface RedisCounters extends RateLimitStore {
  /** Rejects when Redis does not answer. */
  ping(): Promise<void>
}

/**
 * Counts in Redis (7 or later), all counters of a call in one round trip. Connects in the background; without a
 * connection, or without an answer within 250 ms, a call rejects. `url` is `redis://` or `rediss://`.
 */
export const createRedisCounters = ({ url }: { url: string }): RedisCounters => {
  const connection = createRedisConnection({ url })

  const evaluate = async (
    keys: readonly string[],
    windowsMs: readonly number[],
    now: Date,
  ): Promise<Counter[]> => {
    if (keys.length === 0) return []
    const options = {
      keys: keys.map((key) => keyPrefix + key),
      arguments: [now.getTime(), ...windowsMs].map(String),
    }
    const reply = await connection.run(async (client): Promise<unknown> => {
      try {
        return await client.evalSha(scriptDigest, options)
      } catch (error) {
        if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
        return client.eval(script, options)
      }
    })
    const numbers = Value.Parse(replySchema, reply)
    return keys.map((_key, index) => {
      const count = numbers[2 * index] ?? 0
      return { count, resetsAt: new Date(count === 0 ? 0 : (numbers[2 * index + 1] ?? 0)) }
    })
  }
  const hit: RateLimitStore['hit'] = (asked, now) =>
    evaluate(
      asked.map(({ key }) => key),
      asked.map(({ windowSeconds }) => Math.ceil(windowSeconds * 1000)),
      now,
    )

  return {
    name: 'redis',
    hit,
    read: (keys, now) =>
      evaluate(
        keys,
        keys.map(() => 0),
        now,
      ),
    clear: async (keys) => {
      if (keys.length > 0) await connection.run((client) => client.unlink(keys.map((key) => keyPrefix + key)))
    },
    claim: async (key, ttlSeconds, now) =>
      (await hit([{ key, windowSeconds: ttlSeconds }], now))[0]?.count === 1,
    ping: async () => {
      await connection.run((client) => client.ping())
    },
    close: connection.close,
  }
}
