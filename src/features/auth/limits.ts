import type { LimitPolicy } from '../../platform/http/limits.ts'

const minute = 60
const hour = 3600
const day = 86_400

export const registerLimit: LimitPolicy = {
  name: 'register',
  by: 'address',
  windows: [
    { quota: 5, seconds: minute },
    { quota: 20, seconds: hour },
  ],
}

export const loginLimit: LimitPolicy = {
  name: 'login',
  by: 'address',
  windows: [{ quota: 10, seconds: minute }],
}

/** Counts failures only: the route applies it itself. */
export const refreshLimit: LimitPolicy = {
  name: 'refresh',
  by: 'address',
  windows: [{ quota: 30, seconds: 5 * minute }],
}

export const profileLimit: LimitPolicy = {
  name: 'profile',
  by: 'user',
  windows: [{ quota: 5, seconds: minute }],
}

export const deleteLimit: LimitPolicy = {
  name: 'delete',
  by: 'user',
  windows: [{ quota: 3, seconds: 5 * minute }],
}

export const resendLimit: LimitPolicy = {
  name: 'resend',
  by: 'address',
  windows: [{ quota: 5, seconds: 5 * minute }],
}

export const resetRequestLimit: LimitPolicy = {
  name: 'reset-request',
  by: 'address',
  windows: [{ quota: 5, seconds: 5 * minute }],
}

/** Setting a password by a mailed link, all tokens together. */
export const resetLimit: LimitPolicy = {
  name: 'reset',
  by: 'address',
  windows: [{ quota: 5, seconds: 5 * minute }],
}

/** Opening a mailed link, and confirming by one. */
export const linkLimit: LimitPolicy = {
  name: 'link',
  by: 'address',
  windows: [{ quota: 30, seconds: 5 * minute }],
}

export const challengeLimit: LimitPolicy = {
  name: 'challenge',
  by: 'address',
  windows: [{ quota: 30, seconds: minute }],
}

export const exportLimit: LimitPolicy = {
  name: 'export',
  by: 'user',
  windows: [{ quota: 3, seconds: day }],
}
