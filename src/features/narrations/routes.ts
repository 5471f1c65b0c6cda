import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Clock } from '../../platform/clock.ts'
import { sha256 } from '../../platform/crypto.ts'
import type { Db } from '../../platform/db/database.ts'
import { AppError } from '../../platform/errors.ts'
import { contentRange, planDelivery } from '../../platform/http/byte-range.ts'
import { errorResponses } from '../../platform/http/errors.ts'
import { callerOf, parseId, queryValue } from '../../platform/http/request-values.ts'
import type { ObjectHead, ObjectStorage } from '../../providers/storage/storage.ts'
import { findStory } from '../stories/stories.ts'
import type { TaskStatusReader, Voice, Voices } from '../voices/voices.ts'
import * as attempts from './attempt-queries.ts'
import type { Narrations } from './narrations.ts'
import * as queries from './queries.ts'
import type { Narration } from './queries.ts'
import {
  acceptedSchema,
  describeRequest,
  prefersPolish,
  readySchema,
  statusSchema,
  toStatusJson,
} from './wire.ts'

const path = '/voices/:voice/stories/:story/audio'
const params = Type.Object({ voice: Type.String(), story: Type.String() })
const linkSeconds = 3600

const dispositionOf = (narration: Narration): string =>
  `attachment; filename="${narration.storyId}_${narration.voiceId}.mp3"`

/** 60..3600 s; anything that is not a number counts as the default. */
export const linkLifetime = (text: string | undefined): number => {
  const value = Number(text ?? '')
  if (text === undefined || text.trim() === '' || Number.isNaN(value)) return linkSeconds
  return Math.trunc(Math.min(3600, Math.max(60, value)))
}

