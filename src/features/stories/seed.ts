import { createHash } from 'node:crypto'
import { readFile, readdir } from 'node:fs/promises'
import path from 'node:path'
import type { Clock } from '../../platform/clock.ts'
import type { Database } from '../../platform/db/database.ts'
import type { ObjectStorage } from '../../providers/storage/storage.ts'
import * as queries from './queries.ts'
import { renderCovers } from './render-covers.ts'

export interface StoryFile {
  slug: string
  title: string
  author: string
  description: string
  content: string
}

/** Reads `---` front matter (title, author, description) and the text below it. Throws on any other form. */
export const parseStoryFile = (slug: string, file: string): StoryFile => {
  const match = /^---\n([\s\S]*?)\n---\n([\s\S]*)$/.exec(file.replaceAll('\r\n', '\n'))
  const fields = new Map(
    (match?.[1] ?? '').split('\n').map((line) => {
      const at = line.indexOf(':')
      return [line.slice(0, at).trim(), line.slice(at + 1).trim()] as const
    }),
  )
  const [title, author, description] = [fields.get('title'), fields.get('author'), fields.get('description')]
  const content = match?.[2]?.trim()
  if (!title || !author || !description || !content) throw new Error(`stories: ${slug} is not a story file`)
  return { slug, title, author, description, content }
}

const readSeeds = async (directory: string) => {
  const names = (await readdir(path.join(directory, 'stories'))).filter((name) => name.endsWith('.md')).sort()
  return Promise.all(
    names.map(async (name) => {
      const slug = name.slice(0, -3)
      const text = await readFile(path.join(directory, 'stories', name), 'utf8')
      const cover = await readFile(path.join(directory, 'covers', `${slug}.svg`))
      const hash = createHash('sha256').update(text).update('\0').update(cover).digest()
      return { ...parseStoryFile(slug, text), cover, hash }
    }),
  )
}

/** Puts the built-in stories of `content/` into the library; files already seeded in this form are skipped. */
export const seedStories = async (deps: {
  database: Database
  storage: ObjectStorage
  clock: Clock
  directory: string
}): Promise<{ seeded: number; total: number }> => {
  const [files, known] = await Promise.all([readSeeds(deps.directory), queries.findSeeds(deps.database.read)])
  const changed = files.flatMap((file, index) =>
    known.get(file.slug)?.hash === file.hash.toString('hex') ? [] : [{ file, position: (index + 1) * 10 }],
  )
  const images = await renderCovers(changed.map(({ file }) => file.cover))
  for (const [index, { file, position }] of changed.entries()) {
    const image = images[index]
    if (!image) throw new Error('stories: a cover is missing')
    const { slug, title, author, description, content } = file
    const id = await deps.database.transaction((tx) =>
      queries.upsertSeed(tx, {
        slug,
        title,
        author,
        description,
        content,
        position,
        now: deps.clock.now(),
      }),
    )
    const digest = createHash('sha256').update(image).digest('hex').slice(0, 8)
    const key = `stories/covers/story_${id}_cover_${digest}.jpg`
    await deps.storage.put(key, image, { contentType: 'image/jpeg' })
    await deps.database.transaction((tx) => queries.finishSeed(tx, id, key, file.hash))
  }
  return { seeded: changed.length, total: files.length }
}
