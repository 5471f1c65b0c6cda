import type { Environment, ProcessLetter, Variable } from './variable.ts'
import { variables, type Values, type VariableName } from './variables.ts'

export type EnvironmentVariables = Readonly<Record<string, string | undefined>>

/** What the variables said, each read by itself. */
export interface Reading {
  environment: Environment
  values: Values
  /** A name of the table or any other; blank counts as unset. */
  isSet: (name: string) => boolean
  /** Whether one of the processes in question reads it. */
  isUsed: (name: VariableName) => boolean
  problems: string[]
  warnings: string[]
}

const readEnvironment = (
  given: (name: string) => string,
): { environment: Environment; problems: string[] } => {
  const { read, expected } = variables.APP_ENV.type
  const name = given('APP_ENV') === '' ? 'FLASK_ENV' : 'APP_ENV'
  if (given(name) === '')
    return { environment: given('NODE_ENV') === 'production' ? 'production' : 'development', problems: [] }
  const environment = read(given(name))
  // Someone who wrote "prod" meant production: check as strictly as that.
  return environment === undefined || environment === null
    ? { environment: 'production', problems: [`${name} must be ${expected}.`] }
    : { environment, problems: [] }
}

/** Reads every variable; problems are reported only for those that `letters` use. No value is ever in a message. */
export const readValues = (env: EnvironmentVariables, letters: readonly ProcessLetter[]): Reading => {
  const given = (name: string): string => env[name]?.trim() ?? ''
  const { environment, problems } = readEnvironment(given)
  const warnings: string[] = []
  const isUsed = (name: VariableName): boolean =>
    variables[name].processes.some((letter) => letters.includes(letter))

  const valueOf = (name: VariableName, variable: Variable<unknown>): unknown => {
    const written = given(name)
    const fallback = variable.fallback(environment)
    if (written === '') {
      if (variable.isRequiredInProduction && environment === 'production' && isUsed(name))
        problems.push(`${name} is not set, and production needs it: ${variable.meaning}.`)
      if (variable.isLenient && env[name] !== undefined && isUsed(name))
        warnings.push(`${name} is blank; the default ${String(fallback)} is used.`)
      return fallback
    }
    const value = variable.type.read(written)
    if (value !== undefined) return value
    if (isUsed(name) && variable.isLenient)
      warnings.push(`${name} must be ${variable.type.expected}; the default ${String(fallback)} is used.`)
    else if (isUsed(name) && name !== 'APP_ENV') problems.push(`${name} must be ${variable.type.expected}.`)
    return fallback
  }

  const entries = Object.entries<Variable<unknown>>(variables).map(([name, variable]) => [
    name,
    // Keys of the table, which Object.entries widens.
    valueOf(name as VariableName, variable),
  ])
  return {
    environment,
    // Each value came from the reader or the default of its own row.
    values: Object.fromEntries(entries) as Values,
    isSet: (name) => given(name) !== '',
    isUsed,
    problems,
    warnings,
  }
}
