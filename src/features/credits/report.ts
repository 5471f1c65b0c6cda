import type { Tx } from '../../platform/db/database.ts'
import { sumByMonth, type MonthRow } from './report-queries.ts'

/** Points of one calendar month (UTC, `YYYY-MM`) and lot source. */
export interface PointsOfMonth {
  month: string
  source: string
  granted: number
  /** Debits less their refunds; negative in a month that refunds more than it takes. */
  consumed: number
  /** Written off: past their date, by an administrator, or with a deleted account. */
  expired: number
  /** Taken back because the store returned the money, less what was given back again. */
  clawedBack: number
  /** In all lots of the source at the end of the month, those past their date that no sweep has met yet included. */
  outstanding: number
}

const nextMonth = (month: string): string => {
  const [year = 0, number = 0] = month.split('-').map(Number)
  return new Date(Date.UTC(year, number)).toISOString().slice(0, 7)
}

/**
 * Points by month and source (30 §13 a), oldest month first, without gaps from a source's first month to `until`
 * (`YYYY-MM`). Reads the whole ledger: some seconds for a million rows.
 */
export const reportPoints = async (tx: Tx, until: string): Promise<PointsOfMonth[]> => {
  const rows = (await sumByMonth(tx)).filter((row) => row.month <= until)
  const bySource = Map.groupBy(rows, (row) => row.source)
  return [...bySource]
    .flatMap(([source, months]) => fillMonths(source, months, until))
    .sort((a, b) => (a.month === b.month ? (a.source < b.source ? -1 : 1) : a.month < b.month ? -1 : 1))
}

const fillMonths = (source: string, rows: readonly MonthRow[], until: string): PointsOfMonth[] => {
  const found = new Map(rows.map((row) => [row.month, row]))
  const months: PointsOfMonth[] = []
  let outstanding = 0
  for (let month = rows[0]?.month ?? until; month <= until; month = nextMonth(month)) {
    const { granted = 0, consumed = 0, expired = 0, clawed_back: clawedBack = 0 } = found.get(month) ?? {}
    outstanding += granted - consumed - expired - clawedBack
    months.push({ month, source, granted, consumed, expired, clawedBack, outstanding })
  }
  return months
}
