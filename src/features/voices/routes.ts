import multipart from '@fastify/multipart'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { AppError } from '../../platform/errors.ts'
import { errorResponses } from '../../platform/http/errors.ts'
import { callerOf, queryValue } from '../../platform/http/request-values.ts'
import type { ObjectStorage } from '../../providers/storage/storage.ts'
import { currentConsentText } from './consent-text.ts'
import { withUpload, type UploadPace } from './upload.ts'
import {
  allocationStatus,
  externalIdOf,
  toVoiceJson,
  toVoiceStatusJson,
  voiceSchema,
  voiceStatusSchema,
} from './wire.ts'
import type { Voice, Voices } from './voices.ts'

const params = Type.Object({ voice: Type.String() })
const linkSeconds = 3600

/** `{state, ready, successful, info}` of a job that belongs to the caller; the pending form for any other id. */
export type TaskStatusReader = (
  userId: number,
  taskId: string,
) => Promise<{
  state: string
  ready: boolean
  successful: boolean | null
  info: Record<string, never> | null
}>

/** /voices (20 §2.2 to 2.4). */
export const voiceRoutes =
  (deps: {
    voices: Voices
    storage: ObjectStorage
    uploadDirectory: string
    taskStatus: TaskStatusReader
    /** Default: 120 s in all, no pause of 30 s. */
    uploadPace?: UploadPace
  }): FastifyPluginAsyncTypebox =>
  async (server) => {
    const { voices, storage } = deps
    const sampleUrl = (voice: Voice): Promise<string> | null =>
      voice.recordingKey === null
        ? null
        : storage.presignGet(voice.recordingKey, { expiresInSeconds: linkSeconds })

    server.get(
      '/voices',
      {
        schema: {
          summary: 'Own voices, usable ones first',
          response: { 200: Type.Array(voiceSchema), ...errorResponses },
        },
      },
      async (request) => (await voices.list(callerOf(request).userId)).map(toVoiceJson),
    )

    server.get(
      '/voices/consent-text',
      {
        config: { access: 'public' },
        schema: {
          summary: 'What a speaker agrees to',
          response: {
            200: Type.Object({
              version: Type.String(),
              language: Type.String(),
              text: Type.String(),
              sha256: Type.String(),
            }),
            ...errorResponses,
          },
        },
      },
      () => {
        const { version, text, sha256 } = currentConsentText()
        return { version, language: 'pl', text, sha256: sha256.toString('hex') }
      },
    )

    await server.register(async (uploads) => {
      await uploads.register(multipart, { throwFileSizeLimit: false })
      // Any other content type counts as no file (row 3), so nothing is parsed and nothing is refused earlier.
      uploads.removeContentTypeParser('*')
      uploads.addContentTypeParser('*', (_request, payload, done) => {
        payload.resume()
        done(null, undefined)
      })
      uploads.post(
        '/voices',
        {
          bodyLimit: 26 * 1024 * 1024,
          schema: {
            summary: 'Upload a recording (multipart/form-data: file, name?, consent?, consent_version?)',
            consumes: ['multipart/form-data'],
            response: {
              201: Type.Object({
                id: Type.Integer(),
                name: Type.String(),
                status: Type.String(),
                allocation_status: Type.String(),
                task_id: Type.String(),
                success: Type.Boolean(),
                message: Type.String(),
                recording_warnings: Type.Array(Type.String()),
              }),
              ...errorResponses,
            },
          },
        },
        async (request, reply) => {
          const caller = callerOf(request)
          await voices.checkRoom(caller.userId)
          const gone = new AbortController()
          request.raw.once('close', () => {
            if (!request.raw.complete) gone.abort(new Error('the client went away'))
          })
          const { voice, taskId } = await withUpload(
            request,
            deps.uploadDirectory,
            (upload) => voices.create(caller, upload, gone.signal),
            deps.uploadPace,
          )
          return reply.code(201).send({
            id: voice.id,
            name: voice.name,
            status: voice.state,
            allocation_status: allocationStatus(voice),
            task_id: taskId,
            success: true,
            message: 'Voice uploaded successfully. Allocation will continue in the background.',
            recording_warnings: voice.recordingWarnings,
          })
        },
      )
    })

    server.get(
      '/voices/:voice',
      { schema: { summary: 'One voice', params, response: { 200: voiceSchema, ...errorResponses } } },
      async (request) => toVoiceJson(await voices.resolve(callerOf(request).userId, request.params.voice)),
    )

    server.delete(
      '/voices/:voice',
      {
        schema: {
          summary: 'Delete a voice, its recording and its narrations',
          params,
          response: { 200: Type.Object({ message: Type.String() }), ...errorResponses },
        },
      },
      async (request) => {
        await voices.remove(callerOf(request).userId, request.params.voice)
        return { message: 'Voice and associated files deleted' }
      },
    )

    server.get(
      '/voices/:voice/sample',
      {
        schema: {
          summary: 'Signed link to the recording',
          params,
          response: { 200: Type.Object({ url: Type.String() }), 302: Type.Null(), ...errorResponses },
        },
      },
      async (request, reply) => {
        const voice = await voices.resolve(callerOf(request).userId, request.params.voice)
        if (voice.state !== 'recorded' && voice.state !== 'ready')
          throw new AppError('voice_not_ready', { text: `Voice is not ready (status: ${voice.state})` })
        const url = await sampleUrl(voice)
        if (url === null) throw new AppError('sample_not_found')
        if (queryValue(request, 'redirect') !== undefined) return reply.redirect(url, 302)
        return { url }
      },
    )

    server.get(
      '/voices/:voice/status',
      {
        schema: {
          summary: 'Where a voice stands',
          params,
          response: { 200: voiceStatusSchema, ...errorResponses },
        },
      },
      async (request) => {
        const { userId } = callerOf(request)
        const voice = await voices.resolve(userId, request.params.voice)
        const taskId = queryValue(request, 'task_id')
        const url = externalIdOf(voice) === null ? null : await sampleUrl(voice)
        return {
          ...toVoiceStatusJson(voice),
          ...(url === null ? {} : { sample_url: url }),
          ...(taskId === undefined ? {} : { task_status: await deps.taskStatus(userId, taskId) }),
        }
      },
    )
  }
