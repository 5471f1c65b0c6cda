/** Why an attempt ended without a narration: the only texts that reach a client, and the reason of the refund. */
const table = {
  allocation_timeout: ['Timed out waiting for voice allocation', 'voice_allocation_timeout'],
  allocation_failed: ['The voice could not be prepared; please try again later.', 'voice_slot_manager_error'],
  sample_missing: [
    'Voice sample is missing from storage; please re-upload the recording.',
    'voice_slot_manager_error',
  ],
  voice_rejected: [
    'The recording could not be turned into a voice; please record it again.',
    'voice_slot_manager_error',
  ],
  synthesis_failed: ['The story could not be narrated; please try again later.', 'synthesis_failed'],
  synthesis_timeout: ['Narration took too long; please try again later.', 'synthesis_failed'],
  storage_failed: ['Failed to store the narration', 'storage_failed'],
  internal: ['Narration failed unexpectedly; please try again later.', 'task_exception'],
  cancelled: ['Narration was cancelled', 'admin_refund'],
  audio_lost: ['The audio file was lost; it will be made again free of charge.', 'none'],
} as const satisfies Record<string, readonly [text: string, refundReason: string]>

export type Outcome = keyof typeof table

export const outcomeText = (code: string | null): string => {
  const known = Object.entries(table).find(([name]) => name === code)
  return known ? known[1][0] : table.internal[0]
}

export const refundReasonOf = (outcome: Outcome): string => table[outcome][1]
