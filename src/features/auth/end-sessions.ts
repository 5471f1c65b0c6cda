import type { Tx } from '../../platform/db/database.ts'
import * as queries from './queries.ts'

/** Ends the account's live sessions but one, each with its security event. The caller holds the user. */
export const endSessions = async (
  tx: Tx,
  end: {
    userId: number
    reason: 'password_change' | 'email_change' | 'password_reset' | 'everywhere'
    exceptSessionId?: number
    device: queries.Device
    now: Date
  },
): Promise<void> => {
  const { userId, device, now } = end
  for (const sessionId of await queries.endSessionsOf(tx, userId, end.reason, now, end.exceptSessionId))
    await queries.insertAuthEvent(tx, { userId, kind: 'session_ended', sessionId, device, now })
}
