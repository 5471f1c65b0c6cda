import type { Db, Tx } from '../../platform/db/database.ts'

export interface Story {
  id: number
  title: string
  author: string
  description: string
  content: string
  coverKey: string | null
  isPublished: boolean
  createdAt: Date
  updatedAt: Date
}

const columns = [
  'id',
  'title',
  'author',
  'description',
  'content',
  'cover_key',
  'is_published',
  'created_at',
  'updated_at',
] as const

const select = (db: Db) => db.selectFrom('stories').select(columns)
type Row = NonNullable<Awaited<ReturnType<ReturnType<typeof select>['executeTakeFirst']>>>

const toStory = (row: Row): Story => ({
  id: row.id,
  title: row.title,
  author: row.author,
  description: row.description,
  content: row.content,
  coverKey: row.cover_key,
  isPublished: row.is_published,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})

/** Published ones by `position`, then `id`. */
export const listPublished = async (db: Db): Promise<Story[]> =>
  (await select(db).where('is_published', '=', true).orderBy('position').orderBy('id').execute()).map(toStory)

export const findStory = async (db: Db, id: number): Promise<Story | null> => {
  const row = await select(db).where('id', '=', id).executeTakeFirst()
  return row ? toStory(row) : null
}

export const findSeeds = async (db: Db): Promise<Map<string, { id: number; hash: string | null }>> => {
  const rows = await db
    .selectFrom('stories')
    .select(['id', 'seed_slug', 'seed_hash'])
    .where('seed_slug', 'is not', null)
    .execute()
  return new Map(
    rows.map((row) => [row.seed_slug ?? '', { id: row.id, hash: row.seed_hash?.toString('hex') ?? null }]),
  )
}

export interface SeedRow {
  slug: string
  title: string
  author: string
  description: string
  content: string
  position: number
  now: Date
}

/** Inserts or refreshes a built-in story; returns its id. */
export const upsertSeed = async (tx: Tx, seed: SeedRow): Promise<number> => {
  const text = {
    title: seed.title,
    author: seed.author,
    description: seed.description,
    content: seed.content,
  }
  const row = await tx
    .insertInto('stories')
    .values({
      ...text,
      position: seed.position,
      seed_slug: seed.slug,
      created_at: seed.now,
      updated_at: seed.now,
    })
    .onConflict((conflict) => conflict.column('seed_slug').doUpdateSet({ ...text, updated_at: seed.now }))
    .returning('id')
    .executeTakeFirstOrThrow()
  return row.id
}

/** The last step of seeding a story: from now on the file counts as seeded. */
export const finishSeed = async (tx: Tx, id: number, coverKey: string, hash: Buffer): Promise<void> => {
  await tx.updateTable('stories').set({ cover_key: coverKey, seed_hash: hash }).where('id', '=', id).execute()
}