/** POST, GET, HEAD of a narration's audio and its status (20 §2.5 to 2.7). */
export const narrationRoutes =
  (deps: {
    narrations: Narrations
    voices: Voices
    storage: ObjectStorage
    db: Db
    clock: Clock
    taskStatus: TaskStatusReader
  }): FastifyPluginCallbackTypebox =>
  (server, _options, done) => {
    const { db, storage } = deps

    const linkTo = (narration: Narration, expiresInSeconds: number): Promise<string> =>
      narration.objectKey === null
        ? Promise.reject(new AppError('audio_not_ready'))
        : storage.presignGet(narration.objectKey, {
            expiresInSeconds,
            contentType: 'audio/mpeg',
            contentDisposition: dispositionOf(narration),
          })

    const queuePlaceOf = (voice: Voice) => attempts.queuePlace(db, voice.provider, voice.id)

    server.post(
      path,
      {
        schema: {
          summary: 'Ask for a story in a voice; charges once, whatever is repeated',
          params,
          response: { 200: readySchema, 202: acceptedSchema, ...errorResponses },
        },
      },
      async (request, reply) => {
        const voice = await deps.voices.resolve(callerOf(request).userId, request.params.voice)
        const result = await deps.narrations.request(voice, parseId(request.params.story))
        if (result.kind === 'ready')
          return {
            status: 'ready',
            url: await linkTo(result.narration, linkSeconds),
            id: result.narration.id,
          }
        const { body, headers } = describeRequest(result, {
          place: await queuePlaceOf(result.voice),
          isPolish: prefersPolish(request.headers['accept-language']),
          now: deps.clock.now(),
        })
        return reply.code(202).headers(headers).send(body)
      },
    )

    const storageFault = (cause: unknown): AppError =>
      cause instanceof AppError
        ? cause
        : new AppError('audio_storage_unavailable', { retryAfterSeconds: 5, cause })

    const stored = async (request: FastifyRequest<{ Params: { voice: string; story: string } }>) => {
      const voice = await deps.voices.resolve(callerOf(request).userId, request.params.voice)
      const storyId = parseId(request.params.story)
      if (storyId === null) throw new AppError('story_not_found')
      const wantsLink = request.method === 'GET' && queryValue(request, 'redirect') !== undefined
      const narration = await queries.findByStoryAndVoice(db, storyId, voice.id)
      if (narration?.status !== 'ready' || narration.objectKey === null)
        throw new AppError(wantsLink ? 'audio_not_found' : 'audio_not_ready')
      const head = await storage.head(narration.objectKey).catch((error: unknown) => {
        throw storageFault(error)
      })
      if (!head) throw new AppError(wantsLink ? 'audio_not_found' : 'audio_file_missing')
      return { narration, key: narration.objectKey, head, wantsLink }
    }

    const fileHeaders = (narration: Narration, head: ObjectHead): Record<string, string> => ({
      'content-type': 'audio/mpeg',
      'accept-ranges': 'bytes',
      etag: head.etag,
      'last-modified': head.lastModified.toUTCString(),
      'cache-control': 'private, no-cache',
      'content-disposition': dispositionOf(narration),
    })

    const deliver = async (
      request: FastifyRequest,
      reply: FastifyReply,
      { narration, key, head }: { narration: Narration; key: string; head: ObjectHead },
    ) => {
      const plan = planDelivery({ method: request.method, headers: request.headers }, head)
      if (plan.status === 416)
        throw new AppError('range_not_satisfiable', {
          headers: { 'content-range': contentRange(null, head.size) },
        })
      reply.headers(fileHeaders(narration, head)).code(plan.status)
      if (plan.status === 304) return reply.send()
      const range = plan.status === 206 ? plan.range : null
      if (range) reply.header('content-range', contentRange(range, head.size))
      reply.header('content-length', range ? range.end - range.start + 1 : head.size)
      if (request.method === 'HEAD') return reply.send()
      const gone = new AbortController()
      reply.raw.once('close', () => gone.abort(new Error('the client went away')))
      const object = await storage.get(key, range ?? undefined, gone.signal).catch((error: unknown) => {
        throw storageFault(error)
      })
      if (!object) throw new AppError('audio_file_missing')
      return reply.send(object.body)
    }

    server.route({
      method: ['GET', 'HEAD'],
      url: path,
      // The automatic HEAD would overwrite the length of a body that is not sent.
      exposeHeadRoute: false,
      schema: {
        summary: 'The finished MP3, whole or a range; ?redirect answers a signed link',
        params,
        response: {
          200: { description: 'MP3', content: { 'audio/mpeg': { schema: Type.Any() } } },
          206: { description: 'A range of it', content: { 'audio/mpeg': { schema: Type.Any() } } },
          302: Type.Null(),
          304: Type.Null(),
          ...errorResponses,
        },
      },
      handler: async (request, reply) => {
        const found = await stored(request)
        if (!found.wantsLink) return deliver(request, reply, found)
        const url = await linkTo(found.narration, linkLifetime(queryValue(request, 'expires')))
        return reply.redirect(url, 302)
      },
    })

    const isCurrent = async (narration: Narration): Promise<boolean> => {
      if (narration.textSha256 === null) return true
      const story = await findStory(db, narration.storyId)
      return story !== null && sha256(story.content).equals(narration.textSha256)
    }

    server.get(
      '/audio/:id/status',
      {
        schema: {
          summary: 'Where a narration stands',
          params: Type.Object({ id: Type.String() }),
          response: { 200: statusSchema, ...errorResponses },
        },
      },
      async (request) => {
        const { userId } = callerOf(request)
        const id = parseId(request.params.id)
        const narration = id === null ? null : await queries.findNarration(db, id)
        if (!narration) throw new AppError('audio_missing')
        if (narration.userId !== userId) throw new AppError('foreign')
        const attempt = await attempts.findLatest(db, narration.id)
        const isWaiting = attempt?.stage === 'waiting'
        const [parts, current, place] = await Promise.all([
          queries.listParts(db, narration.id),
          isCurrent(narration),
          isWaiting ? attempts.queuePlace(db, attempt.provider, narration.voiceId) : null,
        ])
        const taskId = queryValue(request, 'task_id')
        return {
          ...toStatusJson(narration, { attempt, partsDone: parts.size, place, isCurrent: current }),
          ...(narration.status === 'ready' ? { url: await linkTo(narration, linkSeconds) } : {}),
          ...(taskId === undefined ? {} : { task_status: await deps.taskStatus(userId, taskId) }),
        }
      },
    )
    done()
  }
