import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type, type Static } from 'typebox'
import type { Db } from '../../platform/db/database.ts'
import { AppError } from '../../platform/errors.ts'
import { errorResponses } from '../../platform/http/errors.ts'
import { isoTime, parseId } from '../../platform/http/request-values.ts'
import type { ObjectStorage } from '../../providers/storage/storage.ts'
import { findStory, listPublished, type Story } from './queries.ts'

const storySchema = Type.Object(
  {
    id: Type.Integer(),
    title: Type.String(),
    author: Type.String(),
    description: Type.String(),
    content: Type.String(),
    required_credits: Type.Integer({ description: 'Price of a narration in points' }),
    cover_path: Type.String(),
    created_at: Type.String(),
    updated_at: Type.String(),
  },
  { title: 'Story' },
)

const isPublic = { access: 'public' } as const
const params = Type.Object({ id: Type.String() })
const coverLinkSeconds = 3600

const imageTypes: Record<string, string> = {
  jpg: 'image/jpeg',
  jpeg: 'image/jpeg',
  png: 'image/png',
  webp: 'image/webp',
}

/** The public story library (20 §2.1). What a story costs its reader is told with the narrations (30 E3). */
export const storyRoutes =
  (deps: {
    db: Db
    storage: ObjectStorage
    priceOf: (text: string) => number
  }): FastifyPluginCallbackTypebox =>
  (server, _options, done) => {
    const toJson = (story: Story): Static<typeof storySchema> => ({
      id: story.id,
      title: story.title,
      author: story.author,
      description: story.description,
      content: story.content,
      required_credits: deps.priceOf(story.content),
      cover_path: `/stories/${story.id}/cover`,
      created_at: isoTime(story.createdAt),
      updated_at: isoTime(story.updatedAt),
    })

    const published = async (text: string): Promise<Story> => {
      const id = parseId(text)
      const story = id === null ? null : await findStory(deps.db, id)
      if (!story?.isPublished) throw new AppError('story_not_found')
      return story
    }

    server.get(
      '/stories',
      {
        config: isPublic,
        schema: {
          summary: 'All published stories',
          response: { 200: Type.Array(storySchema), ...errorResponses },
        },
      },
      async () => {
        try {
          return (await listPublished(deps.db)).map(toJson)
        } catch (cause) {
          throw new AppError('stories_failed', { cause })
        }
      },
    )
    server.get(
      '/stories/:id',
      {
        config: isPublic,
        schema: { summary: 'One story', params, response: { 200: storySchema, ...errorResponses } },
      },
      async (request) => toJson(await published(request.params.id)),
    )
    server.get(
      '/stories/:id/cover',
      {
        config: isPublic,
        schema: {
          summary: 'Redirect to the cover image',
          params,
          response: { 302: Type.Null(), ...errorResponses },
        },
      },
      async (request, reply) => {
        const id = parseId(request.params.id)
        const story = id === null ? null : await findStory(deps.db, id)
        if (!story?.coverKey) throw new AppError('cover_not_found')
        const type = imageTypes[story.coverKey.split('.').at(-1) ?? '']
        const url = await deps.storage.presignGet(story.coverKey, {
          expiresInSeconds: coverLinkSeconds,
          ...(type === undefined ? {} : { contentType: type }),
        })
        return reply.header('cache-control', 'public, max-age=300').redirect(url, 302)
      },
    )
    done()
  }
