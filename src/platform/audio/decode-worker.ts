// The child process of `decode-sandbox.ts`: one recording, one answer, then it ends. It is started without network,
// file access, environment and child processes. Nothing it prints is read.
import { decodeRecording, type DecodeRequest } from './decode-recording.ts'

const send = (message: unknown): void => {
  process.send?.(message, () => process.disconnect?.())
}

process.once('message', (message: DecodeRequest & { memoryBytes: number }) => {
  const checkMemory = (): void => {
    // Where the parent cannot read /proc (macOS) this is the only look at memory outside V8's own heap.
    if (process.memoryUsage.rss() > message.memoryBytes) process.exit(1)
  }
  decodeRecording(message, checkMemory).then(
    (result) => send({ kind: 'ok', ...result }),
    () => send({ kind: 'unreadable' }),
  )
})
process.once('disconnect', () => process.exit())
