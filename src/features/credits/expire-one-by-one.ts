import type { Database } from '../../platform/db/database.ts'
import type { Logger } from '../../platform/observability/logger.ts'
import type { Credits } from './credits.ts'

export interface ExpiryOutcome {
  lotId: number
  outcome: 'expired' | 'nothing_to_expire' | 'failed'
  points: number
}

/** Expires lots, each in a transaction of its own: one that fails is logged and reported, and the others are done. */
export const expireOneByOne = async (
  deps: { database: Database; logger: Logger; credits: Pick<Credits, 'expireLot'> },
  lotIds: readonly number[],
  reason: string,
): Promise<ExpiryOutcome[]> => {
  const outcomes: ExpiryOutcome[] = []
  for (const lotId of lotIds)
    try {
      const points = await deps.database.transaction((tx) => deps.credits.expireLot(tx, lotId, reason))
      outcomes.push({ lotId, points, outcome: points > 0 ? 'expired' : 'nothing_to_expire' })
    } catch (error) {
      deps.logger.error({ lot_id: lotId, err: error }, 'lot was not expired')
      outcomes.push({ lotId, points: 0, outcome: 'failed' })
    }
  return outcomes
}
