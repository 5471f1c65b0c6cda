import type { Logger } from '../observability/logger.ts'

const batchSize = 500
const mostFailures = 0.1

export interface BatchOutcome {
  tried: number
  failed: number
  /** More than 10 % of what was tried failed. */
  isFailed: boolean
}

/**
 * Works through ids in ascending order, in batches of 500 found by `list`, each by a call of `work`, which opens its own
 * transaction. What fails is logged and skipped. Ends with a rejection only when aborted or when `list` fails.
 */
export const eachInBatches = async (options: {
  /** Ids above `after`, ascending, at most `limit`. */
  list: (after: number, limit: number) => Promise<readonly number[]>
  work: (id: number) => Promise<void>
  signal: AbortSignal
  logger: Logger
  /** What the ids are of, for the log: `user_id`. */
  field: string
}): Promise<BatchOutcome> => {
  const { list, work, signal, logger, field } = options
  let tried = 0
  let failed = 0
  for (let after = 0, isLast = false; !isLast;) {
    signal.throwIfAborted()
    const ids = await list(after, batchSize)
    for (const id of ids) {
      signal.throwIfAborted()
      tried += 1
      try {
        await work(id)
      } catch (error) {
        failed += 1
        logger.error({ [field]: id, err: error }, 'skipped in a scheduled run')
      }
    }
    after = ids.at(-1) ?? after
    isLast = ids.length < batchSize
  }
  return { tried, failed, isFailed: failed > tried * mostFailures }
}
