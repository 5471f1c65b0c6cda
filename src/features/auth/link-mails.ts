import { randomBytes } from 'node:crypto'
import type { Clock } from '../../platform/clock.ts'
import { mailToken, sha256 } from '../../platform/crypto.ts'
import type { Tx } from '../../platform/db/database.ts'
import type { Mail } from '../mail/mail.ts'
import type { User } from '../users/users.ts'
import * as mailTokens from './mail-token-queries.ts'

const hourMs = 3_600_000
const confirmLifetimeMs = 24 * hourMs
const resetLifetimeMs = hourMs
const mailsAnHour = 3

export interface LinkMails {
  /**
   * Queues a mail with a new confirmation link and voids the account's older ones. False when the address had its three
   * of this hour: then there is no mail, and the older link lives on. The caller holds the user.
   */
  confirmation(tx: Tx, userId: number, address: string): Promise<boolean>
  /** The same with a reset link, bound to the present password, to the stored address. */
  reset(tx: Tx, user: User): Promise<boolean>
}

const tokenForm = /^[A-Za-z0-9_-]{43}$/

/** What a link's token is looked up by; null for a text that cannot be one. */
export const linkTokenHash = (token: string): Buffer | null => (tokenForm.test(token) ? sha256(token) : null)

/** Makes the tokens of mailed links. The row keeps salt and hash; the token itself exists only in the mail. */
export const createLinkMails = (deps: { clock: Clock; mail: Mail; linkKey: Uint8Array }): LinkMails => {
  const { clock, mail } = deps

  const newToken = (): { salt: Buffer; tokenHash: Buffer } => {
    const salt = randomBytes(32)
    return { salt, tokenHash: sha256(mailToken(deps.linkKey, salt)) }
  }
  const hourBefore = (now: Date): Date => new Date(now.getTime() - hourMs)

  return {
    confirmation: async (tx, userId, address) => {
      const now = clock.now()
      if ((await mailTokens.countConfirmTokens(tx, address, hourBefore(now))) >= mailsAnHour) return false
      await mailTokens.voidMailTokens(tx, userId, 'confirm', now)
      const expiresAt = new Date(now.getTime() + confirmLifetimeMs)
      const token = { ...newToken(), kind: 'confirm' as const, userId, address, now, expiresAt }
      const mailTokenId = await mailTokens.insertMailToken(tx, token)
      await mail.queue(tx, { kind: 'confirm_email', userId, recipient: address, mailTokenId, expiresAt })
      return true
    },

    reset: async (tx, { id: userId, email, credentialVersion }) => {
      const now = clock.now()
      if (email === null) return false
      if ((await mailTokens.countResetTokens(tx, userId, hourBefore(now))) >= mailsAnHour) return false
      await mailTokens.voidMailTokens(tx, userId, 'reset', now)
      const expiresAt = new Date(now.getTime() + resetLifetimeMs)
      const token = { ...newToken(), kind: 'reset' as const, userId, credentialVersion, now, expiresAt }
      const mailTokenId = await mailTokens.insertMailToken(tx, token)
      await mail.queue(tx, { kind: 'reset_password', userId, recipient: email, mailTokenId, expiresAt })
      return true
    },
  }
}
