import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { Db } from '../../platform/db/database.ts'
import { AppError } from '../../platform/errors.ts'
import { errorResponses } from '../../platform/http/errors.ts'
import type { LimitPolicy } from '../../platform/http/limits.ts'
import { callerOf, parseId, queryValue } from '../../platform/http/request-values.ts'
import type { Credits } from '../credits/credits.ts'
import { findStory } from '../stories/stories.ts'
import type { Voices } from '../voices/voices.ts'
import { findUnfinished } from './attempt-queries.ts'
import { findByStoryAndVoice } from './queries.ts'

const quoteLimit: LimitPolicy = { name: 'story-credits', by: 'user', windows: [{ quota: 30, seconds: 60 }] }

const quoteSchema = Type.Object({
  required_credits: Type.Integer({ description: 'Price of a narration of this story' }),
  balance: Type.Integer({ description: 'Points that can be spent now' }),
  enough: Type.Boolean({ description: 'Asking for the narration would not fail for want of points' }),
  already_ready: Type.Optional(Type.Boolean({ description: 'Made in that voice: costs nothing' })),
  in_progress: Type.Optional(Type.Boolean({ description: 'Being made in that voice: costs nothing more' })),
})

/** What a narration would cost the caller (30 E3); with `voice_id` also whether it exists or is under way. */
export const quoteRoutes =
  (deps: {
    db: Db
    voices: Pick<Voices, 'resolve'>
    credits: Pick<Credits, 'priceOf' | 'balance'>
  }): FastifyPluginCallbackTypebox =>
  (server, _options, done) => {
    const { db, credits, voices } = deps

    /** Where a story in one of the caller's voices stands; a repeat that is owed free of charge is neither. */
    const standing = async (userId: number, storyId: number, voiceText: string) => {
      const voice = await voices.resolve(userId, voiceText)
      const narration = await findByStoryAndVoice(db, storyId, voice.id)
      const isReady = narration?.status === 'ready'
      const isUnderWay = narration !== null && !isReady && (await findUnfinished(db, narration.id)) !== null
      return { isReady, isUnderWay, isFree: isReady || isUnderWay || (narration?.freeRetry ?? false) }
    }

    server.get(
      '/stories/:id/credits',
      {
        config: { limit: quoteLimit },
        schema: {
          summary: 'Price of a narration of this story, and whether the balance pays for it',
          params: Type.Object({ id: Type.String() }),
          querystring: Type.Object({ voice_id: Type.Optional(Type.Unknown()) }),
          response: { 200: quoteSchema, ...errorResponses },
        },
      },
      async (request) => {
        const { userId } = callerOf(request)
        const id = parseId(request.params.id)
        const story = id === null ? null : await findStory(db, id)
        if (!story?.isPublished) throw new AppError('story_not_found')
        const voiceText = queryValue(request, 'voice_id')
        const voice = voiceText === undefined ? null : await standing(userId, story.id, voiceText)
        const price = credits.priceOf(story.content)
        const balance = await credits.balance(db, userId)
        return {
          required_credits: price,
          balance,
          enough: voice?.isFree === true || balance >= price,
          ...(voice ? { already_ready: voice.isReady, in_progress: voice.isUnderWay } : {}),
        }
      },
    )
    done()
  }
