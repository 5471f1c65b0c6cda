import { isConnectionFault } from '../../platform/db/database.ts'
import { SpeechError, type SpeechErrorKind } from '../../providers/speech/speech.ts'
import { StorageUnavailable } from '../../providers/storage/storage.ts'

/** Why something is not gone yet, in words that an operator can act on. */
export type DeletionFailure =
  | 'rate_limited'
  | 'unavailable'
  | 'refused'
  | 'not_configured'
  /** Said to be removed, and there all the same. */
  | 'still_there'
  | 'unexpected'

const bySpeech: Partial<Record<SpeechErrorKind, DeletionFailure>> = {
  throttled: 'rate_limited',
  concurrency: 'rate_limited',
  transient: 'unavailable',
  configuration: 'not_configured',
}

/** Classifies what a provider or store threw; never its text. */
export const failureOf = (error: unknown): DeletionFailure => {
  if (error instanceof SpeechError) return bySpeech[error.kind] ?? 'refused'
  const isTimeout = error instanceof Error && error.name === 'TimeoutError'
  return error instanceof StorageUnavailable || isTimeout || isConnectionFault(error)
    ? 'unavailable'
    : 'unexpected'
}
