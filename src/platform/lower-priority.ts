import { getPriority, setPriority } from 'node:os'

const steps = 10

/**
 * Lets everything else go first where the cores are busy: answers come before sound and hashes. `pid` is a child process,
 * or 0 for the calling thread, which only Linux knows apart from its process; elsewhere 0 does nothing. A process that
 * has just ended is no error.
 */
export const lowerPriority = (pid: number): void => {
  if (pid === 0 && process.platform !== 'linux') return
  try {
    setPriority(pid, Math.min(19, getPriority(pid) + steps))
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ERR_SYSTEM_ERROR')) throw error
  }
}
