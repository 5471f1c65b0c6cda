import type { Logger } from '../src/platform/observability/logger.ts'

const ignore = (): void => undefined

export const silentLogger: Logger = {
  debug: ignore,
  info: ignore,
  warn: ignore,
  error: ignore,
  child: () => silentLogger,
}

export interface LoggedLine {
  level: 'warn' | 'error'
  message: string
  fields: Readonly<Record<string, unknown>>
}

/** Keeps warnings and errors; a test asserts that there is none it did not expect. */
export const recordingLogger = (): Logger & { lines: LoggedLine[] } => {
  const lines: LoggedLine[] = []
  const logger: Logger & { lines: LoggedLine[] } = {
    lines,
    debug: ignore,
    info: ignore,
    child: () => logger,
    warn: (fields, message) =>
      lines.push({
        level: 'warn',
        message,
        fields,
      }),
    error: (fields, message) =>
      lines.push({
        level: 'error',
        message,
        fields,
      }),
  }
  return logger
}
