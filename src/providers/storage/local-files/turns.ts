/** Runs the tasks of one key one after another. */
export const createTurns = () => {
  const last = new Map<string, Promise<unknown>>()
  return async <T>(key: string, task: () => Promise<T>): Promise<T> => {
    const turn = (last.get(key) ?? Promise.resolve()).then(task, task)
    last.set(key, turn)
    return turn.finally(() => last.get(key) === turn && last.delete(key))
  }
}
