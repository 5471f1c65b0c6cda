import type { ValueType } from './parse.ts'

export type Environment = 'development' | 'test' | 'production'

/** W web, K worker, S scheduler, C command line. */
export type ProcessLetter = 'W' | 'K' | 'S' | 'C'

export interface Variable<T> {
  type: ValueType<T>
  /** `null` where unset has a meaning of its own, or the default follows another variable (defaults.ts). */
  fallback: (environment: Environment) => T
  processes: readonly ProcessLetter[]
  meaning: string
  isSecret: boolean
  isRequiredInProduction: boolean
  /** A bad value is replaced by the default, with a warning (30 §15). */
  isLenient: boolean
}

type Flag = 'secret' | 'required' | 'lenient'

const byLetter: Readonly<Record<string, ProcessLetter>> = { W: 'W', K: 'K', S: 'S', C: 'C' }

/** One line of a table: type, default, processes that read it (letters or `all`), meaning, flags. */
export const row = <T, D extends T | null>(
  type: ValueType<T>,
  fallback: D | ((environment: Environment) => D),
  processes: string,
  meaning: string,
  ...flags: Flag[]
): Variable<T | D> => ({
  type,
  fallback: typeof fallback === 'function' ? (fallback as (environment: Environment) => D) : () => fallback,
  processes:
    processes === 'all'
      ? ['W', 'K', 'S', 'C']
      : processes.split('').flatMap((letter) => byLetter[letter] ?? []),
  meaning,
  isSecret: flags.includes('secret'),
  isRequiredInProduction: flags.includes('required'),
  isLenient: flags.includes('lenient'),
})

/** A default of its own in development. */
export const development =
  <A, B>(there: A, elsewhere: B) =>
  (environment: Environment): A | B =>
    environment === 'development' ? there : elsewhere

/** A default of its own in production. */
export const production =
  <A, B>(there: A, elsewhere: B) =>
  (environment: Environment): A | B =>
    environment === 'production' ? there : elsewhere
