import { featureVariables } from './feature-variables.ts'
import { operationVariables } from './operation-variables.ts'
import type { Variable } from './variable.ts'

/** Every variable the server reads, in the order in which they are documented and reported. */
export const variables = { ...operationVariables, ...featureVariables }

export type VariableName = keyof typeof variables
export type Values = {
  [Name in VariableName]: (typeof variables)[Name] extends Variable<infer T> ? T : never
}
