import { withDerivedDefaults, type EffectiveValues } from './config/defaults.ts'
import { groupValues, type ProcessRole } from './config/group.ts'
import { checkNames } from './config/names.ts'
import { integer } from './config/parse.ts'
import { productionProblems } from './config/production-rules.ts'
import { readValues, type EnvironmentVariables, type Reading } from './config/read-values.ts'
import { crossProblems, crossWarnings } from './config/rules.ts'
import type { ProcessLetter } from './config/variable.ts'
import { variables, type VariableName } from './config/variables.ts'

export { readOrCreateDevelopmentSecret } from './config/development-secret.ts'
export { connectionTotalProblem } from './config/production-rules.ts'
export type { Environment } from './config/variable.ts'
export type { ProcessRole } from './config/group.ts'

export type DescribedValue = string | number | boolean | null

export type Config = ReturnType<typeof groupValues> & {
  /** By variable name, secrets as `set` or `unset`. For `describeConfig`. */
  effective: Readonly<Record<VariableName, DescribedValue>>
}

export type LoadedConfig =
  | { kind: 'ok'; config: Config; warnings: string[] }
  | { kind: 'invalid'; problems: string[]; warnings: string[] }

const lettersOf: Readonly<Record<ProcessRole, readonly ProcessLetter[]>> = {
  web: ['W'],
  worker: ['K'],
  scheduler: ['S'],
  all: ['W', 'K', 'S'],
  cli: ['C'],
}

const describe = (effective: EffectiveValues): Record<VariableName, DescribedValue> => {
  const entries = (Object.keys(variables) as VariableName[]).map((name) => {
    const value = effective[name]
    const isEmpty = value === null || (Array.isArray(value) && value.length === 0)
    if (variables[name].isSecret) return [name, isEmpty ? 'unset' : 'set']
    return [name, Array.isArray(value) ? value.join(',') : value]
  })
  // One entry for each name of the table.
  return Object.fromEntries(entries) as Record<VariableName, DescribedValue>
}

const readLoadTestVoices = (env: EnvironmentVariables, isUsed: boolean) => {
  const type = integer(1)
  const voices = new Map<number, number>()
  const problems: string[] = []
  for (const [name, written] of Object.entries(env)) {
    const account = /^LOADTEST_VOICE_ID_(\d+)$/.exec(name)?.[1]
    const text = written?.trim() ?? ''
    if (account === undefined || text === '') continue
    const voice = type.read(text)
    if (voice !== undefined) voices.set(Number(account), voice)
    else if (isUsed) problems.push(`${name} must be ${type.expected}.`)
  }
  return { voices, problems }
}

const roleOf = (reading: Reading): ProcessRole => reading.values.PROCESS_ROLE

/**
 * Reads and checks the whole configuration: all problems at once, none of them with a value in it. Checks what the
 * role uses (`options.role`, else `PROCESS_ROLE`). Creates no folder, opens no connection.
 * `isTerminal`: standard output is one, so that development logs are pretty unless said otherwise.
 */
export const loadConfig = (
  env: EnvironmentVariables,
  options: { role?: ProcessRole; isTerminal?: boolean } = {},
): LoadedConfig => {
  const role = options.role ?? roleOf(readValues(env, []))
  const reading = readValues(env, lettersOf[role])
  const effective = withDerivedDefaults(reading, options.isTerminal ?? false)
  const loadTest = readLoadTestVoices(env, reading.isUsed('LOADTEST_VOICE_ID'))
  const problems = [
    ...reading.problems,
    ...loadTest.problems,
    ...crossProblems(effective, reading),
    ...(reading.environment === 'production' ? productionProblems(effective, reading) : []),
  ]
  const setNames = Object.keys(env).filter(reading.isSet)
  const warnings = [...reading.warnings, ...checkNames(setNames), ...crossWarnings(reading)]
  if (problems.length > 0) return { kind: 'invalid', problems, warnings }
  const grouped = groupValues(effective, role, loadTest.voices)
  return { kind: 'ok', config: { ...grouped, effective: describe(effective) }, warnings }
}

/** The values in force by variable name, fit for a log: secrets only as `set` or `unset`. */
export const describeConfig = (config: Config): Readonly<Record<VariableName, DescribedValue>> =>
  config.effective
