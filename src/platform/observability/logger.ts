import { AsyncLocalStorage } from 'node:async_hooks'
import { destination as openDestination, pino, stdTimeFunctions, type DestinationStream } from 'pino'
import { prettyFactory } from 'pino-pretty'
import { bounded, safeFields } from './fields.ts'
import { scrubLine } from './scrub.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFields = Readonly<Record<string, unknown>>

/** Errors go into the field `err`. */
export interface Logger {
  debug(fields: LogFields, message: string): void
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
  /** A logger whose lines also carry these fields. */
  child(fields: LogFields): Logger
}

export interface LoggerOptions {
  level: LogLevel
  format: 'json' | 'pretty'
  role: string
  release: string
  /** Takes whole lines; standard output if absent. */
  destination?: DestinationStream
}

const context = new AsyncLocalStorage<LogFields>()

/** Runs `run` so that every line logged inside, after awaits too, carries `fields` (`request_id`, `job_id` …). */
export const withContext = <T>(fields: LogFields, run: () => T): T =>
  context.run({ ...context.getStore(), ...fields }, run)

/** The fields given by the `withContext` around the caller. */
export const currentContext = (): LogFields => context.getStore() ?? {}

// Both write in the calling thread: a line is out before a crash, and no worker keeps the process alive.
const openStream = (options: LoggerOptions): DestinationStream => {
  const target = options.destination ?? openDestination({ dest: 1, sync: true })
  if (options.format === 'json') return target
  const format = prettyFactory({
    colorize: options.destination === undefined && process.stdout.isTTY,
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'role,release',
    // Errors are plain fields by now; frames are printed as a list.
    errorLikeObjectKeys: [],
  })
  return { write: (line) => target.write(format(line)) }
}

/**
 * One line per event: `time` (ISO), `level` (text), `role`, `release`, fields of the context, own fields, `msg`.
 * Fields are made safe by name and kind, and the finished line passes `scrubLine` (40 §10.5).
 */
export const createLogger = (options: LoggerOptions): Logger => {
  const root = pino(
    {
      level: options.level,
      base: { role: options.role, release: options.release },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      // `safeFields` has dealt with errors; pino's own serializer would add what it left out.
      serializers: { err: (value: unknown) => value },
      hooks: { streamWrite: scrubLine },
    },
    openStream(options),
  )
  const bind = (bound: LogFields): Logger => {
    const write =
      (level: LogLevel) =>
      (fields: LogFields, message: string): void => {
        if (root.isLevelEnabled(level))
          root[level](safeFields({ ...context.getStore(), ...bound, ...fields }), bounded(message))
      }
    return {
      debug: write('debug'),
      info: write('info'),
      warn: write('warn'),
      error: write('error'),
      child: (fields) => bind({ ...bound, ...fields }),
    }
  }
  return bind({})
}
