import { executeRaw, type Tx } from '../db/database.ts'
import type { JobType } from './jobs.ts'

type Named = Pick<JobType, 'name'>

const cancel = `update pgboss.job set state = 'cancelled', completed_on = now()
  where name = $1 and state in ('created', 'retry')`

/**
 * Cancels the waiting jobs whose payload holds one of `values` under `key`, in the caller's transaction. Answers those
 * values whose jobs run at this moment: they have to be told by other means.
 */
export const withdrawJobs = async (
  tx: Tx,
  type: Named,
  key: string,
  values: readonly number[],
): Promise<number[]> => {
  if (values.length === 0) return []
  const isNamed = `(data->>$2)::bigint = any($3::bigint[])`
  const parameters = [type.name, key, values]
  await executeRaw(tx, `${cancel} and ${isNamed}`, parameters)
  // A second statement, so that it sees a job which a worker took while the first one waited for its row.
  const { rows } = await executeRaw(
    tx,
    `select distinct (data->>$2)::bigint as value from pgboss.job where name = $1 and state = 'active' and ${isNamed}`,
    parameters,
  )
  return rows.map((row) => Number(row['value']))
}

/** Cancels the waiting jobs whose payload has a list under `key` with nothing in it but these texts. */
export const withdrawListJobs = async (
  tx: Tx,
  type: Named,
  key: string,
  texts: readonly string[],
): Promise<void> => {
  await executeRaw(tx, `${cancel} and (data->$2) <@ $3::jsonb`, [type.name, key, JSON.stringify(texts)])
}
