/** The source of "now" for every lifetime, schedule and back-off. Injected, so that tests can move it. */
export interface Clock {
  now(): Date
}

export const systemClock: Clock = { now: () => new Date() }
