import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createCredits } from '../src/features/credits/credits.ts'
import { sweepNarrationsJob } from '../src/features/narrations/narrations.ts'
import { sweepSlotsJob } from '../src/features/voices/voices.ts'
import { startTestApp, until, type Account, type Answer, type TestApp } from './app.ts'
import { createFaultyStorage, type FaultyStorage } from './faulty-storage.ts'
import { createScriptedSpeech, type ScriptedSpeech } from './scripted-speech.ts'

const paragraph =
  'Na skraju lasu stał mały dom z zielonymi okiennicami. Mieszkała w nim Hania i jej kot Filemonek. ' +
  'Pewnego wieczoru w oknie pojawiło się światełko, nieduże, drżące i zupełnie samo. Hania otworzyła okno. '

/** Some 2,470 code points: three points, four parts of some 615. */
export const fourPartText = Array.from({ length: 12 }, (_, at) => `${at + 1}. ${paragraph}`).join('\n\n')

export interface Scene {
  app: TestApp
  speech: ScriptedSpeech
  faults: FaultyStorage
  /** A published story; four parts long unless told otherwise. */
  addStory(content?: string): Promise<number>
  /** A voice with a stored recording, as after an upload; no provider knows it yet. */
  addVoice(
    account: Account,
    own?: Partial<{ provider: string; state: string; recording_key: null }>,
  ): Promise<number>
  /** A fresh account, voice and story. */
  cast(): Promise<Cast>
  /** As `cast`, where no worker delivers the confirmation mail: the account is confirmed directly. */
  signedUp(): Promise<Cast>
  ask(cast: Cast, headers?: Record<string, string>): Promise<Answer>
  status(cast: Cast, id: unknown): Promise<Answer>
  /** Waits for the narration of the cast to be `ready` or `error`; answers the status body. */
  ended(cast: Cast, timeoutMs?: number): Promise<Record<string, unknown>>
  balance(cast: Cast): Promise<number>
  /** Ledger rows of the account, oldest first, without the initial grant. */
  moves(cast: Cast): Promise<{ type: string; reason: string; amount: number }[]>
  /** Attempts at the narration of the cast, oldest first. */
  attempts(cast: Cast): Promise<{ stage: string; debit_id: number | null; credits_charged: number | null }[]>
  slots(cast: Cast): Promise<{ state: string }[]>
  /** Status body of the voice. */
  voice(cast: Cast): Promise<Record<string, unknown>>
  /** Recording and prepared sample vanish from storage. */
  removeRecording(cast: Cast): Promise<void>
  /** Stored keys under a prefix. */
  keys(prefix: string): Promise<string[]>
  /** Moves the application clock and signs the accounts in again: access tokens live 15 minutes. */
  advance(seconds: number, ...casts: Cast[]): Promise<void>
  /** Gives the account points, as an admin would. */
  grant(cast: Cast, amount: number): Promise<void>
  /** Waits until no job of this name runs or is due. */
  idle(job: string): Promise<void>
  /** Runs both sweepers and waits until they have finished. */
  sweep(): Promise<void>
  /** Newly queued jobs of this name count as being on their last try. */
  lastTry(job: string): Promise<() => Promise<void>>
  sql(text: string): Promise<void>
  close(): Promise<void>
}

export interface Cast {
  account: Account
  voiceId: number
  storyId: number
}

/** The real server with scripted speech and a storage that can fail. */
export const startScene = async (
  options: { env?: Record<string, string>; work?: boolean } = {},
): Promise<Scene> => {
  const speech = await createScriptedSpeech()
  const directory = await mkdtemp(path.join(tmpdir(), 'dawnotemu-scene-'))
  const faults = createFaultyStorage(directory)
  const app = await startTestApp({
    env: { INITIAL_CREDITS: '10', ...options.env },
    overrides: { speechProviders: [speech.provider], storage: faults.storage },
    ...(options.work === undefined ? {} : { work: options.work }),
  })
  const { database } = app.test
  const sql: Scene['sql'] = async (text) => void (await database.pool.query(text))

  const addStory: Scene['addStory'] = async (content = fourPartText) =>
    (
      await database.transaction((tx) =>
        tx
          .insertInto('stories')
          .values({ title: 'Światełko Hani', author: 'Zespół', content })
          .returning('id')
          .executeTakeFirstOrThrow(),
      )
    ).id

  const addVoice: Scene['addVoice'] = async (account, own = {}) => {
    const key = `voice_samples/${account.id}/voice_${randomUUID()}`
    const bytes = new Uint8Array(4096).fill(1)
    await faults.storage.put(`${key}.mp3`, bytes, { contentType: 'audio/mpeg' })
    await faults.storage.put(`${key}.clone.mp3`, bytes, { contentType: 'audio/mpeg' })
    const now = app.app.clock.now()
    const row = await database.transaction((tx) =>
      tx
        .insertInto('voices')
        .values({
          user_id: account.id,
          name: 'Mama',
          provider: 'local',
          state: 'ready',
          recording_key: `${key}.mp3`,
          recording_size: bytes.length,
          recording_type: 'audio/mpeg',
          recording_duration_seconds: 12,
          recording_sha256: Buffer.alloc(32, 1),
          clone_sample_key: `${key}.clone.mp3`,
          created_at: now,
          updated_at: now,
          ...own,
        })
        .returning('id')
        .executeTakeFirstOrThrow(),
    )
    return row.id
  }

  const cast: Scene['cast'] = async () => {
    const account = await app.signUp()
    return { account, voiceId: await addVoice(account), storyId: await addStory() }
  }

  const signedUp: Scene['signedUp'] = async () => {
    const [email, password] = [`rodzic-${randomUUID()}@example.test`, `zielony kubek ${randomUUID()}`]
    await app.app.auth.createConfirmed({ email, password, credits: 10 })
    const { body } = await app.call('POST', '/auth/login', { json: { email, password } })
    const account = {
      id: Number((body['user'] as { id: number }).id),
      email,
      password,
      accessToken: String(body['access_token']),
      refreshToken: String(body['refresh_token']),
    }
    return { account, voiceId: await addVoice(account), storyId: await addStory() }
  }

  const ask: Scene['ask'] = ({ account, voiceId, storyId }, headers = {}) =>
    app.call('POST', `/voices/${voiceId}/stories/${storyId}/audio`, { token: account.accessToken, headers })

  const status: Scene['status'] = ({ account }, id) =>
    app.call('GET', `/audio/${String(id)}/status`, { token: account.accessToken })

  const ended: Scene['ended'] = (given, timeoutMs = 20_000) =>
    until(
      async () => {
        const row = await database.read
          .selectFrom('narrations')
          .select(['id', 'status'])
          .where('voice_id', '=', given.voiceId)
          .where('story_id', '=', given.storyId)
          .executeTakeFirst()
        if (row?.status !== 'ready' && row?.status !== 'error') return null
        const answer = await status(given, row.id)
        assert.equal(answer.status, 200, answer.text)
        return answer.body
      },
      'the end of the narration',
      timeoutMs,
    )

  const moves: Scene['moves'] = async ({ account }) => {
    const rows = await database.read
      .selectFrom('credit_transactions')
      .select(['type', 'reason', 'amount'])
      .where('user_id', '=', account.id)
      .where('type', 'in', ['debit', 'refund'])
      .orderBy('id')
      .execute()
    return rows.map(({ type, reason, amount }) => ({ type, reason: String(reason), amount }))
  }

  const attempts: Scene['attempts'] = ({ voiceId, storyId }) =>
    database.read
      .selectFrom('narration_attempts as a')
      .innerJoin('narrations as n', 'n.id', 'a.narration_id')
      .select(['a.stage', 'a.debit_id', 'a.credits_charged'])
      .where('n.voice_id', '=', voiceId)
      .where('n.story_id', '=', storyId)
      .orderBy('a.id')
      .execute()

  const slots: Scene['slots'] = ({ voiceId }) =>
    database.read.selectFrom('voice_slots').select('state').where('voice_id', '=', voiceId).execute()

  const voice: Scene['voice'] = async ({ account, voiceId }) =>
    (await app.call('GET', `/voices/${voiceId}/status`, { token: account.accessToken })).body

  const keys: Scene['keys'] = async (prefix) => {
    const found: string[] = []
    for await (const { key } of faults.storage.list(prefix)) found.push(key)
    return found
  }

  const removeRecording: Scene['removeRecording'] = async ({ account }) => {
    await faults.storage.deleteMany(await keys(`voice_samples/${account.id}/`))
  }

  const balance: Scene['balance'] = async ({ account }) =>
    Number((await app.call('GET', '/me/credits', { token: account.accessToken })).body['balance'])

  const advance: Scene['advance'] = async (seconds, ...casts) => {
    assert.equal((await app.call('POST', '/dev/clock', { json: { advance_seconds: seconds } })).status, 200)
    for (const { account } of casts) {
      const { email, password } = account
      const login = await app.call('POST', '/auth/login', { json: { email, password } })
      account.accessToken = String(login.body['access_token'])
    }
  }

  const grant: Scene['grant'] = async ({ account }, amount) => {
    await database.transaction((tx) =>
      createCredits({
        clock: app.app.clock,
        config: { unitLabel: '', unitSize: 1000, sourcesPriority: [] },
      }).grant(tx, {
        userId: account.id,
        amount,
        source: 'add_on',
        reason: 'test',
      }),
    )
  }

  const idle: Scene['idle'] = async (job) => {
    await until(async () => {
      const { rows } = await database.pool.query(
        `select 1 from pgboss.job where name = $1 and state in ('created', 'active')`,
        [job],
      )
      return rows.length === 0 ? true : null
    }, `${job} to be idle`)
  }

  const sweep: Scene['sweep'] = async () => {
    for (const type of [sweepNarrationsJob, sweepSlotsJob]) {
      const id = await database.transaction((tx) => app.app.jobs.enqueue(tx, type, {}))
      await until(
        async () => ((await app.app.jobs.find(type, id))?.state === 'completed' ? true : null),
        type.name,
      )
    }
  }

  const lastTry: Scene['lastTry'] = async (job) => {
    const name = `last_try_${job.replaceAll(/\W/g, '_')}`
    await sql(`
      create function ${name}() returns trigger language plpgsql as
        $$ begin new.retry_count := new.retry_limit; return new; end $$;
      create trigger ${name} before insert on pgboss.job
        for each row when (new.name = '${job}') execute function ${name}()`)
    return () => sql(`drop function ${name} cascade`)
  }

  return {
    app,
    speech,
    faults,
    addStory,
    addVoice,
    cast,
    signedUp,
    ask,
    status,
    ended,
    balance,
    moves,
    attempts,
    slots,
    voice,
    keys,
    removeRecording,
    advance,
    grant,
    sweep,
    idle,
    lastTry,
    sql,
    close: async () => {
      speech.reset()
      await app.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
